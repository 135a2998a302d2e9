//! A value that is initialized on first use.

use core::cell::UnsafeCell;
use core::fmt;
use core::ops::Deref;
use core::panic::Location;
use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::primitives::maybe_const;
use crate::sync::once::{Once, Unwound};

/// A value that is initialized on first use. Works like [`std::sync::LazyLock`].
///
/// # Examples
///
/// ```
/// use kahn::sync::LazyLock;
///
/// static SQUARES: LazyLock<Vec<u32>> = LazyLock::new(|| (0..4).map(|n| n * n).collect());
///
/// assert_eq!(*SQUARES, [0, 1, 4, 9]);
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    once: Once,
    /// Changed only while `once` runs. It is a `Value` once `once` is complete.
    state: UnsafeCell<State<T, F>>,
}

enum State<T, F> {
    Maker(F),
    Value(T),
    /// The initializer is running, or has unwound.
    Gone,
}

// SAFETY: one thread calls F, which another thread provided, so F is Send. A thread may drop a T that another thread
// created, so T is Send. All threads read T, so T is Sync. No two threads ever access F.
unsafe impl<T: Send + Sync, F: Send> Sync for LazyLock<T, F> {}

impl<T: RefUnwindSafe + UnwindSafe, F: UnwindSafe> RefUnwindSafe for LazyLock<T, F> {}
impl<T: UnwindSafe, F: UnwindSafe> UnwindSafe for LazyLock<T, F> {}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    maybe_const! {
        /// Creates a value that `f` will initialize.
        ///
        /// # Examples
        ///
        /// ```
        /// use kahn::sync::LazyLock;
        ///
        /// static GREETING: LazyLock<String> = LazyLock::new(|| "hello".to_uppercase());
        /// assert_eq!(*GREETING, "HELLO");
        /// ```
        #[inline]
        pub const fn new(f: F) -> LazyLock<T, F> {
            LazyLock { once: Once::new(), state: UnsafeCell::new(State::Maker(f)) }
        }
    }

    /// Returns the value. Initializes it first if this is the first use.
    ///
    /// # Parks
    ///
    /// Parks while another thread initializes the value. If the caller is cancelled or its timeout passes, this
    /// unwinds; the other thread continues.
    ///
    /// # Panics
    ///
    /// Panics if the initializer panics, and from then on at every use, because the initializer cannot be called
    /// again. A cancel or a timeout that unwinds the initializer counts as a panic here.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::sync::LazyLock;
    ///
    /// let lazy = LazyLock::new(|| 6 * 7);
    /// assert_eq!(*LazyLock::force(&lazy), 42);
    /// ```
    #[track_caller]
    #[inline]
    pub fn force(this: &LazyLock<T, F>) -> &T {
        if !this.once.is_completed() {
            this.make(Location::caller());
        }
        // SAFETY: `once` is complete, so the state is not written any more.
        match unsafe { &*this.state.get() } {
            State::Value(value) => value,
            State::Maker(_) | State::Gone => unreachable!("made just now"),
        }
    }

    #[cold]
    fn make(&self, location: &'static Location<'static>) {
        self.once.call(false, Unwound::Poisons, location, &mut |_| {
            // SAFETY: while `once` runs, only this thread accesses the state. No reference to it exists while the
            // initializer runs.
            let State::Maker(f) = (unsafe { self.state.get().replace(State::Gone) }) else {
                unreachable!("the maker is called once");
            };
            let value = f();
            // SAFETY: `once` still runs, so only this thread accesses the state.
            unsafe { *self.state.get() = State::Value(value) };
        });
    }
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    #[track_caller]
    #[inline]
    fn deref(&self) -> &T {
        LazyLock::force(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> LazyLock<T> {
        LazyLock::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_tuple("LazyLock");
        if self.once.is_completed() {
            // SAFETY: `once` is complete, so the state is not written any more.
            if let State::Value(value) = unsafe { &*self.state.get() } {
                return shown.field(value).finish();
            }
        }
        shown.field(&format_args!("<uninit>")).finish()
    }
}
