//! How a green thread switches stacks in a build in which green threads are fibers.

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

/// The switch from a green thread's stack back to its worker's stack.
pub type Switch = corosensei::Yielder<(), Suspend>;
