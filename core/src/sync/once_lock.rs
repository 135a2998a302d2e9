//! A cell that is written once.

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::panic::Location;
use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::primitives::maybe_const;
use crate::sync::once::{Once, Unwound};
use crate::wait::operation;

/// A cell that is written once and can then be read by all threads. Works like [`std::sync::OnceLock`].
///
/// # Examples
///
/// ```
/// use kahn::sync::OnceLock;
///
/// static NAME: OnceLock<String> = OnceLock::new();
///
/// assert_eq!(NAME.get(), None);
/// assert_eq!(NAME.get_or_init(|| "first".into()), "first");
/// assert_eq!(NAME.get_or_init(|| "second".into()), "first");
/// ```
pub struct OnceLock<T> {
    once: Once,
    /// Written while `once` runs. It is initialized once `once` is complete.
    value: UnsafeCell<MaybeUninit<T>>,
    _owns: PhantomData<T>,
}

// SAFETY: any thread may write the value through a shared reference, and any other may drop it, so T is Send. All
// threads may read the value, so T is Sync.
unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}
// SAFETY: the cell owns a T, which is Send, and nothing that is tied to a thread.
unsafe impl<T: Send> Send for OnceLock<T> {}

impl<T: RefUnwindSafe + UnwindSafe> RefUnwindSafe for OnceLock<T> {}
impl<T: UnwindSafe> UnwindSafe for OnceLock<T> {}

impl<T> OnceLock<T> {
    maybe_const! {
        /// Creates an empty cell.
        ///
        /// # Examples
        ///
        /// ```
        /// static PORT: kahn::sync::OnceLock<u16> = kahn::sync::OnceLock::new();
        /// assert_eq!(PORT.get(), None);
        /// ```
        #[inline]
        pub const fn new() -> OnceLock<T> {
            OnceLock {
                once: Once::new(),
                value: UnsafeCell::new(MaybeUninit::uninit()),
                _owns: PhantomData,
            }
        }
    }

    /// Returns the value, or `None` if the cell is empty. Never parks.
    ///
    /// # Examples
    ///
    /// ```
    /// let cell = kahn::sync::OnceLock::new();
    /// assert_eq!(cell.get(), None);
    /// cell.set(7).unwrap();
    /// assert_eq!(cell.get(), Some(&7));
    /// ```
    #[inline]
    pub fn get(&self) -> Option<&T> {
        // SAFETY: `is_completed` returned true, so the value has been written and is not written any more.
        self.once.is_completed().then(|| unsafe { (*self.value.get()).assume_init_ref() })
    }

    /// Returns a mutable reference to the value, or `None` if the cell is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut cell = kahn::sync::OnceLock::from(1);
    /// *cell.get_mut().unwrap() += 1;
    /// assert_eq!(cell.get(), Some(&2));
    /// ```
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        // SAFETY: `is_completed` returned true, so the value has been written, and the reference is exclusive.
        self.once.is_completed().then(|| unsafe { self.value.get_mut().assume_init_mut() })
    }

    /// Waits until the value has been written, and returns it.
    ///
    /// # Parks
    ///
    /// Parks until another thread has written the value. If the caller is cancelled or its timeout passes, this
    /// unwinds.
    ///
    /// # Examples
    ///
    /// ```
    /// let cell = kahn::sync::OnceLock::new();
    /// kahn::scope(|s| {
    ///     s.spawn(|| cell.set(7));
    ///     assert_eq!(*cell.wait(), 7);
    /// });
    /// ```
    #[track_caller]
    #[inline]
    pub fn wait(&self) -> &T {
        self.once.wait_force();
        self.get().expect("waited for it")
    }

    /// Writes the value.
    ///
    /// # Parks
    ///
    /// Parks while another thread is initializing the cell.
    ///
    /// # Errors
    ///
    /// Returns `value` in the error if the cell has a value already.
    ///
    /// # Examples
    ///
    /// ```
    /// let cell = kahn::sync::OnceLock::new();
    /// assert_eq!(cell.set("first"), Ok(()));
    /// assert_eq!(cell.set("second"), Err("second"));
    /// assert_eq!(cell.get(), Some(&"first"));
    /// ```
    #[track_caller]
    #[inline]
    pub fn set(&self, value: T) -> Result<(), T> {
        if self.get().is_some() {
            // A failed `set` pays for itself. An initialization pays in `Once::call`.
            operation();
            return Err(value);
        }
        let mut value = Some(value);
        self.get_or_init(|| value.take().expect("called once"));
        value.map_or(Ok(()), Err)
    }

    /// Returns the value. If the cell is empty, `f` provides the value.
    ///
    /// # Parks
    ///
    /// Parks while another thread is initializing the cell. If the caller is cancelled or its timeout passes, this
    /// unwinds; the other thread continues. No lock is held while `f` runs, so `f` may park too. If `f` accesses the
    /// value of the same cell with this method, that is a deadlock.
    ///
    /// # Panics
    ///
    /// Panics if `f` panics. The cell stays empty then, and the next caller, or a waiter, runs its own `f`.
    ///
    /// # Examples
    ///
    /// ```
    /// let cell = kahn::sync::OnceLock::new();
    /// assert_eq!(*cell.get_or_init(|| 6 * 7), 42);
    /// assert_eq!(*cell.get_or_init(|| unreachable!("it is there")), 42);
    /// ```
    #[track_caller]
    #[inline]
    pub fn get_or_init(&self, f: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        self.initialise(f, Location::caller());
        self.get().expect("written just now")
    }

    #[cold]
    fn initialise(&self, f: impl FnOnce() -> T, location: &'static Location<'static>) {
        let mut f = Some(f);
        self.once.call(true, Unwound::Retries, location, &mut |_| {
            let value = (f.take().expect("called once"))();
            // SAFETY: while `once` runs, only this thread accesses the value.
            unsafe { (*self.value.get()).write(value) };
        });
    }

    /// Returns the value, or `None` if the cell is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// let cell = kahn::sync::OnceLock::from("mine");
    /// assert_eq!(cell.into_inner(), Some("mine"));
    /// ```
    #[inline]
    pub fn into_inner(mut self) -> Option<T> {
        self.take()
    }

    /// Takes the value out of the cell, which is empty afterwards.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut cell = kahn::sync::OnceLock::from(1);
    /// assert_eq!((cell.take(), cell.take()), (Some(1), None));
    /// cell.set(2).unwrap();
    /// ```
    #[inline]
    pub fn take(&mut self) -> Option<T> {
        if !self.once.is_completed() {
            return None;
        }
        self.once.reset();
        // SAFETY: the value has been written. It is read only once, because the cell is empty from now on.
        Some(unsafe { self.value.get_mut().assume_init_read() })
    }
}

impl<T> Drop for OnceLock<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> OnceLock<T> {
        OnceLock::new()
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> OnceLock<T> {
        // Without `set`, which may yield.
        OnceLock {
            once: Once::completed(),
            value: UnsafeCell::new(MaybeUninit::new(value)),
            _owns: PhantomData,
        }
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> OnceLock<T> {
        self.get().cloned().map_or_else(OnceLock::new, OnceLock::from)
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &OnceLock<T>) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => shown.field(value),
            None => shown.field(&format_args!("<uninit>")),
        };
        shown.finish()
    }
}
