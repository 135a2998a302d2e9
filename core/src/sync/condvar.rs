//! Condition variables.

use core::fmt;
use core::panic::Location;
use core::time::Duration;
use std::sync::{LockResult, PoisonError};
use std::time::Instant;

use crate::primitives::{AtomicUsize, Ordering, maybe_const};
use crate::sync::deadline_after;
use crate::sync::mutex::MutexGuard;
use crate::wait::{Kind, Reason, WaitError, WaitList, WaitOptions, operation, shield};

/// A condition variable: a thread releases a mutex and waits until another thread notifies it. Works like
/// [`std::sync::Condvar`].
///
/// Waiters are notified in the order of their arrival. As in std, a wait may also end without a notification, so the
/// caller checks the condition again. [`wait_while`](Condvar::wait_while) does so.
///
/// # Examples
///
/// ```
/// use kahn::sync::{Arc, Condvar, Mutex};
///
/// let shared = Arc::new((Mutex::new(false), Condvar::new()));
/// let setter = {
///     let shared = shared.clone();
///     std::thread::spawn(move || {
///         *shared.0.lock().unwrap() = true;
///         shared.1.notify_one();
///     })
/// };
/// let (ready, changed) = &*shared;
/// let guard = changed.wait_while(ready.lock().unwrap(), |ready| !*ready).unwrap();
/// assert!(*guard);
/// # drop(guard);
/// # setter.join().unwrap();
/// ```
pub struct Condvar {
    waiters: WaitList<()>,
    /// The number of threads in a `wait`. While it is zero, a notification is one load.
    waiting: AtomicUsize,
}

/// Whether a wait with a timeout ended because the timeout passed. Works like [`std::sync::WaitTimeoutResult`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use kahn::sync::{Condvar, Mutex, WaitTimeoutResult};
///
/// let (lock, changed) = (Mutex::new(()), Condvar::new());
/// let (_guard, result) = changed.wait_timeout(lock.lock().unwrap(), Duration::from_millis(1)).unwrap();
/// let _: WaitTimeoutResult = result;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Returns whether the timeout passed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::sync::{Condvar, Mutex};
    ///
    /// let (lock, never) = (Mutex::new(0), Condvar::new());
    /// let soon = Duration::from_millis(1);
    /// let (_guard, result) = never.wait_timeout_while(lock.lock().unwrap(), soon, |n| *n == 0).unwrap();
    /// assert!(result.timed_out());
    /// ```
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    maybe_const! {
        /// Creates a condition variable.
        ///
        /// # Examples
        ///
        /// ```
        /// static CHANGED: kahn::sync::Condvar = kahn::sync::Condvar::new();
        /// CHANGED.notify_all();
        /// ```
        pub const fn new() -> Condvar {
            Condvar { waiters: WaitList::new(()), waiting: AtomicUsize::new(0) }
        }
    }

    /// Releases the lock, waits for a notification, and takes the lock again. A notification that comes after the
    /// lock was released is not missed.
    ///
    /// # Parks
    ///
    /// Parks until it is notified, and then until the lock is free. If the caller is cancelled or its timeout passes
    /// before it is notified, this unwinds *without* the lock. The guard is gone by then, so nothing is poisoned.
    /// Once notified, it takes the lock and returns, and a cancel takes effect at the next wait. So no notification
    /// is lost.
    ///
    /// # Errors
    ///
    /// Returns an error if the lock is poisoned. The lock is taken nevertheless, and the error contains the guard.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::sync::{Condvar, Mutex};
    ///
    /// let (lock, changed) = (Mutex::new(0), Condvar::new());
    /// kahn::scope(|s| {
    ///     s.spawn(|| {
    ///         *lock.lock().unwrap() = 7;
    ///         changed.notify_one();
    ///     });
    ///     let mut value = lock.lock().unwrap();
    ///     while *value == 0 {
    ///         value = changed.wait(value).unwrap();
    ///     }
    ///     assert_eq!(*value, 7);
    /// });
    /// ```
    #[track_caller]
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        let (guard, _) = self.wait_until(guard, None, Location::caller());
        guard
    }

    /// [Waits](Self::wait) as long as `condition` returns true.
    ///
    /// # Parks
    ///
    /// Parks as [`wait`](Self::wait) does.
    ///
    /// # Errors
    ///
    /// Returns the error of [`wait`](Self::wait) as soon as one occurs.
    ///
    /// # Panics
    ///
    /// Panics if `condition` panics, which poisons the lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::sync::{Condvar, Mutex};
    ///
    /// let (queue, changed) = (Mutex::new(Vec::new()), Condvar::new());
    /// kahn::scope(|s| {
    ///     s.spawn(|| {
    ///         queue.lock().unwrap().push("work");
    ///         changed.notify_one();
    ///     });
    ///     let mut queue = changed.wait_while(queue.lock().unwrap(), |queue| queue.is_empty()).unwrap();
    ///     assert_eq!(queue.pop(), Some("work"));
    /// });
    /// ```
    #[track_caller]
    pub fn wait_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<MutexGuard<'a, T>> {
        while condition(&mut *guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// [Waits](Self::wait) for at most `timeout`.
    ///
    /// # Parks
    ///
    /// Parks as [`wait`](Self::wait) does. When the timeout has passed, it still takes the lock, and may park for
    /// longer while the lock is held.
    ///
    /// # Errors
    ///
    /// Returns an error if the lock is poisoned, as [`wait`](Self::wait) does.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::sync::{Condvar, Mutex};
    ///
    /// let (lock, never) = (Mutex::new(1), Condvar::new());
    /// let (guard, result) = never.wait_timeout(lock.lock().unwrap(), Duration::from_millis(1)).unwrap();
    /// assert!(result.timed_out() && *guard == 1);
    /// ```
    #[track_caller]
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        with(self.wait_until(guard, deadline_after(timeout), Location::caller()))
    }

    /// [Waits](Self::wait) as long as `condition` returns true, for at most `timeout`. The result reports a timeout
    /// only if the condition still held.
    ///
    /// # Parks
    ///
    /// Parks as [`wait_timeout`](Self::wait_timeout) does.
    ///
    /// # Errors
    ///
    /// Returns the error of [`wait`](Self::wait) as soon as one occurs.
    ///
    /// # Panics
    ///
    /// Panics if `condition` panics, which poisons the lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::sync::{Condvar, Mutex};
    ///
    /// let (ready, changed) = (Mutex::new(true), Condvar::new());
    /// let hour = Duration::from_secs(3600);
    /// let (_guard, result) = changed.wait_timeout_while(ready.lock().unwrap(), hour, |ready| !*ready).unwrap();
    /// assert!(!result.timed_out());
    /// ```
    #[track_caller]
    pub fn wait_timeout_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let deadline = deadline_after(timeout);
        let mut over = false;
        while condition(&mut *guard) {
            if over {
                return Ok((guard, WaitTimeoutResult(true)));
            }
            let result;
            (guard, result) = with(self.wait_until(guard, deadline, Location::caller()))?;
            over = result.timed_out();
        }
        Ok((guard, WaitTimeoutResult(false)))
    }

    /// Notifies the waiter that has waited longest. If there is no waiter, this has no effect, and later waiters do
    /// not see it.
    ///
    /// # Parks
    ///
    /// Never waits. Counts as an operation of the budget, so it may yield to other green threads.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::sync::{Condvar, Mutex};
    ///
    /// let (tokens, more) = (Mutex::new(0), Condvar::new());
    /// kahn::scope(|s| {
    ///     s.spawn(|| *more.wait_while(tokens.lock().unwrap(), |tokens| *tokens == 0).unwrap() -= 1);
    ///     *tokens.lock().unwrap() += 1;
    ///     more.notify_one();
    /// });
    /// assert_eq!(*tokens.lock().unwrap(), 0);
    /// ```
    #[inline]
    pub fn notify_one(&self) {
        operation();
        // Relaxed: a notifier that must find a waiter has taken the mutex after that waiter released it, so it sees
        // the count.
        if self.waiting.load(Ordering::Relaxed) != 0 {
            self.waiters.update(|(), [waiters]| _ = waiters.claim_next());
        }
    }

    /// Notifies all current waiters.
    ///
    /// # Parks
    ///
    /// Never waits. Counts as an operation of the budget, so it may yield to other green threads.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::sync::{Condvar, Mutex};
    ///
    /// let (open, opened) = (Mutex::new(false), Condvar::new());
    /// kahn::scope(|s| {
    ///     for _ in 0..3 {
    ///         s.spawn(|| drop(opened.wait_while(open.lock().unwrap(), |open| !*open)));
    ///     }
    ///     *open.lock().unwrap() = true;
    ///     opened.notify_all();
    /// });
    /// ```
    #[inline]
    pub fn notify_all(&self) {
        operation();
        // Relaxed: the mutex orders the count before this load, as in `notify_one`.
        if self.waiting.load(Ordering::Relaxed) != 0 {
            self.waiters.update(|(), [waiters]| _ = waiters.claim_all());
        }
    }

    fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Option<Instant>,
        location: &'static Location<'static>,
    ) -> (LockResult<MutexGuard<'a, T>>, WaitTimeoutResult) {
        let lock = guard.into_lock();
        let reason = Reason::at(Kind::Condvar, self, location);
        // Relaxed: the mutex, which is released below, orders this before the load in `notify_one`.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let count = Count(&self.waiting);
        let options = WaitOptions::new(reason).until(deadline);
        // SAFETY: `unlock` may wake one thread. It neither waits nor unwinds.
        let waited = unsafe { self.waiters.wait_releasing(options, || lock.raw().unlock()) };
        drop(count);
        let waited = waited.map_err(WaitError::raise);
        match waited {
            // Shielded: this waiter has taken a notification, so the caller must get the chance to act on it.
            Ok(()) => shield(|| lock.raw().lock(location)),
            Err(_) => lock.raw().lock(location),
        }
        // SAFETY: the lock was released above, and was just taken again. The first guard is gone.
        (unsafe { lock.relocked() }, WaitTimeoutResult(waited.is_err()))
    }
}

/// Counts one waiter while it exists.
struct Count<'a>(&'a AtomicUsize);

impl Drop for Count<'_> {
    fn drop(&mut self) {
        // Relaxed: if the count is too high for a while, a notifier only looks at the gate in vain.
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn with<G, R>((guard, result): (LockResult<G>, R)) -> LockResult<(G, R)> {
    match guard {
        Ok(guard) => Ok((guard, result)),
        Err(error) => Err(PoisonError::new((error.into_inner(), result))),
    }
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}
