//! Waiting for what comes in two steps: a message that was promised, a permit.

use core::panic::Location;
use core::ptr::NonNull;

use kahn_core::wait::{Kind, Node, Reason, Wait, operation, shield};

use crate::bounded::Chan;
use crate::error::TryRecvError;
use crate::grants::{Offer, Promise};
use crate::seat::{Seat, Status, Want};
use crate::state::Wakes;

impl<T> Chan<T> {
    /// Waits for the message that was promised, and takes it. Answers `None` if the promise was broken.
    #[inline]
    #[track_caller]
    pub(crate) fn fetch(&self) -> Option<Result<T, TryRecvError>> {
        match self.await_promise(Location::caller()) {
            Promise::Kept => Some(Ok(self.redeem())),
            Promise::Closed => Some(Err(TryRecvError::Disconnected)),
            _ => None,
        }
    }

    /// Waits until a promise has been kept or broken. No deadline and no cancel ends this: the sender was told that a
    /// receiver takes its message.
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
        let seat = Seat::new(Want::Right);
        let node = Node::new(wait.party(), 0, seat.payload());
        let mut state = self.lock();
        let promise = state.collect();
        if promise != Promise::Open {
            drop(state);
            return promise;
        }
        // SAFETY: node and seat stay where they are until the node has been claimed and the wait is over.
        unsafe { state.promised.push(NonNull::from(&node)) };
        drop(state);
        let woken = wait.park(reason, None);
        assert!(woken.is_ok(), "a shielded wait without a deadline ends by being claimed alone");
        match seat.status() {
            Status::Done => Promise::Kept,
            Status::Closed => Promise::Closed,
            _ => Promise::Broken,
        }
    }

    /// Asks for a permit, and does not wait.
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

    /// Waits for a permit. Answers false if the channel is closed.
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
                // With capacity 0 this may wake a task, whose waker may wait. So the caller has no wait open yet.
                drop(wakes);
                return offer == Offer::Granted;
            }
        }
        let wait = Wait::new();
        let seat = Seat::new(Want::Right);
        let node = Node::new(wait.party(), 0, seat.payload());
        // SAFETY: node and seat stay where they are until the node has been claimed and the wait is over, or removed.
        unsafe { state.push_sender(NonNull::from(&node), &mut wakes) };
        drop(state);
        // Watchers' alone, which are threads: no user's code runs.
        drop(wakes);
        match wait.park(Reason::new(Kind::Send, self.address()), None) {
            Ok(_) => seat.status() == Status::Done,
            Err(missed) => {
                let mut state = self.lock();
                // SAFETY: the node was put into this queue.
                unsafe { state.senders.remove(NonNull::from(&node)) };
                drop(state);
                missed.raise();
                unreachable!("there was no deadline")
            }
        }
    }
}
