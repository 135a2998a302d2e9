//! What a select does with one channel, for any message type: it looks, enters the queue, and leaves it.
//!
//! A selected case gets a [`Reservation`]. The message moves later, in a function that knows its type. A reservation is
//! either used or given up. With capacity 0 a receive may first get an unsent one: the sender that it has met has yet
//! to send its message, and may give up.

use core::panic::Location;
use core::ptr::NonNull;
use std::time::Instant;

use kahn_core::primitives::Arc;
use kahn_core::wait::{Node, Wait};

use crate::channel::Chan;
use crate::receiver::{Receiver, Source};
use crate::reservation::Reservation;
use crate::sender::Sender;
use crate::waiters::Wakes;

/// The outcome of an attempt of a select to enter the queue of one case.
pub(crate) enum Entered {
    /// The node is in the queue.
    Waiting,
    /// The operation was ready. The select has ended its own wait. It has the reservation, or none if the partner was
    /// gone by then: it starts again.
    Ready(Option<Reservation>),
    /// Another thread had already claimed the wait, through another case.
    Claimed,
}

/// One side of a channel, or a timer. Two cases with equal identities are the same operation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Identity {
    pub(crate) address: usize,
    pub(crate) sends: bool,
}

/// An operation on a channel that can be selected, without its message type.
pub(crate) trait Operation {
    /// Returns the identity. Selects enter queues in the order of the identities.
    fn identity(&self) -> Identity;

    /// Takes a reservation if the operation can be done now.
    fn look(&self) -> Option<Reservation>;

    /// Enters the queue, unless the operation can be done now.
    ///
    /// # Safety
    ///
    /// The node belongs to `wait`, and its payload is a wait slot with `WaitSlotKind::Reservation`. Both stay at their
    /// addresses until the node has been claimed and the wait is over, or [`leave`](Self::leave) has been called.
    unsafe fn enter(&self, node: NonNull<Node>, wait: &Wait, wakes: &mut Wakes) -> Entered;

    /// Leaves the queue, if the node is still in it.
    ///
    /// # Safety
    ///
    /// The node was passed to [`enter`](Self::enter) of this operation, and is valid.
    unsafe fn leave(&self, node: NonNull<Node>);

    /// Returns whether the operation can be done now.
    fn is_ready(&self) -> bool;

    /// Enters the watchers' queue and returns false, or returns true if the operation can be done now.
    ///
    /// # Safety
    ///
    /// The requirements of [`enter`](Self::enter) hold, with [`unwatch`](Self::unwatch) in place of `leave`.
    unsafe fn watch(&self, node: NonNull<Node>, wait: &Wait) -> bool;

    /// Leaves the watchers' queue, if the node is still in it.
    ///
    /// # Safety
    ///
    /// The node was passed to [`watch`](Self::watch) of this operation, and is valid.
    unsafe fn unwatch(&self, node: NonNull<Node>);

    /// Returns `None` while the operation may be ready. Otherwise returns a number that changes whenever the operation
    /// becomes ready or ceases to be.
    fn idle_since(&self) -> Option<u64>;

    /// Returns when the operation becomes ready by the passing of time alone.
    fn due(&self) -> Option<Instant>;

    /// Waits until the message of an unsent reservation has been sent. Returns `None` if the sender has given up.
    /// `location` is the place in the user's code that reports show for this wait.
    fn await_unsent(&self, location: &'static Location<'static>) -> Option<Reservation>;

    /// Gives up an unused reservation.
    fn give_up(&self, reservation: Reservation);

    /// Ends what the operation does beside the select, once that has chosen, or has given up.
    fn finish(&self) {}
}

/// Ends the wait by the owner's own claim, and then takes a reservation.
pub(super) fn settle(wait: &Wait, reserve: impl FnOnce() -> Option<Reservation>) -> Entered {
    if wait.claim_self() { Entered::Ready(reserve()) } else { Entered::Claimed }
}

impl<T> Operation for Sender<T> {
    fn identity(&self) -> Identity {
        Identity { address: self.chan.order(), sends: true }
    }

    #[inline]
    fn look(&self) -> Option<Reservation> {
        self.chan.try_reserve_send()
    }

    unsafe fn enter(&self, node: NonNull<Node>, wait: &Wait, wakes: &mut Wakes) -> Entered {
        let mut state = self.chan.lock();
        let me = Some(wait.waiter());
        if state.send_ready(me) {
            return settle(wait, || state.reserve_send(me, wakes));
        }
        // SAFETY: the caller guarantees that the node's payload is a wait slot, and that node and wait slot stay at
        // their addresses until the node is out of the queue. The wait is open.
        unsafe { state.push_sender(node, wakes) };
        Entered::Waiting
    }

    unsafe fn leave(&self, node: NonNull<Node>) {
        // SAFETY: the caller guarantees that the node is valid, and is in this queue or in none.
        unsafe { self.chan.lock().senders.remove(node) };
    }

    fn is_ready(&self) -> bool {
        self.chan.send_hint() && self.chan.lock().send_ready(None)
    }

    unsafe fn watch(&self, node: NonNull<Node>, wait: &Wait) -> bool {
        let mut state = self.chan.lock();
        let ready = state.send_ready(Some(wait.waiter()));
        if !ready {
            // SAFETY: the caller guarantees that the node's payload is a wait slot, and that node and wait slot stay at
            // their addresses until the node is out of the queue. The wait is open.
            unsafe { state.watchers.push(node, false) };
        }
        ready
    }

    unsafe fn unwatch(&self, node: NonNull<Node>) {
        // SAFETY: the caller guarantees that the node is valid, and is in this queue or in none.
        unsafe { self.chan.lock().watchers.remove(node, false) };
    }

    fn idle_since(&self) -> Option<u64> {
        self.chan.idle_since(false)
    }

    fn due(&self) -> Option<Instant> {
        None
    }

    fn await_unsent(&self, _location: &'static Location<'static>) -> Option<Reservation> {
        unreachable!("a send never waits for its partner's message")
    }

    fn give_up(&self, reservation: Reservation) {
        if reservation == Reservation::Reserved {
            self.chan.release_send();
        }
    }
}

impl<T> Operation for Receiver<T> {
    fn identity(&self) -> Identity {
        let address = match &self.source {
            Source::Chan(chan) => chan.order(),
            Source::Timer(timer) => Arc::as_ptr(timer).addr(),
            Source::Never => 0,
        };
        Identity { address, sends: false }
    }

    #[inline]
    fn look(&self) -> Option<Reservation> {
        match &self.source {
            Source::Chan(chan) => chan.try_reserve_recv(),
            Source::Timer(timer) => timer.lock().fire().map(Reservation::Fired),
            Source::Never => None,
        }
    }

    unsafe fn enter(&self, node: NonNull<Node>, wait: &Wait, wakes: &mut Wakes) -> Entered {
        match &self.source {
            // SAFETY: the caller guarantees what `enter` requires, which is what `enter_channel` requires.
            Source::Chan(chan) => unsafe { enter_channel(chan, node, wait, wakes) },
            Source::Timer(timer) => {
                let mut state = timer.lock();
                if state.is_ready() {
                    return settle(wait, || state.fire().map(Reservation::Fired));
                }
                // SAFETY: the caller guarantees that the node stays at its address until it is out of the queue. The
                // wait is open.
                unsafe { state.waiters.push(node) };
                Entered::Waiting
            }
            Source::Never => Entered::Waiting,
        }
    }

    unsafe fn leave(&self, node: NonNull<Node>) {
        // SAFETY: the caller guarantees that the node is valid, and is in this queue or in none.
        unsafe {
            match &self.source {
                Source::Chan(chan) => chan.lock().receivers.remove(node),
                Source::Timer(timer) => timer.lock().waiters.remove(node),
                Source::Never => false,
            };
        }
    }

    fn is_ready(&self) -> bool {
        match &self.source {
            Source::Chan(chan) => chan.recv_hint() && chan.lock().recv_ready(None),
            Source::Timer(timer) => timer.lock().is_ready(),
            Source::Never => false,
        }
    }

    unsafe fn watch(&self, node: NonNull<Node>, wait: &Wait) -> bool {
        match &self.source {
            Source::Chan(chan) => {
                let mut state = chan.lock();
                let ready = state.recv_ready(Some(wait.waiter()));
                if !ready {
                    // SAFETY: the caller guarantees that the node's payload is a wait slot, and that node and slot stay
                    // at their addresses until the node is out of the queue. The wait is open.
                    unsafe { state.watchers.push(node, true) };
                }
                ready
            }
            Source::Timer(timer) => {
                let mut state = timer.lock();
                let ready = state.is_ready();
                if !ready {
                    // SAFETY: the caller guarantees that the node stays at its address until it is out of the queue.
                    // The wait is open.
                    unsafe { state.waiters.push(node) };
                }
                ready
            }
            Source::Never => false,
        }
    }

    unsafe fn unwatch(&self, node: NonNull<Node>) {
        // SAFETY: the caller guarantees that the node is valid, and is in this queue or in none.
        unsafe {
            match &self.source {
                Source::Chan(chan) => chan.lock().watchers.remove(node, true),
                Source::Timer(timer) => {
                    timer.lock().waiters.remove(node);
                }
                Source::Never => {}
            }
        }
    }

    fn idle_since(&self) -> Option<u64> {
        match &self.source {
            Source::Chan(chan) => chan.idle_since(true),
            Source::Timer(timer) => timer.idle_since(),
            Source::Never => Some(0),
        }
    }

    fn due(&self) -> Option<Instant> {
        match &self.source {
            Source::Timer(timer) => timer.lock().next,
            Source::Chan(_) | Source::Never => None,
        }
    }

    fn await_unsent(&self, location: &'static Location<'static>) -> Option<Reservation> {
        let Source::Chan(chan) = &self.source else { unreachable!("a timer has no unsent message") };
        chan.await_unsent(location)
    }

    fn give_up(&self, reservation: Reservation) {
        match (&self.source, reservation) {
            (Source::Chan(chan), Reservation::Reserved) => chan.release_recv(),
            (Source::Timer(timer), Reservation::Fired(when)) => timer.put_back(when),
            _ => {}
        }
    }
}

/// [`Operation::enter`] for a receive from a channel.
///
/// # Safety
///
/// The requirements of [`Operation::enter`] hold.
unsafe fn enter_channel<T>(chan: &Chan<T>, node: NonNull<Node>, wait: &Wait, wakes: &mut Wakes) -> Entered {
    let mut state = chan.lock();
    let me = Some(wait.waiter());
    if state.recv_ready(me) {
        return settle(wait, || state.reserve_recv(me, wakes));
    }
    // SAFETY: the caller guarantees that the node's payload is a wait slot, and that node and wait slot stay at their
    // addresses until the node is out of the queue. The wait is open.
    unsafe { state.push_receiver(node, wakes) };
    Entered::Waiting
}
