//! The values of green-thread-local keys. They are kept in a fiber's header, or in a thread-local of an OS thread.
//! `thread::local` has the keys.

use core::any::Any;
use core::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::fiber::Fiber;

/// The values of one thread, the oldest first.
#[derive(Default)]
pub(crate) struct Locals {
    values: RefCell<Vec<(usize, Rc<dyn Any>)>>,
}

impl Locals {
    pub(crate) fn get(&self, key: usize) -> Option<Rc<dyn Any>> {
        self.values.borrow().iter().find(|(k, _)| *k == key).map(|(_, value)| Rc::clone(value))
    }

    /// Adds a value as the youngest. Returns the value that it replaces. The caller drops it, which runs user code.
    #[must_use]
    pub(crate) fn set(&self, key: usize, value: Rc<dyn Any>) -> Option<Rc<dyn Any>> {
        let mut values = self.values.borrow_mut();
        let old = values.iter().position(|(k, _)| *k == key).map(|place| values.remove(place).1);
        values.push((key, value));
        old
    }
}

/// Returns the locals in `place`, which are made now if there are none.
///
/// # Safety
///
/// The pointer in `place` is null or was made by this function, and only `clear_place` takes it out.
pub(crate) unsafe fn in_place(place: &Cell<*mut Locals>) -> &Locals {
    if place.get().is_null() {
        place.set(Box::into_raw(Box::default()));
    }
    // SAFETY: the pointer was made from a box, and only `clear_place` takes it out and frees it.
    unsafe { &*place.get() }
}

/// Drops the values of a green thread that has ended, on its fiber. A destructor may park.
pub(crate) fn clear(fiber: &Fiber) {
    // SAFETY: the place is the fiber's own, and no other function empties it. The fiber's thread runs this call, so it
    // uses no reference of `in_place`.
    unsafe { clear_place(&fiber.locals) }
}

/// Drops the values of a thread that ends, on that thread, the youngest first. A destructor may use keys. If a
/// destructor panics, the panic hook has reported it, and the other values are dropped all the same.
///
/// # Safety
///
/// No reference of [`in_place`] is used after this.
pub(crate) unsafe fn clear_place(place: &Cell<*mut Locals>) {
    /// The most rounds. Each round drops the values that were made by the destructors of the round before.
    const ROUNDS: usize = 5;
    for _ in 0..ROUNDS {
        let locals = place.replace(core::ptr::null_mut());
        if locals.is_null() {
            return;
        }
        // SAFETY: the pointer was made from a box by `in_place`, and is out of its place now.
        let values = unsafe { Box::from_raw(locals) }.values.into_inner();
        for (_, value) in values.into_iter().rev() {
            crate::wait::run_catching(|| crate::wait::shield(|| drop(value)));
        }
    }
    // The values that are still there are leaked: their destructors would only make more.
    place.set(core::ptr::null_mut());
}
