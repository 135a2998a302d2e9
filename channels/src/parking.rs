//! The operations of a channel that wait. Each tries again in the critical section in which it enters the queue, so no
//! change can come between the two.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use std::time::Instant;

use kahn_core::primitives::LockGuard;
use kahn_core::wait::{Kind, Node, Reason, Wait, WaitError, current, operation};

use crate::chan::{Chan, Locked, RECV, SEND};
use crate::error::{RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError};
use crate::spin_policy::SpinPolicy;
use crate::state::{State, Taken, Wakes};
use crate::wait_slot::{Packet, Status};

/// A waiter's data: its open wait, its node, and the packet that the node points to.
struct Place<T> {
    /// In a cell, because `finish` drops it through a shared reference.
    wait: UnsafeCell<Wait>,
    packet: Packet<T>,
    node: Node,
}

/// The outcome of the first, fast part of an operation.
enum Begun<'a, T, D, R> {
    /// The operation is done.
    Done(D),
    /// The node is in the queue. The caller parks.
    Waits,
    /// Neither. The caller takes the slow path with this lock.
    Else(Locked<'a, T>, R),
}

impl<T> Place<T> {
    /// Writes the caller's `wait` into `place`, with a node for `packet`.
    #[inline(always)]
    fn write(place: &mut MaybeUninit<Place<T>>, wait: Wait, packet: Packet<T>) -> &Place<T> {
        let waiter = wait.waiter();
        let at = place.as_mut_ptr();
        // SAFETY: the writes go to the uninitialised place that the caller lends exclusively. They go field by field,
        // because the node points to the packet at its final address. All fields are written before the reference is
        // made.
        unsafe {
            (&raw mut (*at).wait).write(UnsafeCell::new(wait));
            (&raw mut (*at).packet).write(packet);
            (&raw mut (*at).node).write(Node::new(waiter, 0, (*at).packet.payload()));
            &*at
        }
    }

    #[inline(always)]
    fn wait(&self) -> &Wait {
        // SAFETY: only `finish` changes the wait, and after it the place is not used.
        unsafe { &*self.wait.get() }
    }

    /// Drops the wait.
    ///
    /// # Safety
    ///
    /// The node is in no queue. The message has been taken, or there never was one. The place is not used afterwards.
    #[inline(always)]
    unsafe fn finish(&self) {
        // SAFETY: the caller guarantees that the place is not used afterwards, so the wait is dropped once. Packet and
        // node have nothing to drop.
        unsafe { core::ptr::drop_in_place(self.wait.get()) };
    }
}

impl<T> Chan<T> {
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
        let mut place = MaybeUninit::uninit();
        match self.send_begin(state, msg, &mut place) {
            Begun::Done(()) => Ok(()),
            // SAFETY: `send_begin` has written the place if it returns `Waits`, and has put the node into the queue.
            // The place is not used after this call.
            Begun::Waits => unsafe { self.send_park(place.assume_init_ref(), deadline) },
            Begun::Else(state, msg) => self.send_slow(state, msg, deadline),
        }
    }

    /// Parks a sender whose node is in the queue.
    ///
    /// # Safety
    ///
    /// The node has been put into the queue of senders of this channel. The place is not used afterwards.
    #[inline(always)]
    #[track_caller]
    unsafe fn send_park(
        &self,
        place: &Place<T>,
        deadline: Option<Instant>,
    ) -> Result<(), SendTimeoutError<T>> {
        let woken = place.wait().park(Reason::new(Kind::Send, self.address()), deadline);
        if woken.is_ok() && place.packet.wait_slot().status() == Status::Done {
            // SAFETY: the status `Done` means that a receiver has claimed the node, which removed it from the queue,
            // and has taken the message. The place is not used afterwards.
            unsafe { place.finish() };
            return Ok(());
        }
        // SAFETY: the node has been put into the queue. The wait was missed or the channel was closed, so the message
        // has not been taken. The place is not used after this call.
        unsafe { self.send_leave(place, woken) }
    }

    /// Receives. Waits until a message arrives or the deadline has passed.
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
            // SAFETY: `recv_begin` has written the place if it returns `Waits`, and has put the node into the queue.
            // The place is not used after this call.
            Begun::Waits => match unsafe { self.recv_park(place.assume_init_ref(), deadline) } {
                Some(received) => received,
                None => self.recv_slow(None, deadline),
            },
            Begun::Else(state, ()) => self.recv_slow(Some(state), deadline),
        }
    }

    /// Parks a receiver whose node is in the queue. Returns `None` if the receive has to start again.
    ///
    /// # Safety
    ///
    /// The node has been put into the queue of receivers of this channel. The place is not used afterwards.
    #[inline(always)]
    #[track_caller]
    unsafe fn recv_park(
        &self,
        place: &Place<T>,
        deadline: Option<Instant>,
    ) -> Option<Result<T, RecvTimeoutError>> {
        let woken = place.wait().park(Reason::new(Kind::Recv, self.address()), deadline);
        if woken.is_ok() && place.packet.wait_slot().status() == Status::Done {
            // SAFETY: the status `Done` means that a sender has claimed the node, which removed it from the queue, and
            // has put a message into the packet. No other thread has a pointer to the packet any more. The place is not
            // used afterwards.
            return Some(Ok(unsafe {
                let msg = place.packet.take();
                place.finish();
                msg
            }));
        }
        // SAFETY: the node has been put into the queue. The status is not `Done`, so no message is in the packet. The
        // place is not used after this call.
        unsafe { self.recv_leave(place, woken) }
    }

    /// Hands the message to a waiting receiver, or enters the queue. Does so only if the caller is a green thread (to
    /// enter the queue) and nothing else has to be done. If it returns [`Begun::Waits`], it has written `place`.
    #[inline(never)]
    fn send_begin<'a>(
        &'a self,
        state: LockGuard<'a, State<T>>,
        msg: T,
        place: &mut MaybeUninit<Place<T>>,
    ) -> Begun<'a, T, (), T> {
        let mut state = self.relock(state);
        // A permit may have taken the last place. It is kept free for the permit's message, even if a receiver waits.
        let may_be_full = state.permits > 0 && state.cap > 0;
        if state.closed || state.watched || state.prepaid.is_empty() || may_be_full {
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
        // SAFETY: `current::green` has returned `me`, so it is the calling green thread.
        let place = Place::write(place, unsafe { Wait::of_green(me) }, Packet::full(msg));
        // SAFETY: the wait in the place is open. The caller keeps the place at its address until the wait is over and
        // the node is out of the queue.
        unsafe { state.senders.push(NonNull::from(&place.node)) };
        Begun::Waits
    }

    /// With capacity 0, takes the message of a waiting sender. Otherwise enters the queue. Does so only if the caller
    /// is a green thread (to enter the queue) and nothing else has to be done. If it returns [`Begun::Waits`], it has
    /// written `place`.
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
                // The sender is a select or a `reserve`. It has to be woken before it can send its message.
                state.count();
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
        // SAFETY: `current::green` has returned `me`, so it is the calling green thread.
        let place = Place::write(place, unsafe { Wait::of_green(me) }, Packet::empty());
        // SAFETY: the wait in the place is open. The caller keeps the place at its address until the wait is over and
        // the node is out of the queue.
        unsafe { state.receivers.push(NonNull::from(&place.node)) };
        Begun::Waits
    }

    /// Ends a send whose message was not taken by a receiver.
    ///
    /// # Safety
    ///
    /// The node has been put into the queue of senders of this channel. `woken` is the outcome of its wait, and the
    /// message has not been taken. The place is not used afterwards.
    #[cold]
    #[inline(never)]
    unsafe fn send_leave(
        &self,
        place: &Place<T>,
        woken: Result<usize, WaitError>,
    ) -> Result<(), SendTimeoutError<T>> {
        let error = woken.err();
        if error.is_some() {
            // SAFETY: the node was put into this queue, and is valid.
            unsafe { self.lock().senders.remove(NonNull::from(&place.node)) };
        }
        // SAFETY: no receiver has taken the message: the wait was missed, or the status is `Closed`. The node is out of
        // the queue, removed here or by its claimer. If `raise` unwinds, it drops `msg`.
        let msg = unsafe {
            let msg = place.packet.take();
            place.finish();
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

    /// Ends a receive that was not handed a message. Returns `None` if the receive has to start again.
    ///
    /// # Safety
    ///
    /// The node has been put into the queue of receivers of this channel. `woken` is the outcome of its wait, and no
    /// message is in the packet. The place is not used afterwards.
    #[cold]
    #[inline(never)]
    unsafe fn recv_leave(
        &self,
        place: &Place<T>,
        woken: Result<usize, WaitError>,
    ) -> Option<Result<T, RecvTimeoutError>> {
        let status = place.packet.wait_slot().status();
        if woken.is_err() {
            // SAFETY: the node was put into this queue, and is valid.
            unsafe { self.lock().receivers.remove(NonNull::from(&place.node)) };
        }
        // SAFETY: the node is out of the queue, removed here or by its claimer. The packet is empty, because the status
        // is not `Done`. The place is not used afterwards.
        unsafe { place.finish() };
        match woken {
            Err(error) => {
                error.raise();
                Some(Err(RecvTimeoutError::Timeout))
            }
            Ok(_) if status == Status::Closed => Some(Err(RecvTimeoutError::Disconnected)),
            Ok(_) => self.fetch().map(|fetched| fetched.map_err(|_| RecvTimeoutError::Disconnected)),
        }
    }

    /// Receives if no wait is needed, except that it waits for a promised message.
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
        let mut place = MaybeUninit::uninit();
        let place = Place::write(&mut place, Wait::new(), Packet::full(msg));
        // SAFETY: the wait in the place is open. The place stays at its address until the wait is over and the node is
        // out of the queue, claimed or removed; `send_park` sees to both.
        unsafe { state.push_sender(NonNull::from(&place.node), &mut wakes) };
        drop(state);
        drop(wakes);
        // SAFETY: the node has been put into the queue, and the place is not used after this call.
        unsafe { self.send_park(place, deadline) }
    }

    #[inline(never)]
    #[track_caller]
    fn recv_slow(
        &self,
        locked: Option<Locked<'_, T>>,
        deadline: Option<Instant>,
    ) -> Result<T, RecvTimeoutError> {
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
                    let mut place = MaybeUninit::uninit();
                    let place = Place::write(&mut place, Wait::new(), Packet::empty());
                    // SAFETY: the wait in the place is open. The place stays at its address until the wait is over and
                    // the node is out of the queue, claimed or removed; `recv_park` sees to both.
                    unsafe { state.push_receiver(NonNull::from(&place.node), &mut wakes) };
                    drop(state);
                    drop(wakes);
                    // SAFETY: the node has been put into the queue, and the place is not used after this call.
                    if let Some(received) = unsafe { self.recv_park(place, deadline) } {
                        return received;
                    }
                }
                Taken::Promised => {
                    drop(state);
                    // The sender has to be woken before this thread waits for it.
                    drop(wakes);
                    if let Some(fetched) = self.fetch() {
                        return fetched.map_err(|_| RecvTimeoutError::Disconnected);
                    }
                }
            }
        }
    }
}
