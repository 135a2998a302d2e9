//! What a channel is while its lock is held: the buffer, who waits, and who has been promised what.
//!
//! Every operation is a step on [`State`] under the lock; nothing here parks, wakes, or runs a user's code. Wake-ups
//! and messages to be dropped are handed out, and used after unlocking.
//!
//! The words:
//! - a *permit* is a place in the channel that was given to a sender who has no message yet (`reserve`, a selected send);
//! - a *right* is a message that was given to a receiver who has not taken it yet (a selected receive). It is any
//!   message, the first that is there when the receiver comes for it;
//! - with capacity 0 a right may be a *promise*: there is a permit for it, but no message yet. A permit can be given up,
//!   and the promise is broken then. A select is not told that a receive was chosen before its promise has been kept.
//!
//! With `M` messages in the ring, `P` permits, `R` rights, `S` of them no promises, between two operations:
//!
//! 1. With a capacity: `R <= M`; who may be sent to, `M - R + P < cap`; who may receive, `M > R`.
//!    A receiver waits only if `M == R`; a sender waits only if `M - R + P >= cap`. So the order is kept: a message goes
//!    past the ring to a waiting receiver only when no other message is there.
//! 2. With capacity 0 the ring holds only what a selected receiver has not fetched yet, and a permit is given only
//!    together with a promise: each selected sender has a receiver that waits for it. So `R <= M + P`, but for moments when
//!    a permit has been given up: then the next receiver that comes for what it was promised is told to start again.
//!    Receivers that wait for a promised message stand in `promised`, and do so only while `M == S`.
//!    (A right that was given up leaves a permit or a message without a receiver; the next receiver takes it.)
//!    `S <= M`: what was set aside for one select is not taken by who was promised something else. (With a capacity `S`
//!    is not counted: all rights are to messages that are there.)
//! 3. `closed` never goes back to false, and nobody waits in any queue once it is true.
//!
//! Places may be exceeded by one for each right given up and each async receive dropped late: what has been accepted is
//! never thrown away.

use core::ptr::NonNull;

use kahn_core::wait::{Claimed, Node, Party, Prepaid, WaitQueue, Wake};

use crate::error::{TryRecvError, TrySendError};
use crate::ring::Ring;
use crate::seat::{Guest, Status};

/// Wake-ups that are owed. Dropped after unlocking.
pub(crate) struct Wakes {
    first: Option<Wake>,
    more: Vec<Wake>,
}

impl Wakes {
    #[inline]
    pub(crate) fn new() -> Wakes {
        Wakes { first: None, more: Vec::new() }
    }

    #[inline]
    pub(crate) fn add(&mut self, wake: Wake) {
        if self.first.is_none() {
            self.first = Some(wake);
        } else {
            self.more.push(wake);
        }
    }
}

/// What a receiver got.
pub(crate) enum Taken<T> {
    Message(T),
    /// A right to a message that is about to come: [`State::collect`] tells what becomes of it.
    Promised,
    Nothing(TryRecvError),
}

pub(crate) struct State<T> {
    pub(crate) ring: Ring<T>,
    pub(crate) receivers: WaitQueue,
    pub(crate) senders: WaitQueue,
    /// `P`.
    pub(crate) permits: usize,
    /// `R`.
    pub(crate) rights: usize,
    /// `S`, with capacity 0.
    pub(crate) set_aside: usize,
    pub(crate) cap: usize,
    pub(crate) prepaid: Prepaid,
    pub(crate) closed: bool,
    /// Somebody stands in a watchers' queue: the fast paths leave the rest to the slow ones.
    pub(crate) watched: bool,
    pub(crate) promised: WaitQueue,
    /// Selects that only want to know when a receive, or a send, is ready.
    recv_watchers: WaitQueue,
    send_watchers: WaitQueue,
}

/// Claims the first of `queue`, but not `me`.
#[inline]
pub(crate) fn claim(queue: &mut WaitQueue, me: Option<NonNull<Party>>) -> Option<Claimed> {
    match me {
        None => queue.claim_next(),
        Some(me) => queue.claim_next_but(me),
    }
}

impl<T> State<T> {
    pub(crate) fn new(cap: usize) -> State<T> {
        State {
            ring: Ring::new(),
            receivers: WaitQueue::new(),
            senders: WaitQueue::new(),
            permits: 0,
            rights: 0,
            set_aside: 0,
            cap,
            prepaid: Prepaid::new(),
            closed: false,
            watched: false,
            promised: WaitQueue::new(),
            recv_watchers: WaitQueue::new(),
            send_watchers: WaitQueue::new(),
        }
    }

    /// Counts an operation that did not park, whether it was done or failed.
    #[inline]
    pub(crate) fn count(&mut self) {
        self.prepaid.take();
    }

    /// Messages that nobody has a right to.
    #[inline]
    pub(crate) fn available(&self) -> usize {
        self.ring.len().saturating_sub(self.rights)
    }

    /// Whether a sender may have a place.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        // A sum of what is in memory at once cannot overflow, but for zero-sized messages it might.
        self.available().saturating_add(self.permits) < self.cap
    }

    /// A permit or a message with capacity 0 that no receiver is promised to.
    #[inline]
    fn has_surplus(&self) -> bool {
        self.cap == 0 && self.ring.len() + self.permits > self.rights
    }

    /// Whether a receive might be done now. If it answers false it cannot; with a capacity, it can if it answers true.
    /// With 0 those who wait may have been claimed elsewhere: a try takes them out, and then it answers false.
    #[inline]
    pub(crate) fn recv_hint(&self) -> bool {
        self.available() > 0
            || self.closed
            || (self.cap == 0 && (!self.senders.is_empty() || self.has_surplus()))
    }

    /// Whether a send might be done now; as `recv_hint`.
    #[inline]
    pub(crate) fn send_hint(&self) -> bool {
        self.has_room() || self.closed || (self.cap == 0 && !self.receivers.is_empty())
    }

    /// Whether a receive could be done now by `me`.
    pub(crate) fn recv_ready(&self, me: Option<NonNull<Party>>) -> bool {
        self.available() > 0
            || self.closed
            || self.has_surplus()
            || (self.cap == 0 && self.senders.has_other(me))
    }

    /// Whether a send could be done now by `me`.
    pub(crate) fn send_ready(&self, me: Option<NonNull<Party>>) -> bool {
        self.closed || self.has_room() || (self.cap == 0 && self.receivers.has_other(me))
    }

    // Sending.

    /// Sends, if it can be done without waiting.
    #[inline]
    pub(crate) fn send(&mut self, msg: T, wakes: &mut Wakes) -> Result<(), TrySendError<T>> {
        if self.closed {
            return Err(TrySendError::Disconnected(msg));
        }
        if self.cap > 0 && !self.has_room() {
            return Err(TrySendError::Full(msg));
        }
        if let Some(claimed) = self.receivers.claim_next() {
            let wake = self.hand(claimed, msg);
            wakes.add(wake);
        } else if self.cap > 0 {
            self.store(msg, wakes);
        } else {
            return Err(TrySendError::Full(msg));
        }
        Ok(())
    }

    /// Gives a message to a waiting receiver that has been claimed.
    #[inline]
    pub(crate) fn hand(&mut self, claimed: Claimed, msg: T) -> Wake {
        // SAFETY: just claimed under the lock that `&mut self` stands for; nodes in a channel's queues carry seats or
        // packets of its message type. A waiting receiver's slot is empty, and the claimer's.
        unsafe {
            let guest = Guest::new(claimed.payload);
            match guest.packet::<T>() {
                Some(packet) => packet.put(msg),
                None => {
                    self.ring.push_back(msg);
                    self.rights += 1;
                    self.set_aside += usize::from(self.cap == 0);
                }
            }
            guest.seat().set_status(Status::Done);
        }
        claimed.wake
    }

    /// Gives the first message in the ring to a waiting receiver that has been claimed.
    pub(crate) fn hand_first(&mut self, claimed: Claimed) -> Wake {
        // SAFETY: as in `hand`.
        unsafe {
            let guest = Guest::new(claimed.payload);
            match guest.packet::<T>() {
                Some(packet) => packet.put(self.ring.pop_front().expect("the caller has seen one")),
                None => {
                    self.rights += 1;
                    self.set_aside += usize::from(self.cap == 0);
                }
            }
            guest.seat().set_status(Status::Done);
        }
        claimed.wake
    }

    /// Puts a message into the ring for whoever comes.
    fn store(&mut self, msg: T, wakes: &mut Wakes) {
        self.ring.push_back(msg);
        self.tell_recv_watchers(wakes);
    }

    /// Gives a message that has been accepted to the first waiting receiver, or stores it.
    pub(crate) fn deliver(&mut self, msg: T, wakes: &mut Wakes) {
        match self.receivers.claim_next() {
            Some(claimed) => wakes.add(self.hand(claimed, msg)),
            None => self.store(msg, wakes),
        }
    }

    /// Takes back a message that was handed out but not looked at: it is the first again.
    pub(crate) fn put_back(&mut self, msg: T, wakes: &mut Wakes) {
        self.ring.push_front(msg);
        self.hand_out(wakes);
    }

    // Receiving.

    /// Receives a message that is in the ring, if there is one.
    #[inline]
    pub(crate) fn recv_stored(&mut self, wakes: &mut Wakes) -> Option<T> {
        if self.available() == 0 {
            return None;
        }
        let msg = self.ring.pop_front();
        self.refill(wakes);
        msg
    }

    /// Receives, if it can be done without waiting, but for a message that has been promised.
    #[inline]
    pub(crate) fn recv(&mut self, wakes: &mut Wakes) -> Taken<T> {
        if let Some(msg) = self.recv_stored(wakes) {
            return Taken::Message(msg);
        }
        if self.cap == 0 {
            if self.take_surplus() {
                return Taken::Promised;
            }
            if let Some(claimed) = self.senders.claim_next() {
                let (msg, wake) = self.meet(claimed);
                wakes.add(wake);
                return msg.map_or(Taken::Promised, Taken::Message);
            }
        }
        Taken::Nothing(if self.closed { TryRecvError::Disconnected } else { TryRecvError::Empty })
    }

    /// With capacity 0: meets a waiting sender that has been claimed. Takes its message; a select's has to be fetched when
    /// it has been woken.
    #[inline]
    pub(crate) fn meet(&mut self, claimed: Claimed) -> (Option<T>, Wake) {
        let met = Self::admit(claimed);
        if met.0.is_none() {
            self.permits += 1;
            self.rights += 1;
        }
        met
    }

    /// With capacity 0: takes a promise of what no receiver was promised, if there is such a thing.
    #[inline]
    pub(crate) fn take_surplus(&mut self) -> bool {
        let taken = self.has_surplus() && !self.closed;
        self.rights += usize::from(taken);
        taken
    }

    /// Serves a waiting sender that has been claimed: takes its message, or answers `None`, and the caller gives it a
    /// permit.
    #[inline]
    pub(crate) fn admit(claimed: Claimed) -> (Option<T>, Wake) {
        // SAFETY: as in `hand`. A waiting sender's slot holds its message, and the status says that it is taken.
        let msg = unsafe {
            let guest = Guest::new(claimed.payload);
            guest.seat().set_status(Status::Done);
            guest.packet::<T>().map(|packet| packet.take())
        };
        (msg, claimed.wake)
    }

    /// Fills places that became free with the messages of waiting senders, or gives them permits.
    #[inline]
    pub(crate) fn refill(&mut self, wakes: &mut Wakes) {
        while !self.senders.is_empty() && self.has_room() {
            let Some(claimed) = self.senders.claim_next() else { break };
            let (msg, wake) = Self::admit(claimed);
            wakes.add(wake);
            match msg {
                Some(msg) => self.deliver(msg, wakes),
                None => self.permits += 1,
            }
        }
        if !self.send_watchers.is_empty() && self.has_room() {
            self.tell_send_watchers(wakes);
        }
    }

    // The end, and the watchers.

    /// Ends the channel: who waits is told, what is in the ring stays.
    pub(crate) fn close(&mut self, wakes: &mut Wakes) {
        if self.closed {
            return;
        }
        self.closed = true;
        for queue in [&mut self.senders, &mut self.receivers] {
            while let Some(claimed) = queue.claim_next() {
                // SAFETY: as in `hand`.
                unsafe { Guest::new(claimed.payload) }.seat().set_status(Status::Closed);
                wakes.add(claimed.wake);
            }
        }
        while self.break_promise(Status::Closed, wakes) {}
        self.tell_recv_watchers(wakes);
        self.tell_send_watchers(wakes);
    }

    fn tell(queue: &mut WaitQueue, wakes: &mut Wakes) {
        while let Some(claimed) = queue.claim_next() {
            // SAFETY: as in `hand`.
            unsafe { Guest::new(claimed.payload) }.seat().set_status(Status::Done);
            wakes.add(claimed.wake);
        }
    }

    #[inline]
    pub(crate) fn tell_recv_watchers(&mut self, wakes: &mut Wakes) {
        if self.watched {
            Self::tell(&mut self.recv_watchers, wakes);
            self.watched = !self.send_watchers.is_empty();
        }
    }

    #[inline]
    pub(crate) fn tell_send_watchers(&mut self, wakes: &mut Wakes) {
        if self.watched {
            Self::tell(&mut self.send_watchers, wakes);
            self.watched = !self.recv_watchers.is_empty();
        }
    }

    /// Lets a sender wait.
    ///
    /// # Safety
    ///
    /// As of [`WaitQueue::push`], and the node's payload is a seat or a packet of this channel.
    pub(crate) unsafe fn push_sender(&mut self, node: NonNull<Node>, wakes: &mut Wakes) {
        // SAFETY: by the contract.
        unsafe { self.senders.push(node) };
        if self.cap == 0 {
            self.tell_recv_watchers(wakes);
        }
    }

    /// Lets a receiver wait.
    ///
    /// # Safety
    ///
    /// As of `push_sender`.
    pub(crate) unsafe fn push_receiver(&mut self, node: NonNull<Node>, wakes: &mut Wakes) {
        // SAFETY: by the contract.
        unsafe { self.receivers.push(node) };
        if self.cap == 0 {
            self.tell_send_watchers(wakes);
        }
    }

    /// Lets a select wait until a receive (or else a send) may be ready.
    ///
    /// # Safety
    ///
    /// As of `push_sender`.
    pub(crate) unsafe fn push_watcher(&mut self, node: NonNull<Node>, recv: bool) {
        let queue = if recv { &mut self.recv_watchers } else { &mut self.send_watchers };
        // SAFETY: by the contract.
        unsafe { queue.push(node) };
        self.watched = true;
    }

    /// Takes a watcher out.
    ///
    /// # Safety
    ///
    /// As of [`WaitQueue::remove`].
    pub(crate) unsafe fn remove_watcher(&mut self, node: NonNull<Node>, recv: bool) {
        let queue = if recv { &mut self.recv_watchers } else { &mut self.send_watchers };
        // SAFETY: by the contract.
        unsafe { queue.remove(node) };
        self.watched = !self.recv_watchers.is_empty() || !self.send_watchers.is_empty();
    }
}
