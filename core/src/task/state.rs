//! The state word of a task: its references and its phase, and every transition.
//!
//! ```text
//!   63 … 8       7        6        5          4        3        2        1         0
//!   references   unused   AWAITED  ABANDONED  BUSY     WOKEN    WAITED   INTEREST  DONE
//! ```
//!
//! | bit | set by | meaning |
//! |---|---|---|
//! | `DONE` | the task, once | the output is there, and the task never runs again |
//! | `INTEREST` | `new`; cleared by the join handle | a handle exists, and the output is for it, which it has not taken |
//! | `WAITED` | a joiner, under the join state's lock | a joiner waits for `DONE`: take the join state's lock and wake it |
//! | `AWAITED` | the poll of the handle, under the join state's lock | the join state has, or had, the waker of the task that polls the handle |
//! | `BUSY` | the waker of an idle stackless task, which queues it | it is queued, or runs, perhaps parked meanwhile |
//! | `WOKEN` | wakers of a busy stackless task | another run is to follow, if the present one has begun |
//! | `ABANDONED` | the runtime, at its end | its joiners do not wait for it any more. It may still run, and even end |
//!
//! References are held by: the runtime until the task is done; the join handle; each `Thread` handle; each waker.

use core::fmt;

use crate::primitives::{AtomicUsize, Ordering, acquire_all};

const DONE: usize = 1;
const INTEREST: usize = 2;
const WAITED: usize = 4;
const WOKEN: usize = 8;
const BUSY: usize = 16;
const ABANDONED: usize = 32;
const AWAITED: usize = 64;
const REFERENCE: usize = 256;

/// The state word.
pub(crate) struct State(AtomicUsize);

/// The work that remains for a task that has just ended, or was abandoned.
#[must_use]
#[derive(Default)]
pub(crate) struct Ended {
    /// Set if no handle will take the output: the task drops it.
    pub(crate) unwanted: bool,
    /// Set if a joiner waits for the end.
    pub(crate) waited: bool,
    /// Set if the handle was polled: the join state may have a waker.
    pub(crate) awaited: bool,
}

impl State {
    /// The state of a task that is held by the runtime and by a join handle.
    pub(crate) fn new() -> State {
        State(AtomicUsize::new((2 * REFERENCE) | INTEREST))
    }

    /// The state of a process: held by the runtime and by one reference, with no join handle. It is to be queued as if
    /// woken.
    pub(crate) fn of_process() -> State {
        State(AtomicUsize::new((2 * REFERENCE) | BUSY))
    }

    /// Adds a reference. The caller holds one already.
    #[inline]
    pub(crate) fn retain(&self) {
        // Relaxed: a new reference is made from an old one, which already keeps the task alive.
        let seen = self.0.fetch_add(REFERENCE, Ordering::Relaxed);
        assert!(seen < usize::MAX / 2, "too many references to one green thread");
    }

    /// Releases a reference. Returns true if it was the last: then the caller frees the task.
    #[inline]
    #[must_use]
    pub(crate) fn release(&self) -> bool {
        self.subtract(REFERENCE)
    }

    fn subtract(&self, amount: usize) -> bool {
        // Acquire: the only holder left needs no exchange, but must see what the others did before they released
        // theirs.
        if self.0.load(Ordering::Acquire) / REFERENCE == 1 {
            return true;
        }
        // Release, then Acquire by the last: all uses happen before the task is freed.
        if self.0.fetch_sub(amount, Ordering::Release) / REFERENCE == 1 {
            acquire_all(&self.0);
            return true;
        }
        false
    }

    /// Marks the task as ended. Its output is in place.
    #[inline]
    pub(crate) fn end(&self) -> Ended {
        // Acquire: if only the runtime's reference is left, this thread sees all that the other holders did.
        let seen = self.0.load(Ordering::Acquire);
        if seen / REFERENCE == 1 && seen & INTEREST == 0 {
            return Ended { unwanted: true, ..Ended::default() };
        }
        // AcqRel: a thread that finds DONE sees the output, and this thread sees what a joiner wrote.
        let seen = self.0.fetch_or(DONE, Ordering::AcqRel);
        Ended { unwanted: seen & INTEREST == 0, waited: seen & WAITED != 0, awaited: seen & AWAITED != 0 }
    }

    /// Returns whether the task has ended. Then the thread that has the right to the output may read it.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.0.load(Ordering::Acquire) & DONE != 0
    }

    /// Returns whether a joiner need not wait: the task has ended or been abandoned.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        // Acquire: a joiner that finds DONE sees the output.
        self.0.load(Ordering::Acquire) & (DONE | ABANDONED) != 0
    }

    /// Returns whether a stackless task was woken since its present run began.
    #[inline]
    pub(crate) fn is_woken(&self) -> bool {
        // Relaxed: a caller that finds the bit set goes on to `begin_run` or `end_run`.
        self.0.load(Ordering::Relaxed) & WOKEN != 0
    }

    /// Returns whether a stackless task is queued, or runs.
    pub(crate) fn is_busy(&self) -> bool {
        // Relaxed: a hint.
        self.0.load(Ordering::Relaxed) & BUSY != 0
    }

    /// Announces a joiner that is about to wait. Returns false if it need not wait any more.
    #[must_use]
    pub(crate) fn wait_for_end(&self) -> bool {
        self.0.fetch_or(WAITED, Ordering::AcqRel) & (DONE | ABANDONED) == 0
    }

    /// Announces a task that polls the handle and whose waker is about to be stored. Returns false if it need not wait
    /// any more. The caller holds the join state's lock until the waker is stored. A thread that ends the task and
    /// finds the bit takes that lock, and so finds the waker.
    #[must_use]
    pub(crate) fn await_end(&self) -> bool {
        // AcqRel: a poll that finds DONE sees the output, and the end sees what the poller did before.
        self.0.fetch_or(AWAITED, Ordering::AcqRel) & (DONE | ABANDONED) == 0
    }

    /// Returns whether the handle was polled before the task's end.
    #[inline]
    pub(crate) fn is_awaited(&self) -> bool {
        // Relaxed: only the handle sets the bit, and it is the handle that asks.
        self.0.load(Ordering::Relaxed) & AWAITED != 0
    }

    /// Returns whether the handle has not taken the output of a task that has ended. The handle calls this.
    #[inline]
    pub(crate) fn has_output(&self) -> bool {
        // Relaxed: only the handle clears the bit.
        self.0.load(Ordering::Relaxed) & INTEREST != 0
    }

    /// Records that the handle has taken the output, and is still there. The task has ended.
    pub(crate) fn output_taken(&self) {
        // Relaxed: after the end, only the handle reads the bit.
        self.0.fetch_and(!INTEREST, Ordering::Relaxed);
    }

    /// Marks the task as abandoned, so that no joiner waits for its end. Returns which waiters there are now.
    pub(crate) fn abandon(&self) -> Ended {
        // AcqRel: this thread sees what a joiner wrote. Nothing of the task's is read through the bit.
        let seen = self.0.fetch_or(ABANDONED, Ordering::AcqRel);
        let is_done = seen & DONE != 0;
        Ended {
            unwanted: false,
            waited: !is_done && seen & WAITED != 0,
            awaited: !is_done && seen & AWAITED != 0,
        }
    }

    /// Releases the join handle. If the task has not ended, the task drops its output itself, and this returns `Some`:
    /// of true if the handle's reference was the last, and the caller frees the task. If the task has ended, this
    /// returns `None` and changes nothing: the handle drops the output, and still holds its reference.
    #[inline]
    #[must_use]
    pub(crate) fn drop_handle(&self) -> Option<bool> {
        let mut seen = self.0.load(Ordering::Acquire);
        loop {
            if seen & DONE != 0 {
                return None;
            }
            let new = seen - REFERENCE - INTEREST;
            // AcqRel: the caller's uses happen before the task's end, or the task's uses before the caller frees it.
            match self.0.compare_exchange_weak(seen, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(seen / REFERENCE == 1),
                Err(now) => seen = now,
            }
        }
    }

    /// Wakes a stackless task. Returns true if the caller must queue it.
    #[must_use]
    pub(crate) fn wake(&self) -> bool {
        // Relaxed: the exchange decides.
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            if seen & DONE != 0 {
                return false;
            }
            let bit = if seen & BUSY == 0 { BUSY } else { WOKEN };
            // AcqRel, even if the exchange changes nothing: the run that follows sees what this waker did, whichever
            // waker queued it.
            match self.0.compare_exchange_weak(seen, seen | bit, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return bit == BUSY,
                Err(now) => seen = now,
            }
        }
    }

    /// Marks a stackless task as queued, at its spawn.
    pub(crate) fn mark_woken(&self) {
        // Relaxed: no other thread has the task yet.
        self.0.fetch_or(BUSY, Ordering::Relaxed);
    }

    /// Marks that a stackless task starts a run, or looks again at all there is to do. Later wake-ups ask for another
    /// run.
    #[inline]
    pub(crate) fn begin_run(&self) {
        if self.is_woken() {
            // Acquire: the run sees what its wakers did. A later waker finds the bit clear, and sets it again.
            self.0.fetch_and(!WOKEN, Ordering::Acquire);
        }
    }

    /// Makes a stackless task idle. Returns true if it was woken meanwhile, and the caller must queue it again. If
    /// this returns false, the task belongs to its next waker, and the caller must not touch it.
    #[inline]
    #[must_use]
    pub(crate) fn end_run(&self) -> bool {
        // Relaxed: the exchange decides. The next run clears WOKEN.
        let mut seen = self.0.load(Ordering::Relaxed);
        while seen & WOKEN == 0 {
            // AcqRel: the next run sees what this run did. The thread that ends the runtime sees what wakers did
            // before.
            match self.0.compare_exchange_weak(seen, seen & !BUSY, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return false,
                Err(now) => seen = now,
            }
        }
        true
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Relaxed: debug output only.
        let seen = self.0.load(Ordering::Relaxed);
        f.debug_struct("State")
            .field("done", &(seen & DONE != 0))
            .field("interest", &(seen & INTEREST != 0))
            .field("waited", &(seen & WAITED != 0))
            .field("awaited", &(seen & AWAITED != 0))
            .field("woken", &(seen & WOKEN != 0))
            .field("busy", &(seen & BUSY != 0))
            .field("abandoned", &(seen & ABANDONED != 0))
            .field("references", &(seen / REFERENCE))
            .finish()
    }
}
