//! The lock without the value: who reads, who writes, who waits, who is next.
//!
//! Readers and writers take turns while both wait:
//!
//! ```text
//!            the last gives it back: the first writer in the queue is handed the lock
//!   readers ─────────────────────────────────────────────────────────────────────────► writer
//!           ◄─────────────────────────────────────────────────────────────────────────
//!            it is given back: all readers in the queue are handed the lock
//!
//!   writer ────────► writer    no reader waits: the first writer is woken, and competes with newcomers, as in a mutex;
//!                              after 4 losses it is handed the lock
//! ```
//!
//! - *No reader starves.* It waits for the writer that has the lock at most, or, if it was held back by a writer that
//!   waits, for the readers before that one and then it.
//! - *No writer starves.* While one is in the queue, no new reader gets in, so the readers come to an end, and then it, or
//!   one that came before it, is handed the lock. Against writers that barge in, it is patient four times.
//! - *No wake-up is lost.* While somebody stands in a queue, `QUEUED` is set, and the lock is held by one who will see that
//!   as it gives the lock back, or a writer is on its way, who will take the lock or find it held. `QUEUED` is set together
//!   with the check that this is so, in one compare-and-swap, and with the queues locked.
//! - *No waiter is held up by one that was cancelled or timed out.* While that one stands in its queue, it bars newcomers. So
//!   its wait has a [`Withdrawal`], with which the canceller or the timer takes it out.

use core::cell::Cell;
use core::panic::Location;

use crate::facade::{AtomicU32, Lock, MODEL, Ordering, maybe_const};
use crate::sync::chain::{Chain, Slot};
use crate::sync::gate::claim_all;
use crate::sync::spin::spin;
use crate::wait::{Claimed, Kind, Node, Reason, Wait, WaitQueue, Withdrawal};

/// A writer holds the lock.
const WRITER: u32 = 1;
/// Somebody stands in a queue.
const QUEUED: u32 = 2;
/// One reader more holds the lock.
const READER: u32 = 4;
/// So many readers are too many: guards have been leaked.
const TOO_MANY: u32 = u32::MAX / 2;

/// How many times a writer is woken for nothing before it is handed the lock.
const PATIENCE: u32 = if MODEL { 1 } else { 4 };

/// A reader-writer lock without a value.
#[derive(Debug)]
pub(super) struct RawRwLock {
    /// | bits | set by | cleared by |
    /// |---|---|---|
    /// | `WRITER` | who takes the lock to write; stays set when it is handed to a writer | the writer |
    /// | `READER`, a count | who takes the lock to read; or who hands it to readers, for all of them | each reader |
    /// | `QUEUED` | with the queues locked: who queues | with the queues locked: who takes out the last |
    ///
    /// A writer may take the lock with `QUEUED` set, a reader not.
    state: AtomicU32,
    waiters: Lock<Waiters>,
}

#[derive(Debug)]
struct Waiters {
    /// The payload of each is its `Slot`. They are always handed the lock.
    readers: WaitQueue,
    /// The payload of each is the `Cell<bool>` that says whether it was handed the lock.
    writers: WaitQueue,
    /// A writer has been woken, and has neither taken the lock nor queued again.
    on_its_way: bool,
    /// A writer has lost often enough: the next is handed the lock. It stands at the front.
    starving: bool,
}

impl Waiters {
    fn queued(&self) -> u32 {
        if self.readers.is_empty() && self.writers.is_empty() { 0 } else { QUEUED }
    }
}

/// Wake-ups to be dropped with the queues unlocked.
#[must_use = "wakes when dropped: hold it until the queues are unlocked"]
enum Woken {
    Readers { _chain: Chain },
    Writer { _claimed: Claimed },
    Nobody,
}

impl RawRwLock {
    maybe_const! {
        /// A free lock.
        pub(super) const fn new() -> RawRwLock {
            RawRwLock {
                state: AtomicU32::new(0),
                waiters: Lock::new(Waiters {
                    readers: WaitQueue::new(),
                    writers: WaitQueue::new(),
                    on_its_way: false,
                    starving: false,
                }),
            }
        }
    }

    /// Takes the lock to read.
    #[inline]
    pub(super) fn read(&self, location: &'static Location<'static>) {
        if !self.try_read() {
            self.read_contended(location);
        }
    }

    /// Takes the lock to write.
    #[inline]
    pub(super) fn write(&self, location: &'static Location<'static>) {
        // Acquire: pairs with the Release of those who give it back.
        if self.state.compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.write_contended(location);
        }
    }

    /// Takes the lock to read if no writer has it or waits.
    #[inline]
    pub(super) fn try_read(&self) -> bool {
        let mut seen = self.state.load(Ordering::Relaxed);
        while seen & (WRITER | QUEUED) == 0 {
            assert!(seen < TOO_MANY, "too many readers of a lock");
            // Acquire: pairs with the Release of the last writer.
            match self.state.compare_exchange_weak(seen, seen + READER, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Takes the lock to write if nobody has it.
    #[inline]
    pub(super) fn try_write(&self) -> bool {
        let mut seen = self.state.load(Ordering::Relaxed);
        while seen & !QUEUED == 0 {
            // Acquire: as in `write`.
            match self.state.compare_exchange_weak(seen, seen | WRITER, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Gives back what a reader holds.
    #[inline]
    pub(super) fn unlock_read(&self) {
        // Release: the next writer must not write before we have read.
        if self.state.fetch_sub(READER, Ordering::Release) == READER | QUEUED {
            self.readers_gone();
        }
    }

    /// Gives back what a writer holds.
    #[inline]
    pub(super) fn unlock_write(&self) {
        // Release: what we wrote is seen by the next.
        if self.state.compare_exchange(WRITER, 0, Ordering::Release, Ordering::Relaxed).is_err() {
            self.writer_gone();
        }
    }

    /// Makes a writer a reader, without letting another writer in.
    pub(super) fn downgrade(&self) {
        // Release: what we wrote is seen by the other readers.
        if self.state.compare_exchange(WRITER, READER, Ordering::Release, Ordering::Relaxed).is_err() {
            let mut waiters = self.waiters.lock();
            // Those who wait to read may come in as well. As in `after_writer`.
            let (chain, readers) = claim_readers(&mut waiters);
            self.state.store((READER + readers) | waiters.queued(), Ordering::Release);
            drop(waiters);
            drop(chain);
        }
    }

    #[cold]
    #[inline(never)]
    fn read_contended(&self, location: &'static Location<'static>) {
        // Held back by one who waits, a reader waits too: that will take longer than a spin.
        let spun = spin(|| {
            if self.try_read() {
                return Some(true);
            }
            (self.state.load(Ordering::Relaxed) & QUEUED != 0).then_some(false)
        });
        if spun == Some(true) {
            return;
        }
        let mut waiters = self.waiters.lock();
        if self.enter_or_queue(WRITER | QUEUED, READER) {
            return;
        }
        let slot = Slot::new();
        let reason = Reason::at(Kind::Lock, self, location);
        let withdrawal =
            Withdrawal::new(reason, core::ptr::from_ref(self).cast(), RawRwLock::withdraw_reader);
        // SAFETY: the queues are locked, and the node stands in one before they are unlocked. The wait is parked below.
        let wait = unsafe { Wait::withdrawable(&withdrawal) };
        let node = Node::new(wait.party(), 0, (&raw const slot).cast_mut().cast());
        withdrawal.set_node((&node).into());
        // SAFETY: the node is new, its party prepared by `Wait::withdrawable`, and it is taken out before this function
        // returns: by its claimer, or below.
        unsafe { waiters.readers.push((&node).into()) };
        drop(waiters);
        // Claimed: the lock is ours, whoever claimed us has counted us in.
        if let Err(missed) = wait.park_withdrawable(&withdrawal, None) {
            self.reader_leaves(&withdrawal);
            drop(wait);
            missed.raise();
            unreachable!("a lock has no deadline of its own");
        }
    }

    fn reader_leaves(&self, withdrawal: &Withdrawal) {
        let mut waiters = self.waiters.lock();
        if let Some(node) = withdrawal.node() {
            // SAFETY: the node stands in this queue or in none.
            unsafe { waiters.readers.remove(node) };
        }
        self.uncover(&waiters);
    }

    /// # Safety
    ///
    /// `lock` is the one that the withdrawal's owner waits for.
    unsafe fn withdraw_reader(lock: *const (), withdrawal: &Withdrawal) {
        // SAFETY: by the contract, and the owner borrows it while it waits.
        unsafe { &*lock.cast::<RawRwLock>() }.reader_leaves(withdrawal);
    }

    #[cold]
    #[inline(never)]
    fn write_contended(&self, location: &'static Location<'static>) {
        let spin_write = |discouraged: u32| {
            spin(|| {
                if self.try_write() {
                    return Some(true);
                }
                (self.state.load(Ordering::Relaxed) & discouraged != 0).then_some(false)
            }) == Some(true)
        };
        if spin_write(QUEUED) {
            return;
        }
        let reason = Reason::at(Kind::Lock, self, location);
        let mut losses = 0;
        while !self.wait_turn(reason, losses) {
            losses += 1;
            if spin_write(0) {
                // `QUEUED` is set if somebody waits, and we see it as we give the lock back.
                self.waiters.lock().on_its_way = false;
                return;
            }
        }
    }

    /// Queues to write, and parks. Answers true with the lock taken; false when woken to try again, and then the caller is
    /// the one on its way. `losses` is how often that was.
    fn wait_turn(&self, reason: Reason, losses: u32) -> bool {
        let handed = Cell::new(false);
        let starves = losses >= PATIENCE;
        let withdraw = if starves { RawRwLock::withdraw_starving_writer } else { RawRwLock::withdraw_writer };
        let withdrawal = Withdrawal::new(reason, core::ptr::from_ref(self).cast(), withdraw);
        let mut waiters = self.waiters.lock();
        if losses > 0 {
            waiters.on_its_way = false;
        }
        if self.enter_or_queue(!QUEUED, WRITER) {
            return true;
        }
        waiters.starving |= starves;
        // SAFETY: the queues are locked, and the node stands in one before they are unlocked. The wait is parked below.
        let wait = unsafe { Wait::withdrawable(&withdrawal) };
        let node = Node::new(wait.party(), 0, (&raw const handed).cast_mut().cast());
        withdrawal.set_node((&node).into());
        // SAFETY: the node is new, its party prepared by `Wait::withdrawable`, and it is taken out before this function
        // returns: by its claimer, or below.
        unsafe {
            if losses > 0 {
                waiters.writers.push_front((&node).into());
            } else {
                waiters.writers.push((&node).into());
            }
        }
        drop(waiters);
        match wait.park_withdrawable(&withdrawal, None) {
            Ok(_) => handed.get(),
            Err(missed) => {
                self.writer_leaves(&withdrawal, starves);
                drop(wait);
                missed.raise();
                unreachable!("a lock has no deadline of its own")
            }
        }
    }

    /// A writer that waits gives up. Lets the readers in that it has held back.
    fn writer_leaves(&self, withdrawal: &Withdrawal, starves: bool) {
        let mut waiters = self.waiters.lock();
        if let Some(node) = withdrawal.node()
            // SAFETY: the node stands in this queue or in none.
            && unsafe { waiters.writers.remove(node) }
            && starves
        {
            waiters.starving = false;
        }
        self.uncover(&waiters);
        let freed = self.let_readers_in(&mut waiters);
        drop(waiters);
        if let Some(chain) = freed {
            drop(chain);
            self.unlock_read();
        }
    }

    /// # Safety
    ///
    /// `lock` is the one that the withdrawal's owner waits for.
    unsafe fn withdraw_writer(lock: *const (), withdrawal: &Withdrawal) {
        // SAFETY: by the contract, and the owner borrows it while it waits.
        unsafe { &*lock.cast::<RawRwLock>() }.writer_leaves(withdrawal, false);
    }

    /// # Safety
    ///
    /// As of [`withdraw_writer`](Self::withdraw_writer).
    unsafe fn withdraw_starving_writer(lock: *const (), withdrawal: &Withdrawal) {
        // SAFETY: by the contract, and the owner borrows it while it waits.
        unsafe { &*lock.cast::<RawRwLock>() }.writer_leaves(withdrawal, true);
    }

    /// With the queues locked: takes the lock by adding `entry` if none of `barred` is there, or else sets `QUEUED`.
    /// Answers whether it took the lock.
    fn enter_or_queue(&self, barred: u32, entry: u32) -> bool {
        let mut seen = self.state.load(Ordering::Relaxed);
        loop {
            let free = seen & barred == 0;
            assert!(seen < TOO_MANY, "too many readers of a lock");
            let next = if free { seen + entry } else { seen | QUEUED };
            // Acquire if we take the lock, as in `write`. The flag needs no order: who sees it locks the queues.
            match self.state.compare_exchange_weak(seen, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return free,
                Err(now) => seen = now,
            }
        }
    }

    /// The last reader has given the lock back, while somebody waited.
    #[cold]
    #[inline(never)]
    fn readers_gone(&self) {
        let mut waiters = self.waiters.lock();
        // Acquire: the next holder sees, through us, that the readers are done.
        let woken = match self.state.compare_exchange(QUEUED, WRITER, Ordering::Acquire, Ordering::Relaxed) {
            // We hold the lock, and nobody but us can change the state while we have the queues too.
            Ok(_) => self.hand_to_writer(&mut waiters).unwrap_or_else(|| self.after_writer(&mut waiters)),
            // A writer was faster, and will see that somebody waits; or nobody does any more.
            Err(_) => Woken::Nobody,
        };
        drop(waiters);
        drop(woken);
    }

    /// A writer is to give the lock back, while somebody waits.
    #[cold]
    #[inline(never)]
    fn writer_gone(&self) {
        let mut waiters = self.waiters.lock();
        let woken = self.after_writer(&mut waiters);
        drop(waiters);
        drop(woken);
    }

    /// Holding the lock as a writer, and the queues: gives it to the readers; or to the first writer if that starves; or
    /// back, and wakes the first writer.
    ///
    /// Here and in the next two, nobody but the caller can change the state: newcomers find `WRITER`, and who wants to
    /// queue waits for the queues.
    fn after_writer(&self, waiters: &mut Waiters) -> Woken {
        let (chain, readers) = claim_readers(waiters);
        if readers > 0 {
            // Release: what the writer wrote is seen by the readers.
            self.state.store(readers | waiters.queued(), Ordering::Release);
            return Woken::Readers { _chain: chain };
        }
        if waiters.starving
            && let Some(woken) = self.hand_to_writer(waiters)
        {
            return woken;
        }
        let claimed = if waiters.on_its_way { None } else { waiters.writers.claim_next() };
        waiters.on_its_way |= claimed.is_some();
        // Release: gives the lock back.
        self.state.store(waiters.queued(), Ordering::Release);
        claimed.map_or(Woken::Nobody, |claimed| Woken::Writer { _claimed: claimed })
    }

    /// Holding the lock as a writer, and the queues: makes it the first writer's.
    fn hand_to_writer(&self, waiters: &mut Waiters) -> Option<Woken> {
        waiters.starving = false;
        let claimed = waiters.writers.claim_next()?;
        // SAFETY: the payload is the `Cell<bool>` on the stack of the party that we have claimed and not yet woken.
        unsafe { &*claimed.payload.cast::<Cell<bool>>() }.set(true);
        // Relaxed: the new holder synchronises with us by its claim.
        self.state.store(WRITER | waiters.queued(), Ordering::Relaxed);
        Some(Woken::Writer { _claimed: claimed })
    }

    /// Holding the queues: after a writer has left its queue, those whom it held back may go in if no writer is left. If
    /// so, the caller holds the lock as one reader more, and gives it back.
    fn let_readers_in(&self, waiters: &mut Waiters) -> Option<Chain> {
        if waiters.readers.is_empty() || !waiters.writers.is_empty() {
            return None;
        }
        let mut seen = self.state.load(Ordering::Relaxed);
        while seen & WRITER == 0 {
            assert!(seen < TOO_MANY, "too many readers of a lock");
            // Acquire: as in `try_read`. Our own hold keeps writers out until the others have theirs.
            match self.state.compare_exchange_weak(seen, seen + READER, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => {
                    let (chain, readers) = claim_readers(waiters);
                    // Relaxed: they hold what we hold.
                    self.state.fetch_add(readers, Ordering::Relaxed);
                    self.uncover(waiters);
                    return Some(chain);
                }
                Err(now) => seen = now,
            }
        }
        // The writer will let them in.
        None
    }

    /// Holding the queues, after somebody has left: takes `QUEUED` away if nobody is left.
    fn uncover(&self, waiters: &Waiters) {
        if waiters.queued() == 0 {
            // Relaxed: who relies on the flag has the queues locked.
            self.state.fetch_and(!QUEUED, Ordering::Relaxed);
        }
    }
}

/// Claims all who wait to read, and answers what they add to the state.
fn claim_readers(waiters: &mut Waiters) -> (Chain, u32) {
    // SAFETY: the payloads of this queue are the readers' slots.
    let chain = unsafe { claim_all(&mut waiters.readers) };
    let readers = u32::try_from(chain.len()).expect("far fewer than 2^29 stand in a queue") * READER;
    (chain, readers)
}
