//! The mutex without its value: the holder, the waiters, and which waiter is next.
//!
//! ```text
//!              taken             released, no waiter
//!   newcomer ────────► holder ─────────────────────────► free
//!      │ held            ▲ │ released with WAKE: the first waiter is woken, and is now on its way
//!      ▼                 │ ▼
//!    queue ◄──────── on its way     the lock is free or taken meanwhile: the waiter does not own it yet (barging)
//!   (at the front,   lost
//!    after 4 losses: HANDOFF, and the next holder to release the lock hands it over)
//! ```
//!
//! Barging is for speed: while the waiter is on its way, the holder can take the lock again and again, which is
//! thousands of times if a sleeping core has to be woken. No other waiter is woken in the meantime. Handing over
//! prevents starvation. It is triggered by the number of losses, not by time, so no clock is read. The two arguments:
//!
//! - *No wake-up is lost.* Call the queue *covered* if it is empty, or `WAKE` is set, or a waiter is on its way.
//!   `WAKE` is set in one compare-and-swap that also checks that the lock is held. So the holder sees it when it
//!   releases the lock, and then locks the queue. A waiter on its way takes the lock or queues again. In both cases
//!   it sets `WAKE` if the queue is not empty. Nothing can stop it on its way, because it is claimed already and a
//!   cancel cannot end its wait.
//! - *No waiter starves.* While there is a waiter, one is on its way or `WAKE` is set. So the first waiter in the
//!   queue takes the lock, or loses four times and is handed the lock, or leaves. A waiter that loses returns to the
//!   front, so no other overtakes it in the queue.

use core::panic::Location;

use crate::primitives::{AtomicU32, MODEL, Ordering, maybe_const};
use crate::sync::spin::spin;
use crate::wait::{BATCH, Kind, Queue, Reason, WaitList, WaitOptions, Waited, operation};

/// A thread holds the lock.
const LOCKED: u32 = 1;
/// No waiter is on its way, and the queue is not empty (unless its last waiter has left): the holder wakes the first
/// waiter when it releases the lock.
const WAKE: u32 = 2;
/// The first waiter in the queue has lost often enough: only it may take the lock next.
const HANDOFF: u32 = 4;
/// The unit of the count of releases.
const ONE: u32 = 8;
/// Set when the lock was released so often that a loop over it has to yield. It receives the carry of the count below
/// it.
const TICK: u32 = BATCH * ONE;

/// The state of a new mutex. Its first lock pays, so a loop that uses a new mutex each time pays as well. A model
/// starts without `TICK`, so that it has fewer steps.
const NEW: u32 = if MODEL { 0 } else { TICK };

/// How many times a waiter is woken in vain before it is handed the lock.
const PATIENCE: u32 = if MODEL { 1 } else { 4 };

/// A mutex without a value.
#[derive(Debug)]
pub(in crate::sync) struct RawMutex {
    /// | bit | set by | cleared by |
    /// |---|---|---|
    /// | `LOCKED` | a thread that takes the lock; stays set at a hand-over | the holder |
    /// | `WAKE` | a thread that queues or takes the lock | the thread that wakes or hands over |
    /// | `HANDOFF` | a waiter that lost `PATIENCE` times | the thread that hands over; that waiter when it leaves |
    /// | above | `unlock`, which adds `ONE`; it may overflow | a thread that finds `TICK` when it takes the lock |
    ///
    /// `WAKE` and `HANDOFF` change only with `waiters` locked.
    ///
    /// `HANDOFF` without `LOCKED`: a thread is about to hand the lock over. If another thread takes `LOCKED` first,
    /// that thread hands the lock over instead.
    state: AtomicU32,
    /// The payload of a waiter is whether it was handed the lock.
    waiters: WaitList<Waiters, bool>,
}

#[derive(Debug)]
struct Waiters {
    /// A waiter has been woken, and has neither taken the lock nor queued again.
    on_its_way: bool,
}

impl RawMutex {
    maybe_const! {
        /// Creates a free lock.
        pub(in crate::sync) const fn new() -> RawMutex {
            RawMutex {
                state: AtomicU32::new(NEW),
                waiters: WaitList::new(Waiters { on_its_way: false }),
            }
        }
    }

    /// Takes the lock. `location` is the source line that wants it.
    #[inline]
    pub(in crate::sync) fn lock(&self, location: &'static Location<'static>) {
        // Acquire: pairs with the Release in `unlock`. Only one bit is set and tested, which is one instruction on
        // x86. The load after it sees at least what the word contained when the bit was set.
        if self.state.fetch_or(LOCKED, Ordering::Acquire) & LOCKED != 0 {
            self.lock_contended(location);
        } else if self.state.load(Ordering::Relaxed) & (HANDOFF | TICK) != 0 {
            self.lock_not_yet(location);
        }
    }

    /// Takes the lock if it is free and not about to be handed over. Returns whether it took the lock.
    #[inline]
    pub(in crate::sync) fn try_lock(&self) -> bool {
        if self.state.load(Ordering::Relaxed) & TICK != 0 {
            self.pay();
        }
        self.take()
    }

    /// Takes the lock like [`try_lock`](Self::try_lock), but does not pay, so it neither yields nor unwinds.
    #[inline]
    fn take(&self) -> bool {
        let mut seen = self.state.load(Ordering::Relaxed);
        while seen & (LOCKED | HANDOFF) == 0 {
            // Acquire: pairs with the Release in `unlock`.
            match self.state.compare_exchange_weak(seen, seen | LOCKED, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Pays before the caller tries to take the lock.
    #[cold]
    #[inline(never)]
    fn pay(&self) {
        // Relaxed: this is only a count.
        self.state.fetch_and(!TICK, Ordering::Relaxed);
        operation();
    }

    /// Releases the lock. Only the holder calls this.
    #[inline]
    pub(in crate::sync) fn unlock(&self) {
        // Release: the next holder sees what this holder wrote. LOCKED is set, so the addition clears it and counts
        // the release.
        if self.state.fetch_add(ONE - LOCKED, Ordering::Release) & (WAKE | HANDOFF) != 0 {
            self.pass_on();
        }
    }

    /// Called when the caller has taken the lock, but another waiter is next, or the caller has to yield first.
    #[cold]
    #[inline(never)]
    fn lock_not_yet(&self, location: &'static Location<'static>) {
        // Relaxed: each decision based on these bits is checked again with the queue locked.
        let seen = self.state.load(Ordering::Relaxed);
        if seen & TICK != 0 {
            self.state.fetch_and(LOCKED | WAKE | HANDOFF, Ordering::Relaxed);
        }
        self.unlock();
        if seen & TICK != 0 {
            operation();
        }
        if !self.take() {
            self.lock_contended(location);
        }
    }

    #[cold]
    #[inline(never)]
    fn lock_contended(&self, location: &'static Location<'static>) {
        // Relaxed: this is only a count.
        if self.state.load(Ordering::Relaxed) & TICK != 0 {
            self.pay();
        }
        let reason = Reason::at(Kind::Lock, self, location);
        if self.spin(WAKE) {
            return;
        }
        let mut losses = 0;
        while !self.wait_turn(reason, losses) {
            losses += 1;
            if self.spin(0) {
                self.waiters.update(|waiters, [queue]| {
                    waiters.on_its_way = false;
                    self.cover(queue);
                });
                return;
            }
        }
    }

    /// Spins for a moment and takes the lock if it becomes free. Returns whether it took the lock. Does not pay: a
    /// waiter on its way must not yield, because an unwind from there would leave the queue uncovered. Gives up when it
    /// sees a bit of `discouraged`: the present waiters have already found that spinning does not pay.
    fn spin(&self, discouraged: u32) -> bool {
        spin(|| {
            let seen = self.state.load(Ordering::Relaxed);
            if seen & (LOCKED | HANDOFF) == 0 && self.take() {
                Some(true)
            } else {
                (seen & discouraged != 0).then_some(false)
            }
        })
        .unwrap_or(false)
    }

    /// Queues and parks. Returns true if the caller has the lock. Returns false if the caller was woken to try again;
    /// then it is the waiter on its way. `losses` is the number of times that this has happened.
    fn wait_turn(&self, reason: Reason, losses: u32) -> bool {
        let options = WaitOptions::new(reason).at_front(losses > 0).with(false);
        let starves = losses >= PATIENCE;
        let look = |waiters: &mut Waiters, [queue]: &mut [Queue<'_, bool>; 1]| {
            if losses > 0 {
                waiters.on_its_way = false;
            }
            let wake = if waiters.on_its_way { 0 } else { WAKE };
            let flags = if starves { wake | HANDOFF } else { wake };
            let taken = self.take_or_flag(flags);
            if taken && !waiters.on_its_way {
                self.cover(queue);
            }
            taken.then_some(())
        };
        let left = |_: &mut Waiters, _: &mut [Queue<'_, bool>; 1]| {
            if starves {
                // Only one waiter at a time can be starving, namely the last one that was on its way. That is the
                // caller.
                self.state.fetch_and(!HANDOFF, Ordering::Relaxed);
            }
            // A holder may have released the lock because of this waiter's HANDOFF. It now waits for the lock of the
            // list and will find HANDOFF cleared. It then wakes the next waiter if WAKE is set, and WAKE is set if
            // there is a waiter.
        };
        match self.waiters.wait_or(options, look, left) {
            Ok(Waited::Found(())) => true,
            Ok(Waited::Woken(handed)) => handed,
            Err(error) => {
                error.raise();
                unreachable!("a lock has no deadline of its own")
            }
        }
    }

    /// Takes the lock if it is free and not about to be handed over, and sets `flags` otherwise. Returns whether it
    /// took the lock. The caller has the list locked.
    fn take_or_flag(&self, flags: u32) -> bool {
        let mut seen = self.state.load(Ordering::Relaxed);
        loop {
            let free = seen & (LOCKED | HANDOFF) == 0;
            let next = if free { seen | LOCKED } else { seen | flags };
            // Acquire: pairs with the Release in `unlock` if the caller takes the lock. The flags need no order,
            // because a thread that sees them locks the list.
            match self.state.compare_exchange_weak(seen, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return free,
                Err(now) => seen = now,
            }
        }
    }

    /// Sets `WAKE` if the queue is not empty. The holder calls this while no waiter is on its way, so it sees the flag
    /// when it releases the lock.
    fn cover(&self, queue: &Queue<'_, bool>) {
        if !queue.is_empty() {
            // Relaxed: the caller's own `unlock` sees the flag.
            self.state.fetch_or(WAKE, Ordering::Relaxed);
        }
    }

    /// Wakes the first waiter, or hands it the lock. Called after a release that found a waiter.
    #[cold]
    #[inline(never)]
    fn pass_on(&self) {
        self.waiters.update(|waiters, [queue]| self.pass_on_locked(waiters, queue));
    }

    fn pass_on_locked(&self, waiters: &mut Waiters, queue: &mut Queue<'_, bool>) {
        // Relaxed: WAKE and HANDOFF change only with the queue locked.
        let seen = self.state.load(Ordering::Relaxed);
        if seen & HANDOFF != 0 {
            // Acquire: the next holder sees what the last holder wrote, because it synchronizes with this thread by
            // its claim.
            if self.state.fetch_or(LOCKED, Ordering::Acquire) & LOCKED != 0 {
                // Another thread has taken the lock in the meantime. It finds HANDOFF now or when it releases the
                // lock.
                return;
            }
            let Some(handed) = queue.claim_next() else {
                // The waits of all waiters in the queue have ended otherwise.
                // Release: pairs with the Acquire of the next holder.
                self.state.fetch_and(!(LOCKED | WAKE | HANDOFF), Ordering::Release);
                return;
            };
            *handed = true;
            let done = if queue.is_empty() { HANDOFF | WAKE } else { HANDOFF };
            self.state.fetch_and(!done, Ordering::Relaxed);
        } else if seen & WAKE != 0 {
            waiters.on_its_way = queue.claim_next().is_some();
            self.state.fetch_and(!WAKE, Ordering::Relaxed);
        }
    }
}
