//! The scheduler of a model build, which has no workers.
//!
//! In a model of a user's program (`crate::model`), each task has a thread of the model: `execution` and `green`. In other
//! models, a thread that wakes a process runs it.
//!
//! The queues are those of the real scheduler. `models` explores them on their own.

pub(crate) mod idle;
pub(crate) mod inbox;
pub(crate) mod run_queue;
#[cfg(models)]
#[path = "model/report.rs"]
pub(crate) mod report;
#[cfg(models)]
#[path = "model/execution.rs"]
pub(crate) mod execution;
#[cfg(models)]
#[path = "model/green.rs"]
pub(crate) mod green;
#[cfg(models)]
#[path = "model/program.rs"]
mod program;

use core::ptr::NonNull;

#[cfg(models)]
pub(crate) use green::spawn;
#[cfg(models)]
pub(crate) use program::*;

use crate::task::{RunOutcome, Schedule, Task};
use crate::wait::WaiterVtable;

/// The scheduler, as tasks know it.
#[derive(Debug)]
pub(crate) struct Scheduler;

/// Tasks never park themselves where there are no green threads. The threads that call their methods do.
#[cfg(not(models))]
static NEVER_PARKS: WaiterVtable = WaiterVtable {
    wake: |_| unreachable!(),
    wake_last: None,
    suspend: |_, _| unreachable!(),
    retain: None,
    is_task: false,
};

impl Schedule for Scheduler {
    #[cfg(models)]
    const WAITER: &'static WaiterVtable = &green::GREEN;
    #[cfg(not(models))]
    const WAITER: &'static WaiterVtable = &NEVER_PARKS;

    /// Lets the thread of the task run it, or runs the task here until it goes idle, as its worker would.
    unsafe fn schedule(task: NonNull<Task>) {
        #[cfg(models)]
        if execution::is_here() {
            return green::schedule(task);
        }
        // SAFETY: `State::wake` or `end_run` has returned true, so this thread may run the task. The runtime's
        // reference keeps the task alive until it has ended.
        while unsafe { !run(task) && task.as_ref().end_run() } {}
    }

    fn clear_locals() {
        #[cfg(models)]
        clear_locals();
    }

    unsafe fn retire(task: NonNull<Task>) {
        // SAFETY: the caller runs the task, so it is alive.
        let this = unsafe { task.as_ref() };
        assert!(this.owner_slot.get().is_null() && this.fiber_slot.get().is_null());
        #[cfg(models)]
        if let Some(green) = execution::green_of(task) {
            green.task.set(None);
        }
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

/// Returns whether the caller is in a model of a user's program.
#[cfg(models)]
pub(crate) fn let_new_start() -> bool {
    execution::is_here()
}

/// Never called, because no caller is on a worker.
pub(crate) fn finish_by(_work: impl FnOnce()) {
    unreachable!("there are no workers in a model");
}

/// Returns whether the main green thread of a user's model has ended.
pub(crate) fn closing_here() -> bool {
    #[cfg(models)]
    return execution::here().is_some_and(|execution| execution.closing.get());
    #[cfg(not(models))]
    false
}
