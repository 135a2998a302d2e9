//! Timers, which end a wait that has a deadline.
//!
//! Each worker has a [wheel](wheel) behind a lock, for the green threads that parked on it. The entry is on the
//! sleeping thread's stack. If that thread is woken before its deadline, it removes the entry itself. OS threads do
//! not use the wheel; they sleep with a timeout.

pub(crate) mod wheel;
pub(crate) mod pending;

use std::sync::OnceLock;
use std::time::Instant;

use crate::primitives::now;

/// The instant from which the runtime counts nanoseconds.
static ORIGIN: OnceLock<Instant> = OnceLock::new();

fn origin() -> Instant {
    *ORIGIN.get_or_init(now)
}

/// Returns the current time, in nanoseconds since the origin.
#[inline]
pub(crate) fn now_ns() -> u64 {
    to_ns(now())
}

/// Returns `moment` in nanoseconds since the origin: zero if it is earlier, `u64::MAX` (never) if the count cannot
/// express it.
#[inline]
pub(crate) fn to_ns(moment: Instant) -> u64 {
    u64::try_from(moment.saturating_duration_since(origin()).as_nanos()).unwrap_or(u64::MAX)
}

/// Returns the instant `ns` nanoseconds after the origin, or `None` if an `Instant` cannot express it.
pub(crate) fn to_instant(ns: u64) -> Option<Instant> {
    origin().checked_add(std::time::Duration::from_nanos(ns))
}
