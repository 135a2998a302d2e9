//! A task: a spawned closure, future or process, in a small heap cell. It has no stack, and uses one only
//! while it runs or is parked.
//!
//! ```text
//!   Task (header) ┐ waiter      whether it waits, and why             used by its wakers and by itself
//!                 │ state       references and phase                  used by all threads, see `state`
//!                 │ link        its place in one run queue            used by the queue or worker that has the task
//!                 │ home        the worker that it has a stack on     set by the worker that runs it, read by its wakers
//!                 │ fiber       the fiber that it runs on             used by the worker that runs it
//!                 │ join_state  joiners, and the park token           under its lock; behind the header, or made when needed
//!                 │ owner       the list of parked tasks that it is in  under that list's lock
//!   Stage         ┘ the closure, then the output                      used by the worker that runs it, then by the handle
//!                   or, of a process, the head that all references share, and the body that takes its turns
//! ```
//!
//! `home`, `fiber` and `owner` are opaque here. The scheduler has typed accessors (`scheduler::slots`).
//!
//! | it is | queued in | may be run by |
//! |---|---|---|
//! | without a stack | a worker's stackless queue, the injector, an inbox | any worker; a local task by its worker alone |
//! | running | nothing | its worker, which runs it |
//! | parked | the queues that its wait has entered | no worker, until a waker claims its waiter |
//! | woken | its home's run queue or inbox | its home; a migratory task by any worker |
//!
//! Safety by situation: the header lives while `state` counts a reference, and the runtime holds one until the task
//! has ended. So a queued, running or parked task is alive. Only one queue or worker has it at a time, because a task
//! is queued exactly once: at its spawn, and by the one waker that has claimed it.

mod cell;
mod future_cell;
mod id;
mod join_state;
mod runnable;
mod state;
mod vtable;
mod waker;

use core::cell::Cell;
use core::fmt;
use core::num::NonZeroU8;
use core::ptr::NonNull;

#[cfg_attr(not(fibers), allow(unused_imports, reason = "models spawn tasks in tests alone"))]
pub(crate) use cell::{Output, allocate};
#[cfg_attr(not(fibers), allow(unused_imports, reason = "models spawn tasks in tests alone"))]
pub(crate) use future_cell::allocate_future;
pub use id::TaskId;
use join_state::JoinState;
pub(crate) use runnable::Runnable;
use state::Ended;
pub(crate) use state::State;
pub use vtable::Leftover;
pub(crate) use vtable::{RunOutcome, Schedule, TaskVtable};

use crate::primitives::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use crate::wait::{Waiter, WaiterVtable};

/// How a task is to be run. Immutable after the spawn.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SpawnOptions {
    /// One more than the index of its stack's size class. `None` is the runtime's default.
    pub(crate) class: Option<NonZeroU8>,
    /// Any worker may resume its stack.
    pub(crate) migratory: bool,
    /// It starts on the worker that spawned it.
    pub(crate) local: bool,
}

impl SpawnOptions {
    /// The options of a task that stands for a home in the scheduler's queues, and is never run. No other task is both migratory and
    /// local. A flag of its own would make every task larger.
    pub(crate) const UNIT: SpawnOptions = SpawnOptions { class: None, migratory: true, local: true };

    /// Returns whether the task stands for a home.
    #[inline]
    pub(crate) fn is_unit(self) -> bool {
        self.migratory && self.local
    }
}

/// The header of every task.
#[repr(C)]
pub(crate) struct Task {
    waiter: Waiter,
    pub(crate) state: State,
    vtable: &'static TaskVtable,
    /// The next task in a run queue. Atomic because many threads push to an inbox.
    pub(crate) link: AtomicPtr<Task>,
    /// The record of the worker that the task has a stack on, or last ran on. Null before its first run.
    pub(crate) home_slot: AtomicPtr<()>,
    /// The fiber that the task runs on, or null.
    pub(crate) fiber_slot: Cell<*mut ()>,
    id: AtomicU64,
    /// One word, not two: most tasks have no name.
    name: Option<Box<Box<str>>>,
    pub(crate) options: SpawnOptions,
    /// Set when the task has parked or yielded in its present run, and counts as an occupied stack. Used by the
    /// running worker alone.
    pub(crate) settled: Cell<bool>,
    /// Set when the stack of the task is at rest, so that another worker may resume it. Written by the worker that
    /// runs the task, for migratory tasks alone: a waker may be faster than the switch away from the stack of the task
    /// that it wakes.
    at_rest: AtomicBool,
    /// Set while a stackless task is in a run, even if it is parked. Written by the worker that runs it. Only a hint
    /// for other threads.
    running: AtomicBool,
    /// A flag that a process keeps for its turns. It is here because it takes no room here.
    note: AtomicBool,
    /// Set when the task was handed over to the worker in whose queue it is, and counts there. Used by the thread that
    /// has the task, through its queue.
    pub(crate) handed_over: Cell<bool>,
    /// The record of the worker that lists it among its parked tasks, or null. Changes under that list's lock.
    pub(crate) owner_slot: Cell<*const ()>,
    pub(crate) neighbours: Cell<[*const Task; 2]>,
    /// Behind the header in the same cell, or null until it is needed (`join_state`).
    join_state: AtomicPtr<JoinState>,
}

// SAFETY: by the table at the head of this module, each field is atomic, immutable, behind a lock, or used only by the
// thread that runs the task. The stage moves between threads only if its closure is `Send`, or the task is local
// (`cell`).
unsafe impl Send for Task {}
// SAFETY: by the table at the head of this module, each field is atomic, immutable, behind a lock, or used only by the
// thread that runs the task.
unsafe impl Sync for Task {}

impl Task {
    pub(crate) fn header(
        waiter: &'static WaiterVtable,
        vtable: &'static TaskVtable,
        name: Option<Box<str>>,
        options: SpawnOptions,
    ) -> Task {
        Task {
            waiter: Waiter::new(waiter),
            state: State::new(),
            vtable,
            link: AtomicPtr::new(core::ptr::null_mut()),
            home_slot: AtomicPtr::new(core::ptr::null_mut()),
            fiber_slot: Cell::new(core::ptr::null_mut()),
            id: AtomicU64::new(0),
            name: name.map(Box::new),
            options,
            settled: Cell::new(false),
            at_rest: AtomicBool::new(false),
            running: AtomicBool::new(false),
            note: AtomicBool::new(false),
            handed_over: Cell::new(false),
            owner_slot: Cell::new(core::ptr::null()),
            neighbours: Cell::new([core::ptr::null(); 2]),
            join_state: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    /// Makes the header of a process: held by the runtime and by one reference, with no join handle. Its join state is
    /// made when it is first needed, and freed by [`free_join_state`](Self::free_join_state).
    pub(crate) fn process_header(
        waiter: &'static WaiterVtable,
        vtable: &'static TaskVtable,
        name: Option<Box<str>>,
        options: SpawnOptions,
    ) -> Task {
        Task { state: State::of_process(), ..Task::header(waiter, vtable, name, options) }
    }

    /// Returns whether it is a process.
    pub(crate) fn is_process(&self) -> bool {
        self.vtable.is_process
    }

    /// Returns the flag that a process's turns have noted last. Called in its own turn.
    #[inline]
    pub(crate) fn noted(&self) -> bool {
        // Relaxed: the turns of a process are ordered.
        self.note.load(Ordering::Relaxed)
    }

    /// Stores a flag for a process's next turns. Called in its own turn.
    #[inline]
    pub(crate) fn note(&self, note: bool) {
        // Relaxed: the turns of a process are ordered.
        self.note.store(note, Ordering::Relaxed);
    }

    /// Returns the task whose waiter this is.
    ///
    /// # Safety
    ///
    /// The waiter is a green thread's.
    #[inline]
    pub(crate) unsafe fn of_waiter(waiter: NonNull<Waiter>) -> NonNull<Task> {
        // The waiter is the first field, and pointers to it are derived from the whole cell (`waiter`).
        waiter.cast()
    }

    /// Returns the waiter of a task, as its wakers see it.
    #[inline]
    pub(crate) fn waiter(task: NonNull<Task>) -> NonNull<Waiter> {
        task.cast()
    }

    #[inline]
    pub(crate) fn as_waiter(&self) -> &Waiter {
        &self.waiter
    }

    /// Returns whether its stack is at rest.
    #[inline]
    pub(crate) fn is_at_rest(&self) -> bool {
        // Acquire: the thread that resumes the task sees what the task, and the switch away from it, have written to
        // the stack.
        self.at_rest.load(Ordering::Acquire)
    }

    /// Called by the running worker: before it switches to the task, and after it has switched back.
    #[inline]
    pub(crate) fn set_at_rest(&self, at_rest: bool) {
        // Release: pairs with the Acquire of a waker that resumes the task. A waker cannot see the `true` of an
        // earlier rest, because it has claimed a wait that was opened after the resume.
        self.at_rest.store(at_rest, Ordering::Release);
    }

    /// Returns whether it is a future or a process, which has no stack between its runs.
    #[inline]
    pub(crate) fn is_stackless(&self) -> bool {
        self.vtable.is_stackless
    }

    /// Returns where a future keeps since when it is idle. Called by the worker that runs the task, and by reports
    /// while no worker can.
    pub(crate) fn idle_since(&self) -> Option<&Cell<u64>> {
        // SAFETY: the vtable is the task's own. The cell is in the task, which outlives the borrow of `self`.
        unsafe { (self.vtable.idle_since)(NonNull::from(self)).map(|since| since.as_ref()) }
    }

    /// Returns its name, if it has one.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref().map(|name| &**name)
    }

    /// Returns its id. The id is unique in the process, and assigned at the first call.
    pub(crate) fn id(&self) -> TaskId {
        TaskId::of(&self.id)
    }

    /// As [`id`](Self::id), for a signal handler. Zero if no id has been assigned.
    pub(crate) fn id_if_known(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    /// Begins a run of a stackless task.
    #[inline]
    pub(crate) fn begin_run(&self) {
        // Relaxed: nothing depends on it.
        self.running.store(true, Ordering::Relaxed);
        self.state.begin_run();
    }

    /// Makes a stackless task idle. Returns as [`State::end_run`].
    #[inline]
    #[must_use]
    pub(crate) fn end_run(&self) -> bool {
        self.running.store(false, Ordering::Relaxed);
        self.state.end_run()
    }

    /// Runs it, on a stack on which it may park.
    ///
    /// # Safety
    ///
    /// The caller has taken the task from a queue.
    #[inline]
    pub(crate) unsafe fn run(task: NonNull<Task>) -> RunOutcome {
        // SAFETY: the task comes from a queue, so it is alive and this thread's to run.
        unsafe { (task.as_ref().vtable.run)(task) }
    }

    /// Ends a task whose output is in place: drops the output if no handle will take it, leaves the stack, wakes the
    /// joiners, and releases the runtime's reference.
    ///
    /// # Safety
    ///
    /// [`run`](Self::run) has returned `Finished`, the caller runs on the same stack, and calls this once.
    #[inline]
    pub(crate) unsafe fn finish<S: Schedule>(task: NonNull<Task>) {
        // SAFETY: this call owns the runtime's reference, which keeps the task alive until `release`.
        unsafe {
            S::clear_locals();
            let this = task.as_ref();
            let Ended { unwanted, waited, awaited } = this.state.end();
            if unwanted {
                // The destructor is user code, and may park. So the task still has its stack, and its place among the
                // parked tasks.
                (this.vtable.drop_output)(task);
                S::clear_locals();
            }
            if awaited {
                // A waker is user code as well.
                this.take_awaiter().wake();
                S::clear_locals();
            }
            // From here on no user code may run on this stack: if it parked, the task would be run again as if it were
            // new.
            S::retire(task);
            if waited {
                this.wake_joiners();
            }
            Task::release(task);
        }
    }

    /// Returns whether it is parked, or is stackless and not in a run. A hint: it may change at any moment.
    pub(crate) fn is_resting(&self) -> bool {
        self.waiter.is_waiting() || (self.is_stackless() && !self.running.load(Ordering::Relaxed))
    }

    /// Ends all waits for the task's end, which may never come. Does not touch the task's stack, because the task may
    /// still run, and other threads may borrow from its stack. Returns the remaining work that runs user code.
    ///
    /// # Safety
    ///
    /// The caller holds a reference.
    #[must_use]
    pub(crate) unsafe fn abandon(task: NonNull<Task>) -> Option<Leftover> {
        // SAFETY: the reference keeps the task alive, and the vtable is its own.
        unsafe {
            let this = task.as_ref();
            let Ended { waited, awaited, .. } = this.state.abandon();
            if waited {
                this.wake_joiners();
            }
            if awaited {
                // A waker is user code. Only a process has remaining work of its own, and no process has a handle.
                let awaiter = this.take_awaiter();
                return Some(Box::new(move || awaiter.wake()));
            }
            (this.vtable.abandon)(task)
        }
    }

    /// Releases a reference. The last release frees the cell.
    ///
    /// # Safety
    ///
    /// The caller owns a reference and gives it up. If it may be the last, the stage is empty, or its contents may be
    /// dropped here.
    #[inline]
    pub(crate) unsafe fn release(task: NonNull<Task>) {
        // SAFETY: the caller owns a reference, so the task is alive. After the last release, no other thread uses it.
        unsafe {
            if task.as_ref().state.release() {
                (task.as_ref().vtable.free)(task);
            }
        }
    }

    /// Asks the task to unwind.
    ///
    /// # Safety
    ///
    /// The caller holds a reference.
    pub(crate) unsafe fn cancel(task: NonNull<Task>) {
        // SAFETY: the reference keeps the task alive until the wake-up has been delivered.
        drop(unsafe { Waiter::cancel(Task::waiter(task)) });
    }

    /// Moves the output to `to`.
    ///
    /// # Safety
    ///
    /// The task is done. Its handle calls this, once. `to` points to a place for the `Result` of the task's type.
    pub(crate) unsafe fn take_output(task: NonNull<Task>, to: *mut ()) {
        // SAFETY: the task is done, and its handle takes the output once, into a place of the right type.
        unsafe { (task.as_ref().vtable.take_output)(task, to) }
    }

    /// Gives up the join handle without joining.
    ///
    /// # Safety
    ///
    /// The handle calls this, once, and does not use the task afterwards. If it has taken the output, it has called
    /// [`State::output_taken`].
    pub(crate) unsafe fn drop_handle(task: NonNull<Task>) {
        // SAFETY: the handle's reference keeps the task alive.
        unsafe {
            let this = task.as_ref();
            if this.state.is_awaited() {
                // The handle was polled. Its waker does not outlast it.
                drop(this.take_awaiter());
            }
            match this.state.drop_handle() {
                Some(false) => {}
                Some(true) => (this.vtable.free)(task),
                None => {
                    if this.state.has_output() {
                        (this.vtable.drop_output)(task);
                    }
                    Task::release(task);
                }
            }
        }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("name", &self.name()).field("state", &self.state).finish()
    }
}
