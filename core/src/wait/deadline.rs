//! The deadline of a wait.

use core::time::Duration;
use std::time::Instant;

use crate::primitives::deadline_about;

/// When a wait ends if no waker ends it.
#[derive(Clone, Copy, Debug)]
pub enum Deadline {
    /// The wait does not end by itself.
    Never,
    /// At this instant.
    At(Instant),
    /// This long after the wait began, or somewhat later. A green thread that is woken soon never reads the clock. It
    /// may be late by the rest of its worker's current turn, or by some tens of microseconds. In all other cases,
    /// a wait may be late by two of the system's ticks.
    After(Nanos),
}

// The value is passed in two registers. If it were written in parts and read as a whole, store forwarding would stall
// at each call.
const _: () = assert!(size_of::<Deadline>() == 16);

/// A duration in nanoseconds. `u64::MAX`, which is 584 years, stands for all longer ones.
#[derive(Clone, Copy, Debug)]
pub struct Nanos(pub u64);

impl From<Duration> for Nanos {
    #[inline]
    fn from(time: Duration) -> Nanos {
        Nanos(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl Deadline {
    /// Creates a deadline that is `time` after the wait begins, or somewhat later.
    #[inline]
    pub fn after(time: Duration) -> Deadline {
        Deadline::After(time.into())
    }

    /// Fixes the deadline to an instant, so that several waits in a row share one deadline. Returns it, or `None` if
    /// it never passes.
    #[inline]
    pub fn fix(&mut self) -> Option<Instant> {
        if let Deadline::After(Nanos(ns)) = *self {
            *self = deadline_about(Duration::from_nanos(ns)).into();
        }
        match *self {
            Deadline::At(moment) => Some(moment),
            _ => None,
        }
    }
}

impl From<Option<Instant>> for Deadline {
    #[inline]
    fn from(moment: Option<Instant>) -> Deadline {
        moment.map_or(Deadline::Never, Deadline::At)
    }
}
