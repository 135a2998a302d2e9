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
    After(Duration),
}

impl Deadline {
    /// The moment, which is from now on what it is: for what is made of several waits.
    pub fn fix(&mut self) -> Option<Instant> {
        if let Deadline::After(time) = *self {
            *self = deadline_about(time).into();
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
