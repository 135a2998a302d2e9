//! The operations of an actor on itself. [`Context`](crate::Context) and [`Mailbox`](crate::Mailbox) offer and document
//! them.

use core::time::Duration;

use kahn_core::primitives::Ordering;
use kahn_core::wait::operation;

use super::Control;
use crate::address::{ActorRef, Address};
use crate::dead_letters;
use crate::error::StashError;
use crate::exit::{ActorId, ExitReason};
use crate::lifecycle::stop;
use crate::links;
use crate::signal::MonitorId;
use crate::timers::{Ready, TimerId};

impl<M: Send + 'static> Control<M> {
    pub(crate) fn me(&self) -> ActorRef<M> {
        // Relaxed: the caller is the running actor, so the process is alive.
        if self.me.core.strong.fetch_add(1, Ordering::Relaxed) == 0 {
            // The count was zero, so there is no reference to the process that the `ActorRef`s share. This takes one.
            self.me.retain();
        }
        // SAFETY: the `ActorRef`s share one reference to the process: that of those counted before, or the one just
        // taken. The new `ActorRef` is counted.
        ActorRef::new(unsafe { core::ptr::read((&raw const *self.me).cast()) })
    }

    pub(crate) fn id(&self) -> ActorId {
        crate::cell::id_of(&*self.me)
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.me.name()
    }

    pub(crate) fn stop(&mut self) {
        self.stops = true;
        stop(self.any(), ExitReason::Normal);
    }

    pub(crate) fn link(&mut self, other: impl Into<Address>) {
        operation();
        links::link(self.any(), &other.into().process);
    }

    pub(crate) fn unlink(&mut self, other: impl Into<Address>) {
        links::unlink(self.any(), &other.into().process);
    }

    pub(crate) fn monitor(&mut self, other: impl Into<Address>) -> MonitorId {
        operation();
        links::monitor(self.any(), &other.into().process)
    }

    pub(crate) fn demonitor(&mut self, monitor: MonitorId) {
        links::demonitor(self.any(), monitor);
        if let Some(local) = &mut self.local {
            drop(local.passed_downs.remove(monitor));
        }
    }

    pub(crate) fn trap_exits(&mut self, trap: bool) {
        operation();
        self.me.core.state.lock().set_traps(trap);
    }

    pub(crate) fn send_after(&mut self, delay: Duration, message: M) -> TimerId {
        operation();
        self.local().timers.once(delay, message)
    }

    #[track_caller]
    pub(crate) fn send_every(&mut self, period: Duration, message: M) -> TimerId
    where
        M: Clone,
    {
        assert!(!period.is_zero(), "send_every: the period must be longer than zero");
        operation();
        self.local().timers.every(period, move || message.clone())
    }

    #[track_caller]
    pub(crate) fn send_every_with(
        &mut self,
        period: Duration,
        make: impl FnMut() -> M + Send + 'static,
    ) -> TimerId {
        assert!(!period.is_zero(), "send_every_with: the period must be longer than zero");
        operation();
        self.local().timers.every(period, make)
    }

    pub(crate) fn cancel_timer(&mut self, timer: TimerId) -> bool {
        self.local.as_mut().is_some_and(|local| local.timers.cancel(timer))
    }

    pub(crate) fn set_idle_timeout(&mut self, idle: Duration, message: M) {
        operation();
        self.local().timers.set_idle(idle, message);
    }

    pub(crate) fn clear_idle_timeout(&mut self) {
        if let Some(local) = &mut self.local {
            local.timers.clear_idle();
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.me.core.state.lock().is_stopping()
    }

    #[track_caller]
    pub(crate) fn stash(&mut self, message: M) {
        if let Err(StashError(message)) = self.try_stash(message) {
            dead_letters::lose(self.any(), message);
            let limit = self.me.lock().lane().limit();
            panic!("stash: {limit} messages are stashed, which is as many as the mailbox holds");
        }
    }

    pub(crate) fn try_stash(&mut self, message: M) -> Result<(), StashError<M>> {
        operation();
        let limit = self.me.lock().lane().limit();
        let stash = &mut self.local().stash;
        if stash.len() >= limit {
            return Err(StashError(message));
        }
        stash.push_back(message);
        Ok(())
    }

    pub(crate) fn unstash_all(&mut self) {
        operation();
        let Some(local) = &mut self.local else { return };
        // A loop receives what it has passed over first. So that the stash comes before it, both go into `ready`. That
        // stays bounded: a loop takes a message of the mailbox only when `ready` is empty.
        for messages in [&mut local.passed, &mut local.stash] {
            while let Some(message) = messages.pop_back() {
                local.ready.push_front(Ready::Message(message));
            }
        }
    }
}
