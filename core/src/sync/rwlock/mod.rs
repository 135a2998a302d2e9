//! The reader-writer lock.

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

use raw::RawRwLock;

/// A lock around a value that many threads may read at once, or one may change. Works like [`std::sync::RwLock`].
///
/// Taking the lock again without releasing it is a deadlock, as in std. This includes reading twice, if a writer
/// arrives in between.
///
/// # Fairness
///
/// Readers and writers that wait take turns. While a writer waits, new readers wait too. When a writer releases the
/// lock, all waiting readers get it. When the last of them releases it, the writer that has waited longest gets it.
/// Only among writers may a newcomer be faster, and not more than four times. So neither readers nor writers starve.
///
/// # Examples
///
/// ```
/// use kahn::sync::RwLock;
///
/// static NAMES: RwLock<Vec<&str>> = RwLock::new(Vec::new());
///
/// NAMES.write().unwrap().push("Kahn");
/// let (one, other) = (NAMES.read().unwrap(), NAMES.read().unwrap());
/// assert_eq!(one[0], other[0]);
/// ```
///
/// A guard cannot be sent to another thread:
///
/// ```compile_fail,E0277
/// fn send<T: Send>(_: T) {}
/// send(kahn::sync::RwLock::new(0).read());
/// ```
pub struct RwLock<T: ?Sized> {
    raw: RawRwLock,
    poison: Poison,
    value: UnsafeCell<T>,
}

// SAFETY: the lock owns the value, which is Send, and nothing that is tied to a thread.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: readers on several threads share the value, so T is Sync. A writer can move the value, so T is Send.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

// If an unwind leaves the value half changed, the poison flag records it.
impl<T: ?Sized> UnwindSafe for RwLock<T> {}
impl<T: ?Sized> RefUnwindSafe for RwLock<T> {}

/// A reader's access to the value of a [`RwLock`]. Dropping it releases the lock.
///
/// # Examples
///
/// ```
/// use kahn::sync::{RwLock, RwLockReadGuard};
///
/// let names = RwLock::new(vec!["Kahn"]);
/// let guard: RwLockReadGuard<'_, Vec<&str>> = names.read().unwrap();
/// assert_eq!(guard.len(), 1);
/// ```
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    /// Makes the guard not `Send`, and as unwind-safe as `&T`, because a reader poisons nothing. Std's guard is the
    /// same.
    _like_std: PhantomData<*const T>,
}

/// A writer's access to the value of a [`RwLock`]. Dropping it releases the lock.
///
/// # Examples
///
/// ```
/// use kahn::sync::{RwLock, RwLockWriteGuard};
///
/// let names = RwLock::new(Vec::new());
/// let mut guard: RwLockWriteGuard<'_, Vec<&str>> = names.write().unwrap();
/// guard.push("Kahn");
/// ```
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    before: Before,
    /// Makes the guard not `Send`, like std's.
    _not_send: PhantomData<*mut ()>,
}

// SAFETY: sharing a guard shares the value, and a shared guard gives access to nothing else.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}
// SAFETY: sharing a guard shares the value, and a shared guard gives access to nothing else.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<T> RwLock<T> {
    maybe_const! {
        /// Creates a free lock around `value`.
        ///
        /// # Examples
        ///
        /// ```
        /// static LIMIT: kahn::sync::RwLock<u32> = kahn::sync::RwLock::new(10);
        /// assert_eq!(*LIMIT.read().unwrap(), 10);
        /// ```
        #[inline]
        pub const fn new(value: T) -> RwLock<T> {
            RwLock { raw: RawRwLock::new(), poison: Poison::new(), value: UnsafeCell::new(value) }
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
    /// let lock = kahn::sync::RwLock::new(String::from("mine"));
    /// assert_eq!(lock.into_inner().unwrap(), "mine");
    /// ```
    pub fn into_inner(self) -> LockResult<T> {
        self.poison.check(self.value.into_inner())
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Takes the lock for reading.
    ///
    /// # Parks
    ///
    /// Parks while a writer holds the lock or waits for it. If the caller is cancelled or its timeout passes, this
    /// unwinds and the lock is not taken.
    ///
    /// # Errors
    ///
    /// Returns an error if the lock is poisoned: a writer has unwound (see [Poisoning](crate::sync#poisoning)). The
    /// lock is taken nevertheless, and the error contains the guard. A reader that unwinds poisons nothing.
    ///
    /// # Panics
    ///
    /// Panics if half a billion guards for reading exist.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = kahn::sync::RwLock::new(3);
    /// let sum: i32 = kahn::scope(|s| {
    ///     // Both may hold the lock at once.
    ///     let readers = [s.spawn(|| *lock.read().unwrap()), s.spawn(|| *lock.read().unwrap())];
    ///     readers.into_iter().map(|reader| reader.join().unwrap()).sum()
    /// });
    /// assert_eq!(sum, 6);
    /// ```
    #[track_caller]
    #[inline]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        operation();
        self.raw.read(Location::caller());
        // SAFETY: the lock was taken for reading just now.
        self.poison.check(unsafe { self.reader() })
    }

    /// Takes the lock for writing.
    ///
    /// # Parks
    ///
    /// Parks while another thread holds the lock. If the caller is cancelled or its timeout passes, this unwinds and
    /// the lock is not taken.
    ///
    /// # Errors
    ///
    /// Returns an error if the lock is poisoned. The lock is taken nevertheless, and the error contains the guard.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = kahn::sync::RwLock::new(0);
    /// kahn::scope(|s| {
    ///     for _ in 0..4 {
    ///         s.spawn(|| *lock.write().unwrap() += 1);
    ///     }
    /// });
    /// assert_eq!(*lock.read().unwrap(), 4);
    /// ```
    #[track_caller]
    #[inline]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        operation();
        self.raw.write(Location::caller());
        // SAFETY: the lock was taken for writing just now.
        self.poison.check(unsafe { self.writer() })
    }

    /// Takes the lock for reading if no writer holds it or waits for it. Never waits for the lock. Counts as an
    /// operation of the budget, so it may yield to other green threads.
    ///
    /// # Errors
    ///
    /// Returns [`WouldBlock`](TryLockError::WouldBlock) if a writer holds the lock or waits for it. Returns
    /// [`Poisoned`](TryLockError::Poisoned), which contains the guard, if the lock is poisoned.
    ///
    /// # Panics
    ///
    /// Panics if half a billion guards for reading exist.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = kahn::sync::RwLock::new(0);
    /// let writer = lock.write().unwrap();
    /// assert!(lock.try_read().is_err());
    /// drop(writer);
    /// assert_eq!(*lock.try_read().unwrap(), 0);
    /// ```
    #[inline]
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        operation();
        if self.raw.try_read() {
            // SAFETY: the lock was taken for reading just now.
            Ok(self.poison.check(unsafe { self.reader() })?)
        } else {
            Err(TryLockError::WouldBlock)
        }
    }

    /// Takes the lock for writing if no thread holds it. Never waits for the lock. Counts as an operation of the
    /// budget, so it may yield to other green threads.
    ///
    /// # Errors
    ///
    /// Returns [`WouldBlock`](TryLockError::WouldBlock) if another thread holds the lock. Returns
    /// [`Poisoned`](TryLockError::Poisoned), which contains the guard, if the lock is poisoned.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = kahn::sync::RwLock::new(0);
    /// let reader = lock.read().unwrap();
    /// assert!(lock.try_write().is_err());
    /// drop(reader);
    /// *lock.try_write().unwrap() = 1;
    /// ```
    #[inline]
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        operation();
        if self.raw.try_write() {
            // SAFETY: the lock was taken for writing just now.
            Ok(self.poison.check(unsafe { self.writer() })?)
        } else {
            Err(TryLockError::WouldBlock)
        }
    }

    /// Returns whether the lock is poisoned: a writer has unwound.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = kahn::sync::RwLock::new(0);
    /// let panicked = std::panic::catch_unwind(|| {
    ///     let _writer = lock.write().unwrap();
    ///     panic!("half way");
    /// });
    /// assert!(panicked.is_err() && lock.is_poisoned());
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
    /// let lock = kahn::sync::RwLock::new(0);
    /// let _ = std::panic::catch_unwind(|| {
    ///     let _writer = lock.write().unwrap();
    ///     panic!("half way");
    /// });
    /// *lock.write().unwrap_err().into_inner() = 1;
    /// lock.clear_poison();
    /// assert_eq!(*lock.read().unwrap(), 1);
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
    /// let mut lock = kahn::sync::RwLock::new(1);
    /// *lock.get_mut().unwrap() += 1;
    /// assert_eq!(*lock.read().unwrap(), 2);
    /// ```
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.poison.check(self.value.get_mut())
    }

    /// Creates a guard for reading.
    ///
    /// # Safety
    ///
    /// The caller has just taken the lock for reading, and creates only one guard for it.
    #[inline]
    unsafe fn reader(&self) -> RwLockReadGuard<'_, T> {
        RwLockReadGuard { lock: self, _like_std: PhantomData }
    }

    /// Creates the guard for writing.
    ///
    /// # Safety
    ///
    /// The caller has just taken the lock for writing, and creates only one guard for it.
    #[inline]
    unsafe fn writer(&self) -> RwLockWriteGuard<'_, T> {
        RwLockWriteGuard { lock: self, before: self.poison.enter(), _not_send: PhantomData }
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Turns the guard for writing into a guard for reading. No other writer gets the lock in between. Waiting
    /// readers get it at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::sync::{RwLock, RwLockWriteGuard};
    ///
    /// let lock = RwLock::new(0);
    /// let mut writer = lock.write().unwrap();
    /// *writer += 1;
    /// let reader = RwLockWriteGuard::downgrade(writer);
    /// assert_eq!(*reader + *lock.read().unwrap(), 2);
    /// ```
    pub fn downgrade(this: RwLockWriteGuard<'a, T>) -> RwLockReadGuard<'a, T> {
        let lock = this.lock;
        lock.poison.leave(this.before);
        core::mem::forget(this);
        lock.raw.downgrade();
        // SAFETY: the line above has turned the hold into a hold for reading, and the guard for writing is gone.
        unsafe { lock.reader() }
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: while a guard for reading exists, no thread writes.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: while a guard for writing exists, the value is accessed through that guard alone.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: while a guard for writing exists, the value is accessed through that guard alone, and it is
        // borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.raw.unlock_read();
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.poison.leave(self.before);
        self.lock.raw.unlock_write();
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> RwLock<T> {
        RwLock::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.poison.show_lock(f, "RwLock", || self.try_read())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
