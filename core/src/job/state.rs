//! The word in every job that says who still needs it, and every way in which it changes.
//!
//! ```text
//!   63 … 8       7 … 6    5          4        3        2        1         0
//!   references   unused   ABANDONED  BUSY     WOKEN    WAITED   INTEREST  DONE
//! ```
//!
//! | bit | set by | means |
//! |---|---|---|
//! | `DONE` | the job, once | the output is there, nobody will run it again |
//! | `INTEREST` | `new`; cleared by the join handle | a handle exists, and the output is for it |
//! | `WAITED` | a joiner, under the corner's lock | somebody waits for `DONE`: take the corner's lock and wake it |
//! | `BUSY` | the waker of an idle stackless job, who queues it | it is queued, or runs, perhaps parked meanwhile |
//! | `WOKEN` | wakers of a busy stackless job | another run is to follow, if the present one has begun |
//! | `ABANDONED` | the end of the runtime | its joiners do not wait for it any more. It may run, and even end, all the same |
//!
//! References are held by: the runtime until the job is done; the join handle; each `Thread` handle; each waker.

use core::fmt;

use crate::facade::{AtomicUsize, Ordering, acquire_all};

const DONE: usize = 1;
const INTEREST: usize = 2;
const WAITED: usize = 4;
const WOKEN: usize = 8;
const BUSY: usize = 16;
const ABANDONED: usize = 32;
const REFERENCE: usize = 256;

/// The word.
pub(crate) struct State(AtomicUsize);

/// What is left to do for a job that has just ended.
#[must_use]
pub(crate) struct Ended {
    /// Nobody will ask for the output: the job drops it.
    pub(crate) unwanted: bool,
    /// Somebody waits for the end.
    pub(crate) waited: bool,
}

impl State {
    /// Held by the runtime, and by a join handle.
    pub(crate) fn new() -> State {
        State(AtomicUsize::new((2 * REFERENCE) | INTEREST))
    }

    /// Held by the runtime and by one other; no join handle. It is to be queued as if woken.
    pub(crate) fn of_process() -> State {
        State(AtomicUsize::new((2 * REFERENCE) | BUSY))
    }

    /// One more holder. The caller is one already.
    #[inline]
    pub(crate) fn retain(&self) {
        // Relaxed: a new reference is made from an old one, which already keeps the job.
        let seen = self.0.fetch_add(REFERENCE, Ordering::Relaxed);
        assert!(seen < usize::MAX / 2, "too many references to one green thread");
    }

    /// One holder less. Answers true to the last, who frees the job.
    #[inline]
    #[must_use]
    pub(crate) fn release(&self) -> bool {
        self.subtract(REFERENCE)
    }

    fn subtract(&self, amount: usize) -> bool {
        // Acquire: the only holder left needs no exchange, but must see what the others did before they left.
        if self.0.load(Ordering::Acquire) / REFERENCE == 1 {
            return true;
        }
        // Release, then Acquire by the last: all uses happen before the job is freed.
        if self.0.fetch_sub(amount, Ordering::Release) / REFERENCE == 1 {
            acquire_all(&self.0);
            return true;
        }
        false
    }

    /// The job has ended, and its output is in place.
    #[inline]
    pub(crate) fn end(&self) -> Ended {
        // Acquire: if only the runtime's reference is left, whoever let go has finished with the job.
        let seen = self.0.load(Ordering::Acquire);
        if seen / REFERENCE == 1 && seen & INTEREST == 0 {
            return Ended { unwanted: true, waited: false };
        }
        // AcqRel: the output is seen by who finds DONE; what a joiner wrote is seen by us.
        let seen = self.0.fetch_or(DONE, Ordering::AcqRel);
        Ended { unwanted: seen & INTEREST == 0, waited: seen & WAITED != 0 }
    }

    /// Whether the job has ended; then its output may be read by who is entitled to it.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.0.load(Ordering::Acquire) & DONE != 0
    }

    /// Whether a joiner does not wait: the job has ended or been given up on.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        // Acquire: as in `is_done`.
        self.0.load(Ordering::Acquire) & (DONE | ABANDONED) != 0
    }

    /// Whether a stackless job was woken since its present run began.
    #[inline]
    pub(crate) fn is_woken(&self) -> bool {
        // Relaxed: who finds it set goes on to `begin_run` or `end_run`.
        self.0.load(Ordering::Relaxed) & WOKEN != 0
    }

    /// Whether a stackless job is queued, or runs.
    pub(crate) fn is_busy(&self) -> bool {
        // Relaxed: a look that nothing depends on.
        self.0.load(Ordering::Relaxed) & BUSY != 0
    }

    /// The joiner is about to wait. Answers false if it need not any more.
    #[must_use]
    pub(crate) fn wait_for_end(&self) -> bool {
        self.0.fetch_or(WAITED, Ordering::AcqRel) & (DONE | ABANDONED) == 0
    }

    /// Gives up on the job: nobody is to wait for its end. Answers true if somebody does.
    #[must_use]
    pub(crate) fn abandon(&self) -> bool {
        // AcqRel: what a joiner wrote is seen by us; nothing of the job's is read through it.
        self.0.fetch_or(ABANDONED, Ordering::AcqRel) & (WAITED | DONE) == WAITED
    }

    /// The handle is dropped before the job has ended: the job drops its output itself. Answers false if it has
    /// ended, and the output is the handle's to drop.
    #[inline]
    #[must_use]
    pub(crate) fn disclaim(&self) -> Option<bool> {
        let mut seen = self.0.load(Ordering::Acquire);
        loop {
            if seen & DONE != 0 {
                return None;
            }
            let new = seen - REFERENCE - INTEREST;
            // AcqRel: our uses happen before the job's end, or its uses before our freeing it.
            match self.0.compare_exchange_weak(seen, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(seen / REFERENCE == 1),
                Err(now) => seen = now,
            }
        }
    }

    /// A stackless job is to run again. Answers true if the caller must queue it.
    #[must_use]
    pub(crate) fn wake(&self) -> bool {
        // Relaxed: the exchange decides.
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            if seen & DONE != 0 {
                return false;
            }
            let bit = if seen & BUSY == 0 { BUSY } else { WOKEN };
            // AcqRel, even if it changes nothing: what the waker did is seen by the run that follows, whoever queues it.
            match self.0.compare_exchange_weak(seen, seen | bit, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return bit == BUSY,
                Err(now) => seen = now,
            }
        }
    }

    /// A stackless job is spawned: queued as if woken.
    pub(crate) fn mark_woken(&self) {
        // Relaxed: nobody else has the job yet.
        self.0.fetch_or(BUSY, Ordering::Relaxed);
    }

    /// A stackless job starts a run, or looks again at all there is to do: wakings from now on ask for another.
    #[inline]
    pub(crate) fn begin_run(&self) {
        if self.is_woken() {
            // Acquire: sees what those did who woke it. One who comes later finds the bit gone, and sets it again.
            self.0.fetch_and(!WOKEN, Ordering::Acquire);
        }
    }

    /// A stackless job goes idle. Answers true if it was woken meanwhile, and the caller must queue it again; if not,
    /// it is another's from now on.
    #[inline]
    #[must_use]
    pub(crate) fn end_run(&self) -> bool {
        // Relaxed: the exchange decides. WOKEN is cleared by the run to come.
        let mut seen = self.0.load(Ordering::Relaxed);
        while seen & WOKEN == 0 {
            // AcqRel: what the run did is seen by the next; what wakers did before, by who ends the runtime.
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
        // Relaxed: a picture for people.
        let seen = self.0.load(Ordering::Relaxed);
        f.debug_struct("State")
            .field("done", &(seen & DONE != 0))
            .field("interest", &(seen & INTEREST != 0))
            .field("waited", &(seen & WAITED != 0))
            .field("woken", &(seen & WOKEN != 0))
            .field("busy", &(seen & BUSY != 0))
            .field("abandoned", &(seen & ABANDONED != 0))
            .field("references", &(seen / REFERENCE))
            .finish()
    }
}
