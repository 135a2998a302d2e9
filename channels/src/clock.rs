//! The runtime's clock, as deadlines ask it.

use core::time::Duration;
use std::time::Instant;

pub(crate) use kahn_core::facade::now;

/// The moment `timeout` from now; `None`, which means never, if the clock cannot express it.
#[inline]
pub(crate) fn deadline_in(timeout: Duration) -> Option<Instant> {
    now().checked_add(timeout)
}
