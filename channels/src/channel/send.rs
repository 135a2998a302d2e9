//! Sending: without a wait, and with one.
//!
//! A send tries in this order. `send_fast`: the ring has room, and no waiter is involved. `send_begin`: a receiver
//! waits, and gets the message directly; or the caller is a green thread, and enters the queue at once. `send_slow`:
//! everything else. Both enter the queue in the critical section in which they have found that they must wait, so no
//! change can come between the two.

use core::mem::MaybeUninit;
use core::ptr::NonNull;
use std::time::Instant;

use kahn_core::primitives::LockGuard;
use kahn_core::wait::{Kind, Node, Reason, Wait, WaitError, current, operation};

use crate::channel::spin_policy::SpinPolicy;
use crate::channel::{Attempt, Chan, Locked, RECV, SEND, publish};
use crate::error::{SendTimeoutError, TrySendError};
use crate::flavors::State;
use crate::reservation::Reservation;
use crate::waiters::{Packet, Status, ThreadSlot, WaitSlot, WaitSlotKind, Wakes};

impl<T> Chan<T> {
    // Without a wait.

    /// Sends if there is a place, and no receiver waits, no select watches, and the channel is open. Otherwise returns
    /// the lock and the message.
    #[inline(always)]
    pub(crate) fn send_fast(&self, msg: T) -> Result<(), (LockGuard<'_, State<T>>, T)> {
        let mut state = self.hot.state.lock();
        if state.prepaid.is_empty() {
            state = self.refill_while_locked(state);
        }
        if state.has_room() && state.receivers.is_empty() && !state.closed && state.watchers.is_empty() {
            state.ring.push_back(msg);
            state.count();
            publish(&self.hot.hint, RECV + u64::from(state.has_room()) * SEND);
            return Ok(());
        }
        Err((state, msg))
    }

    /// Sends if no wait is needed.
    #[inline]
    pub(crate) fn send_now(&self, msg: T) -> Result<(), TrySendError<T>> {
        match self.send_fast(msg) {
            Ok(()) => Ok(()),
            Err((state, msg)) => self.send_to_waiter(self.relock(state), msg),
        }
    }

    #[inline(never)]
    fn send_to_waiter(&self, state: Locked<'_, T>, msg: T) -> Result<(), TrySendError<T>> {
        let mut state = self.refill(state);
        let mut wakes = Wakes::new();
        let sent = state.send(msg, &mut wakes);
        state.count();
        drop(state);
        drop(wakes);
        sent
    }

    // With a wait.

    // A waiting green thread is the hot path of a rendezvous. Its node is in the frame of the caller. The stack switch
    // is inlined into the same frame: the out-of-line `begin` functions return before the switch, and the `leave`
    // functions are called after it. After a switch the processor mispredicts every return to a frame that was called
    // before it.

    /// Sends. Waits until the send is done or the deadline has passed.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn send(&self, msg: T, deadline: Option<Instant>) -> Result<(), SendTimeoutError<T>> {
        let (state, msg) = match self.send_fast(msg) {
            Ok(()) => return Ok(()),
            Err(rest) => rest,
        };
        let mut slot = MaybeUninit::uninit();
        match self.send_begin(state, msg, &mut slot) {
            Attempt::Done(()) => Ok(()),
            // SAFETY: `send_begin` has written the slot if it returns `Queued`, and has put the node into the queue.
            // The slot is not used after this call.
            Attempt::Queued => unsafe { self.send_park(slot.assume_init_ref(), deadline) },
            Attempt::Slow(state, msg) => self.send_slow(state, msg, deadline),
        }
    }

    /// Parks a sender whose node is in the queue.
    ///
    /// # Safety
    ///
    /// The node has been put into the queue of senders of this channel. The slot is not used afterwards.
    #[inline(always)]
    #[track_caller]
    unsafe fn send_park(
        &self,
        slot: &ThreadSlot<T>,
        deadline: Option<Instant>,
    ) -> Result<(), SendTimeoutError<T>> {
        let woken = slot.wait().park(Reason::new(Kind::Send, self.address()), deadline);
        if woken.is_ok() && slot.packet.wait_slot().status() == Status::Done {
            // SAFETY: the status `Done` means that a receiver has claimed the node, which removed it from the queue,
            // and has taken the message. The slot is not used afterwards.
            unsafe { slot.finish() };
            return Ok(());
        }
        // SAFETY: the node has been put into the queue. The wait was missed or the channel was closed, so the message
        // has not been taken. The slot is not used after this call.
        unsafe { self.send_leave(slot, woken) }
    }

    /// Hands the message to a waiting receiver, or enters the queue. Does so only if the caller is a green thread (to
    /// enter the queue) and nothing else has to be done. If it returns [`Attempt::Queued`], it has written `slot`.
    #[inline(never)]
    fn send_begin<'a>(
        &'a self,
        state: LockGuard<'a, State<T>>,
        msg: T,
        slot: &mut MaybeUninit<ThreadSlot<T>>,
    ) -> Attempt<'a, T, (), T> {
        let mut state = self.relock(state);
        // A reservation may have taken the last place. It is kept free for its message, even if a receiver waits.
        let may_be_full = state.send_reservations > 0 && state.cap > 0;
        if state.closed || !state.watchers.is_empty() || state.prepaid.is_empty() || may_be_full {
            return Attempt::Slow(state, msg);
        }
        if let Some(claimed) = state.receivers.claim_next() {
            let wake = state.hand(claimed, msg);
            state.count();
            drop(state);
            wake.wake();
            return Attempt::Done(());
        }
        let Some(me) = current::green().filter(|_| !state.has_room()) else {
            return Attempt::Slow(state, msg);
        };
        // SAFETY: `current::green` has returned `me`, so it is the calling green thread.
        let slot = ThreadSlot::write(slot, unsafe { Wait::of_green(me) }, Packet::full(msg));
        // SAFETY: the wait in the slot is open. The caller keeps the slot at its address until the wait is over and
        // the node is out of the queue.
        unsafe { state.senders.push(slot.node()) };
        Attempt::Queued
    }

    /// Ends a send whose message was not taken by a receiver.
    ///
    /// # Safety
    ///
    /// The node has been put into the queue of senders of this channel. `woken` is the outcome of its wait, and the
    /// message has not been taken. The slot is not used afterwards.
    #[cold]
    #[inline(never)]
    unsafe fn send_leave(
        &self,
        slot: &ThreadSlot<T>,
        woken: Result<usize, WaitError>,
    ) -> Result<(), SendTimeoutError<T>> {
        let error = woken.err();
        if error.is_some() {
            // SAFETY: the node was put into this queue, and is valid.
            unsafe { self.lock().senders.remove(slot.node()) };
        }
        // SAFETY: no receiver has taken the message: the wait was missed, or the status is `Closed`. The node is out of
        // the queue, removed here or by its claimer. If `raise` unwinds, it drops `msg`.
        let msg = unsafe {
            let msg = slot.packet.take();
            slot.finish();
            msg
        };
        match error {
            Some(error) => {
                error.raise();
                Err(SendTimeoutError::Timeout(msg))
            }
            None => Err(SendTimeoutError::Disconnected(msg)),
        }
    }

    #[inline(never)]
    #[track_caller]
    fn send_slow<'a>(
        &'a self,
        state: Locked<'a, T>,
        msg: T,
        deadline: Option<Instant>,
    ) -> Result<(), SendTimeoutError<T>> {
        let mut state = self.refill(state);
        let mut wakes = Wakes::new();
        let mut msg = msg;
        let mut spin_policy = SpinPolicy::new(deadline);
        loop {
            msg = match state.send(msg, &mut wakes) {
                Err(TrySendError::Full(msg)) => msg,
                sent => {
                    state.count();
                    drop(state);
                    drop(wakes);
                    return sent.map_err(|err| SendTimeoutError::Disconnected(err.into_inner()));
                }
            };
            if !spin_policy.is_left() {
                break;
            }
            drop(state);
            spin_policy.watch(self.hint(), SEND);
            state = self.lock();
        }
        let mut slot = MaybeUninit::uninit();
        let slot = ThreadSlot::write(&mut slot, Wait::new(), Packet::full(msg));
        // SAFETY: the wait in the slot is open. The slot stays at its address until the wait is over and the node is
        // out of the queue, claimed or removed; `send_park` sees to both.
        unsafe { state.push_sender(slot.node(), &mut wakes) };
        drop(state);
        drop(wakes);
        // SAFETY: the node has been put into the queue, and the slot is not used after this call.
        unsafe { self.send_park(slot, deadline) }
    }

    // Reservations.

    /// Takes a send reservation without waiting. The caller has paid for the operation.
    #[inline]
    pub(crate) fn try_reserve_send(&self) -> Option<Reservation> {
        if !self.send_hint() {
            return None;
        }
        let mut wakes = Wakes::new();
        let mut state = self.lock();
        let reserved = state.reserve_send(None, &mut wakes);
        drop(state);
        reserved
    }

    /// Waits for a send reservation. Returns false if the channel is closed.
    #[inline]
    #[track_caller]
    pub(crate) fn reserve_send(&self) -> bool {
        operation();
        let mut wakes = Wakes::new();
        let mut state = self.lock();
        match state.reserve_send(None, &mut wakes) {
            None => {}
            reserved => {
                drop(state);
                // With capacity 0 this may wake an async task. Its waker is user code, and may wait. Therefore the
                // caller has no open wait at this point.
                drop(wakes);
                return reserved == Some(Reservation::Reserved);
            }
        }
        let wait = Wait::new();
        let wait_slot = WaitSlot::new(WaitSlotKind::Reservation);
        let node = Node::new(wait.waiter(), 0, wait_slot.payload());
        // SAFETY: the wait is open. Node and wait slot stay at their address until the wait is over and the node is out
        // of the queue, claimed or removed below.
        unsafe { state.push_sender(NonNull::from(&node), &mut wakes) };
        drop(state);
        // These are wake-ups of watchers only. Watchers are threads, so no user code runs.
        drop(wakes);
        match wait.park(Reason::new(Kind::Send, self.address()), None) {
            Ok(_) => wait_slot.status() == Status::Done,
            Err(error) => {
                let mut state = self.lock();
                // SAFETY: the node was put into this queue, and is valid.
                unsafe { state.senders.remove(NonNull::from(&node)) };
                drop(state);
                error.raise();
                unreachable!("there was no deadline")
            }
        }
    }

    /// Sends a message with a reservation.
    #[inline]
    pub(crate) fn send_reserved(&self, msg: T) -> Result<(), T> {
        let mut wakes = Wakes::new();
        let mut state = self.lock();
        let sent = state.send_reserved(msg, &mut wakes);
        drop(state);
        drop(wakes);
        sent
    }

    /// Gives up a send reservation.
    pub(crate) fn release_send(&self) {
        let mut wakes = Wakes::new();
        let mut state = self.lock();
        state.release_send(&mut wakes);
        drop(state);
    }
}
