//! A channel with capacity 0: a send and a receive wait for each other.
//!
//! A plain sender that waits has its message in its packet, and a receiver takes it from there. A sender that reserves
//! (a select or `reserve`) has no message yet. It meets a receiver, and both get a reservation; that of the receiver is
//! *unsent*: its holder waits until the sender has sent its message, or has given its reservation up. In the first case
//! the receive reservation is *filled*: its message is set aside in the ring. In the second case the receiver starts
//! again. A select reports a receive as selected only after its reservation has been filled.
//!
//! The following holds between two operations, with `M` messages in the ring, `S` send reservations and `R` receive
//! reservations, of which `F` are filled:
//!
//! - The ring holds only messages that belong to receive reservations, and messages that were given back.
//! - `F <= M`: a message that is set aside for one receiver is not taken by the holder of an unsent reservation.
//! - A send reservation is taken only together with an unsent receive reservation. So `R <= M + S`, except after a send
//!   reservation has been given up. Then the next receiver that checks on its unsent reservation is told to start again.
//! - A receiver that waits for its unsent message is in the queue `awaiting`, and only while `M == F`.
//! - A receive reservation that is given up leaves a send reservation or a message without a receiver: a *surplus*. The
//!   next receiver takes it.

use core::ptr::NonNull;

use kahn_core::wait::{Claimed, WaitQueue, Waiter, Wake};

use crate::error::TrySendError;
use crate::flavors::{State, Taken};
use crate::reservation::Reservation;
use crate::waiters::{Status, Wakes};

/// Claims the first waiter in `queue` that is not `me`.
#[inline]
fn claim(queue: &mut WaitQueue, me: Option<NonNull<Waiter>>) -> Option<Claimed> {
    match me {
        None => queue.claim_next(),
        Some(me) => queue.claim_next_but(me),
    }
}

/// Whether there is a send reservation or a message without a receiver. No message follows a send reservation of a
/// closed channel.
#[inline]
pub(super) fn has_surplus<T>(state: &State<T>) -> bool {
    !state.closed && state.ring.len() + state.send_reservations > state.recv_reservations
}

/// Takes a receive reservation for a surplus, if there is one. Returns whether it did.
#[inline]
fn take_surplus<T>(state: &mut State<T>) -> bool {
    let taken = has_surplus(state);
    state.recv_reservations += usize::from(taken);
    taken
}

/// Sends into an open channel, if a receiver waits.
#[inline]
pub(super) fn send<T>(state: &mut State<T>, msg: T, wakes: &mut Wakes) -> Result<(), TrySendError<T>> {
    let Some(claimed) = state.receivers.claim_next() else { return Err(TrySendError::Full(msg)) };
    let wake = state.hand(claimed, msg);
    wakes.add(wake);
    Ok(())
}

/// Receives from a sender, when no message is available in the ring. Returns `None` if no sender waits.
#[inline]
pub(super) fn recv<T>(state: &mut State<T>, wakes: &mut Wakes) -> Option<Taken<T>> {
    if take_surplus(state) {
        return Some(Taken::Unsent);
    }
    let claimed = state.senders.claim_next()?;
    let (msg, wake) = meet(state, claimed);
    wakes.add(wake);
    Some(msg.map_or(Taken::Unsent, Taken::Message))
}

/// Meets a waiting sender that the caller has claimed. Returns the sender's message. A sender that reserves has no
/// message yet: then the result is `None`, and the caller has an unsent reservation. It wakes the sender before it
/// waits for the message.
#[inline]
pub(crate) fn meet<T>(state: &mut State<T>, claimed: Claimed) -> (Option<T>, Wake) {
    let met = State::admit(claimed);
    if met.0.is_none() {
        state.send_reservations += 1;
        state.recv_reservations += 1;
    }
    met
}

/// Takes a send reservation, if a receiver other than `me` waits. The receiver gets an unsent reservation.
pub(super) fn reserve_send<T>(
    state: &mut State<T>,
    me: Option<NonNull<Waiter>>,
    wakes: &mut Wakes,
) -> Option<Reservation> {
    let claimed = claim(&mut state.receivers, me)?;
    state.recv_reservations += 1;
    state.send_reservations += 1;
    wakes.add(State::<T>::tell(claimed, Status::Unsent));
    Some(Reservation::Reserved)
}

/// Sends a message whose send reservation has just been taken off the count.
pub(super) fn send_reserved<T>(state: &mut State<T>, msg: T, wakes: &mut Wakes) {
    if let Some(claimed) = state.awaiting.claim_next() {
        state.recv_reservations -= 1;
        let wake = state.hand(claimed, msg);
        wakes.add(wake);
    } else if state.recv_reservations > state.ring.len() {
        // The message belongs to a receiver that has not checked on its reservation yet.
        state.ring.push_back(msg);
    } else {
        state.deliver(msg, wakes);
    }
}

/// Follows a send reservation that was given up: a receiver that waits for its message starts again.
pub(super) fn withdraw<T>(state: &mut State<T>, wakes: &mut Wakes) {
    if state.recv_reservations > state.ring.len() + state.send_reservations {
        end_unsent(state, Status::Retry, wakes);
    }
}

/// Ends the unsent reservation of one of the receivers that wait for their messages. Returns false if none waits.
pub(super) fn end_unsent<T>(state: &mut State<T>, status: Status, wakes: &mut Wakes) -> bool {
    let Some(claimed) = state.awaiting.claim_next() else { return false };
    state.recv_reservations -= 1;
    wakes.add(State::<T>::tell(claimed, status));
    true
}

/// Takes a receive reservation, if a message is available, or a sender other than `me` waits.
pub(super) fn reserve_recv<T>(
    state: &mut State<T>,
    me: Option<NonNull<Waiter>>,
    wakes: &mut Wakes,
) -> Option<Reservation> {
    if state.available() > 0 {
        state.recv_reservations += 1;
        state.filled += 1;
        return Some(Reservation::Reserved);
    }
    if take_surplus(state) {
        return Some(Reservation::Unsent);
    }
    let claimed = claim(&mut state.senders, me)?;
    state.recv_reservations += 1;
    let (msg, wake) = State::admit(claimed);
    wakes.add(wake);
    let Some(msg) = msg else {
        state.send_reservations += 1;
        return Some(Reservation::Unsent);
    };
    state.ring.push_back(msg);
    state.filled += 1;
    Some(Reservation::Reserved)
}

impl<T> State<T> {
    /// Checks on an unsent reservation. Returns `Reserved` if its message has arrived, and is now set aside for the
    /// caller. Returns `Unsent` if that is not decided yet: the receiver waits in `awaiting`. Otherwise the reservation
    /// is gone: the result is `Closed` if the channel has ended, or `None`, and the receiver starts again.
    pub(crate) fn check_unsent(&mut self) -> Option<Reservation> {
        if self.ring.len() > self.filled {
            self.filled += 1;
            return Some(Reservation::Reserved);
        }
        if !self.closed && self.recv_reservations - self.filled <= self.send_reservations {
            return Some(Reservation::Unsent);
        }
        // Every message in the ring is set aside for another reservation, so this one was without a message, and as
        // many messages are pending as before.
        self.recv_reservations -= 1;
        self.has_ended().then_some(Reservation::Closed)
    }

    /// Gives up an unsent reservation.
    pub(crate) fn release_unsent(&mut self, wakes: &mut Wakes) {
        self.recv_reservations -= 1;
        hand_out(self, wakes);
        self.settle(wakes);
    }
}

/// Hands out messages that no receiver has set aside. The first choice is a receiver that waits for an unsent message:
/// it gets this one, and the send reservation behind it is left as a surplus. The second choice is the next waiting
/// receiver.
pub(super) fn hand_out<T>(state: &mut State<T>, wakes: &mut Wakes) {
    while state.ring.len() > state.filled {
        let claimed = if let Some(claimed) = state.awaiting.claim_next() {
            state.recv_reservations -= 1;
            claimed
        } else if state.available() == 0 {
            break;
        } else if let Some(claimed) = state.receivers.claim_next() {
            claimed
        } else {
            state.watchers.tell_recv(wakes);
            break;
        };
        let wake = state.hand_first(claimed);
        wakes.add(wake);
    }
}
