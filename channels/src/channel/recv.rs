//! Receiving: without a wait, and with one. The order of attempts is that of `send`.
//!
//! With capacity 0 a receiver may meet a sender that holds a reservation, and has not sent its message yet. Then the
//! receiver holds an unsent reservation, and waits for this message alone: `recv_unsent`, `await_unsent`.

use core::mem::MaybeUninit;
use core::panic::Location;
use core::ptr::NonNull;
use std::time::Instant;

use kahn_core::primitives::LockGuard;
use kahn_core::wait::{Kind, Node, Reason, Wait, WaitError, current, operation, shield};

use crate::channel::spin_policy::SpinPolicy;
use crate::channel::{Attempt, Chan, Locked, RECV, SEND, publish};
use crate::error::{RecvTimeoutError, TryRecvError};
use crate::flavors::{State, Taken, rendezvous};
use crate::reservation::Reservation;
use crate::waiters::{Packet, Status, ThreadSlot, WaitSlot, WaitSlotKind, Wakes};

/// What a receive does that was not done at once, and is not in the queue.
enum Next {
    /// It starts again.
    Retry,
    /// It has met a sender that holds a reservation, and waits for that sender's message.
    AwaitUnsent,
}

impl<T> Chan<T> {
    // Without a wait.

    /// Receives if a message is available, and no sender waits and no select watches. Otherwise returns the lock.
    #[inline(always)]
    pub(crate) fn recv_fast(&self) -> Result<T, LockGuard<'_, State<T>>> {
        let mut state = self.hot.state.lock();
        if state.prepaid.is_empty() {
            state = self.refill_while_locked(state);
        }
        if state.ring.len() > state.recv_reservations
            && state.senders.is_empty()
            && state.watchers.is_empty()
            && let Some(msg) = state.ring.pop_front()
        {
            state.count();
            // SEND is set although there may still be no place: with capacity 0, or if the channel held more than `cap`
            // messages. The hint allows that, and the next `Locked` corrects it. An ended channel is always ready.
            let recv = state.ring.len() > state.recv_reservations || state.has_ended();
            publish(&self.hot.hint, SEND + u64::from(recv) * RECV);
            return Ok(msg);
        }
        Err(state)
    }

    /// Receives if no wait is needed, except a wait for an unsent message.
    #[inline]
    pub(crate) fn recv_now(&self) -> Taken<T> {
        match self.recv_fast() {
            Ok(msg) => Taken::Message(msg),
            Err(state) => self.recv_from_waiter(self.relock(state)),
        }
    }

    #[inline(never)]
    fn recv_from_waiter(&self, state: Locked<'_, T>) -> Taken<T> {
        let mut state = self.refill(state);
        let mut wakes = Wakes::new();
        let taken = state.recv(&mut wakes);
        state.count();
        drop(state);
        drop(wakes);
        taken
    }

    /// Receives a message that is in the ring and available, if there is one.
    pub(crate) fn recv_stored(&self) -> Option<T> {
        let mut wakes = Wakes::new();
        let mut state = self.lock();
        let msg = state.recv_stored(&mut wakes);
        drop(state);
        msg
    }

    /// Receives if no wait is needed, except that it waits for an unsent message.
    #[inline]
    #[track_caller]
    pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
        if !self.recv_hint() {
            operation();
            return Err(TryRecvError::Empty);
        }
        match self.recv_now() {
            Taken::Message(msg) => Ok(msg),
            Taken::Nothing(err) => Err(err),
            Taken::Unsent => self.recv_unsent().unwrap_or(Err(TryRecvError::Empty)),
        }
    }

    // With a wait.

    /// Receives. Waits until a message arrives or the deadline has passed.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn recv(&self, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        let state = match self.recv_fast() {
            Ok(msg) => return Ok(msg),
            Err(state) => state,
        };
        let mut slot = MaybeUninit::uninit();
        match self.recv_begin(state, &mut slot) {
            Attempt::Done(msg) => Ok(msg),
            // SAFETY: `recv_begin` has written the slot if it returns `Queued`, and has put the node into the queue.
            // The slot is not used after this call.
            Attempt::Queued => match unsafe { self.recv_park(slot.assume_init_ref(), deadline) } {
                Some(received) => received,
                None => self.recv_slow(None, Next::Retry, deadline),
            },
            Attempt::Slow(state, next) => self.recv_slow(Some(state), next, deadline),
        }
    }

    /// Parks a receiver whose node is in the queue. Returns `None` if the receive has to start again.
    ///
    /// # Safety
    ///
    /// The node has been put into the queue of receivers of this channel. The slot is not used afterwards.
    #[inline(always)]
    #[track_caller]
    unsafe fn recv_park(
        &self,
        slot: &ThreadSlot<T>,
        deadline: Option<Instant>,
    ) -> Option<Result<T, RecvTimeoutError>> {
        let woken = slot.wait().park(Reason::new(Kind::Recv, self.address()), deadline);
        if woken.is_ok() && slot.packet.wait_slot().status() == Status::Done {
            // SAFETY: the status `Done` means that a sender has claimed the node, which removed it from the queue, and
            // has put a message into the packet. No other thread has a pointer to the packet any more. The slot is not
            // used afterwards.
            return Some(Ok(unsafe {
                let msg = slot.packet.take();
                slot.finish();
                msg
            }));
        }
        // SAFETY: the node has been put into the queue. The status is not `Done`, so no message is in the packet. The
        // place is not used after this call.
        unsafe { self.recv_leave(slot, woken) }
    }

    /// With capacity 0, takes the message of a waiting sender. Otherwise enters the queue. Does so only if the caller
    /// is a green thread (to enter the queue) and nothing else has to be done. If it returns [`Attempt::Queued`], it
    /// has written `slot`.
    #[inline(never)]
    fn recv_begin<'a>(
        &'a self,
        state: LockGuard<'a, State<T>>,
        slot: &mut MaybeUninit<ThreadSlot<T>>,
    ) -> Attempt<'a, T, T, Next> {
        let mut state = self.relock(state);
        if state.closed
            || !state.watchers.is_empty()
            || state.prepaid.is_empty()
            || state.ring.len() + state.send_reservations + state.recv_reservations > 0
        {
            return Attempt::Slow(state, Next::Retry);
        }
        if self.cap == 0
            && let Some(claimed) = state.senders.claim_next()
        {
            let (msg, wake) = rendezvous::meet(&mut state, claimed);
            let Some(msg) = msg else {
                // The sender is a select or a `reserve`. It has to be woken before it can send its message.
                state.count();
                drop(state);
                wake.wake();
                return Attempt::Slow(self.lock(), Next::AwaitUnsent);
            };
            state.count();
            drop(state);
            wake.wake();
            return Attempt::Done(msg);
        }
        let Some(me) = current::green() else { return Attempt::Slow(state, Next::Retry) };
        // SAFETY: `current::green` has returned `me`, so it is the calling green thread.
        let slot = ThreadSlot::write(slot, unsafe { Wait::of_green(me) }, Packet::empty());
        // SAFETY: the wait in the slot is open. The caller keeps the slot at its address until the wait is over and
        // the node is out of the queue.
        unsafe { state.receivers.push(slot.node()) };
        Attempt::Queued
    }

    /// Ends a receive that was not handed a message. Returns `None` if the receive has to start again.
    ///
    /// # Safety
    ///
    /// The node has been put into the queue of receivers of this channel. `woken` is the outcome of its wait, and no
    /// message is in the packet. The slot is not used afterwards.
    #[cold]
    #[inline(never)]
    #[track_caller]
    unsafe fn recv_leave(
        &self,
        slot: &ThreadSlot<T>,
        woken: Result<usize, WaitError>,
    ) -> Option<Result<T, RecvTimeoutError>> {
        let status = slot.packet.wait_slot().status();
        if woken.is_err() {
            // SAFETY: the node was put into this queue, and is valid.
            unsafe { self.lock().receivers.remove(slot.node()) };
        }
        // SAFETY: the node is out of the queue, removed here or by its claimer. The packet is empty, because the status
        // is not `Done`. The slot is not used afterwards.
        unsafe { slot.finish() };
        match woken {
            Err(error) => {
                error.raise();
                Some(Err(RecvTimeoutError::Timeout))
            }
            Ok(_) if status == Status::Closed => Some(Err(RecvTimeoutError::Disconnected)),
            Ok(_) => self.recv_unsent().map(|fetched| fetched.map_err(|_| RecvTimeoutError::Disconnected)),
        }
    }

    #[inline(never)]
    #[track_caller]
    fn recv_slow(
        &self,
        mut locked: Option<Locked<'_, T>>,
        next: Next,
        deadline: Option<Instant>,
    ) -> Result<T, RecvTimeoutError> {
        if let Next::AwaitUnsent = next {
            drop(locked.take());
            if let Some(fetched) = self.recv_unsent() {
                return fetched.map_err(|_| RecvTimeoutError::Disconnected);
            }
        }
        let mut locked = Some(self.refill(locked.unwrap_or_else(|| self.lock())));
        let mut spin_policy = SpinPolicy::new(deadline);
        loop {
            let mut wakes = Wakes::new();
            let mut state = locked.take().unwrap_or_else(|| self.lock());
            match state.recv(&mut wakes) {
                Taken::Message(msg) => {
                    state.count();
                    drop(state);
                    drop(wakes);
                    return Ok(msg);
                }
                Taken::Nothing(TryRecvError::Disconnected) => {
                    state.count();
                    return Err(RecvTimeoutError::Disconnected);
                }
                Taken::Nothing(TryRecvError::Empty) if spin_policy.is_left() => {
                    drop(state);
                    spin_policy.watch(self.hint(), RECV);
                    continue;
                }
                Taken::Nothing(TryRecvError::Empty) => {
                    let mut slot = MaybeUninit::uninit();
                    let slot = ThreadSlot::write(&mut slot, Wait::new(), Packet::empty());
                    // SAFETY: the wait in the slot is open. The slot stays at its address until the wait is over and
                    // the node is out of the queue, claimed or removed; `recv_park` sees to both.
                    unsafe { state.push_receiver(slot.node(), &mut wakes) };
                    drop(state);
                    drop(wakes);
                    // SAFETY: the node has been put into the queue, and the slot is not used after this call.
                    if let Some(received) = unsafe { self.recv_park(slot, deadline) } {
                        return received;
                    }
                }
                Taken::Unsent => {
                    drop(state);
                    // The sender has to be woken before this thread waits for it.
                    drop(wakes);
                    if let Some(fetched) = self.recv_unsent() {
                        return fetched.map_err(|_| RecvTimeoutError::Disconnected);
                    }
                }
            }
        }
    }

    // Reservations.

    /// Takes a receive reservation without waiting. The caller has paid for the operation.
    #[inline]
    pub(crate) fn try_reserve_recv(&self) -> Option<Reservation> {
        if !self.recv_hint() {
            return None;
        }
        let mut state = self.hot.state.lock();
        if state.ring.len() > state.recv_reservations && state.senders.is_empty() && state.watchers.is_empty()
        {
            state.recv_reservations += 1;
            state.filled += usize::from(state.cap == 0);
            let recv = state.ring.len() > state.recv_reservations || state.has_ended();
            publish(&self.hot.hint, SEND + u64::from(recv) * RECV);
            return Some(Reservation::Reserved);
        }
        self.reserve_from_waiter(self.relock(state))
    }

    #[inline(never)]
    fn reserve_from_waiter(&self, mut state: Locked<'_, T>) -> Option<Reservation> {
        let mut wakes = Wakes::new();
        let reserved = state.reserve_recv(None, &mut wakes);
        drop(state);
        drop(wakes);
        reserved
    }

    /// Takes the message of a reservation that is not unsent.
    #[inline]
    pub(crate) fn take_reserved(&self) -> T {
        let mut state = self.hot.state.lock();
        if state.closed {
            return self.take_last_reserved(self.relock(state));
        }
        // The number of messages and that of reservations both fall by one, so the hint stays correct without `Locked`.
        state.take_reserved()
    }

    /// [`take_reserved`](Self::take_reserved) on a closed channel. The message may be the last that was pending.
    #[cold]
    #[inline(never)]
    fn take_last_reserved(&self, mut state: Locked<'_, T>) -> T {
        let mut wakes = Wakes::new();
        let msg = state.take_reserved();
        state.settle(&mut wakes);
        drop(state);
        drop(wakes);
        msg
    }

    /// Gives up a receive reservation that is not unsent.
    pub(crate) fn release_recv(&self) {
        let mut wakes = Wakes::new();
        let mut state = self.lock();
        state.release_recv(&mut wakes);
        drop(state);
    }

    /// Waits for the message of an unsent reservation, and takes it. Returns `None` if the sender has given up.
    #[inline]
    #[track_caller]
    pub(crate) fn recv_unsent(&self) -> Option<Result<T, TryRecvError>> {
        match self.await_unsent(Location::caller()) {
            Some(Reservation::Reserved) => Some(Ok(self.take_reserved())),
            Some(Reservation::Closed) => Some(Err(TryRecvError::Disconnected)),
            _ => None,
        }
    }

    /// Waits until the message of an unsent reservation has been sent, or the sender has given up. Returns the
    /// reservation that the caller has then, or `None` if it has to start again. Neither a deadline nor a cancel ends
    /// this wait, because the sender has been told that a receiver takes its message.
    pub(crate) fn await_unsent(&self, location: &'static Location<'static>) -> Option<Reservation> {
        let reservation = self.lock().check_unsent();
        if reservation != Some(Reservation::Unsent) {
            return reservation;
        }
        let reason = Reason::at(Kind::Recv, self.address(), location);
        shield(|| self.await_unsent_parking(reason))
    }

    #[cold]
    #[inline(never)]
    fn await_unsent_parking(&self, reason: Reason) -> Option<Reservation> {
        let wait = Wait::new();
        let wait_slot = WaitSlot::new(WaitSlotKind::Reservation);
        let node = Node::new(wait.waiter(), 0, wait_slot.payload());
        let mut state = self.lock();
        let reservation = state.check_unsent();
        if reservation != Some(Reservation::Unsent) {
            drop(state);
            return reservation;
        }
        // SAFETY: the wait is open. Node and wait slot stay at their address until the node has been claimed and the
        // wait is over.
        unsafe { state.awaiting.push(NonNull::from(&node)) };
        drop(state);
        let woken = wait.park(reason, None);
        assert!(woken.is_ok(), "a shielded wait without a deadline ends by being claimed alone");
        match wait_slot.status() {
            Status::Done => Some(Reservation::Reserved),
            Status::Closed => Some(Reservation::Closed),
            _ => None,
        }
    }
}
