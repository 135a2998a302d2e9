//! The group of children that the failure of one concerns. Pure.

use core::ops::RangeInclusive;

use super::child_spec::Restart;
use crate::exit::ExitReason;

/// Which children are restarted when one fails.
///
/// # Examples
///
/// ```
/// use kahn::actor::{ChildSpec, Strategy, Supervisor};
///
/// // The writer needs the reader, but the reader does not need the writer.
/// let supervisor = Supervisor::new(Strategy::RestForOne)
///     .child(ChildSpec::thread("reader", || ()))
///     .child(ChildSpec::thread("writer", || ()));
/// # let _ = supervisor;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// The child that failed. This is the default.
    #[default]
    OneForOne,
    /// All children. The others are stopped, last first, and then all are started in order.
    OneForAll,
    /// The child that failed and the children after it.
    RestForOne,
}

/// When the end of [significant](super::ChildSpec::significant) children ends their supervisor.
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
/// // It ends when both have ended.
/// assert!(matches!(supervisor.join(), ExitReason::Shutdown));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AutoShutdown {
    /// Never. This is the default.
    #[default]
    Never,
    /// When a significant child ends by itself and is not restarted.
    AnySignificant,
    /// When the last running significant child ends by itself and is not restarted.
    AllSignificant,
}

/// What follows a child's end that its supervisor has not caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterEnd {
    Restart,
    /// The child stays in the list, stopped.
    Stop,
    /// The child is removed, with its specification.
    Remove,
}

/// Returns what follows the end of a child with this policy.
pub(super) fn after_end(restart: Restart, reason: &ExitReason) -> AfterEnd {
    match restart {
        Restart::Permanent => AfterEnd::Restart,
        Restart::Transient if reason.is_orderly() => AfterEnd::Stop,
        Restart::Transient => AfterEnd::Restart,
        Restart::Temporary => AfterEnd::Remove,
    }
}

/// Some of the children. The children are numbered in their start order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    One(u64),
    From(u64),
    UpTo(u64),
}

impl Group {
    /// Returns the children that the failure of number `failed` concerns.
    pub(super) fn of(strategy: Strategy, failed: u64) -> Group {
        match strategy {
            Strategy::OneForOne => Group::One(failed),
            Strategy::OneForAll => Group::From(0),
            Strategy::RestForOne => Group::From(failed),
        }
    }

    /// Returns the children whose backoffs must be over before number `waiting` is restarted: the child itself, and the
    /// children that start before it if they start in order.
    pub(super) fn awaited(strategy: Strategy, waiting: u64) -> Group {
        match strategy {
            Strategy::OneForOne => Group::One(waiting),
            Strategy::OneForAll => Group::From(0),
            Strategy::RestForOne => Group::UpTo(waiting),
        }
    }

    /// Returns the range that holds the members' numbers.
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
    fn restart_policy_decides_what_follows_an_end() {
        for (reason, orderly) in reasons() {
            assert_eq!(after_end(Restart::Permanent, &reason), AfterEnd::Restart);
            assert_eq!(after_end(Restart::Temporary, &reason), AfterEnd::Remove);
            let transient = if orderly { AfterEnd::Stop } else { AfterEnd::Restart };
            assert_eq!(after_end(Restart::Transient, &reason), transient, "{reason}");
        }
    }

    proptest! {
        /// Compares with the definition on a list: the child itself, all children, or the child and those after it.
        #[test]
        fn strategy_decides_which_children_restart_together(count in 1_u64..20, failed in 0_u64..20) {
            let failed = failed % count;
            let members = |strategy| {
                let group = Group::of(strategy, failed);
                (0..count).filter(|number| group.numbers().contains(number)).collect::<Vec<_>>()
            };
            prop_assert_eq!(members(Strategy::OneForOne), vec![failed]);
            prop_assert_eq!(members(Strategy::OneForAll), (0..count).collect::<Vec<_>>());
            prop_assert_eq!(members(Strategy::RestForOne), (failed..count).collect::<Vec<_>>());
        }

        /// A child awaits exactly the children whose failure concerns it.
        #[test]
        fn child_waits_for_those_whose_failure_stops_it(waiting in 0_u64..20, other in 0_u64..20) {
            for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
                prop_assert_eq!(
                    Group::awaited(strategy, waiting).numbers().contains(&other),
                    Group::of(strategy, other).numbers().contains(&waiting)
                );
            }
        }
    }
}
