//! The channel itself: its state behind a lock, and what can be done without waiting.
//!
//! An operation first tries under the lock. Only if it has to wait does it open a wait, and then tries again under the
//! same lock in which it enters the queue: so whoever changes the state after that finds it there, and no wake-up is
//! lost. Capacity 0 is the same algorithm: a ring without room, where every message passes from hand to hand.

use crossbeam_utils::CachePadded;
use kahn_core::facade::{AtomicU64, AtomicUsize, Lock, LockGuard, MODEL, Ordering};
use kahn_core::wait::spend;

use crate::error::TrySendError;
use crate::grants::Offer;
use crate::state::{State, Taken, Wakes};

/// Bits of [`Hot::hint`]; the rest counts how often they have changed.
pub(crate) const RECV: u64 = 1;
pub(crate) const SEND: u64 = 2;
const CHANGE: u64 = 4;

/// What the endpoints of one channel share.
pub(crate) struct Chan<T> {
    hot: CachePadded<Hot<T>>,
    /// How many endpoints there are. On a line of their own: clones do not disturb operations.
    pub(crate) senders: CachePadded<AtomicUsize>,
    pub(crate) receivers: AtomicUsize,
    pub(crate) cap: usize,
    /// In a model: which channel this is, in the order of their making.
    number: usize,
}

/// Counts the channels of models.
static MADE: core::sync::atomic::AtomicUsize = core::sync::atomic::AtomicUsize::new(1);

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
            // Relaxed: a number of its own is all that is wanted.
            number: if MODEL { MADE.fetch_add(1, Ordering::Relaxed) } else { 0 },
        }
    }

    /// What selects sort channels by: the address, or in a model, where addresses differ from run to run, the number.
    #[inline]
    pub(crate) fn order(&self) -> usize {
        if MODEL { self.number } else { self.address().addr() }
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

    /// Adds to a bare guard that unlocking publishes the hint. (A guard goes in a register; the pair goes through memory,
    /// which a hot path feels.)
    #[inline(always)]
    pub(crate) fn relock<'a>(&'a self, state: LockGuard<'a, State<T>>) -> Locked<'a, T> {
        Locked { state, hint: &self.hot.hint }
    }

    /// What a waiter may watch without the lock.
    #[inline]
    pub(crate) fn hint(&self) -> &AtomicU64 {
        &self.hot.hint
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

    /// Pays for the next batch of operations, if the last is used up. The caller's operation has done nothing yet, and is
    /// not done if this yields and is unwound. Answers the lock, which may have been given up in between.
    #[inline(always)]
    pub(crate) fn pay<'a>(&'a self, state: Locked<'a, T>) -> Locked<'a, T> {
        if state.prepaid.is_empty() { self.pay_now(state) } else { state }
    }

    #[cold]
    #[inline(never)]
    fn pay_now<'a>(&'a self, mut state: Locked<'a, T>) -> Locked<'a, T> {
        let cost = state.prepaid.refill();
        drop(state);
        spend(cost);
        self.lock()
    }

    /// As [`pay`](Self::pay), where nothing of the state is known but what is prepaid.
    #[cold]
    #[inline(never)]
    fn pay_on_the_way<'a>(&'a self, mut state: LockGuard<'a, State<T>>) -> LockGuard<'a, State<T>> {
        let cost = state.prepaid.refill();
        drop(state);
        spend(cost);
        self.hot.state.lock()
    }

    // Without waiting.

    /// Sends if there is room and nobody else to care for; hands back the lock and the message otherwise.
    #[inline(always)]
    pub(crate) fn send_fast(&self, msg: T) -> Result<(), (LockGuard<'_, State<T>>, T)> {
        let mut state = self.hot.state.lock();
        if state.prepaid.is_empty() {
            state = self.pay_on_the_way(state);
        }
        if state.has_room() && state.receivers.is_empty() && !state.closed && !state.watched {
            state.ring.push_back(msg);
            state.count();
            publish(&self.hot.hint, RECV + u64::from(state.has_room()) * SEND);
            return Ok(());
        }
        Err((state, msg))
    }

    /// Receives if a message is there and nobody else to care for; hands back the lock otherwise.
    #[inline(always)]
    pub(crate) fn recv_fast(&self) -> Result<T, LockGuard<'_, State<T>>> {
        let mut state = self.hot.state.lock();
        if state.prepaid.is_empty() {
            state = self.pay_on_the_way(state);
        }
        if state.ring.len() > state.rights
            && state.senders.is_empty()
            && !state.watched
            && let Some(msg) = state.ring.pop_front()
        {
            state.count();
            // A place is free now, and a closed channel is always ready.
            let recv = state.ring.len() > state.rights || state.closed;
            publish(&self.hot.hint, SEND + u64::from(recv) * RECV);
            return Ok(msg);
        }
        Err(state)
    }

    /// Sends if it can be done at once.
    #[inline]
    pub(crate) fn send_now(&self, msg: T) -> Result<(), TrySendError<T>> {
        match self.send_fast(msg) {
            Ok(()) => Ok(()),
            Err((state, msg)) => self.send_to_waiter(self.relock(state), msg),
        }
    }

    /// Asks for a permit, for a select, which has paid.
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

    /// Asks for a right, for a select, which has paid.
    #[inline]
    pub(crate) fn right_now(&self) -> Offer {
        if !self.recv_hint() {
            return Offer::Nothing;
        }
        let mut state = self.hot.state.lock();
        if state.ring.len() > state.rights && state.senders.is_empty() && !state.watched {
            state.rights += 1;
            state.set_aside += usize::from(state.cap == 0);
            let recv = state.ring.len() > state.rights || state.closed;
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

    /// Uses a right that is no promise.
    #[inline]
    pub(crate) fn redeem(&self) -> T {
        // As many messages as rights go, so the hint stays right.
        self.hot.state.lock().redeem()
    }

    /// Receives if it can be done at once.
    #[inline]
    pub(crate) fn recv_now(&self) -> Taken<T> {
        match self.recv_fast() {
            Ok(msg) => Taken::Message(msg),
            Err(state) => self.recv_from_waiter(self.relock(state)),
        }
    }

    #[inline(never)]
    fn send_to_waiter(&self, state: Locked<'_, T>, msg: T) -> Result<(), TrySendError<T>> {
        let mut state = self.pay(state);
        let mut wakes = Wakes::new();
        let sent = state.send(msg, &mut wakes);
        state.count();
        drop(state);
        drop(wakes);
        sent
    }

    #[inline(never)]
    fn recv_from_waiter(&self, state: Locked<'_, T>) -> Taken<T> {
        let mut state = self.pay(state);
        let mut wakes = Wakes::new();
        let taken = state.recv(&mut wakes);
        state.count();
        drop(state);
        drop(wakes);
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

    // Permits.

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

    /// Gives a right up that is no promise.
    pub(crate) fn drop_right(&self) {
        let mut wakes = Wakes::new();
        let mut state = self.lock();
        state.drop_right(&mut wakes);
        drop(state);
    }
}
