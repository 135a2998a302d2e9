//! What follows a failure, in steps:
//!
//! 1. the restart is counted, and may be one too many;
//! 2. the others of the group are stopped, last first, and *wait* with the child that failed (`Restarting`);
//! 3. when its backoff is over, those that wait are started, in order. If one of these starts fails, that is the next
//!    failure, and the next attempt is a message to itself: between attempts the supervisor handles what it is told, and a
//!    stop is always first.
//!
//! While a child waits, others may fail, or be started and stopped by hand. What holds all the time:
//!
//! - A child that waits is started when its own backoff is over, and those of all that it [awaits](Group::awaited), and
//!   at once then. So of those that wait, some are backing off, each with a timer, and the others await one of these.
//! - A child whose backoff is not over waits: who ends the waiting in another way takes the timer back.
//! - When a child is started again, nobody runs whom its failure concerns. So one that was started by hand meanwhile is
//!   stopped again, and started in its turn.

use core::hash::{BuildHasher, Hasher};
use core::time::Duration;
use std::hash::RandomState;

use kahn_core::facade::now;

use super::Supervisor;
use super::backoff::Backoff;
use super::child::Restart;
use super::children::{Child, ChildState};
use super::event::Event;
use super::order::{Command, Order};
use super::strategy::Group;
use crate::actor::Context;
use crate::cell::Any;
use crate::exit::ExitReason;
use crate::timers::TimerId;

/// The actor that supervises, as far as restarts need it.
pub(super) trait Keeper {
    fn me(&self) -> &Any;
    /// Sends itself `Command::Again` after this time.
    fn again_after(&mut self, delay: Duration, number: u64) -> TimerId;
    fn cancel(&mut self, timer: TimerId);
}

impl Keeper for Context<Supervisor> {
    fn me(&self) -> &Any {
        self.any()
    }

    fn again_after(&mut self, delay: Duration, number: u64) -> TimerId {
        self.send_after(delay, Order(Command::Again(number)))
    }

    fn cancel(&mut self, timer: TimerId) {
        self.cancel_timer(timer);
    }
}

impl Supervisor {
    /// A child that should run does not: it has ended after so long a life, or did not start.
    pub(super) fn failed(
        &mut self,
        ctx: &mut impl Keeper,
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
        let timer = ctx.again_after(delay, number);
        self.children.backs_off(number, timer);
        Ok(())
    }

    /// A child's backoff is over.
    pub(super) fn again(&mut self, ctx: &mut impl Keeper, number: u64) -> Result<(), ExitReason> {
        self.children.backed_off(number);
        self.go_on(ctx, number)
    }

    /// A child does not wait any more, and was not started: those that wait with it go on without it.
    pub(super) fn waits_no_more(&mut self, ctx: &mut impl Keeper, number: u64) -> Result<(), ExitReason> {
        let Some(timer) = self.children.backed_off(number) else { return Ok(()) };
        ctx.cancel(timer);
        self.go_on(ctx, number)
    }

    /// Starts those that have waited for this child, itself included, as far as they wait for nobody else.
    fn go_on(&mut self, ctx: &mut impl Keeper, number: u64) -> Result<(), ExitReason> {
        let concerned = self.children.of(Group::of(self.strategy, number));
        let Some(first) = concerned.into_iter().find(|&number| self.children.waits(number)) else {
            return Ok(());
        };
        if self.children.is_backing_off(Group::awaited(self.strategy, first)) {
            return Ok(());
        }
        let group = Group::of(self.strategy, first);
        self.hold(ctx.me(), group, |child| child.state == ChildState::Running);
        for number in self.children.of(group) {
            if !self.children.waits(number) {
                continue;
            }
            if self.children.is_backing_off(Group::awaited(self.strategy, number)) {
                break;
            }
            if let Err(reason) = self.start_again(ctx.me(), number) {
                return self.failed(ctx, number, reason, None);
            }
        }
        Ok(())
    }

    /// Lets those of a group that are meant wait, last first. They are stopped before; a temporary one goes.
    fn hold(&mut self, me: &Any, group: Group, is_meant: impl Fn(&Child) -> bool) {
        for number in self.children.of(group).into_iter().rev() {
            if !self.children.get(number).is_some_and(|child| is_meant(child)) {
                continue;
            }
            self.stop(me, number);
            if let Some(child) = self.children.get(number) {
                match child.spec.restart {
                    Restart::Temporary => self.children.remove(number),
                    _ => child.state = ChildState::Restarting,
                }
            }
        }
    }
}

/// How long to wait before this child, which has failed, is started again.
fn delay(child: &mut Child, lived: Option<Duration>) -> Duration {
    let Some(backoff) = child.spec.backoff else { return Duration::ZERO };
    child.failures = backoff.failures(child.failures, lived);
    Backoff::delay(&backoff, child.failures, chance())
}

/// A number from 0 to 1, another each time.
fn chance() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 11;
    bits as f64 / (1_u64 << 53) as f64
}
