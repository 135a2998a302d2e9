//! The program's own handler of deadlocks. A worker calls it, and a panic of a worker aborts the process. So the panic
//! is caught here, and continues in the callers of `run`.

use core::any::Any;
use core::ptr::NonNull;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::job::Job;
use crate::scheduler::{self, deadlock::OnDeadlock};

/// The calls of `run` that are under way in a runtime with a handler.
#[derive(Default)]
pub(super) struct Runs(Mutex<Vec<Run>>);

struct Run {
    /// The thread that adds the entry holds a reference, and removes the entry before it gives the reference up.
    job: NonNull<Job>,
    /// The payload of the handler's panic.
    failed: Option<Box<dyn Any + Send>>,
}

// SAFETY: the header of a task (`Job`) is `Sync`.
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

    /// Records a `run` that waits for `job`.
    ///
    /// # Safety
    ///
    /// The caller's reference to the task lasts until [`ended`](Self::ended).
    pub(super) unsafe fn began(&self, job: NonNull<Job>) {
        self.runs().push(Run { job, failed: None });
    }

    /// Removes the record of a `run`. Returns the payload if the handler has panicked meanwhile.
    pub(super) fn ended(&self, job: NonNull<Job>) -> Option<Box<dyn Any + Send>> {
        let mut runs = self.runs();
        let place = runs.iter().position(|run| run.job == job)?;
        runs.swap_remove(place).failed
    }

    /// Ends all recorded runs: one with the payload, the others with a message.
    fn fail(&self, payload: Box<dyn Any + Send>) {
        let mut payload = Some(payload);
        let mut jobs = Vec::new();
        for run in self.runs().iter_mut().filter(|run| run.failed.is_none()) {
            let message = || Box::new("the handler of `on_deadlock` has panicked") as Box<dyn Any + Send>;
            run.failed = Some(payload.take().unwrap_or_else(message));
            // SAFETY: while the task is listed, the lister holds a reference. The reference taken here is for the time
            // after that.
            unsafe { run.job.as_ref() }.state.retain();
            jobs.push(run.job);
        }
        for job in jobs {
            // SAFETY: the reference taken above keeps the task alive, and is given up here.
            unsafe {
                scheduler::cancel(job);
                Job::release(job);
            }
        }
        // If all runs have ended meanwhile, the panic is reported only by the panic hook. If the payload's destructor
        // panics, that panic is caught, too.
        crate::wait::quietly(|| drop(payload));
    }
}
