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
    /// The channel is closed: the operation is ready, and fails.
    Closed,
    /// Nothing for now.
    Nothing,
}

/// What became of a right.
pub(crate) enum Redeemed<T> {
    Message(T),
    /// Wait in `promised`.
    NotYet,
    /// The right is gone: start again.
    Retry,
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
        let guest = unsafe { Guest::new(claimed.payload) };
        // SAFETY: as in `hand`.
        let has_slot = unsafe { guest.packet::<T>() }.is_some();
        guest.seat().set_status(if has_slot { Status::Promised } else { Status::Done });
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
            // SAFETY: as in `hand`; only receivers with packets stand in `promised`.
            unsafe {
                let guest = Guest::new(claimed.payload);
                guest.packet::<T>().expect("has a packet").put(msg);
                guest.seat().set_status(Status::Done);
            }
            wakes.add(claimed.wake);
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
            self.refill(wakes);
            return Offer::Granted;
        }
        if self.cap == 0 {
            if self.take_surplus() {
                return Offer::Granted;
            }
            if let Some(claimed) = claim(&mut self.senders, me) {
                self.rights += 1;
                let (msg, wake) = Self::admit(claimed);
                wakes.add(wake);
                match msg {
                    Some(msg) => self.ring.push_back(msg),
                    None => self.permits += 1,
                }
                return Offer::Granted;
            }
        }
        if self.closed { Offer::Closed } else { Offer::Nothing }
    }

    /// Uses a right, if what it is for has come.
    pub(crate) fn redeem(&mut self) -> Redeemed<T> {
        if let Some(msg) = self.ring.pop_front() {
            self.rights -= 1;
            return Redeemed::Message(msg);
        }
        if self.closed {
            self.rights -= 1;
            return Redeemed::Closed;
        }
        if self.rights > self.permits {
            self.rights -= 1;
            return Redeemed::Retry;
        }
        Redeemed::NotYet
    }

    /// Gives a right up.
    pub(crate) fn drop_right(&mut self, wakes: &mut Wakes) {
        self.rights -= 1;
        while self.available() > 0 {
            let Some(claimed) = self.receivers.claim_next() else {
                self.tell_recv_watchers(wakes);
                break;
            };
            let msg = self.ring.pop_front().expect("one is available");
            // Its place in the order is the first; a selected receiver fetches the first that is there.
            // SAFETY: as in `hand`.
            unsafe {
                let guest = Guest::new(claimed.payload);
                match guest.packet::<T>() {
                    Some(packet) => packet.put(msg),
                    None => {
                        self.ring.push_front(msg);
                        self.rights += 1;
                    }
                }
                guest.seat().set_status(Status::Done);
            }
            wakes.add(claimed.wake);
        }
    }
}
