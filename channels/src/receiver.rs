//! The receiving side: of a channel, of a timer, or of nothing at all.

use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::time::Duration;
use std::time::Instant;

use kahn_core::facade::Arc;
use kahn_core::wait::{charge, operation};

use crate::bounded::Chan;
use crate::clock;
use crate::ends;
use crate::error::{RecvError, RecvTimeoutError, TryRecvError};
use crate::state::{Taken, Wakes};
use crate::timers::{Timer, sleep};

/// The receiving end of a channel. Clones receive from the same channel: each message goes to one of them. When the last
/// one is gone, the messages left are dropped, and sends fail.
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

// No message is ever seen half made: the state is consistent whenever its lock is free.
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
        loop {
            sleep(core::ptr::null(), deadline);
            if deadline.is_some() {
                return Err(RecvTimeoutError::Timeout);
            }
        }
    }

    /// Receives a message, and waits for it.
    ///
    /// # Parks
    ///
    /// While the channel is empty.
    ///
    /// # Errors
    ///
    /// The channel is empty, and disconnected or closed.
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

    /// Receives a message if one is there.
    ///
    /// # Parks
    ///
    /// Only with capacity 0, when the sender that waits is a select or holds a permit: it has to bring its message first.
    ///
    /// # Errors
    ///
    /// The channel is empty, or empty and disconnected or closed.
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
                timer.fire().map(|when| timer.message(when)).ok_or(TryRecvError::Empty)
            }
            Source::Never => {
                operation();
                Err(TryRecvError::Empty)
            }
        }
    }

    /// Receives a message, and waits for it for at most `timeout`.
    ///
    /// # Parks
    ///
    /// While the channel is empty, until the time is over. With capacity 0, a receiver that has met a selected sender
    /// waits for its message past the time.
    ///
    /// # Errors
    ///
    /// The time is over, or the channel is empty, and disconnected or closed.
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
            // The clock is read only where something has to be waited for.
            match chan.recv_now() {
                Taken::Message(msg) => return Ok(msg),
                Taken::Nothing(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Taken::Nothing(TryRecvError::Empty) => {}
                Taken::Promised => {
                    if let Some(fetched) = chan.fetch() {
                        return fetched.map_err(|_| RecvTimeoutError::Disconnected);
                    }
                }
            }
        }
        self.recv_until(clock::deadline_in(timeout))
    }

    /// Receives a message, and waits for it until `deadline` at most.
    ///
    /// # Parks
    ///
    /// As [`recv_timeout`](Self::recv_timeout).
    ///
    /// # Errors
    ///
    /// As [`recv_timeout`](Self::recv_timeout).
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

    /// Receives at least one message, waiting for it, and as many more as are there, up to `max`. Appends them to
    /// `messages`, and answers how many they were. With `max` 0 nothing is done.
    ///
    /// # Parks
    ///
    /// While the channel is empty.
    ///
    /// # Errors
    ///
    /// The channel is empty, and disconnected or closed.
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
        // What it takes is charged when it has been taken.
        operation();
        if max == 0 {
            return Ok(0);
        }
        let Source::Chan(chan) = &self.source else {
            messages.push(self.recv()?);
            return Ok(1);
        };
        // Room is made outside of the lock, for what is there now.
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
            // Woken with the first: take what has come with it.
            while messages.len() - before < max {
                let Some(msg) = chan.recv_stored() else { break };
                messages.push(msg);
            }
        }
        let count = messages.len() - before;
        charge(u32::try_from(count).unwrap_or(u32::MAX));
        Ok(count)
    }

    /// Ends the channel: later sends fail, senders that wait get their message back, and receivers get what is left,
    /// then errors. A timer is not ended by it.
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

    /// Whether no message will come any more but those that are there: the senders are gone, or the channel was closed.
    /// Once true, it stays. A timer is never closed.
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

    /// How many messages are in the channel. Of a timer: 1 if its moment has come.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::bounded(2);
    /// tx.send(1).unwrap();
    /// assert_eq!(rx.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Chan(chan) => chan.lock().available(),
            Source::Timer(timer) => usize::from(timer.is_ready()),
            Source::Never => 0,
        }
    }

    /// Whether no message is in the channel. With capacity 0 always.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::bounded(2);
    /// assert!(rx.is_empty());
    /// tx.send(1).unwrap();
    /// assert!(!rx.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the channel has no place for another message. With capacity 0 always.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::bounded(1);
    /// assert!(!rx.is_full());
    /// tx.send(1).unwrap();
    /// assert!(rx.is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        match &self.source {
            Source::Chan(chan) => !chan.lock().has_room(),
            Source::Timer(timer) => timer.is_ready(),
            Source::Never => true,
        }
    }

    /// The capacity: of a timer 1, of [`never`](crate::never) 0. Always `Some`: there are no unbounded channels.
    ///
    /// # Examples
    ///
    /// ```
    /// let (_tx, rx) = kahn::channel::bounded::<i32>(2);
    /// assert_eq!(rx.capacity(), Some(2));
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        Some(match &self.source {
            Source::Chan(chan) => chan.cap,
            Source::Timer(_) => 1,
            Source::Never => 0,
        })
    }

    /// Whether both receive from the same channel or timer.
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
                    ends::add(&chan.receivers);
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
