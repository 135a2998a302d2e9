//! The channel: its state behind a lock, and the operations that do not wait.
//!
//! An operation first tries under the lock. If it has to wait, it opens a wait, and tries again in the same critical
//! section in which it enters the queue. Any thread that changes the state afterwards finds it in the queue, so no
//! wake-up is lost. Capacity 0 uses the same algorithm: the ring has no room, and every message passes directly from
//! the sender to the receiver.

use crossbeam_utils::CachePadded;
use kahn_core::primitives::{AtomicU64, AtomicUsize, Lock, LockGuard, MODEL, Ordering};
use kahn_core::wait::consume;

use crate::error::TrySendError;
use crate::grants::Offer;
use crate::state::{State, Taken, Wakes};

/// Bits of [`Hot::hint`]. The remaining bits count the changes of these two.
pub(crate) const RECV: u64 = 1;
pub(crate) const SEND: u64 = 2;
const CHANGE: u64 = 4;

/// What the endpoints of a channel share.
pub(crate) struct Chan<T> {
    hot: CachePadded<Hot<T>>,
    /// The numbers of endpoints. They have a cache line of their own, so that clones do not slow down operations.
    pub(crate) senders: CachePadded<AtomicUsize>,
    pub(crate) receivers: AtomicUsize,
    pub(crate) cap: usize,
    /// In a model: the number of the channel, in the order of creation. Otherwise 0.
    number: usize,
}

/// Counts the channels of a model.
static MADE: core::sync::atomic::AtomicUsize = core::sync::atomic::AtomicUsize::new(1);

struct Hot<T> {
    state: Lock<State<T>>,
    /// Whether a receive or a send may be ready, for readers that do not take the lock. It is written with the lock
    /// held, at the end of every operation that may change it. Both bits are in one word, so that a reader never sees a
    /// combination that never existed.
    hint: AtomicU64,
}

/// The locked state. Unlocking publishes the hint.
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
    // Relaxed: only the holder of the lock writes it. The comparison avoids a write, which would take the cache line
    // from other cores, when nothing changes.
    let old = hint.load(Ordering::Relaxed);
    if old & (RECV | SEND) != bits {
        // Release, although no other data is read through the hint: a thread that reads this value and then the hint of
        // another channel must not read an older value there than the one that this thread has seen.
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
            // Relaxed: the number only has to be unique.
            number: if MODEL { MADE.fetch_add(1, Ordering::Relaxed) } else { 0 },
        }
    }

    /// The key by which selects sort channels: the address. In a model it is the number, because addresses differ from
    /// run to run.
    #[inline]
    pub(crate) fn order(&self) -> usize {
        if MODEL { self.number } else { self.address().addr() }
    }

    /// The address that reports use to name the channel.
    #[inline]
    pub(crate) fn address(&self) -> *const () {
        core::ptr::from_ref(&*self.hot).cast()
    }

    #[inline]
    pub(crate) fn lock(&self) -> Locked<'_, T> {
        Locked { state: self.hot.state.lock(), hint: &self.hot.hint }
    }

    /// Turns a bare guard into a [`Locked`], which publishes the hint when it unlocks. (The compiler passes a bare
    /// guard in a register, and a `Locked` through memory, which costs time on a hot path.)
    #[inline(always)]
    pub(crate) fn relock<'a>(&'a self, state: LockGuard<'a, State<T>>) -> Locked<'a, T> {
        Locked { state, hint: &self.hot.hint }
    }

    /// The hint, for a waiter that spins without the lock.
    #[inline]
    pub(crate) fn hint(&self) -> &AtomicU64 {
        &self.hot.hint
    }

    /// Whether a receive may be possible now. If this returns false, there was a moment during the call when it was
    /// not.
    #[inline]
    pub(crate) fn recv_hint(&self) -> bool {
        // Acquire: pairs with the Release in `publish`.
        self.hot.hint.load(Ordering::Acquire) & RECV != 0
    }

    /// Whether a send may be possible now. False means the same as in [`recv_hint`](Self::recv_hint).
    #[inline]
    pub(crate) fn send_hint(&self) -> bool {
        // Acquire: pairs with the Release in `publish`.
        self.hot.hint.load(Ordering::Acquire) & SEND != 0
    }

    /// Returns `None` while a receive (or, if `recv` is false, a send) may be ready. Otherwise returns a number that
    /// changes whenever the operation becomes ready or ceases to be.
    pub(crate) fn idle_since(&self, recv: bool) -> Option<u64> {
        // Acquire: pairs with the Release in `publish`, and later reads of other hints stay after this one.
        let hint = self.hot.hint.load(Ordering::Acquire);
        (hint & if recv { RECV } else { SEND } == 0).then_some(hint)
    }

    /// Pays for the next batch of operations if the last batch is used up. The caller's operation has done nothing yet.
    /// If this yields and is unwound, the operation is not done. Returns the lock, which may have been released and
    /// taken again.
    #[inline(always)]
    pub(crate) fn refill<'a>(&'a self, state: Locked<'a, T>) -> Locked<'a, T> {
        if state.prepaid.is_empty() { self.refill_now(state) } else { state }
    }

    #[cold]
    #[inline(never)]
    fn refill_now<'a>(&'a self, mut state: Locked<'a, T>) -> Locked<'a, T> {
        let cost = state.prepaid.refill();
        drop(state);
        consume(cost);
        self.lock()
    }

    /// Pays for the next batch, like [`refill`](Self::pay), for a caller that has read nothing of the state except the
    /// prepaid batch.
    #[cold]
    #[inline(never)]
    fn refill_while_locked<'a>(&'a self, mut state: LockGuard<'a, State<T>>) -> LockGuard<'a, State<T>> {
        let cost = state.prepaid.refill();
        drop(state);
        consume(cost);
        self.hot.state.lock()
    }

    // Operations that do not wait.

    /// Sends if there is a place, and no receiver waits, no select watches, and the channel is open. Otherwise returns
    /// the lock and the message.
    #[inline(always)]
    pub(crate) fn send_fast(&self, msg: T) -> Result<(), (LockGuard<'_, State<T>>, T)> {
        let mut state = self.hot.state.lock();
        if state.prepaid.is_empty() {
            state = self.refill_while_locked(state);
        }
        if state.has_room() && state.receivers.is_empty() && !state.closed && !state.watched {
            state.ring.push_back(msg);
            state.count();
            publish(&self.hot.hint, RECV + u64::from(state.has_room()) * SEND);
            return Ok(());
        }
        Err((state, msg))
    }

    /// Receives if a message is available, and no sender waits and no select watches. Otherwise returns the lock.
    #[inline(always)]
    pub(crate) fn recv_fast(&self) -> Result<T, LockGuard<'_, State<T>>> {
        let mut state = self.hot.state.lock();
        if state.prepaid.is_empty() {
            state = self.refill_while_locked(state);
        }
        if state.ring.len() > state.rights
            && state.senders.is_empty()
            && !state.watched
            && let Some(msg) = state.ring.pop_front()
        {
            state.count();
            // SEND is set although there may still be no place: with capacity 0, or if the channel held more than `cap`
            // messages. The hint allows that, and the next `Locked` corrects it. An ended channel is always ready.
            let recv = state.ring.len() > state.rights || state.has_ended();
            publish(&self.hot.hint, SEND + u64::from(recv) * RECV);
            return Ok(msg);
        }
        Err(state)
    }

    /// Sends if no wait is needed.
    #[inline]
    pub(crate) fn send_now(&self, msg: T) -> Result<(), TrySendError<T>> {
        match self.send_fast(msg) {
            Ok(()) => Ok(()),
            Err((state, msg)) => self.send_to_waiter(self.relock(state), msg),
        }
    }

    /// Requests a permit for a select, which has paid for the operation.
    #[inline]
    pub(crate) fn permit_now(&self) -> Offer {
        if !self.send_hint() {
            return Offer::Nothing;
        }
        let mut wakes = Wakes::new();
        let mut state = self.lock();
        let offer = state.want_permit(None, &mut wakes);
        drop(state);
        offer
    }

    /// Requests a right for a select, which has paid for the operation.
    #[inline]
    pub(crate) fn right_now(&self) -> Offer {
        if !self.recv_hint() {
            return Offer::Nothing;
        }
        let mut state = self.hot.state.lock();
        if state.ring.len() > state.rights && state.senders.is_empty() && !state.watched {
            state.rights += 1;
            state.suspend_panics += usize::from(state.cap == 0);
            let recv = state.ring.len() > state.rights || state.has_ended();
            publish(&self.hot.hint, SEND + u64::from(recv) * RECV);
            return Offer::Granted;
        }
        self.right_from_waiter(self.relock(state))
    }

    #[inline(never)]
    fn right_from_waiter(&self, mut state: Locked<'_, T>) -> Offer {
        let mut wakes = Wakes::new();
        let offer = state.want_right(None, &mut wakes);
        drop(state);
        drop(wakes);
        offer
    }

    /// Takes the message of a right that is not a promise.
    #[inline]
    pub(crate) fn redeem(&self) -> T {
        let mut state = self.hot.state.lock();
        if state.closed {
            return self.redeem_last(self.relock(state));
        }
        // The number of messages and the number of rights both fall by one, so the hint stays correct without `Locked`.
        state.redeem()
    }

    /// [`redeem`](Self::redeem) on a closed channel. The message may be the last that was pending.
    #[cold]
    #[inline(never)]
    fn redeem_last(&self, mut state: Locked<'_, T>) -> T {
        let mut wakes = Wakes::new();
        let msg = state.redeem();
        state.settle(&mut wakes);
        drop(state);
        drop(wakes);
        msg
    }

    /// Receives if no wait is needed, except a wait for a promised message.
    #[inline]
    pub(crate) fn recv_now(&self) -> Taken<T> {
        match self.recv_fast() {
            Ok(msg) => Taken::Message(msg),
            Err(state) => self.recv_from_waiter(self.relock(state)),
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

    // Permits.

    /// Sends a message with a permit.
    #[inline]
    pub(crate) fn fill_permit(&self, msg: T) -> Result<(), T> {
        let mut wakes = Wakes::new();
        let mut state = self.lock();
        let sent = state.fill_permit(msg, &mut wakes);
        drop(state);
        drop(wakes);
        sent
    }

    /// Gives up a permit.
    pub(crate) fn drop_permit(&self) {
        let mut wakes = Wakes::new();
        let mut state = self.lock();
        state.drop_permit(&mut wakes);
        drop(state);
    }

    /// Gives up a right that is not a promise.
    pub(crate) fn drop_right(&self) {
        let mut wakes = Wakes::new();
        let mut state = self.lock();
        state.drop_right(&mut wakes);
        drop(state);
    }
}
