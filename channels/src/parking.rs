//! The operations of a channel that wait. Each tries again under the lock in which it enters the queue, so nothing can
//! come between.

use core::mem::MaybeUninit;
use core::panic::Location;
use core::ptr::NonNull;
use std::time::Instant;

use kahn_core::facade::{AtomicU64, LockGuard, Ordering, SPINS};
use kahn_core::wait::{Kind, Missed, Node, Party, Reason, Wait, current, shield, spend};

use crate::bounded::{Chan, Locked, RECV, SEND, counted};
use crate::error::{RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError};
use crate::grants::{Offer, Promise};
use crate::seat::{Packet, Seat, Status, Want};
use crate::state::{State, Taken, Wakes};

/// How an OS thread waits a little on the CPU before it sleeps: a sleep and its wake-up cost both sides microseconds, and
/// its partner often comes sooner. A green thread does not: parking costs it nanoseconds.
struct Patience {
    rounds: u32,
}

impl Patience {
    const ROUNDS: u32 = if SPINS { 10 } else { 0 };

    #[inline]
    fn new(deadline: Option<Instant>) -> Patience {
        let sleeps = deadline.is_none() && current::green().is_none();
        Patience { rounds: if sleeps { Self::ROUNDS } else { 0 } }
    }

    #[inline]
    fn is_left(&self) -> bool {
        self.rounds > 0
    }

    /// Watches a bit of the hint until it is set or the rounds are over.
    fn watch(&mut self, hint: &AtomicU64, bit: u64) {
        while self.rounds > 0 {
            self.rounds -= 1;
            let doublings = Self::ROUNDS - self.rounds;
            if doublings <= 7 {
                for _ in 0..1_u32 << doublings {
                    core::hint::spin_loop();
                }
            } else {
                std::thread::yield_now();
            }
            // Relaxed: only a reason to look again under the lock.
            if hint.load(Ordering::Relaxed) & bit != 0 {
                return;
            }
        }
    }
}

/// A waiter's place: what its node points to, and what it waits with.
struct Place<T> {
    wait: Wait,
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
    /// Opens a wait of the calling green thread, `me`, with a node for `packet`.
    #[inline(always)]
    fn write(place: &mut MaybeUninit<Place<T>>, me: NonNull<Party>, packet: Packet<T>) -> &Place<T> {
        // SAFETY: `me` is the caller, see `begin`.
        let wait = unsafe { Wait::of_green(me) };
        let party = me;
        let at = place.as_mut_ptr();
        // SAFETY: field by field, since the node points to the packet where it will stay.
        unsafe {
            (&raw mut (*at).wait).write(wait);
            (&raw mut (*at).packet).write(packet);
            (&raw mut (*at).node).write(Node::new(party, 0, (*at).packet.payload()));
            &*at
        }
    }

    /// Ends the wait.
    ///
    /// # Safety
    ///
    /// The node is in no queue, the message has been taken or never was, and the place is not used afterwards.
    #[inline(always)]
    unsafe fn finish(&self) {
        // SAFETY: by the contract this is the end of its life; packet and node drop nothing.
        unsafe { core::ptr::drop_in_place((&raw const self.wait).cast_mut()) };
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
            Begun::Waits => {
                // SAFETY: written by `send_begin`, as it says.
                let place = unsafe { place.assume_init_ref() };
                let woken = place.wait.park(Reason::new(Kind::Send, self.address()), deadline);
                if woken.is_ok() && place.packet.seat().status() == Status::Done {
                    // SAFETY: the message has been taken, the node with it; the place is not used afterwards.
                    unsafe { place.finish() };
                    return Ok(());
                }
                // SAFETY: the place is not used afterwards.
                unsafe { self.send_leave(place, woken) }
            }
            Begun::Else(state, msg) => self.send_slow(state, msg, deadline),
        }
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
            Begun::Waits => {
                // SAFETY: written by `recv_begin`, as it says.
                let place = unsafe { place.assume_init_ref() };
                let woken = place.wait.park(Reason::new(Kind::Recv, self.address()), deadline);
                if woken.is_ok() && place.packet.seat().status() == Status::Done {
                    // SAFETY: woken with the message, which nobody else has a pointer to; the place is not used
                    // afterwards.
                    return Ok(unsafe {
                        let msg = place.packet.take();
                        place.finish();
                        msg
                    });
                }
                // SAFETY: as above.
                match unsafe { self.recv_leave(place, woken) } {
                    Some(received) => received,
                    None => self.recv_parking(None, deadline),
                }
            }
            Begun::Else(state, ()) => self.recv_parking(Some(state), deadline),
        }
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
        if state.closed || state.watched {
            return Begun::Else(state, msg);
        }
        if let Some(claimed) = state.receivers.claim_next() {
            let wake = state.hand(claimed, msg);
            let ops = state.count();
            drop(state);
            wake.wake();
            counted(ops);
            return Begun::Done(());
        }
        let Some(me) = current::green().filter(|_| !state.has_room()) else {
            return Begun::Else(state, msg);
        };
        let place = Place::write(place, me, Packet::full(msg));
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
        if state.closed || state.watched || state.ring.len() + state.permits + state.rights > 0 {
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
            let ops = state.count();
            drop(state);
            wake.wake();
            counted(ops);
            return Begun::Done(msg);
        }
        let Some(me) = current::green() else { return Begun::Else(state, ()) };
        let place = Place::write(place, me, Packet::empty());
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
            spend(1);
            return Err(TryRecvError::Empty);
        }
        match self.recv_now() {
            Taken::Message(msg) => Ok(msg),
            Taken::Nothing(err) => {
                spend(1);
                Err(err)
            }
            Taken::Promised => self.fetch().unwrap_or(Err(TryRecvError::Empty)),
        }
    }

    #[inline(never)]
    #[track_caller]
    fn send_slow<'a>(
        &'a self,
        mut state: Locked<'a, T>,
        msg: T,
        deadline: Option<Instant>,
    ) -> Result<(), SendTimeoutError<T>> {
        let mut wakes = Wakes::new();
        let mut msg = msg;
        let mut patience = Patience::new(deadline);
        loop {
            msg = match state.send(msg, &mut wakes) {
                Err(TrySendError::Full(msg)) => msg,
                sent => {
                    let ops = state.count();
                    drop(state);
                    drop(wakes);
                    counted(ops);
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
        self.send_parking(state, wakes, msg, deadline)
    }

    #[inline]
    #[track_caller]
    fn send_parking(
        &self,
        mut state: Locked<'_, T>,
        mut wakes: Wakes,
        msg: T,
        deadline: Option<Instant>,
    ) -> Result<(), SendTimeoutError<T>> {
        let wait = Wait::new();
        let packet = Packet::full(msg);
        let node = Node::new(wait.party(), 0, packet.payload());
        // SAFETY: node and packet stay where they are until the node has been claimed and the wait is over, or removed.
        unsafe { state.push_sender(NonNull::from(&node), &mut wakes) };
        drop(state);
        drop(wakes);
        match wait.park(Reason::new(Kind::Send, self.address()), deadline) {
            Ok(_) if packet.seat().status() == Status::Done => Ok(()),
            // SAFETY: woken without the message having been taken, and the node is out of the queue.
            Ok(_) => Err(SendTimeoutError::Disconnected(unsafe { packet.take() })),
            Err(missed) => {
                let mut state = self.lock();
                // SAFETY: the node was put into this queue.
                unsafe { state.senders.remove(NonNull::from(&node)) };
                drop(state);
                // SAFETY: nobody has claimed the wait through the node, so the message is still there. It is dropped
                // by the unwinding if there is one.
                let msg = unsafe { packet.take() };
                missed.raise();
                Err(SendTimeoutError::Timeout(msg))
            }
        }
    }

    #[inline(never)]
    #[track_caller]
    fn recv_parking(
        &self,
        mut locked: Option<Locked<'_, T>>,
        deadline: Option<Instant>,
    ) -> Result<T, RecvTimeoutError> {
        let mut patience = Patience::new(deadline);
        loop {
            let mut wakes = Wakes::new();
            let mut state = locked.take().unwrap_or_else(|| self.lock());
            match state.recv(&mut wakes) {
                Taken::Message(msg) => {
                    let ops = state.count();
                    drop(state);
                    drop(wakes);
                    counted(ops);
                    return Ok(msg);
                }
                Taken::Nothing(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Taken::Nothing(TryRecvError::Empty) if patience.is_left() => {
                    drop(state);
                    patience.watch(self.hint(), RECV);
                    continue;
                }
                Taken::Nothing(TryRecvError::Empty) => {
                    if let Some(received) = self.recv_in_queue(state, wakes, deadline) {
                        return received;
                    }
                }
                Taken::Promised => {
                    drop(state);
                    // The sender has to be woken before it is waited for.
                    drop(wakes);
                }
            }
            if let Some(fetched) = self.fetch() {
                return fetched.map_err(|_| RecvTimeoutError::Disconnected);
            }
        }
    }

    /// Waits in the queue. Answers `None` if it has got a right only.
    #[inline]
    #[track_caller]
    fn recv_in_queue(
        &self,
        mut state: Locked<'_, T>,
        mut wakes: Wakes,
        deadline: Option<Instant>,
    ) -> Option<Result<T, RecvTimeoutError>> {
        let wait = Wait::new();
        let packet = Packet::empty();
        let node = Node::new(wait.party(), 0, packet.payload());
        // SAFETY: node and packet stay where they are until the node has been claimed and the wait is over, or removed.
        unsafe { state.push_receiver(NonNull::from(&node), &mut wakes) };
        drop(state);
        drop(wakes);
        match wait.park(Reason::new(Kind::Recv, self.address()), deadline) {
            Ok(_) => match packet.seat().status() {
                // SAFETY: woken with the message, which nobody else has a pointer to.
                Status::Done => Some(Ok(unsafe { packet.take() })),
                Status::Closed => Some(Err(RecvTimeoutError::Disconnected)),
                _ => None,
            },
            Err(missed) => {
                let mut state = self.lock();
                // SAFETY: the node was put into this queue.
                unsafe { state.receivers.remove(NonNull::from(&node)) };
                drop(state);
                missed.raise();
                Some(Err(RecvTimeoutError::Timeout))
            }
        }
    }

    /// Waits for the message that was promised, and takes it. Answers `None` if the promise was broken.
    #[inline]
    #[track_caller]
    pub(crate) fn fetch(&self) -> Option<Result<T, TryRecvError>> {
        match self.await_promise(Location::caller()) {
            Promise::Kept => Some(Ok(self.redeem())),
            Promise::Closed => Some(Err(TryRecvError::Disconnected)),
            _ => None,
        }
    }

    /// Waits until a promise has been kept or broken. No deadline and no cancel ends this: the sender was told that a
    /// receiver takes its message.
    pub(crate) fn await_promise(&self, location: &'static Location<'static>) -> Promise {
        let promise = self.lock().collect();
        if promise != Promise::Open {
            return promise;
        }
        let reason = Reason { kind: Kind::Recv, resource: self.address().addr(), location };
        shield(|| self.await_promise_parking(reason))
    }

    #[cold]
    #[inline(never)]
    fn await_promise_parking(&self, reason: Reason) -> Promise {
        let wait = Wait::new();
        let seat = Seat::new(Want::Right);
        let node = Node::new(wait.party(), 0, seat.payload());
        let mut state = self.lock();
        let promise = state.collect();
        if promise != Promise::Open {
            drop(state);
            return promise;
        }
        // SAFETY: node and seat stay where they are until the node has been claimed and the wait is over.
        unsafe { state.promised.push(NonNull::from(&node)) };
        drop(state);
        let woken = wait.park(reason, None);
        assert!(woken.is_ok(), "a shielded wait without a deadline ends by being claimed alone");
        match seat.status() {
            Status::Done => Promise::Kept,
            Status::Closed => Promise::Closed,
            _ => Promise::Broken,
        }
    }

    /// Waits for a permit. Answers false if the channel is closed.
    #[inline]
    #[track_caller]
    pub(crate) fn reserve(&self) -> bool {
        let wait = Wait::new();
        let seat = Seat::new(Want::Right);
        let node = Node::new(wait.party(), 0, seat.payload());
        let mut wakes = Wakes::new();
        let mut state = self.lock();
        match state.want_permit(None, &mut wakes) {
            Offer::Nothing => {}
            offer => {
                drop(state);
                drop(wakes);
                return offer == Offer::Granted;
            }
        }
        // SAFETY: node and seat stay where they are until the node has been claimed and the wait is over, or removed.
        unsafe { state.push_sender(NonNull::from(&node), &mut wakes) };
        drop(state);
        drop(wakes);
        match wait.park(Reason::new(Kind::Send, self.address()), None) {
            Ok(_) => seat.status() == Status::Done,
            Err(missed) => {
                let mut state = self.lock();
                // SAFETY: the node was put into this queue.
                unsafe { state.senders.remove(NonNull::from(&node)) };
                drop(state);
                missed.raise();
                unreachable!("there was no deadline")
            }
        }
    }
}
