//! Permits and rights: reservations, for operations whose message moves later. The header of `state` defines the terms.

use core::ptr::NonNull;

use kahn_core::wait::Waiter;

use crate::state::{State, Wakes, claim};
use crate::wait_slot::{Status, WaitSlotRef};

/// The outcome of a request for a permit or a right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Offer {
    /// The permit or the right.
    Granted,
    /// A right that is a promise. [`State::collect`] returns what becomes of it.
    Promised,
    /// The channel is closed. The operation is ready, and fails.
    Closed,
    /// The operation would have to wait.
    Nothing,
}

/// What became of a promise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Promise {
    /// The message has arrived and is set aside. [`State::redeem`] takes it.
    Kept,
    /// Not decided yet. The receiver waits in `promised`.
    Open,
    /// The promise is broken, and the right is gone. The receiver starts again.
    Broken,
    /// The channel is closed, and the right is gone.
    Closed,
}

impl<T> State<T> {
    /// Requests a permit. With capacity 0, claims a waiting receiver other than `me`, and makes it a promise.
    pub(crate) fn want_permit(&mut self, me: Option<NonNull<Waiter>>, wakes: &mut Wakes) -> Offer {
        if self.closed {
            return Offer::Closed;
        }
        if self.cap > 0 {
            if !self.has_room() {
                return Offer::Nothing;
            }
            self.permits += 1;
            return Offer::Granted;
        }
        let Some(claimed) = claim(&mut self.receivers, me) else { return Offer::Nothing };
        // SAFETY: the receiver was claimed under the lock behind `&mut self`, and is not woken before the lock is
        // released. Its payload is a wait slot or a packet of this channel.
        unsafe { WaitSlotRef::new(claimed.payload) }.wait_slot().set_status(Status::Promised);
        self.rights += 1;
        self.permits += 1;
        wakes.add(claimed.wake);
        Offer::Granted
    }

    /// Sends a message with a permit.
    pub(crate) fn fill_permit(&mut self, msg: T, wakes: &mut Wakes) -> Result<(), T> {
        self.permits -= 1;
        if self.closed {
            return Err(msg);
        }
        if let Some(claimed) = self.promised.claim_next() {
            self.rights -= 1;
            let wake = self.hand(claimed, msg);
            wakes.add(wake);
        } else if self.cap == 0 && self.rights > self.ring.len() {
            // The promise belongs to a receiver that has not come to collect it yet.
            self.ring.push_back(msg);
        } else {
            self.deliver(msg, wakes);
            // The message may have gone directly to a waiting receiver. The place of the permit is free then.
            self.refill(wakes);
        }
        Ok(())
    }

    /// Gives up a permit.
    pub(crate) fn drop_permit(&mut self, wakes: &mut Wakes) {
        self.permits -= 1;
        if self.cap > 0 {
            self.refill(wakes);
        } else if self.rights > self.ring.len() + self.permits {
            self.break_promise(Status::Retry, wakes);
        }
    }

    /// Tells one of the receivers that wait in `promised` that its promise is broken. Returns false if none waits.
    pub(crate) fn break_promise(&mut self, status: Status, wakes: &mut Wakes) -> bool {
        let Some(claimed) = self.promised.claim_next() else { return false };
        self.rights -= 1;
        // SAFETY: the receiver was claimed under the lock behind `&mut self`, and is not woken before the lock is
        // released. Its payload is a wait slot or a packet of this channel.
        unsafe { WaitSlotRef::new(claimed.payload) }.wait_slot().set_status(status);
        wakes.add(claimed.wake);
        true
    }

    /// Requests a right. With capacity 0, claims a waiting sender other than `me` if no message is available.
    pub(crate) fn want_right(&mut self, me: Option<NonNull<Waiter>>, wakes: &mut Wakes) -> Offer {
        if self.available() > 0 {
            self.rights += 1;
            self.suspend_panics += usize::from(self.cap == 0);
            self.refill(wakes);
            return Offer::Granted;
        }
        if self.cap == 0 {
            if self.take_surplus() {
                return Offer::Promised;
            }
            if let Some(claimed) = claim(&mut self.senders, me) {
                self.rights += 1;
                let (msg, wake) = Self::admit(claimed);
                wakes.add(wake);
                return match msg {
                    Some(msg) => {
                        self.ring.push_back(msg);
                        self.suspend_panics += 1;
                        Offer::Granted
                    }
                    None => {
                        self.permits += 1;
                        Offer::Promised
                    }
                };
            }
        }
        if self.has_ended() { Offer::Closed } else { Offer::Nothing }
    }

    /// Takes the message of a right that is not a promise. The caller then [settles](Self::settle) the channel, unless
    /// it is open.
    #[inline]
    pub(crate) fn redeem(&mut self) -> T {
        self.rights -= 1;
        self.suspend_panics -= usize::from(self.cap == 0);
        self.ring.pop_front().expect("a message was set aside")
    }

    /// Checks on a promise. If a message has arrived, sets it aside for the caller.
    pub(crate) fn collect(&mut self) -> Promise {
        if self.ring.len() > self.suspend_panics {
            self.suspend_panics += 1;
            return Promise::Kept;
        }
        if !self.closed && self.rights - self.suspend_panics <= self.permits {
            return Promise::Open;
        }
        // Every message in the ring is set aside for another right, so this one was without a message, and as many
        // messages are pending as before.
        self.rights -= 1;
        if self.has_ended() { Promise::Closed } else { Promise::Broken }
    }

    /// Gives up a right that is not a promise.
    pub(crate) fn drop_right(&mut self, wakes: &mut Wakes) {
        self.suspend_panics -= usize::from(self.cap == 0);
        self.drop_promise(wakes);
    }

    /// Gives up a promise.
    pub(crate) fn drop_promise(&mut self, wakes: &mut Wakes) {
        self.rights -= 1;
        self.hand_out(wakes);
        self.settle(wakes);
    }

    /// Hands out messages that no receiver has set aside. The first choice is a receiver that waits for a promised
    /// message: its promise is kept, and the permit behind it is left without a receiver. The second choice is the next
    /// waiting receiver.
    pub(crate) fn hand_out(&mut self, wakes: &mut Wakes) {
        while self.ring.len() > self.suspend_panics {
            let claimed = if let Some(claimed) = self.promised.claim_next() {
                self.rights -= 1;
                claimed
            } else if self.available() == 0 {
                break;
            } else if let Some(claimed) = self.receivers.claim_next() {
                claimed
            } else {
                self.tell_recv_watchers(wakes);
                break;
            };
            let wake = self.hand_first(claimed);
            wakes.add(wake);
        }
    }
}
