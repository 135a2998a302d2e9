//! Many wake-ups at once, without an allocation: claimed waiters, strung together through their own stacks.
//!
//! ```text
//!   chain: first ──► slot ──► slot ──► slot ◄── last
//!                     wake     wake     wake        (each on the stack of a party that is claimed and not yet woken)
//! ```

use core::cell::Cell;
use core::ptr::NonNull;

use crate::wait::Wake;

/// A waiter's link, on its stack. Its claimer's until the waiter is woken.
pub(super) struct Slot {
    next: Cell<Option<NonNull<Slot>>>,
    wake: Cell<Option<Wake>>,
}

impl Slot {
    pub(super) fn new() -> Slot {
        Slot { next: Cell::new(None), wake: Cell::new(None) }
    }
}

/// Claimed waiters. Wakes them, in order, when it is dropped: drop it after unlocking.
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

    /// How many waiters are in it.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Calls `f` with the slot of each waiter.
    pub(super) fn each(&self, f: impl Fn(NonNull<Slot>)) {
        let mut next = self.first;
        while let Some(slot) = next {
            f(slot);
            // SAFETY: as in `push`.
            next = unsafe { slot.as_ref().next.get() };
        }
    }

    /// Adds a waiter at the end.
    ///
    /// # Safety
    ///
    /// The caller has just claimed the waiter that `wake` wakes; `slot` is on its stack, and for no other use.
    pub(super) unsafe fn push(&mut self, slot: NonNull<Slot>, wake: Wake) {
        // SAFETY: a claimed party does not run before it is woken, so `slot`, and the slots in the chain, are alive, and
        // ours alone.
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
            // SAFETY: as in `push`. Both are read before the party is woken, when its stack is its own again.
            let wake = unsafe {
                next = slot.as_ref().next.get();
                slot.as_ref().wake.take()
            };
            drop(wake);
        }
    }
}
