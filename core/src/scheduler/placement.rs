//! Where a job without a stack is to start: the policy, and nothing but the policy.
//!
//! A green thread that has parked stays where it started (its stack must not change its OS thread), so whoever starts a
//! job decides where it will live, without knowing what it will do. Two wishes pull:
//!
//! - those that talk to each other should share a worker, where a message costs nanoseconds and a wake-up no atomics;
//! - those that compute should not, or cores stay idle.
//!
//! The rule: a job starts beside its parent, until the worker has [`SLACK`] more residents than another. Then the worker
//! hands its oldest waiting jobs over *in a run*, as many as make the two even, so that neighbours stay neighbours. A
//! pair, or a pair and its parent, is never split; a pool of eight or a pipeline of three is spread; a ring of five
//! hundred is cut in as many arcs as there are workers, and a token crosses a border once an arc.
//!
//! Only jobs that park become residents. Those that end without parking are not counted, and what waits long enough
//! is stolen whoever its neighbours are (`worker::steal`).

/// How many more residents a worker may have than another before it hands jobs over.
pub(crate) const SLACK: usize = 2;

/// How many of the `waiting` jobs of a worker with `mine` residents should start on a worker with `theirs`.
#[inline]
pub(crate) fn hand_over(mine: usize, waiting: usize, theirs: usize) -> usize {
    if mine <= theirs + SLACK {
        return 0;
    }
    // As many as make mine + waiting - n = theirs + n.
    ((mine + waiting - theirs) / 2).min(waiting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_and_its_parent_stay_together() {
        for mine in 0..=SLACK {
            assert_eq!(hand_over(mine, 1, 0), 0);
        }
    }

    #[test]
    fn a_pool_of_eight_is_spread_evenly() {
        // The parent and two of the eight have parked here; six wait.
        assert_eq!(hand_over(3, 6, 0), 4);
        assert_eq!(hand_over(4, 1, 4), 0);
    }

    #[test]
    fn a_ring_is_handed_over_in_one_run() {
        let given = hand_over(3, 501, 0);
        assert_eq!(given, 252);
        assert_eq!(hand_over(3, 501 - given, given), 0);
    }

    #[test]
    fn no_more_is_given_than_waits() {
        assert_eq!(hand_over(1000, 5, 0), 5);
        assert_eq!(hand_over(usize::MAX / 2, 0, 0), 0);
    }
}
