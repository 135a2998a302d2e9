//! Fibers in a model build, in which each green thread is a thread of the model: what is left is the size of a stack, which
//! is checked, and the place of the green-thread-local values.

#[path = "locals.rs"]
pub(crate) mod locals;
#[path = "stack_slot.rs"]
#[allow(dead_code, reason = "a model has no slots")]
pub(crate) mod stack;

use core::cell::Cell;

use locals::Locals;

/// The part of a fiber that user code reaches.
#[derive(Debug)]
pub(crate) struct Fiber {
    pub(crate) locals: Cell<*mut Locals>,
}

impl Default for Fiber {
    fn default() -> Fiber {
        Fiber { locals: Cell::new(core::ptr::null_mut()) }
    }
}

/// The count of panics, which a model does not correct.
pub(crate) mod panic_count {
    /// No panics.
    #[must_use]
    pub(crate) struct SuspendedPanics(());

    pub(crate) fn suspend_panics() -> SuspendedPanics {
        SuspendedPanics(())
    }

    impl SuspendedPanics {
        pub(crate) fn put_back(self) {}
    }
}
