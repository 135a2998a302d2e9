//! Timers as channels: `after`, `at`, `tick` and `never`. No thread and no queue is behind them: the message is made by
//! the receiver that finds that its moment has come.

use core::time::Duration;
use std::time::Instant;

use kahn_core::facade::{Arc, Lock};
use kahn_core::wait::{Kind, Reason, Wait};

use crate::clock;
use crate::error::RecvTimeoutError;
use crate::receiver::Receiver;

/// A channel whose messages are moments. `T` is `Instant`; it is generic only so that [`Receiver`] can hold it.
pub(crate) struct Timer<T> {
    /// When the next message comes; `None` if no more will.
    next: Lock<Option<Instant>>,
    /// From one message to the next; `None` if there is only one.
    period: Option<Duration>,
    /// Makes the message. The identity, given where `T` is known.
    message: fn(Instant) -> T,
}

impl<T> Timer<T> {
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

fn timer(next: Option<Instant>, period: Option<Duration>) -> Receiver<Instant> {
    match next {
        Some(when) => {
            Receiver::of_timer(Arc::new(Timer { next: Lock::new(Some(when)), period, message: |when| when }))
        }
        None => never(),
    }
}

/// A receiver that gets one message, the moment `duration` from now, when that moment has come. After that the channel
/// is empty, and never disconnected. A duration that the clock cannot express is never over.
///
/// # Examples
///
/// ```
/// use kahn_channels::{after, bounded, select};
/// use std::time::Duration;
///
/// let (_tx, rx) = bounded::<u32>(1);
/// select! {
///     recv(rx) -> _ => unreachable!(),
///     recv(after(Duration::from_millis(5))) -> moment => assert!(moment.is_ok()),
/// }
/// ```
pub fn after(duration: Duration) -> Receiver<Instant> {
    timer(clock::deadline_in(duration), None)
}

/// A receiver that gets one message, `when`, when that moment has come. After that the channel is empty, and never
/// disconnected.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let when = Instant::now() + Duration::from_millis(5);
/// assert_eq!(kahn_channels::at(when).recv(), Ok(when));
/// ```
pub fn at(when: Instant) -> Receiver<Instant> {
    timer(Some(when), None)
}

/// A receiver that gets a message every `duration`, the moment at which it was due. At most one message is kept:
/// those that are missed while nobody receives are skipped. It is never disconnected.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let ticker = kahn_channels::tick(Duration::from_millis(5));
/// ticker.recv().unwrap();
/// ticker.recv().unwrap();
/// assert!(start.elapsed() >= Duration::from_millis(10));
/// ```
pub fn tick(duration: Duration) -> Receiver<Instant> {
    timer(clock::deadline_in(duration), Some(duration))
}

/// A receiver that never gets a message and is never disconnected: an arm of a select that is switched off.
///
/// # Examples
///
/// ```
/// use kahn_channels::{bounded, never, select};
///
/// let (tx, rx) = bounded(1);
/// tx.send(1).unwrap();
/// let disabled: Option<&kahn_channels::Receiver<i32>> = None;
/// select! {
///     recv(rx) -> msg => assert_eq!(msg, Ok(1)),
///     recv(disabled.unwrap_or(&never())) -> _ => unreachable!(),
/// }
/// ```
pub fn never<T>() -> Receiver<T> {
    Receiver::of_never()
}
