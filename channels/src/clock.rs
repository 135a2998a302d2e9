//! What time it is, asked in one place.

use core::time::Duration;
use std::time::Instant;

#[inline]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The moment `timeout` from now; `None`, which means never, if the clock cannot express it.
#[inline]
pub(crate) fn deadline_in(timeout: Duration) -> Option<Instant> {
    now().checked_add(timeout)
}
