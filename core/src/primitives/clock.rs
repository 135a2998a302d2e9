//! The clock. `kahn` reads the time only here, so that replacing this function replaces the clock.

use std::time::Instant;

/// Returns the current time of the runtime's clock.
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
    #[cfg(kahn_loom)]
    if let Some(now) = super::explorer::model_now() {
        return now;
    }
    Instant::now()
}
