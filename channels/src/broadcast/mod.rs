//! A channel in which every subscriber receives every message.
//!
//! The buffer keeps a message until all subscribers that existed when it was sent have received it (`buffer.rs`). So the
//! slowest subscriber bounds the buffer, senders wait for it, and no message is ever skipped.
//!
//! A waiting sender leaves its message in its payload. The receiver that makes room moves the message into the buffer, in
//! the same critical section. So a sender waits only while the buffer is full, and senders are served in the order in
//! which they arrived.

mod buffer;
mod iter;

use core::fmt;
use core::time::Duration;
use std::time::Instant;

use kahn_core::primitives::{Arc, AtomicU64, Ordering};
use kahn_core::wait::{
    Kind, MixedWaitList, Queue, Reason, WaitError, WaitOptions, Waited, noting, operation, shield,
    use_and_drop,
};

use crate::broadcast::buffer::Buffer;
use crate::clock;
use crate::error::{RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError};

pub use iter::{IntoIter, Iter, TryIter};

struct State<T> {
    buffer: Buffer<T>,
    senders: usize,
    closed: bool,
    cap: usize,
}

/// The payload of a sender is its message, until a receiver takes it. That of a receiver is `None`.
type Queues<'a, T> = [Queue<'a, Option<T>>; 2];

const SENDERS: usize = 0;
/// Each message wakes all receivers. A receiver that was woken looks again.
const RECEIVERS: usize = 1;

struct Shared<T> {
    state: MixedWaitList<State<T>, Option<T>, 2>,
}

impl<T> State<T> {
    /// Adds a message to the buffer, for the present subscribers.
    fn put(&mut self, msg: T, queues: &mut Queues<'_, T>) {
        self.buffer.push(msg);
        queues[RECEIVERS].claim_all();
    }

    /// Takes the message for the buffer if there is a place. Returns the message if the channel is closed or has no
    /// subscriber. Otherwise returns `None`, and leaves the message.
    fn look(&mut self, msg: &mut Option<T>, queues: &mut Queues<'_, T>) -> Option<Result<(), T>> {
        if self.closed || self.buffer.subscribers() == 0 {
            return msg.take().map(Err);
        }
        if self.buffer.len() >= self.cap {
            return None;
        }
        self.put(msg.take()?, queues);
        Some(Ok(()))
    }

    /// Fills free places with the messages of waiting senders. If there is no subscriber, all waiting senders fail
    /// instead.
    fn refill(&mut self, queues: &mut Queues<'_, T>) {
        if self.buffer.subscribers() == 0 {
            // They find their messages in their payloads.
            queues[SENDERS].claim_all();
            return;
        }
        while self.buffer.len() < self.cap {
            let Some(msg) = queues[SENDERS].claim_next() else { return };
            let msg = msg.take().expect("a waiting sender has its message");
            self.put(msg, queues);
        }
    }
}

/// Makes a channel in which every subscriber receives every message that is sent after it has subscribed.
///
/// The buffer holds at most `cap` messages that the slowest subscriber has not received. When it is full, senders wait.
///
/// # Panics
///
/// Panics if `cap` is 0: a message has to be kept until all subscribers have received it.
///
/// # Examples
///
/// ```
/// let (tx, first) = kahn::channel::broadcast(4);
/// let second = tx.subscribe();
/// tx.send("hello").unwrap();
/// assert_eq!(first.recv(), Ok("hello"));
/// assert_eq!(second.recv(), Ok("hello"));
/// ```
pub fn broadcast<T>(cap: usize) -> (Sender<T>, Receiver<T>) {
    assert!(cap > 0, "a broadcast channel needs a capacity of at least 1");
    let state = State { buffer: Buffer::new(), senders: 1, closed: false, cap };
    let shared = Arc::new(Shared { state: MixedWaitList::new(state) });
    (Sender { shared: shared.clone() }, Receiver { shared, next: AtomicU64::new(0) })
}

/// The sending end. Clones send to the same subscribers.
///
/// # Examples
///
/// ```
/// let (tx, rx) = kahn::channel::broadcast(4);
/// let other = tx.clone();
/// tx.send(1).unwrap();
/// other.send(2).unwrap();
/// drop((tx, other));
/// assert_eq!(rx.into_iter().collect::<Vec<_>>(), [1, 2]);
/// ```
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    #[track_caller]
    fn send_until(&self, msg: T, deadline: Option<Instant>) -> Result<(), SendTimeoutError<T>> {
        match self.try_send(msg) {
            Ok(()) => Ok(()),
            Err(TrySendError::Disconnected(msg)) => Err(SendTimeoutError::Disconnected(msg)),
            Err(TrySendError::Full(msg)) => {
                self.wait_for_place(msg, Reason::new(Kind::Send, Arc::as_ptr(&self.shared)), deadline)
            }
        }
    }

    #[cold]
    fn wait_for_place(
        &self,
        msg: T,
        reason: Reason,
        deadline: Option<Instant>,
    ) -> Result<(), SendTimeoutError<T>> {
        let options = WaitOptions::new(reason).until(deadline).in_queue(SENDERS).with(Some(msg));
        match self.shared.state.wait_with(options, |state, queues, msg| state.look(msg, queues)) {
            Ok(Waited::Found(Ok(())) | Waited::Woken(None)) => Ok(()),
            Ok(Waited::Found(Err(msg)) | Waited::Woken(Some(msg))) => {
                Err(SendTimeoutError::Disconnected(msg))
            }
            Err((error, msg)) => {
                // If this unwinds, it drops `msg`.
                error.raise();
                Err(SendTimeoutError::Timeout(msg.expect("the sender was not claimed")))
            }
        }
    }

    /// Sends a message to every subscriber, and waits until there is a place in the buffer.
    ///
    /// # Parks
    ///
    /// Parks while the buffer is full, that is, until the slowest subscriber receives a message or is dropped. A cancel
    /// drops the message.
    ///
    /// # Errors
    ///
    /// Returns the message if there is no subscriber, or if the channel was closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::broadcast(1);
    /// tx.send(1).unwrap();
    /// assert_eq!(rx.recv(), Ok(1));
    /// drop(rx);
    /// assert_eq!(tx.send(2).unwrap_err().into_inner(), 2);
    /// ```
    #[track_caller]
    pub fn send(&self, msg: T) -> Result<(), SendError<T>> {
        self.send_until(msg, None).map_err(|err| SendError(err.into_inner()))
    }

    /// Sends a message to every subscriber if there is a place in the buffer.
    ///
    /// # Parks
    ///
    /// Never waits.
    ///
    /// # Errors
    ///
    /// Returns the message if the buffer is full, if there is no subscriber, or if the channel was closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, slow) = kahn::channel::broadcast(1);
    /// tx.send(1).unwrap();
    /// assert!(tx.try_send(2).unwrap_err().is_full());
    /// drop(slow);
    /// assert!(tx.try_send(2).unwrap_err().is_disconnected());
    /// ```
    pub fn try_send(&self, msg: T) -> Result<(), TrySendError<T>> {
        operation();
        let mut msg = Some(msg);
        match self.shared.state.update(|state, queues| state.look(&mut msg, queues)) {
            Some(Ok(())) => Ok(()),
            Some(Err(msg)) => Err(TrySendError::Disconnected(msg)),
            None => Err(TrySendError::Full(msg.expect("a full channel takes no message"))),
        }
    }

    /// Sends a message to every subscriber, and waits for a place in the buffer for at most `timeout`.
    ///
    /// # Parks
    ///
    /// Parks while the buffer is full, until the timeout has elapsed. A cancel drops the message.
    ///
    /// # Errors
    ///
    /// Returns the message in the cases of [`send`](Self::send), and if the timeout has elapsed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let (tx, _slow) = kahn::channel::broadcast(1);
    /// tx.send(1).unwrap();
    /// assert!(tx.send_timeout(2, Duration::from_millis(5)).unwrap_err().is_timeout());
    /// ```
    #[track_caller]
    pub fn send_timeout(&self, msg: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.send_until(msg, clock::deadline_in(timeout))
    }

    /// Adds a subscriber. It receives the messages that are sent from now on.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, first) = kahn::channel::broadcast(4);
    /// tx.send(1).unwrap();
    /// let second = tx.subscribe();
    /// tx.send(2).unwrap();
    /// assert_eq!((first.len(), second.len()), (2, 1));
    /// assert_eq!(second.recv(), Ok(2));
    /// ```
    pub fn subscribe(&self) -> Receiver<T> {
        let next = self.shared.state.with_state(|state| {
            let next = state.buffer.end();
            state.buffer.join(next);
            next
        });
        Receiver { shared: self.shared.clone(), next: AtomicU64::new(next) }
    }

    /// Returns the number of subscribers.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::broadcast::<i32>(4);
    /// assert_eq!(tx.subscribers(), 1);
    /// drop(rx);
    /// assert_eq!(tx.subscribers(), 0);
    /// ```
    pub fn subscribers(&self) -> usize {
        self.shared.state.with_state(|state| state.buffer.subscribers())
    }

    /// Closes the channel. Later sends fail. Subscribers receive the messages that are left.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::broadcast(4);
    /// tx.send(1).unwrap();
    /// tx.close();
    /// assert!(tx.send(2).is_err());
    /// assert_eq!(rx.iter().collect::<Vec<_>>(), [1]);
    /// ```
    pub fn close(&self) {
        close(&self.shared);
    }
}

fn close<T>(shared: &Shared<T>) {
    shared.state.update(|state, queues| {
        state.closed = true;
        queues[RECEIVERS].claim_all();
        // The senders find their messages in their payloads.
        queues[SENDERS].claim_all();
    });
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared.state.with_state(|state| state.senders += 1);
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let is_last = self.shared.state.with_state(|state| {
            state.senders -= 1;
            state.senders == 0
        });
        if is_last {
            close(&self.shared);
        }
    }
}

/// A subscriber. A clone is a new subscriber, with the same next message as the original.
///
/// # Examples
///
/// ```
/// let (tx, rx) = kahn::channel::broadcast(4);
/// tx.send(1).unwrap();
/// // It starts where the first is.
/// let other = rx.clone();
/// assert_eq!((rx.recv(), other.recv()), (Ok(1), Ok(1)));
/// ```
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The number of the next message to receive. Changed only with the lock held.
    next: AtomicU64,
}

impl<T> Receiver<T> {
    /// Takes the next message, or returns an error if none will come. Returns `None` if there is none now.
    fn look(&self, state: &mut State<T>, queues: &mut Queues<'_, T>) -> Option<Result<Arc<T>, RecvError>> {
        // Relaxed: the lock orders all accesses.
        let next = self.next.load(Ordering::Relaxed);
        let Some(taken) = state.buffer.take(next) else { return state.closed.then_some(Err(RecvError)) };
        self.next.store(next + 1, Ordering::Relaxed);
        if taken.was_last {
            state.refill(queues);
        }
        Some(Ok(taken.content))
    }
}

impl<T: Clone> Receiver<T> {
    /// Clones the message for this subscriber, outside of the lock. The subscriber has moved past the message, which an
    /// unwind from here would lose. So the user code in here is shielded.
    fn own(message: Arc<T>) -> T {
        shield(|| use_and_drop(message, |message| T::clone(message)))
    }

    #[track_caller]
    fn recv_until(&self, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        match self.try_recv() {
            Ok(msg) => Ok(msg),
            Err(TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) => {
                self.wait(Reason::new(Kind::Recv, Arc::as_ptr(&self.shared)), deadline)
            }
        }
    }

    #[cold]
    fn wait(&self, reason: Reason, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        loop {
            let options = WaitOptions::new(reason).until(deadline).in_queue(RECEIVERS).with(None);
            let waited = self.shared.state.wait_with(options, |state, queues, _| self.look(state, queues));
            match waited.map_err(|(error, _)| WaitError::raise(error)) {
                Ok(Waited::Found(Ok(message))) => return Ok(Self::own(message)),
                Ok(Waited::Found(Err(RecvError))) => return Err(RecvTimeoutError::Disconnected),
                Ok(Waited::Woken(_)) => {}
                Err(_) => return Err(RecvTimeoutError::Timeout),
            }
        }
    }

    /// Receives the next message, and waits until there is one.
    ///
    /// # Parks
    ///
    /// Parks until there is a message.
    ///
    /// # Errors
    ///
    /// Returns an error if this subscriber has received every message, and all senders were dropped or the channel was
    /// closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::broadcast(4);
    /// tx.send(1).unwrap();
    /// drop(tx);
    /// assert_eq!(rx.recv(), Ok(1));
    /// assert!(rx.recv().is_err());
    /// ```
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_until(None).map_err(|_| RecvError)
    }

    /// Receives the next message if there is one.
    ///
    /// # Parks
    ///
    /// Never waits.
    ///
    /// # Errors
    ///
    /// Returns [`TryRecvError::Empty`] if there is no message now, and [`TryRecvError::Disconnected`] if no message
    /// will come.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::TryRecvError;
    ///
    /// let (tx, rx) = kahn::channel::broadcast(4);
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    /// tx.send(1).unwrap();
    /// assert_eq!(rx.try_recv(), Ok(1));
    /// ```
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        operation();
        match self.shared.state.update(|state, queues| self.look(state, queues)) {
            Some(Ok(message)) => Ok(Self::own(message)),
            Some(Err(RecvError)) => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Receives the next message, and waits for one for at most `timeout`.
    ///
    /// # Parks
    ///
    /// Parks until there is a message or the timeout has elapsed.
    ///
    /// # Errors
    ///
    /// Returns an error if the timeout has elapsed, or if no message will come.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::RecvTimeoutError;
    /// use std::time::Duration;
    ///
    /// let (_tx, rx) = kahn::channel::broadcast::<i32>(4);
    /// assert_eq!(rx.recv_timeout(Duration::from_millis(5)), Err(RecvTimeoutError::Timeout));
    /// ```
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.recv_until(clock::deadline_in(timeout))
    }

    /// Receives the next message from async code, and waits until there is one.
    ///
    /// Cancel safety: if the future is dropped before it is ready, this subscriber has received nothing.
    ///
    /// # Parks
    ///
    /// Never parks the thread. The task waits.
    ///
    /// # Errors
    ///
    /// Like [`recv`](Self::recv).
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{future::Future, pin::pin, task::{Context, Poll, Waker}};
    /// let (tx, rx) = kahn::channel::broadcast(1);
    /// let mut received = pin!(rx.recv_async());
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert_eq!(received.as_mut().poll(&mut context), Poll::Pending);
    /// tx.send(7).unwrap();
    /// assert_eq!(received.as_mut().poll(&mut context), Poll::Ready(Ok(7)));
    /// ```
    pub async fn recv_async(&self) -> Result<T, RecvError> {
        let look =
            |state: &mut State<T>, queues: &mut Queues<'_, T>, _: &mut Option<T>| self.look(state, queues);
        // A future that is dropped passes nothing on, because the others were woken, too.
        let wait = self.shared.state.wait_async(RECEIVERS, None, look, |_, _, _| {});
        let message = noting(Kind::Recv, Arc::as_ptr(&self.shared), wait).await?;
        Ok(Self::own(message))
    }
}

impl<T> Receiver<T> {
    /// Returns the number of messages that this subscriber has yet to receive.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::broadcast(4);
    /// tx.send(1).unwrap();
    /// assert_eq!(rx.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        // Relaxed: the lock orders all accesses.
        self.shared.state.with_state(|state| state.buffer.len_from(self.next.load(Ordering::Relaxed)))
    }

    /// Returns `true` if this subscriber has received every message.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::broadcast(4);
    /// assert!(rx.is_empty());
    /// tx.send(1).unwrap();
    /// assert!(!rx.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        let next = self.shared.state.with_state(|state| {
            // Relaxed: the lock orders all accesses.
            let next = self.next.load(Ordering::Relaxed);
            state.buffer.join(next);
            next
        });
        Receiver { shared: self.shared.clone(), next: AtomicU64::new(next) }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let freed = self.shared.state.update(|state, queues| {
            // Relaxed: the lock orders all accesses.
            let freed = state.buffer.leave(self.next.load(Ordering::Relaxed));
            state.refill(queues);
            freed
        });
        drop(freed);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Sender { .. }")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Receiver { .. }")
    }
}
