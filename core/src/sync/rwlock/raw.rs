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
//!   So the canceller or the timer removes it (`WaitList::wait_strictly`).

use core::panic::Location;

use crate::primitives::{AtomicU32, MODEL, Ordering, maybe_const};
use crate::sync::spin::spin;
use crate::wait::{Kind, Queue, Reason, WaitList, WaitOptions, Waited};

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
    /// The first queue has the readers, the second the writers. The payload of a writer is whether it was handed the
    /// lock. A claimed reader always was.
    waiters: WaitList<Waiters, bool, 2>,
}

#[derive(Debug)]
struct Waiters {
    /// A writer has been woken, and has neither taken the lock nor queued again.
    on_its_way: bool,
    /// A writer has lost often enough and is handed the lock next. It is at the front of its queue.
    starving: bool,
}

type Queues<'a> = [Queue<'a, bool>; 2];

const READERS: usize = 0;
const WRITERS: usize = 1;

/// Returns `QUEUED` if one of the queues is not empty.
fn queued([readers, writers]: &Queues<'_>) -> u32 {
    if readers.is_empty() && writers.is_empty() { 0 } else { QUEUED }
}

impl RawRwLock {
    maybe_const! {
        /// Creates a free lock.
        pub(super) const fn new() -> RawRwLock {
            RawRwLock {
                state: AtomicU32::new(0),
                waiters: WaitList::new(Waiters { on_its_way: false, starving: false }),
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
            self.waiters.update(|_, queues| {
                // Waiting readers may enter as well. As in `after_writer`, no other thread can change the state here,
                // because `WRITER` is set and the queues are locked.
                let readers = claim_readers(queues);
                // Release: those readers see what this writer wrote.
                self.state.store((READER + readers) | queued(queues), Ordering::Release);
            });
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
        let options = WaitOptions::new(Reason::at(Kind::Lock, self, location)).in_queue(READERS).with(true);
        let look =
            |_: &mut Waiters, _: &mut Queues<'_>| self.enter_or_queue(WRITER | QUEUED, READER).then_some(());
        // If the wait was claimed, this thread holds the lock: the claimer has added it to the count of readers.
        if let Err(error) = self.waiters.wait_strictly(options, look, |_, queues| self.uncover(queues)) {
            error.raise();
            unreachable!("a lock has no deadline of its own");
        }
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
                self.waiters.update(|waiters, _| waiters.on_its_way = false);
                return;
            }
        }
    }

    /// Queues to write, and parks. Returns true if the caller has the lock. Returns false if the caller was woken to
    /// try again; then it is the writer on its way. `losses` is the number of times that this has happened.
    fn wait_turn(&self, reason: Reason, losses: u32) -> bool {
        let options = WaitOptions::new(reason).in_queue(WRITERS).at_front(losses > 0).with(false);
        let starves = losses >= PATIENCE;
        let look = |waiters: &mut Waiters, _: &mut Queues<'_>| {
            if losses > 0 {
                waiters.on_its_way = false;
            }
            let taken = self.enter_or_queue(!QUEUED, WRITER);
            waiters.starving |= starves && !taken;
            taken.then_some(())
        };
        let left = |waiters: &mut Waiters, queues: &mut Queues<'_>| {
            if starves {
                waiters.starving = false;
            }
            self.uncover(queues);
            self.let_readers_in(queues);
        };
        match self.waiters.wait_strictly(options, look, left) {
            Ok(Waited::Found(())) => true,
            Ok(Waited::Woken(handed)) => handed,
            Err(error) => {
                error.raise();
                unreachable!("a lock has no deadline of its own")
            }
        }
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
        self.waiters.update(|waiters, queues| {
            // Acquire: the next holder sees that the readers are done, because it synchronizes with this thread by its
            // claim.
            let taken =
                self.state.compare_exchange(QUEUED, WRITER, Ordering::Acquire, Ordering::Relaxed).is_ok();
            // If this thread has taken the lock, no other thread can change the state, because the queues are locked.
            // Otherwise another thread was faster, and sees `QUEUED` when it releases the lock. Or no waiter is left.
            if taken && !self.hand_to_writer(waiters, queues) {
                self.after_writer(waiters, queues);
            }
        });
    }

    /// Called when the writer has to release the lock and the queues may not be empty.
    #[cold]
    #[inline(never)]
    fn writer_gone(&self) {
        self.waiters.update(|waiters, queues| self.after_writer(waiters, queues));
    }

    /// Passes the lock on. The caller holds it as a writer and has the queues locked. The lock goes to all waiting
    /// readers. If there are none, it goes to the first writer if that one starves. Otherwise it is released, and the
    /// first writer is woken.
    ///
    /// Here and in `hand_to_writer`, only the caller can change the state: newcomers find `WRITER` set, and a thread
    /// that wants to queue waits for the lock of the queues.
    fn after_writer(&self, waiters: &mut Waiters, queues: &mut Queues<'_>) {
        let readers = claim_readers(queues);
        if readers > 0 {
            // Release: the readers see what the writer wrote.
            self.state.store(readers | queued(queues), Ordering::Release);
            return;
        }
        if waiters.starving && self.hand_to_writer(waiters, queues) {
            return;
        }
        if !waiters.on_its_way {
            waiters.on_its_way = queues[WRITERS].claim_next().is_some();
        }
        // Release: the next holder sees what this writer wrote.
        self.state.store(queued(queues), Ordering::Release);
    }

    /// Hands the lock to the first writer in the queue, and returns whether there is one. The caller holds the lock
    /// as a writer and has the queues locked.
    fn hand_to_writer(&self, waiters: &mut Waiters, queues: &mut Queues<'_>) -> bool {
        waiters.starving = false;
        let Some(handed) = queues[WRITERS].claim_next() else { return false };
        *handed = true;
        // Relaxed: the new holder synchronizes with this thread by its claim.
        self.state.store(WRITER | queued(queues), Ordering::Relaxed);
        true
    }

    /// Lets waiting readers in after a writer has left its queue, if no other writer waits. The caller has the queues
    /// locked.
    fn let_readers_in(&self, queues: &mut Queues<'_>) {
        if queues[READERS].is_empty() || !queues[WRITERS].is_empty() {
            return;
        }
        let mut seen = self.state.load(Ordering::Relaxed);
        // If a writer holds the lock, it lets the readers in when it releases the lock.
        while seen & WRITER == 0 {
            assert!(seen < TOO_MANY, "too many readers of a lock");
            // Acquire: pairs with the Release of the last writer. The caller's own hold keeps writers out until the
            // readers have theirs.
            match self.state.compare_exchange_weak(seen, seen + READER, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => {
                    let readers = claim_readers(queues);
                    // Relaxed: the readers share the hold of the caller, which has synchronized with the last writer.
                    self.state.fetch_add(readers, Ordering::Relaxed);
                    self.uncover(queues);
                    // Both queues are empty, and stay so while they are locked. So if this is the last hold, there is
                    // no waiter to hand the lock to. Release: as in `unlock_read`.
                    self.state.fetch_sub(READER, Ordering::Release);
                    return;
                }
                Err(now) => seen = now,
            }
        }
    }

    /// Clears `QUEUED` if both queues are empty, after a waiter has left. The caller has the queues locked.
    fn uncover(&self, queues: &Queues<'_>) {
        if queued(queues) == 0 {
            // Relaxed: a thread that relies on the flag has the queues locked.
            self.state.fetch_and(!QUEUED, Ordering::Relaxed);
        }
    }
}

/// Claims all waiting readers. Returns what they add to the state.
fn claim_readers(queues: &mut Queues<'_>) -> u32 {
    let readers = queues[READERS].claim_all().count();
    u32::try_from(readers).expect("far fewer than 2^29 are in a queue") * READER
}
