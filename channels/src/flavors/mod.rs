//! What a channel does while its lock is held: its messages, its waiters and its reservations.
//!
//! Every operation is a step on [`State`] under the lock. Nothing here parks, wakes a waiter, or runs user code. The
//! steps return wake-ups and messages; the caller uses and drops them after unlocking.
//!
//! This file has the steps that do not depend on the capacity. [`buffered`] has those of a channel with a capacity
//! above 0, and [`rendezvous`] those of a channel with capacity 0. Each begins with its invariants. [`timer`] is not a
//! channel, but its receiver is used like one.
//!
//! The following holds between two operations in every channel:
//!
//! - A message that has a receiver and that the receiver has not taken yet can come back. It is *pending*: a message
//!   that was handed to a task is *in hand* until the task takes it, or is dropped and puts it back; a message in the
//!   ring that is covered by a receive reservation is pending until the reservation is used or given up.
//! - `closed` never returns to false. The channel has *ended* if it is closed and no message is pending. It ceases to
//!   have ended if one of its last messages is reserved.
//! - No sender is in a queue while the channel is closed, and no receiver while it has ended.

pub(crate) mod buffered;
pub(crate) mod rendezvous;
pub(crate) mod ring;
pub(crate) mod timer;
pub(crate) mod watchers;

use core::ptr::NonNull;

use kahn_core::wait::{BudgetBatch, Claimed, Node, WaitQueue, Waiter, Wake};

use crate::error::{TryRecvError, TrySendError};
use crate::flavors::ring::Ring;
use crate::flavors::watchers::Watchers;
use crate::reservation::Reservation;
use crate::waiters::{Status, WaitSlotRef, Wakes};

/// The outcome of a receive.
pub(crate) enum Taken<T> {
    Message(T),
    /// A reservation whose message has not been sent yet. [`State::check_unsent`] returns what becomes of it.
    Unsent,
    Nothing(TryRecvError),
}

pub(crate) struct State<T> {
    pub(crate) ring: Ring<T>,
    pub(crate) receivers: WaitQueue,
    pub(crate) senders: WaitQueue,
    /// The number of send reservations (`S` in the invariants).
    pub(crate) send_reservations: usize,
    /// The number of receive reservations (`R` in the invariants).
    pub(crate) recv_reservations: usize,
    /// How many of the receive reservations are filled (`F` in the invariants). Counted only with capacity 0.
    pub(crate) filled: usize,
    pub(crate) cap: usize,
    pub(crate) prepaid: BudgetBatch,
    pub(crate) closed: bool,
    /// Messages that are in hand.
    in_hand: usize,
    /// Receivers that wait for unsent messages. Used only with capacity 0.
    pub(crate) awaiting: WaitQueue,
    pub(crate) watchers: Watchers,
}

impl<T> State<T> {
    pub(crate) fn new(cap: usize) -> State<T> {
        State {
            ring: Ring::new(),
            receivers: WaitQueue::new(),
            senders: WaitQueue::new(),
            send_reservations: 0,
            recv_reservations: 0,
            filled: 0,
            cap,
            prepaid: BudgetBatch::new(),
            closed: false,
            in_hand: 0,
            awaiting: WaitQueue::new(),
            watchers: Watchers::new(),
        }
    }

    /// Counts an operation that did not park, whether it succeeded or failed.
    #[inline]
    pub(crate) fn count(&mut self) {
        self.prepaid.take();
    }

    /// The number of messages in the ring that are not covered by a receive reservation.
    #[inline]
    pub(crate) fn available(&self) -> usize {
        self.ring.len().saturating_sub(self.recv_reservations)
    }

    /// Whether there is a place for another message.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        // Saturating: messages of size zero take no memory, so their number can come close to `usize::MAX`.
        self.available().saturating_add(self.send_reservations) < self.cap
    }

    /// Whether a message has a receiver that has not taken it yet.
    #[inline]
    fn has_pending(&self) -> bool {
        // With capacity 0 there can be unsent reservations, which have no message, and messages without a reservation.
        // The latter are available.
        self.in_hand > 0 || (self.recv_reservations > 0 && self.ring.len() > 0)
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
            || (self.cap == 0 && (!self.senders.is_empty() || rendezvous::has_surplus(self)))
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
            || (self.cap == 0 && (rendezvous::has_surplus(self) || self.senders.has_other(me)))
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
        if self.cap > 0 { buffered::send(self, msg, wakes) } else { rendezvous::send(self, msg, wakes) }
    }

    /// Takes a send reservation if no wait is needed. The waiter `me` is not its own partner.
    #[inline]
    pub(crate) fn reserve_send(
        &mut self,
        me: Option<NonNull<Waiter>>,
        wakes: &mut Wakes,
    ) -> Option<Reservation> {
        if self.closed {
            return Some(Reservation::Closed);
        }
        if self.cap > 0 { buffered::reserve_send(self) } else { rendezvous::reserve_send(self, me, wakes) }
    }

    /// Sends a message with a reservation.
    #[inline]
    pub(crate) fn send_reserved(&mut self, msg: T, wakes: &mut Wakes) -> Result<(), T> {
        self.send_reservations -= 1;
        if self.closed {
            return Err(msg);
        }
        if self.cap > 0 {
            buffered::send_reserved(self, msg, wakes);
        } else {
            rendezvous::send_reserved(self, msg, wakes);
        }
        Ok(())
    }

    /// Gives up a send reservation.
    pub(crate) fn release_send(&mut self, wakes: &mut Wakes) {
        self.send_reservations -= 1;
        if self.cap > 0 { buffered::admit_senders(self, wakes) } else { rendezvous::withdraw(self, wakes) }
    }

    /// Gives a message to a waiting receiver that the caller has claimed.
    #[inline]
    pub(crate) fn hand(&mut self, claimed: Claimed, msg: T) -> Wake {
        // SAFETY: the receiver was claimed under the lock behind `&mut self`, and is not woken before this returns, so
        // its payload is valid. A node in a channel's queue has a wait slot or a packet of the channel's message type
        // as its payload. The slot of a waiting receiver's packet is empty, and only the claimer may touch it.
        unsafe {
            let slot_ref = WaitSlotRef::new(claimed.payload);
            match slot_ref.packet::<T>() {
                Some(packet) => {
                    packet.put(msg);
                    self.in_hand += usize::from(claimed.wake.is_for_task());
                }
                None => {
                    self.ring.push_back(msg);
                    self.recv_reservations += 1;
                    self.filled += usize::from(self.cap == 0);
                }
            }
            slot_ref.wait_slot().set_status(Status::Done);
        }
        claimed.wake
    }

    /// Gives the first message in the ring to a waiting receiver that the caller has claimed.
    pub(crate) fn hand_first(&mut self, claimed: Claimed) -> Wake {
        // SAFETY: the receiver was claimed under the lock behind `&mut self`, and is not woken before this returns. Its
        // payload is a wait slot or a packet of this channel's message type. The slot of its packet is empty, and only
        // the claimer may touch it.
        unsafe {
            let slot_ref = WaitSlotRef::new(claimed.payload);
            match slot_ref.packet::<T>() {
                Some(packet) => {
                    packet.put(self.ring.pop_front().expect("the caller has seen one"));
                    self.in_hand += usize::from(claimed.wake.is_for_task());
                }
                None => {
                    self.recv_reservations += 1;
                    self.filled += usize::from(self.cap == 0);
                }
            }
            slot_ref.wait_slot().set_status(Status::Done);
        }
        claimed.wake
    }

    /// Puts a message into the ring for the next receiver.
    fn store(&mut self, msg: T, wakes: &mut Wakes) {
        self.ring.push_back(msg);
        self.watchers.tell_recv(wakes);
    }

    /// Gives an accepted message to the first waiting receiver, or else stores it in the ring.
    pub(crate) fn deliver(&mut self, msg: T, wakes: &mut Wakes) {
        match self.receivers.claim_next() {
            Some(claimed) => wakes.add(self.hand(claimed, msg)),
            None => self.store(msg, wakes),
        }
    }

    /// Hands messages that have no receiver to those that wait.
    fn hand_out(&mut self, wakes: &mut Wakes) {
        if self.cap > 0 { buffered::hand_out(self, wakes) } else { rendezvous::hand_out(self, wakes) }
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
        if self.cap > 0 {
            buffered::admit_senders(self, wakes);
        }
        msg
    }

    /// Receives if no wait is needed, except a wait for an unsent message.
    #[inline]
    pub(crate) fn recv(&mut self, wakes: &mut Wakes) -> Taken<T> {
        if let Some(msg) = self.recv_stored(wakes) {
            return Taken::Message(msg);
        }
        if self.cap == 0
            && let Some(taken) = rendezvous::recv(self, wakes)
        {
            return taken;
        }
        Taken::Nothing(if self.has_ended() { TryRecvError::Disconnected } else { TryRecvError::Empty })
    }

    /// Takes a receive reservation if no wait is needed. The waiter `me` is not its own partner.
    #[inline]
    pub(crate) fn reserve_recv(
        &mut self,
        me: Option<NonNull<Waiter>>,
        wakes: &mut Wakes,
    ) -> Option<Reservation> {
        let reserved = if self.cap > 0 {
            buffered::reserve_recv(self, wakes)
        } else {
            rendezvous::reserve_recv(self, me, wakes)
        };
        reserved.or_else(|| self.has_ended().then_some(Reservation::Closed))
    }

    /// Takes the message of a receive reservation that is not unsent. The caller then [settles](Self::settle) the
    /// channel, unless it is open.
    #[inline]
    pub(crate) fn take_reserved(&mut self) -> T {
        self.recv_reservations -= 1;
        self.filled -= usize::from(self.cap == 0);
        self.ring.pop_front().expect("a message was set aside")
    }

    /// Gives up a receive reservation that is not unsent.
    pub(crate) fn release_recv(&mut self, wakes: &mut Wakes) {
        self.recv_reservations -= 1;
        self.filled -= usize::from(self.cap == 0);
        self.hand_out(wakes);
        self.settle(wakes);
    }

    /// Serves a waiting sender that the caller has claimed. Returns its message. If the sender waits for a
    /// reservation, returns `None`, and the caller counts the reservation.
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

    // Waiters, and the end of the channel.

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
            while rendezvous::end_unsent(self, Status::Retry, wakes) {}
        } else {
            self.end(wakes);
        }
        self.watchers.tell_send(wakes);
    }

    /// Ends the receives of a closed channel of which no message is pending. All waiting receivers are told.
    fn end(&mut self, wakes: &mut Wakes) {
        Self::tell_closed(&mut self.receivers, wakes);
        while rendezvous::end_unsent(self, Status::Closed, wakes) {}
        self.watchers.tell_recv(wakes);
    }

    /// Tells all waiters of a queue that the channel is closed.
    fn tell_closed(queue: &mut WaitQueue, wakes: &mut Wakes) {
        while let Some(claimed) = queue.claim_next() {
            wakes.add(Self::tell(claimed, Status::Closed));
        }
    }

    /// Tells a waiter, which the caller has claimed in one of the channel's queues, the outcome of its wait.
    fn tell(claimed: Claimed, status: Status) -> Wake {
        // SAFETY: the waiter was claimed under the lock of its channel, which the caller holds, and is not woken before
        // the lock is released. Its payload is a wait slot or a packet of this channel.
        unsafe { WaitSlotRef::new(claimed.payload) }.wait_slot().set_status(status);
        claimed.wake
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
            self.watchers.tell_recv(wakes);
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
            self.watchers.tell_send(wakes);
        }
    }
}
