//! Permits and rights: operations whose message comes later. The state's head says what they are.

use core::ptr::NonNull;

use kahn_core::wait::Party;

use crate::seat::{Guest, Status};
use crate::state::{State, Wakes, claim};

/// What became of the wish for a permit or a right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Offer {
    /// The right to do the operation.
    Granted,
    /// A right that is a promise: [`State::collect`] tells what becomes of it.
    Promised,
    /// The channel is closed: the operation is ready, and fails.
    Closed,
    /// Nothing for now.
    Nothing,
}

/// What became of a promise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Promise {
    /// The message is there, and set aside: [`State::redeem`] takes it.
    Kept,
    /// Not decided: wait in `promised`.
    Open,
    /// The right is gone: start again.
    Broken,
    /// The right is gone: the channel is closed.
    Closed,
}

impl<T> State<T> {
    /// Asks for a permit.
    pub(crate) fn want_permit(&mut self, me: Option<NonNull<Party>>, wakes: &mut Wakes) -> Offer {
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
        // SAFETY: as in `hand`.
        unsafe { Guest::new(claimed.payload) }.seat().set_status(Status::Promised);
        self.rights += 1;
        self.permits += 1;
        wakes.add(claimed.wake);
        Offer::Granted
    }

    /// Uses a permit.
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
            // Promised to a receiver that has not come for it yet.
            self.ring.push_back(msg);
        } else {
            self.deliver(msg, wakes);
            // It may have passed the ring, and its place is free then.
            self.refill(wakes);
        }
        Ok(())
    }

    /// Gives a permit up.
    pub(crate) fn drop_permit(&mut self, wakes: &mut Wakes) {
        self.permits -= 1;
        if self.cap > 0 {
            self.refill(wakes);
        } else if self.rights > self.ring.len() + self.permits {
            self.break_promise(Status::Retry, wakes);
        }
    }

    /// Tells one receiver that what it was promised will not come, if one waits for it by now.
    pub(crate) fn break_promise(&mut self, status: Status, wakes: &mut Wakes) -> bool {
        let Some(claimed) = self.promised.claim_next() else { return false };
        self.rights -= 1;
        // SAFETY: as in `hand`.
        unsafe { Guest::new(claimed.payload) }.seat().set_status(status);
        wakes.add(claimed.wake);
        true
    }

    /// Asks for a right.
    pub(crate) fn want_right(&mut self, me: Option<NonNull<Party>>, wakes: &mut Wakes) -> Offer {
        if self.available() > 0 {
            self.rights += 1;
            self.set_aside += usize::from(self.cap == 0);
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
                        self.set_aside += 1;
                        Offer::Granted
                    }
                    None => {
                        self.permits += 1;
                        Offer::Promised
                    }
                };
            }
        }
        if self.closed { Offer::Closed } else { Offer::Nothing }
    }

    /// Uses a right that is no promise.
    pub(crate) fn redeem(&mut self) -> T {
        self.rights -= 1;
        self.set_aside -= usize::from(self.cap == 0);
        self.ring.pop_front().expect("a message was set aside")
    }

    /// Sets aside what was promised, if it has come.
    pub(crate) fn collect(&mut self) -> Promise {
        if self.ring.len() > self.set_aside {
            self.set_aside += 1;
            return Promise::Kept;
        }
        if !self.closed && self.rights - self.set_aside <= self.permits {
            return Promise::Open;
        }
        self.rights -= 1;
        if self.closed { Promise::Closed } else { Promise::Broken }
    }

    /// Gives a right up that is no promise.
    pub(crate) fn drop_right(&mut self, wakes: &mut Wakes) {
        self.set_aside -= usize::from(self.cap == 0);
        self.drop_promise(wakes);
    }

    /// Gives a promise up.
    pub(crate) fn drop_promise(&mut self, wakes: &mut Wakes) {
        self.rights -= 1;
        self.hand_out(wakes);
    }

    /// Hands out messages that are back in the ring: to who waits for one that was promised (its permit has no receiver
    /// then), or to the next who waits.
    pub(crate) fn hand_out(&mut self, wakes: &mut Wakes) {
        while self.ring.len() > self.set_aside {
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
