//! What time it is. Asked here, and nowhere else in `kahn`: whoever replaces the clock replaces this.

use std::time::Instant;

/// The moment that it is, by the runtime's clock.
///
/// # Examples
///
/// ```
/// let start = kahn::time::now();
/// kahn::sleep(std::time::Duration::from_millis(1));
/// assert!(kahn::time::now() > start);
/// ```
#[inline]
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Instant {
    Instant::now()
}
