//! The channel itself: its state behind a lock, the fast paths, and the blocking operations.
//!
//! An operation first tries under the lock. Only if it has to wait does it open a wait, and then tries again under the
//! same lock in which it enters the queue: so whoever changes the state after that finds it there, and no wake-up is
//! lost. Capacity 0 is the same algorithm: a ring without room, where every message passes from hand to hand.

use core::ptr::NonNull;
use std::time::Instant;

use crossbeam_utils::CachePadded;
use kahn_core::facade::{AtomicU64, AtomicUsize, Lock, LockGuard, MODEL, Ordering};
use kahn_core::wait::{Kind, Node, Reason, Wait, current, shield, spend};

use crate::error::{RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError};
use crate::seat::{Packet, Seat, Status, Want};
use crate::state::{Redeemed, State, Taken, Wakes};

/// Operations between two reports to the cooperative budget.
const SPEND_EVERY: u32 = 32;

/// Tells the cooperative budget of every 32nd operation that did not park; so a loop of them yields now and then, and
/// most of them touch no thread-local.
#[inline]
pub(crate) fn counted(ops: u32) {
    if ops.is_multiple_of(SPEND_EVERY) {
        spend(SPEND_EVERY);
    }
}

/// Bits of [`Hot::hint`]; the rest counts how often they have changed.
const RECV: u64 = 1;
const SEND: u64 = 2;
const CHANGE: u64 = 4;

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

/// What the endpoints of one channel share.
pub(crate) struct Chan<T> {
    hot: CachePadded<Hot<T>>,
    /// How many endpoints there are. On a line of their own: clones do not disturb operations.
    pub(crate) senders: CachePadded<AtomicUsize>,
    pub(crate) receivers: AtomicUsize,
    pub(crate) cap: usize,
}

struct Hot<T> {
    state: Lock<State<T>>,
    /// Whether a receive or a send might be ready, for those who only look. Written with the lock held, at the end of
    /// every operation that may change it; one word, so that a look never sees a state that never was.
    hint: AtomicU64,
}

/// The state, locked; unlocking publishes the hint.
pub(crate) struct Locked<'a, T> {
    state: LockGuard<'a, State<T>>,
    hint: &'a AtomicU64,
}

impl<T> core::ops::Deref for Locked<'_, T> {
    type Target = State<T>;

    #[inline]
    fn deref(&self) -> &State<T> {
        &self.state
    }
}

impl<T> core::ops::DerefMut for Locked<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut State<T> {
        &mut self.state
    }
}

impl<T> Drop for Locked<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let bits = u64::from(self.state.recv_hint()) * RECV + u64::from(self.state.send_hint()) * SEND;
        publish(self.hint, bits);
    }
}

#[inline]
fn publish(hint: &AtomicU64, bits: u64) {
    // Relaxed: written with the lock held alone. The look before it keeps the line clean where nothing changes.
    let old = hint.load(Ordering::Relaxed);
    if old & (RECV | SEND) != bits {
        // Release, although nothing is read through it: who sees this value and then another channel's must not see an
        // older one there.
        hint.store((old & !(RECV | SEND)).wrapping_add(CHANGE) | bits, Ordering::Release);
    }
}

impl<T> Chan<T> {
    pub(crate) fn new(cap: usize) -> Chan<T> {
        let hint = AtomicU64::new(if cap > 0 { SEND } else { 0 });
        Chan {
            hot: CachePadded::new(Hot { state: Lock::new(State::new(cap)), hint }),
            senders: CachePadded::new(AtomicUsize::new(1)),
            receivers: AtomicUsize::new(1),
            cap,
        }
    }

    /// What reports name the channel by.
    #[inline]
    pub(crate) fn address(&self) -> *const () {
        core::ptr::from_ref(&*self.hot).cast()
    }

    #[inline]
    pub(crate) fn lock(&self) -> Locked<'_, T> {
        Locked { state: self.hot.state.lock(), hint: &self.hot.hint }
    }

    /// Whether a receive might be done now. If it answers false there was a moment during the call when it could not.
    #[inline]
    pub(crate) fn recv_hint(&self) -> bool {
        // Acquire: see `publish`.
        self.hot.hint.load(Ordering::Acquire) & RECV != 0
    }

    /// Whether a send might be done now.
    #[inline]
    pub(crate) fn send_hint(&self) -> bool {
        // Acquire: see `publish`.
        self.hot.hint.load(Ordering::Acquire) & SEND != 0
    }

    /// A number that changes whenever a receive (or else a send) becomes ready or stops to be; `None` while it might be
    /// ready.
    pub(crate) fn idle_since(&self, recv: bool) -> Option<u64> {
        // Acquire: see `publish`, and later looks come later.
        let hint = self.hot.hint.load(Ordering::Acquire);
        (hint & if recv { RECV } else { SEND } == 0).then_some(hint)
    }

    // Without waiting.

    /// Sends if there is room and nobody else to care for; hands back the lock and the message otherwise.
    #[inline(always)]
    fn send_fast(&self, msg: T) -> Result<(), (Locked<'_, T>, T)> {
        let mut state = self.hot.state.lock();
        if state.has_room() && state.receivers.is_empty() && !state.closed && !state.watched {
            state.ring.push_back(msg);
            let ops = state.count();
            publish(&self.hot.hint, RECV + u64::from(state.has_room()) * SEND);
            drop(state);
            counted(ops);
            return Ok(());
        }
        Err((Locked { state, hint: &self.hot.hint }, msg))
    }

    /// Receives if a message is there and nobody else to care for; hands back the lock otherwise.
    #[inline(always)]
    fn recv_fast(&self) -> Result<T, Locked<'_, T>> {
        let mut state = self.hot.state.lock();
        if state.ring.len() > state.rights
            && state.senders.is_empty()
            && !state.watched
            && let Some(msg) = state.ring.pop_front()
        {
            let ops = state.count();
            // A place is free now, and a closed channel is always ready.
            let recv = state.ring.len() > state.rights || state.closed;
            publish(&self.hot.hint, SEND + u64::from(recv) * RECV);
            drop(state);
            counted(ops);
            return Ok(msg);
        }
        Err(Locked { state, hint: &self.hot.hint })
    }

    /// Sends if it can be done at once.
    #[inline]
    pub(crate) fn send_now(&self, msg: T) -> Result<(), TrySendError<T>> {
        match self.send_fast(msg) {
            Ok(()) => Ok(()),
            Err((state, msg)) => self.send_to_waiter(state, msg),
        }
    }

    /// Sends, and waits until it can be done or the deadline has passed.
    #[inline]
    #[track_caller]
    pub(crate) fn send(&self, msg: T, deadline: Option<Instant>) -> Result<(), SendTimeoutError<T>> {
        match self.send_fast(msg) {
            Ok(()) => Ok(()),
            Err((state, msg)) => self.send_slow(state, msg, deadline),
        }
    }

    /// Receives if it can be done at once.
    #[inline]
    pub(crate) fn recv_now(&self) -> Taken<T> {
        match self.recv_fast() {
            Ok(msg) => Taken::Message(msg),
            Err(state) => self.recv_from_waiter(state),
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

    #[inline(never)]
    fn send_to_waiter(&self, mut state: Locked<'_, T>, msg: T) -> Result<(), TrySendError<T>> {
        let mut wakes = Wakes::new();
        let sent = state.send(msg, &mut wakes);
        let ops = state.count();
        drop(state);
        drop(wakes);
        if sent.is_ok() {
            counted(ops);
        }
        sent
    }

    #[inline(never)]
    fn recv_from_waiter(&self, mut state: Locked<'_, T>) -> Taken<T> {
        let mut wakes = Wakes::new();
        let taken = state.recv(&mut wakes);
        let ops = state.count();
        drop(state);
        drop(wakes);
        if !matches!(taken, Taken::Nothing(_)) {
            counted(ops);
        }
        taken
    }

    /// Receives a message that is in the ring, if there is one.
    pub(crate) fn recv_stored(&self) -> Option<T> {
        let mut wakes = Wakes::new();
        let mut state = self.lock();
        let msg = state.recv_stored(&mut wakes);
        drop(state);
        msg
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

    // Waiting.

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
            patience.watch(&self.hot.hint, SEND);
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
                    patience.watch(&self.hot.hint, RECV);
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
        let mut state = self.lock();
        let redeemed = state.redeem();
        drop(state);
        match redeemed {
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

    // Permits.

    /// Waits for a permit. Answers false if the channel is closed.
    #[inline]
    #[track_caller]
    pub(crate) fn reserve(&self) -> bool {
        use crate::state::Offer;
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

    /// Sends with a permit.
    #[inline]
    pub(crate) fn fill_permit(&self, msg: T) -> Result<(), T> {
        let mut wakes = Wakes::new();
        let mut state = self.lock();
        let sent = state.fill_permit(msg, &mut wakes);
        drop(state);
        drop(wakes);
        sent
    }

    /// Gives a permit up.
    pub(crate) fn drop_permit(&self) {
        let mut wakes = Wakes::new();
        let mut state = self.lock();
        state.drop_permit(&mut wakes);
        drop(state);
    }

    /// Gives a right up.
    pub(crate) fn drop_right(&self) {
        let mut wakes = Wakes::new();
        let mut state = self.lock();
        state.drop_right(&mut wakes);
        drop(state);
    }
}
