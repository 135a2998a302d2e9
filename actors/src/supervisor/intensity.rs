//! How often children may be restarted: so many times within so long. Pure: it is told the time.

use core::time::Duration;
use std::collections::VecDeque;
use std::time::Instant;

/// The restarts of the last while.
#[derive(Debug)]
pub(super) struct Intensity {
    max: usize,
    within: Duration,
    /// Oldest first; never more than `max + 1`.
    restarts: VecDeque<Instant>,
}

impl Intensity {
    pub(super) fn new(max: usize, within: Duration) -> Intensity {
        Intensity { max, within, restarts: VecDeque::new() }
    }

    /// Counts a restart at `now`, and answers whether it may take place: whether it and those before it, back to and
    /// including exactly `within` ago, are `max` at most. `now` never goes back.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        while self.restarts.front().is_some_and(|&then| now.saturating_duration_since(then) > self.within) {
            self.restarts.pop_front();
        }
        self.restarts.push_back(now);
        let admitted = self.restarts.len() <= self.max;
        if !admitted {
            // One more than there may be is as good as many.
            self.restarts.pop_front();
        }
        admitted
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

    proptest! {
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
