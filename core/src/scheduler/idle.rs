//! The record of which workers sleep, which search, and which to wake. The README beside this file has the proof.

use crossbeam_utils::CachePadded;

use crate::primitives::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// The runtime's record of idle workers.
#[derive(Debug)]
pub(crate) struct Idle {
    /// Bit `i % 64` of word `i / 64` is set when worker `i` has announced that it sleeps. The thread that clears the
    /// bit is worker `i` itself, or has to wake it.
    asleep: Box<[CachePadded<AtomicU64>]>,
    /// The number of workers that look for work elsewhere.
    searching: CachePadded<AtomicUsize>,
    /// Set when one of the sleeping workers wakes by itself at intervals, to look for work that waits too long.
    watched: AtomicBool,
    /// Set when one of the sleeping workers wakes by itself at long intervals, without a watch.
    dozed: AtomicBool,
    workers: usize,
}

impl Idle {
    pub(crate) fn new(workers: usize) -> Idle {
        let words = workers.div_ceil(64);
        Idle {
            asleep: (0..words).map(|_| CachePadded::new(AtomicU64::new(0))).collect(),
            searching: CachePadded::new(AtomicUsize::new(0)),
            watched: AtomicBool::new(false),
            dozed: AtomicBool::new(false),
            workers,
        }
    }

    /// Announces that worker `i` is about to sleep. From now on it can be picked.
    pub(crate) fn announce(&self, i: usize) {
        // AcqRel: orders the announcement before the announcer's last look at the queues, together with their locks
        // (README).
        self.asleep[i / 64].fetch_or(1 << (i % 64), Ordering::AcqRel);
    }

    /// Announces that worker `i` is awake. Returns whether it had been picked: then the picker relies on it.
    #[must_use]
    pub(crate) fn retract(&self, i: usize) -> bool {
        let bit = 1 << (i % 64);
        // Acquire: a worker that was picked sees what the picker had pushed.
        self.asleep[i / 64].fetch_and(!bit, Ordering::AcqRel) & bit == 0
    }

    /// Picks worker `i` if it sleeps. If this returns true, the caller must wake it.
    #[must_use]
    pub(crate) fn pick_this(&self, i: usize) -> bool {
        let bit = 1 << (i % 64);
        // Acquire: the caller goes on to unpark the worker. Release: a worker that finds its bit cleared (`retract`)
        // sees what the picker had pushed.
        self.asleep[i / 64].fetch_and(!bit, Ordering::AcqRel) & bit != 0
    }

    /// Returns whether worker `i`, which has announced that it sleeps, has been picked since.
    pub(crate) fn is_picked(&self, i: usize) -> bool {
        // Relaxed: the picker also unparks the worker, which orders everything else.
        self.asleep[i / 64].load(Ordering::Relaxed) & (1 << (i % 64)) == 0
    }

    /// Returns whether some worker sleeps while none searches, so that new work may have to wake one.
    #[inline]
    pub(crate) fn wants_waking(&self) -> bool {
        // Relaxed: ordered by the lock of the queue that the caller has just pushed to (README).
        self.searching.load(Ordering::Relaxed) == 0 && self.any_asleep()
    }

    /// Returns whether a sleeping worker keeps watch, so that it notices new work without being woken.
    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        // Relaxed: ordered by the lock of the queue that the caller has just pushed to (README).
        self.watched.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn any_asleep(&self) -> bool {
        self.asleep.iter().any(|word| word.load(Ordering::Relaxed) != 0)
    }

    /// Returns whether all workers sleep.
    pub(crate) fn all_asleep(&self) -> bool {
        // Acquire: the caller sees what the sleepers did before they announced their sleep.
        self.asleep.iter().map(|word| word.load(Ordering::Acquire).count_ones() as usize).sum::<usize>()
            == self.workers
    }

    /// Picks a sleeping worker. The caller must wake it.
    #[must_use]
    pub(crate) fn pick(&self) -> Option<usize> {
        for (at, word) in self.asleep.iter().enumerate() {
            let mut seen = word.load(Ordering::Relaxed);
            while seen != 0 {
                let bit = seen.trailing_zeros();
                // Acquire: the caller goes on to unpark the worker. Release: a worker that finds its bit cleared
                // (`retract`) sees what the picker had pushed.
                match word.compare_exchange_weak(
                    seen,
                    seen & !(1 << bit),
                    Ordering::AcqRel,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => return Some(at * 64 + bit as usize),
                    Err(now) => seen = now,
                }
            }
        }
        None
    }

    /// Starts a search of a worker, unless half of the workers search already. Returns whether it may search.
    #[must_use]
    pub(crate) fn start_search(&self) -> bool {
        if 2 * self.searching.load(Ordering::Relaxed) >= self.workers.max(4) {
            return false;
        }
        self.searching.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// Ends a search of a worker. Returns whether it was the last one.
    pub(crate) fn stop_search(&self) -> bool {
        // AcqRel: ordered before the last look at the queues, see `announce`.
        self.searching.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Takes the watch. Returns false if another worker has it.
    #[must_use]
    pub(crate) fn take_watch(&self) -> bool {
        !self.watched.swap(true, Ordering::AcqRel)
    }

    /// Gives up the watch.
    pub(crate) fn leave_watch(&self) {
        self.watched.store(false, Ordering::Release);
    }

    /// Makes the caller the worker that dozes. Returns false if another does.
    #[must_use]
    pub(crate) fn take_doze(&self) -> bool {
        // Relaxed (here and in `leave_doze`): no other data depends on which worker dozes.
        !self.dozed.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn leave_doze(&self) {
        self.dozed.store(false, Ordering::Relaxed);
    }
}
