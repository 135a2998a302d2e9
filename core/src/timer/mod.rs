//! Timers: when a wait that has a deadline is over.
//!
//! Each worker has a [wheel](wheel) behind a lock, for the green threads that parked on it. The entry stands on the
//! sleeper's stack; who sleeps takes it out when it is woken otherwise. OS threads sleep on their own.

pub(crate) mod wheel;
pub(crate) mod recent;

use std::sync::OnceLock;
use std::time::Instant;

use crate::facade::now;

/// The moment from which the runtime counts nanoseconds.
static ORIGIN: OnceLock<Instant> = OnceLock::new();

fn origin() -> Instant {
    *ORIGIN.get_or_init(now)
}

/// Now, in nanoseconds since the origin.
#[inline]
pub(crate) fn now_ns() -> u64 {
    to_ns(now())
}

/// A moment in nanoseconds since the origin: zero if it was before, `u64::MAX` (never) if it is too far for the count.
#[inline]
pub(crate) fn to_ns(moment: Instant) -> u64 {
    u64::try_from(moment.saturating_duration_since(origin()).as_nanos()).unwrap_or(u64::MAX)
}

/// The moment at `ns` nanoseconds since the origin; `None` if it is beyond what an `Instant` holds.
pub(crate) fn to_instant(ns: u64) -> Option<Instant> {
    origin().checked_add(std::time::Duration::from_nanos(ns))
}
