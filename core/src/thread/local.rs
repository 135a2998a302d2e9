//! Green-thread-local storage.
//!
//! A green thread's values are listed in its fiber's header, an OS thread's in a thread-local. They are dropped when the
//! thread ends, the youngest first; a destructor may use other keys, whose values are then dropped in another round.

use core::any::Any;
use core::cell::{Cell, RefCell};
use core::fmt;
use std::rc::Rc;

use crate::fiber::locals::{self, Locals};
use crate::scheduler;

/// What an OS thread has.
struct OsLocals {
    values: Cell<*mut Locals>,
    phase: Cell<Phase>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No key was used.
    New,
    /// `OS_END` will drop the values, or is dropping them.
    Used,
    /// They have been dropped.
    Over,
}

thread_local! {
    // Without a destructor, so that the destructors of values can use keys.
    static OS_LOCALS: OsLocals =
        const { OsLocals { values: Cell::new(core::ptr::null_mut()), phase: Cell::new(Phase::New) } };
    static OS_END: OsEnd = const { OsEnd };
}

/// Drops the values of an OS thread that ends.
struct OsEnd;

impl Drop for OsEnd {
    fn drop(&mut self) {
        OS_LOCALS.with(|os| {
            // SAFETY: the thread is here, so in no call that uses the values.
            unsafe { locals::clear_place(&os.values) };
            os.phase.set(Phase::Over);
        });
    }
}

/// A green-thread-local key, made by [`local!`](crate::local). As [`std::thread::LocalKey`].
///
/// # Examples
///
/// ```
/// use std::cell::RefCell;
///
/// kahn::local! { static SEEN: RefCell<Vec<u32>> = RefCell::new(Vec::new()) }
///
/// SEEN.with_borrow_mut(|seen| seen.push(1));
/// assert_eq!(SEEN.take(), [1]);
/// ```
pub struct LocalKey<T: 'static> {
    init: fn() -> T,
    /// Its address is the key. Not zero-sized, so that two keys never share it.
    _identity: u8,
}

/// The value of a key is not there any more: the OS thread is ending, and its values have been dropped. What
/// [`LocalKey::try_with`] answers then. As [`std::thread::AccessError`].
///
/// # Examples
///
/// ```
/// use kahn::thread::AccessError;
///
/// kahn::local! { static NAME: String = "none".into() }
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
    #[doc(hidden)]
    pub const fn new(init: fn() -> T) -> LocalKey<T> {
        LocalKey { init, _identity: 0 }
    }

    /// Shows this thread's value to `f`, made now if this is the first use.
    ///
    /// # Panics
    ///
    /// On an OS thread, if all its local values have been dropped. In a green thread, and in the destructor of such a
    /// value, never: one that is asked for after it was dropped is made anew.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// kahn::local! { static DEPTH: Cell<u32> = Cell::new(0) }
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

    /// As [`with`](Self::with).
    ///
    /// # Errors
    ///
    /// Where `with` panics.
    ///
    /// # Examples
    ///
    /// ```
    /// kahn::local! { static LIMIT: u32 = 3 }
    /// assert_eq!(LIMIT.try_with(|limit| *limit), Ok(3));
    /// ```
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        let value = self.value()?;
        Ok(f(&value))
    }

    /// This thread's value, if it has been made.
    fn made(&'static self) -> Result<Option<Rc<T>>, AccessError> {
        let key = core::ptr::from_ref(self).addr();
        let value = with_locals(|locals| locals.get(key))?;
        Ok(value.map(|value: Rc<dyn Any>| value.downcast().expect("a key has one type")))
    }

    fn value(&'static self) -> Result<Rc<T>, AccessError> {
        match self.made()? {
            Some(value) => Ok(value),
            // The initialiser may park, and may use keys, this one included: then the last wins, as a second value that
            // nobody can see would be worse.
            None => self.make((self.init)()),
        }
    }

    fn make(&'static self, value: T) -> Result<Rc<T>, AccessError> {
        let key = core::ptr::from_ref(self).addr();
        let value = Rc::new(value);
        // What was there is dropped when the list is whole again.
        drop(with_locals(|locals| locals.set(key, value.clone()))?);
        Ok(value)
    }

    /// Makes `value` this thread's value, without asking the initialiser, if there is none; else hands both to `f`.
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
    /// Sets the value. If there is none yet, this is the first, and the initialiser is not called.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with); so do the others.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// kahn::local! { static ID: Cell<u32> = panic!("set it first") }
    /// ID.set(7);
    /// assert_eq!(ID.get(), 7);
    /// ```
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.make_or(Cell::new(value), |cell, value| cell.set(value.into_inner()));
    }

    /// A copy of the value.
    ///
    /// # Examples
    ///
    /// ```
    /// kahn::local! { static COUNT: std::cell::Cell<u32> = const { std::cell::Cell::new(1) } }
    /// assert_eq!(COUNT.get(), 1);
    /// ```
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// The value, which leaves the default of its type behind.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// kahn::local! { static NOTE: Cell<Option<&'static str>> = Cell::new(Some("once")) }
    /// assert_eq!((NOTE.take(), NOTE.take()), (Some("once"), None));
    /// ```
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// Sets the value, and answers the one that was there.
    ///
    /// # Examples
    ///
    /// ```
    /// kahn::local! { static LEVEL: std::cell::Cell<u32> = std::cell::Cell::new(1) }
    /// assert_eq!((LEVEL.replace(2), LEVEL.get()), (1, 2));
    /// ```
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> LocalKey<RefCell<T>> {
    /// Shows the value to `f`.
    ///
    /// # Panics
    ///
    /// If it is mutably borrowed; and as [`with`](Self::with), as do the others.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// kahn::local! { static WORDS: RefCell<Vec<&'static str>> = RefCell::new(vec!["one"]) }
    /// assert_eq!(WORDS.with_borrow(|words| words.len()), 1);
    /// ```
    #[track_caller]
    pub fn with_borrow<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.with(|cell| f(&cell.borrow()))
    }

    /// Lets `f` change the value.
    ///
    /// # Panics
    ///
    /// If it is borrowed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// kahn::local! { static WORDS: RefCell<Vec<&'static str>> = RefCell::new(Vec::new()) }
    /// WORDS.with_borrow_mut(|words| words.push("two"));
    /// assert_eq!(WORDS.take(), ["two"]);
    /// ```
    #[track_caller]
    pub fn with_borrow_mut<R>(&'static self, f: impl FnOnce(&mut T) -> R) -> R {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }

    /// Sets the value. If there is none yet, this is the first, and the initialiser is not called.
    ///
    /// # Panics
    ///
    /// If it is borrowed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// kahn::local! { static NAME: RefCell<String> = panic!("set it first") }
    /// NAME.set("Kahn".into());
    /// assert_eq!(NAME.with_borrow(String::len), 4);
    /// ```
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.make_or(RefCell::new(value), |cell, value| *cell.borrow_mut() = value.into_inner());
    }

    /// The value, which leaves the default of its type behind.
    ///
    /// # Panics
    ///
    /// If it is borrowed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// kahn::local! { static WORDS: RefCell<Vec<&'static str>> = RefCell::new(vec!["one"]) }
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

    /// Sets the value, and answers the one that was there.
    ///
    /// # Panics
    ///
    /// If it is borrowed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// kahn::local! { static NAME: RefCell<String> = RefCell::new("Gilles".into()) }
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

/// Shows the thread's values to `f`, which runs no user's code.
fn with_locals<R>(f: impl FnOnce(&Locals) -> R) -> Result<R, AccessError> {
    let Some(fiber) = scheduler::running_fiber() else { return with_os_locals(f) };
    // SAFETY: the caller runs on this fiber, whose header outlives it. The values are freed by `clear` alone, which runs
    // on this fiber, so not during this call.
    Ok(f(unsafe { locals::in_place(&fiber.as_ref().locals) }))
}

#[inline(never)]
fn with_os_locals<R>(f: impl FnOnce(&Locals) -> R) -> Result<R, AccessError> {
    OS_LOCALS.with(|os| {
        match os.phase.get() {
            Phase::New => {
                // From its first use on it has a destructor.
                OS_END.try_with(|_| ()).map_err(|_| AccessError(()))?;
                os.phase.set(Phase::Used);
            }
            Phase::Used => {}
            Phase::Over => return Err(AccessError(())),
        }
        // SAFETY: freed by `OsEnd` alone, which runs on this thread, so not during this call.
        Ok(f(unsafe { locals::in_place(&os.values) }))
    })
}

/// Declares green-thread-local values: as `std::thread_local!`, one per green thread.
///
/// # Examples
///
/// ```
/// use std::cell::{Cell, RefCell};
///
/// kahn::local! {
///     /// How deep we are.
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
