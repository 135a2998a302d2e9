//! A running supervisor: the actor that starts, restarts and stops children. The sections follow OTP's
//! `supervisor.erl`:
//!
//! 1. its own start, requests, ends of children, and its own end: `Actor for SupervisorActor`;
//! 2. how a child is started;
//! 3. the requests for one child;
//! 4. what follows the end of a child;
//! 5. the restart of the children that a failure concerns;
//! 6. how children are shut down.
//!
//! A supervisor does one thing at a time. While it starts or stops a child, it waits in that handler.
//!
//! # Restarts
//!
//! The steps after a failure of a child:
//!
//! 1. The restart is counted. It may exceed the intensity.
//! 2. The other children of the group are stopped, last first. They then *wait* with the child that failed
//!    (`Restarting`).
//! 3. When the backoff of the failed child is over, the waiting children are started in order. If one of these starts
//!    fails, that is the next failure. The next attempt is a message of the supervisor to itself. Between two attempts
//!    the supervisor therefore handles other messages, and a stop always comes first.
//!
//! While a child waits, other children may fail, or may be started and stopped by requests. These invariants hold all
//! the time:
//!
//! - A waiting child is started as soon as its own backoff and the backoffs of all children that it
//!   [awaits](Group::awaited) are over. So some of the waiting children are backing off, each with a timer, and each of
//!   the others awaits one of these.
//! - A child whose backoff is not over is waiting. Code that ends the waiting in another way cancels the timer.
//! - When a child is restarted, no child that its failure concerns is running. A child that was started by a request
//!   meanwhile is therefore stopped again, and started in its turn.
//!
//! # Shutdown
//!
//! A child is asked to end. It is killed if it has not ended when the time of its [`Shutdown`] is over. The supervisor
//! removes its monitor of a child that it stops, so that the end does not count as a failure. An end for another reason
//! than the requested one is reported.
//!
//! When a supervisor ends, it first asks all children that have no order among each other to end at the same time.
//! Their times run in parallel. The other children follow, last first, each after the end of the one before. All
//! children end for good, without the phase between two incarnations. Actors that wait for one of them therefore learn
//! of its end at once.

use core::hash::{BuildHasher, Hasher};
use core::panic::Location;
use core::time::Duration;
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Instant;

use kahn_core::primitives::now;

use super::backoff::Backoff;
use super::child_spec::{ChildKind, ChildSpec, Restart, Shutdown};
use super::children::{Child, ChildState, Children};
use super::error::{ChildError, StartError};
use super::event::{Event, Reporter};
use super::intensity::Intensity;
use super::strategy::{AfterEnd, AutoShutdown, Group, Strategy, after_end};
use super::supervisor_ref::Request;
use crate::actor::{Actor, Context};
use crate::ask_cycle::{release, while_waiting, while_waiting_for_all};
use crate::cell::{AnyActor, WaitFor, id_of};
use crate::exit::ExitReason;
use crate::lifecycle::kill_life;
use crate::links::{demonitor, unlink};
use crate::panics::catching_shielded;
use crate::signal::{Down, DownCause};
use crate::supervision::{ask_to_end, end_of, let_last, monitor_of, resume, start_of};
use crate::timers::TimerId;

/// The value of a running supervisor.
pub(super) struct SupervisorActor {
    pub(super) strategy: Strategy,
    pub(super) intensity: Intensity,
    pub(super) auto: AutoShutdown,
    pub(super) reporter: Reporter,
    pub(super) specs: Vec<ChildSpec>,
    pub(super) children: Children,
    /// The line that spawned the supervisor. A report shows it when the supervisor waits for a child.
    pub(super) spawned_at: &'static Location<'static>,
}

// 1. The supervisor as an actor.

impl Actor for SupervisorActor {
    type Message = Request;

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        // The supervisor's children do not end because an actor ends that was linked to the supervisor.
        ctx.trap_exits(true);
        self.reporter.name(ctx.any());
        let mut specs = core::mem::take(&mut self.specs).into_iter();
        // A stop ends the supervisor when it has started, so it starts no further child.
        while !ctx.is_stopping()
            && let Some(spec) = specs.next()
        {
            let child = spec.id.clone();
            if let Err(error) = self.start_child(ctx.any(), spec, false) {
                self.shut_down_all(ctx.any());
                return Err(StartError { child, error }.into());
            }
        }
        // What the other specifications own is the user's. Its destructor must not end the supervisor.
        catching_shielded(ctx.any(), || drop(specs));
        Ok(())
    }

    fn handle(&mut self, request: Request, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        let me = ctx.any();
        match request {
            Request::Start(spec, done) => drop(done.send(self.start_child(me, *spec, true))),
            Request::Restart(id, done) => drop(done.send(self.restart_by_request(me, &id))),
            Request::Terminate(id, done) => {
                let number = self.children.find(&id);
                drop(done.send(self.terminate(me, &id)));
                return number.map_or(Ok(()), |number| self.stop_waiting(ctx, number));
            }
            Request::Delete(id, done) => drop(done.send(self.delete(&id))),
            Request::Children(reply) => {
                let _ = reply.send(self.children.iter().map(|(_, child)| child.info()).collect());
            }
            Request::Inspect(id, inspect) => {
                let number = self.children.find(&id);
                inspect(number.and_then(|number| self.children.get(number)).map(|child| &*child.actor));
            }
            Request::BackoffOver(number) => return self.backoff_over(ctx, number),
        }
        Ok(())
    }

    fn down(&mut self, down: Down, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.child_ended(ctx, down)
    }

    fn stopped(&mut self, _: &ExitReason, ctx: &mut Context<Self>) {
        self.shut_down_all(ctx.any());
    }
}

// 2. How a child is started.

impl SupervisorActor {
    /// Adds a child and starts it.
    pub(super) fn start_child(
        &mut self,
        me: &AnyActor,
        mut spec: ChildSpec,
        is_dynamic: bool,
    ) -> Result<(), ChildError> {
        if let Some(error) = self.refusal(&spec) {
            // What the specification owns is the user's. Its destructor must not end the supervisor.
            catching_shielded(me, || drop(spec));
            return Err(error);
        }
        let actor = spec.spawn(me);
        let number = self.children.add(spec, actor, is_dynamic, now());
        self.start(me, number).map_err(|reason| {
            self.children.remove(number);
            ChildError::Failed(reason)
        })
    }

    /// Returns why a child must not be added, if it must not.
    fn refusal(&mut self, spec: &ChildSpec) -> Option<ChildError> {
        if let Some(number) = self.children.find(&spec.id) {
            let is_active = self.children.get(number).is_some_and(|child| child.is_active());
            return Some(if is_active { ChildError::AlreadyStarted } else { ChildError::AlreadyPresent });
        }
        match (spec.significant, self.auto, spec.restart) {
            (true, AutoShutdown::Never, _) => Some(ChildError::SignificantInVain),
            (true, _, Restart::Permanent) => Some(ChildError::SignificantPermanent),
            _ => None,
        }
    }

    /// Starts a child that is new or between two incarnations.
    fn start(&mut self, me: &AnyActor, number: u64) -> Result<(), ExitReason> {
        let Some(child) = self.children.get(number) else { return Ok(()) };
        let (any, id) = (child.any().clone(), child.spec.id.clone());
        let started = while_waiting(me, &any, WaitFor::Start, || {
            resume(&any);
            start_of(&any, self.spawned_at)
        });
        let monitor = monitor_of(&any);
        match &started {
            Ok(()) => {
                self.children.set_running(number, monitor, now());
                self.reporter.report(&Event::Started(id));
            }
            Err(reason) => {
                monitor.into_iter().for_each(|monitor| demonitor(me, monitor));
                self.reporter.report(&Event::StartFailed(id, reason.clone()));
            }
        }
        started
    }

    pub(super) fn restart_child(&mut self, me: &AnyActor, number: u64) -> Result<(), ExitReason> {
        let Some(child) = self.children.get(number) else { return Ok(()) };
        child.restarts += 1;
        self.start(me, number)
    }
}

// 3. The requests for one child.

impl SupervisorActor {
    fn restart_by_request(&mut self, me: &AnyActor, id: &str) -> Result<(), ChildError> {
        let number = self.find_stopped(id)?;
        self.restart_child(me, number).map_err(|reason| {
            self.children.set_stopped(number);
            ChildError::Failed(reason)
        })
    }

    pub(super) fn terminate(&mut self, me: &AnyActor, id: &str) -> Result<(), ChildError> {
        let number = self.children.find(id).ok_or(ChildError::NotFound)?;
        self.shut_down(me, number);
        self.children.set_stopped(number);
        Ok(())
    }

    fn delete(&mut self, id: &str) -> Result<(), ChildError> {
        let number = self.find_stopped(id)?;
        self.children.remove(number);
        Ok(())
    }

    /// Returns the number of the child with this id. The child must be stopped.
    fn find_stopped(&mut self, id: &str) -> Result<u64, ChildError> {
        let number = self.children.find(id).ok_or(ChildError::NotFound)?;
        match self.children.get(number).map(|child| child.state()) {
            Some(ChildState::Running) => Err(ChildError::Running),
            Some(ChildState::Restarting) => Err(ChildError::Restarting),
            _ => Ok(number),
        }
    }
}

// 4. What follows the end of a child.

impl SupervisorActor {
    /// Handles the end of an actor that the supervisor monitors or is linked to.
    pub(super) fn child_ended(
        &mut self,
        ctx: &mut impl RestartContext,
        down: Down,
    ) -> Result<(), ExitReason> {
        let number = match down.cause {
            DownCause::Monitor(monitor) => self.children.set_ended(monitor),
            // The monitor of the child tells of the same end.
            DownCause::Link if self.is_child(&down) => return Ok(()),
            DownCause::Link => None,
        };
        let Some((number, child)) = number.and_then(|number| Some((number, self.children.get(number)?)))
        else {
            self.reporter.report(&Event::Unknown(down));
            return Ok(());
        };
        let (id, restart, significant) = (child.spec.id.clone(), child.spec.restart, child.spec.significant);
        let lived = now().saturating_duration_since(child.since);
        let reason = down.reason;
        self.reporter.report(&Event::Ended(id.clone(), reason.clone()));
        if after_end(restart, &reason) == AfterEnd::Restart {
            return self.child_failed(ctx, number, reason, Some(lived));
        }
        self.children.set_stopped(number);
        if significant && self.must_shut_down() {
            self.reporter.report(&Event::AutoShutdown(id));
            return Err(ExitReason::Shutdown);
        }
        Ok(())
    }

    /// Returns whether a child has ended. A child is named by its id, but other actors may have the same name.
    fn is_child(&mut self, down: &Down) -> bool {
        let number = down.name.as_deref().and_then(|id| self.children.find(id));
        let child = number.and_then(|number| self.children.get(number));
        child.is_some_and(|child| id_of(child.any()) == down.id)
    }

    /// Returns whether the present end of a significant child ends the supervisor.
    fn must_shut_down(&self) -> bool {
        match self.auto {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => true,
            AutoShutdown::AllSignificant => !self.children.has_active_significant(),
        }
    }
}

// 5. The restart of the children that a failure concerns.

/// The supervisor's context, as far as restarts need it.
pub(super) trait RestartContext {
    fn me(&self) -> &AnyActor;
    /// Sends the supervisor a message after `delay`: the backoff of this child is over.
    fn start_backoff(&mut self, delay: Duration, number: u64) -> TimerId;
    fn cancel_backoff(&mut self, timer: TimerId);
}

impl RestartContext for Context<SupervisorActor> {
    fn me(&self) -> &AnyActor {
        self.any()
    }

    fn start_backoff(&mut self, delay: Duration, number: u64) -> TimerId {
        self.send_after(delay, Request::BackoffOver(number))
    }

    fn cancel_backoff(&mut self, timer: TimerId) {
        self.cancel_timer(timer);
    }
}

impl SupervisorActor {
    /// Handles the failure of a child that should run. `lived` is the time that it ran, or `None` if it did not start.
    pub(super) fn child_failed(
        &mut self,
        ctx: &mut impl RestartContext,
        number: u64,
        reason: ExitReason,
        lived: Option<Duration>,
    ) -> Result<(), ExitReason> {
        let Some(child) = self.children.get(number) else { return Ok(()) };
        let id = child.spec.id.clone();
        if !self.intensity.admits(now()) {
            self.reporter.report(&Event::GaveUp(id, reason));
            return Err(ExitReason::Shutdown);
        }
        let delay = delay(child, lived);
        self.stop_group(ctx.me(), Group::of(self.strategy, number), |_| true);
        self.reporter.report(&Event::Restarting(id, delay));
        if lived.is_some() && delay.is_zero() {
            return self.restart_waiting(ctx, number);
        }
        let timer = ctx.start_backoff(delay, number);
        self.children.start_backoff(number, timer);
        Ok(())
    }

    /// Handles the end of a child's backoff.
    pub(super) fn backoff_over(
        &mut self,
        ctx: &mut impl RestartContext,
        number: u64,
    ) -> Result<(), ExitReason> {
        self.children.end_backoff(number);
        self.restart_waiting(ctx, number)
    }

    /// Handles that a child stopped waiting without being started. The children that wait with it continue without it.
    pub(super) fn stop_waiting(
        &mut self,
        ctx: &mut impl RestartContext,
        number: u64,
    ) -> Result<(), ExitReason> {
        let Some(timer) = self.children.end_backoff(number) else { return Ok(()) };
        ctx.cancel_backoff(timer);
        self.restart_waiting(ctx, number)
    }

    /// Starts this child and the children that have waited for it, as far as they await no other child.
    fn restart_waiting(&mut self, ctx: &mut impl RestartContext, number: u64) -> Result<(), ExitReason> {
        let Some(first) = self.children.first_waiting(Group::of(self.strategy, number)) else {
            return Ok(());
        };
        if self.children.is_backing_off(Group::awaited(self.strategy, first)) {
            return Ok(());
        }
        let group = Group::of(self.strategy, first);
        self.stop_group(ctx.me(), group, |child| child.state() == ChildState::Running);
        // Each turn starts a child, which then waits no more, or ends the loop.
        while let Some(number) = self.children.first_waiting(group) {
            if self.children.is_backing_off(Group::awaited(self.strategy, number)) {
                break;
            }
            if let Err(reason) = self.restart_child(ctx.me(), number) {
                return self.child_failed(ctx, number, reason, None);
            }
        }
        Ok(())
    }

    /// Stops those children of a group that `selects` selects, last first, and marks them as waiting. Temporary
    /// children are removed.
    fn stop_group(&mut self, me: &AnyActor, group: Group, selects: impl Fn(&Child) -> bool) {
        for number in self.children.not_waiting(group).into_iter().rev() {
            if !self.children.get(number).is_some_and(|child| selects(child)) {
                continue;
            }
            self.shut_down(me, number);
            if let Some(child) = self.children.get(number) {
                match child.spec.restart {
                    Restart::Temporary => self.children.remove(number),
                    _ => self.children.set_restarting(number),
                }
            }
        }
    }
}

/// Counts a failure of this child, and returns the delay before its restart.
fn delay(child: &mut Child, lived: Option<Duration>) -> Duration {
    let Some(backoff) = child.spec.backoff else { return Duration::ZERO };
    child.failures = backoff.failures(child.failures, lived);
    Backoff::delay(&backoff, child.failures, chance())
}

/// Returns a random number from 0 to 1.
fn chance() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

// 6. How children are shut down.

impl SupervisorActor {
    /// Stops a running child, and waits for its end. The child is then between two incarnations.
    pub(super) fn shut_down(&mut self, me: &AnyActor, number: u64) {
        let Some(child) = self.children.get(number) else { return };
        let Some(monitor) = child.monitor else { return };
        let (any, id, kind) = (child.any().clone(), child.spec.id.clone(), child.spec.kind);
        let shutdown = child.spec.shutdown;
        // The link would report an end that is expected, and the child may have been removed when the signal arrives.
        unlink(me, &any);
        let end = stop_and_wait(me, &any, kind, shutdown, self.spawned_at);
        demonitor(me, monitor);
        self.children.set_ended(monitor);
        self.report_stop(id, shutdown, end);
    }

    fn report_stop(&self, id: Arc<str>, shutdown: Shutdown, end: End) {
        self.reporter.report(&match end.check(shutdown) {
            (true, reason) => Event::Stopped(id, reason),
            (false, reason) => Event::StoppedBadly(id, reason),
        });
    }

    /// Ends all children for good. The supervisor ends as well, and handles no further messages.
    pub(super) fn shut_down_all(&mut self, me: &AnyActor) {
        let all: Vec<_> =
            self.children.iter().rev().map(|(number, child)| (number, child.is_dynamic)).collect();
        let in_order = self.strategy != Strategy::OneForOne;
        let (alone, together): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(_, is_dynamic)| in_order || !is_dynamic);
        self.shut_down_together(me, together.into_iter().map(|(number, _)| number).collect());
        for (number, _) in alone {
            if let Some(child) = self.children.get(number) {
                let_last(child.any());
            }
            self.shut_down(me, number);
            self.children.remove(number);
        }
    }

    /// Ends these children for good, in parallel.
    fn shut_down_together(&mut self, me: &AnyActor, numbers: Vec<u64>) {
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
            stops.push(PendingStop {
                deadline: deadline(shutdown, now),
                any,
                id: child.spec.id.clone(),
                shutdown,
            });
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
    fn await_ends(&self, mut stops: Vec<PendingStop>) {
        // The child with the earliest deadline is waited for first, so that each child is killed in time. A child
        // without a deadline comes last.
        stops.sort_by_key(|stop| (stop.deadline.is_none(), stop.deadline));
        let mut killed = Vec::new();
        for stop in stops {
            match end_of(&stop.any, self.spawned_at, stop.deadline) {
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
            let reason = end_of(&stop.any, self.spawned_at, None).unwrap_or(ExitReason::Killed);
            self.report_stop(stop.id, stop.shutdown, End { reason, forced: true });
        }
    }
}

/// A child that was asked to end.
struct PendingStop {
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
    fn check(self, shutdown: Shutdown) -> (bool, ExitReason) {
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

/// Stops a child, and returns how it ended. `at` is the line that a report shows.
fn stop_and_wait(
    me: &AnyActor,
    child: &AnyActor,
    kind: ChildKind,
    shutdown: Shutdown,
    at: &'static Location<'static>,
) -> End {
    let deadline = deadline(shutdown, now());
    while_waiting(me, child, WaitFor::End, || {
        ask(child, kind, shutdown);
        if shutdown != Shutdown::Kill {
            // Without `release`, a child that waits for its supervisor, or for another stopped child of it, would wait
            // until the deadline.
            release(me);
            if let Some(reason) = end_of(child, at, deadline) {
                return End { reason, forced: false };
            }
            kill_life(child, ExitReason::Killed);
        }
        End { reason: end_of(child, at, None).unwrap_or(ExitReason::Killed), forced: true }
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
            let check = |reason: &ExitReason, forced| {
                let (good, reason) = End { reason: reason.clone(), forced }.check(shutdown);
                (good, reason.to_string())
            };
            for reason in [&Normal, &Down] {
                assert_eq!(check(reason, false), (true, reason.to_string()));
                let forced = if kills { (true, reason.to_string()) } else { (false, Killed.to_string()) };
                assert_eq!(check(reason, true), forced);
            }
            for forced in [false, true] {
                assert_eq!(check(&Killed, forced), (kills, Killed.to_string()));
                assert_eq!(check(&failed, forced), (false, failed.to_string()));
            }
        }
    }
}
