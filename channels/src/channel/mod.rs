//! The channel: its state behind a lock, and the operations on it.
//!
//! An operation first tries under the lock. If it has to wait, it opens a wait, and tries again in the same critical
//! section in which it enters the queue. Any thread that changes the state afterwards finds it in the queue, so no
//! wake-up is lost. A channel with capacity 0 uses the same algorithm: the ring has no room, and every message passes
//! directly from the sender to the receiver.
//!
//! [`send`] and [`recv`] have the operations of the two sides. What they do to the state is in `flavors`.

mod recv;
mod send;
mod spin_policy;

use std::process::abort;

use crossbeam_utils::CachePadded;
use kahn_core::primitives::{AtomicU64, AtomicUsize, Lock, LockGuard, MODEL, Ordering};
use kahn_core::wait::consume;

use crate::flavors::State;
use crate::flavors::ring::Ring;
use crate::waiters::Wakes;

/// Bits of [`Hot::hint`]. The remaining bits count the changes of these two.
pub(crate) const RECV: u64 = 1;
pub(crate) const SEND: u64 = 2;
const CHANGE: u64 = 4;

/// What the endpoints of a channel share.
pub(crate) struct Chan<T> {
    hot: CachePadded<Hot<T>>,
    /// The numbers of endpoints. They have a cache line of their own, so that clones do not slow down operations.
    senders: CachePadded<AtomicUsize>,
    receivers: AtomicUsize,
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

    /// Pays for the next batch, like [`refill`](Self::refill), for a caller that has read nothing of the state except
    /// the prepaid batch.
    #[cold]
    #[inline(never)]
    fn refill_while_locked<'a>(&'a self, mut state: LockGuard<'a, State<T>>) -> LockGuard<'a, State<T>> {
        let cost = state.prepaid.refill();
        drop(state);
        consume(cost);
        self.hot.state.lock()
    }

    // The endpoints are counted. The last endpoint of a side to be dropped closes the channel, and so does `close`.

    /// Closes the channel. Later sends fail, and receivers get the messages that are left.
    pub(crate) fn close(&self) {
        let mut wakes = Wakes::new();
        let mut state = self.lock();
        state.close(&mut wakes);
        drop(state);
    }

    pub(crate) fn add_sender(&self) {
        add(&self.senders);
    }

    pub(crate) fn add_receiver(&self) {
        add(&self.receivers);
    }

    pub(crate) fn remove_sender(&self) {
        if remove(&self.senders) {
            self.close();
        }
    }

    pub(crate) fn remove_receiver(&self) {
        if remove(&self.receivers) {
            // Dropped last, after unlocking and after all waiters were told, because a message's destructor may panic
            // or use the channel.
            let messages;
            let mut wakes = Wakes::new();
            let mut state = self.lock();
            state.close(&mut wakes);
            messages = core::mem::replace(&mut state.ring, Ring::new());
            drop(state);
            drop(wakes);
            drop(messages);
        }
    }
}

/// Counts one more endpoint.
#[inline]
fn add(count: &AtomicUsize) {
    // Relaxed, as in `Arc::clone`: the new endpoint is made from one that is already counted.
    if count.fetch_add(1, Ordering::Relaxed) > isize::MAX as usize {
        // So many endpoints exist only if they are leaked. Abort, because the count must not wrap around to zero.
        abort();
    }
}

/// Counts one endpoint less. Returns whether it was the last.
#[inline]
fn remove(count: &AtomicUsize) -> bool {
    // AcqRel: what the other endpoints did with the channel happens before what the last one does to it.
    count.fetch_sub(1, Ordering::AcqRel) == 1
}

/// The outcome of the first, fast part of an operation.
enum Attempt<'a, T, D, R> {
    /// The operation is done.
    Done(D),
    /// The node is in the queue. The caller parks.
    Queued,
    /// Neither. The caller takes the slow path with this lock.
    Slow(Locked<'a, T>, R),
}
