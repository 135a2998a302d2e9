//! A value that is made when it is first used.

use core::cell::UnsafeCell;
use core::fmt;
use core::ops::Deref;
use core::panic::Location;
use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::facade::maybe_const;
use crate::sync::once::{Once, Unwound};

/// A value that is made when it is first used. As [`std::sync::LazyLock`].
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
    /// Changed while `once` runs, and a `Value` from when it is done.
    state: UnsafeCell<State<T, F>>,
}

enum State<T, F> {
    Maker(F),
    Value(T),
    /// The maker is running, or has unwound.
    Gone,
}

// SAFETY: one thread calls F, which another gave: F is Send. It may drop T, which another made: T is Send. All read T: it
// is Sync. F is never reached by two.
unsafe impl<T: Send + Sync, F: Send> Sync for LazyLock<T, F> {}

impl<T: RefUnwindSafe + UnwindSafe, F: UnwindSafe> RefUnwindSafe for LazyLock<T, F> {}
impl<T: UnwindSafe, F: UnwindSafe> UnwindSafe for LazyLock<T, F> {}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    maybe_const! {
        /// A value that `f` will make.
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

    /// The value, made now if it has not been.
    ///
    /// # Parks
    ///
    /// While another makes it. Cancelled or timed out, it unwinds; the other goes on.
    ///
    /// # Panics
    ///
    /// If the maker does, and then at every use: it cannot be called again. An unwind by a cancel or a time-out in it
    /// counts too.
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
        // SAFETY: `once` is done, so the state is no more written to.
        match unsafe { &*this.state.get() } {
            State::Value(value) => value,
            State::Maker(_) | State::Gone => unreachable!("made just now"),
        }
    }

    #[cold]
    fn make(&self, location: &'static Location<'static>) {
        self.once.call(false, Unwound::Poisons, location, &mut |_| {
            // SAFETY: while `once` runs, nobody else touches the state; and no reference is kept while the maker runs.
            let State::Maker(f) = (unsafe { self.state.get().replace(State::Gone) }) else {
                unreachable!("the maker is called once");
            };
            let value = f();
            // SAFETY: as above.
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
            // SAFETY: as in `force`.
            if let State::Value(value) = unsafe { &*self.state.get() } {
                return shown.field(value).finish();
            }
        }
        shown.field(&format_args!("<uninit>")).finish()
    }
}
