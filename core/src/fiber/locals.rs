//! The values of green-thread-local keys, kept in a fiber's header; `thread::local` has the keys.

use core::any::Any;
use core::cell::RefCell;
use std::rc::Rc;

use crate::fiber::Fiber;

/// The values of one thread.
#[derive(Default)]
pub(crate) struct Locals {
    values: RefCell<Vec<(usize, Rc<dyn Any>)>>,
}

impl Locals {
    pub(crate) fn get(&self, key: usize) -> Option<Rc<dyn Any>> {
        self.values.borrow().iter().find(|(k, _)| *k == key).map(|(_, value)| Rc::clone(value))
    }

    pub(crate) fn set(&self, key: usize, value: Rc<dyn Any>) {
        self.values.borrow_mut().push((key, value));
    }
}

/// Drops the values of a green thread that has ended, on its fiber. A destructor may park, and use keys; if it panics,
/// the panic has been reported, and the other values are dropped all the same.
pub(crate) fn clear(fiber: &Fiber) {
    /// Rounds of values that were made by the destructors of the round before.
    const ROUNDS: usize = 5;
    for _ in 0..ROUNDS {
        let locals = fiber.locals.replace(core::ptr::null_mut());
        if locals.is_null() {
            return;
        }
        // SAFETY: made from a box, by `LocalKey`, and out of the fiber now.
        let values = unsafe { Box::from_raw(locals) }.values.into_inner();
        for (_, value) in values.into_iter().rev() {
            crate::wait::quietly(|| crate::wait::shield(|| drop(value)));
        }
    }
    // What is still there is leaked: its destructors would only make more.
    fiber.locals.set(core::ptr::null_mut());
}
