//! A worker: an OS thread that runs one task after another.
//!
//! A turn takes its task from one of these sources:
//!
//! | source | contents | class | order |
//! |---|---|---|---|
//! | `next` | the task woken last on this worker, if it has a stack here, or its waker waits for it; a migratory one is in `remote.next`, and may be stolen | that of the turn before | it runs beside its waker, in one cache |
//! | `local` | tasks with a stack here that were woken or have yielded; local tasks | stacked | first in, first out |
//! | `remote.ready` | the same, if they are migratory | stacked | first in, first out; stolen from |
//! | `remote.stackless` | tasks without a stack | stackless | new ones: newest first, every 64th time the oldest, and more often the more there are; woken ones: first in, first out; both in turn; stolen from |
//!
//! `fairness` has the rules by which these sources take turns.
//!
//! About every 20 µs a worker looks around: at timers, at the injector, and whether work waits that another could
//! take. `search` describes a worker that finds nothing to run.

use core::cell::{Cell, RefCell};
use core::ptr::{self, NonNull};
use std::sync::Arc;

use crate::fiber::{Fiber, Suspend};
use crate::reactor::Events;
use crate::scheduler::fairness::{Class, Fairness};
use crate::scheduler::maintenance::Maintenance;
use crate::scheduler::remote::Remote;
use crate::scheduler::run_queue::End;
use crate::scheduler::search::Idling;
use crate::scheduler::shared::Shared;
use crate::scheduler::shared_home::SharedHome;
use crate::scheduler::stackless::Starts;
use crate::scheduler::stacks::Stacks;
use crate::scheduler::wake::LocalTasks;
use crate::task::{Runnable, Task};
use crate::timer::pending::PendingTimers;
use crate::wait::BUDGET;
use crate::wait::current::{self, Current};

/// The worker's own part. It never leaves its OS thread. Tasks that run on it reach it through [`super::here`].
///
/// What belongs to one subject is in a struct of its own, beside the code that uses it.
pub(crate) struct Worker {
    pub(super) index: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) remote: &'static Remote,
    pub(super) running: Running,
    /// The home that the worker carries, if it carries one that several green threads share.
    pub(super) carried: Cell<Option<&'static SharedHome>>,
    /// The home that the worker took last for a task that had none.
    pub(super) last_home: Cell<Option<&'static SharedHome>>,
    /// The home in which the new task is to start that was picked just now, if that is another one than the worker carries.
    pub(super) starts_in: Cell<Option<&'static SharedHome>>,
    pub(super) local: LocalTasks,
    pub(super) starts: Starts,
    pub(super) fairness: Fairness,
    pub(super) stacks: Stacks,
    /// Deadlines that have not been moved into the wheel.
    pub(super) pending_timers: PendingTimers,
    /// What the last poll has found. Empty between turns.
    pub(super) events: RefCell<Events>,
    pub(super) maintenance: Maintenance,
    pub(super) idling: Idling,
}

/// What runs on the worker.
pub(super) struct Running {
    /// What the present identity records about the running green thread: that of the OS thread, or of the home that the worker
    /// carries.
    pub(super) current: Cell<&'static Current>,
    /// The fiber that runs now. Null between tasks.
    fiber: Cell<*mut Fiber>,
}

impl Worker {
    pub(super) fn new(index: usize, shared: Arc<Shared>) -> Worker {
        Worker {
            index,
            remote: shared.remotes[index],
            shared,
            running: Running {
                // SAFETY: a worker lives in a frame of its OS thread, and the thread's locals outlive that frame.
                current: Cell::new(unsafe { current::of_this_thread() }),
                fiber: Cell::new(ptr::null_mut()),
            },
            carried: Cell::new(None),
            last_home: Cell::new(None),
            starts_in: Cell::new(None),
            local: LocalTasks::new(),
            starts: Starts::new(index),
            fairness: Fairness::new(),
            stacks: Stacks::new(),
            pending_timers: PendingTimers::new(),
            events: RefCell::new(Events::new()),
            maintenance: Maintenance::new(),
            idling: Idling::new(),
        }
    }

    /// Runs tasks until the runtime ends.
    pub(super) fn run(&self) {
        let own = self.running.current.get();
        own.set_worker(ptr::from_ref(self).cast());
        introduce(own);
        self.run_until_end();
        own.set_yield(None);
        own.set_wake_outside(None);
    }

    /// Undoes what `run` has recorded for this OS thread. The worker may be dropped then.
    pub(super) fn leave(&self) {
        self.running.current.get().forget_worker();
    }

    #[cold]
    #[inline(never)]
    pub(super) fn search_and_pick(&self) -> Option<Runnable> {
        self.search();
        let task = self.pick(None)?;
        self.pass_on_if_relied_on();
        Some(task)
    }

    /// Returns the next task from this worker's own queues, and from those of the home that it carries, if there is one.
    #[inline(always)]
    pub(super) fn pick(&self, home: Option<&'static SharedHome>) -> Option<Runnable> {
        if self.maintenance.count_turn() {
            self.check_time();
        }
        if self.remote.inbox.has_mail() {
            self.take_mail();
        }
        if let Some(home) = home
            && home.mail.has_mail()
        {
            self.take_mail_of(home);
        }
        // 1. The task woken last.
        let next = home.and_then(|home| home.tasks.take_next());
        if let Some(task) = next.or_else(|| self.local.take_next()).or_else(|| self.remote.next.take()) {
            if self.fairness.continue_chain() {
                return Some(task);
            }
            self.queue_woken(task);
            // These have been kept waiting by the first.
            if home.is_some()
                && let Some(task) = self.local.take_next()
            {
                self.queue_woken(task);
            }
            if let Some(task) = self.remote.next.take() {
                self.queue_woken(task);
            }
        }
        self.fairness.end_chain();
        // 2. The class that has used less, or the only class that has tasks.
        let stackless = self.remote.stackless.len() != 0;
        if stackless
            && self.fairness.is_stackless_due()
            && let Some(task) = self.pop_stackless()
        {
            self.fairness.begin_chain(Class::Stackless);
            return Some(task);
        }
        if !stackless {
            self.fairness.reset();
        }
        let stacked = match home {
            Some(home) => self.pop_stacked_in(home),
            None => self.pop_stacked(),
        };
        if stacked.is_some() {
            self.fairness.begin_chain(Class::Stacked);
            return stacked;
        }
        self.fairness.reset();
        if !stackless {
            return None;
        }
        self.fairness.begin_chain(Class::Stackless);
        self.pop_stackless()
    }

    /// Takes the oldest task of the stacked class. If both `local` and `ready` have tasks, they alternate.
    #[inline]
    pub(super) fn pop_stacked(&self) -> Option<Runnable> {
        if self.remote.ready.len() != 0 && (self.fairness.alternate() || self.local.is_empty()) {
            // A thief may have emptied `ready` meanwhile.
            self.remote.ready.pop(End::Oldest).or_else(|| self.local.pop())
        } else {
            self.local.pop()
        }
    }

    /// Runs a task until it ends, parks or yields.
    #[inline(always)]
    pub(super) fn run_task(&self, task: Runnable) {
        let stackless = task.fiber().is_null();
        let task = if stackless {
            let Some(task) = self.give_stack(task) else { return };
            task
        } else {
            task
        };
        let fiber = task.fiber();
        self.place(&task);
        self.remote.set_runs(task.pointer().as_ptr());
        if stackless && task.name().is_some() && !task.is_process() && task.owner().is_null() {
            // So a shutdown can name it if it never parks. Actors are listed when they first go idle.
            self.enlist(task.pointer());
        }
        self.running.fiber.set(fiber);
        #[cfg(feature = "tracing")]
        self.note_running(Some(&task));
        if task.options.migratory {
            task.set_at_rest(false);
        }
        // The right to run the task is used up here. A waker, or the end of the run, makes it anew.
        let task = task.into_pointer();
        // SAFETY: the task is suspended or new on this fiber, and was queued to be run by this worker, under the present
        // identity (`carry`).
        let why = unsafe { self.resume(task, NonNull::new_unchecked(fiber)) };
        self.remote.turn.finish();
        self.running.fiber.set(ptr::null_mut());
        #[cfg(feature = "tracing")]
        self.note_running(None);
        if stackless || self.remote.stackless.len() != 0 {
            let used = 1 + (BUDGET - self.running.current.get().budget()) as i32;
            self.fairness.charge(used);
            // The start of a task counts as an operation for the balance, but does not show that the task
            // communicates.
            self.starts.count_operations((used - i32::from(stackless)) as u32);
        }
        match why {
            Suspend::Parked => {
                // SAFETY: the header of a fiber lives until the fiber is dismantled.
                unsafe { &*fiber }.since_ns.set(self.maintenance.looked_ns());
                self.settle(task);
                // SAFETY: a waker may have claimed a migratory task, but sends it here until it is at rest. So no
                // thread resumes it, and it cannot end, before the store below. Afterwards another worker may run it.
                let this = unsafe { task.as_ref() };
                if this.options.migratory {
                    this.set_at_rest(true);
                }
            }
            Suspend::Yielded => {
                self.settle(task);
                // SAFETY: the task has yielded, which leaves the right to queue it to this worker.
                self.queue_woken(unsafe { Runnable::new(task) });
            }
            Suspend::Free | Suspend::FreeAgain => {
                // SAFETY: `resume` has returned from this fiber, so the pointer is not null.
                let fiber = unsafe { NonNull::new_unchecked(fiber) };
                self.take_stack(fiber);
                if why == Suspend::FreeAgain {
                    // SAFETY: `end_run` has returned true on this fiber, which leaves the right to queue the task to
                    // this worker.
                    self.queue_idle(unsafe { Runnable::new(task) });
                }
            }
        }
    }

    /// Records where a task that is about to run has its stack.
    #[inline]
    fn place(&self, task: &Task) {
        match self.carried.get() {
            Some(home) if !task.options.migratory => task.set_shared_home(home),
            _ => task.set_worker(self.remote),
        }
    }

    /// Resumes a task under the present identity.
    ///
    /// # Safety
    ///
    /// The task is suspended or new on this fiber, and this worker has taken it from a queue. If it is suspended and not migratory,
    /// it was suspended under this identity.
    #[inline]
    unsafe fn resume(&self, task: NonNull<Task>, fiber: NonNull<Fiber>) -> Suspend {
        let current = self.running.current.get();
        current.enter(Task::waiter(task));
        // SAFETY: as the caller guarantees.
        let why = unsafe { Fiber::resume(fiber) };
        current.leave();
        why
    }

    /// Records the task that runs, if the runtime warns of stuck workers.
    #[cfg(feature = "tracing")]
    #[inline]
    fn note_running(&self, task: Option<&Task>) {
        if self.shared.warn_after.is_none() {
            return;
        }
        let running = task.map(|task| crate::scheduler::remote::Running {
            task: task.name().map_or_else(|| format!("green thread {:?}", task.id()), str::to_owned),
            since: crate::primitives::now(),
            warned: false,
        });
        *self.remote.running.lock() = running;
    }

    /// Records that a task has parked or yielded. If this is the first time on this stack, the stack counts as occupied
    /// here.
    #[inline]
    fn settle(&self, task: NonNull<Task>) {
        // SAFETY: the task is suspended here. No other thread resumes it before this worker has queued it or taken its
        // mail.
        let this = unsafe { task.as_ref() };
        if !this.settled.replace(true) && !this.options.migratory {
            match self.carried.get() {
                Some(home) => home.add_member(),
                None => self.remote.add_parked(),
            }
        }
        if this.owner().is_null() {
            self.enlist(task);
        }
    }

    fn enlist(&self, task: NonNull<Task>) {
        // SAFETY: the task is suspended, has just run or is about to run here, so it is alive. `retire` removes it
        // before it is freed.
        unsafe {
            task.as_ref().set_owner(self.remote);
            self.remote.owned.lock().insert(task);
        }
        if self.shared.is_closing() {
            // SAFETY: the runtime's reference keeps the task alive.
            unsafe { super::cancel(task) };
        }
    }

    /// Detaches a task from its stack, on this worker: it has ended, or goes idle without a stack.
    #[inline]
    pub(super) fn leave_stack(&self, task: NonNull<Task>) {
        // SAFETY: the task runs on this worker.
        let this = unsafe { task.as_ref() };
        if this.settled.replace(false) && !this.options.migratory {
            match self.carried.get() {
                Some(home) => home.remove_member(),
                None => self.remote.remove_parked(),
            }
        }
        this.set_fiber(ptr::null_mut());
    }

    /// Lists a stackless task, so that it is known while it is idle.
    pub(super) fn enlist_idle(&self, task: NonNull<Task>) {
        // SAFETY: the task runs on this worker.
        if unsafe { task.as_ref() }.owner().is_null() {
            self.enlist(task);
        }
    }

    /// Returns the fiber that runs now, or null between tasks.
    pub(super) fn running(&self) -> *mut Fiber {
        self.running.fiber.get()
    }
}

/// Records in an identity what code under it calls in the scheduler.
pub(super) fn introduce(identity: &Current) {
    identity.set_yield(Some(super::give_way));
    identity.set_wake_outside(Some(super::finish::wake_outside));
}
