//! How a green thread switches stacks in a build in which green threads are fibers.

use core::fmt;
use core::ptr;

/// Why a green thread returns the CPU to its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspend {
    /// The task has ended, or a stackless task has gone idle: the fiber is free.
    Free,
    /// Like `Free`, but the stackless task was woken while it ran, so it has to be queued again.
    FreeAgain,
    /// The task waits to be woken.
    Parked,
    /// The task yields to others.
    Yielded,
}

/// The switch from a green thread's stack back to its worker's stack, or no switch.
#[derive(Clone, Copy)]
pub struct Switch(*const corosensei::Yielder<(), Suspend>);

impl Switch {
    /// No switch.
    pub const NONE: Switch = Switch(ptr::null());

    /// Returns the switch of the coroutine that `yielder` belongs to.
    pub fn new(yielder: &corosensei::Yielder<(), Suspend>) -> Switch {
        Switch(yielder)
    }

    /// Returns whether there is no switch.
    #[inline]
    pub fn is_none(self) -> bool {
        self.0.is_null()
    }

    /// Switches to the worker's stack. Returns when the worker resumes the coroutine.
    ///
    /// # Safety
    ///
    /// There is a switch, and the caller runs in its coroutine.
    #[inline(always)]
    pub unsafe fn suspend(self, why: Suspend) {
        // SAFETY: the caller runs in the coroutine, so the coroutine's yielder is alive.
        unsafe { (*self.0).suspend(why) };
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Switch").field(&self.0).finish()
    }
}
