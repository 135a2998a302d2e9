//! A channel for a single message, such as a reply or a result.
//!
//! The state records which ends have finished. The message stays in the state until it is received, or until the
//! receiver is dropped, which drops the message too. It is dropped outside of the lock.

use core::fmt;
use core::future::Future;
use core::mem::ManuallyDrop;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::time::Instant;

use kahn_core::primitives::Arc;
use kahn_core::wait::{
    Discarded, Kind, OwnedWaker, Reason, WaitError, WaitList, WaitOptions, Waited, note_pending, operation,
    poll_operation,
};

use crate::clock;
use crate::error::{RecvError, RecvTimeoutError, SendError, TryRecvError};

struct State<T> {
    message: Option<T>,
    /// The sender has sent, or was dropped.
    sender_done: bool,
    /// The receiver was dropped, or has closed the channel.
    receiver_done: bool,
    /// The task that waits for the message. It has no node in a queue, because a receiver may move between its polls.
    waker: OwnedWaker,
}

/// Threads that wait for the message.
const RECEIVERS: usize = 0;
/// Threads that wait for `receiver_done`.
const CLOSERS: usize = 1;

struct Shared<T>(WaitList<State<T>, (), 2>);

impl<T> State<T> {
    /// Takes the message, or returns an error if none will come. Returns `None` if it may still come.
    fn take(&mut self) -> Option<Result<T, RecvError>> {
        match self.message.take() {
            Some(msg) => Some(Ok(msg)),
            None => (self.sender_done || self.receiver_done).then_some(Err(RecvError)),
        }
    }
}

impl<T> Shared<T> {
    #[track_caller]
    fn reason(&self, kind: Kind) -> Reason {
        Reason::new(kind, core::ptr::from_ref(self))
    }
}

/// Makes a channel for a single message.
///
/// # Examples
///
/// ```
/// let (tx, rx) = kahn::channel::oneshot();
/// std::thread::spawn(move || tx.send(6 * 7));
/// assert_eq!(rx.recv(), Ok(42));
/// ```
pub fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared(WaitList::new(State {
        message: None,
        sender_done: false,
        receiver_done: false,
        waker: OwnedWaker::none(),
    })));
    (Sender { shared: shared.clone() }, Receiver { shared })
}

/// The sending end. If it is dropped without having sent, the receiver gets an error.
///
/// # Examples
///
/// ```
/// let (tx, rx) = kahn::channel::oneshot::<i32>();
/// drop(tx);
/// assert!(rx.recv().is_err());
/// ```
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends the message.
    ///
    /// # Parks
    ///
    /// Never waits.
    ///
    /// # Errors
    ///
    /// Returns the message if the receiver was dropped or has closed the channel.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::oneshot();
    /// drop(rx);
    /// assert_eq!(tx.send(5).unwrap_err().into_inner(), 5);
    /// ```
    pub fn send(self, msg: T) -> Result<(), SendError<T>> {
        operation();
        self.finish(Some(msg))
    }

    /// Ends the sender, with a message or without.
    fn finish(self, msg: Option<T>) -> Result<(), SendError<T>> {
        let this = ManuallyDrop::new(self);
        // SAFETY: the field is read once, and `ManuallyDrop` keeps the destructor from dropping it again.
        let shared = unsafe { core::ptr::read(&this.shared) };
        finish(&shared, msg)
    }

    /// Returns `true` if the receiver was dropped or has closed the channel.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::oneshot::<i32>();
    /// assert!(!tx.is_closed());
    /// drop(rx);
    /// assert!(tx.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.shared.0.with_state(|state| state.receiver_done)
    }

    /// Waits until the receiver is dropped or closes the channel, so that the message is no longer wanted.
    ///
    /// # Parks
    ///
    /// Parks until the receiver is dropped or closes the channel.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::oneshot::<i32>();
    /// std::thread::spawn(move || drop(rx));
    /// tx.closed();
    /// assert!(tx.is_closed());
    /// ```
    #[track_caller]
    pub fn closed(&self) {
        operation();
        let options = WaitOptions::new(self.shared.reason(Kind::Send)).in_queue(CLOSERS);
        let waited = self.shared.0.wait(options, |state| state.receiver_done.then_some(()));
        // Without a deadline, only an unwind ends the wait before that.
        let _ = waited.map_err(WaitError::raise);
    }
}

fn finish<T>(shared: &Shared<T>, msg: Option<T>) -> Result<(), SendError<T>> {
    let waker = shared.0.update(|state, queues| {
        state.sender_done = true;
        if state.receiver_done {
            return msg.map_or(Ok(OwnedWaker::none()), |msg| Err(SendError(msg)));
        }
        state.message = msg;
        // Wakes all receivers. One takes the message. The others find that there is none for them.
        queues[RECEIVERS].claim_all();
        Ok(state.waker.take())
    })?;
    waker.wake();
    Ok(())
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let _ = finish(&self.shared, None);
    }
}

/// The receiving end. It is also a future, so that async code can await the message.
///
/// # Examples
///
/// ```
/// # use std::{future::Future, pin::pin, task::{Context, Poll, Waker}};
/// let (tx, rx) = kahn::channel::oneshot();
/// tx.send(5).unwrap();
/// let mut received = pin!(rx);
/// let mut context = Context::from_waker(Waker::noop());
/// assert_eq!(received.as_mut().poll(&mut context), Poll::Ready(Ok(5)));
/// ```
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Receiver<T> {
    #[track_caller]
    fn recv_until(&self, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        operation();
        match self.shared.0.with_state(State::take) {
            Some(found) => found.map_err(|RecvError| RecvTimeoutError::Disconnected),
            None => self.wait(self.shared.reason(Kind::Recv), deadline),
        }
    }

    #[cold]
    fn wait(&self, reason: Reason, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        let options = WaitOptions::new(reason).until(deadline).in_queue(RECEIVERS);
        loop {
            match self.shared.0.wait(options, State::take).map_err(WaitError::raise) {
                Ok(Waited::Found(found)) => return found.map_err(|RecvError| RecvTimeoutError::Disconnected),
                Ok(Waited::Woken(())) => {}
                Err(_) => return Err(RecvTimeoutError::Timeout),
            }
        }
    }

    /// Receives the message, and waits until it is sent.
    ///
    /// # Parks
    ///
    /// Parks until the message is sent or the sender is dropped.
    ///
    /// # Errors
    ///
    /// Returns an error if the sender was dropped without having sent, if the message was received before, or if the
    /// receiver has closed the channel before the send.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::oneshot();
    /// tx.send("yes").unwrap();
    /// assert_eq!(rx.recv(), Ok("yes"));
    /// assert!(rx.recv().is_err());
    /// ```
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_until(None).map_err(|_| RecvError)
    }

    /// Receives the message if it was sent.
    ///
    /// # Parks
    ///
    /// Never waits.
    ///
    /// # Errors
    ///
    /// Returns [`TryRecvError::Empty`] if the message may still be sent, and [`TryRecvError::Disconnected`] if no
    /// message will come.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::{TryRecvError, oneshot};
    ///
    /// let (tx, rx) = oneshot::<i32>();
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    /// drop(tx);
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    /// ```
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        operation();
        match self.shared.0.with_state(State::take) {
            Some(found) => found.map_err(|RecvError| TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Receives the message, and waits for it for at most `timeout`.
    ///
    /// # Parks
    ///
    /// Parks until the message is sent, the sender is dropped, or the timeout has elapsed.
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
    /// let (_tx, rx) = kahn::channel::oneshot::<i32>();
    /// assert_eq!(rx.recv_timeout(Duration::from_millis(5)), Err(RecvTimeoutError::Timeout));
    /// ```
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.recv_until(clock::deadline_in(timeout))
    }

    /// Receives the message, and waits for it until `deadline`.
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
    /// let (_tx, rx) = kahn::channel::oneshot::<i32>();
    /// assert!(rx.recv_deadline(std::time::Instant::now()).unwrap_err().is_timeout());
    /// ```
    #[track_caller]
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_until(Some(deadline))
    }

    /// Closes the channel: a later send fails. A message that was sent before can still be received.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::oneshot();
    /// rx.close();
    /// assert!(tx.send(5).is_err());
    /// ```
    pub fn close(&self) {
        drop(self.end());
    }

    /// Returns `true` if no further message will be sent: the message was sent, the sender was dropped, or the channel
    /// was closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::oneshot();
    /// tx.send(5).unwrap();
    /// assert!(rx.is_closed());
    /// assert_eq!(rx.recv(), Ok(5));
    /// ```
    pub fn is_closed(&self) -> bool {
        self.shared.0.with_state(|state| state.sender_done || state.receiver_done)
    }

    fn end(&self) -> OwnedWaker {
        self.shared.0.update(|state, queues| {
            state.receiver_done = true;
            queues[CLOSERS].claim_all();
            queues[RECEIVERS].claim_all();
            state.waker.take()
        })
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, RecvError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(poll_operation(context));
        // Declared here, so that this waker or the one before it is dropped after unlocking: that is user code.
        let mut waker = OwnedWaker::new(context.waker());
        let found = self.shared.0.with_state(|state| {
            let found = state.take();
            if found.is_none() {
                core::mem::swap(&mut state.waker, &mut waker);
            }
            found
        });
        if found.is_none() {
            note_pending(Kind::Recv, Arc::as_ptr(&self.shared));
        }
        found.map_or(Poll::Pending, Poll::Ready)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let waker = self.end();
        let msg = Discarded::new(self.shared.0.with_state(|state| state.message.take()));
        drop(waker);
        drop(msg);
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
