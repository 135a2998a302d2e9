//! Timers with the interface of a channel.
//!
//! A timer has neither a queue nor a thread. Its message is made by the receiver that finds that the message is due. (A
//! receiver in async code is woken by the `task_timer` thread.)

use core::time::Duration;
use std::time::Instant;

use kahn_core::primitives::Lock;
use kahn_core::wait::{Kind, Reason, Wait, operation};

use crate::clock;
use crate::error::RecvTimeoutError;

/// A channel whose messages are instants. `T` is always `Instant`. The type is generic only so that a receiver of any
/// type can hold it.
pub(crate) struct Timer<T> {
    state: Lock<State>,
    /// The time from one message to the next. `None` if there is only one message.
    period: Option<Duration>,
    /// Makes the message. It is the identity function, passed in where `T` is known to be `Instant`.
    message: fn(Instant) -> T,
}

struct State {
    /// When the next message is due. `None` if no message will come.
    next: Option<Instant>,
    /// The number of messages that were taken.
    fired: u64,
}

impl<T> Timer<T> {
    pub(crate) fn new(next: Instant, period: Option<Duration>, message: fn(Instant) -> T) -> Timer<T> {
        Timer { state: Lock::new(State { next: Some(next), fired: 0 }), period, message }
    }

    /// Returns when the next message is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.state.lock().next
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.next().is_some_and(|when| clock::now() >= when)
    }

    /// Returns `None` while a message is due. Otherwise returns a number that has changed if a message was due, and was
    /// taken, since an earlier call.
    pub(crate) fn idle_since(&self) -> Option<u64> {
        let state = self.state.lock();
        let is_ready = state.next.is_some_and(|when| clock::now() >= when);
        (!is_ready).then_some(state.fired)
    }

    /// Makes the message for an instant.
    pub(crate) fn message(&self, when: Instant) -> T {
        (self.message)(when)
    }

    /// Takes the next message if it is due. Only one receiver gets it.
    pub(crate) fn fire(&self) -> Option<Instant> {
        let mut state = self.state.lock();
        let when = state.next?;
        let now = clock::now();
        if now < when {
            return None;
        }
        state.fired += 1;
        state.next = self.period.and_then(|period| {
            // Messages whose whole period has passed are skipped. A message that is received late, within its period,
            // does not delay the next.
            let on_time = when.checked_add(period);
            if on_time.is_some_and(|next| next > now) { on_time } else { now.checked_add(period) }
        });
        Some(when)
    }

    /// Takes back a message that was taken and not used.
    pub(crate) fn put_back(&self, when: Instant) {
        self.state.lock().next = Some(when);
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

/// Parks until the given instant, or forever.
#[track_caller]
pub(crate) fn sleep(resource: *const (), until: Option<Instant>) {
    let wait = Wait::new();
    if let Err(missed) = wait.park(Reason::new(Kind::Recv, resource), until) {
        missed.raise();
    }
}

#[cfg(all(test, not(kahn_loom)))]
mod tests {
    use super::*;

    #[test]
    fn idle_since_changes_when_a_message_was_due_and_was_taken() {
        let timer = Timer::new(clock::now(), Some(Duration::from_millis(20)), |when| when);
        let mut before = None;
        for _ in 0..3 {
            let idle = loop {
                if timer.fire().is_none()
                    && let Some(idle) = timer.idle_since()
                {
                    break idle;
                }
            };
            assert_ne!(Some(idle), before);
            before = Some(idle);
            while !timer.is_ready() {
                std::thread::yield_now();
            }
            assert_eq!(timer.idle_since(), None);
            assert!(timer.fire().is_some());
        }
    }
}
