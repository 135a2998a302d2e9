//! What a select does with one channel, for any message type: it looks, enters the queue, and leaves it.
//!
//! A selected case gets a [`Grant`]: a reservation that is counted in the channel's state. The message moves later,
//! in a function that knows its type. A grant is either used or given up. With capacity 0 a receive may first get a
//! promise: the sender that it has met has yet to send its message, and may give up.

use core::panic::Location;
use core::ptr::NonNull;
use std::time::Instant;

use kahn_core::primitives::Arc;
use kahn_core::wait::{Node, Wait};

use crate::chan::Chan;
use crate::grants::{Offer, Promise};
use crate::receiver::{Receiver, Source};
use crate::sender::Sender;
use crate::state::Wakes;

/// What a selected case holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// A permit to send, or a right to receive.
    Operation,
    /// A promise of a message. It never reaches the code that completes the operation: [`Operation::await_promise`]
    /// turns it into another grant.
    Promise,
    /// Nothing: the channel is closed, and the operation will fail.
    Closed,
    /// The message of a timer.
    Fired(Instant),
}

impl Grant {
    fn of(offer: Offer) -> Option<Grant> {
        match offer {
            Offer::Granted => Some(Grant::Operation),
            Offer::Promised => Some(Grant::Promise),
            Offer::Closed => Some(Grant::Closed),
            Offer::Nothing => None,
        }
    }
}

/// The outcome of an attempt to enter a queue.
pub(crate) enum Entered {
    /// The node is in the queue.
    Waiting,
    /// The operation was ready. The select has ended its own wait, and the case has its grant.
    Ready(Grant),
    /// Another thread had already claimed the wait, through another case.
    Claimed,
    /// The operation was ready, and the select has ended its own wait. Then the partner was gone. The select starts
    /// again.
    Lost,
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

    /// Takes a grant if the operation can be done now.
    fn look(&self) -> Option<Grant>;

    /// Enters the queue, unless the operation can be done now.
    ///
    /// # Safety
    ///
    /// The node belongs to `wait`, and its payload is a wait slot with `WaitSlotKind::Right`. Both stay at their
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

    /// Waits until a promise has become a grant. Returns `None` if the promise was broken. `location` is the place in
    /// the user's code that reports show for this wait.
    fn await_promise(&self, location: &'static Location<'static>) -> Option<Grant>;

    /// Gives back an unused grant.
    fn give_up(&self, grant: Grant);
}

/// Ends the wait by the owner's own claim, and then requests a grant with `ask`.
fn settle(wait: &Wait, ask: impl FnOnce() -> Option<Grant>) -> Entered {
    if !wait.claim_self() {
        return Entered::Claimed;
    }
    ask().map_or(Entered::Lost, Entered::Ready)
}

impl<T> Operation for Sender<T> {
    fn identity(&self) -> Identity {
        Identity { address: self.chan.order(), sends: true }
    }

    #[inline]
    fn look(&self) -> Option<Grant> {
        Grant::of(self.chan.permit_now())
    }

    unsafe fn enter(&self, node: NonNull<Node>, wait: &Wait, wakes: &mut Wakes) -> Entered {
        let mut state = self.chan.lock();
        let me = Some(wait.waiter());
        if state.send_ready(me) {
            return settle(wait, || Grant::of(state.want_permit(me, wakes)));
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
            // SAFETY: the caller guarantees that the node's payload is a wait slot, and that node and wait slot stay
            // at their addresses until the node is out of the queue. The wait is open.
            unsafe { state.push_watcher(node, false) };
        }
        ready
    }

    unsafe fn unwatch(&self, node: NonNull<Node>) {
        // SAFETY: the caller guarantees that the node is valid, and is in this queue or in none.
        unsafe { self.chan.lock().remove_watcher(node, false) };
    }

    fn idle_since(&self) -> Option<u64> {
        self.chan.idle_since(false)
    }

    fn due(&self) -> Option<Instant> {
        None
    }

    fn await_promise(&self, _location: &'static Location<'static>) -> Option<Grant> {
        unreachable!("a send is promised nothing")
    }

    fn give_up(&self, grant: Grant) {
        if grant == Grant::Operation {
            self.chan.drop_permit();
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
    fn look(&self) -> Option<Grant> {
        match &self.source {
            Source::Chan(chan) => Grant::of(chan.right_now()),
            Source::Timer(timer) => timer.lock().fire().map(Grant::Fired),
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
                    return settle(wait, || state.fire().map(Grant::Fired));
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
                    unsafe { state.push_watcher(node, true) };
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
                Source::Chan(chan) => chan.lock().remove_watcher(node, true),
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

    fn await_promise(&self, location: &'static Location<'static>) -> Option<Grant> {
        let Source::Chan(chan) = &self.source else { unreachable!("a timer promises nothing") };
        match chan.await_promise(location) {
            Promise::Kept => Some(Grant::Operation),
            Promise::Closed => Some(Grant::Closed),
            _ => None,
        }
    }

    fn give_up(&self, grant: Grant) {
        match (&self.source, grant) {
            (Source::Chan(chan), Grant::Operation) => chan.drop_right(),
            (Source::Timer(timer), Grant::Fired(when)) => timer.put_back(when),
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
        return settle(wait, || Grant::of(state.want_right(me, wakes)));
    }
    // SAFETY: the caller guarantees that the node's payload is a wait slot, and that node and wait slot stay at their
    // addresses until the node is out of the queue. The wait is open.
    unsafe { state.push_receiver(node, wakes) };
    Entered::Waiting
}
