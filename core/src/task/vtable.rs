//! What a task knows of its type, and of the scheduler that runs it.

use core::cell::Cell;
use core::ptr::NonNull;

use crate::task::Task;
use crate::wait::WaiterVtable;

/// The remaining work of a task that its runtime has given up on. It runs user code.
pub type Leftover = Box<dyn FnOnce() + Send>;

/// What a task asks of the scheduler that runs it. So tasks name no scheduler.
pub(crate) trait Schedule: 'static {
    /// The waiter functions of its tasks.
    const WAITER: &'static WaiterVtable;

    /// Queues a stackless task.
    ///
    /// # Safety
    ///
    /// The caller holds a reference, and [`State::wake`](crate::task::State::wake) has returned true to it.
    unsafe fn schedule(task: NonNull<Task>);

    /// Drops the thread-local values of the task that runs here. Their destructors may park.
    fn clear_locals();

    /// Removes a task that has ended from the scheduler's lists, and from its stack. Called on the stack that ran it.
    ///
    /// # Safety
    ///
    /// The caller runs the task, and holds a reference.
    unsafe fn retire(task: NonNull<Task>);
}

/// How a run of a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum RunOutcome {
    /// The task has ended, and its output is in place. The caller calls [`Task::finish`].
    Finished,
    /// A stackless task waits to be woken. The caller calls [`Task::end_run`].
    Idle,
}

/// The functions and properties of a task that depend on its type.
pub(crate) struct TaskVtable {
    /// Runs the work. Called by the thread that has taken the task from a queue.
    pub(crate) run: unsafe fn(NonNull<Task>) -> RunOutcome,
    /// Drops an output that no handle will take.
    pub(crate) drop_output: unsafe fn(NonNull<Task>),
    /// Moves the output, a `Result<T, Box<dyn Any + Send>>`, to the place that the pointer points to.
    pub(crate) take_output: unsafe fn(NonNull<Task>, *mut ()),
    /// Frees the cell. The stage is empty, or holds a future or body that may be dropped here, or work that never ran.
    pub(crate) free: unsafe fn(NonNull<Task>),
    /// Tells waiters outside of the runtime that the runtime gives up on the task, at its end.
    pub(crate) abandon: unsafe fn(NonNull<Task>) -> Option<Leftover>,
    /// Where a future keeps since when it is idle, in nanoseconds since the clock's origin. Other tasks return `None`.
    /// Used by the worker that runs the task, and by reports while no worker can.
    pub(crate) idle_since: unsafe fn(NonNull<Task>) -> Option<NonNull<Cell<u64>>>,
    /// [`Schedule::schedule`] of its scheduler.
    pub(crate) schedule: unsafe fn(NonNull<Task>),
    /// Whether the task has no stack while it waits: a future, or a process between its turns.
    pub(crate) is_stackless: bool,
    /// Whether the task is a process.
    pub(crate) is_process: bool,
}
