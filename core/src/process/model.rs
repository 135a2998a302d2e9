//! Processes in a model build. In a model of a user's program, each has a thread of the model. In other models, the thread
//! that starts or wakes a process runs it, and time does not pass.

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

/// Returns a number in a model of a user's program, which takes the place of a runtime.
pub fn runtime_here() -> Option<usize> {
    #[cfg(models)]
    return crate::scheduler::runtime_here().map(|shared| core::ptr::from_ref(shared).addr());
    #[cfg(not(models))]
    None
}

/// Makes a new process take its first turn, on a thread of its own or in the caller.
pub fn start<H: Send + Sync + 'static>(process: &Process<H>) {
    #[cfg(models)]
    if crate::scheduler::execution::is_here() {
        // SAFETY: a new process has not been queued, and the caller calls this once.
        return crate::thread::queue(unsafe { crate::task::Runnable::new(process.task()) });
    }
    // SAFETY: a new process is queued as if it was woken, and no thread has taken it yet.
    unsafe { Scheduler::schedule(process.task()) };
}

/// A timer of a process. It never fires, except in a model of a user's program: there it fires when nothing else can
/// happen, or at once.
pub struct ProcessTimer<H: Send + Sync + 'static> {
    #[cfg_attr(not(models), expect(dead_code, reason = "time does not pass"))]
    process: Process<H>,
    #[cfg_attr(not(models), expect(dead_code, reason = "time does not pass"))]
    ring: fn(&Process<H>),
    #[cfg(models)]
    number: Option<u64>,
}

#[expect(missing_docs, reason = "as in production")]
impl<H: Send + Sync + 'static> ProcessTimer<H> {
    pub fn new(process: Process<H>, ring: fn(&Process<H>)) -> ProcessTimer<H> {
        ProcessTimer {
            process,
            ring,
            #[cfg(models)]
            number: None,
        }
    }

    #[cfg(not(models))]
    pub fn set(&mut self, _deadline: Instant) {}

    #[cfg(not(models))]
    pub fn unset(&mut self) {}

    #[cfg(models)]
    pub fn set(&mut self, deadline: Instant) {
        use crate::primitives::explorer;

        self.unset();
        if !crate::scheduler::execution::is_here() {
            return;
        }
        if explorer::choose(2) == 1 {
            explorer::pass_time(deadline);
            (self.ring)(&self.process);
            return;
        }
        let (process, ring) = (self.process.clone(), self.ring);
        self.number = Some(explorer::set_timer(deadline, std::rc::Rc::new(move || ring(&process))));
    }

    #[cfg(models)]
    pub fn unset(&mut self) {
        if let Some(number) = self.number.take() {
            crate::primitives::explorer::unset_timer(number);
        }
    }
}

#[cfg(models)]
impl<H: Send + Sync + 'static> Drop for ProcessTimer<H> {
    fn drop(&mut self) {
        self.unset();
    }
}

impl<H: Send + Sync + 'static> core::fmt::Debug for ProcessTimer<H> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ProcessTimer").finish_non_exhaustive()
    }
}
