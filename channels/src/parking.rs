//! The operations of a channel that wait. Each tries again under the lock in which it enters the queue, so nothing can
//! come between.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use std::time::Instant;

use kahn_core::facade::LockGuard;
use kahn_core::wait::{Kind, Missed, Node, Reason, Wait, current, operation};

use crate::bounded::{Chan, Locked, RECV, SEND};
use crate::error::{RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError};
use crate::patience::Patience;
use crate::seat::{Packet, Status};
use crate::state::{State, Taken, Wakes};

/// A waiter's place: what its node points to, and what it waits with.
struct Place<T> {
    /// In a cell, because it is dropped through a shared reference: see `finish`.
    wait: UnsafeCell<Wait>,
    packet: Packet<T>,
    node: Node,
}

/// How an operation has begun.
enum Begun<'a, T, D, R> {
    /// It is done.
    Done(D),
    /// Its node is in the queue: park.
    Waits,
    /// Neither: it goes the long way, with the lock.
    Else(Locked<'a, T>, R),
}

impl<T> Place<T> {
    /// Puts the caller's `wait` in its place, with a node for `packet`.
    #[inline(always)]
    fn write(place: &mut MaybeUninit<Place<T>>, wait: Wait, packet: Packet<T>) -> &Place<T> {
        let party = wait.party();
        let at = place.as_mut_ptr();
        // SAFETY: field by field, since the node points to the packet where it will stay.
        unsafe {
            (&raw mut (*at).wait).write(UnsafeCell::new(wait));
            (&raw mut (*at).packet).write(packet);
            (&raw mut (*at).node).write(Node::new(party, 0, (*at).packet.payload()));
            &*at
        }
    }

    #[inline(always)]
    fn wait(&self) -> &Wait {
        // SAFETY: it is changed by `finish` alone, after which nobody uses the place.
        unsafe { &*self.wait.get() }
    }

    /// Ends the wait.
    ///
    /// # Safety
    ///
    /// The node is in no queue, the message has been taken or never was, and the place is not used afterwards.
    #[inline(always)]
    unsafe fn finish(&self) {
        // SAFETY: by the contract this is the end of its life; packet and node drop nothing.
        unsafe { core::ptr::drop_in_place(self.wait.get()) };
    }
}

impl<T> Chan<T> {
    // A green thread that waits is the hot path of rendezvous. Its node stands in the frame of the caller, and the stack
    // switch is inlined there too, between `begin` and `leave`, which return before and start after it: on the way back
    // from a switch the processor predicts no return rightly.

    /// Sends, and waits until it can be done or the deadline has passed.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn send(&self, msg: T, deadline: Option<Instant>) -> Result<(), SendTimeoutError<T>> {
        let (state, msg) = match self.send_fast(msg) {
            Ok(()) => return Ok(()),
            Err(rest) => rest,
        };
        let mut place = MaybeUninit::uninit();
        match self.send_begin(state, msg, &mut place) {
            Begun::Done(()) => Ok(()),
            // SAFETY: written by `send_begin`, as it says; the node is in the queue, and the place not used afterwards.
            Begun::Waits => unsafe { self.send_park(place.assume_init_ref(), deadline) },
            Begun::Else(state, msg) => self.send_slow(state, msg, deadline),
        }
    }

    /// Parks a sender whose node is in the queue.
    ///
    /// # Safety
    ///
    /// The place is not used afterwards.
    #[inline(always)]
    #[track_caller]
    unsafe fn send_park(
        &self,
        place: &Place<T>,
        deadline: Option<Instant>,
    ) -> Result<(), SendTimeoutError<T>> {
        let woken = place.wait().park(Reason::new(Kind::Send, self.address()), deadline);
        if woken.is_ok() && place.packet.seat().status() == Status::Done {
            // SAFETY: the message has been taken, the node with it; the place is not used afterwards.
            unsafe { place.finish() };
            return Ok(());
        }
        // SAFETY: the place is not used afterwards.
        unsafe { self.send_leave(place, woken) }
    }

    /// Receives, and waits until a message comes or the deadline has passed.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn recv(&self, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        let state = match self.recv_fast() {
            Ok(msg) => return Ok(msg),
            Err(state) => state,
        };
        let mut place = MaybeUninit::uninit();
        match self.recv_begin(state, &mut place) {
            Begun::Done(msg) => Ok(msg),
            // SAFETY: written by `recv_begin`, as it says; the node is in the queue, and the place not used afterwards.
            Begun::Waits => match unsafe { self.recv_park(place.assume_init_ref(), deadline) } {
                Some(received) => received,
                None => self.recv_slow(None, deadline),
            },
            Begun::Else(state, ()) => self.recv_slow(Some(state), deadline),
        }
    }

    /// Parks a receiver whose node is in the queue. Answers `None` if it is to start again.
    ///
    /// # Safety
    ///
    /// The place is not used afterwards.
    #[inline(always)]
    #[track_caller]
    unsafe fn recv_park(
        &self,
        place: &Place<T>,
        deadline: Option<Instant>,
    ) -> Option<Result<T, RecvTimeoutError>> {
        let woken = place.wait().park(Reason::new(Kind::Recv, self.address()), deadline);
        if woken.is_ok() && place.packet.seat().status() == Status::Done {
            // SAFETY: woken with the message, which nobody else has a pointer to; the place is not used afterwards.
            return Some(Ok(unsafe {
                let msg = place.packet.take();
                place.finish();
                msg
            }));
        }
        // SAFETY: as above.
        unsafe { self.recv_leave(place, woken) }
    }

    /// Hands the message to a waiting receiver, or enters the queue, if that is all there is to do and the caller is a
    /// green thread. Has written `place` if it answers `Waits`.
    #[inline(never)]
    fn send_begin<'a>(
        &'a self,
        state: LockGuard<'a, State<T>>,
        msg: T,
        place: &mut MaybeUninit<Place<T>>,
    ) -> Begun<'a, T, (), T> {
        let mut state = self.relock(state);
        if state.closed || state.watched || state.prepaid.is_empty() {
            return Begun::Else(state, msg);
        }
        if let Some(claimed) = state.receivers.claim_next() {
            let wake = state.hand(claimed, msg);
            state.count();
            drop(state);
            wake.wake();
            return Begun::Done(());
        }
        let Some(me) = current::green().filter(|_| !state.has_room()) else {
            return Begun::Else(state, msg);
        };
        // SAFETY: `me` is the caller.
        let place = Place::write(place, unsafe { Wait::of_green(me) }, Packet::full(msg));
        // SAFETY: the caller keeps the place where it is until the wait is over and the node out of the queue.
        unsafe { state.senders.push(NonNull::from(&place.node)) };
        Begun::Waits
    }

    /// Takes the message of a waiting sender of capacity 0, or enters the queue, if that is all there is to do and the
    /// caller is a green thread. Has written `place` if it answers `Waits`.
    #[inline(never)]
    fn recv_begin<'a>(
        &'a self,
        state: LockGuard<'a, State<T>>,
        place: &mut MaybeUninit<Place<T>>,
    ) -> Begun<'a, T, T, ()> {
        let mut state = self.relock(state);
        if state.closed
            || state.watched
            || state.prepaid.is_empty()
            || state.ring.len() + state.permits + state.rights > 0
        {
            return Begun::Else(state, ());
        }
        if self.cap == 0
            && let Some(claimed) = state.senders.claim_next()
        {
            let (msg, wake) = state.meet(claimed);
            let Some(msg) = msg else {
                // A select's: it has to be woken to bring its message.
                drop(state);
                wake.wake();
                return match self.fetch() {
                    Some(Ok(msg)) => Begun::Done(msg),
                    _ => Begun::Else(self.lock(), ()),
                };
            };
            state.count();
            drop(state);
            wake.wake();
            return Begun::Done(msg);
        }
        let Some(me) = current::green() else { return Begun::Else(state, ()) };
        // SAFETY: `me` is the caller.
        let place = Place::write(place, unsafe { Wait::of_green(me) }, Packet::empty());
        // SAFETY: the caller keeps the place where it is until the wait is over and the node out of the queue.
        unsafe { state.receivers.push(NonNull::from(&place.node)) };
        Begun::Waits
    }

    /// The rest of a send that was not woken by a receiver.
    ///
    /// # Safety
    ///
    /// The place is not used afterwards.
    #[cold]
    #[inline(never)]
    unsafe fn send_leave(
        &self,
        place: &Place<T>,
        woken: Result<usize, Missed>,
    ) -> Result<(), SendTimeoutError<T>> {
        let missed = woken.err();
        if missed.is_some() {
            // SAFETY: the node was put into this queue.
            unsafe { self.lock().senders.remove(NonNull::from(&place.node)) };
        }
        // SAFETY: nobody has taken the message, and the node is out of the queue. If there is an unwinding, it drops
        // the message.
        let msg = unsafe {
            let msg = place.packet.take();
            place.finish();
            msg
        };
        match missed {
            Some(missed) => {
                missed.raise();
                Err(SendTimeoutError::Timeout(msg))
            }
            None => Err(SendTimeoutError::Disconnected(msg)),
        }
    }

    /// The rest of a receive that was not woken with a message. Answers `None` if it is to start again.
    ///
    /// # Safety
    ///
    /// The place is not used afterwards.
    #[cold]
    #[inline(never)]
    unsafe fn recv_leave(
        &self,
        place: &Place<T>,
        woken: Result<usize, Missed>,
    ) -> Option<Result<T, RecvTimeoutError>> {
        let status = place.packet.seat().status();
        if woken.is_err() {
            // SAFETY: the node was put into this queue.
            unsafe { self.lock().receivers.remove(NonNull::from(&place.node)) };
        }
        // SAFETY: the node is out of the queue.
        unsafe { place.finish() };
        match woken {
            Err(missed) => {
                missed.raise();
                Some(Err(RecvTimeoutError::Timeout))
            }
            Ok(_) if status == Status::Closed => Some(Err(RecvTimeoutError::Disconnected)),
            Ok(_) => self.fetch().map(|fetched| fetched.map_err(|_| RecvTimeoutError::Disconnected)),
        }
    }

    /// As [`recv_now`](Self::recv_now), waiting for a message that has been promised.
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
            Taken::Promised => self.fetch().unwrap_or(Err(TryRecvError::Empty)),
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
        let mut state = self.pay(state);
        let mut wakes = Wakes::new();
        let mut msg = msg;
        let mut patience = Patience::new(deadline);
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
            if !patience.is_left() {
                break;
            }
            drop(state);
            patience.watch(self.hint(), SEND);
            state = self.lock();
        }
        let mut place = MaybeUninit::uninit();
        let place = Place::write(&mut place, Wait::new(), Packet::full(msg));
        // SAFETY: the place stays where it is until the node has been claimed and the wait is over, or removed.
        unsafe { state.push_sender(NonNull::from(&place.node), &mut wakes) };
        drop(state);
        drop(wakes);
        // SAFETY: the place is not used afterwards.
        unsafe { self.send_park(place, deadline) }
    }

    #[inline(never)]
    #[track_caller]
    fn recv_slow(
        &self,
        locked: Option<Locked<'_, T>>,
        deadline: Option<Instant>,
    ) -> Result<T, RecvTimeoutError> {
        let mut locked = Some(self.pay(locked.unwrap_or_else(|| self.lock())));
        let mut patience = Patience::new(deadline);
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
                Taken::Nothing(TryRecvError::Empty) if patience.is_left() => {
                    drop(state);
                    patience.watch(self.hint(), RECV);
                    continue;
                }
                Taken::Nothing(TryRecvError::Empty) => {
                    let mut place = MaybeUninit::uninit();
                    let place = Place::write(&mut place, Wait::new(), Packet::empty());
                    // SAFETY: the place stays where it is until the node has been claimed and the wait is over, or removed.
                    unsafe { state.push_receiver(NonNull::from(&place.node), &mut wakes) };
                    drop(state);
                    drop(wakes);
                    // SAFETY: the place is not used afterwards.
                    if let Some(received) = unsafe { self.recv_park(place, deadline) } {
                        return received;
                    }
                }
                Taken::Promised => {
                    drop(state);
                    // The sender has to be woken before it is waited for.
                    drop(wakes);
                    if let Some(fetched) = self.fetch() {
                        return fetched.map_err(|_| RecvTimeoutError::Disconnected);
                    }
                }
            }
        }
    }
}
