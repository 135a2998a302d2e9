//! Timers with the interface of a channel.
//!
//! A timer has no thread. Its message is made by the receiver that finds that the message is due. (A receiver in async
//! code is woken by the thread of a `TaskTimer`.)
//!
//! A waiting receiver sleeps until the instant at which the next message is due. That instant only moves forward while
//! messages are taken, so the receiver does not miss it. It moves back only if a select gives up a message that it has
//! taken. Therefore each receiver that waits is in the timer's queue, and a message that is given up wakes all of them.
//! They look again, and one takes the message.

use core::ptr::NonNull;
use core::time::Duration;
use std::time::Instant;

use kahn_core::primitives::{Lock, LockGuard};
use kahn_core::wait::{Elapsed, Kind, Node, Reason, Wait, WaitQueue, Wake, operation};

use crate::clock;
use crate::error::RecvTimeoutError;

/// A channel whose messages are instants. `T` is always `Instant`. The type is generic only so that a receiver of any
/// type can hold it.
pub(crate) struct Timer<T> {
    state: Lock<TimerState>,
    /// Makes the message. It is the identity function, passed in where `T` is known to be `Instant`.
    message: fn(Instant) -> T,
}

pub(crate) struct TimerState {
    /// When the next message is due. `None` if no message will come.
    pub(crate) next: Option<Instant>,
    /// The time from one message to the next. `None` if there is only one message.
    period: Option<Duration>,
    /// The number of messages that were taken.
    fired: u64,
    /// The receivers that wait, of every kind: threads, tasks and selects.
    pub(crate) waiters: WaitQueue,
}

impl TimerState {
    /// Whether a message is due.
    pub(crate) fn is_ready(&self) -> bool {
        self.next.is_some_and(|when| clock::now() >= when)
    }

    /// Takes the next message if it is due. Only one receiver gets it.
    pub(crate) fn fire(&mut self) -> Option<Instant> {
        let when = self.next?;
        let now = clock::now();
        if now < when {
            return None;
        }
        self.fired += 1;
        self.next = self.period.and_then(|period| {
            // Messages whose whole period has passed are skipped. A message that is received late, within its period,
            // does not delay the next.
            let on_time = when.checked_add(period);
            if on_time.is_some_and(|next| next > now) { on_time } else { now.checked_add(period) }
        });
        Some(when)
    }
}

impl<T> Timer<T> {
    pub(crate) fn new(next: Instant, period: Option<Duration>, message: fn(Instant) -> T) -> Timer<T> {
        let state = TimerState { next: Some(next), period, fired: 0, waiters: WaitQueue::new() };
        Timer { state: Lock::new(state), message }
    }

    #[inline]
    pub(crate) fn lock(&self) -> LockGuard<'_, TimerState> {
        self.state.lock()
    }

    /// Returns `None` while a message is due. Otherwise returns a number that has changed if a message was due, and was
    /// taken, since an earlier call.
    pub(crate) fn idle_since(&self) -> Option<u64> {
        let state = self.lock();
        (!state.is_ready()).then_some(state.fired)
    }

    /// Makes the message for an instant.
    pub(crate) fn message(&self, when: Instant) -> T {
        (self.message)(when)
    }

    /// Takes back a message that was taken and not used.
    pub(crate) fn put_back(&self, when: Instant) {
        let mut state = self.lock();
        // At most one message is kept: the earliest.
        state.next = Some(state.next.map_or(when, |next| next.min(when)));
        let claimed = core::iter::from_fn(|| state.waiters.claim_next());
        let wakes: Vec<Wake> = claimed.map(|claimed| claimed.wake).collect();
        drop(state);
        drop(wakes);
    }

    #[track_caller]
    pub(crate) fn recv(&self, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        operation();
        loop {
            let mut state = self.lock();
            if let Some(when) = state.fire() {
                return Ok(self.message(when));
            }
            let until = match (state.next, deadline) {
                (Some(next), Some(deadline)) => Some(next.min(deadline)),
                (next, deadline) => next.or(deadline),
            };
            let reason = Reason::new(Kind::Recv, core::ptr::from_ref(self));
            let waited = self.wait(state, reason, until);
            if waited.is_err() && deadline.is_some() && deadline == until && !self.lock().is_ready() {
                return Err(RecvTimeoutError::Timeout);
            }
        }
    }

    /// Waits until woken. Releases the lock while it waits. This is not a `WaitList`, because a select waits in the
    /// queue, too, with nodes in several queues at once.
    fn wait(
        &self,
        mut state: LockGuard<'_, TimerState>,
        reason: Reason,
        deadline: Option<Instant>,
    ) -> Result<(), Elapsed> {
        let wait = Wait::new();
        let node = Node::new(wait.waiter(), 0, core::ptr::null_mut());
        // SAFETY: the wait is open. The node stays at its address until the wait is over and the node is out of the
        // queue, claimed or removed below.
        unsafe { state.waiters.push(NonNull::from(&node)) };
        drop(state);
        match wait.park(reason, deadline) {
            Ok(_) => Ok(()),
            Err(error) => {
                // SAFETY: the node was put into this queue, and is valid.
                unsafe { self.lock().waiters.remove(NonNull::from(&node)) };
                Err(error.raise())
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
    fn idle_since_changes_when_a_due_message_is_taken() {
        let timer = Timer::new(clock::now(), Some(Duration::from_millis(20)), |when| when);
        let mut before = None;
        for _ in 0..3 {
            let idle = loop {
                if timer.lock().fire().is_none()
                    && let Some(idle) = timer.idle_since()
                {
                    break idle;
                }
            };
            assert_ne!(Some(idle), before);
            before = Some(idle);
            while !timer.lock().is_ready() {
                std::thread::yield_now();
            }
            assert_eq!(timer.idle_since(), None);
            assert!(timer.lock().fire().is_some());
        }
    }
}
