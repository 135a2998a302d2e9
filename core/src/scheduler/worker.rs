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
//! A *chain* is a turn that was taken from a queue, and the turns taken from `next` that follow it. These are the
//! rules of fairness, whose bounds the README beside this file proves:
//!
//! 1. A chain has at most [`STREAK`] turns. Then `next` goes to the end of its queue.
//! 2. Stacked and stackless tasks are two classes that get equal shares, counted in operations. All turns of a chain
//!    are charged to the class of its first turn: `balance` grows by what chains of the stacked class have used, and
//!    shrinks by what chains of the stackless class have used. While both classes have tasks, the next chain is
//!    stackless if `balance` is positive, and stacked if not. `balance` is never farther from zero than
//!    [`BALANCE_MAX`].
//! 3. In the stacked class, `local` and `ready` alternate while both have tasks.
//! 4. In the stackless class, new and woken tasks take turns while both wait. At least one turn in 64 takes the
//!    oldest new task.
//!
//! About every 20 µs a worker looks around: at timers, at the injector, and whether work waits that another could
//! take. `search` describes a worker that finds nothing to run.

use core::cell::{Cell, RefCell};
use core::ptr::{self, NonNull};
use std::sync::Arc;

use crate::fiber::pool::Pool;
use crate::fiber::stack::SizeClass;
use crate::fiber::{Fiber, Suspend};
use crate::reactor::Events;
use crate::scheduler::maintenance::MaintenanceTicks;
use crate::scheduler::remote::Remote;
use crate::scheduler::run_queue::{End, LocalQueue};
use crate::scheduler::shared::Shared;
use crate::task::{Runnable, Task};
use crate::timer;
use crate::timer::pending::PendingTimers;
use crate::wait::BUDGET;
use crate::wait::current::{self, Current};

/// The most turns of a chain.
const STREAK: u32 = 64;
/// How far one class may get ahead of the other, in operations.
const BALANCE_MAX: i32 = BUDGET as i32;

/// The classes of queues, as the signs with which their operations count in `balance`.
const STACKED: i32 = 1;
const STACKLESS: i32 = -1;

/// The worker's own part. It never leaves its OS thread. Tasks that run on it reach it through [`super::here`].
pub(crate) struct Worker {
    pub(super) index: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) remote: &'static Remote,
    current: &'static Current,
    pub(super) next: Cell<Option<Runnable>>,
    pub(super) local: LocalQueue,
    /// Deadlines that have not been moved into the wheel.
    pub(super) pending_timers: PendingTimers,
    pub(super) pool: RefCell<Pool>,
    /// What the last poll has found. Empty between turns.
    pub(super) events: RefCell<Events>,
    /// Turns of this chain that were taken from `next`.
    streak: Cell<u32>,
    /// The class of this chain.
    chain: Cell<i32>,
    pub(super) balance: Cell<i32>,
    /// Set when `ready` comes first, should `local` have tasks, too.
    ready_first: Cell<bool>,
    /// Operations on channels and the like since the last look around, counted while tasks wait to be started.
    pub(super) ops: Cell<u32>,
    pub(super) turn: Cell<u32>,
    pub(super) ticks: MaintenanceTicks,
    /// How many stacks in a row could not be allocated.
    refusals: Cell<usize>,
    pub(super) looked_ns: Cell<u64>,
    pub(super) looks: Cell<u32>,
    /// The oldest stealable task at the last look.
    pub(super) waiting: Cell<Option<usize>>,
    /// How many of the next tasks without a stack were stolen, and are not to be handed over.
    pub(super) stolen: Cell<usize>,
    /// The worker that a run of tasks is being handed over to.
    pub(super) handoff_target: Cell<Option<usize>>,
    /// The longest search before a sleep, in nanoseconds, if that is more than `SEARCH_LEAST_NS`.
    pub(super) search_ns: Cell<u64>,
    /// When this worker may doze instead of keeping watch.
    pub(super) calm_from_ns: Cell<u64>,
    /// Set when wake-ups go to the end of the queue, because the worker itself wakes, and not a task.
    pub(super) bulk: Cell<bool>,
    /// The fiber that runs now. Null between tasks.
    running: Cell<*mut Fiber>,
    seed: Cell<u64>,
    pub(super) cancelled_all: Cell<bool>,
}

impl Worker {
    pub(super) fn new(index: usize, shared: Arc<Shared>) -> Worker {
        Worker {
            index,
            remote: shared.remotes[index],
            shared,
            // SAFETY: a worker lives in a frame of its OS thread, and the thread's locals outlive that frame.
            current: unsafe { current::of_this_thread() },
            next: Cell::new(None),
            local: LocalQueue::new(),
            pending_timers: PendingTimers::new(),
            pool: RefCell::new(Pool::new(super::finish::run_on_fiber)),
            events: RefCell::new(Events::new()),
            streak: Cell::new(0),
            chain: Cell::new(STACKED),
            balance: Cell::new(0),
            ready_first: Cell::new(false),
            ops: Cell::new(0),
            turn: Cell::new(0),
            ticks: MaintenanceTicks::new(),
            refusals: Cell::new(0),
            looked_ns: Cell::new(0),
            looks: Cell::new(0),
            waiting: Cell::new(None),
            stolen: Cell::new(0),
            handoff_target: Cell::new(None),
            search_ns: Cell::new(0),
            calm_from_ns: Cell::new(0),
            bulk: Cell::new(false),
            running: Cell::new(ptr::null_mut()),
            seed: Cell::new((index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            cancelled_all: Cell::new(false),
        }
    }

    /// Runs tasks until the runtime ends.
    pub(super) fn run(&self) {
        self.current.set_yield(Some(super::give_way));
        self.current.set_wake_outside(Some(super::finish::wake_outside));
        loop {
            let task = match self.pick() {
                Some(task) => task,
                None => match self.search() {
                    Some(task) => task,
                    None => {
                        if self.shared.is_terminated() && !self.has_work() {
                            break;
                        }
                        continue;
                    }
                },
            };
            self.run_task(task);
        }
        self.current.set_yield(None);
        self.current.set_wake_outside(None);
    }

    /// Returns the next task from this worker's own queues, if there is one.
    #[inline]
    fn pick(&self) -> Option<Runnable> {
        if self.ticks.count_turn() {
            self.check_time();
        }
        if self.remote.inbox.has_mail() {
            self.take_mail();
        }
        // 1. The task woken last.
        if let Some(task) = self.next.take().or_else(|| self.remote.next.take()) {
            let streak = self.streak.get() + 1;
            if streak < STREAK {
                self.streak.set(streak);
                return Some(task);
            }
            self.queue_woken(task);
            // The migratory task has been kept waiting by `next`.
            if let Some(task) = self.remote.next.take() {
                self.queue_woken(task);
            }
        }
        self.streak.set(0);
        // 2. The class that has used less, or the only class that has tasks.
        let stackless = self.remote.stackless.len() != 0;
        if stackless
            && self.balance.get() > 0
            && let Some(task) = self.pop_stackless()
        {
            self.chain.set(STACKLESS);
            return Some(task);
        }
        if !stackless {
            self.balance.set(0);
        }
        let stacked = self.pop_stacked();
        if stacked.is_some() {
            self.chain.set(STACKED);
            return stacked;
        }
        self.balance.set(0);
        if !stackless {
            return None;
        }
        self.chain.set(STACKLESS);
        self.pop_stackless()
    }

    /// Takes the oldest task of the stacked class. If both `local` and `ready` have tasks, they alternate.
    #[inline]
    fn pop_stacked(&self) -> Option<Runnable> {
        if self.remote.ready.len() != 0
            && (self.ready_first.replace(!self.ready_first.get()) || self.local.is_empty())
        {
            // A thief may have emptied `ready` meanwhile.
            self.remote.ready.pop(End::Oldest).or_else(|| self.local.pop())
        } else {
            self.local.pop()
        }
    }

    /// Runs a task until it ends, parks or yields.
    #[inline]
    fn run_task(&self, task: Runnable) {
        let stackless = task.fiber().is_null();
        let task = if stackless {
            let Some(task) = self.give_stack(task) else { return };
            task
        } else {
            task
        };
        let fiber = task.fiber();
        task.set_home(self.remote);
        self.remote.set_runs(task.pointer().as_ptr());
        if stackless && task.name().is_some() && !task.is_process() && task.owner().is_null() {
            // So a shutdown can name it if it never parks. Actors are listed when they first go idle.
            self.enlist(task.pointer());
        }
        self.running.set(fiber);
        #[cfg(feature = "tracing")]
        self.note_running(Some(&task));
        if task.options.migratory {
            task.set_at_rest(false);
        }
        // The right to run the task is used up here. A waker, or the end of the run, makes it anew.
        let task = task.into_pointer();
        self.current.enter(Task::waiter(task));
        // SAFETY: the task is suspended or new on this fiber, and was queued to be run by this worker.
        let why = unsafe { Fiber::resume(NonNull::new_unchecked(fiber)) };
        self.current.leave();
        self.remote.turn.finish();
        self.running.set(ptr::null_mut());
        #[cfg(feature = "tracing")]
        self.note_running(None);
        if stackless || self.remote.stackless.len() != 0 {
            let used = 1 + (BUDGET - self.current.budget()) as i32;
            let balance = self.balance.get() + self.chain.get() * used;
            // The start of a task counts as an operation for the balance, but does not show that the task
            // communicates.
            self.ops.set(self.ops.get() + (used - i32::from(stackless)) as u32);
            self.balance.set(balance.clamp(-BALANCE_MAX, BALANCE_MAX));
        }
        match why {
            Suspend::Parked => {
                // SAFETY: the header of a fiber lives until the fiber is dismantled.
                unsafe { &*fiber }.since_ns.set(self.looked_ns.get());
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
                if self.shared.is_short_of_memory() {
                    // SAFETY: the header of a fiber lives until the fiber is dismantled.
                    self.shared.set_short_of(unsafe { fiber.as_ref() }.slot().class(), false);
                }
                self.pool.borrow_mut().put(fiber);
                if why == Suspend::FreeAgain {
                    // SAFETY: `end_run` has returned true on this fiber, which leaves the right to queue the task to
                    // this worker.
                    self.queue_idle(unsafe { Runnable::new(task) });
                }
            }
        }
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

    /// Puts a task without a stack on a fiber, and returns the task. Returns `None` if there is no memory for a stack;
    /// then the task waits.
    #[inline]
    fn give_stack(&self, task: Runnable) -> Option<Runnable> {
        if task.handed_over.replace(false) {
            self.remote.start_handed_over();
        }
        if self.shared.is_closing() {
            // SAFETY: the runtime's reference keeps the task alive.
            unsafe { Task::cancel(task.pointer()) };
        }
        let class = self.shared.class_of(task.options);
        let mut taken = self.pool.borrow_mut().take(class);
        if taken.is_err() && class != self.shared.class && task.as_waiter().is_cancelled() {
            // The task does not start. It only drops its captures, which needs no stack of its own size.
            taken = self.pool.borrow_mut().take(self.shared.class);
        }
        match taken {
            Ok(fiber) => {
                if self.shared.is_short_of_memory() {
                    self.shared.set_short_of(class, false);
                    self.refusals.set(0);
                }
                // SAFETY: a fiber in the pool is free, and its header is alive.
                unsafe { fiber.as_ref() }.load(task.pointer().cast());
                task.set_fiber(fiber.as_ptr());
                Some(task)
            }
            Err(_) => {
                self.out_of_memory(task, class);
                None
            }
        }
    }

    /// Handles a task for which there is no memory for another stack of its class. The task goes behind all others,
    /// which may be of another class, and is tried again.
    #[cold]
    fn out_of_memory(&self, task: Runnable, class: SizeClass) {
        /// The number of refusals in a row after which the worker naps, however many tasks wait.
        const REFUSALS: usize = 64;
        self.shared.set_short_of(class, true);
        let in_local = task.options.local;
        self.queue_woken(task);
        self.balance.set(-BALANCE_MAX);
        let refusals = self.refusals.get() + 1;
        self.refusals.set(refusals);
        // As many tasks as there are have been refused, and nothing else can run here. A nap keeps the worker from
        // asking the kernel again and again.
        let next = self.next.take();
        let has_next = next.is_some();
        self.next.set(next);
        let others = has_next || self.remote.ready.len() != 0 || (!in_local && !self.local.is_empty());
        if !others && refusals >= self.remote.stackless.len().clamp(1, REFUSALS) {
            self.refusals.set(0);
            self.nap();
        }
    }

    /// Sleeps for a millisecond, until there is mail, or until a timer is due.
    fn nap(&self) {
        const NAP_NS: u64 = 1_000_000;
        let now_ns = timer::now_ns();
        self.gather_deadlines(now_ns);
        let until_ns = self.next_timer_ns().unwrap_or(u64::MAX).min(now_ns + NAP_NS);
        // The nap is not announced in the idle bits: this worker has work, and others must not treat it as a sleeper.
        if let Some(until) = timer::to_instant(until_ns)
            && self.remote.inbox.sleep()
        {
            self.remote.reactor.park(Some(until));
        }
        self.remote.inbox.awake();
        self.ticks.at_once();
    }

    /// Records that a task has parked or yielded. If this is the first time on this stack, the stack counts as occupied
    /// here.
    #[inline]
    fn settle(&self, task: NonNull<Task>) {
        // SAFETY: the task is suspended here. No other thread resumes it before this worker has queued it or taken its
        // mail.
        let this = unsafe { task.as_ref() };
        if !this.settled.replace(true) && !this.options.migratory {
            self.remote.add_parked();
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
            self.remote.remove_parked();
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

    pub(super) fn trim(&self) {
        self.pool.borrow_mut().trim();
    }

    /// Returns the fiber that runs now, or null between tasks.
    pub(super) fn running(&self) -> *mut Fiber {
        self.running.get()
    }

    /// Returns a number of a xorshift generator, which suffices for choices that need no quality.
    pub(super) fn random(&self) -> u64 {
        let mut x = self.seed.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.seed.set(x);
        x
    }
}
