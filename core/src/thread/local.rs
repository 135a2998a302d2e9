//! Green-thread-local storage.
//!
//! The values of a green thread are in a list in its fiber's header; the values of an OS thread are in a list in a
//! thread-local. They are dropped when the thread ends, the most recent first. A destructor may use other keys; their
//! values are then dropped in another round.

use core::any::Any;
use core::cell::{Cell, RefCell};
use core::fmt;
use std::rc::Rc;

use crate::fiber::locals::{self, Locals};
use crate::scheduler;

/// The values of an OS thread.
struct OsLocals {
    values: Cell<*mut Locals>,
    phase: Cell<Phase>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No key was used yet.
    New,
    /// `OS_END` will drop the values, or is dropping them.
    Used,
    /// The values have been dropped.
    Over,
}

thread_local! {
    // This has no destructor, so that the destructors of values can use keys.
    static OS_LOCALS: OsLocals =
        const { OsLocals { values: Cell::new(core::ptr::null_mut()), phase: Cell::new(Phase::New) } };
    static OS_END: OsEnd = const { OsEnd };
}

/// Drops the values of an OS thread when it ends.
struct OsEnd;

impl Drop for OsEnd {
    fn drop(&mut self) {
        OS_LOCALS.with(|os| {
            // SAFETY: the thread runs this destructor, so it is in no call that uses the values.
            unsafe { locals::clear_place(&os.values) };
            os.phase.set(Phase::Over);
        });
    }
}

/// A green-thread-local key, declared by [`local!`](crate::local). Works like [`std::thread::LocalKey`].
///
/// # Examples
///
/// ```
/// use std::cell::RefCell;
///
/// kahn::thread::local! { static SEEN: RefCell<Vec<u32>> = RefCell::new(Vec::new()) }
///
/// SEEN.with_borrow_mut(|seen| seen.push(1));
/// assert_eq!(SEEN.take(), [1]);
/// ```
pub struct LocalKey<T: 'static> {
    init: fn() -> T,
    /// The address of the `LocalKey` is the key. This field makes the type not zero-sized, so that two keys never
    /// share an address.
    _identity: u8,
}

/// The error of [`LocalKey::try_with`]: the OS thread is ending, and its values have been dropped. Works like
/// [`std::thread::AccessError`].
///
/// # Examples
///
/// ```
/// use kahn::thread::AccessError;
///
/// kahn::thread::local! { static NAME: String = "none".into() }
///
/// fn length() -> Result<usize, AccessError> {
///     NAME.try_with(String::len)
/// }
/// assert_eq!(length(), Ok(4));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessError(());

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the thread's local values have been dropped")
    }
}

impl core::error::Error for AccessError {}

impl<T: 'static> LocalKey<T> {
    /// Makes the key that `local!` declares. Not covered by semver.
    #[doc(hidden)]
    pub const fn new(init: fn() -> T) -> LocalKey<T> {
        LocalKey { init, _identity: 0 }
    }

    /// Calls `f` with this thread's value. Initializes the value first if this is the first use.
    ///
    /// # Panics
    ///
    /// On an OS thread, panics if all its local values have been dropped. In a green thread, this never panics, not
    /// even in the destructor of such a value: a value that is used after it was dropped is initialized again.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// kahn::thread::local! { static DEPTH: Cell<u32> = Cell::new(0) }
    /// kahn::run(|| {
    ///     DEPTH.with(|depth| depth.set(7));
    ///     kahn::spawn(|| DEPTH.with(|depth| assert_eq!(depth.get(), 0))).join().unwrap();
    ///     DEPTH.with(|depth| assert_eq!(depth.get(), 7));
    /// });
    /// ```
    #[track_caller]
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.try_with(f).expect("the thread's local values have been dropped")
    }

    /// Like [`with`](Self::with), but returns an error instead of panicking.
    ///
    /// # Errors
    ///
    /// Returns [`AccessError`] in the cases in which `with` panics.
    ///
    /// # Examples
    ///
    /// ```
    /// kahn::thread::local! { static LIMIT: u32 = 3 }
    /// assert_eq!(LIMIT.try_with(|limit| *limit), Ok(3));
    /// ```
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        let value = self.value()?;
        Ok(f(&value))
    }

    /// Returns this thread's value, or `None` if it is not initialized.
    fn made(&'static self) -> Result<Option<Rc<T>>, AccessError> {
        let key = core::ptr::from_ref(self).addr();
        let value = with_locals(|locals| locals.get(key))?;
        Ok(value.map(|value: Rc<dyn Any>| value.downcast().expect("a key has one type")))
    }

    fn value(&'static self) -> Result<Rc<T>, AccessError> {
        match self.made()? {
            Some(value) => Ok(value),
            // The initializer may park, and may use keys, including this one. In that case the last value wins; a
            // second value that no code can access would be worse.
            None => self.make((self.init)()),
        }
    }

    fn make(&'static self, value: T) -> Result<Rc<T>, AccessError> {
        let key = core::ptr::from_ref(self).addr();
        let value = Rc::new(value);
        // The replaced value is dropped after the list is consistent again, because its destructor is user code.
        drop(with_locals(|locals| locals.set(key, value.clone()))?);
        Ok(value)
    }

    /// If there is no value yet, makes `value` this thread's value without calling the initializer. Otherwise passes
    /// both to `f`.
    #[track_caller]
    fn make_or(&'static self, value: T, f: impl FnOnce(&T, T)) {
        const GONE: &str = "the thread's local values have been dropped";
        match self.made().expect(GONE) {
            Some(made) => f(&made, value),
            None => drop(self.make(value).expect(GONE)),
        }
    }
}

impl<T: 'static> LocalKey<Cell<T>> {
    /// Sets the value. If there is none yet, this becomes the first value, and the initializer is not called.
    ///
    /// # Panics
    ///
    /// Panics in the same cases as [`with`](Self::with), as the other methods do.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// kahn::thread::local! { static ID: Cell<u32> = panic!("set it first") }
    /// ID.set(7);
    /// assert_eq!(ID.get(), 7);
    /// ```
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.make_or(Cell::new(value), |cell, value| cell.set(value.into_inner()));
    }

    /// Returns a copy of the value.
    ///
    /// # Examples
    ///
    /// ```
    /// kahn::thread::local! { static COUNT: std::cell::Cell<u32> = const { std::cell::Cell::new(1) } }
    /// assert_eq!(COUNT.get(), 1);
    /// ```
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// Returns the value, and replaces it by the default of its type.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// kahn::thread::local! { static NOTE: Cell<Option<&'static str>> = Cell::new(Some("once")) }
    /// assert_eq!((NOTE.take(), NOTE.take()), (Some("once"), None));
    /// ```
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// Sets the value, and returns the previous one.
    ///
    /// # Examples
    ///
    /// ```
    /// kahn::thread::local! { static LEVEL: std::cell::Cell<u32> = std::cell::Cell::new(1) }
    /// assert_eq!((LEVEL.replace(2), LEVEL.get()), (1, 2));
    /// ```
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> LocalKey<RefCell<T>> {
    /// Calls `f` with a shared reference to the value.
    ///
    /// # Panics
    ///
    /// Panics if the value is mutably borrowed, and in the same cases as [`with`](Self::with), as the other methods
    /// do.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// kahn::thread::local! { static WORDS: RefCell<Vec<&'static str>> = RefCell::new(vec!["one"]) }
    /// assert_eq!(WORDS.with_borrow(|words| words.len()), 1);
    /// ```
    #[track_caller]
    pub fn with_borrow<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.with(|cell| f(&cell.borrow()))
    }

    /// Calls `f` with a mutable reference to the value.
    ///
    /// # Panics
    ///
    /// Panics if the value is borrowed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// kahn::thread::local! { static WORDS: RefCell<Vec<&'static str>> = RefCell::new(Vec::new()) }
    /// WORDS.with_borrow_mut(|words| words.push("two"));
    /// assert_eq!(WORDS.take(), ["two"]);
    /// ```
    #[track_caller]
    pub fn with_borrow_mut<R>(&'static self, f: impl FnOnce(&mut T) -> R) -> R {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }

    /// Sets the value. If there is none yet, this becomes the first value, and the initializer is not called.
    ///
    /// # Panics
    ///
    /// Panics if the value is borrowed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// kahn::thread::local! { static NAME: RefCell<String> = panic!("set it first") }
    /// NAME.set("Kahn".into());
    /// assert_eq!(NAME.with_borrow(String::len), 4);
    /// ```
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.make_or(RefCell::new(value), |cell, value| *cell.borrow_mut() = value.into_inner());
    }

    /// Returns the value, and replaces it by the default of its type.
    ///
    /// # Panics
    ///
    /// Panics if the value is borrowed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// kahn::thread::local! { static WORDS: RefCell<Vec<&'static str>> = RefCell::new(vec!["one"]) }
    /// assert_eq!(WORDS.take(), ["one"]);
    /// assert!(WORDS.take().is_empty());
    /// ```
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(RefCell::take)
    }

    /// Sets the value, and returns the previous one.
    ///
    /// # Panics
    ///
    /// Panics if the value is borrowed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// kahn::thread::local! { static NAME: RefCell<String> = RefCell::new("Gilles".into()) }
    /// assert_eq!(NAME.replace("Kahn".into()), "Gilles");
    /// ```
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// Calls `f` with the calling thread's values. `f` runs no user code.
fn with_locals<R>(f: impl FnOnce(&Locals) -> R) -> Result<R, AccessError> {
    let Some(fiber) = scheduler::running_fiber() else { return with_os_locals(f) };
    // SAFETY: the caller runs on this fiber, so the fiber's header outlives the call. Only `clear` frees the values.
    // It runs on this fiber, and so not during this call.
    Ok(f(unsafe { locals::in_place(&fiber.as_ref().locals) }))
}

#[inline(never)]
fn with_os_locals<R>(f: impl FnOnce(&Locals) -> R) -> Result<R, AccessError> {
    OS_LOCALS.with(|os| {
        match os.phase.get() {
            Phase::New => {
                // From the first use on, the OS thread has a destructor for the values.
                OS_END.try_with(|_| ()).map_err(|_| AccessError(()))?;
                os.phase.set(Phase::Used);
            }
            Phase::Used => {}
            Phase::Over => return Err(AccessError(())),
        }
        // SAFETY: only `OsEnd` frees the values. It runs on this thread, and so not during this call.
        Ok(f(unsafe { locals::in_place(&os.values) }))
    })
}

/// Declares green-thread-local values, like `std::thread_local!`. Each green thread has its own value.
///
/// # Examples
///
/// ```
/// use std::cell::{Cell, RefCell};
///
/// kahn::thread::local! {
///     /// The present depth.
///     pub static DEPTH: Cell<u32> = const { Cell::new(0) };
///
///     static PATH: RefCell<Vec<&'static str>> = RefCell::new(vec!["root"]);
/// }
///
/// DEPTH.set(1);
/// PATH.with_borrow_mut(|path| path.push("leaf"));
/// assert_eq!((DEPTH.get(), PATH.take().len()), (1, 2));
/// ```
#[macro_export]
macro_rules! local {
    () => {};
    ($($(#[$attr:meta])* $vis:vis static $name:ident : $t:ty = $init:expr);+ $(;)?) => {
        $(
            $(#[$attr])*
            $vis static $name: $crate::thread::LocalKey<$t> = $crate::thread::LocalKey::new(|| $init);
        )+
    };
}
