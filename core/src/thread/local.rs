//! Green-thread-local storage.
//!
//! A green thread's values are listed in its fiber's header, an OS thread's in a thread-local. They are dropped when the
//! thread ends, the youngest first; a destructor may use other keys, whose values are then dropped in another round.

use core::cell::{Cell, RefCell};
use core::fmt;
use std::rc::Rc;

use crate::fiber::locals::Locals;
use crate::scheduler;

thread_local! {
    static OS_LOCALS: Locals = Locals::default();
}

/// A green-thread-local key, made by [`local!`](crate::local).
pub struct LocalKey<T: 'static> {
    init: fn() -> T,
    /// Its address is the key. Not zero-sized, so that two keys never share it.
    _identity: u8,
}

/// The value of a key is not there any more: the thread is ending, and its values are being dropped.
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
    /// On an OS thread, if its local values have been dropped. In a green thread, never: a value that is asked for
    /// after it was dropped is made anew.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// kahn_core::local! { static DEPTH: Cell<u32> = Cell::new(0) }
    /// kahn_core::run(|| {
    ///     DEPTH.with(|depth| depth.set(7));
    ///     kahn_core::spawn(|| DEPTH.with(|depth| assert_eq!(depth.get(), 0))).join().unwrap();
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
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        let value = self.value()?;
        Ok(f(&value))
    }

    fn value(&'static self) -> Result<Rc<T>, AccessError> {
        let key = core::ptr::from_ref(self).addr();
        if let Some(value) = with_locals(|locals| locals.get(key))? {
            return Ok(value.downcast().expect("a key has one type"));
        }
        // The initialiser may park, and may use keys, this one included: then the last wins, as a second value that
        // nobody can see would be worse.
        let value = Rc::new((self.init)());
        with_locals(|locals| locals.set(key, value.clone()))?;
        Ok(value)
    }
}

impl<T: 'static> LocalKey<Cell<T>> {
    /// Replaces the value.
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.with(|cell| cell.set(value));
    }

    /// A copy of the value.
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }
}

impl<T: 'static> LocalKey<RefCell<T>> {
    /// Shows the value to `f`.
    ///
    /// # Panics
    ///
    /// If it is mutably borrowed.
    #[track_caller]
    pub fn with_borrow<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.with(|cell| f(&cell.borrow()))
    }

    /// Lets `f` change the value.
    ///
    /// # Panics
    ///
    /// If it is borrowed.
    #[track_caller]
    pub fn with_borrow_mut<R>(&'static self, f: impl FnOnce(&mut T) -> R) -> R {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }
}

impl<T> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

fn with_locals<R>(f: impl FnOnce(&Locals) -> R) -> Result<R, AccessError> {
    let Some(fiber) = scheduler::running_fiber() else {
        return OS_LOCALS.try_with(f).map_err(|_| AccessError(()));
    };
    // SAFETY: the caller runs on this fiber, whose header outlives it.
    let fiber = unsafe { fiber.as_ref() };
    if fiber.locals.get().is_null() {
        fiber.locals.set(Box::into_raw(Box::default()));
    }
    // SAFETY: made by a box, and freed by `clear` alone, which runs on this fiber, so not during this call: `f` does
    // not run a user's code.
    Ok(f(unsafe { &*fiber.locals.get() }))
}

/// Declares green-thread-local values: as `std::thread_local!`, one per green thread.
///
/// ```
/// kahn_core::local! {
///     /// How deep we are.
///     pub static DEPTH: std::cell::Cell<u32> = std::cell::Cell::new(0);
/// }
/// ```
#[macro_export]
macro_rules! local {
    ($($(#[$attr:meta])* $vis:vis static $name:ident : $t:ty = $init:expr);+ $(;)?) => {
        $(
            $(#[$attr])*
            $vis static $name: $crate::thread::LocalKey<$t> = $crate::thread::LocalKey::new(|| $init);
        )+
    };
}
