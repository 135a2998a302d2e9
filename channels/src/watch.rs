//! A channel that holds one value, the latest: subscribers see that it has changed, not every change.
//!
//! A value is never changed in place: sending replaces it, so who looks at one keeps what it saw, and no lock is held
//! while it does. Values are numbered; a subscriber knows the number of the one it saw last.

use core::fmt;
use core::ops::Deref;
use core::time::Duration;
use std::time::Instant;

use kahn_core::facade::{Arc, AtomicU64, Lock, Ordering};
use kahn_core::wait::{Discarded, Kind, Reason, WaitQueue, operation};

use crate::clock;
use crate::crowd::{wait_for, wait_in, wake_all};
use crate::error::{RecvError, RecvTimeoutError, SendError};

struct State<T> {
    value: Arc<T>,
    /// How often it was replaced.
    number: u64,
    subscribers: usize,
    senders: usize,
    closed: bool,
    waiting: WaitQueue,
}

struct Shared<T>(Lock<State<T>>);

/// Makes a channel that holds the latest of the values sent, `initial` at first.
///
/// # Examples
///
/// ```
/// let (tx, rx) = kahn::channel::watch("red");
/// tx.send("green").unwrap();
/// tx.send("blue").unwrap();
/// rx.changed().unwrap();
/// assert_eq!(rx.get(), "blue");
/// ```
pub fn watch<T>(initial: T) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared(Lock::new(State {
        value: Arc::new(initial),
        number: 0,
        subscribers: 1,
        senders: 1,
        closed: false,
        waiting: WaitQueue::new(),
    })));
    (Sender { shared: shared.clone() }, Receiver { shared, seen: AtomicU64::new(0) })
}

/// A look at a value. The value stays as it was seen, whatever is sent meanwhile.
///
/// # Examples
///
/// ```
/// let (tx, rx) = kahn::channel::watch(vec![1, 2]);
/// let seen = rx.borrow();
/// tx.send(Vec::new()).unwrap();
/// assert_eq!(*seen, [1, 2]);
/// ```
pub struct Ref<T>(Arc<T>);

impl<T> Deref for Ref<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> Shared<T> {
    /// Replaces the value, if its number still is `expected`. Otherwise hands the new one back, and says whether the
    /// channel is closed.
    fn replace(&self, value: T, expected: Option<u64>) -> Result<(), (T, bool)> {
        let mut state = self.0.lock();
        let ended = state.closed;
        if ended || expected.is_some_and(|expected| expected != state.number) {
            drop(state);
            return Err((value, ended));
        }
        let old = Discarded::new(core::mem::replace(&mut state.value, Arc::new(value)));
        state.number += 1;
        let wakes = wake_all(&mut state.waiting);
        drop(state);
        drop(wakes);
        drop(old);
        Ok(())
    }

    fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        let wakes = wake_all(&mut state.waiting);
        drop(state);
        drop(wakes);
    }
}

/// The sending end. Clones send into the same channel.
///
/// # Examples
///
/// ```
/// let (tx, rx) = kahn::channel::watch(0);
/// let other = tx.clone();
/// other.send(1).unwrap();
/// assert_eq!((*tx.borrow(), rx.get()), (1, 1));
/// ```
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Replaces the value. Never waits. The value is replaced also where no subscriber is there now.
    ///
    /// # Parks
    ///
    /// Never waits.
    ///
    /// # Errors
    ///
    /// The channel was closed; the value is handed back.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::watch(0);
    /// tx.send(1).unwrap();
    /// assert_eq!(rx.get(), 1);
    /// tx.close();
    /// assert_eq!(tx.send(2).unwrap_err().into_inner(), 2);
    /// ```
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        operation();
        self.shared.replace(value, None).map_err(|(value, _)| SendError(value))
    }

    /// Replaces the value by what `change` makes of a clone of it. If another value is sent meanwhile, `change` is
    /// called again, on that.
    ///
    /// # Parks
    ///
    /// Never waits.
    ///
    /// # Errors
    ///
    /// The channel was closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::watch(1);
    /// tx.modify(|n| *n += 1).unwrap();
    /// assert_eq!(rx.get(), 2);
    /// ```
    pub fn modify(&self, mut change: impl FnMut(&mut T)) -> Result<(), SendError<()>>
    where
        T: Clone,
    {
        operation();
        loop {
            let state = self.shared.0.lock();
            let (current, number) = (state.value.clone(), state.number);
            drop(state);
            let mut value = T::clone(&current);
            change(&mut value);
            match self.shared.replace(value, Some(number)) {
                Ok(()) => return Ok(()),
                Err((_, true)) => return Err(SendError(())),
                Err((_, false)) => {}
            }
        }
    }

    /// The latest value.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, _rx) = kahn::channel::watch("red");
    /// assert_eq!(*tx.borrow(), "red");
    /// ```
    pub fn borrow(&self) -> Ref<T> {
        operation();
        Ref(self.shared.0.lock().value.clone())
    }

    /// A new subscriber, which has seen the present value.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, _rx) = kahn::channel::watch(1);
    /// let late = tx.subscribe();
    /// assert!(!late.has_changed());
    /// assert_eq!(late.get(), 1);
    /// ```
    pub fn subscribe(&self) -> Receiver<T> {
        let mut state = self.shared.0.lock();
        state.subscribers += 1;
        let seen = AtomicU64::new(state.number);
        drop(state);
        Receiver { shared: self.shared.clone(), seen }
    }

    /// How many subscribers there are.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::watch(1);
    /// drop(rx);
    /// assert_eq!(tx.subscribers(), 0);
    /// ```
    pub fn subscribers(&self) -> usize {
        self.shared.0.lock().subscribers
    }

    /// Ends the channel: later sends fail, and subscribers keep the last value.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::watch(1);
    /// tx.close();
    /// assert!(rx.changed().is_err());
    /// assert_eq!(rx.get(), 1);
    /// ```
    pub fn close(&self) {
        self.shared.close();
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared.0.lock().senders += 1;
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.shared.0.lock();
        state.senders -= 1;
        let last = state.senders == 0;
        drop(state);
        if last {
            self.shared.close();
        }
    }
}

/// A subscriber. A clone has seen what the original has.
///
/// # Examples
///
/// ```
/// let (tx, rx) = kahn::channel::watch(0);
/// std::thread::spawn(move || (1..=3).for_each(|n| tx.send(n).unwrap()));
/// let mut last = 0;
/// while rx.changed().is_ok() {
///     last = rx.get();
/// }
/// assert_eq!(last, 3);
/// ```
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The number of the value seen last. Changed with the lock held.
    seen: AtomicU64,
}

impl<T> Receiver<T> {
    /// The latest value. It counts as seen.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::watch(0);
    /// tx.send(1).unwrap();
    /// assert_eq!(*rx.borrow(), 1);
    /// assert!(!rx.has_changed());
    /// ```
    pub fn borrow(&self) -> Ref<T> {
        operation();
        let state = self.shared.0.lock();
        // Relaxed: the lock orders it.
        self.seen.store(state.number, Ordering::Relaxed);
        Ref(state.value.clone())
    }

    /// A clone of the latest value. It counts as seen.
    ///
    /// # Examples
    ///
    /// ```
    /// let (_tx, rx) = kahn::channel::watch(7);
    /// assert_eq!(rx.get(), 7);
    /// ```
    pub fn get(&self) -> T
    where
        T: Clone,
    {
        T::clone(&self.borrow())
    }

    /// Whether there is a value that this subscriber has not seen.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::watch(0);
    /// assert!(!rx.has_changed());
    /// tx.send(1).unwrap();
    /// assert!(rx.has_changed());
    /// ```
    pub fn has_changed(&self) -> bool {
        // Relaxed: the lock orders it.
        self.shared.0.lock().number != self.seen.load(Ordering::Relaxed)
    }

    /// Marks the latest value as seen. Answers whether it was new; `None` if it was not, and none will come.
    fn step(&self, state: &State<T>) -> Option<bool> {
        // Relaxed: the lock orders it.
        if self.seen.swap(state.number, Ordering::Relaxed) != state.number {
            return Some(true);
        }
        (!state.closed).then_some(false)
    }

    #[track_caller]
    fn changed_until(&self, deadline: Option<Instant>) -> Result<(), RecvTimeoutError> {
        operation();
        loop {
            let state = self.shared.0.lock();
            match self.step(&state) {
                Some(true) => return Ok(()),
                None => return Err(RecvTimeoutError::Disconnected),
                Some(false) => {}
            }
            let reason = Reason::new(Kind::Recv, Arc::as_ptr(&self.shared));
            wait_in(&self.shared.0, state, |state| &mut state.waiting, reason, deadline)
                .map_err(|_| RecvTimeoutError::Timeout)?;
        }
    }

    /// Waits until there is a value that this subscriber has not seen. It counts as seen then.
    ///
    /// # Parks
    ///
    /// Until there is one.
    ///
    /// # Errors
    ///
    /// The senders are gone, or the channel was closed, and the last value has been seen.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::watch(0);
    /// std::thread::spawn(move || tx.send(1).unwrap());
    /// rx.changed().unwrap();
    /// assert_eq!(rx.get(), 1);
    /// ```
    #[track_caller]
    pub fn changed(&self) -> Result<(), RecvError> {
        self.changed_until(None).map_err(|_| RecvError)
    }

    /// Waits for at most `timeout` until there is a value that this subscriber has not seen. It counts as seen then.
    ///
    /// # Parks
    ///
    /// Until there is one or the time is over.
    ///
    /// # Errors
    ///
    /// As [`changed`](Self::changed), and when the time is over.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::RecvTimeoutError;
    /// use std::time::Duration;
    ///
    /// let (_tx, rx) = kahn::channel::watch(0);
    /// assert_eq!(rx.changed_timeout(Duration::from_millis(5)), Err(RecvTimeoutError::Timeout));
    /// ```
    #[track_caller]
    pub fn changed_timeout(&self, timeout: Duration) -> Result<(), RecvTimeoutError> {
        self.changed_until(clock::deadline_in(timeout))
    }

    /// As [`changed`](Self::changed), for async code.
    ///
    /// Cancel safety: dropping the future before it is ready changes nothing.
    ///
    /// # Parks
    ///
    /// Never: the task waits, and not its thread.
    ///
    /// # Errors
    ///
    /// As [`changed`](Self::changed).
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{future::Future, pin::pin, task::{Context, Poll, Waker}};
    /// let (tx, rx) = kahn::channel::watch(0);
    /// let mut changed = pin!(rx.changed_async());
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert_eq!(changed.as_mut().poll(&mut context), Poll::Pending);
    /// tx.send(1).unwrap();
    /// assert_eq!(changed.as_mut().poll(&mut context), Poll::Ready(Ok(())));
    /// ```
    pub async fn changed_async(&self) -> Result<(), RecvError> {
        let look = |state: &mut State<T>| match self.step(state) {
            Some(true) => Some(Ok(())),
            Some(false) => None,
            None => Some(Err(RecvError)),
        };
        wait_for(&self.shared.0, |state| &mut state.waiting, look).await
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        let mut state = self.shared.0.lock();
        state.subscribers += 1;
        // Relaxed: the lock orders it.
        let seen = AtomicU64::new(self.seen.load(Ordering::Relaxed));
        drop(state);
        Receiver { shared: self.shared.clone(), seen }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.0.lock().subscribers -= 1;
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
