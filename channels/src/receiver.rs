//! The receiving end of a channel or of a timer.

use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::time::Duration;
use std::time::Instant;

use kahn_core::primitives::Arc;
use kahn_core::wait::{charge, operation};

use crate::channel::Chan;
use crate::clock;
use crate::error::{RecvError, RecvTimeoutError, TryRecvError};
use crate::flavors::Taken;
use crate::flavors::timer::{Timer, sleep};
use crate::waiters::Wakes;

/// The receiving end of a channel.
///
/// Clones receive from the same channel, and each message goes to one of them. When the last receiver is dropped, the
/// messages that are left are dropped too, and sends fail.
///
/// # Examples
///
/// ```
/// let (tx, rx) = kahn::channel::bounded(4);
/// for n in 0..4 {
///     tx.send(n).unwrap();
/// }
/// drop(tx);
/// assert_eq!(rx.recv(), Ok(0));
/// assert_eq!(rx.iter().collect::<Vec<_>>(), [1, 2, 3]);
/// ```
pub struct Receiver<T> {
    pub(crate) source: Source<T>,
}

/// Where a receiver's messages come from.
pub(crate) enum Source<T> {
    Chan(Arc<Chan<T>>),
    Timer(Arc<Timer<T>>),
    Never,
}

// No panic leaves a message half moved: the channel's state is consistent whenever its lock is free.
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Receiver<T> {
    pub(crate) fn of_channel(chan: Arc<Chan<T>>) -> Receiver<T> {
        Receiver { source: Source::Chan(chan) }
    }

    pub(crate) fn of_timer(timer: Arc<Timer<T>>) -> Receiver<T> {
        Receiver { source: Source::Timer(timer) }
    }

    pub(crate) fn of_never() -> Receiver<T> {
        Receiver { source: Source::Never }
    }

    #[inline(always)]
    #[track_caller]
    fn recv_until(&self, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        match &self.source {
            Source::Chan(chan) => chan.recv(deadline),
            Source::Timer(timer) => timer.recv(deadline),
            Source::Never => self.recv_never(deadline),
        }
    }

    #[cold]
    #[track_caller]
    fn recv_never(&self, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        operation();
        loop {
            sleep(core::ptr::null(), deadline);
            if deadline.is_some() {
                return Err(RecvTimeoutError::Timeout);
            }
        }
    }

    /// Receives a message, and waits until there is one.
    ///
    /// # Parks
    ///
    /// Parks while the channel is empty.
    ///
    /// # Errors
    ///
    /// Returns an error if the channel is empty, and disconnected or closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::{RecvError, bounded};
    ///
    /// let (tx, rx) = bounded(1);
    /// tx.send(5).unwrap();
    /// drop(tx);
    /// assert_eq!(rx.recv(), Ok(5));
    /// assert_eq!(rx.recv(), Err(RecvError));
    /// ```
    #[inline(always)]
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_until(None).map_err(|_| RecvError)
    }

    /// Receives a message if there is one.
    ///
    /// # Parks
    ///
    /// Parks only with capacity 0, if the waiting sender is a select or holds a permit: then waits until that sender
    /// has sent its message or given up.
    ///
    /// # Errors
    ///
    /// Returns [`TryRecvError::Empty`] if no message is in the channel, and [`TryRecvError::Disconnected`] if the
    /// channel is also disconnected or closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::{TryRecvError, bounded};
    ///
    /// let (tx, rx) = bounded::<i32>(1);
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    /// drop(tx);
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        match &self.source {
            Source::Chan(chan) => chan.try_recv(),
            Source::Timer(timer) => {
                operation();
                timer.lock().fire().map(|when| timer.message(when)).ok_or(TryRecvError::Empty)
            }
            Source::Never => {
                operation();
                Err(TryRecvError::Empty)
            }
        }
    }

    /// Receives a message, and waits for one for at most `timeout`.
    ///
    /// # Parks
    ///
    /// Parks while the channel is empty, until the timeout has elapsed. With capacity 0, a receiver that has met a
    /// select or the holder of a permit waits for its message even after the timeout.
    ///
    /// # Errors
    ///
    /// Returns an error if the timeout has elapsed, or if the channel is empty, and disconnected or closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::{RecvTimeoutError, bounded};
    /// use std::time::Duration;
    ///
    /// let (_tx, rx) = bounded::<i32>(1);
    /// assert_eq!(rx.recv_timeout(Duration::from_millis(5)), Err(RecvTimeoutError::Timeout));
    /// ```
    #[inline]
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        if let Source::Chan(chan) = &self.source {
            // The clock is read only if the receive has to wait.
            match chan.recv_now() {
                Taken::Message(msg) => return Ok(msg),
                Taken::Nothing(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Taken::Nothing(TryRecvError::Empty) => {}
                Taken::Unsent => {
                    if let Some(received) = chan.recv_unsent() {
                        return received.map_err(|_| RecvTimeoutError::Disconnected);
                    }
                }
            }
        }
        self.recv_until(clock::deadline_in(timeout))
    }

    /// Receives a message, and waits for one until `deadline`.
    ///
    /// # Parks
    ///
    /// Like [`recv_timeout`](Self::recv_timeout).
    ///
    /// # Errors
    ///
    /// Like [`recv_timeout`](Self::recv_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// let (_tx, rx) = kahn::channel::bounded::<i32>(0);
    /// assert!(rx.recv_deadline(std::time::Instant::now()).unwrap_err().is_timeout());
    /// ```
    #[inline]
    #[track_caller]
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_until(Some(deadline))
    }

    /// Waits for a message, and receives it and as many more as are in the channel, at most `max` in total.
    ///
    /// Appends the messages to `messages`, and returns their number. With `max` 0 it receives nothing and returns 0.
    ///
    /// # Parks
    ///
    /// Parks while the channel is empty.
    ///
    /// # Errors
    ///
    /// Returns an error if the channel is empty, and disconnected or closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::bounded(8);
    /// for n in 0..5 {
    ///     tx.send(n).unwrap();
    /// }
    /// let mut got = Vec::new();
    /// assert_eq!(rx.recv_many(&mut got, 3), Ok(3));
    /// assert_eq!(rx.recv_many(&mut got, 3), Ok(2));
    /// assert_eq!(got, [0, 1, 2, 3, 4]);
    /// ```
    #[track_caller]
    pub fn recv_many(&self, messages: &mut Vec<T>, max: usize) -> Result<usize, RecvError> {
        // The messages are charged to the budget after they have been taken, because their number is known only then.
        operation();
        if max == 0 {
            return Ok(0);
        }
        let Source::Chan(chan) = &self.source else {
            messages.push(self.recv()?);
            return Ok(1);
        };
        // Memory for the messages that are in the channel now is allocated before locking.
        let room = chan.lock().available().min(max);
        messages.reserve(room);
        let before = messages.len();
        let mut wakes = Wakes::new();
        let mut state = chan.lock();
        while messages.len() - before < room {
            let Some(msg) = state.recv_stored(&mut wakes) else { break };
            messages.push(msg);
        }
        drop(state);
        drop(wakes);
        if messages.len() == before {
            messages.push(self.recv()?);
            // The first message has arrived. Take the messages that have arrived with it.
            while messages.len() - before < max {
                let Some(msg) = chan.recv_stored() else { break };
                messages.push(msg);
            }
        }
        let count = messages.len() - before;
        charge(u32::try_from(count).unwrap_or(u32::MAX));
        Ok(count)
    }

    /// Closes the channel.
    ///
    /// Later sends fail. Senders that wait get their message back. Receivers get the messages that are left, and then
    /// errors. On a timer this does nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::bounded(2);
    /// tx.send(1).unwrap();
    /// rx.close();
    /// assert!(tx.send(2).is_err());
    /// assert_eq!(rx.recv(), Ok(1));
    /// assert!(rx.recv().is_err());
    /// ```
    pub fn close(&self) {
        if let Source::Chan(chan) = &self.source {
            chan.close();
        }
    }

    /// Returns `true` if no further message will be sent: all senders are dropped, or the channel was closed. Messages
    /// may still be in the channel.
    ///
    /// A channel never reopens. A timer is never closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::bounded(1);
    /// tx.send(5).unwrap();
    /// assert!(!rx.is_closed());
    /// drop(tx);
    /// assert!(rx.is_closed());
    /// assert_eq!(rx.recv(), Ok(5));
    /// ```
    pub fn is_closed(&self) -> bool {
        match &self.source {
            Source::Chan(chan) => chan.lock().closed,
            Source::Timer(_) | Source::Never => false,
        }
    }

    /// Returns the number of messages in the channel. For a timer it is 1 if a message is due, and otherwise 0.
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Chan(chan) => chan.lock().available(),
            Source::Timer(timer) => usize::from(timer.lock().is_ready()),
            Source::Never => 0,
        }
    }

    /// Returns `true` if no message is in the channel. With capacity 0 this is always the case.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns `true` if the channel has no place for another message. With capacity 0 this is always the case.
    pub fn is_full(&self) -> bool {
        match &self.source {
            Source::Chan(chan) => !chan.lock().has_room(),
            Source::Timer(timer) => timer.lock().is_ready(),
            Source::Never => true,
        }
    }

    /// Returns the capacity. For a timer it is 1, and for [`never`](crate::never) 0. It is always `Some`, because there
    /// are no unbounded channels.
    pub fn capacity(&self) -> Option<usize> {
        Some(match &self.source {
            Source::Chan(chan) => chan.cap,
            Source::Timer(_) => 1,
            Source::Never => 0,
        })
    }

    /// Returns `true` if both receivers receive from the same channel or timer.
    ///
    /// # Examples
    ///
    /// ```
    /// let (_tx, rx) = kahn::channel::bounded::<i32>(2);
    /// let (_other, other) = kahn::channel::bounded(2);
    /// assert!(rx.same_channel(&rx.clone()));
    /// assert!(!rx.same_channel(&other));
    /// ```
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        match (&self.source, &other.source) {
            (Source::Chan(one), Source::Chan(other)) => Arc::ptr_eq(one, other),
            (Source::Timer(one), Source::Timer(other)) => Arc::ptr_eq(one, other),
            (Source::Never, Source::Never) => true,
            _ => false,
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        Receiver {
            source: match &self.source {
                Source::Chan(chan) => {
                    chan.add_receiver();
                    Source::Chan(chan.clone())
                }
                Source::Timer(timer) => Source::Timer(timer.clone()),
                Source::Never => Source::Never,
            },
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if let Source::Chan(chan) = &self.source {
            chan.remove_receiver();
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Receiver { .. }")
    }
}
