//! Which children the failure of one concerns. Pure.

use core::ops::RangeInclusive;

use super::child::Restart;
use crate::exit::ExitReason;

/// Which children are restarted when one fails.
///
/// # Examples
///
/// ```
/// use kahn::actor::{ChildSpec, Strategy, Supervisor};
///
/// // What writes the file is of no use without what reads it, but not the other way round.
/// let supervisor = Supervisor::new(Strategy::RestForOne)
///     .child(ChildSpec::thread("reader", || ()))
///     .child(ChildSpec::thread("writer", || ()));
/// # let _ = supervisor;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// The one that failed. The default.
    #[default]
    OneForOne,
    /// All: the others are stopped, last first, and all are started again, in order.
    OneForAll,
    /// The one that failed and those after it.
    RestForOne,
}

/// When a supervisor ends because a [significant](super::ChildSpec::significant) child has.
///
/// # Examples
///
/// ```
/// use kahn::actor::{AutoShutdown, ChildSpec, ExitReason, Restart, Supervisor};
///
/// let half = |id| ChildSpec::thread(id, || ()).restart(Restart::Transient).significant(true);
/// let supervisor = Supervisor::default()
///     .auto_shutdown(AutoShutdown::AllSignificant)
///     .child(half("left"))
///     .child(half("right"))
///     .spawn();
/// // When both are done.
/// assert!(matches!(supervisor.join(), ExitReason::Shutdown));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AutoShutdown {
    /// Never. The default.
    #[default]
    Never,
    /// When one of them ends by itself and is not restarted.
    AnySignificant,
    /// When the last of them that was left does.
    AllSignificant,
}

/// What follows a child's end that its supervisor has not caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Restart,
    /// It stays, stopped.
    Rest,
    /// It goes, with its specification.
    Forget,
}

/// What follows the end of a child with this policy.
pub(super) fn next(restart: Restart, reason: &ExitReason) -> Next {
    match restart {
        Restart::Permanent => Next::Restart,
        Restart::Transient if reason.is_orderly() => Next::Rest,
        Restart::Transient => Next::Restart,
        Restart::Temporary => Next::Forget,
    }
}

/// Some of the children, which are numbered in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    One(u64),
    From(u64),
    UpTo(u64),
}

impl Group {
    /// Those that the failure of number `failed` concerns.
    pub(super) fn of(strategy: Strategy, failed: u64) -> Group {
        match strategy {
            Strategy::OneForOne => Group::One(failed),
            Strategy::OneForAll => Group::From(0),
            Strategy::RestForOne => Group::From(failed),
        }
    }

    /// Those whose backoffs must be over before number `waiting` is started again: its own, and those of the ones that start
    /// before it if they start in order.
    pub(super) fn awaited(strategy: Strategy, waiting: u64) -> Group {
        match strategy {
            Strategy::OneForOne => Group::One(waiting),
            Strategy::OneForAll => Group::From(0),
            Strategy::RestForOne => Group::UpTo(waiting),
        }
    }

    /// The numbers that its members have.
    pub(super) fn numbers(self) -> RangeInclusive<u64> {
        match self {
            Group::One(number) => number..=number,
            Group::From(first) => first..=u64::MAX,
            Group::UpTo(last) => 0..=last,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Strategy, *};

    fn reasons() -> [(ExitReason, bool); 5] {
        [
            (ExitReason::Normal, true),
            (ExitReason::Shutdown, true),
            (ExitReason::Killed, false),
            (ExitReason::Panicked { message: "m".into(), location: None }, false),
            (ExitReason::failed("f"), false),
        ]
    }

    #[test]
    fn what_follows_an_end_is_the_policy_s() {
        for (reason, orderly) in reasons() {
            assert_eq!(next(Restart::Permanent, &reason), Next::Restart);
            assert_eq!(next(Restart::Temporary, &reason), Next::Forget);
            let transient = if orderly { Next::Rest } else { Next::Restart };
            assert_eq!(next(Restart::Transient, &reason), transient, "{reason}");
        }
    }

    proptest! {
        /// As a list of names: the one, all, or it and what is behind it.
        #[test]
        fn a_group_is_what_the_strategy_says(count in 1_u64..20, failed in 0_u64..20) {
            let failed = failed % count;
            let members = |strategy| {
                let group = Group::of(strategy, failed);
                (0..count).filter(|number| group.numbers().contains(number)).collect::<Vec<_>>()
            };
            prop_assert_eq!(members(Strategy::OneForOne), vec![failed]);
            prop_assert_eq!(members(Strategy::OneForAll), (0..count).collect::<Vec<_>>());
            prop_assert_eq!(members(Strategy::RestForOne), (failed..count).collect::<Vec<_>>());
        }

        /// Who is awaited by a child is whose failure concerns it.
        #[test]
        fn a_child_waits_for_those_whose_failure_stops_it(waiting in 0_u64..20, other in 0_u64..20) {
            for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
                prop_assert_eq!(
                    Group::awaited(strategy, waiting).numbers().contains(&other),
                    Group::of(strategy, other).numbers().contains(&waiting)
                );
            }
        }
    }
}
