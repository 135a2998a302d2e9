//! What jobs name of the modules that stand on fibers. A job in a model has no stack, no worker and no locals.

use core::ptr::NonNull;
use core::task::Waker;

use crate::job::Job;

/// Named by pointers that are null.
#[derive(Debug)]
pub(crate) struct Fiber(());

pub(crate) fn retire(job: NonNull<Job>) {
    // SAFETY: the caller runs the job.
    let this = unsafe { job.as_ref() };
    assert!(this.roster.get().is_null() && this.fiber().is_null());
}

/// # Safety
///
/// None: models poll futures that never wait.
pub(crate) unsafe fn task_waker(_job: NonNull<Job>) -> Waker {
    Waker::noop().clone()
}

pub(crate) fn clear_locals() {}
