//! The lock without the value: who holds it, who waits, who is next.
//!
//! ```text
//!              taken             given back, nobody waits
//!   newcomer ────────► holder ─────────────────────────► free
//!      │ held            ▲ │ given back with WAKE: the first waiter is woken, and is now on its way
//!      ▼                 │ ▼
//!    queue ◄──────── on its way     free or taken meanwhile: it is not the waiter's yet (barging)
//!   (at the front,   lost
//!    after 4 losses: HANDOFF, and it is given the lock by whoever gives it back next)
//! ```
//!
//! Barging is for speed: the holder goes on taking the lock while the waiter is on its way, which is thousands of times
//! where a sleeping core has to be woken, and nobody else is woken meanwhile. Handing over is against starvation, and
//! counts losses, not time, so that no clock is read. The two argued:
//!
//! - *No wake-up is lost.* Call the queue *covered* if it is empty, or `WAKE` is set, or a waiter is on its way. `WAKE` is
//!   set together with the check that the lock is held, in one compare-and-swap, so its holder sees it as it gives the
//!   lock back, and comes to the queue. A waiter on its way takes the lock or queues again, and in both cases sets
//!   `WAKE` if somebody stands in the queue; nothing can stop it on its way, because a cancel finds it claimed.
//! - *No waiter starves.* While there is one, one is on its way or `WAKE` is set; so the first in the queue takes the lock,
//!   or loses four times and is handed it, or leaves. It comes back to the front, so none overtakes it in the queue.

use core::cell::Cell;
use core::panic::Location;
use core::ptr::NonNull;

use crate::facade::{AtomicU32, Lock, MODEL, Ordering, maybe_const};
use crate::sync::spin::spin;
use crate::wait::{BATCH, Claimed, Kind, Node, Reason, Wait, WaitQueue, operation};

/// Somebody holds the lock.
const LOCKED: u32 = 1;
/// Somebody stands in the queue and nobody is on its way: who gives the lock back wakes the first.
const WAKE: u32 = 2;
/// The first in the queue has lost often enough: only it may have the lock next.
const HANDOFF: u32 = 4;
/// One more time that the lock was given back.
const ONE: u32 = 8;
/// The lock was given back so often that a loop over it has to let others run. The carry of the count below it.
const TICK: u32 = BATCH * ONE;

/// How many times a waiter is woken for nothing before it is handed the lock.
const PATIENCE: u32 = if MODEL { 1 } else { 4 };

/// A mutex without a value.
#[derive(Debug)]
pub(in crate::sync) struct RawMutex {
    /// | bit | set by | cleared by |
    /// |---|---|---|
    /// | `LOCKED` | who takes the lock; stays set when it is handed over | the holder |
    /// | `WAKE` | with the queue locked: who queues or takes the lock | with the queue locked: who wakes or leaves |
    /// | `HANDOFF` | with the queue locked: who has lost `PATIENCE` times | with the queue locked: who hands over; the starving one as it leaves |
    /// | above | a count of `ONE` added as `LOCKED` is taken away; it may overflow | who finds `TICK` as it takes the lock |
    ///
    /// `HANDOFF` without `LOCKED`: somebody is about to hand over, and who takes `LOCKED` nevertheless does it instead.
    state: AtomicU32,
    waiters: Lock<Waiters>,
}

#[derive(Debug)]
struct Waiters {
    /// The payload of each is the `Cell<bool>` that says whether it was handed the lock.
    queue: WaitQueue,
    /// A waiter has been woken, and has neither taken the lock nor queued again.
    on_its_way: bool,
}

impl RawMutex {
    maybe_const! {
        /// A free lock.
        pub(in crate::sync) const fn new() -> RawMutex {
            RawMutex {
                state: AtomicU32::new(0),
                waiters: Lock::new(Waiters { queue: WaitQueue::new(), on_its_way: false }),
            }
        }
    }

    /// Takes the lock. `location` is the line of the program that wants it.
    #[inline]
    pub(in crate::sync) fn lock(&self, location: &'static Location<'static>) {
        // Acquire: pairs with the Release in `unlock`. One bit is asked for, which is one instruction on x86; the load
        // after it sees at least what stood there as we took the bit.
        if self.state.fetch_or(LOCKED, Ordering::Acquire) & LOCKED != 0 {
            self.lock_contended(location);
        } else if self.state.load(Ordering::Relaxed) & (HANDOFF | TICK) != 0 {
            self.lock_not_yet(location);
        }
    }

    /// Takes the lock if it is free, and nobody is about to be handed it.
    #[inline]
    pub(in crate::sync) fn try_lock(&self) -> bool {
        let mut seen = self.state.load(Ordering::Relaxed);
        if seen & TICK != 0 {
            seen = self.pay();
        }
        while seen & (LOCKED | HANDOFF) == 0 {
            // Acquire as in `lock`.
            match self.state.compare_exchange_weak(seen, seen | LOCKED, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Lets others run, before the caller tries to take the lock. Returns the state after that.
    #[cold]
    #[inline(never)]
    fn pay(&self) -> u32 {
        // Relaxed: a count.
        self.state.fetch_and(!TICK, Ordering::Relaxed);
        if !std::thread::panicking() {
            operation();
        }
        self.state.load(Ordering::Relaxed)
    }

    /// Gives the lock back. The holder's call.
    #[inline]
    pub(in crate::sync) fn unlock(&self) {
        // Release: what the holder wrote is seen by the next. LOCKED is set, so this takes it away and counts.
        if self.state.fetch_add(ONE - LOCKED, Ordering::Release) & (WAKE | HANDOFF) != 0 {
            self.pass_on();
        }
    }

    /// The lock is taken, but it was another's turn, or others have to run first.
    #[cold]
    #[inline(never)]
    fn lock_not_yet(&self, location: &'static Location<'static>) {
        // Relaxed: the bits decide nothing here that is not looked at again with the queue locked.
        let seen = self.state.load(Ordering::Relaxed);
        if seen & TICK != 0 {
            self.state.fetch_and(LOCKED | WAKE | HANDOFF, Ordering::Relaxed);
        }
        self.unlock();
        if seen & TICK != 0 && !std::thread::panicking() {
            operation();
        }
        if !self.try_lock() {
            self.lock_contended(location);
        }
    }

    #[cold]
    #[inline(never)]
    fn lock_contended(&self, location: &'static Location<'static>) {
        let reason = Reason::at(Kind::Lock, self, location);
        if self.spin(WAKE) {
            return;
        }
        let mut losses = 0;
        while !self.wait_turn(reason, losses) {
            losses += 1;
            if self.spin(0) {
                let mut waiters = self.waiters.lock();
                waiters.on_its_way = false;
                self.cover(&waiters);
                return;
            }
        }
    }

    /// Looks for a moment whether the lock becomes free, and takes it. Gives up when a bit of `discouraged` is seen: those
    /// who wait already have found that it does not pay.
    fn spin(&self, discouraged: u32) -> bool {
        spin(|| {
            let seen = self.state.load(Ordering::Relaxed);
            if seen & (LOCKED | HANDOFF) == 0 && self.try_lock() {
                Some(true)
            } else {
                (seen & discouraged != 0).then_some(false)
            }
        })
        .unwrap_or(false)
    }

    /// Queues and parks. Answers true with the lock taken; false when woken to try again, and then the caller is the one
    /// on its way. `losses` is how often that was.
    fn wait_turn(&self, reason: Reason, losses: u32) -> bool {
        let handed = Cell::new(false);
        let wait = Wait::new();
        let node = Node::new(wait.party(), 0, (&raw const handed).cast_mut().cast());
        let place = NonNull::from(&node);

        let mut waiters = self.waiters.lock();
        if losses > 0 {
            waiters.on_its_way = false;
        }
        let wake = if waiters.on_its_way { 0 } else { WAKE };
        let handoff = if losses >= PATIENCE { HANDOFF } else { 0 };
        let mut seen = self.state.load(Ordering::Relaxed);
        loop {
            let free = seen & (LOCKED | HANDOFF) == 0;
            let next = if free { seen | LOCKED } else { seen | wake | handoff };
            // Acquire if we take the lock, as in `lock`. The flags need no order: who sees them locks the queue.
            match self.state.compare_exchange_weak(seen, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) if free => {
                    self.cover(&waiters);
                    return true;
                }
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        // SAFETY: the node is new, its party prepared by `Wait::new`, and it is taken out before this function returns:
        // by its claimer, or below.
        unsafe {
            if losses > 0 {
                waiters.queue.push_front(place);
            } else {
                waiters.queue.push(place);
            }
        }
        drop(waiters);

        match wait.park(reason, None) {
            Ok(_) => handed.get(),
            Err(missed) => {
                let mut waiters = self.waiters.lock();
                // SAFETY: the node stands in this queue or in none.
                let stood = unsafe { waiters.queue.remove(place) };
                if stood && handoff != 0 {
                    // One waiter at a time can be starving, the one that was on its way last, and that is us.
                    self.state.fetch_and(!HANDOFF, Ordering::Relaxed);
                }
                // The lock may have been given back for our sake, by one who now waits for the queue's lock and will
                // find HANDOFF gone: it wakes the next, if WAKE is set, which it is if somebody is there.
                drop(waiters);
                drop(wait);
                missed.raise();
                unreachable!("a lock has no deadline of its own")
            }
        }
    }

    /// Sets `WAKE` if somebody waits and nobody is on its way. Called by the holder, so that it comes to be seen.
    fn cover(&self, waiters: &Waiters) {
        if !waiters.on_its_way && !waiters.queue.is_empty() {
            // Relaxed: seen at the latest by our own `unlock`.
            self.state.fetch_or(WAKE, Ordering::Relaxed);
        }
    }

    /// The lock has been given back while somebody waited: wakes the first, or hands it the lock.
    #[cold]
    #[inline(never)]
    fn pass_on(&self) {
        let mut waiters = self.waiters.lock();
        let claimed = self.pass_on_locked(&mut waiters);
        drop(waiters);
        // Wakes, now that the queue is unlocked.
        drop(claimed);
    }

    fn pass_on_locked(&self, waiters: &mut Waiters) -> Option<Claimed> {
        // Relaxed: WAKE and HANDOFF change with the queue locked only.
        let seen = self.state.load(Ordering::Relaxed);
        if seen & HANDOFF != 0 {
            // Acquire: the next holder sees, through us, what the last one wrote.
            if self.state.fetch_or(LOCKED, Ordering::Acquire) & LOCKED != 0 {
                // Taken meanwhile: by one who will find HANDOFF, now or when it gives the lock back.
                return None;
            }
            let Some(claimed) = waiters.queue.claim_next() else {
                // It has missed its wait, and so have the others. Release: as in `unlock`.
                self.state.fetch_and(!(LOCKED | WAKE | HANDOFF), Ordering::Release);
                return None;
            };
            // SAFETY: the payload is the `Cell<bool>` on the stack of the party that we have claimed and not yet woken.
            unsafe { &*claimed.payload.cast::<Cell<bool>>() }.set(true);
            let done = if waiters.queue.is_empty() { HANDOFF | WAKE } else { HANDOFF };
            self.state.fetch_and(!done, Ordering::Relaxed);
            return Some(claimed);
        }
        if seen & WAKE == 0 {
            return None;
        }
        let claimed = waiters.queue.claim_next();
        waiters.on_its_way = claimed.is_some();
        self.state.fetch_and(!WAKE, Ordering::Relaxed);
        claimed
    }
}
