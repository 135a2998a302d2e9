//! Where a job without a stack is to start: the policy, and nothing but the policy.
//!
//! A green thread that has parked stays where it started (its stack must not change its OS thread), so whoever starts a
//! job decides where it will live, without knowing what it will do. Two wishes pull:
//!
//! - those that talk to each other should share a worker, where a message costs nanoseconds and a wake-up no atomics;
//! - those that compute should not, or cores stay idle.
//!
//! The rule: a job starts beside its parent, until the worker has clearly more residents than another: more than a
//! quarter and [`SLACK`]. Then the worker hands its oldest waiting jobs over *in a run*, as many as make the two even,
//! so that neighbours stay neighbours. A pair, or a pair and its parent, is never split; a pool of eight or a pipeline
//! of three is spread; a ring of five hundred is cut in as many arcs as there are workers, and a token crosses a border
//! once an arc.
//!
//! Where residents talk already, passing message after message, those that wait to be started beside them will probably
//! join in: then [`TIGHT`] takes the place of [`SLACK`]. Eight senders and their receiver are several times faster on
//! one worker, and they don't depend on whether two workers have a core at the same time. A pool, or a pipeline, that
//! starts before there is work, or whose members compute, does not talk.
//!
//! Jobs may also come one at a time, as each is spawned by the one before or when the last has started: a chain of filters
//! that grows. To weigh each of them anew would put every other link on the other worker, and each message would cross
//! at each link. So a run goes on: once a worker hands over, it does until the other is clearly ahead. The runs grow
//! with what is there already, a quarter each time, so a chain of `n` is cut in O(log n) places.
//!
//! A stackless job that has run before is woken beside its waker, and stays there: handed over at each wake-up, an actor
//! would be across the border from those who talk to it. If its worker is stuck or has too much, it is stolen.
//!
//! Only jobs that park become residents. Those that end without parking are not counted, and what waits long enough
//! is stolen whoever its neighbours are (`worker::steal`).

/// How many more residents a worker may have than another before it hands jobs over, however few there are.
pub(crate) const SLACK: usize = 2;

/// The same while the residents talk to each other: a group that is this small stays together.
const TIGHT: usize = 16;

/// So many operations on channels and the like in some 20 µs are talk. Stages that compute a microsecond or more for each
/// message stay below.
pub(crate) const TALK: u32 = 100;

/// How many more residents a worker may have than another.
#[inline]
pub(crate) fn slack(talks: bool) -> usize {
    if talks { TIGHT } else { SLACK }
}

/// How many of the `waiting` jobs of a worker with `mine` residents should start on a worker with `theirs`. `giving`: a
/// run of jobs to that worker has begun.
#[inline]
pub(crate) fn hand_over(giving: bool, mine: usize, waiting: usize, theirs: usize, slack: usize) -> usize {
    let goes_on = giving && theirs <= mine + mine / 4;
    if !goes_on && mine <= theirs + theirs / 4 + slack {
        return 0;
    }
    // As many as make mine + waiting - n = theirs + n; in a run that goes on, at least one.
    ((mine + waiting).saturating_sub(theirs) / 2).max(usize::from(goes_on)).min(waiting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_and_its_parent_stay_together() {
        for mine in 0..=SLACK {
            assert_eq!(hand_over(false, mine, 1, 0, SLACK), 0);
        }
    }

    #[test]
    fn a_pool_of_eight_is_spread_evenly() {
        // The parent and two of the eight have parked here; six wait.
        assert_eq!(hand_over(false, 3, 6, 0, SLACK), 4);
        assert_eq!(hand_over(true, 3, 2, 4, SLACK), 0);
    }

    #[test]
    fn a_ring_is_handed_over_in_one_run() {
        let given = hand_over(false, 3, 501, 0, SLACK);
        assert_eq!(given, 252);
        assert_eq!(hand_over(true, 3, 501 - given, given, SLACK), 0);
    }

    #[test]
    fn no_more_is_given_than_waits() {
        assert_eq!(hand_over(false, 1000, 5, 0, SLACK), 5);
        assert_eq!(hand_over(true, usize::MAX / 2, 0, 0, SLACK), 0);
    }

    #[test]
    fn a_chain_that_grows_link_by_link_is_cut_in_few_places() {
        let (mut here, mut there, mut giving, mut cuts) = (1, 0, false, 0);
        for _ in 0..3_000 {
            let gives = hand_over(giving, here, 1, there, SLACK) == 1;
            cuts += usize::from(gives != giving);
            giving = gives;
            if gives { there += 1 } else { here += 1 }
        }
        assert!(cuts <= 40, "{cuts} cuts");
        assert!(here.abs_diff(there) <= 3_000 / 8, "{here} and {there}");
    }
}
