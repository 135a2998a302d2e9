//! The protocols of scheduler, jobs and parties, in every order of the steps of two or three threads.
//!
//! Built where there are no fibers: under loom, which runs all orders (`ci/loom.sh`), and under Miri and
//! ThreadSanitizer, which look closely at those that happen (`ci/miri.sh`, `ci/sanitize.sh`).
//!
//! | file | models |
//! |---|---|
//! | `inbox` | mail against going to sleep |
//! | `idle` | work for anybody against going to sleep; stealing |
//! | `job` | the end of a job against those who wait for it, let go of it, or wake it |
//! | `party` | who ends a wait |
//!
//! A lost wake-up is a thread that waits for ever, which loom reports as a deadlock.

mod idle;
mod inbox;
mod job;
mod party;

use core::ptr::NonNull;

use crate::facade::explore::{Arc, Place};
use crate::job::{Job, Traits, allocate};
use crate::stand_ins::NEVER_PARKS;

/// So many preemptions that all orders are run: for two threads. With a bound, loom's own pruning may pass over an order
/// that is within it.
const ALL: usize = u8::MAX as usize;

/// A number whose every use must be ordered after the last.
#[derive(Debug)]
struct Checked(Place<usize>);

// SAFETY: a model fails when two threads use it at once.
unsafe impl Sync for Checked {}
// SAFETY: as above.
unsafe impl Send for Checked {}

impl Checked {
    fn new(value: usize) -> Checked {
        Checked(Place::new(value))
    }

    fn set(&self, value: usize) {
        // SAFETY: see `Checked`.
        self.0.with_mut(|place| unsafe { *place = value });
    }

    fn get(&self) -> usize {
        // SAFETY: see `Checked`.
        self.0.with(|place| unsafe { *place })
    }
}

/// A job with its two references, the runtime's and the handle's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spawned(NonNull<Job>);

// SAFETY: `spawn` takes only what may be sent.
unsafe impl Send for Spawned {}
// SAFETY: as above.
unsafe impl Sync for Spawned {}

fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Spawned {
    // SAFETY: all is `Send` and lives as long as it likes.
    Spawned(unsafe { allocate(work, &NEVER_PARKS, None, Traits::default()) })
}

/// A job that sees what its sender wrote before it sent it.
fn letter(n: usize) -> Spawned {
    let written = Arc::new(Checked::new(0));
    let job = spawn({
        let written = written.clone();
        move || assert_eq!(written.get(), n)
    });
    written.set(n);
    job
}

impl Spawned {
    /// The worker runs it. Once.
    fn run(self) {
        // SAFETY: the runtime's reference keeps it, and each model runs it once.
        assert!(unsafe { Job::run(self.0) });
    }

    /// The handle goes. Once, and nobody uses the handle afterwards.
    fn disclaim(self) {
        // SAFETY: the handle's reference keeps it.
        unsafe { Job::disclaim(self.0) };
    }

    /// Somebody holds a third reference.
    fn retain(self) {
        self.job().state.retain();
    }

    /// The third reference goes. Once for each `retain`.
    fn release(self) {
        // SAFETY: balances `retain`.
        unsafe { Job::release(self.0) };
    }

    /// The job, while the model holds a reference.
    fn job(&self) -> &Job {
        // SAFETY: kept by the model.
        unsafe { self.0.as_ref() }
    }
}
