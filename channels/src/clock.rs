//! The runtime's clock, for deadlines.

use core::time::Duration;
use std::time::Instant;

pub(crate) use kahn_core::primitives::now;

/// Returns the instant `timeout` from now. `None` means never: the clock cannot express the instant.
#[inline]
pub(crate) fn deadline_in(timeout: Duration) -> Option<Instant> {
    now().checked_add(timeout)
}
