//! The mutex.

mod raw;

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::panic::Location;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, TryLockError, TryLockResult};

use crate::primitives::maybe_const;
use crate::sync::poison::{Before, Poison};
use crate::wait::operation;

pub(in crate::sync) use raw::RawMutex;

/// A lock around a value that only one thread at a time may use. Works like [`std::sync::Mutex`].
///
/// A thread that finds the lock held spins for about a microsecond, then parks; an OS thread sleeps. The lock may be
/// held while parking: a green thread keeps it over a receive or a sleep. As in std, taking the lock twice without
/// releasing it is a deadlock.
///
/// # Fairness
///
/// A woken waiter competes with threads that arrive just then. This is fast, because a holder that comes back at once
/// finds the lock in its cache. A waiter that has lost four times is handed the lock. So no waiter starves, and
/// waiters are woken in the order of their arrival.
///
/// # Examples
///
/// ```
/// use kahn::sync::{Arc, Mutex};
///
/// static TOTAL: Mutex<u64> = Mutex::new(0);
///
/// let workers: Vec<_> = (0..4).map(|_| std::thread::spawn(|| *TOTAL.lock().unwrap() += 1)).collect();
/// for worker in workers {
///     worker.join().unwrap();
/// }
/// assert_eq!(*TOTAL.lock().unwrap(), 4);
/// ```
///
/// A guard cannot be sent to another thread:
///
/// ```compile_fail,E0277
/// fn send<T: Send>(_: T) {}
/// send(kahn::sync::Mutex::new(0).lock());
/// ```
pub struct Mutex<T: ?Sized> {
    raw: RawMutex,
    poison: Poison,
    value: UnsafeCell<T>,
}

// SAFETY: the lock gives the value to one thread at a time, so sharing the lock at most moves the value between
// threads.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: the lock gives the value to one thread at a time, so sharing the lock at most moves the value between
// threads.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

// If an unwind leaves the value half changed, the poison flag records it.
impl<T: ?Sized> UnwindSafe for Mutex<T> {}
impl<T: ?Sized> RefUnwindSafe for Mutex<T> {}

/// The holder's access to the value of a [`Mutex`]. Dropping it releases the lock.
///
/// # Examples
///
/// ```
/// use kahn::sync::{Mutex, MutexGuard};
///
/// fn add(mut total: MutexGuard<'_, u64>, n: u64) {
///     *total += n;
/// }
/// let total = Mutex::new(40);
/// add(total.lock().unwrap(), 2);
/// assert_eq!(total.into_inner().unwrap(), 42);
/// ```
#[must_use = "if unused the Mutex will immediately unlock"]
pub struct MutexGuard<'a, T: ?Sized> {
    lock: &'a Mutex<T>,
    before: Before,
    /// Makes the guard not `Send`, like std's.
    _not_send: PhantomData<*mut ()>,
}

// SAFETY: sharing a guard shares the value, and a shared guard gives access to nothing else.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T> Mutex<T> {
    maybe_const! {
        /// Creates a free lock around `value`.
        ///
        /// # Examples
        ///
        /// ```
        /// static TOTAL: kahn::sync::Mutex<u64> = kahn::sync::Mutex::new(0);
        /// *TOTAL.lock().unwrap() += 1;
        /// ```
        #[inline]
        pub const fn new(value: T) -> Mutex<T> {
            Mutex { raw: RawMutex::new(), poison: Poison::new(), value: UnsafeCell::new(value) }
        }
    }

    /// Returns the value.
    ///
    /// # Errors
    ///
    /// Returns an error if the lock is poisoned. The error contains the value.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = kahn::sync::Mutex::new(String::from("mine"));
    /// assert_eq!(lock.into_inner().unwrap(), "mine");
    /// ```
    pub fn into_inner(self) -> LockResult<T> {
        self.poison.check(self.value.into_inner())
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the lock.
    ///
    /// # Parks
    ///
    /// Parks while another thread holds the lock. If the caller is cancelled or its timeout passes, this unwinds and
    /// the lock is not taken.
    ///
    /// # Errors
    ///
    /// Returns an error if the lock is poisoned (see [Poisoning](crate::sync#poisoning)). The lock is taken
    /// nevertheless, and the error contains the guard.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = kahn::sync::Mutex::new(vec![1]);
    /// lock.lock().unwrap().push(2);
    /// assert_eq!(*lock.lock().unwrap(), [1, 2]);
    /// ```
    #[track_caller]
    #[inline]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        self.raw.lock(Location::caller());
        // SAFETY: the line above has taken the lock.
        self.poison.check(unsafe { self.guard() })
    }

    /// Takes the lock if it is free and not about to be handed to a waiter. Never waits for the lock. A failed
    /// attempt counts as an operation of the budget, so it may yield to other green threads.
    ///
    /// # Errors
    ///
    /// Returns [`WouldBlock`](TryLockError::WouldBlock) if the lock is not free. Returns
    /// [`Poisoned`](TryLockError::Poisoned), which contains the guard, if the lock is poisoned.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = kahn::sync::Mutex::new(());
    /// let guard = lock.lock().unwrap();
    /// assert!(lock.try_lock().is_err());
    /// drop(guard);
    /// assert!(lock.try_lock().is_ok());
    /// ```
    #[inline]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        if self.raw.try_lock() {
            // SAFETY: the line above has taken the lock.
            Ok(self.poison.check(unsafe { self.guard() })?)
        } else {
            operation();
            Err(TryLockError::WouldBlock)
        }
    }

    /// Returns whether the lock is poisoned: a holder has unwound.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = kahn::sync::Mutex::new(0);
    /// let _ = kahn::run(|| {
    ///     kahn::scope(|s| {
    ///         s.spawn(|| {
    ///             let _guard = lock.lock().unwrap();
    ///             panic!("half way");
    ///         })
    ///         .join()
    ///         .is_err()
    ///     })
    /// });
    /// assert!(lock.is_poisoned());
    /// ```
    #[inline]
    pub fn is_poisoned(&self) -> bool {
        self.poison.get()
    }

    /// Clears the poison flag: declares the value consistent again.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::sync::Mutex;
    ///
    /// let lock = Mutex::new(0);
    /// let panicked = std::panic::catch_unwind(|| {
    ///     let _guard = lock.lock().unwrap();
    ///     panic!("half way");
    /// });
    /// assert!(panicked.is_err() && lock.is_poisoned());
    /// *lock.lock().unwrap_err().into_inner() = 1;
    /// lock.clear_poison();
    /// assert_eq!(*lock.lock().unwrap(), 1);
    /// ```
    pub fn clear_poison(&self) {
        self.poison.clear();
    }

    /// Returns a mutable reference to the value. It does not lock: no other thread can hold the lock.
    ///
    /// # Errors
    ///
    /// Returns an error if the lock is poisoned. The error contains the reference.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut lock = kahn::sync::Mutex::new(1);
    /// *lock.get_mut().unwrap() += 1;
    /// assert_eq!(*lock.lock().unwrap(), 2);
    /// ```
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.poison.check(self.value.get_mut())
    }

    pub(in crate::sync) fn raw(&self) -> &RawMutex {
        &self.raw
    }

    /// Creates the guard of the lock. Returns it as an error if the lock is poisoned.
    ///
    /// # Safety
    ///
    /// The caller has just taken the lock, and creates only one guard for it.
    pub(in crate::sync) unsafe fn relocked(&self) -> LockResult<MutexGuard<'_, T>> {
        // SAFETY: the caller has just taken the lock, and creates only this guard.
        self.poison.check(unsafe { self.guard() })
    }

    /// Creates the guard of the lock.
    ///
    /// # Safety
    ///
    /// The caller has just taken the lock, and creates only one guard for it.
    #[inline]
    unsafe fn guard(&self) -> MutexGuard<'_, T> {
        MutexGuard { lock: self, before: self.poison.enter(), _not_send: PhantomData }
    }
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// Returns the lock, which is still held, and forgets the guard. For a wait that releases the lock and takes it
    /// again.
    pub(in crate::sync) fn into_lock(self) -> &'a Mutex<T> {
        let lock = self.lock;
        core::mem::forget(self);
        lock
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: while a guard exists, its lock is held through that guard alone.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: while a guard exists, its lock is held through that guard alone, and the guard is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.poison.leave(self.before);
        self.lock.raw.unlock();
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Mutex<T> {
        Mutex::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.poison.show_lock(f, "Mutex", || self.try_lock())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
