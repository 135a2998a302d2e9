//! A place where any number wait until they are let through: what condition variables, one-time initialisations and wait
//! groups have in common.
//!
//! A waiter looks at the state and joins the queue in one critical section, and who changes the state locks the gate after
//! it. So either the waiter sees the change, or its changer finds it in the queue: no wake-up is lost.

use core::ptr::NonNull;
use core::time::Duration;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Instant;

use crate::facade::{Lock, maybe_const, now};
use crate::sync::chain::{Chain, Slot};
use crate::wait::{Claimed, Node, Reason, TimedOut, Wait, WaitQueue};

/// Waiters, and the state that they look at.
#[derive(Debug)]
pub(super) struct Gate<S> {
    inside: Lock<Inside<S>>,
}

#[derive(Debug)]
struct Inside<S> {
    state: S,
    /// The payload of each is its `Slot`.
    queue: WaitQueue,
}

// No user's code runs while the inside is changed, so an unwind never leaves it half changed.
impl<S> UnwindSafe for Gate<S> {}
impl<S> RefUnwindSafe for Gate<S> {}

/// What one who comes to a gate finds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Look {
    /// It is closed.
    Park,
    /// It is open.
    Pass,
}

impl<S> Gate<S> {
    maybe_const! {
        pub(super) const fn new(state: S) -> Gate<S> {
            Gate { inside: Lock::new(Inside { state, queue: WaitQueue::new() }) }
        }
    }

    /// Waits until let through, if `look` finds that the caller has to. `queued` is called when it can be let through
    /// from now on, before anything unwinds.
    ///
    /// # Errors
    ///
    /// [`TimedOut`] if the deadline passed first.
    pub(super) fn wait(
        &self,
        reason: Reason,
        deadline: Option<Instant>,
        look: impl FnOnce(&mut S) -> Look,
        queued: impl FnOnce(),
    ) -> Result<(), TimedOut> {
        let slot = Slot::new();
        let wait = Wait::new();
        let node = Node::new(wait.party(), 0, (&raw const slot).cast_mut().cast());
        let place = NonNull::from(&node);
        {
            let mut inside = self.inside.lock();
            match look(&mut inside.state) {
                Look::Park => {}
                Look::Pass => return Ok(()),
            }
            // SAFETY: the node is new, its party prepared by `Wait::new`, and it is taken out before this function
            // returns: by its claimer, or below.
            unsafe { inside.queue.push(place) };
        }
        queued();
        match wait.park(reason, deadline) {
            Ok(_) => Ok(()),
            Err(missed) => {
                // SAFETY: the node stands in this queue or in none.
                unsafe { self.inside.lock().queue.remove(place) };
                drop(wait);
                Err(missed.raise())
            }
        }
    }

    /// Changes the state and lets through all who wait.
    pub(super) fn open(&self, change: impl FnOnce(&mut S)) {
        let mut inside = self.inside.lock();
        change(&mut inside.state);
        let chain = inside.claim_all();
        drop(inside);
        drop(chain);
    }

    /// Lets through the one who has waited longest.
    pub(super) fn open_for_one(&self) {
        let mut inside = self.inside.lock();
        let claimed = inside.queue.claim_next();
        drop(inside);
        drop(claimed);
    }
}

impl<S> Inside<S> {
    fn claim_all(&mut self) -> Chain {
        // SAFETY: the payloads of this queue are the waiters' slots.
        unsafe { claim_all(&mut self.queue) }
    }
}

/// Claims all who stand in `queue`.
///
/// # Safety
///
/// The payload of each node is a [`Slot`] on its party's stack.
pub(super) unsafe fn claim_all(queue: &mut WaitQueue) -> Chain {
    let mut chain = Chain::new();
    while let Some(Claimed { payload, wake }) = queue.claim_next() {
        let slot = NonNull::new(payload.cast::<Slot>()).expect("the address of a local");
        // SAFETY: claimed in the line above; the slot by the contract.
        unsafe { chain.push(slot, wake) };
    }
    chain
}

/// The moment `timeout` from now; `None` if that is never.
pub(super) fn deadline_after(timeout: Duration) -> Option<Instant> {
    now().checked_add(timeout)
}
