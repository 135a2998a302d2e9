//! The gate: any number of threads wait until they are let through. Condition variables, one-time initialisation and
//! wait groups use it.
//!
//! A waiter checks the state and enters the queue in one critical section. A thread that changes the state locks the
//! gate afterwards. So either the waiter sees the change, or that thread finds the waiter in the queue. No wake-up is
//! lost.

use core::ptr::NonNull;
use core::time::Duration;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Instant;

use crate::primitives::{Lock, maybe_const, now};
use crate::sync::chain::{Chain, Slot};
use crate::wait::{Claimed, Node, Reason, TimedOut, Wait, WaitQueue};

/// The waiters, and the state that they check.
#[derive(Debug)]
pub(super) struct Gate<S> {
    inside: Lock<Inside<S>>,
}

#[derive(Debug)]
struct Inside<S> {
    state: S,
    /// The payload of each node is its `Slot`.
    queue: WaitQueue,
}

// No user code runs while the inside is changed, so an unwind never leaves it half changed.
impl<S> UnwindSafe for Gate<S> {}
impl<S> RefUnwindSafe for Gate<S> {}

/// What a thread finds when it arrives at a gate.
#[derive(Clone, Copy, Debug)]
pub(super) enum Look {
    /// The gate is closed.
    Park,
    /// The gate is open.
    Pass,
}

impl<S> Gate<S> {
    maybe_const! {
        pub(super) const fn new(state: S) -> Gate<S> {
            Gate { inside: Lock::new(Inside { state, queue: WaitQueue::new() }) }
        }
    }

    /// Waits until the caller is let through, if `look` returns [`Look::Park`]. `queued` is called as soon as the
    /// caller can be let through, and before anything unwinds.
    ///
    /// # Errors
    ///
    /// Returns [`TimedOut`] if the deadline passed first.
    pub(super) fn wait(
        &self,
        reason: Reason,
        deadline: Option<Instant>,
        look: impl FnOnce(&mut S) -> Look,
        queued: impl FnOnce(),
    ) -> Result<(), TimedOut> {
        let slot = Slot::new();
        let wait = Wait::new();
        let node = Node::new(wait.waiter(), 0, (&raw const slot).cast_mut().cast());
        let place = NonNull::from(&node);
        {
            let mut inside = self.inside.lock();
            match look(&mut inside.state) {
                Look::Park => {}
                Look::Pass => return Ok(()),
            }
            // SAFETY: the node is new, `Wait::new` has opened its wait, and it does not move. It leaves the queue
            // before this function returns: its claimer removes it, or the code below does.
            unsafe { inside.queue.push(place) };
        }
        queued();
        match wait.park(reason, deadline) {
            Ok(_) => Ok(()),
            Err(error) => {
                // SAFETY: the node is in this queue or in none.
                unsafe { self.inside.lock().queue.remove(place) };
                drop(wait);
                Err(error.raise())
            }
        }
    }

    /// Changes the state and lets all waiters through.
    pub(super) fn open(&self, change: impl FnOnce(&mut S)) {
        let mut inside = self.inside.lock();
        change(&mut inside.state);
        let chain = inside.claim_all();
        drop(inside);
        drop(chain);
    }

    /// Lets the waiter through that has waited longest.
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

/// Claims all waiters in `queue`.
///
/// # Safety
///
/// The payload of each node is a [`Slot`] on the stack of its waiter.
pub(super) unsafe fn claim_all(queue: &mut WaitQueue) -> Chain {
    let mut chain = Chain::new();
    while let Some(Claimed { payload, wake }) = queue.claim_next() {
        let slot = NonNull::new(payload.cast::<Slot>()).expect("the address of a local");
        // SAFETY: the waiter was just claimed. The caller guarantees that the payload is a slot on its stack.
        unsafe { chain.push(slot, wake) };
    }
    chain
}

/// Returns the instant `timeout` from now, or `None` if an `Instant` cannot express it.
pub(super) fn deadline_after(timeout: Duration) -> Option<Instant> {
    now().checked_add(timeout)
}
