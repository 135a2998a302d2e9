//! The maximum restart intensity: at most `max` restarts within a period. Pure: the caller passes the time.
//!
//! The memory used does not grow with the period. If `max` is at most [`EXACT`], each restart is recorded on its own.
//! If `max` is larger, all restarts within a thousandth of the period share one record, and expire together with the
//! first of them. At the edge of the period, too few restarts may therefore be counted. So a supervisor may continue
//! although its restarts were too fast by a thousandth of the period. It never gives up although its restarts were slow
//! enough.

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;
use std::time::Instant;

/// Up to this maximum, each restart is recorded on its own.
const EXACT: u32 = 1000;

/// The restarts of the last period.
pub(super) struct Intensity {
    max: usize,
    within: Duration,
    /// The time of each record, and its number of restarts. Oldest first. At most `EXACT + 1` records.
    restarts: VecDeque<(Instant, usize)>,
    /// The number of restarts in all records.
    count: usize,
}

impl Intensity {
    pub(super) fn new(max: usize, within: Duration) -> Intensity {
        Intensity { max, within, restarts: VecDeque::new(), count: 0 }
    }

    /// Returns the span of one record: restarts that are no further apart share it. `None` if each restart has its own.
    fn grain(&self) -> Option<Duration> {
        (self.max > EXACT as usize).then(|| self.within / EXACT)
    }

    /// Counts a restart at `now`, and returns whether it is allowed: whether at most `max` restarts, this one included,
    /// took place within the last `within`, both ends included. `now` must not decrease between calls.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        while let Some(&(then, times)) = self.restarts.front()
            && now.saturating_duration_since(then) > self.within
        {
            self.restarts.pop_front();
            self.count -= times;
        }
        if self.count == self.max {
            return false;
        }
        self.count += 1;
        let grain = self.grain();
        match self.restarts.back_mut() {
            Some((first, times))
                if grain.is_some_and(|grain| now.saturating_duration_since(*first) <= grain) =>
            {
                *times += 1;
            }
            _ => self.restarts.push_back((now, 1)),
        }
        true
    }
}

impl fmt::Debug for Intensity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {:?}", self.max, self.within)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use kahn_core::primitives::now;

    use super::*;

    #[test]
    fn window_includes_both_ends() {
        let start = now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut once = Intensity::new(1, Duration::from_millis(100));
        assert!(once.admits(after(0)));
        assert!(!once.admits(after(100)), "exactly as long ago as the window is long");
        let mut once = Intensity::new(1, Duration::from_millis(100));
        assert!(once.admits(after(0)));
        assert!(once.admits(after(101)));
    }

    #[test]
    fn intensity_of_zero_allows_no_restart() {
        assert!(!Intensity::new(0, Duration::MAX).admits(now()));
    }

    #[test]
    fn unlimited_intensity_allows_every_restart() {
        let start = now();
        for within in [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(5), Duration::MAX] {
            let mut intensity = Intensity::new(usize::MAX, within);
            for number in 0..100_000 {
                assert!(intensity.admits(start + Duration::from_micros(number)));
                assert!(intensity.restarts.len() <= EXACT as usize + 1);
            }
        }
    }

    #[test]
    fn large_limits_are_counted_to_a_thousandth_of_the_time() {
        let start = now();
        let mut intensity = Intensity::new(5000, Duration::from_secs(1));
        let mut at = |nanos| intensity.admits(start + Duration::from_nanos(nanos));
        assert!((0..5000).all(|number| at(number * 100_000)));
        assert!(!at(999_900_000));
        assert!(!at(1_000_000_000), "exactly as long ago as the window is long");
        // These eleven expire together with the first of them.
        assert!((1..=11).all(|number| at(1_000_000_000 + number)));
        assert!(!at(1_000_000_012));
    }

    proptest! {
        /// A restart that is within the limit is never refused. One that exceeds it by more than a thousandth of the
        /// period is always refused.
        #[test]
        fn memory_is_bounded_and_no_allowed_restart_is_refused(
            max in 0_usize..5000,
            within in 0_u64..3_000_000,
            gaps in prop::collection::vec((0_u64..2000, 1_usize..100), 1..150),
        ) {
            let start = now();
            let mut intensity = Intensity::new(max, Duration::from_nanos(within));
            let (mut all, mut time) = (Vec::<u64>::new(), 0);
            for (gap, times) in gaps {
                time += gap;
                for _ in 0..times {
                    all.push(time);
                    let admitted = intensity.admits(start + Duration::from_nanos(time));
                    prop_assert!(intensity.restarts.len() <= max.min(EXACT as usize + 1));
                    if !admitted {
                        prop_assert!(all.iter().filter(|&&then| time - then <= within).count() > max);
                        return Ok(());
                    }
                }
                let surely = within.saturating_sub(within / u64::from(EXACT) + 1);
                prop_assert!(all.iter().filter(|&&then| time - then <= surely).count() <= max);
            }
        }

        /// Compares with a list of all restarts, up to the first that is not admitted, because a supervisor ends there.
        #[test]
        fn result_agrees_with_an_exact_count(
            max in 0_usize..6,
            within in 0_u64..50,
            gaps in prop::collection::vec(0_u64..30, 1..60),
        ) {
            let start = now();
            let mut intensity = Intensity::new(max, Duration::from_millis(within));
            let (mut all, mut time) = (Vec::new(), 0);
            for gap in gaps {
                time += gap;
                all.push(time);
                let expected = all.iter().filter(|&&then| time - then <= within).count() <= max;
                prop_assert_eq!(intensity.admits(start + Duration::from_millis(time)), expected);
                if !expected {
                    break;
                }
            }
        }
    }
}
