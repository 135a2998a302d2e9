//! Many readers or one writer.

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

use raw::RawRwLock;

/// A lock around a value, which many may read at once, or one may change. As [`std::sync::RwLock`].
///
/// Taking it again without giving it back is a deadlock, even to read twice if a writer comes in between, as in std.
///
/// # Fairness
///
/// Readers and writers that wait take turns. While a writer waits, new readers wait too; when a writer gives the lock
/// back, all readers that wait get it; when the last of them gives it back, the writer that has waited longest gets it. Only
/// among writers may a newcomer be faster, and not more than four times. So neither starves the other.
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
/// A guard stays on its thread:
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

// SAFETY: the lock owns the value and nothing of a thread.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: readers share the value, so T is Sync; a writer can move it, so it is Send.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

// A value left half changed is what poisoning tells of.
impl<T: ?Sized> UnwindSafe for RwLock<T> {}
impl<T: ?Sized> RefUnwindSafe for RwLock<T> {}

/// A reader's access to the value of a [`RwLock`]; dropping it gives the lock back.
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
    /// Not `Send`, and as fit to be kept over an unwind as `&T`, since a reader poisons nothing: as std's.
    _like_std: PhantomData<*const T>,
}

/// A writer's access to the value of a [`RwLock`]; dropping it gives the lock back.
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
    /// Not `Send`: as std's.
    _not_send: PhantomData<*mut ()>,
}

// SAFETY: sharing a guard shares the value, and nothing else of it can be used through a reference.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<T> RwLock<T> {
    maybe_const! {
        /// A free lock around `value`.
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

    /// The value.
    ///
    /// # Errors
    ///
    /// If the lock is poisoned, the value comes in the error.
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
    /// Takes the lock to read.
    ///
    /// # Parks
    ///
    /// While a writer has it, or waits for it. Cancelled or timed out, it unwinds, and has not taken the lock.
    ///
    /// # Errors
    ///
    /// If a writer has unwound (see [Poisoning](crate::sync#poisoning)). The lock is taken nevertheless, and the guard
    /// comes in the error. A reader that unwinds poisons nothing.
    ///
    /// # Panics
    ///
    /// At half a billion readers.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = kahn::sync::RwLock::new(3);
    /// let sum: i32 = kahn::scope(|s| {
    ///     // Both may be in it at once.
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
        // SAFETY: taken in the line above.
        self.poison.check(unsafe { self.reader() })
    }

    /// Takes the lock to write.
    ///
    /// # Parks
    ///
    /// While another has it. Cancelled or timed out, it unwinds, and has not taken the lock.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
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
        // SAFETY: taken in the line above.
        self.poison.check(unsafe { self.writer() })
    }

    /// Takes the lock to read, if no writer has it or waits for it. Never parks; counts as an operation after which others
    /// may have to run.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](TryLockError::WouldBlock) if one does, [`Poisoned`](TryLockError::Poisoned) with the guard if a
    /// writer has unwound.
    ///
    /// # Panics
    ///
    /// As [`read`](Self::read).
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
            // SAFETY: taken in the line above.
            Ok(self.poison.check(unsafe { self.reader() })?)
        } else {
            Err(TryLockError::WouldBlock)
        }
    }

    /// Takes the lock to write, if nobody has it. Never parks; counts as an operation after which others may have to run.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](TryLockError::WouldBlock) if one does, [`Poisoned`](TryLockError::Poisoned) with the guard if a
    /// writer has unwound.
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
            // SAFETY: taken in the line above.
            Ok(self.poison.check(unsafe { self.writer() })?)
        } else {
            Err(TryLockError::WouldBlock)
        }
    }

    /// Whether a writer has unwound.
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

    /// Declares the value whole again.
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

    /// The value, without locking: nobody else can have the lock.
    ///
    /// # Errors
    ///
    /// If the lock is poisoned, the reference comes in the error.
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

    /// # Safety
    ///
    /// The caller has just taken the lock to read, and makes one guard of it.
    #[inline]
    unsafe fn reader(&self) -> RwLockReadGuard<'_, T> {
        RwLockReadGuard { lock: self, _like_std: PhantomData }
    }

    /// # Safety
    ///
    /// The caller has just taken the lock to write, and makes one guard of it.
    #[inline]
    unsafe fn writer(&self) -> RwLockWriteGuard<'_, T> {
        RwLockWriteGuard { lock: self, before: self.poison.enter(), _not_send: PhantomData }
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Makes the writer a reader. No other writer gets in between; readers that wait get in at once.
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
        // SAFETY: the lock is held to read since the line above, and the writer's guard is gone.
        unsafe { lock.reader() }
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: while there is a reader's guard, nobody writes.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: while there is a writer's guard, the value is reached through it alone.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and the guard is borrowed mutably.
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
