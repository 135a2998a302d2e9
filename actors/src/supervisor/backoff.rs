//! The delay before a child is restarted. Pure: the caller passes the random number.

use core::time::Duration;

/// The delay before a supervisor restarts a child.
///
/// The delay grows with each early failure, so that the services that the child depends on are not overloaded. It is
/// randomized, so that many children do not restart at the same moment.
///
/// The delays grow as in ["Exponential Backoff And
/// Jitter"](https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). A random part of each delay,
/// the jitter, is subtracted.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use kahn::actor::Backoff;
///
/// // About 100 ms, 200 ms, 400 ms ... and never more than 10 s. Each delay is up to a quarter shorter.
/// let backoff = Backoff::exponential(Duration::from_millis(100), Duration::from_secs(10)).jitter(0.25);
/// # let _ = backoff;
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    factor: f64,
    jitter: f64,
    reset: Duration,
}

impl Backoff {
    /// Returns a backoff that waits `first` before the first restart, and twice as long before each further one, up to
    /// `max`.
    ///
    /// The delay starts again with `first` after the child has run for `max`, and after it has been started by a
    /// request. A child whose start failed has not run. If `first` is zero, all delays are zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{Backoff, ChildSpec};
    ///
    /// let backoff = Backoff::exponential(Duration::from_millis(50), Duration::from_secs(30));
    /// let spec = ChildSpec::thread("uplink", || ()).backoff(backoff);
    /// # let _ = spec;
    /// ```
    pub fn exponential(first: Duration, max: Duration) -> Backoff {
        Backoff { first: first.min(max), max, factor: 2.0, jitter: 0.1, reset: max }
    }

    /// Returns a backoff whose delay is always the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{Backoff, ChildSpec};
    ///
    /// let poll = ChildSpec::thread("poll", || ()).backoff(Backoff::constant(Duration::from_secs(60)));
    /// # let _ = poll;
    /// ```
    pub fn constant(delay: Duration) -> Backoff {
        Backoff { factor: 1.0, jitter: 0.0, ..Backoff::exponential(delay, delay) }
    }

    /// Sets the random part of each delay, from 0 to 1. Each delay is shortened by up to this part. The default is 0.1.
    ///
    /// # Panics
    ///
    /// Panics if `part` is not from 0 to 1.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::Backoff;
    ///
    /// // From half a second to one second.
    /// let backoff = Backoff::constant(Duration::from_secs(1)).jitter(0.5);
    /// # let _ = backoff;
    /// ```
    #[track_caller]
    pub fn jitter(mut self, part: f64) -> Backoff {
        assert!((0.0..=1.0).contains(&part), "jitter: {part} is not a part between 0 and 1");
        self.jitter = part;
        self
    }

    /// Sets how long a child has to run for its next failure to count as its first. The default is the maximal delay.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::Backoff;
    ///
    /// // A child that has run for a minute does not fail again for the same reason.
    /// let backoff = Backoff::exponential(Duration::from_millis(50), Duration::from_secs(5)).reset_after(Duration::from_secs(60));
    /// # let _ = backoff;
    /// ```
    pub fn reset_after(mut self, lived: Duration) -> Backoff {
        self.reset = lived;
        self
    }

    /// Returns the number of failures in a row, including the present one. `before` is the number before it. `lived` is
    /// the time that the child ran, or `None` if it did not start.
    pub(super) fn failures(&self, before: u32, lived: Option<Duration>) -> u32 {
        if lived.is_some_and(|lived| lived >= self.reset) { 1 } else { before.saturating_add(1) }
    }

    /// Returns the delay after `failures` failures in a row. `failures` is at least 1. `chance` is from 0 to 1.
    pub(super) fn delay(&self, failures: u32, chance: f64) -> Duration {
        if self.first.is_zero() {
            // Zero times an infinite float would be NaN.
            return Duration::ZERO;
        }
        let power = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.first.as_secs_f64() * self.factor.powi(power);
        let whole = Duration::try_from_secs_f64(grown).unwrap_or(self.max).min(self.max);
        let part = 1.0 - self.jitter * chance.clamp(0.0, 1.0);
        Duration::try_from_secs_f64(whole.as_secs_f64() * part).unwrap_or(whole).min(whole)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn backoff_doubles_up_to_its_maximum() {
        let backoff = Backoff::exponential(100 * MS, 1000 * MS).jitter(0.0);
        let delays: Vec<_> = (1..7).map(|n| backoff.delay(n, 0.5).as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.delay(u32::MAX, 0.0), 1000 * MS);
        assert_eq!(Backoff::exponential(Duration::ZERO, 1000 * MS).delay(1025, 0.0), Duration::ZERO);
        assert_eq!(Backoff::constant(7 * MS).delay(u32::MAX, 1.0), 7 * MS);
        assert_eq!(Backoff::constant(Duration::MAX).delay(9, 1.0), Duration::MAX);
    }

    #[test]
    fn backoff_starts_again_after_a_long_life() {
        let backoff = Backoff::exponential(MS, 10 * MS).reset_after(50 * MS);
        assert_eq!(backoff.failures(0, Some(Duration::ZERO)), 1);
        assert_eq!(backoff.failures(3, Some(49 * MS)), 4);
        assert_eq!(backoff.failures(3, Some(50 * MS)), 1);
        assert_eq!(backoff.failures(u32::MAX, Some(MS)), u32::MAX);
    }

    #[test]
    fn failed_start_counts_as_a_life_of_no_length() {
        for reset in [Duration::ZERO, 50 * MS, Duration::MAX] {
            let backoff = Backoff::exponential(MS, 10 * MS).reset_after(reset);
            assert_eq!(backoff.failures(0, None), 1);
            assert_eq!(backoff.failures(3, None), 4);
        }
    }

    proptest! {
        #[test]
        fn backoff_is_within_its_bounds(
            first in prop_oneof![Just(0), 0_u64..10_000], max in 0_u64..1_000_000, jitter in 0.0..=1.0, chance in 0.0..=1.0, n in 1_u32..2000,
        ) {
            let (first, max) = (Duration::from_micros(first), Duration::from_micros(max));
            let backoff = Backoff::exponential(first, max).jitter(jitter);
            let whole = backoff.jitter(0.0).delay(n, 0.0);
            let delay = backoff.delay(n, chance);
            prop_assert!(whole <= max);
            prop_assert!(delay <= whole);
            prop_assert_eq!(whole.is_zero(), first.is_zero() || max.is_zero());
            prop_assert!(delay + Duration::from_nanos(2) >= whole.mul_f64(1.0 - jitter));
            prop_assert!(backoff.jitter(0.0).delay(n + 1, 0.0) >= whole);
        }
    }
}
