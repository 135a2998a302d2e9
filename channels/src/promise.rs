//! The waits for reservations: for a promised message, and for a permit.

use core::panic::Location;
use core::ptr::NonNull;

use kahn_core::wait::{Kind, Node, Reason, Wait, operation, shield};

use crate::chan::Chan;
use crate::error::TryRecvError;
use crate::grants::{Offer, Promise};
use crate::state::Wakes;
use crate::wait_slot::{Status, WaitSlot, WaitSlotKind};

impl<T> Chan<T> {
    /// Waits for a promised message, and takes it. Returns `None` if the promise was broken.
    #[inline]
    #[track_caller]
    pub(crate) fn fetch(&self) -> Option<Result<T, TryRecvError>> {
        match self.await_promise(Location::caller()) {
            Promise::Kept => Some(Ok(self.redeem())),
            Promise::Closed => Some(Err(TryRecvError::Disconnected)),
            _ => None,
        }
    }

    /// Waits until a promise has been kept or broken. Neither a deadline nor a cancel ends this wait, because the
    /// sender has been told that a receiver takes its message.
    pub(crate) fn await_promise(&self, location: &'static Location<'static>) -> Promise {
        let promise = self.lock().collect();
        if promise != Promise::Open {
            return promise;
        }
        let reason = Reason::at(Kind::Recv, self.address(), location);
        shield(|| self.await_promise_parking(reason))
    }

    #[cold]
    #[inline(never)]
    fn await_promise_parking(&self, reason: Reason) -> Promise {
        let wait = Wait::new();
        let wait_slot = WaitSlot::new(WaitSlotKind::Right);
        let node = Node::new(wait.waiter(), 0, wait_slot.payload());
        let mut state = self.lock();
        let promise = state.collect();
        if promise != Promise::Open {
            drop(state);
            return promise;
        }
        // SAFETY: the wait is open. Node and wait slot stay at their address until the node has been claimed and the
        // wait is over.
        unsafe { state.promised.push(NonNull::from(&node)) };
        drop(state);
        let woken = wait.park(reason, None);
        assert!(woken.is_ok(), "a shielded wait without a deadline ends by being claimed alone");
        match wait_slot.status() {
            Status::Done => Promise::Kept,
            Status::Closed => Promise::Closed,
            _ => Promise::Broken,
        }
    }

    /// Requests a permit without waiting.
    pub(crate) fn try_reserve(&self) -> Offer {
        operation();
        if !self.send_hint() {
            return Offer::Nothing;
        }
        let mut wakes = Wakes::new();
        let mut state = self.lock();
        let offer = state.want_permit(None, &mut wakes);
        drop(state);
        offer
    }

    /// Waits for a permit. Returns false if the channel is closed.
    #[inline]
    #[track_caller]
    pub(crate) fn reserve(&self) -> bool {
        operation();
        let mut wakes = Wakes::new();
        let mut state = self.lock();
        match state.want_permit(None, &mut wakes) {
            Offer::Nothing => {}
            offer => {
                drop(state);
                // With capacity 0 this may wake an async task. Its waker is user code, and may wait. Therefore the
                // caller has no open wait at this point.
                drop(wakes);
                return offer == Offer::Granted;
            }
        }
        let wait = Wait::new();
        let wait_slot = WaitSlot::new(WaitSlotKind::Right);
        let node = Node::new(wait.waiter(), 0, wait_slot.payload());
        // SAFETY: the wait is open. Node and wait slot stay at their address until the wait is over and the node is
        // out of the queue, claimed or removed below.
        unsafe { state.push_sender(NonNull::from(&node), &mut wakes) };
        drop(state);
        // These are wake-ups of watchers only. Watchers are threads, so no user code runs.
        drop(wakes);
        match wait.park(Reason::new(Kind::Send, self.address()), None) {
            Ok(_) => wait_slot.status() == Status::Done,
            Err(error) => {
                let mut state = self.lock();
                // SAFETY: the node was put into this queue, and is valid.
                unsafe { state.senders.remove(NonNull::from(&node)) };
                drop(state);
                error.raise();
                unreachable!("there was no deadline")
            }
        }
    }
}
