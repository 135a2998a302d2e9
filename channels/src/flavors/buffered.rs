//! A channel with a capacity above 0.
//!
//! The following holds between two operations, with `M` messages in the ring, `S` send reservations and `R` receive
//! reservations:
//!
//! - `R <= M`: each receive reservation has its message in the ring.
//! - A send is possible if `M - R + S < cap`. A sender waits only if `M - R + S >= cap`.
//! - A receive is possible if `M > R`. A receiver waits only if `M == R`.
//!
//! This keeps the order of messages: a message bypasses the ring and goes to a waiting receiver only when the ring
//! holds no other message that is available.
//!
//! The channel can hold more than `cap` messages: one more for each receive reservation that was given up, and for each
//! async receive that was dropped after it had been handed a message. An accepted message is never thrown away.
//!
//! The fast paths of `channel/send.rs` and `channel/recv.rs` do without these steps: no waiter is involved there.

use crate::error::TrySendError;
use crate::flavors::State;
use crate::reservation::Reservation;
use crate::waiters::Wakes;

/// Sends into an open channel, if there is a place.
#[inline]
pub(super) fn send<T>(state: &mut State<T>, msg: T, wakes: &mut Wakes) -> Result<(), TrySendError<T>> {
    if !state.has_room() {
        return Err(TrySendError::Full(msg));
    }
    state.deliver(msg, wakes);
    Ok(())
}

/// Takes a send reservation, if there is a place.
#[inline]
pub(super) fn reserve_send<T>(state: &mut State<T>) -> Option<Reservation> {
    if !state.has_room() {
        return None;
    }
    state.send_reservations += 1;
    Some(Reservation::Reserved)
}

/// Sends a message whose send reservation has just been taken off the count.
#[inline]
pub(super) fn send_reserved<T>(state: &mut State<T>, msg: T, wakes: &mut Wakes) {
    state.deliver(msg, wakes);
    // The message may have gone directly to a waiting receiver. The reserved place is free then.
    admit_senders(state, wakes);
}

/// Takes a receive reservation, if a message is available.
#[inline]
pub(super) fn reserve_recv<T>(state: &mut State<T>, wakes: &mut Wakes) -> Option<Reservation> {
    if state.available() == 0 {
        return None;
    }
    state.recv_reservations += 1;
    admit_senders(state, wakes);
    Some(Reservation::Reserved)
}

/// Fills free places with the messages of waiting senders, or gives them reservations.
#[inline]
pub(super) fn admit_senders<T>(state: &mut State<T>, wakes: &mut Wakes) {
    while !state.senders.is_empty() && state.has_room() {
        let Some(claimed) = state.senders.claim_next() else { break };
        let (msg, wake) = State::admit(claimed);
        wakes.add(wake);
        match msg {
            Some(msg) => state.deliver(msg, wakes),
            None => state.send_reservations += 1,
        }
    }
    if !state.watchers.is_empty() && state.has_room() {
        state.watchers.tell_send(wakes);
    }
}

/// Hands the available messages to waiting receivers.
pub(super) fn hand_out<T>(state: &mut State<T>, wakes: &mut Wakes) {
    while state.available() > 0 {
        let Some(claimed) = state.receivers.claim_next() else {
            state.watchers.tell_recv(wakes);
            break;
        };
        let wake = state.hand_first(claimed);
        wakes.add(wake);
    }
}
