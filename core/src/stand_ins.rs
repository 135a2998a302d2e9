//! What jobs name of the modules that stand on fibers. A job in a model has no stack, no worker and no locals.

use core::ptr::NonNull;
use core::task::Waker;

use std::time::Instant;

use crate::job::{Body, Job, Process};
use crate::wait::PartyKind;

/// Jobs in a model never park by themselves: the threads that call their methods do.
pub(crate) static NEVER_PARKS: PartyKind =
    PartyKind { wake: |_| unreachable!(), suspend: |_, _| unreachable!(), retain: None, is_task: false };

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

/// Nothing parks in a model's destructors.
pub(crate) fn is_on_worker() -> bool {
    false
}

/// Never called.
pub(crate) fn finish_by(work: impl FnOnce()) {
    work();
}

pub(crate) fn closing_here() -> bool {
    false
}

/// Whoever wakes a process is the worker that runs it, until it goes idle.
///
/// # Safety
///
/// The caller holds a reference.
pub(crate) unsafe fn wake_task(job: NonNull<Job>) {
    // SAFETY: by the contract; `wake` and `end_run` say that it is ours to run, and the runtime's reference keeps it
    // until it has ended.
    unsafe {
        if job.as_ref().state.wake() {
            while !Job::run(job) && job.as_ref().end_run() {}
        }
    }
}

/// # Safety
///
/// As `wake_task`.
pub(crate) unsafe fn wake_task_next(job: NonNull<Job>) {
    // SAFETY: by the contract.
    unsafe { wake_task(job) };
}

/// As in production.
///
/// # Safety
///
/// As there.
pub unsafe fn new_process<H, B>(head: H, body: B, name: Option<Box<str>>) -> Process<H>
where
    H: Send + Sync + 'static,
    B: Body<H>,
{
    Process::new(head, body, name, &NEVER_PARKS, false)
}

/// There are no runtimes in a model.
pub fn runtime_here() -> Option<usize> {
    None
}

/// Runs the first turn here and now.
pub fn start_process<H: Send + Sync + 'static>(process: &Process<H>) {
    let job = process.job();
    // SAFETY: a new process is queued as if woken, and nobody has taken it yet.
    while unsafe { !Job::run(job) && job.as_ref().end_run() } {}
}

/// Time does not pass in a model.
#[derive(Debug)]
pub struct Alarm<H>(core::marker::PhantomData<H>);

#[expect(missing_docs, reason = "as in production")]
impl<H: Send + Sync + 'static> Alarm<H> {
    pub fn new(_process: Process<H>, _ring: fn(&Process<H>)) -> Alarm<H> {
        Alarm(core::marker::PhantomData)
    }

    pub fn set(&mut self, _deadline: Instant) {}

    pub fn unset(&mut self) {}
}
