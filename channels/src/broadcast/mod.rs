//! A channel in which every subscriber receives every message.
//!
//! The buffer keeps a message until all subscribers that existed when it was sent have received it (`buffer.rs`). So the
//! slowest subscriber bounds the buffer, senders wait for it, and no message is ever skipped.
//!
//! A waiting sender leaves its message in the queue. The receiver that makes room moves the message into the buffer, in
//! the same critical section. So a sender waits only while the buffer is full, and senders are served in the order in
//! which they arrived.

mod buffer;
mod iter;

use core::fmt;
use core::time::Duration;
use std::time::Instant;

use kahn_core::primitives::{Arc, AtomicU64, Lock, LockGuard, Ordering};
use kahn_core::wait::{Kind, Node, Reason, Wait, WaitQueue, Wake, operation, shield, use_and_drop};

use crate::broadcast::buffer::Buffer;
use crate::clock;
use crate::error::{RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError};
use crate::notify::{wait_for, wait_in, wake_all};
use crate::waiters::{Packet, Status, WaitSlotRef};

pub use iter::{IntoIter, Iter, TryIter};

struct State<T> {
    buffer: Buffer<T>,
    senders: usize,
    closed: bool,
    /// The payload of each node is the [`Packet`] that holds the sender's message.
    waiting_senders: WaitQueue,
    waiting_receivers: WaitQueue,
    cap: usize,
}

struct Shared<T> {
    state: Lock<State<T>>,
}

impl<T> State<T> {
    /// Adds a message to the buffer, for the present subscribers.
    fn put(&mut self, msg: T, wakes: &mut Vec<Wake>) {
        self.buffer.push(msg);
        wakes.extend(wake_all(&mut self.waiting_receivers));
    }

    /// Claims the first waiting sender, and sets its `status`. Returns `None` if no sender waits. Takes the sender's
    /// message if the status is `Done`.
    fn serve(&mut self, status: Status, wakes: &mut Vec<Wake>) -> Option<Option<T>> {
        let claimed = self.waiting_senders.claim_next()?;
        // SAFETY: the sender was claimed under the lock behind `&mut self`, and is not woken before the lock is
        // released. The payload of a waiting sender is a packet of this channel's message type, with the message in its
        // slot. Only the claimer may touch the slot. The status `Done` tells the sender that the message was taken.
        let msg = unsafe {
            let slot_ref = WaitSlotRef::new(claimed.payload);
            slot_ref.wait_slot().set_status(status);
            slot_ref.packet::<T>().filter(|_| status == Status::Done).map(|packet| packet.take())
        };
        wakes.push(claimed.wake);
        Some(msg)
    }

    /// Fills free places with the messages of waiting senders. If there is no subscriber, all waiting senders fail
    /// instead.
    fn refill(&mut self, wakes: &mut Vec<Wake>) {
        if self.buffer.subscribers() == 0 {
            return self.turn_senders_away(wakes);
        }
        while self.buffer.len() < self.cap {
            let Some(msg) = self.serve(Status::Done, wakes) else { return };
            self.put(msg.expect("a waiting sender has its message"), wakes);
        }
    }

    fn turn_senders_away(&mut self, wakes: &mut Vec<Wake>) {
        while self.serve(Status::Closed, wakes).is_some() {}
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
    let state = State {
        buffer: Buffer::new(),
        senders: 1,
        closed: false,
        waiting_senders: WaitQueue::new(),
        waiting_receivers: WaitQueue::new(),
        cap,
    };
    let shared = Arc::new(Shared { state: Lock::new(state) });
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

/// The outcome of an attempt to send.
enum Looked<'a, T> {
    Done,
    Full(LockGuard<'a, State<T>>, T),
    Disconnected(T),
}

impl<T> Sender<T> {
    fn look(&self, msg: T) -> Looked<'_, T> {
        let mut state = self.shared.state.lock();
        if state.closed || state.buffer.subscribers() == 0 {
            drop(state);
            return Looked::Disconnected(msg);
        }
        if state.buffer.len() >= state.cap {
            return Looked::Full(state, msg);
        }
        let mut wakes = Vec::new();
        state.put(msg, &mut wakes);
        drop(state);
        drop(wakes);
        Looked::Done
    }

    #[track_caller]
    fn send_until(&self, msg: T, deadline: Option<Instant>) -> Result<(), SendTimeoutError<T>> {
        operation();
        let (mut state, msg) = match self.look(msg) {
            Looked::Done => return Ok(()),
            Looked::Disconnected(msg) => return Err(SendTimeoutError::Disconnected(msg)),
            Looked::Full(state, msg) => (state, msg),
        };
        let wait = Wait::new();
        let packet = Packet::full(msg);
        let node = Node::new(wait.waiter(), 0, packet.payload());
        // SAFETY: the wait is open. Packet and node stay at their addresses until the wait is over and the node is out
        // of the queue, claimed or removed below.
        unsafe { state.waiting_senders.push((&node).into()) };
        drop(state);
        let error = wait.park(Reason::new(Kind::Send, Arc::as_ptr(&self.shared)), deadline).err();
        if error.is_some() {
            // SAFETY: the node was put into this queue, and is valid.
            unsafe { self.shared.state.lock().waiting_senders.remove((&node).into()) };
        }
        drop(wait);
        if packet.wait_slot().status() == Status::Done {
            return Ok(());
        }
        // SAFETY: the node is in no queue, and the status is not `Done`, so the message was not taken. If `raise`
        // unwinds, it drops `msg`.
        let msg = unsafe { packet.take() };
        match error {
            Some(error) => {
                error.raise();
                Err(SendTimeoutError::Timeout(msg))
            }
            None => Err(SendTimeoutError::Disconnected(msg)),
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
        match self.look(msg) {
            Looked::Done => Ok(()),
            Looked::Disconnected(msg) => Err(TrySendError::Disconnected(msg)),
            Looked::Full(state, msg) => {
                drop(state);
                Err(TrySendError::Full(msg))
            }
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
        let mut state = self.shared.state.lock();
        let next = state.buffer.end();
        state.buffer.join(next);
        drop(state);
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
        self.shared.state.lock().buffer.subscribers()
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
    let mut state = shared.state.lock();
    state.closed = true;
    let mut wakes = wake_all(&mut state.waiting_receivers);
    state.turn_senders_away(&mut wakes);
    drop(state);
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared.state.lock().senders += 1;
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.senders -= 1;
        let last = state.senders == 0;
        drop(state);
        if last {
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
    /// Takes the next message if there is one. Returns it with the wake-ups, which the caller drops after unlocking.
    fn step(&self, state: &mut State<T>) -> Option<(Arc<T>, Vec<Wake>)> {
        // Relaxed: the lock orders all accesses.
        let next = self.next.load(Ordering::Relaxed);
        let taken = state.buffer.take(next)?;
        self.next.store(next + 1, Ordering::Relaxed);
        let mut wakes = Vec::new();
        if taken.was_last {
            state.refill(&mut wakes);
        }
        Some((taken.content, wakes))
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
        operation();
        loop {
            let mut state = self.shared.state.lock();
            if let Some((message, wakes)) = self.step(&mut state) {
                drop(state);
                drop(wakes);
                return Ok(Self::own(message));
            }
            if state.closed {
                return Err(RecvTimeoutError::Disconnected);
            }
            let reason = Reason::new(Kind::Recv, Arc::as_ptr(&self.shared));
            wait_in(&self.shared.state, state, |state| &mut state.waiting_receivers, reason, deadline)
                .map_err(|_| RecvTimeoutError::Timeout)?;
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
        let mut state = self.shared.state.lock();
        let stepped = self.step(&mut state);
        let closed = state.closed;
        drop(state);
        match stepped {
            Some((message, wakes)) => {
                drop(wakes);
                Ok(Self::own(message))
            }
            None => Err(if closed { TryRecvError::Disconnected } else { TryRecvError::Empty }),
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
        let look = |state: &mut State<T>| match self.step(state) {
            Some(taken) => Some(Ok(taken)),
            None => state.closed.then_some(Err(RecvError)),
        };
        let (message, wakes) =
            wait_for(&self.shared.state, |state| &mut state.waiting_receivers, look).await?;
        drop(wakes);
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
        let state = self.shared.state.lock();
        // Relaxed: the lock orders all accesses.
        state.buffer.len_from(self.next.load(Ordering::Relaxed))
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
        let mut state = self.shared.state.lock();
        // Relaxed: the lock orders all accesses.
        let next = self.next.load(Ordering::Relaxed);
        state.buffer.join(next);
        drop(state);
        Receiver { shared: self.shared.clone(), next: AtomicU64::new(next) }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        // Relaxed: the lock orders all accesses.
        let freed = state.buffer.leave(self.next.load(Ordering::Relaxed));
        let mut wakes = Vec::new();
        state.refill(&mut wakes);
        drop(state);
        drop(wakes);
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
