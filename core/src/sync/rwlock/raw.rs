//! The reader-writer lock without its value: the readers, the writer, the waiters, and which waiter is next.
//!
//! While both readers and writers wait, they take turns:
//!
//! ```text
//!            the last reader releases: the first writer in the queue is handed the lock
//!   readers ─────────────────────────────────────────────────────────────────────────► writer
//!           ◄─────────────────────────────────────────────────────────────────────────
//!            the writer releases: all readers in the queue are handed the lock
//!
//!   writer ────────► writer    no reader waits: the first writer is woken, and competes with newcomers, as in a mutex;
//!                              after 4 losses it is handed the lock
//! ```
//!
//! - *No reader starves.* A waiting reader waits at most for the writer that holds the lock. If a waiting writer held
//!   it back, it waits for the readers before that writer and then for that writer.
//! - *No writer starves.* While a writer is in the queue, no new reader gets the lock, so the readers finish. Then
//!   this writer, or one that arrived before it, is handed the lock. Against barging writers, it loses at most four
//!   times.
//! - *No wake-up is lost.* While a queue is not empty, `QUEUED` is set. Also, the lock is held by a thread that sees
//!   the flag when it releases the lock, or a writer is on its way, which takes the lock or finds it held. One
//!   compare-and-swap, with the queues locked, sets `QUEUED` and checks that this is so.
//! - *No cancelled or timed-out waiter holds up others.* While such a waiter is in its queue, it keeps newcomers out.
//!   So its wait has a [`Withdrawal`], with which the canceller or the timer removes it.

use core::cell::Cell;
use core::panic::Location;

use crate::primitives::{AtomicU32, Lock, MODEL, Ordering, maybe_const};
use crate::sync::chain::{Chain, Slot};
use crate::sync::gate::claim_all;
use crate::sync::spin::spin;
use crate::wait::{Claimed, Kind, Node, Reason, Wait, WaitQueue, Withdrawal};

/// A writer holds the lock.
const WRITER: u32 = 1;
/// One of the queues is not empty.
const QUEUED: u32 = 2;
/// The unit of the count of readers that hold the lock.
const READER: u32 = 4;
/// This many readers are too many: guards have been leaked.
const TOO_MANY: u32 = u32::MAX / 2;

/// How many times a writer is woken in vain before it is handed the lock.
const PATIENCE: u32 = if MODEL { 1 } else { 4 };

/// A reader-writer lock without a value.
#[derive(Debug)]
pub(super) struct RawRwLock {
    /// | bits | set by | cleared by |
    /// |---|---|---|
    /// | `WRITER` | a thread that takes the lock; stays set when it is handed to a writer | the writer |
    /// | `READER`, a count | a thread that takes the lock, or that hands it to readers, for all of them | each reader |
    /// | `QUEUED` | a thread that queues | a thread that removes the last node |
    ///
    /// `QUEUED` changes only with the queues locked. A writer may take the lock while `QUEUED` is set; a reader may
    /// not.
    state: AtomicU32,
    waiters: Lock<Waiters>,
}

#[derive(Debug)]
struct Waiters {
    /// The payload of each node is its `Slot`. A claimed reader is always handed the lock.
    readers: WaitQueue,
    /// The payload of each node is the `Cell<bool>` that is set when the writer is handed the lock.
    writers: WaitQueue,
    /// A writer has been woken, and has neither taken the lock nor queued again.
    on_its_way: bool,
    /// A writer has lost often enough and is handed the lock next. It is at the front of its queue.
    starving: bool,
}

impl Waiters {
    fn queued(&self) -> u32 {
        if self.readers.is_empty() && self.writers.is_empty() { 0 } else { QUEUED }
    }
}

/// Wake-ups, to be dropped after the queues are unlocked.
#[must_use = "wakes when dropped: hold it until the queues are unlocked"]
enum Woken {
    Readers { _chain: Chain },
    Writer { _claimed: Claimed },
    Nobody,
}

impl RawRwLock {
    maybe_const! {
        /// Creates a free lock.
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

    /// Takes the lock for reading.
    #[inline]
    pub(super) fn read(&self, location: &'static Location<'static>) {
        if !self.try_read() {
            self.read_contended(location);
        }
    }

    /// Takes the lock for writing.
    #[inline]
    pub(super) fn write(&self, location: &'static Location<'static>) {
        // Acquire: pairs with the Release of the threads that release the lock.
        if self.state.compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.write_contended(location);
        }
    }

    /// Takes the lock for reading if no writer holds it or waits. Returns whether it took the lock.
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

    /// Takes the lock for writing if no thread holds it. Returns whether it took the lock.
    #[inline]
    pub(super) fn try_write(&self) -> bool {
        let mut seen = self.state.load(Ordering::Relaxed);
        while seen & !QUEUED == 0 {
            // Acquire: pairs with the Release of the threads that release the lock.
            match self.state.compare_exchange_weak(seen, seen | WRITER, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Releases a reader's hold.
    #[inline]
    pub(super) fn unlock_read(&self) {
        // Release: the next writer's writes come after this reader's reads.
        if self.state.fetch_sub(READER, Ordering::Release) == READER | QUEUED {
            self.readers_gone();
        }
    }

    /// Releases the writer's hold.
    #[inline]
    pub(super) fn unlock_write(&self) {
        // Release: the next holder sees what this writer wrote.
        if self.state.compare_exchange(WRITER, 0, Ordering::Release, Ordering::Relaxed).is_err() {
            self.writer_gone();
        }
    }

    /// Turns the writer's hold into a reader's, without letting another writer in.
    pub(super) fn downgrade(&self) {
        // Release: the other readers see what this writer wrote.
        if self.state.compare_exchange(WRITER, READER, Ordering::Release, Ordering::Relaxed).is_err() {
            let mut waiters = self.waiters.lock();
            // Waiting readers may enter as well. As in `after_writer`, no other thread can change the state here,
            // because `WRITER` is set and the queues are locked.
            // Release: those readers see what this writer wrote.
            let (chain, readers) = claim_readers(&mut waiters);
            self.state.store((READER + readers) | waiters.queued(), Ordering::Release);
            drop(waiters);
            drop(chain);
        }
    }

    #[cold]
    #[inline(never)]
    fn read_contended(&self, location: &'static Location<'static>) {
        // If a waiter holds this reader back (`QUEUED`), it stops spinning, because that wait takes longer than a
        // spin.
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
        // SAFETY: the queues are locked, and the node is added to one before they are unlocked. The wait is parked
        // below.
        let wait = unsafe { Wait::withdrawable(crate::wait::CurrentWaiter::current(), &withdrawal) };
        let node = Node::new(wait.waiter(), 0, (&raw const slot).cast_mut().cast());
        withdrawal.set_node((&node).into());
        // SAFETY: the node is new, `Wait::withdrawable` has opened its wait, and it does not move. It leaves the
        // queue before this function returns: a claimer or a withdrawal removes it, or the code below does.
        unsafe { waiters.readers.push((&node).into()) };
        drop(waiters);
        // If the wait was claimed, this thread holds the lock: the claimer has added it to the count of readers.
        if let Err(error) = wait.park_withdrawable(&withdrawal, None) {
            self.reader_leaves(&withdrawal);
            drop(wait);
            error.raise();
            unreachable!("a lock has no deadline of its own");
        }
    }

    fn reader_leaves(&self, withdrawal: &Withdrawal) {
        let mut waiters = self.waiters.lock();
        if let Some(node) = withdrawal.node() {
            // SAFETY: the node is in this queue or in none.
            unsafe { waiters.readers.remove(node) };
        }
        self.uncover(&waiters);
    }

    /// Withdraws a reader.
    ///
    /// # Safety
    ///
    /// `lock` is the one that the owner of the withdrawal waits for.
    unsafe fn withdraw_reader(lock: *const (), withdrawal: &Withdrawal) {
        // SAFETY: the pointer is to the lock that the owner waits for, and the owner borrows it while it waits.
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
                // `QUEUED` is set if there is a waiter, and this thread sees it when it releases the lock.
                self.waiters.lock().on_its_way = false;
                return;
            }
        }
    }

    /// Queues to write, and parks. Returns true if the caller has the lock. Returns false if the caller was woken to
    /// try again; then it is the writer on its way. `losses` is the number of times that this has happened.
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
        // SAFETY: the queues are locked, and the node is added to one before they are unlocked. The wait is parked
        // below.
        let wait = unsafe { Wait::withdrawable(crate::wait::CurrentWaiter::current(), &withdrawal) };
        let node = Node::new(wait.waiter(), 0, (&raw const handed).cast_mut().cast());
        withdrawal.set_node((&node).into());
        // SAFETY: the node is new, `Wait::withdrawable` has opened its wait, and it does not move. It leaves the
        // queue before this function returns: a claimer or a withdrawal removes it, or the code below does.
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
            Err(error) => {
                self.writer_leaves(&withdrawal, starves);
                drop(wait);
                error.raise();
                unreachable!("a lock has no deadline of its own")
            }
        }
    }

    /// Removes a waiting writer that gives up. Lets the readers in that it has held back.
    fn writer_leaves(&self, withdrawal: &Withdrawal, starves: bool) {
        let mut waiters = self.waiters.lock();
        if let Some(node) = withdrawal.node()
            // SAFETY: the node is in this queue or in none.
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

    /// Withdraws a writer.
    ///
    /// # Safety
    ///
    /// `lock` is the one that the owner of the withdrawal waits for.
    unsafe fn withdraw_writer(lock: *const (), withdrawal: &Withdrawal) {
        // SAFETY: the pointer is to the lock that the owner waits for, and the owner borrows it while it waits.
        unsafe { &*lock.cast::<RawRwLock>() }.writer_leaves(withdrawal, false);
    }

    /// Withdraws a writer that has lost `PATIENCE` times.
    ///
    /// # Safety
    ///
    /// `lock` is the one that the owner of the withdrawal waits for.
    unsafe fn withdraw_starving_writer(lock: *const (), withdrawal: &Withdrawal) {
        // SAFETY: the pointer is to the lock that the owner waits for, and the owner borrows it while it waits.
        unsafe { &*lock.cast::<RawRwLock>() }.writer_leaves(withdrawal, true);
    }

    /// Takes the lock by adding `entry` if no bit of `barred` is set, and sets `QUEUED` otherwise. Returns whether it
    /// took the lock. The caller has the queues locked.
    fn enter_or_queue(&self, barred: u32, entry: u32) -> bool {
        let mut seen = self.state.load(Ordering::Relaxed);
        loop {
            let free = seen & barred == 0;
            assert!(seen < TOO_MANY, "too many readers of a lock");
            let next = if free { seen + entry } else { seen | QUEUED };
            // Acquire: if the caller takes the lock, pairs with the Release of the threads that release it. The flag
            // needs no order, because a thread that sees it locks the queues.
            match self.state.compare_exchange_weak(seen, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return free,
                Err(now) => seen = now,
            }
        }
    }

    /// Called when the last reader has released the lock and the queues may not be empty.
    #[cold]
    #[inline(never)]
    fn readers_gone(&self) {
        let mut waiters = self.waiters.lock();
        // Acquire: the next holder sees that the readers are done, because it synchronizes with this thread by its
        // claim.
        let woken = match self.state.compare_exchange(QUEUED, WRITER, Ordering::Acquire, Ordering::Relaxed) {
            // This thread holds the lock and has the queues locked, so no other thread can change the state.
            Ok(_) => self.hand_to_writer(&mut waiters).unwrap_or_else(|| self.after_writer(&mut waiters)),
            // Another thread was faster, and sees `QUEUED` when it releases the lock. Or no waiter is left.
            Err(_) => Woken::Nobody,
        };
        drop(waiters);
        drop(woken);
    }

    /// Called when the writer has to release the lock and the queues may not be empty.
    #[cold]
    #[inline(never)]
    fn writer_gone(&self) {
        let mut waiters = self.waiters.lock();
        let woken = self.after_writer(&mut waiters);
        drop(waiters);
        drop(woken);
    }

    /// Passes the lock on. The caller holds it as a writer and has the queues locked. The lock goes to all waiting
    /// readers. If there are none, it goes to the first writer if that one starves. Otherwise it is released, and the
    /// first writer is woken.
    ///
    /// Here and in `hand_to_writer`, only the caller can change the state: newcomers find `WRITER` set, and a thread
    /// that wants to queue waits for the lock of the queues.
    fn after_writer(&self, waiters: &mut Waiters) -> Woken {
        let (chain, readers) = claim_readers(waiters);
        if readers > 0 {
            // Release: the readers see what the writer wrote.
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
        // Release: the next holder sees what this writer wrote.
        self.state.store(waiters.queued(), Ordering::Release);
        claimed.map_or(Woken::Nobody, |claimed| Woken::Writer { _claimed: claimed })
    }

    /// Hands the lock to the first writer in the queue. The caller holds it as a writer and has the queues locked.
    fn hand_to_writer(&self, waiters: &mut Waiters) -> Option<Woken> {
        waiters.starving = false;
        let claimed = waiters.writers.claim_next()?;
        // SAFETY: the payload is the `Cell<bool>` on the stack of the waiter, which is claimed and not yet woken.
        unsafe { &*claimed.payload.cast::<Cell<bool>>() }.set(true);
        // Relaxed: the new holder synchronizes with this thread by its claim.
        self.state.store(WRITER | waiters.queued(), Ordering::Relaxed);
        Some(Woken::Writer { _claimed: claimed })
    }

    /// Lets waiting readers in after a writer has left its queue, if no other writer waits. The caller has the queues
    /// locked. If this returns `Some`, the caller holds the lock as one more reader, and releases it.
    fn let_readers_in(&self, waiters: &mut Waiters) -> Option<Chain> {
        if waiters.readers.is_empty() || !waiters.writers.is_empty() {
            return None;
        }
        let mut seen = self.state.load(Ordering::Relaxed);
        while seen & WRITER == 0 {
            assert!(seen < TOO_MANY, "too many readers of a lock");
            // Acquire: pairs with the Release of the last writer. The caller's own hold keeps writers out until the
            // readers have theirs.
            match self.state.compare_exchange_weak(seen, seen + READER, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => {
                    let (chain, readers) = claim_readers(waiters);
                    // Relaxed: the readers share the hold of the caller, which has synchronized with the last writer.
                    self.state.fetch_add(readers, Ordering::Relaxed);
                    self.uncover(waiters);
                    return Some(chain);
                }
                Err(now) => seen = now,
            }
        }
        // A writer holds the lock. It lets the readers in when it releases the lock.
        None
    }

    /// Clears `QUEUED` if both queues are empty, after a waiter has left. The caller has the queues locked.
    fn uncover(&self, waiters: &Waiters) {
        if waiters.queued() == 0 {
            // Relaxed: a thread that relies on the flag has the queues locked.
            self.state.fetch_and(!QUEUED, Ordering::Relaxed);
        }
    }
}

/// Claims all waiting readers. Returns them, and what they add to the state.
fn claim_readers(waiters: &mut Waiters) -> (Chain, u32) {
    // SAFETY: the payloads of this queue are the readers' slots.
    let chain = unsafe { claim_all(&mut waiters.readers) };
    let readers = u32::try_from(chain.len()).expect("far fewer than 2^29 stand in a queue") * READER;
    (chain, readers)
}
