//! A program's own handler of deadlocks, which a worker calls, where nothing could catch a panic but the process's end. So
//! it is caught here, and goes on in those who wait for a `run`.

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
    /// Whoever put it here has a reference, and takes it out before giving that up.
    job: NonNull<Job>,
    /// With what the handler has panicked.
    failed: Option<Box<dyn Any + Send>>,
}

// SAFETY: a job's header is made to be shared.
unsafe impl Send for Run {}

impl Runs {
    /// As `handler`, but for its panics.
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

    /// Says that there is a `run` for `job`.
    ///
    /// # Safety
    ///
    /// The caller's reference to the job lasts until [`ended`](Self::ended).
    pub(super) unsafe fn began(&self, job: NonNull<Job>) {
        self.runs().push(Run { job, failed: None });
    }

    /// Says that there no longer is. Answers with what the handler has panicked meanwhile.
    pub(super) fn ended(&self, job: NonNull<Job>) -> Option<Box<dyn Any + Send>> {
        let mut runs = self.runs();
        let place = runs.iter().position(|run| run.job == job)?;
        runs.swap_remove(place).failed
    }

    /// Ends all of them: one with the payload, the others, if there are any, with a message.
    fn fail(&self, payload: Box<dyn Any + Send>) {
        let mut payload = Some(payload);
        let mut jobs = Vec::new();
        for run in self.runs().iter_mut().filter(|run| run.failed.is_none()) {
            let message = || Box::new("the handler of `on_deadlock` has panicked") as Box<dyn Any + Send>;
            run.failed = Some(payload.take().unwrap_or_else(message));
            // SAFETY: as long as it is listed there is a reference. This one is for after that.
            unsafe { run.job.as_ref() }.state.retain();
            jobs.push(run.job);
        }
        for job in jobs {
            // SAFETY: by the reference above, given up here.
            unsafe {
                scheduler::cancel(job);
                Job::release(job);
            }
        }
        // If all have ended by themselves, the panic hook's report is all there is. A destructor that panics is no better
        // off than the handler was.
        crate::wait::quietly(|| drop(payload));
    }
}
