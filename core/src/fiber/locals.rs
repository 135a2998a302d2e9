//! The values of green-thread-local keys, kept in a fiber's header, or in an OS thread's own thread-local; `thread::local`
//! has the keys.

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

    /// Adds a value, as the youngest. Answers the one that it replaces, for the caller to drop: that runs a user's code.
    #[must_use]
    pub(crate) fn set(&self, key: usize, value: Rc<dyn Any>) -> Option<Rc<dyn Any>> {
        let mut values = self.values.borrow_mut();
        let old = values.iter().position(|(k, _)| *k == key).map(|place| values.remove(place).1);
        values.push((key, value));
        old
    }
}

/// The locals in `place`, made now if there are none.
///
/// # Safety
///
/// What is in `place` comes from here, and `clear` alone takes it out.
pub(crate) unsafe fn in_place(place: &Cell<*mut Locals>) -> &Locals {
    if place.get().is_null() {
        place.set(Box::into_raw(Box::default()));
    }
    // SAFETY: made by a box, and freed by `clear` alone, by the contract.
    unsafe { &*place.get() }
}

/// Drops the values of a green thread that has ended, on its fiber. A destructor may park.
pub(crate) fn clear(fiber: &Fiber) {
    // SAFETY: the fiber's own place, which nobody else empties; its thread is here, and so in no other call.
    unsafe { clear_place(&fiber.locals) }
}

/// Drops the values of a thread that ends, on that thread, the youngest first. A destructor may use keys; if it panics,
/// the panic has been reported, and the other values are dropped all the same.
///
/// # Safety
///
/// No reference of [`in_place`] is used after this.
pub(crate) unsafe fn clear_place(place: &Cell<*mut Locals>) {
    /// Rounds of values that were made by the destructors of the round before.
    const ROUNDS: usize = 5;
    for _ in 0..ROUNDS {
        let locals = place.replace(core::ptr::null_mut());
        if locals.is_null() {
            return;
        }
        // SAFETY: made from a box, by `in_place`, and out of its place now.
        let values = unsafe { Box::from_raw(locals) }.values.into_inner();
        for (_, value) in values.into_iter().rev() {
            crate::wait::quietly(|| crate::wait::shield(|| drop(value)));
        }
    }
    // What is still there is leaked: its destructors would only make more.
    place.set(core::ptr::null_mut());
}
