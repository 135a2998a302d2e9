//! A channel that holds one value, the latest. A subscriber sees that the value has changed, but not every change.
//!
//! A value is never changed in place. A send replaces it. A subscriber that looks at a value therefore keeps what it
//! saw, and holds no lock while it looks. Values are numbered, and a subscriber stores the number of the value that it
//! saw last.

use core::fmt;
use core::ops::Deref;
use core::time::Duration;
use std::time::Instant;

use kahn_core::primitives::{Arc, AtomicU64, Ordering};
use kahn_core::wait::{
    Discarded, Kind, MixedWaitList, Reason, WaitError, WaitOptions, Waited, noting, operation, shield,
    use_and_drop,
};

use crate::clock;
use crate::error::{RecvError, RecvTimeoutError, SendError};

struct State<T> {
    value: Arc<T>,
    /// How often the value was replaced.
    number: u64,
    subscribers: usize,
    senders: usize,
    closed: bool,
}

/// The subscribers wait in the queue. Each change wakes all of them, and a subscriber that was woken looks again.
struct Shared<T>(MixedWaitList<State<T>>);

/// Makes a channel that holds the latest value that was sent, and `initial` until then.
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
    let shared = Arc::new(Shared(MixedWaitList::new(State {
        value: Arc::new(initial),
        number: 0,
        subscribers: 1,
        senders: 1,
        closed: false,
    })));
    (Sender { shared: shared.clone() }, Receiver { shared, seen: AtomicU64::new(0) })
}

/// A reference to a value. The value does not change, whatever is sent meanwhile.
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
    /// Replaces the value. If `expected` is given, does so only if it is still the number of the value. Otherwise
    /// returns the new value, and whether the channel is closed.
    fn replace(&self, value: T, expected: Option<u64>) -> Result<(), (T, bool)> {
        let old = self.0.update(|state, [waiting]| {
            if state.closed || expected.is_some_and(|expected| expected != state.number) {
                return Err((value, state.closed));
            }
            state.number += 1;
            waiting.claim_all();
            Ok(Discarded::new(core::mem::replace(&mut state.value, Arc::new(value))))
        })?;
        // The value has been sent, so the caller is not unwound by a cancel or a timeout any more.
        shield(|| drop(old));
        Ok(())
    }

    fn close(&self) {
        self.0.update(|state, [waiting]| {
            state.closed = true;
            waiting.claim_all();
        });
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
    /// Replaces the value, even if there is no subscriber now.
    ///
    /// # Parks
    ///
    /// Never waits.
    ///
    /// # Errors
    ///
    /// Returns the value if the channel was closed.
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

    /// Replaces the value by a modified clone of it: `change` modifies the clone.
    ///
    /// If another value is sent meanwhile, `change` is called again, with a clone of that value. So this does not
    /// return if `change` itself sends to the channel each time that it is called.
    ///
    /// # Parks
    ///
    /// Never waits.
    ///
    /// # Errors
    ///
    /// Returns an error if the channel was closed.
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
            let (current, number) = self.shared.0.with_state(|state| (state.value.clone(), state.number));
            // Before the effect, so that only `replace` may have the last reference to a value that it has replaced.
            let mut value = use_and_drop(current, |current| T::clone(current));
            change(&mut value);
            match self.shared.replace(value, Some(number)) {
                Ok(()) => return Ok(()),
                Err((_, true)) => return Err(SendError(())),
                Err((_, false)) => {}
            }
        }
    }

    /// Returns the latest value.
    ///
    /// # Parks
    ///
    /// Never waits. Counts as an operation of the budget, so it may yield to other green threads.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, _rx) = kahn::channel::watch("red");
    /// assert_eq!(*tx.borrow(), "red");
    /// ```
    pub fn borrow(&self) -> Ref<T> {
        operation();
        Ref(self.shared.0.with_state(|state| state.value.clone()))
    }

    /// Adds a subscriber, which has seen the present value.
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
        let seen = self.shared.0.with_state(|state| {
            state.subscribers += 1;
            AtomicU64::new(state.number)
        });
        Receiver { shared: self.shared.clone(), seen }
    }

    /// Returns the number of subscribers.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::watch(1);
    /// drop(rx);
    /// assert_eq!(tx.subscribers(), 0);
    /// ```
    pub fn subscribers(&self) -> usize {
        self.shared.0.with_state(|state| state.subscribers)
    }

    /// Closes the channel. Later sends fail. Subscribers keep the last value.
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
        self.shared.0.with_state(|state| state.senders += 1);
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let is_last = self.shared.0.with_state(|state| {
            state.senders -= 1;
            state.senders == 0
        });
        if is_last {
            self.shared.close();
        }
    }
}

/// A subscriber. A clone is a new subscriber, which has seen what the original has seen.
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
    /// The number of the value seen last. Changed only with the lock held.
    seen: AtomicU64,
}

impl<T> Receiver<T> {
    /// Returns the latest value, and marks it as seen.
    ///
    /// # Parks
    ///
    /// Never waits. Counts as an operation of the budget, so it may yield to other green threads.
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
        self.shared.0.with_state(|state| {
            // Relaxed: the lock orders all accesses.
            self.seen.store(state.number, Ordering::Relaxed);
            Ref(state.value.clone())
        })
    }

    /// Returns a clone of the latest value, and marks it as seen.
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
        let current = self.borrow();
        // Another value may be sent meanwhile. Then this has the last reference to the old one. The value counts as
        // seen, so the user code in here is shielded.
        shield(|| use_and_drop(current, |current| T::clone(current)))
    }

    /// Returns `true` if there is a value that this subscriber has not seen.
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
        // Relaxed: the lock orders all accesses.
        self.shared.0.with_state(|state| state.number != self.seen.load(Ordering::Relaxed))
    }

    /// Marks the latest value as seen, and returns `Ok` if it was new. Returns `None` if another value may come.
    fn look(&self, state: &State<T>) -> Option<Result<(), RecvError>> {
        // Relaxed: the lock orders all accesses.
        if self.seen.swap(state.number, Ordering::Relaxed) != state.number {
            return Some(Ok(()));
        }
        state.closed.then_some(Err(RecvError))
    }

    #[track_caller]
    fn changed_until(&self, deadline: Option<Instant>) -> Result<(), RecvTimeoutError> {
        operation();
        match self.shared.0.with_state(|state| self.look(state)) {
            Some(found) => found.map_err(|RecvError| RecvTimeoutError::Disconnected),
            None => self.wait(Reason::new(Kind::Recv, Arc::as_ptr(&self.shared)), deadline),
        }
    }

    #[cold]
    fn wait(&self, reason: Reason, deadline: Option<Instant>) -> Result<(), RecvTimeoutError> {
        let options = WaitOptions::new(reason).until(deadline);
        loop {
            match self.shared.0.wait(options, |state| self.look(state)).map_err(WaitError::raise) {
                Ok(Waited::Found(found)) => return found.map_err(|RecvError| RecvTimeoutError::Disconnected),
                Ok(Waited::Woken(())) => {}
                Err(_) => return Err(RecvTimeoutError::Timeout),
            }
        }
    }

    /// Waits until there is a value that this subscriber has not seen, and marks it as seen.
    ///
    /// # Parks
    ///
    /// Parks until there is such a value.
    ///
    /// # Errors
    ///
    /// Returns an error if this subscriber has seen the last value, and all senders were dropped or the channel was
    /// closed.
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

    /// Waits for at most `timeout` until there is a value that this subscriber has not seen, and marks it as seen.
    ///
    /// # Parks
    ///
    /// Parks until there is such a value or the timeout has elapsed.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`changed`](Self::changed), and if the timeout has elapsed.
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

    /// Like [`changed`](Self::changed), for async code.
    ///
    /// Cancel safety: if the future is dropped before it is ready, no value has been marked as seen.
    ///
    /// # Parks
    ///
    /// Never parks the thread. The task waits.
    ///
    /// # Errors
    ///
    /// Like [`changed`](Self::changed).
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
        // A future that is dropped passes nothing on, because the others were woken, too.
        let wait = self.shared.0.wait_async(0, (), |state, _, ()| self.look(state), |_, _, ()| {});
        noting(Kind::Recv, Arc::as_ptr(&self.shared), wait).await
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        let seen = self.shared.0.with_state(|state| {
            state.subscribers += 1;
            // Relaxed: the lock orders all accesses.
            AtomicU64::new(self.seen.load(Ordering::Relaxed))
        });
        Receiver { shared: self.shared.clone(), seen }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.0.with_state(|state| state.subscribers -= 1);
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
