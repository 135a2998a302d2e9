//! Mutual exclusion.

mod raw;

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::panic::Location;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, TryLockError, TryLockResult};

use crate::facade::maybe_const;
use crate::sync::poison::{Before, Poison};
use crate::wait::operation;

pub(in crate::sync) use raw::RawMutex;

/// A lock around a value, which one at a time may use. As [`std::sync::Mutex`].
///
/// Who finds it held looks for about a microsecond whether it becomes free, then parks; an OS thread sleeps. It may be
/// held while parking: a green thread keeps it over a receive or a sleep. Taking it twice without giving it back is a
/// deadlock, as in std.
///
/// # Fairness
///
/// A waiter that is woken competes with those who come just then, which is fast: a holder that comes again at once finds
/// the lock in its cache. One that has lost four times is handed the lock. So none starves, and those who wait are
/// woken in the order in which they came.
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
/// A guard stays on its thread:
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

// SAFETY: the lock gives the value to one thread at a time, so sharing it at most moves the value.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

// A value left half changed is what poisoning tells of.
impl<T: ?Sized> UnwindSafe for Mutex<T> {}
impl<T: ?Sized> RefUnwindSafe for Mutex<T> {}

/// The holder's access to the value of a [`Mutex`]; dropping it gives the lock back.
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
    /// Not `Send`: as std's.
    _not_send: PhantomData<*mut ()>,
}

// SAFETY: sharing a guard shares the value, and nothing else of it can be used through a reference.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T> Mutex<T> {
    maybe_const! {
        /// A free lock around `value`.
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

    /// The value.
    ///
    /// # Errors
    ///
    /// If the lock is poisoned, the value comes in the error.
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
    /// While another holds it. Cancelled or timed out, it unwinds, and has not taken the lock.
    ///
    /// # Errors
    ///
    /// If a holder has unwound (see [Poisoning](crate::sync#poisoning)). The lock is taken nevertheless, and the guard
    /// comes in the error.
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
        // SAFETY: taken in the line above.
        self.poison.check(unsafe { self.guard() })
    }

    /// Takes the lock if it is free and nobody is about to be handed it. Never parks; while it fails, it counts as an
    /// operation after which others may have to run.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](TryLockError::WouldBlock) if it is not free, [`Poisoned`](TryLockError::Poisoned) with the guard if
    /// a holder has unwound.
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
            // SAFETY: taken in the line above.
            Ok(self.poison.check(unsafe { self.guard() })?)
        } else {
            operation();
            Err(TryLockError::WouldBlock)
        }
    }

    /// Whether a holder has unwound.
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

    /// Declares the value whole again.
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

    /// The value, without locking: nobody else can have the lock.
    ///
    /// # Errors
    ///
    /// If the lock is poisoned, the reference comes in the error.
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

    /// The guard of the lock, or the error with it.
    ///
    /// # Safety
    ///
    /// The caller has just taken the lock, and makes one guard of it.
    pub(in crate::sync) unsafe fn relocked(&self) -> LockResult<MutexGuard<'_, T>> {
        // SAFETY: by the contract.
        self.poison.check(unsafe { self.guard() })
    }

    /// # Safety
    ///
    /// The caller has just taken the lock, and makes one guard of it.
    #[inline]
    unsafe fn guard(&self) -> MutexGuard<'_, T> {
        MutexGuard { lock: self, before: self.poison.enter(), _not_send: PhantomData }
    }
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// For a wait that gives the lock back and takes it again: the lock, which is still held, without its guard.
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
        // SAFETY: while there is a guard, its lock is held through it alone.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and the guard is borrowed mutably.
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
