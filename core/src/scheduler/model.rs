//! The scheduler of a model build, which has no workers: a thread that wakes a process runs it.
//!
//! Its queues are those of the real scheduler. `models` explores them on their own.

pub(crate) mod idle;
pub(crate) mod inbox;
pub(crate) mod run_queue;

use core::ptr::NonNull;

use crate::task::{RunOutcome, Schedule, Task};
use crate::wait::WaiterVtable;

/// The scheduler, as tasks know it.
#[derive(Debug)]
pub(crate) struct Scheduler;

/// Tasks in a model never park themselves. The threads that call their methods do.
static NEVER_PARKS: WaiterVtable = WaiterVtable {
    wake: |_| unreachable!(),
    wake_last: None,
    suspend: |_, _| unreachable!(),
    retain: None,
    is_task: false,
};

impl Schedule for Scheduler {
    const WAITER: &'static WaiterVtable = &NEVER_PARKS;

    /// Runs the task until it goes idle, as its worker would.
    unsafe fn schedule(task: NonNull<Task>) {
        // SAFETY: `State::wake` or `end_run` has returned true, so this thread may run the task. The runtime's
        // reference keeps the task alive until it has ended.
        while unsafe { !run(task) && task.as_ref().end_run() } {}
    }

    fn clear_locals() {}

    unsafe fn retire(task: NonNull<Task>) {
        // SAFETY: the caller runs the task, so it is alive.
        let this = unsafe { task.as_ref() };
        assert!(this.owner_slot.get().is_null() && this.fiber_slot.get().is_null());
    }
}

/// Runs a task once, and finishes it if it has ended. Returns whether it has.
///
/// # Safety
///
/// The caller has taken the task from a queue, or has the right to queue it.
pub(crate) unsafe fn run(task: NonNull<Task>) -> bool {
    // SAFETY: the task is this thread's to run, and then to finish.
    unsafe {
        let is_finished = Task::run(task) == RunOutcome::Finished;
        if is_finished {
            Task::finish::<Scheduler>(task);
        }
        is_finished
    }
}

/// Wakes a process.
///
/// # Safety
///
/// The caller holds a reference.
pub(crate) unsafe fn wake_task_next(task: NonNull<Task>) {
    // SAFETY: the caller holds a reference.
    unsafe { Task::wake(task) };
}

/// Returns false: nothing parks in a model's destructors.
pub(crate) fn is_on_worker() -> bool {
    false
}

/// Returns false: there are no workers in a model.
pub(crate) fn let_new_start() -> bool {
    false
}

/// Never called, because no caller is on a worker.
pub(crate) fn finish_by(_work: impl FnOnce()) {
    unreachable!("there are no workers in a model");
}

/// Returns false: runtimes do not end in a model.
pub(crate) fn closing_here() -> bool {
    false
}
