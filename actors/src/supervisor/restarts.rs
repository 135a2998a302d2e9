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

use core::hash::{BuildHasher, Hasher};
use core::time::Duration;
use std::hash::RandomState;

use kahn_core::primitives::now;

use super::SupervisorActor;
use super::backoff::Backoff;
use super::child::Restart;
use super::children::{Child, ChildState};
use super::event::Event;
use super::order::Request;
use super::strategy::Group;
use crate::actor::Context;
use crate::cell::AnyActor;
use crate::exit::ExitReason;
use crate::timers::TimerId;

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
    pub(super) fn failed(
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
        self.hold(ctx.me(), Group::of(self.strategy, number), |_| true);
        self.reporter.report(&Event::Restarting(id, delay));
        if lived.is_some() && delay.is_zero() {
            return self.go_on(ctx, number);
        }
        let timer = ctx.start_backoff(delay, number);
        self.children.backs_off(number, timer);
        Ok(())
    }

    /// Handles the end of a child's backoff.
    pub(super) fn backoff_over(
        &mut self,
        ctx: &mut impl RestartContext,
        number: u64,
    ) -> Result<(), ExitReason> {
        self.children.backed_off(number);
        self.go_on(ctx, number)
    }

    /// Handles that a child stopped waiting without being started. The children that wait with it continue without it.
    pub(super) fn waits_no_more(
        &mut self,
        ctx: &mut impl RestartContext,
        number: u64,
    ) -> Result<(), ExitReason> {
        let Some(timer) = self.children.backed_off(number) else { return Ok(()) };
        ctx.cancel_backoff(timer);
        self.go_on(ctx, number)
    }

    /// Starts this child and the children that have waited for it, as far as they await no other child.
    fn go_on(&mut self, ctx: &mut impl RestartContext, number: u64) -> Result<(), ExitReason> {
        let Some(first) = self.children.first_waiting(Group::of(self.strategy, number)) else {
            return Ok(());
        };
        if self.children.is_backing_off(Group::awaited(self.strategy, first)) {
            return Ok(());
        }
        let group = Group::of(self.strategy, first);
        self.hold(ctx.me(), group, |child| child.state() == ChildState::Running);
        // Each turn starts a child, which then waits no more, or ends the loop.
        while let Some(number) = self.children.first_waiting(group) {
            if self.children.is_backing_off(Group::awaited(self.strategy, number)) {
                break;
            }
            if let Err(reason) = self.start_again(ctx.me(), number) {
                return self.failed(ctx, number, reason, None);
            }
        }
        Ok(())
    }

    /// Stops those children of a group that `is_meant` selects, last first, and marks them as waiting. Temporary
    /// children are removed.
    fn hold(&mut self, me: &AnyActor, group: Group, is_meant: impl Fn(&Child) -> bool) {
        for number in self.children.not_waiting(group).into_iter().rev() {
            if !self.children.get(number).is_some_and(|child| is_meant(child)) {
                continue;
            }
            self.stop(me, number);
            if let Some(child) = self.children.get(number) {
                match child.spec.restart {
                    Restart::Temporary => self.children.remove(number),
                    _ => self.children.await_restart(number),
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
