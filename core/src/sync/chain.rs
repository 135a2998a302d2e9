//! A chain of wake-ups: claimed waiters, linked through their own stacks, so that many can be woken without an
//! allocation.
//!
//! ```text
//!   chain: first ──► slot ──► slot ──► slot ◄── last
//!                     wake     wake     wake        (each on the stack of a claimed waiter that is not yet woken)
//! ```

use core::cell::Cell;
use core::ptr::NonNull;

use crate::wait::Wake;

/// A waiter's link, on its stack. It belongs to the claimer until the waiter is woken.
pub(super) struct Slot {
    next: Cell<Option<NonNull<Slot>>>,
    wake: Cell<Option<Wake>>,
}

impl Slot {
    pub(super) fn new() -> Slot {
        Slot { next: Cell::new(None), wake: Cell::new(None) }
    }
}

/// Claimed waiters. They are woken in order when the chain is dropped. Drop it after unlocking.
#[must_use = "wakes when dropped: hold it until the lock is released"]
#[derive(Debug)]
pub(super) struct Chain {
    first: Option<NonNull<Slot>>,
    last: Option<NonNull<Slot>>,
    len: usize,
}

impl Chain {
    pub(super) fn new() -> Chain {
        Chain { first: None, last: None, len: 0 }
    }

    /// Returns the number of waiters in the chain.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Calls `f` with the slot of each waiter.
    pub(super) fn each(&self, f: impl Fn(NonNull<Slot>)) {
        let mut next = self.first;
        while let Some(slot) = next {
            f(slot);
            // SAFETY: a claimed waiter does not run before it is woken, so the slots in the chain are valid and
            // belong to the chain.
            next = unsafe { slot.as_ref().next.get() };
        }
    }

    /// Adds a waiter at the back.
    ///
    /// # Safety
    ///
    /// The caller has just claimed the waiter that `wake` wakes. `slot` is on its stack and is used for nothing else.
    pub(super) unsafe fn push(&mut self, slot: NonNull<Slot>, wake: Wake) {
        // SAFETY: a claimed waiter does not run before it is woken. So `slot` and the slots in the chain are valid,
        // and only this chain uses them.
        unsafe {
            slot.as_ref().wake.set(Some(wake));
            match self.last {
                Some(last) => last.as_ref().next.set(Some(slot)),
                None => self.first = Some(slot),
            }
        }
        self.last = Some(slot);
        self.len += 1;
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        let mut next = self.first;
        while let Some(slot) = next {
            // SAFETY: the waiter is claimed and not yet woken, so its slot is valid. Both fields are read before the
            // waiter is woken and its stack is its own again.
            let wake = unsafe {
                next = slot.as_ref().next.get();
                slot.as_ref().wake.take()
            };
            drop(wake);
        }
    }
}
