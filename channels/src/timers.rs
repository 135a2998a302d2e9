//! Timers as channels. No thread and no queue is behind them: the message is made by
//! the receiver that finds that its moment has come.

use core::time::Duration;
use std::time::Instant;

use kahn_core::facade::Lock;
use kahn_core::wait::{Kind, Reason, Wait, operation};

use crate::clock;
use crate::error::RecvTimeoutError;

/// A channel whose messages are moments. `T` is `Instant`; it is generic only so that a receiver of any type can hold it.
pub(crate) struct Timer<T> {
    /// When the next message comes; `None` if no more will.
    next: Lock<Option<Instant>>,
    /// From one message to the next; `None` if there is only one.
    period: Option<Duration>,
    /// Makes the message. The identity, given where `T` is known.
    message: fn(Instant) -> T,
}

impl<T> Timer<T> {
    pub(crate) fn new(next: Instant, period: Option<Duration>, message: fn(Instant) -> T) -> Timer<T> {
        Timer { next: Lock::new(Some(next)), period, message }
    }

    /// The moment of the next message.
    pub(crate) fn next(&self) -> Option<Instant> {
        *self.next.lock()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.next().is_some_and(|when| clock::now() >= when)
    }

    /// The message for a moment.
    pub(crate) fn message(&self, when: Instant) -> T {
        (self.message)(when)
    }

    /// Takes the next message if its time has come. One receiver gets it.
    pub(crate) fn fire(&self) -> Option<Instant> {
        let mut next = self.next.lock();
        let when = (*next)?;
        let now = clock::now();
        if now < when {
            return None;
        }
        *next = self.period.and_then(|period| {
            // Messages that were missed altogether are skipped; one that is merely late does not delay the others.
            let on_time = when.checked_add(period);
            if on_time.is_some_and(|next| next > now) { on_time } else { now.checked_add(period) }
        });
        Some(when)
    }

    /// Takes a message back that was fired and not looked at.
    pub(crate) fn put_back(&self, when: Instant) {
        *self.next.lock() = Some(when);
    }

    #[track_caller]
    pub(crate) fn recv(&self, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        operation();
        loop {
            if let Some(when) = self.fire() {
                return Ok(self.message(when));
            }
            let next = self.next();
            let until = match (next, deadline) {
                (Some(next), Some(deadline)) => Some(next.min(deadline)),
                (next, deadline) => next.or(deadline),
            };
            sleep(core::ptr::from_ref(self).cast(), until);
            if deadline.is_some() && deadline == until && !self.is_ready() {
                return Err(RecvTimeoutError::Timeout);
            }
        }
    }
}

/// Parks until the moment, or for ever.
#[track_caller]
pub(crate) fn sleep(resource: *const (), until: Option<Instant>) {
    let wait = Wait::new();
    if let Err(missed) = wait.park(Reason::new(Kind::Recv, resource), until) {
        missed.raise();
    }
}
