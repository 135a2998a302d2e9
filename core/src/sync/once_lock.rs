//! A cell that is written once.

use core::cell::UnsafeCell;
use core::convert::Infallible;
use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::panic::Location;
use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::facade::maybe_const;
use crate::sync::once::{Once, Unwound};

/// A cell that is written once, and read by all. As [`std::sync::OnceLock`].
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
    /// Written while `once` runs, and initialised from when it is done.
    value: UnsafeCell<MaybeUninit<T>>,
    _owns: PhantomData<T>,
}

// SAFETY: any thread may write the value, through a reference, and any other drop it: T is Send. All may read it: T is
// Sync.
unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}
// SAFETY: it owns a T and nothing of a thread.
unsafe impl<T: Send> Send for OnceLock<T> {}

impl<T: RefUnwindSafe + UnwindSafe> RefUnwindSafe for OnceLock<T> {}
impl<T: UnwindSafe> UnwindSafe for OnceLock<T> {}

impl<T> OnceLock<T> {
    maybe_const! {
        /// An empty cell.
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

    /// The value, if it is there. Never parks.
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
        // SAFETY: `is_completed` says that the value is written, and no more written to.
        self.once.is_completed().then(|| unsafe { (*self.value.get()).assume_init_ref() })
    }

    /// The value, if it is there.
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
        // SAFETY: as in `get`, and the reference is exclusive.
        self.once.is_completed().then(|| unsafe { self.value.get_mut().assume_init_mut() })
    }

    /// The value, as soon as another has written it.
    ///
    /// # Parks
    ///
    /// Until then. Cancelled or timed out, it unwinds.
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
    /// While another is writing.
    ///
    /// # Errors
    ///
    /// Hands `value` back if there is one already.
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
        let mut value = Some(value);
        self.get_or_init(|| value.take().expect("called once"));
        value.map_or(Ok(()), Err)
    }

    /// The value; written by `f` if nobody has yet.
    ///
    /// # Parks
    ///
    /// While another is writing. Cancelled or timed out, it unwinds; the other goes on. `f` may park as well: it runs
    /// with no lock held. If it asks for the value of this very cell, that is a deadlock.
    ///
    /// # Panics
    ///
    /// If `f` does. The cell stays empty then, and the next who asks, or one who waits, tries.
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
            // SAFETY: while `once` runs, nobody else touches the value.
            unsafe { (*self.value.get()).write(value) };
        });
    }

    /// The value, if it is there.
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

    /// Takes the value out, and leaves the cell empty.
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
        // SAFETY: it was written; it is read out once, since the cell is empty from now on.
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
        let cell = OnceLock::new();
        let Ok(()) = cell.set(value).map_err(|_| -> Infallible { unreachable!("the cell is new") });
        cell
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
