//! When a wait is over.

use core::time::Duration;
use std::time::Instant;

use crate::facade::deadline_about;

/// When a wait is over that nobody ends.
#[derive(Clone, Copy, Debug)]
pub enum Deadline {
    /// Not by itself.
    Never,
    /// At that moment.
    At(Instant),
    /// So long after it began, or somewhat later: a green thread that is woken soon has then not looked at the clock at
    /// all. Later by the turn that its worker is in, or some tens of microseconds; elsewhere by two of the system's ticks.
    After(Nanos),
}

// So that it travels in two registers: written in parts and read as a whole, it would stall the processor at each call.
const _: () = assert!(size_of::<Deadline>() == 16);

/// A time in nanoseconds; `u64::MAX`, 584 years, for all that is longer.
#[derive(Clone, Copy, Debug)]
pub struct Nanos(pub u64);

impl From<Duration> for Nanos {
    #[inline]
    fn from(time: Duration) -> Nanos {
        Nanos(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl Deadline {
    /// So long after the wait began, or somewhat later.
    #[inline]
    pub fn after(time: Duration) -> Deadline {
        Deadline::After(time.into())
    }

    /// The moment, which is from now on what it is: for what is made of several waits.
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
