//! The counting semaphore.

use core::fmt;
use core::ptr::NonNull;
use core::time::Duration;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Instant;

use crate::primitives::{Lock, maybe_const};
use crate::sync::chain::{Chain, Slot};
use crate::sync::gate::deadline_after;
use crate::wait::{Claimed, Kind, Node, Reason, TimedOut, Wait, WaitQueue, Withdrawal, operation};

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
    inside: Lock<Inside>,
}

#[derive(Debug)]
struct Inside {
    permits: usize,
    /// The payload of each node is its `Request`. While the queue is not empty, its first waiter wants more than
    /// `permits`.
    queue: WaitQueue,
}

// No user code runs while the inside is changed, so an unwind never leaves it half changed.
impl UnwindSafe for Semaphore {}
impl RefUnwindSafe for Semaphore {}

/// A waiter's request, on its stack. It is accessed under the lock until the waiter is claimed, and then by the
/// claimer alone.
#[repr(C)]
struct Request {
    slot: Slot,
    wanted: usize,
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
            Semaphore { inside: Lock::new(Inside { permits, queue: WaitQueue::new() }) }
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
        match self.acquire_until(n, None, Reason::new(Kind::Semaphore, self)) {
            Ok(permit) => permit,
            Err(TimedOut) => unreachable!("there is no deadline"),
        }
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
        self.try_acquire_many(n).or_else(|| self.acquire_until(n, deadline_after(timeout), reason).ok())
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
        let taken = self.inside.lock().take(n);
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
        let mut inside = self.inside.lock();
        let Some(permits) = inside.permits.checked_add(n) else {
            drop(inside);
            panic!("a semaphore has at most usize::MAX permits");
        };
        inside.permits = permits;
        let served = inside.serve();
        drop(inside);
        drop(served);
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
        self.inside.lock().permits
    }

    fn acquire_until(
        &self,
        n: usize,
        deadline: Option<Instant>,
        reason: Reason,
    ) -> Result<Permit<'_>, TimedOut> {
        let permit = || Ok(Permit { semaphore: self, permits: n });
        operation();
        let mut inside = self.inside.lock();
        if inside.take(n) {
            drop(inside);
            return permit();
        }
        let request = Request { slot: Slot::new(), wanted: n };
        let withdrawal = Withdrawal::new(reason, core::ptr::from_ref(self).cast(), Semaphore::withdraw);
        // SAFETY: the semaphore is locked, and the node is added to its queue before it is unlocked. The wait is
        // parked below.
        let wait = unsafe { Wait::withdrawable(crate::wait::CurrentWaiter::current(), &withdrawal) };
        let node = Node::new(wait.waiter(), 0, (&raw const request).cast_mut().cast());
        withdrawal.set_node((&node).into());
        // SAFETY: the node is new, `Wait::withdrawable` has opened its wait, and it does not move. It leaves the
        // queue before this function returns: a claimer or a withdrawal removes it, or the code below does.
        unsafe { inside.queue.push((&node).into()) };
        drop(inside);
        match wait.park_withdrawable(&withdrawal, deadline) {
            Ok(_) => permit(),
            Err(error) => {
                self.leave(&withdrawal);
                drop(wait);
                Err(error.raise())
            }
        }
    }

    /// Removes a waiter that gives up, and serves the waiters behind it, which it may have held up.
    fn leave(&self, withdrawal: &Withdrawal) {
        let mut inside = self.inside.lock();
        if let Some(node) = withdrawal.node() {
            // SAFETY: the node is in this queue or in none.
            unsafe { inside.queue.remove(node) };
        }
        let served = inside.serve();
        drop(inside);
        drop(served);
    }

    /// Withdraws a waiter.
    ///
    /// # Safety
    ///
    /// `semaphore` is the one that the owner of the withdrawal waits for.
    unsafe fn withdraw(semaphore: *const (), withdrawal: &Withdrawal) {
        // SAFETY: the pointer is to the semaphore that the owner waits for, and the owner borrows it while it waits.
        unsafe { &*semaphore.cast::<Semaphore>() }.leave(withdrawal);
    }
}

impl Inside {
    /// Takes `n` permits if they are available and there is no waiter. Returns whether it took them.
    fn take(&mut self, n: usize) -> bool {
        let free = self.queue.is_empty() && self.permits >= n;
        if free {
            self.permits -= n;
        }
        free
    }

    /// Serves the waiters in order, as far as the permits suffice.
    fn serve(&mut self) -> Chain {
        let mut served = Chain::new();
        while let Some(first) = self.queue.front_payload() {
            // SAFETY: the payloads of this queue are the waiters' requests. They are valid as long as the lock is
            // held.
            if unsafe { (*first.cast::<Request>()).wanted } > self.permits {
                break;
            }
            // The wait of that waiter may have ended otherwise. Then the next waiter is the first.
            let Some(Claimed { payload, wake }) = self.queue.claim_front() else { continue };
            let request = NonNull::new(payload.cast::<Request>()).expect("the address of a local");
            // SAFETY: the waiter was just claimed and is not yet woken, so its stack belongs to this thread. The slot
            // is the first field of its request.
            unsafe {
                self.permits -= request.as_ref().wanted;
                served.push(request.cast::<Slot>(), wake);
            }
        }
        served
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
