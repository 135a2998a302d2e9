//! The sending side.

use core::fmt;
use core::mem::ManuallyDrop;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::time::Duration;
use std::time::Instant;

use kahn_core::facade::Arc;
use kahn_core::wait::operation;

use crate::bounded::Chan;
use crate::clock;
use crate::ends;
use crate::error::{SendError, SendTimeoutError, TrySendError};
use crate::grants::Offer;

/// The sending end of a channel. Clones send into the same channel; when the last one is gone, receivers get what is
/// left and then [`RecvError`](crate::RecvError).
///
/// # Examples
///
/// ```
/// let (tx, rx) = kahn::channel::bounded(1);
/// let other = tx.clone();
/// std::thread::spawn(move || other.send(5).unwrap());
/// drop(tx);
/// assert_eq!(rx.iter().sum::<i32>(), 5);
/// ```
pub struct Sender<T> {
    pub(crate) chan: Arc<Chan<T>>,
}

// No message is ever seen half made: the state is consistent whenever its lock is free.
impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}

impl<T> Sender<T> {
    /// Sends a message, and waits for a place, or with capacity 0 for a receiver.
    ///
    /// # Parks
    ///
    /// While the channel is full. A cancel drops the message.
    ///
    /// # Errors
    ///
    /// The channel is disconnected or closed; the message is handed back.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::bounded(1);
    /// tx.send(1).unwrap();
    /// drop(rx);
    /// assert_eq!(tx.send(2).unwrap_err().into_inner(), 2);
    /// ```
    #[inline(always)]
    #[track_caller]
    pub fn send(&self, msg: T) -> Result<(), SendError<T>> {
        self.chan.send(msg, None).map_err(|err| SendError(err.into_inner()))
    }

    /// Sends a message if it can be done at once.
    ///
    /// # Parks
    ///
    /// Never waits.
    ///
    /// # Errors
    ///
    /// The channel is full (with capacity 0: no receiver waits), disconnected or closed; the message is handed back.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::{TrySendError, bounded};
    ///
    /// let (tx, _rx) = bounded(1);
    /// assert_eq!(tx.try_send(1), Ok(()));
    /// assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
    /// ```
    #[inline]
    pub fn try_send(&self, msg: T) -> Result<(), TrySendError<T>> {
        if !self.chan.send_hint() {
            operation();
            return Err(TrySendError::Full(msg));
        }
        self.chan.send_now(msg)
    }

    /// Sends a message, and waits for a place for at most `timeout`.
    ///
    /// # Parks
    ///
    /// While the channel is full, until the time is over. A cancel drops the message.
    ///
    /// # Errors
    ///
    /// The time is over, or the channel is disconnected or closed; the message is handed back.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::{SendTimeoutError, bounded};
    /// use std::time::Duration;
    ///
    /// let (tx, _rx) = bounded(0);
    /// assert_eq!(tx.send_timeout(1, Duration::from_millis(5)), Err(SendTimeoutError::Timeout(1)));
    /// ```
    #[inline]
    #[track_caller]
    pub fn send_timeout(&self, msg: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        match self.chan.send_now(msg) {
            Ok(()) => Ok(()),
            Err(TrySendError::Disconnected(msg)) => Err(SendTimeoutError::Disconnected(msg)),
            // The clock is read only where something has to be waited for.
            Err(TrySendError::Full(msg)) => self.chan.send(msg, clock::deadline_in(timeout)),
        }
    }

    /// Sends a message, and waits for a place until `deadline` at most.
    ///
    /// # Parks
    ///
    /// As [`send_timeout`](Self::send_timeout).
    ///
    /// # Errors
    ///
    /// As [`send_timeout`](Self::send_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, _rx) = kahn::channel::bounded(0);
    /// assert!(tx.send_deadline(1, std::time::Instant::now()).unwrap_err().is_timeout());
    /// ```
    #[inline]
    #[track_caller]
    pub fn send_deadline(&self, msg: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.chan.send(msg, Some(deadline))
    }

    /// Takes a place first; the message comes later, and then never waits.
    ///
    /// With capacity 0 the place is a receiver: it is bound to the permit from now on, past its own deadline if need be,
    /// until the permit is used or dropped.
    ///
    /// # Parks
    ///
    /// While the channel is full.
    ///
    /// # Errors
    ///
    /// The channel is disconnected or closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::bounded(1);
    /// let permit = tx.reserve().unwrap();
    /// assert!(tx.try_send(2).is_err());
    /// permit.send(1).unwrap();
    /// assert_eq!(rx.recv(), Ok(1));
    /// ```
    #[inline]
    #[track_caller]
    pub fn reserve(&self) -> Result<Permit<'_, T>, SendError<()>> {
        if self.chan.reserve() { Ok(Permit { sender: self }) } else { Err(SendError(())) }
    }

    /// Takes a place if there is one; the message comes later, and then never waits. With capacity 0 the place is a
    /// receiver that waits, see [`reserve`](Self::reserve).
    ///
    /// # Parks
    ///
    /// Never waits.
    ///
    /// # Errors
    ///
    /// The channel is full (with capacity 0: no receiver waits), disconnected or closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::{TrySendError, bounded};
    ///
    /// let (tx, rx) = bounded(1);
    /// let permit = tx.try_reserve().unwrap();
    /// assert_eq!(tx.try_reserve().unwrap_err(), TrySendError::Full(()));
    /// permit.send(1).unwrap();
    /// assert_eq!(rx.recv(), Ok(1));
    /// drop(rx);
    /// assert_eq!(tx.try_reserve().unwrap_err(), TrySendError::Disconnected(()));
    /// ```
    pub fn try_reserve(&self) -> Result<Permit<'_, T>, TrySendError<()>> {
        match self.chan.try_reserve() {
            Offer::Granted => Ok(Permit { sender: self }),
            Offer::Closed => Err(TrySendError::Disconnected(())),
            _ => Err(TrySendError::Full(())),
        }
    }

    /// Whether every later send fails: the receivers are gone, or the channel was closed. Once true, it stays.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::bounded::<i32>(1);
    /// assert!(!tx.is_closed());
    /// drop(rx);
    /// assert!(tx.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.chan.lock().closed
    }

    /// Ends the channel, as if all senders were gone: receivers get what is left, and every later send fails, also on
    /// other clones and with permits given out before. Senders that wait get their message back.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::bounded(2);
    /// tx.send(1).unwrap();
    /// tx.close();
    /// assert!(tx.send(2).is_err());
    /// assert_eq!(rx.iter().collect::<Vec<_>>(), [1]);
    /// ```
    pub fn close(&self) {
        self.chan.close();
    }

    /// How many messages are in the channel.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, _rx) = kahn::channel::bounded(2);
    /// tx.send(1).unwrap();
    /// assert_eq!(tx.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.chan.lock().available()
    }

    /// Whether no message is in the channel. With capacity 0 always.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, _rx) = kahn::channel::bounded(2);
    /// assert!(tx.is_empty());
    /// tx.send(1).unwrap();
    /// assert!(!tx.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the channel has no place for another message. With capacity 0 always.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, _rx) = kahn::channel::bounded(1);
    /// assert!(!tx.is_full());
    /// tx.send(1).unwrap();
    /// assert!(tx.is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        !self.chan.lock().has_room()
    }

    /// The capacity. Always `Some`: there are no unbounded channels.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, _rx) = kahn::channel::bounded::<i32>(2);
    /// assert_eq!(tx.capacity(), Some(2));
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        Some(self.chan.cap)
    }

    /// Whether both send into the same channel.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, _rx) = kahn::channel::bounded::<i32>(2);
    /// let (other, _other) = kahn::channel::bounded(2);
    /// assert!(tx.same_channel(&tx.clone()));
    /// assert!(!tx.same_channel(&other));
    /// ```
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Arc::ptr_eq(&self.chan, &other.chan)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        ends::add(&self.chan.senders);
        Sender { chan: self.chan.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.chan.remove_sender();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Sender { .. }")
    }
}

/// A place in a channel, taken before the message is there. Dropping it gives the place back.
///
/// # Examples
///
/// ```
/// let (tx, rx) = kahn::channel::bounded(1);
/// drop(tx.reserve().unwrap());
/// tx.reserve().unwrap().send(1).unwrap();
/// assert_eq!(rx.recv(), Ok(1));
/// ```
#[must_use = "the place is given back when this is dropped"]
pub struct Permit<'a, T> {
    sender: &'a Sender<T>,
}

impl<T> Permit<'_, T> {
    /// Puts the message into the place. Does not wait.
    ///
    /// # Parks
    ///
    /// Never waits.
    ///
    /// # Errors
    ///
    /// The channel has been disconnected or closed since; the message is handed back.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::bounded(1);
    /// let permit = tx.reserve().unwrap();
    /// drop(rx);
    /// assert!(permit.send(1).is_err());
    /// ```
    pub fn send(self, msg: T) -> Result<(), SendError<T>> {
        let this = ManuallyDrop::new(self);
        this.sender.chan.fill_permit(msg).map_err(SendError)
    }
}

impl<T> Drop for Permit<'_, T> {
    fn drop(&mut self) {
        self.sender.chan.drop_permit();
    }
}

impl<T> fmt::Debug for Permit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Permit { .. }")
    }
}
