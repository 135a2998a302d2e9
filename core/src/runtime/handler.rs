//! The program's own handler of deadlocks. A worker calls it, and a panic of a worker aborts the process. So the panic
//! is caught here, and continues in the callers of `run`.

use core::any::Any;
use core::ptr::NonNull;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::scheduler::{self, deadlock::OnDeadlock};
use crate::task::Task;

/// The calls of `run` that are under way in a runtime with a handler.
#[derive(Default)]
pub(super) struct Runs(Mutex<Vec<Run>>);

struct Run {
    /// The thread that adds the entry holds a reference, and removes the entry before it gives the reference up.
    task: NonNull<Task>,
    /// The payload of the handler's panic.
    failed: Option<Box<dyn Any + Send>>,
}

// SAFETY: the header of a task is `Sync`.
unsafe impl Send for Run {}

impl Runs {
    /// Returns a handler that calls `handler`, and passes its panics to the callers of `run`.
    pub(super) fn guard(self: &Arc<Self>, handler: OnDeadlock) -> OnDeadlock {
        let runs = Arc::clone(self);
        Arc::new(move |report| {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| handler(report))) {
                runs.fail(payload);
            }
        })
    }

    fn runs(&self) -> MutexGuard<'_, Vec<Run>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a `run` that waits for `task`.
    ///
    /// # Safety
    ///
    /// The caller's reference to the task lasts until [`ended`](Self::ended).
    pub(super) unsafe fn began(&self, task: NonNull<Task>) {
        self.runs().push(Run { task, failed: None });
    }

    /// Removes the record of a `run`. Returns the payload if the handler has panicked meanwhile.
    pub(super) fn ended(&self, task: NonNull<Task>) -> Option<Box<dyn Any + Send>> {
        let mut runs = self.runs();
        let place = runs.iter().position(|run| run.task == task)?;
        runs.swap_remove(place).failed
    }

    /// Ends all recorded runs: one with the payload, the others with a message.
    fn fail(&self, payload: Box<dyn Any + Send>) {
        let mut payload = Some(payload);
        let mut tasks = Vec::new();
        for run in self.runs().iter_mut().filter(|run| run.failed.is_none()) {
            let message = || Box::new("the handler of `on_deadlock` has panicked") as Box<dyn Any + Send>;
            run.failed = Some(payload.take().unwrap_or_else(message));
            // SAFETY: while the task is listed, the lister holds a reference. The reference taken here is for the time
            // after that.
            unsafe { run.task.as_ref() }.state.retain();
            tasks.push(run.task);
        }
        for task in tasks {
            // SAFETY: the reference taken above keeps the task alive, and is given up here.
            unsafe {
                scheduler::cancel(task);
                Task::release(task);
            }
        }
        // If all runs have ended meanwhile, the panic is reported only by the panic hook. If the payload's destructor
        // panics, that panic is caught, too.
        crate::wait::run_catching(|| drop(payload));
    }
}
