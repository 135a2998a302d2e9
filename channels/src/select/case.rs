//! What a select does with a single channel, whatever its message type: look, stand in the queue, leave it.
//!
//! A case that is chosen gets a [`Grant`]: the right to do its operation, counted in the channel's state. The message
//! moves only afterwards, in a function that knows its type. A grant is used, or given up. With capacity 0 a receive may
//! get a promise first: the sender that it has met has to bring its message yet, and may still give up.

use core::panic::Location;
use core::ptr::NonNull;
use std::time::Instant;

use kahn_core::facade::Arc;
use kahn_core::wait::{Node, Wait};

use crate::bounded::Chan;
use crate::grants::{Offer, Promise};
use crate::receiver::{Receiver, Source};
use crate::sender::Sender;
use crate::state::Wakes;
use crate::timers::Timer;

/// What a chosen case has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// A permit to send or a right to receive.
    Operation,
    /// The promise of a message. Not passed on to who completes the operation: see [`Operation::await_promise`].
    Promise,
    /// The channel is closed: the operation will fail.
    Closed,
    /// A timer's message.
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

/// What became of an attempt to stand in a queue.
pub(crate) enum Entered {
    /// The node stands in the queue.
    Waiting,
    /// The operation was ready: the wait has been ended by its owner, and the case has its grant.
    Ready(Grant),
    /// The wait had been claimed already, through another case.
    Claimed,
    /// The wait has been ended by its owner, but what made the operation ready was gone by then. Start again.
    Lost,
}

/// Which side of a channel, or which timer. Two cases with the same one are one operation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Identity {
    pub(crate) address: usize,
    pub(crate) sends: bool,
}

/// A channel operation that can be selected, without its message type.
pub(crate) trait Operation {
    /// The order of the identities is the order in which selects enter queues.
    fn identity(&self) -> Identity;

    /// Takes a grant if the operation can be done now.
    fn look(&self) -> Option<Grant>;

    /// Enters the queue, unless the operation can be done now.
    ///
    /// # Safety
    ///
    /// The node is of this wait, and its payload is a seat that wants a right. Both stay where they are until the node
    /// has been claimed and the wait is over, or [`leave`](Self::leave) has been called.
    unsafe fn enter(&self, node: NonNull<Node>, wait: &Wait, wakes: &mut Wakes) -> Entered;

    /// Leaves the queue, if the node still stands there.
    ///
    /// # Safety
    ///
    /// The node was entered here.
    unsafe fn leave(&self, node: NonNull<Node>);

    /// Whether the operation can be done now.
    fn is_ready(&self) -> bool;

    /// Enters the watchers' queue, unless the operation can be done now: then answers true.
    ///
    /// # Safety
    ///
    /// As of `enter`, with [`unwatch`](Self::unwatch).
    unsafe fn watch(&self, node: NonNull<Node>, wait: &Wait) -> bool;

    /// Leaves the watchers' queue, if the node still stands there.
    ///
    /// # Safety
    ///
    /// The node was entered there.
    unsafe fn unwatch(&self, node: NonNull<Node>);

    /// A number that changes whenever the operation becomes ready or stops to be; `None` while it might be ready.
    fn idle_since(&self) -> Option<u64>;

    /// When the operation will be ready without anybody doing anything.
    fn due(&self) -> Option<Instant>;

    /// Waits, at this line of the caller's program, until a promise has become a grant. Answers `None` if it was broken.
    fn await_promise(&self, location: &'static Location<'static>) -> Option<Grant>;

    /// Gives an unused grant back.
    fn give_up(&self, grant: Grant);
}

/// What an owner gets who ends its wait by itself and then asks for a grant.
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
        let me = Some(wait.party());
        if state.send_ready(me) {
            return settle(wait, || Grant::of(state.want_permit(me, wakes)));
        }
        // SAFETY: by the contract.
        unsafe { state.push_sender(node, wakes) };
        Entered::Waiting
    }

    unsafe fn leave(&self, node: NonNull<Node>) {
        // SAFETY: by the contract.
        unsafe { self.chan.lock().senders.remove(node) };
    }

    fn is_ready(&self) -> bool {
        self.chan.send_hint() && self.chan.lock().send_ready(None)
    }

    unsafe fn watch(&self, node: NonNull<Node>, wait: &Wait) -> bool {
        let mut state = self.chan.lock();
        let ready = state.send_ready(Some(wait.party()));
        if !ready {
            // SAFETY: by the contract.
            unsafe { state.push_watcher(node, false) };
        }
        ready
    }

    unsafe fn unwatch(&self, node: NonNull<Node>) {
        // SAFETY: by the contract.
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
            Source::Timer(timer) => timer.fire().map(Grant::Fired),
            Source::Never => None,
        }
    }

    unsafe fn enter(&self, node: NonNull<Node>, wait: &Wait, wakes: &mut Wakes) -> Entered {
        match &self.source {
            // SAFETY: by the contract.
            Source::Chan(chan) => unsafe { enter_channel(chan, node, wait, wakes) },
            Source::Timer(timer) if timer.is_ready() => settle(wait, || timer.fire().map(Grant::Fired)),
            Source::Timer(_) | Source::Never => Entered::Waiting,
        }
    }

    unsafe fn leave(&self, node: NonNull<Node>) {
        if let Source::Chan(chan) = &self.source {
            // SAFETY: by the contract.
            unsafe { chan.lock().receivers.remove(node) };
        }
    }

    fn is_ready(&self) -> bool {
        match &self.source {
            Source::Chan(chan) => chan.recv_hint() && chan.lock().recv_ready(None),
            Source::Timer(timer) => timer.is_ready(),
            Source::Never => false,
        }
    }

    unsafe fn watch(&self, node: NonNull<Node>, wait: &Wait) -> bool {
        let Source::Chan(chan) = &self.source else { return self.is_ready() };
        let mut state = chan.lock();
        let ready = state.recv_ready(Some(wait.party()));
        if !ready {
            // SAFETY: by the contract.
            unsafe { state.push_watcher(node, true) };
        }
        ready
    }

    unsafe fn unwatch(&self, node: NonNull<Node>) {
        if let Source::Chan(chan) = &self.source {
            // SAFETY: by the contract.
            unsafe { chan.lock().remove_watcher(node, true) };
        }
    }

    fn idle_since(&self) -> Option<u64> {
        match &self.source {
            Source::Chan(chan) => chan.idle_since(true),
            Source::Timer(timer) => (!timer.is_ready()).then_some(0),
            Source::Never => Some(0),
        }
    }

    fn due(&self) -> Option<Instant> {
        match &self.source {
            Source::Timer(timer) => Timer::next(timer),
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

/// # Safety
///
/// As of [`Operation::enter`].
unsafe fn enter_channel<T>(chan: &Chan<T>, node: NonNull<Node>, wait: &Wait, wakes: &mut Wakes) -> Entered {
    let mut state = chan.lock();
    let me = Some(wait.party());
    if state.recv_ready(me) {
        return settle(wait, || Grant::of(state.want_right(me, wakes)));
    }
    // SAFETY: by the contract.
    unsafe { state.push_receiver(node, wakes) };
    Entered::Waiting
}
