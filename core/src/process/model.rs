//! Processes in a model build: the thread that starts or wakes a process runs it, and time does not pass.

mod cell;

use std::time::Instant;

use crate::scheduler::Scheduler;
use crate::task::Schedule;
pub use crate::task::{Leftover, TaskId};
pub use cell::{Body, Process};

/// Makes a process that has not been [started](start).
///
/// # Safety
///
/// All processes have heads that begin, in `repr(C)`, with the same type, as `process::new` of a production build
/// requires.
pub unsafe fn new<H, B>(head: H, body: B, name: Option<Box<str>>) -> Process<H>
where
    H: Send + Sync + 'static,
    B: Body<H>,
{
    Process::new(head, body, name, false)
}

/// Returns `None`: there are no runtimes in a model.
pub fn runtime_here() -> Option<usize> {
    None
}

/// Runs the first turn in the caller.
pub fn start<H: Send + Sync + 'static>(process: &Process<H>) {
    // SAFETY: a new process is queued as if it was woken, and no thread has taken it yet.
    unsafe { Scheduler::schedule(process.task()) };
}

/// A timer that never fires.
#[derive(Debug)]
pub struct ProcessTimer<H>(core::marker::PhantomData<H>);

#[expect(missing_docs, reason = "as in production")]
impl<H: Send + Sync + 'static> ProcessTimer<H> {
    pub fn new(_process: Process<H>, _ring: fn(&Process<H>)) -> ProcessTimer<H> {
        ProcessTimer(core::marker::PhantomData)
    }

    pub fn set(&mut self, _deadline: Instant) {}

    pub fn unset(&mut self) {}
}
