//! Processes: tasks without a stack between their turns, behind counted references. For the actors' crate.

mod cell;
mod timer;

use crate::task::Runnable;
pub use crate::task::{Leftover, TaskId};
pub use cell::{Body, Process};
use std::sync::Arc;

use crate::scheduler::{self, migratory_here};
use crate::thread::{begin, queue};
pub use timer::ProcessTimer;

/// Makes a process that has not been [started](start).
///
/// # Parks
///
/// Never waits, but lets other green threads run when the budget is spent.
///
/// # Safety
///
/// All processes of the program have heads that begin, in `repr(C)`, with the same type: [`Process::with_current`]
/// treats every process as one of these.
pub unsafe fn new<H, B>(head: H, body: B, name: Option<Box<str>>) -> Process<H>
where
    H: Send + Sync + 'static,
    B: Body<H>,
{
    // Here nothing exists yet that a cancel could lose: the new process may be linked elsewhere before it is started.
    begin();
    Process::new(head, body, name, migratory_here().unwrap_or(false))
}

/// Returns a number that only the caller's runtime has while it is alive, or `None` if the caller is in no runtime.
pub fn runtime_here() -> Option<usize> {
    scheduler::runtime_here().map(|shared| Arc::as_ptr(&shared).addr())
}

/// Makes a new process take its first turn, in the caller's runtime or in the default one. Called once.
pub fn start<H: Send + Sync + 'static>(process: &Process<H>) {
    // SAFETY: a new process has not been queued, and the caller calls this once.
    queue(unsafe { Runnable::new(process.task()) });
}
