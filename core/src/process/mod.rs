//! Processes: jobs without a stack between their turns, reached through references. For the actors' crate.

mod alarm;

pub use crate::job::{Body, JobId, Leftover, Process};
use std::sync::Arc;

use crate::scheduler::{self, GREEN, migratory_here};
use crate::thread::{begin, queue};
pub use alarm::Alarm;

/// A new process, which has not been [started](start).
///
/// # Parks
///
/// Never waits, but lets others run every so often.
///
/// # Safety
///
/// All processes of the program have heads that begin, in `repr(C)`, with the same type: what
/// [`Process::with_current`] is asked for takes every process for one of these.
pub unsafe fn new<H, B>(head: H, body: B, name: Option<Box<str>>) -> Process<H>
where
    H: Send + Sync + 'static,
    B: Body<H>,
{
    // Here, where there is nothing yet: what is new may be linked before it is started.
    begin();
    Process::new(head, body, name, &GREEN, migratory_here().unwrap_or(false))
}

/// A number of the runtime that the caller runs in, which is its own while it lives.
pub fn runtime_here() -> Option<usize> {
    scheduler::runtime_here().map(|shared| Arc::as_ptr(&shared).addr())
}

/// Lets a new process take its first turn, in the caller's runtime or in the default one. Once.
pub fn start<H: Send + Sync + 'static>(process: &Process<H>) {
    queue(process.job());
}
