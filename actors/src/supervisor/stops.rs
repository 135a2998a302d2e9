//! How children are stopped.
//!
//! A child is asked to end. It is killed if it has not ended when the time of its [`Shutdown`] is over. The supervisor
//! removes its monitor of a child that it stops, so that the end does not count as a failure. An end for another reason
//! than the requested one is reported.
//!
//! When a supervisor ends, it first asks all children that have no order among each other to end at the same time.
//! Their times run in parallel. The other children follow, last first, each after the end of the one before. All
//! children end for good, without the phase between two incarnations. Actors that wait for one of them therefore learn
//! of its end at once.

use std::sync::Arc;
use std::time::Instant;

use kahn_core::primitives::now;

use super::SupervisorActor;
use super::child::{ChildKind, Shutdown};
use super::event::Event;
use super::strategy::Strategy;
use crate::ask_cycle::{release, while_waiting, while_waiting_for_all};
use crate::cell::{AnyActor, Goal};
use crate::exit::ExitReason;
use crate::lifecycle::kill_life;
use crate::links::{demonitor, unlink};
use crate::supervision::{ask_to_end, end_of, let_last};

impl SupervisorActor {
    /// Stops a running child, and waits for its end. The child is then between two incarnations.
    pub(super) fn stop(&mut self, me: &AnyActor, number: u64) {
        let Some(child) = self.children.get(number) else { return };
        let Some(monitor) = child.monitor else { return };
        let (any, id, kind) = (child.any().clone(), child.spec.id.clone(), child.spec.kind);
        let shutdown = child.spec.shutdown;
        // The end of a child that is stopped is no news, and the child may be forgotten when its exit signal arrives.
        unlink(me, &any);
        let end = stop_and_wait(me, &any, kind, shutdown);
        demonitor(me, monitor);
        self.children.ended(monitor);
        self.report_stop(id, shutdown, end);
    }

    fn report_stop(&self, id: Arc<str>, shutdown: Shutdown, end: End) {
        self.reporter.report(&match end.judged(shutdown) {
            (true, reason) => Event::Stopped(id, reason),
            (false, reason) => Event::StoppedBadly(id, reason),
        });
    }

    /// Ends all children for good. The supervisor ends as well, and handles no further messages.
    pub(super) fn stop_all(&mut self, me: &AnyActor) {
        let all: Vec<_> =
            self.children.iter().rev().map(|(number, child)| (number, child.is_dynamic)).collect();
        let in_order = self.strategy != Strategy::OneForOne;
        let (alone, together): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(_, is_dynamic)| in_order || !is_dynamic);
        self.stop_together(me, together.into_iter().map(|(number, _)| number).collect());
        for (number, _) in alone {
            if let Some(child) = self.children.get(number) {
                let_last(child.any());
            }
            self.stop(me, number);
            self.children.remove(number);
        }
    }

    /// Ends these children for good, in parallel.
    fn stop_together(&mut self, me: &AnyActor, numbers: Vec<u64>) {
        let mut stops = Vec::with_capacity(numbers.len());
        let now = now();
        for &number in &numbers {
            let Some(child) = self.children.get(number) else { continue };
            if child.monitor.is_none() {
                continue;
            }
            let (any, shutdown) = (child.any().clone(), child.spec.shutdown);
            let_last(&any);
            ask(&any, child.spec.kind, shutdown);
            stops.push(Stop { deadline: deadline(shutdown, now), any, id: child.spec.id.clone(), shutdown });
        }
        if !stops.is_empty() {
            // The supervisor waits for all of them at any moment, whichever it looks at. A child that asks it is told
            // of the circle at once.
            let all = stops.iter().map(|stop| stop.any.clone()).collect();
            while_waiting_for_all(me, all, || self.await_ends(stops));
        }
        // The monitors need not be removed one by one: they end with the supervisor.
        numbers.into_iter().for_each(|number| self.children.remove(number));
    }

    /// Waits for the ends of children that were asked to end, and kills those that take too long.
    fn await_ends(&self, mut stops: Vec<Stop>) {
        // The child with the earliest deadline is waited for first, so that each child is killed in time. A child
        // without a deadline comes last.
        stops.sort_by_key(|stop| (stop.deadline.is_none(), stop.deadline));
        let mut killed = Vec::new();
        for stop in stops {
            match end_of(&stop.any, stop.deadline) {
                Some(reason) => {
                    let forced = stop.shutdown == Shutdown::Kill;
                    self.report_stop(stop.id, stop.shutdown, End { reason, forced });
                }
                None => {
                    kill_life(&stop.any, ExitReason::Killed);
                    killed.push(stop);
                }
            }
        }
        for stop in killed {
            let reason = end_of(&stop.any, None).unwrap_or(ExitReason::Killed);
            self.report_stop(stop.id, stop.shutdown, End { reason, forced: true });
        }
    }
}

/// A child that was asked to end.
struct Stop {
    any: AnyActor,
    id: Arc<str>,
    shutdown: Shutdown,
    deadline: Option<Instant>,
}

/// Asks a child to end, or kills it, depending on its [`Shutdown`].
fn ask(child: &AnyActor, kind: ChildKind, shutdown: Shutdown) {
    match (shutdown, kind) {
        (Shutdown::Kill, _) => kill_life(child, ExitReason::Killed),
        (_, ChildKind::Thread) => kill_life(child, ExitReason::Shutdown),
        _ => ask_to_end(child),
    }
}

/// How a child that was stopped has ended.
struct End {
    reason: ExitReason,
    /// Set when the child was killed.
    forced: bool,
}

impl End {
    /// Returns whether the end is the requested one, and the reason to report. If a child was asked to end and then had
    /// to be killed, its recorded reason may be that of the request, which came first. The kill has ended it, so the
    /// reported reason is `Killed`.
    fn judged(self, shutdown: Shutdown) -> (bool, ExitReason) {
        let orderly = self.reason.is_orderly();
        match shutdown {
            Shutdown::Kill => (orderly || matches!(self.reason, ExitReason::Killed), self.reason),
            _ if self.forced && orderly => (false, ExitReason::Killed),
            _ => (orderly, self.reason),
        }
    }
}

/// Returns when a child that is stopped now is killed. `None` means never.
fn deadline(shutdown: Shutdown, now: Instant) -> Option<Instant> {
    match shutdown {
        Shutdown::Kill => Some(now),
        Shutdown::Timeout(time) => now.checked_add(time),
        Shutdown::Infinity => None,
    }
}

/// Stops a child, and returns how it ended.
fn stop_and_wait(me: &AnyActor, child: &AnyActor, kind: ChildKind, shutdown: Shutdown) -> End {
    let deadline = deadline(shutdown, now());
    while_waiting(me, child, Goal::End, || {
        ask(child, kind, shutdown);
        if shutdown != Shutdown::Kill {
            // Without `release`, a child that waits for its supervisor, or for another stopped child of it, would wait
            // until the deadline.
            release(me);
            if let Some(reason) = end_of(child, deadline) {
                return End { reason, forced: false };
            }
            kill_life(child, ExitReason::Killed);
        }
        End { reason: end_of(child, None).unwrap_or(ExitReason::Killed), forced: true }
    })
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const FIVE: Duration = Duration::from_secs(5);
    const PLANS: [Shutdown; 3] = [Shutdown::Kill, Shutdown::Timeout(FIVE), Shutdown::Infinity];

    #[test]
    fn child_has_the_time_that_its_shutdown_gives_it() {
        let now = now();
        let given = |shutdown| deadline(shutdown, now).map(|then| then - now);
        assert_eq!(PLANS.map(given), [Some(Duration::ZERO), Some(FIVE), None]);
        assert_eq!(given(Shutdown::Timeout(Duration::MAX)), None);
    }

    #[test]
    fn end_is_expected_if_its_reason_was_requested() {
        use ExitReason::{Killed, Normal, Shutdown as Down};
        let failed = ExitReason::failed("so");
        for shutdown in PLANS {
            let kills = shutdown == Shutdown::Kill;
            let judged = |reason: &ExitReason, forced| {
                let (good, reason) = End { reason: reason.clone(), forced }.judged(shutdown);
                (good, reason.to_string())
            };
            for reason in [&Normal, &Down] {
                assert_eq!(judged(reason, false), (true, reason.to_string()));
                let forced = if kills { (true, reason.to_string()) } else { (false, Killed.to_string()) };
                assert_eq!(judged(reason, true), forced);
            }
            for forced in [false, true] {
                assert_eq!(judged(&Killed, forced), (kills, Killed.to_string()));
                assert_eq!(judged(&failed, forced), (false, failed.to_string()));
            }
        }
    }
}
