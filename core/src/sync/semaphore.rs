//! The counting semaphore.

use core::fmt;
use core::time::Duration;
use std::time::Instant;

use crate::primitives::maybe_const;
use crate::sync::deadline_after;
use crate::wait::{Elapsed, Kind, Queue, Reason, WaitError, WaitList, WaitOptions, operation};

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
    /// The number of permits that are available. The payload of a waiter is the number of permits that it wants. While
    /// the queue is not empty, its first waiter wants more than are available.
    permits: WaitList<usize, usize>,
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
            Semaphore { permits: WaitList::new(permits) }
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
        let options = WaitOptions::new(reason).until(deadline).with(n);
        let look =
            |permits: &mut usize, [queue]: &mut [Queue<'_, usize>; 1]| take(permits, queue, n).then_some(());
        // A waiter that gives up may have held up the waiters behind it.
        let waited = self.permits.wait_strictly(options, look, |permits, [queue]| serve(permits, queue));
        waited.map(|_| Permit { semaphore: self, permits: n }).map_err(WaitError::raise)
    }
}

/// Takes `n` permits if they are available and there is no waiter. Returns whether it took them.
fn take(permits: &mut usize, queue: &Queue<'_, usize>, n: usize) -> bool {
    let free = queue.is_empty() && *permits >= n;
    if free {
        *permits -= n;
    }
    free
}

/// Serves the waiters in order, as far as the permits suffice.
fn serve(permits: &mut usize, queue: &mut Queue<'_, usize>) {
    while let Some(&wanted) = queue.front() {
        if wanted > *permits {
            break;
        }
        // If the wait of that waiter has ended otherwise, the next waiter is now the first.
        if queue.claim_front().is_some() {
            *permits -= wanted;
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
