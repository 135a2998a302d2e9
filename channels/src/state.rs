//! The state of a channel, as it is used while its lock is held: the buffer, the waiters, and the reservations.
//!
//! Every operation is a step on [`State`] under the lock. Nothing here parks, wakes a waiter, or runs user code. The
//! steps return wake-ups and messages; the caller uses and drops them after unlocking.
//!
//! Terms:
//! - A *permit* is a send reservation: a place in the channel that belongs to a sender which has no message yet
//!   (`reserve`, or a send that a select has selected).
//! - A *right* is a receive reservation: a message that belongs to a receiver which has not taken it yet (a receive
//!   that a select has selected). It is not bound to a particular message. The receiver takes the first message in the
//!   buffer.
//! - A *promise* is a right without a message. It exists only with capacity 0, where a permit stands behind it. The
//!   holder of the permit can drop the permit, which breaks the promise. A select reports a receive as selected only
//!   after its promise has been kept.
//!
//! The following holds between two operations, with `M` messages in the ring, `P` permits, and `R` rights, of which `S`
//! have their message set aside (they are not promises):
//!
//! 1. With a capacity above 0: `R <= M`. A send is possible if `M - R + P < cap`. A receive is possible if `M > R`. A
//!    receiver waits only if `M == R`. A sender waits only if `M - R + P >= cap`. This preserves the order of messages:
//!    a message bypasses the ring and goes to a waiting receiver only when the ring holds no other message that is
//!    available.
//! 2. With capacity 0: the ring holds only messages that belong to selected receivers which have not taken them yet. A
//!    permit is given out only together with a promise, so each selected sender has a receiver that waits for it.
//!    Therefore `R <= M + P`, except after a permit has been dropped: then the next receiver that comes to collect on a
//!    promise is told to start again. A receiver that waits for a promised message stands in `promised`, and does so
//!    only while `M == S`. A right that is given up leaves a permit or a message without a receiver; the next receiver
//!    takes it. `S <= M`: a message that is set aside for one select is not taken by the holder of a promise. (With a
//!    capacity above 0 the code does not count `S`, because all rights refer to messages in the ring.)
//! 3. A message that has a receiver and that the receiver has not taken yet can come back. It is *pending*: a message
//!    that was handed to a task is *in hand* until the task takes it, or is dropped and puts it back; a message in
//!    the ring that is covered by a right is pending until the right is redeemed or given up. `closed` never returns
//!    to false. The channel has *ended* if it is closed and no message is pending. It ceases to have ended if a right
//!    to one of its last messages is given out. No sender is in a queue while the channel is closed, and no receiver
//!    while it has ended.
//!
//! The channel can hold more than `cap` messages: one more for each right that was given up, and for each async receive
//! that was dropped after it had been handed a message. An accepted message is never thrown away.

use core::ptr::NonNull;

use kahn_core::wait::{BudgetBatch, Claimed, Node, WaitQueue, Waiter, Wake};

use crate::error::{TryRecvError, TrySendError};
use crate::ring::Ring;
use crate::wait_slot::{Status, WaitSlotRef};

/// Wake-ups to be performed. They are performed when this is dropped, which happens after unlocking.
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

/// The outcome of a receive.
pub(crate) enum Taken<T> {
    Message(T),
    /// A right to a message that has not arrived yet. [`State::collect`] returns what becomes of it.
    Promised,
    Nothing(TryRecvError),
}

pub(crate) struct State<T> {
    pub(crate) ring: Ring<T>,
    pub(crate) receivers: WaitQueue,
    pub(crate) senders: WaitQueue,
    /// Permits (`P` above).
    pub(crate) permits: usize,
    /// Rights (`R` above).
    pub(crate) rights: usize,
    /// Rights whose message is set aside (`S` above). Counted only with capacity 0.
    pub(crate) suspend_panics: usize,
    pub(crate) cap: usize,
    pub(crate) prepaid: BudgetBatch,
    pub(crate) closed: bool,
    /// Messages that are in hand.
    in_hand: usize,
    /// Set if a watcher is in one of the watchers' queues. The fast paths then leave the operation to the slow paths.
    pub(crate) watched: bool,
    pub(crate) promised: WaitQueue,
    /// Selects that wait for a receive (or for a send) to become ready, without doing it (`Select::ready`).
    recv_watchers: WaitQueue,
    send_watchers: WaitQueue,
}

/// Claims the first waiter in `queue` that is not `me`.
#[inline]
pub(crate) fn claim(queue: &mut WaitQueue, me: Option<NonNull<Waiter>>) -> Option<Claimed> {
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
            suspend_panics: 0,
            cap,
            prepaid: BudgetBatch::new(),
            closed: false,
            in_hand: 0,
            watched: false,
            promised: WaitQueue::new(),
            recv_watchers: WaitQueue::new(),
            send_watchers: WaitQueue::new(),
        }
    }

    /// Counts an operation that did not park, whether it succeeded or failed.
    #[inline]
    pub(crate) fn count(&mut self) {
        self.prepaid.take();
    }

    /// The number of messages in the ring that are not covered by a right.
    #[inline]
    pub(crate) fn available(&self) -> usize {
        self.ring.len().saturating_sub(self.rights)
    }

    /// Whether there is a place for another message.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        // Saturating: messages of size zero take no memory, so their number can come close to `usize::MAX`.
        self.available().saturating_add(self.permits) < self.cap
    }

    /// Whether, with capacity 0, there is a permit or a message without a receiver. No message follows a permit of a
    /// closed channel.
    #[inline]
    fn has_surplus(&self) -> bool {
        self.cap == 0 && !self.closed && self.ring.len() + self.permits > self.rights
    }

    /// Whether a message has a receiver that has not taken it yet.
    #[inline]
    fn has_pending(&self) -> bool {
        // With capacity 0 there can be rights without a message (promises), and messages without a right. The latter
        // are available.
        self.in_hand > 0 || (self.rights > 0 && self.ring.len() > 0)
    }

    /// Whether no message will become available any more. Receivers are told so once the available messages are gone.
    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        self.closed && !self.has_pending()
    }

    /// Whether a receive may be possible now. False is exact. With a capacity above 0, true is exact too. With capacity
    /// 0, true is a hint: the waiting senders may have been claimed through other queues. An attempt to receive then
    /// removes them, and afterwards this returns false.
    #[inline]
    pub(crate) fn recv_hint(&self) -> bool {
        self.available() > 0
            || self.has_ended()
            || (self.cap == 0 && (!self.senders.is_empty() || self.has_surplus()))
    }

    /// Whether a send may be possible now. False is exact; true is as in [`recv_hint`](Self::recv_hint).
    #[inline]
    pub(crate) fn send_hint(&self) -> bool {
        self.has_room() || self.closed || (self.cap == 0 && !self.receivers.is_empty())
    }

    /// Whether a receive by `me` would not wait. A waiting sender that is `me` itself does not count.
    pub(crate) fn recv_ready(&self, me: Option<NonNull<Waiter>>) -> bool {
        self.available() > 0
            || self.has_ended()
            || self.has_surplus()
            || (self.cap == 0 && self.senders.has_other(me))
    }

    /// Whether a send by `me` would not wait. A waiting receiver that is `me` itself does not count.
    pub(crate) fn send_ready(&self, me: Option<NonNull<Waiter>>) -> bool {
        self.closed || self.has_room() || (self.cap == 0 && self.receivers.has_other(me))
    }

    // Sending.

    /// Sends if no wait is needed.
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

    /// Gives a message to a waiting receiver that the caller has claimed.
    #[inline]
    pub(crate) fn hand(&mut self, claimed: Claimed, msg: T) -> Wake {
        // SAFETY: the receiver was claimed under the lock behind `&mut self`, and is not woken before this returns,
        // so its payload is valid. A node in a channel's queue has a wait slot or a packet of the channel's message
        // type as its payload. The slot of a waiting receiver's packet is empty, and only the claimer may touch it.
        unsafe {
            let slot_ref = WaitSlotRef::new(claimed.payload);
            match slot_ref.packet::<T>() {
                Some(packet) => {
                    packet.put(msg);
                    self.in_hand += usize::from(claimed.wake.is_for_task());
                }
                None => {
                    self.ring.push_back(msg);
                    self.rights += 1;
                    self.suspend_panics += usize::from(self.cap == 0);
                }
            }
            slot_ref.wait_slot().set_status(Status::Done);
        }
        claimed.wake
    }

    /// Gives the first message in the ring to a waiting receiver that the caller has claimed.
    pub(crate) fn hand_first(&mut self, claimed: Claimed) -> Wake {
        // SAFETY: the receiver was claimed under the lock behind `&mut self`, and is not woken before this returns.
        // Its payload is a wait slot or a packet of this channel's message type. The slot of its packet is empty, and
        // only the claimer may touch it.
        unsafe {
            let slot_ref = WaitSlotRef::new(claimed.payload);
            match slot_ref.packet::<T>() {
                Some(packet) => {
                    packet.put(self.ring.pop_front().expect("the caller has seen one"));
                    self.in_hand += usize::from(claimed.wake.is_for_task());
                }
                None => {
                    self.rights += 1;
                    self.suspend_panics += usize::from(self.cap == 0);
                }
            }
            slot_ref.wait_slot().set_status(Status::Done);
        }
        claimed.wake
    }

    /// Puts a message into the ring for the next receiver.
    fn store(&mut self, msg: T, wakes: &mut Wakes) {
        self.ring.push_back(msg);
        self.tell_recv_watchers(wakes);
    }

    /// Gives an accepted message to the first waiting receiver, or else stores it in the ring.
    pub(crate) fn deliver(&mut self, msg: T, wakes: &mut Wakes) {
        match self.receivers.claim_next() {
            Some(claimed) => wakes.add(self.hand(claimed, msg)),
            None => self.store(msg, wakes),
        }
    }

    /// Takes back a message that was in the hand of a task which did not use it. It becomes the first message again.
    pub(crate) fn put_back(&mut self, msg: T, wakes: &mut Wakes) {
        self.ring.push_front(msg);
        self.hand_out(wakes);
        self.settle_hand(wakes);
    }

    /// Records that a task has taken, or has put back, the message that was in its hand.
    pub(crate) fn settle_hand(&mut self, wakes: &mut Wakes) {
        self.in_hand -= 1;
        self.settle(wakes);
    }

    /// Follows every step after which fewer messages are pending. If the channel is closed and none is left, tells the
    /// waiting receivers that the channel has ended.
    #[inline]
    pub(crate) fn settle(&mut self, wakes: &mut Wakes) {
        if self.has_ended() {
            self.end(wakes);
        }
    }

    // Receiving.

    /// Receives a message that is in the ring and available, if there is one.
    #[inline]
    pub(crate) fn recv_stored(&mut self, wakes: &mut Wakes) -> Option<T> {
        if self.available() == 0 {
            return None;
        }
        let msg = self.ring.pop_front();
        self.refill(wakes);
        msg
    }

    /// Receives if no wait is needed, except a wait for a promised message.
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
        Taken::Nothing(if self.has_ended() { TryRecvError::Disconnected } else { TryRecvError::Empty })
    }

    /// With capacity 0: meets a waiting sender that the caller has claimed. Returns the sender's message. A sender that
    /// waits for a permit (a select or `reserve`) has no message yet: the result is `None` and a promise, and the
    /// caller wakes the sender before it waits for the message.
    #[inline]
    pub(crate) fn meet(&mut self, claimed: Claimed) -> (Option<T>, Wake) {
        let met = Self::admit(claimed);
        if met.0.is_none() {
            self.permits += 1;
            self.rights += 1;
        }
        met
    }

    /// With capacity 0: takes a right to a permit or message that has no receiver, if there is one. Returns whether it
    /// did.
    #[inline]
    pub(crate) fn take_surplus(&mut self) -> bool {
        let taken = self.has_surplus();
        self.rights += usize::from(taken);
        taken
    }

    /// Serves a waiting sender that the caller has claimed. Returns its message. If the sender waits for a permit,
    /// returns `None`, and the caller counts the permit.
    #[inline]
    pub(crate) fn admit(claimed: Claimed) -> (Option<T>, Wake) {
        // SAFETY: the sender was claimed under the lock of its channel, which the caller holds, and is not woken before
        // this returns. Its payload is a wait slot or a packet of this channel's message type. The packet of a waiting
        // sender holds its message. The status `Done` tells the sender that the message was taken, so it is taken once.
        let msg = unsafe {
            let slot_ref = WaitSlotRef::new(claimed.payload);
            slot_ref.wait_slot().set_status(Status::Done);
            slot_ref.packet::<T>().map(|packet| packet.take())
        };
        (msg, claimed.wake)
    }

    /// Fills free places with the messages of waiting senders, or gives them permits.
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

    // Closing, and the watchers.

    /// Closes the channel. Waiting senders are told, and so are waiting receivers unless a message is pending. The
    /// messages in the ring stay.
    pub(crate) fn close(&mut self, wakes: &mut Wakes) {
        if self.closed {
            return;
        }
        self.closed = true;
        Self::tell_closed(&mut self.senders, wakes);
        if self.has_pending() {
            // These receivers start again, and wait for what becomes of the pending messages.
            while self.break_promise(Status::Retry, wakes) {}
        } else {
            self.end(wakes);
        }
        self.tell_send_watchers(wakes);
    }

    /// Ends the receives of a closed channel of which no message is pending. All waiting receivers are told.
    fn end(&mut self, wakes: &mut Wakes) {
        Self::tell_closed(&mut self.receivers, wakes);
        while self.break_promise(Status::Closed, wakes) {}
        self.tell_recv_watchers(wakes);
    }

    fn tell_closed(queue: &mut WaitQueue, wakes: &mut Wakes) {
        while let Some(claimed) = queue.claim_next() {
            // SAFETY: the waiter was claimed under the lock of its channel, which the caller holds, and is not woken
            // before the lock is released. Its payload is a wait slot or a packet of this channel.
            unsafe { WaitSlotRef::new(claimed.payload) }.wait_slot().set_status(Status::Closed);
            wakes.add(claimed.wake);
        }
    }

    fn tell(queue: &mut WaitQueue, wakes: &mut Wakes) {
        while let Some(claimed) = queue.claim_next() {
            // SAFETY: the watcher was claimed under the lock of its channel, which the caller holds, and is not woken
            // before the lock is released. Its payload is a wait slot.
            unsafe { WaitSlotRef::new(claimed.payload) }.wait_slot().set_status(Status::Done);
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

    /// Puts a waiting sender into the queue.
    ///
    /// # Safety
    ///
    /// The requirements of [`WaitQueue::push`] hold, and the node's payload is a wait slot or a packet of this channel.
    pub(crate) unsafe fn push_sender(&mut self, node: NonNull<Node>, wakes: &mut Wakes) {
        // SAFETY: the caller guarantees what `WaitQueue::push` requires.
        unsafe { self.senders.push(node) };
        if self.cap == 0 {
            self.tell_recv_watchers(wakes);
        }
    }

    /// Puts a waiting receiver into the queue.
    ///
    /// # Safety
    ///
    /// The requirements of [`push_sender`](Self::push_sender) hold.
    pub(crate) unsafe fn push_receiver(&mut self, node: NonNull<Node>, wakes: &mut Wakes) {
        // SAFETY: the caller guarantees what `WaitQueue::push` requires.
        unsafe { self.receivers.push(node) };
        if self.cap == 0 {
            self.tell_send_watchers(wakes);
        }
    }

    /// Puts a select into the queue of those that wait until a receive (or, if `recv` is false, a send) may be ready.
    ///
    /// # Safety
    ///
    /// The requirements of [`push_sender`](Self::push_sender) hold.
    pub(crate) unsafe fn push_watcher(&mut self, node: NonNull<Node>, recv: bool) {
        let queue = if recv { &mut self.recv_watchers } else { &mut self.send_watchers };
        // SAFETY: the caller guarantees what `WaitQueue::push` requires.
        unsafe { queue.push(node) };
        self.watched = true;
    }

    /// Removes a watcher, if it is still in the queue.
    ///
    /// # Safety
    ///
    /// The node is valid. It is in this queue or in none.
    pub(crate) unsafe fn remove_watcher(&mut self, node: NonNull<Node>, recv: bool) {
        let queue = if recv { &mut self.recv_watchers } else { &mut self.send_watchers };
        // SAFETY: the caller guarantees that the node is valid, and is in this queue or in none.
        unsafe { queue.remove(node) };
        self.watched = !self.recv_watchers.is_empty() || !self.send_watchers.is_empty();
    }
}
