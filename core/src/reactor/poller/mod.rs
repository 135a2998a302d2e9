//! The interface of the operating system that reports which descriptors have changed.
//!
//! On Linux this is `epoll` by way of `rustix`, elsewhere the crate `polling`. `polling` makes five system calls for
//! each wait on Linux, because it arms and clears a timer and an event descriptor; this module makes one. It also does
//! not report that the peer has closed its side, without which a stream would have to be read once more after each
//! message ([`Direction`](super::direction)).

#[cfg(target_os = "linux")]
mod epoll;
#[cfg(any(not(target_os = "linux"), test))]
mod portable;

use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
pub(crate) use self::epoll::{Events, Poller};
#[cfg(not(target_os = "linux"))]
pub(crate) use self::portable::{Events, Poller};
use crate::primitives::now;

/// The most events that are taken at once.
const EVENTS: usize = 128;
/// The key of the descriptor that interrupts a wait. No registration has it.
#[cfg(target_os = "linux")]
const INTERRUPT: usize = usize::MAX - 1;

/// A change of a descriptor's state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    /// The key with which the descriptor was added.
    pub(crate) key: usize,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// Set if there is more to come than data: the peer has closed its side, there is an error, or there is urgent data.
    /// False if this is not known.
    pub(crate) ends: bool,
}

/// How long a wait may last.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// The wait takes what is there.
    Now,
    Until(Instant),
    Never,
}

impl From<Option<Instant>> for Limit {
    fn from(deadline: Option<Instant>) -> Limit {
        deadline.map_or(Limit::Never, Limit::Until)
    }
}

impl Limit {
    /// Returns how much time is left. `None` stands for no limit.
    fn left(self) -> Option<Duration> {
        match self {
            Limit::Now => Some(Duration::ZERO),
            Limit::Until(deadline) => Some(deadline.saturating_duration_since(now())),
            Limit::Never => None,
        }
    }
}

#[cfg(test)]
mod tests;
