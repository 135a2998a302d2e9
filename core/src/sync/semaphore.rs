//! The counting semaphore.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use crate::primitives::maybe_const;
use crate::sync::deadline_after;
use crate::wait::{Elapsed, Kind, MixedWaitList, Queue, Reason, WaitError, WaitOptions, noting, operation};

/// A counting semaphore: a number of permits that threads take and give back.
///
/// # Fairness
///
/// Waiters are served strictly in the order of their arrival. A thread that wants fewer permits does not overtake a
/// waiter that wants more. So a waiter for many permits gets them, and holds up the waiters behind it in the
/// meantime.
///
/// # Examples
///
/// ```
/// use kahn::sync::Semaphore;
///
/// static AT_ONCE: Semaphore = Semaphore::new(2);
///
/// let workers: Vec<_> = (0..4)
///     .map(|_| {
///         std::thread::spawn(|| {
///             let _permit = AT_ONCE.acquire();
///             // … at most two threads are here …
///         })
///     })
///     .collect();
/// for worker in workers {
///     worker.join().unwrap();
/// }
/// assert_eq!(AT_ONCE.available_permits(), 2);
/// ```
pub struct Semaphore {
    /// The number of permits that are available. While the queue is not empty, its first waiter wants more than are
    /// available.
    permits: MixedWaitList<usize, Wanted>,
}

/// The payload of a waiter: what it wants.
struct Wanted {
    permits: usize,
    /// Set by the claimer, which has taken the permits for the waiter.
    granted: bool,
}

impl Wanted {
    fn new(permits: usize) -> Wanted {
        Wanted { permits, granted: false }
    }
}

impl Semaphore {
    maybe_const! {
        /// Creates a semaphore with `permits` permits.
        ///
        /// # Examples
        ///
        /// ```
        /// static CONNECTIONS: kahn::sync::Semaphore = kahn::sync::Semaphore::new(8);
        /// assert_eq!(CONNECTIONS.available_permits(), 8);
        /// ```
        pub const fn new(permits: usize) -> Semaphore {
            Semaphore { permits: MixedWaitList::new(permits) }
        }
    }

    /// Takes one permit. It is given back when the returned value is dropped.
    ///
    /// # Parks
    ///
    /// Parks until a permit is available and all earlier waiters have been served. If the caller is cancelled or its
    /// timeout passes, this unwinds and nothing is taken.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::sync::Semaphore;
    ///
    /// let two = Semaphore::new(2);
    /// kahn::scope(|s| {
    ///     for _ in 0..10 {
    ///         s.spawn(|| {
    ///             let _permit = two.acquire();
    ///             // … no more than two are here at once …
    ///         });
    ///     }
    /// });
    /// ```
    #[track_caller]
    pub fn acquire(&self) -> Permit<'_> {
        self.acquire_many(1)
    }

    /// Takes `n` permits at once.
    ///
    /// # Parks
    ///
    /// Parks as [`acquire`](Self::acquire) does. It parks forever if `n` permits never become available.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = kahn::sync::Semaphore::new(5);
    /// let three = semaphore.acquire_many(3);
    /// assert!(semaphore.try_acquire_many(3).is_none());
    /// drop(three);
    /// assert!(semaphore.try_acquire_many(3).is_some());
    /// ```
    #[track_caller]
    pub fn acquire_many(&self, n: usize) -> Permit<'_> {
        let reason = Reason::new(Kind::Semaphore, self);
        self.try_acquire_many(n).unwrap_or_else(|| match self.wait(n, None, reason) {
            Ok(permit) => permit,
            Err(_) => unreachable!("there is no deadline"),
        })
    }

    /// Takes a permit if one becomes available within `timeout`. Otherwise returns `None` and takes nothing.
    ///
    /// # Parks
    ///
    /// Parks as [`acquire`](Self::acquire) does, for at most `timeout`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let semaphore = kahn::sync::Semaphore::new(1);
    /// let permit = semaphore.acquire();
    /// assert!(semaphore.acquire_timeout(Duration::from_millis(1)).is_none());
    /// drop(permit);
    /// assert!(semaphore.acquire_timeout(Duration::from_millis(1)).is_some());
    /// ```
    #[track_caller]
    pub fn acquire_timeout(&self, timeout: Duration) -> Option<Permit<'_>> {
        self.acquire_many_timeout(1, timeout)
    }

    /// Takes `n` permits at once if they become available within `timeout`. Otherwise returns `None` and takes
    /// nothing.
    ///
    /// # Parks
    ///
    /// Parks as [`acquire`](Self::acquire) does, for at most `timeout`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let semaphore = kahn::sync::Semaphore::new(2);
    /// assert!(semaphore.acquire_many_timeout(3, Duration::from_millis(1)).is_none());
    /// assert_eq!(semaphore.acquire_many_timeout(2, Duration::from_millis(1)).unwrap().permits(), 2);
    /// ```
    #[track_caller]
    pub fn acquire_many_timeout(&self, n: usize, timeout: Duration) -> Option<Permit<'_>> {
        let reason = Reason::new(Kind::Semaphore, self);
        self.try_acquire_many(n).or_else(|| self.wait(n, deadline_after(timeout), reason).ok())
    }

    /// Takes a permit if one is available and there is no waiter. Never waits for a permit.
    ///
    /// # Parks
    ///
    /// Never waits. Counts as an operation of the budget, so it may yield to other green threads.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = kahn::sync::Semaphore::new(1);
    /// let permit = semaphore.try_acquire();
    /// assert!(permit.is_some() && semaphore.try_acquire().is_none());
    /// ```
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.try_acquire_many(1)
    }

    /// Takes `n` permits at once if they are available and there is no waiter. Never waits for permits.
    ///
    /// # Parks
    ///
    /// Never waits. Counts as an operation of the budget, so it may yield to other green threads.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = kahn::sync::Semaphore::new(3);
    /// let two = semaphore.try_acquire_many(2).unwrap();
    /// assert!(semaphore.try_acquire_many(2).is_none());
    /// assert_eq!(two.permits() + semaphore.available_permits(), 3);
    /// ```
    pub fn try_acquire_many(&self, n: usize) -> Option<Permit<'_>> {
        operation();
        let taken = self.permits.update(|permits, [queue]| take(permits, queue, n));
        // The `Permit` is created only if the permits were taken, because dropping it gives permits back.
        taken.then(|| Permit { semaphore: self, permits: n })
    }

    /// Takes one permit in async code. It is given back when the returned value is dropped. The permit may be held over
    /// an `.await`, and may move to another worker with its task.
    ///
    /// Cancel safety: if the future is dropped before it is ready, nothing is taken, and it holds up no waiter behind it.
    ///
    /// # Parks
    ///
    /// Never parks the thread. The task waits, in the same queue as threads.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::sync::Semaphore;
    /// use kahn::task;
    ///
    /// static TWO: Semaphore = Semaphore::new(2);
    ///
    /// let tasks: Vec<_> = (0..10)
    ///     .map(|_| {
    ///         task::spawn(async {
    ///             let _permit = TWO.acquire_async().await;
    ///             // … no more than two are here at once …
    ///             task::yield_now().await;
    ///         })
    ///     })
    ///     .collect();
    /// tasks.into_iter().for_each(|task| task.join().unwrap());
    /// ```
    pub async fn acquire_async(&self) -> Permit<'_> {
        self.acquire_many_async(1).await
    }

    /// Takes `n` permits at once in async code, as [`acquire_async`](Self::acquire_async) takes one.
    ///
    /// # Parks
    ///
    /// Never parks the thread. The task waits, in the same queue as threads.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = kahn::sync::Semaphore::new(5);
    /// assert_eq!(kahn::block_on(semaphore.acquire_many_async(3)).permits(), 3);
    /// ```
    pub async fn acquire_many_async(&self, n: usize) -> Permit<'_> {
        let behind = ServeBehind { semaphore: self, armed: true };
        let look = |permits: &mut usize, [queue]: &mut [Queue<'_, Wanted>; 1], wanted: &mut Wanted| {
            (wanted.granted || take(permits, queue, wanted.permits)).then_some(())
        };
        let missed = |permits: &mut usize, [queue]: &mut [Queue<'_, Wanted>; 1], wanted: &mut Wanted| {
            // More permits than a `usize` holds were added meanwhile, if the sum is too large. These are lost.
            *permits = permits.saturating_add(wanted.permits);
            serve(permits, queue);
        };
        let wait = self.permits.wait_async(0, Wanted::new(n), look, missed);
        noting(Kind::Semaphore, self, wait).await;
        behind.disarm();
        Permit { semaphore: self, permits: n }
    }

    /// Takes one permit that does not borrow from the semaphore. So it can be kept in a value, or moved into a thread or a
    /// task.
    ///
    /// # Parks
    ///
    /// Parks as [`acquire`](Self::acquire) does.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::sync::{Arc, Semaphore};
    ///
    /// let two = Arc::new(Semaphore::new(2));
    /// for _ in 0..10 {
    ///     let permit = two.clone().acquire_owned();
    ///     kahn::spawn(move || {
    ///         let _permit = permit;
    ///         // … no more than two are here at once …
    ///     });
    /// }
    /// ```
    #[track_caller]
    pub fn acquire_owned(self: Arc<Self>) -> OwnedPermit {
        let permits = self.acquire().into_permits();
        OwnedPermit { semaphore: self, permits }
    }

    /// Takes one permit that does not borrow from the semaphore, if one is available and there is no waiter.
    ///
    /// # Parks
    ///
    /// Never waits. Counts as an operation of the budget, so it may yield to other green threads.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::sync::{Arc, Semaphore};
    ///
    /// let one = Arc::new(Semaphore::new(1));
    /// let permit = one.clone().try_acquire_owned();
    /// assert!(permit.is_some() && one.try_acquire_owned().is_none());
    /// ```
    pub fn try_acquire_owned(self: Arc<Self>) -> Option<OwnedPermit> {
        let permits = self.try_acquire()?.into_permits();
        Some(OwnedPermit { semaphore: self, permits })
    }

    /// Takes one permit in async code that does not borrow from the semaphore.
    ///
    /// Cancel safety: as for [`acquire_async`](Self::acquire_async).
    ///
    /// # Parks
    ///
    /// Never parks the thread. The task waits, in the same queue as threads.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::sync::{Arc, Semaphore};
    /// use kahn::task;
    ///
    /// let two = Arc::new(Semaphore::new(2));
    /// let accepts = task::spawn(async move {
    ///     for _ in 0..10 {
    ///         let permit = two.clone().acquire_owned_async().await;
    ///         task::spawn(async move {
    ///             let _permit = permit;
    ///             // … no more than two are here at once …
    ///         });
    ///     }
    /// });
    /// accepts.join().unwrap();
    /// ```
    pub async fn acquire_owned_async(self: Arc<Self>) -> OwnedPermit {
        let permits = self.acquire_async().await.into_permits();
        OwnedPermit { semaphore: self, permits }
    }

    /// Adds `n` permits permanently.
    ///
    /// # Parks
    ///
    /// Never waits. Counts as an operation of the budget, so it may yield to other green threads.
    ///
    /// # Panics
    ///
    /// Panics if the number of permits would exceed `usize::MAX`.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = kahn::sync::Semaphore::new(0);
    /// kahn::scope(|s| {
    ///     s.spawn(|| semaphore.acquire().forget());
    ///     semaphore.add_permits(1);
    /// });
    /// assert_eq!(semaphore.available_permits(), 0);
    /// ```
    pub fn add_permits(&self, n: usize) {
        operation();
        self.release(n);
    }

    fn release(&self, n: usize) {
        let fits = self.permits.update(|permits, [queue]| {
            let Some(sum) = permits.checked_add(n) else { return false };
            *permits = sum;
            serve(permits, queue);
            true
        });
        assert!(fits, "a semaphore has at most usize::MAX permits");
    }

    /// Returns the number of permits that are available at this moment.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = kahn::sync::Semaphore::new(3);
    /// let _permit = semaphore.acquire();
    /// assert_eq!(semaphore.available_permits(), 2);
    /// ```
    pub fn available_permits(&self) -> usize {
        self.permits.update(|permits, _| *permits)
    }

    /// Waits for `n` permits, and takes them.
    #[cold]
    #[inline(never)]
    fn wait(&self, n: usize, deadline: Option<Instant>, reason: Reason) -> Result<Permit<'_>, Elapsed> {
        let options = WaitOptions::new(reason).until(deadline).with(Wanted::new(n));
        let look =
            |permits: &mut usize, [queue]: &mut [Queue<'_, Wanted>; 1]| take(permits, queue, n).then_some(());
        // A waiter that gives up may have held up the waiters behind it.
        let waited = self.permits.wait_strictly(options, look, |permits, [queue]| serve(permits, queue));
        waited.map(|_| Permit { semaphore: self, permits: n }).map_err(WaitError::raise)
    }
}

/// Takes `n` permits if they are available and there is no waiter. Returns whether it took them.
fn take(permits: &mut usize, queue: &Queue<'_, Wanted>, n: usize) -> bool {
    let free = queue.is_empty() && *permits >= n;
    if free {
        *permits -= n;
    }
    free
}

/// Serves the waiters in order, as far as the permits suffice.
fn serve(permits: &mut usize, queue: &mut Queue<'_, Wanted>) {
    while let Some(wanted) = queue.front() {
        if wanted.permits > *permits {
            break;
        }
        // If the wait of that waiter has ended otherwise, the next waiter is now the first.
        if let Some(wanted) = queue.claim_front() {
            *permits -= wanted.permits;
            wanted.granted = true;
        }
    }
}

/// Serves the waiters behind a future that is dropped while it waits: it may have held them up. It is dropped after the
/// future has left the queue.
struct ServeBehind<'a> {
    semaphore: &'a Semaphore,
    armed: bool,
}

impl ServeBehind<'_> {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for ServeBehind<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.semaphore.permits.update(|permits, [queue]| serve(permits, queue));
        }
    }
}

/// Permits that have been taken. Dropping this gives them back. It can be sent to another thread.
///
/// # Panics
///
/// Dropping it panics if the number of permits would exceed `usize::MAX`, because so many have been
/// [added](Semaphore::add_permits) while it was held.
///
/// # Examples
///
/// ```
/// use kahn::sync::{Permit, Semaphore};
///
/// static SEATS: Semaphore = Semaphore::new(1);
///
/// let seat: Permit<'static> = SEATS.acquire();
/// // Another thread may give back the permit.
/// std::thread::spawn(move || drop(seat)).join().unwrap();
/// assert_eq!(SEATS.available_permits(), 1);
/// ```
#[must_use = "dropped at once, it gives its permits back at once"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    permits: usize,
}

impl Permit<'_> {
    /// Returns the number of permits.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = kahn::sync::Semaphore::new(3);
    /// assert_eq!(semaphore.acquire_many(2).permits(), 2);
    /// ```
    pub fn permits(&self) -> usize {
        self.permits
    }

    /// Forgets the permits: they are never given back.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = kahn::sync::Semaphore::new(3);
    /// semaphore.acquire().forget();
    /// assert_eq!(semaphore.available_permits(), 2);
    /// ```
    pub fn forget(self) {
        core::mem::forget(self);
    }

    /// Returns the number of permits, which the caller gives back.
    fn into_permits(self) -> usize {
        let permits = self.permits;
        self.forget();
        permits
    }
}

/// A permit that does not borrow from its semaphore. Dropping it gives the permit back. It can be sent to another thread.
///
/// # Panics
///
/// Dropping it panics if the number of permits would exceed `usize::MAX`, because so many have been
/// [added](Semaphore::add_permits) while it was held.
///
/// # Examples
///
/// See [`Semaphore::acquire_owned`].
#[must_use = "dropped at once, it gives its permit back at once"]
pub struct OwnedPermit {
    semaphore: Arc<Semaphore>,
    permits: usize,
}

impl OwnedPermit {
    /// Returns the semaphore.
    pub fn semaphore(&self) -> &Arc<Semaphore> {
        &self.semaphore
    }
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        self.semaphore.release(self.permits);
    }
}

impl fmt::Debug for OwnedPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedPermit").field("permits", &self.permits).finish_non_exhaustive()
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.semaphore.release(self.permits);
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("permits", &self.permits).finish_non_exhaustive()
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available_permits", &self.available_permits())
            .finish_non_exhaustive()
    }
}
