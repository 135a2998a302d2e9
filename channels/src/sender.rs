//! The sending end of a channel.

use core::fmt;
use core::mem::ManuallyDrop;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::time::Duration;
use std::time::Instant;

use kahn_core::primitives::Arc;
use kahn_core::wait::operation;

use crate::channel::Chan;
use crate::clock;
use crate::error::{SendError, SendTimeoutError, TrySendError};
use crate::reservation::Reservation;

/// The sending end of a channel.
///
/// Clones send into the same channel. When the last sender is dropped, the channel is disconnected: receivers get the
/// messages that are left, and then [`RecvError`](crate::RecvError).
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

// No panic leaves a message half moved: the channel's state is consistent whenever its lock is free.
impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}

impl<T> Sender<T> {
    /// Sends a message, and waits until there is a place for it. With capacity 0, waits for a receiver.
    ///
    /// # Parks
    ///
    /// Parks while the channel is full. A cancel drops the message.
    ///
    /// # Errors
    ///
    /// Returns the message if the channel is disconnected or closed.
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

    /// Sends a message if that is possible without waiting.
    ///
    /// # Parks
    ///
    /// Never waits.
    ///
    /// # Errors
    ///
    /// Returns the message if the channel is full (with capacity 0: if no receiver waits), disconnected or closed.
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
    /// Parks while the channel is full, until the timeout has elapsed. A cancel drops the message.
    ///
    /// # Errors
    ///
    /// Returns the message if the timeout has elapsed, or if the channel is disconnected or closed.
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
            // The clock is read only if the send has to wait.
            Err(TrySendError::Full(msg)) => self.chan.send(msg, clock::deadline_in(timeout)),
        }
    }

    /// Sends a message, and waits for a place until `deadline`.
    ///
    /// # Parks
    ///
    /// Like [`send_timeout`](Self::send_timeout).
    ///
    /// # Errors
    ///
    /// Like [`send_timeout`](Self::send_timeout).
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

    /// Waits until there is a place in the channel, and reserves it. Sending with the permit then never waits.
    ///
    /// With capacity 0 the place is a receiver. The receiver is bound to the permit until the permit is used or
    /// dropped, even if the receiver's own deadline passes meanwhile.
    ///
    /// # Parks
    ///
    /// Parks while the channel is full. With capacity 0, parks until a receiver waits.
    ///
    /// # Errors
    ///
    /// Returns an error if the channel is disconnected or closed.
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
        if self.chan.reserve_send() { Ok(Permit { sender: self }) } else { Err(SendError(())) }
    }

    /// Reserves a place in the channel if there is one. Sending with the permit then never waits.
    ///
    /// With capacity 0 the place is a waiting receiver; see [`reserve`](Self::reserve).
    ///
    /// # Parks
    ///
    /// Never waits.
    ///
    /// # Errors
    ///
    /// Returns an error if the channel is full (with capacity 0: if no receiver waits), disconnected or closed.
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
        operation();
        match self.chan.try_reserve_send() {
            Some(Reservation::Reserved) => Ok(Permit { sender: self }),
            Some(Reservation::Closed) => Err(TrySendError::Disconnected(())),
            _ => Err(TrySendError::Full(())),
        }
    }

    /// Returns `true` if every later send fails: all receivers are dropped, or the channel was closed. A channel never
    /// reopens.
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

    /// Closes the channel, as if all senders were dropped.
    ///
    /// Receivers get the messages that are left. Every later send fails, through other clones and through existing
    /// permits too. Senders that wait get their message back.
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

    /// Returns the number of messages in the channel.
    pub fn len(&self) -> usize {
        self.chan.lock().available()
    }

    /// Returns `true` if no message is in the channel. With capacity 0 this is always the case.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns `true` if the channel has no place for another message. With capacity 0 this is always the case.
    pub fn is_full(&self) -> bool {
        !self.chan.lock().has_room()
    }

    /// Returns the capacity. It is always `Some`, because there are no unbounded channels.
    pub fn capacity(&self) -> Option<usize> {
        Some(self.chan.cap)
    }

    /// Returns `true` if both senders send into the same channel.
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
        self.chan.add_sender();
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

/// A reserved place in a channel. Dropping it gives the place back.
///
/// Made by [`Sender::reserve`] and [`Sender::try_reserve`].
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
    /// Sends a message into the reserved place.
    ///
    /// # Parks
    ///
    /// Never waits.
    ///
    /// # Errors
    ///
    /// Returns the message if the channel was disconnected or closed after the reservation.
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
        this.sender.chan.send_reserved(msg).map_err(SendError)
    }
}

impl<T> Drop for Permit<'_, T> {
    fn drop(&mut self) {
        self.sender.chan.release_send();
    }
}

impl<T> fmt::Debug for Permit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Permit { .. }")
    }
}
