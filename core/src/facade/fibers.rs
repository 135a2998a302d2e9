//! Green threads are fibers.

/// Why a green thread gives its worker the CPU back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspend {
    /// The job has ended, or a stackless job has gone idle: the fiber is free.
    Free,
    /// As `Free`, and the stackless job was woken while it ran: it is to be queued again.
    FreeAgain,
    /// The job waits to be woken.
    Parked,
    /// The job lets others run.
    Yielded,
}

/// The way from a green thread's stack back to its worker's.
pub type Switch = corosensei::Yielder<(), Suspend>;
