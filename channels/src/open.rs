//! Constructors of channels and timers.

use core::time::Duration;
use std::time::Instant;

use kahn_core::primitives::Arc;

use crate::channel::Chan;
use crate::clock;
use crate::flavors::timer::Timer;
use crate::receiver::Receiver;
use crate::sender::Sender;

/// Makes a channel that holds at most `cap` messages, and returns its two ends.
///
/// With `cap` 0 the channel holds no messages: a send and a receive wait for each other (a rendezvous).
///
/// The buffer is allocated as it fills, so that a large capacity costs nothing until it is used.
///
/// # Examples
///
/// ```
/// let (tx, rx) = kahn::channel::bounded(2);
/// tx.send("one").unwrap();
/// tx.send("two").unwrap();
/// assert!(tx.try_send("three").is_err());
/// assert_eq!(rx.recv(), Ok("one"));
/// ```
pub fn bounded<T>(cap: usize) -> (Sender<T>, Receiver<T>) {
    let chan = Arc::new(Chan::new(cap));
    (Sender { chan: chan.clone() }, Receiver::of_channel(chan))
}

fn timer(next: Option<Instant>, period: Option<Duration>) -> Receiver<Instant> {
    match next {
        Some(when) => Receiver::of_timer(Arc::new(Timer::new(when, period, |when| when))),
        None => never(),
    }
}

/// Makes a receiver that gets one message, `duration` from now. The message is the instant at which it was due.
///
/// After that message the channel is empty, and it is never disconnected. If the clock cannot express the instant, no
/// message comes.
///
/// # Examples
///
/// ```
/// use kahn::channel::{after, bounded, select};
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

/// Makes a receiver that gets one message, at the instant `when`. The message is `when`.
///
/// After that message the channel is empty, and it is never disconnected.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let when = Instant::now() + Duration::from_millis(5);
/// assert_eq!(kahn::channel::at(when).recv(), Ok(when));
/// ```
pub fn at(when: Instant) -> Receiver<Instant> {
    timer(Some(when), None)
}

/// Makes a receiver that gets a message every `duration`. The message is the instant at which it was due.
///
/// At most one message is kept. Messages that are due while the last one has not been received are skipped. The channel
/// is never disconnected.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let ticker = kahn::channel::tick(Duration::from_millis(5));
/// ticker.recv().unwrap();
/// ticker.recv().unwrap();
/// assert!(start.elapsed() >= Duration::from_millis(10));
/// ```
pub fn tick(duration: Duration) -> Receiver<Instant> {
    timer(clock::deadline_in(duration), Some(duration))
}

/// Makes a receiver that never gets a message and is never disconnected. It switches off an arm of a select.
///
/// # Examples
///
/// ```
/// use kahn::channel::{bounded, never, select};
///
/// let (tx, rx) = bounded(1);
/// tx.send(1).unwrap();
/// let disabled: Option<&kahn::channel::Receiver<i32>> = None;
/// select! {
///     recv(rx) -> msg => assert_eq!(msg, Ok(1)),
///     recv(disabled.unwrap_or(&never())) -> _ => unreachable!(),
/// }
/// ```
pub fn never<T>() -> Receiver<T> {
    Receiver::of_never()
}
