//! The operations of a channel that wait. Each tries again under the lock in which it enters the queue, so nothing can
//! come between.

use core::ptr::NonNull;
use std::time::Instant;

use kahn_core::facade::{AtomicU64, MODEL, Ordering};
use kahn_core::wait::{Kind, Node, Reason, Wait, current, shield, spend};

use crate::bounded::{Chan, Locked, RECV, SEND, counted};
use crate::error::{RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError};
use crate::grants::{Offer, Redeemed};
use crate::seat::{Packet, Seat, Status, Want};
use crate::state::{Taken, Wakes};

/// How an OS thread waits a little on the CPU before it sleeps: a sleep and its wake-up cost both sides microseconds, and
/// its partner often comes sooner. A green thread does not: parking costs it nanoseconds.
struct Patience {
    rounds: u32,
}

impl Patience {
    const ROUNDS: u32 = if MODEL || cfg!(miri) { 0 } else { 10 };

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

impl<T> Chan<T> {
    /// Sends, and waits until it can be done or the deadline has passed.
    #[inline]
    #[track_caller]
    pub(crate) fn send(&self, msg: T, deadline: Option<Instant>) -> Result<(), SendTimeoutError<T>> {
        match self.send_fast(msg) {
            Ok(()) => Ok(()),
            Err((state, msg)) => self.send_slow(state, msg, deadline),
        }
    }

    /// Receives, and waits until a message comes or the deadline has passed.
    #[inline]
    #[track_caller]
    pub(crate) fn recv(&self, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        match self.recv_fast() {
            Ok(msg) => Ok(msg),
            Err(state) => self.recv_parking(state, deadline),
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
    fn recv_parking(&self, state: Locked<'_, T>, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        let mut locked = Some(state);
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

    /// Uses a right: takes the message, or, with capacity 0, waits until the selected sender has sent it. No deadline
    /// and no cancel ends this: that sender was told that a receiver takes its message. Answers `None` if the sender
    /// gave up.
    #[inline]
    #[track_caller]
    pub(crate) fn fetch(&self) -> Option<Result<T, TryRecvError>> {
        match self.redeem() {
            Redeemed::Message(msg) => Some(Ok(msg)),
            Redeemed::Closed => Some(Err(TryRecvError::Disconnected)),
            Redeemed::Retry => None,
            Redeemed::NotYet => {
                let reason = Reason::new(Kind::Recv, self.address());
                shield(|| self.fetch_parking(reason))
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn fetch_parking(&self, reason: Reason) -> Option<Result<T, TryRecvError>> {
        let wait = Wait::new();
        let packet = Packet::empty();
        let node = Node::new(wait.party(), 0, packet.payload());
        let mut state = self.lock();
        match state.redeem() {
            Redeemed::NotYet => {}
            redeemed => {
                drop(state);
                return match redeemed {
                    Redeemed::Message(msg) => Some(Ok(msg)),
                    Redeemed::Closed => Some(Err(TryRecvError::Disconnected)),
                    _ => None,
                };
            }
        }
        // SAFETY: node and packet stay where they are until the node has been claimed and the wait is over.
        unsafe { state.promised.push(NonNull::from(&node)) };
        drop(state);
        let woken = wait.park(reason, None);
        assert!(woken.is_ok(), "a shielded wait without a deadline ends by being claimed alone");
        match packet.seat().status() {
            // SAFETY: woken with the message.
            Status::Done => Some(Ok(unsafe { packet.take() })),
            Status::Closed => Some(Err(TryRecvError::Disconnected)),
            _ => None,
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
