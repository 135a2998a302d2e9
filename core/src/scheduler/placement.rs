//! The placement policy: on which worker a task without a stack starts. This file holds only the policy.
//!
//! A green thread that has parked stays where it started (its stack must not change its OS thread). So the worker that
//! starts a task decides where the task will live, without knowing what it will do. There are two goals:
//!
//! - Tasks that communicate should share a worker, where a message costs nanoseconds and a wake-up needs no atomics.
//! - Tasks that compute should not share a worker, or cores stay idle.
//!
//! The rule: a task starts beside its parent, until the worker has clearly more parked tasks than another, that is,
//! more by a quarter and [`SLACK`]. Then the worker hands over its oldest waiting tasks *in a run*, as many as make
//! the two even, so that neighbours stay neighbours. A pair, or a pair and its parent, is never split. A pool of
//! eight, or a pipeline of three, is spread. A ring of five hundred is cut into as many arcs as there are workers,
//! and a token crosses to another worker once an arc.
//!
//! Where the parked tasks already communicate, passing message after message, the tasks that wait to be started beside
//! them will probably do the same. Then [`TIGHT`] takes the place of [`SLACK`]. Eight senders and their receiver are
//! several times faster on one worker, and do not depend on whether two workers have a core at the same time. A pool
//! or a pipeline that starts before there is work, or whose members compute, does not communicate.
//!
//! Tasks may also come one at a time, each spawned by the one before or after the last has started, as in a chain of
//! filters that grows. If each of them were weighed anew, every other link would be put on the other worker, and each
//! message would cross at each link. So a run goes on: a worker that hands tasks over continues until the other worker
//! is clearly ahead. The runs grow with the number of parked tasks, by a quarter each time, so a chain of `n` is cut in
//! O(log n) places.
//!
//! A stackless task that has run before is woken beside its waker, and stays there. If it were handed over at each
//! wake-up, an actor would be on another worker than the tasks that communicate with it. If its worker is stuck or has
//! too much work, the task is stolen.
//!
//! Only tasks that park count as parked tasks. Tasks that end without parking are not counted. A task that waits long
//! enough is stolen, whatever its neighbours are (`Worker::steal`).

/// How many more parked tasks a worker may have than another before it hands tasks over, however few there are.
pub(crate) const SLACK: usize = 2;

/// How many more members a home that travels may have than another.
pub(crate) const SLACK_OF_HOMES: usize = 1;

/// A parent and a pair of tasks that it spawns. They share a home.
const FAMILY: usize = 3;

/// Takes the place of `SLACK` while the parked tasks communicate: a group this small stays together.
const TIGHT: usize = 16;

/// Parked tasks communicate if they perform at least this many operations on channels and the like in about 20 µs.
/// Stages that compute for a microsecond or more for each message stay below.
pub(crate) const TALK: u32 = 100;

/// Returns how many more parked tasks a worker may have than another.
#[inline]
pub(crate) fn slack(talks: bool) -> usize {
    if talks { TIGHT } else { SLACK }
}

/// As [`slack`], for homes that travel.
#[inline]
pub(crate) fn slack_of_homes(talks: bool) -> usize {
    if talks { TIGHT } else { SLACK_OF_HOMES }
}

/// Returns whether a home with `mine` members is too small for the `waiting` tasks beside them, so that others are looked at.
#[inline]
pub(crate) fn outgrows(mine: usize, waiting: usize, talks: bool) -> bool {
    mine + waiting > if talks { TIGHT } else { FAMILY }
}

/// Returns how many of the `waiting` tasks of a worker with `mine` parked tasks should start on a worker with `theirs`.
/// `handoff_target` is set when a run of tasks to that worker has begun.
#[inline]
pub(crate) fn hand_over(
    handoff_target: bool,
    mine: usize,
    waiting: usize,
    theirs: usize,
    slack: usize,
) -> usize {
    let goes_on = handoff_target && theirs <= mine + mine / 4;
    if !goes_on && mine <= theirs + theirs / 4 + slack {
        return 0;
    }
    // As many as make mine + waiting - n = theirs + n. In a run that goes on, at least one.
    ((mine + waiting).saturating_sub(theirs) / 2).max(usize::from(goes_on)).min(waiting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pair_and_its_parent_stay_together() {
        for mine in 0..=SLACK {
            assert_eq!(hand_over(false, mine, 1, 0, SLACK), 0);
        }
    }

    #[test]
    fn pool_of_eight_is_spread_evenly() {
        // The parent and two of the eight have parked here; six wait.
        assert_eq!(hand_over(false, 3, 6, 0, SLACK), 4);
        assert_eq!(hand_over(true, 3, 2, 4, SLACK), 0);
    }

    #[test]
    fn ring_is_handed_over_in_one_run() {
        let given = hand_over(false, 3, 501, 0, SLACK);
        assert_eq!(given, 252);
        assert_eq!(hand_over(true, 3, 501 - given, given, SLACK), 0);
    }

    #[test]
    fn no_more_tasks_are_handed_over_than_wait() {
        assert_eq!(hand_over(false, 1000, 5, 0, SLACK), 5);
        assert_eq!(hand_over(true, usize::MAX / 2, 0, 0, SLACK), 0);
    }

    #[test]
    fn chain_that_grows_link_by_link_is_cut_in_few_places() {
        let (mut here, mut there, mut handoff_target, mut cuts) = (1, 0, false, 0);
        for _ in 0..3_000 {
            let gives = hand_over(handoff_target, here, 1, there, SLACK) == 1;
            cuts += usize::from(gives != handoff_target);
            handoff_target = gives;
            if gives { there += 1 } else { here += 1 }
        }
        assert!(cuts <= 40, "{cuts} cuts");
        assert!(here.abs_diff(there) <= 3_000 / 8, "{here} and {there}");
    }
}
