//! How often children may be restarted: so many times within so long. Pure: it is told the time.
//!
//! What is kept does not grow with the time: each restart on its own if there may be [`EXACT`] of them at most; if more, all
//! of a thousandth part of the time as one. These are then forgotten together, with the first of them, so that the few at
//! the edge may be too few, and a supervisor goes on that has been a thousandth too fast; never the other way round.

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;
use std::time::Instant;

/// Up to so many restarts are counted each on its own.
const EXACT: u32 = 1000;

/// The restarts of the last while.
pub(super) struct Intensity {
    max: usize,
    within: Duration,
    /// When, and how many then. Oldest first, and no more than `EXACT + 1`.
    restarts: VecDeque<(Instant, usize)>,
    /// How many in all.
    count: usize,
}

impl Intensity {
    pub(super) fn new(max: usize, within: Duration) -> Intensity {
        Intensity { max, within, restarts: VecDeque::new(), count: 0 }
    }

    /// Restarts that are no further apart than this are counted as one, several times.
    fn grain(&self) -> Option<Duration> {
        (self.max > EXACT as usize).then(|| self.within / EXACT)
    }

    /// Counts a restart at `now`, and answers whether it may take place: whether it and those before it, back to and
    /// including exactly `within` ago, are `max` at most. `now` never goes back.
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

    use kahn_core::facade::now;

    use super::*;

    #[test]
    fn the_window_has_both_its_ends() {
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
    fn none_is_none() {
        assert!(!Intensity::new(0, Duration::MAX).admits(now()));
    }

    #[test]
    fn any_number_for_ever_is_any_number() {
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
    fn many_are_counted_to_a_thousandth_of_the_time() {
        let start = now();
        let mut intensity = Intensity::new(5000, Duration::from_secs(1));
        let mut at = |nanos| intensity.admits(start + Duration::from_nanos(nanos));
        assert!((0..5000).all(|number| at(number * 100_000)));
        assert!(!at(999_900_000));
        assert!(!at(1_000_000_000), "exactly as long ago as the window is long");
        // The first eleven are forgotten with the first of them.
        assert!((1..=11).all(|number| at(1_000_000_000 + number)));
        assert!(!at(1_000_000_012));
    }

    proptest! {
        /// Whatever is kept, nothing that may be is refused; and what is a thousandth too much is.
        #[test]
        fn it_keeps_a_bounded_number_and_refuses_none_that_may_be(
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

        /// Against a list of all restarts. A supervisor ends at the first that is not admitted, so that is as far as
        /// they are compared.
        #[test]
        fn it_agrees_with_counting_all_of_them(
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
