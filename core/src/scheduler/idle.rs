//! Which workers sleep, which search, and who is to be woken. See the README beside this file for the proof.

use crossbeam_utils::CachePadded;

use crate::facade::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// The runtime's record of idle workers.
#[derive(Debug)]
pub(crate) struct Idle {
    /// Bit `i % 64` of word `i / 64`: worker `i` has announced that it sleeps. Who clears the bit wakes it, or is it.
    asleep: Box<[CachePadded<AtomicU64>]>,
    /// Workers that look for work elsewhere.
    searching: CachePadded<AtomicUsize>,
    /// One of the sleeping workers wakes by itself every so often to look for work that waits too long.
    watched: AtomicBool,
    workers: usize,
}

impl Idle {
    pub(crate) fn new(workers: usize) -> Idle {
        let words = workers.div_ceil(64);
        Idle {
            asleep: (0..words).map(|_| CachePadded::new(AtomicU64::new(0))).collect(),
            searching: CachePadded::new(AtomicUsize::new(0)),
            watched: AtomicBool::new(false),
            workers,
        }
    }

    /// Worker `i` is about to sleep: from now on it can be picked.
    pub(crate) fn announce(&self, i: usize) {
        // AcqRel: orders the announcement before the announcer's last look at the queues, with their locks (README).
        self.asleep[i / 64].fetch_or(1 << (i % 64), Ordering::AcqRel);
    }

    /// Worker `i` is awake. Answers whether it has been picked: then it is the one that the picker relies on.
    #[must_use]
    pub(crate) fn retract(&self, i: usize) -> bool {
        let bit = 1 << (i % 64);
        // Acquire: who was picked finds what the picker had pushed.
        self.asleep[i / 64].fetch_and(!bit, Ordering::AcqRel) & bit == 0
    }

    /// Picks worker `i` if it sleeps; then the caller must wake it.
    #[must_use]
    pub(crate) fn pick_this(&self, i: usize) -> bool {
        let bit = 1 << (i % 64);
        // AcqRel: as in `pick`.
        self.asleep[i / 64].fetch_and(!bit, Ordering::AcqRel) & bit != 0
    }

    /// Whether worker `i`, which has announced that it sleeps, has been picked since.
    pub(crate) fn is_picked(&self, i: usize) -> bool {
        // Relaxed: who picked it unparks it as well, which orders the rest.
        self.asleep[i / 64].load(Ordering::Relaxed) & (1 << (i % 64)) == 0
    }

    /// Whether some worker sleeps while none searches, so that new work may have to wake one.
    #[inline]
    pub(crate) fn wants_waking(&self) -> bool {
        // Relaxed: ordered by the lock of the queue that the caller has just pushed to (README).
        self.searching.load(Ordering::Relaxed) == 0 && self.any_asleep()
    }

    /// Whether new work will be noticed without waking anybody: somebody searches, or looks every so often.
    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        // Relaxed: as above.
        self.watched.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn any_asleep(&self) -> bool {
        self.asleep.iter().any(|word| word.load(Ordering::Relaxed) != 0)
    }

    /// Whether all workers sleep.
    pub(crate) fn all_asleep(&self) -> bool {
        // Acquire: what the sleepers did before they announced it is seen.
        self.asleep.iter().map(|word| word.load(Ordering::Acquire).count_ones() as usize).sum::<usize>()
            == self.workers
    }

    /// Picks a sleeping worker, which the caller must wake.
    #[must_use]
    pub(crate) fn pick(&self) -> Option<usize> {
        for (at, word) in self.asleep.iter().enumerate() {
            let mut seen = word.load(Ordering::Relaxed);
            while seen != 0 {
                let bit = seen.trailing_zeros();
                // Acquire: we go on to unpark it.
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

    /// A worker starts to search, unless half of them do already.
    #[must_use]
    pub(crate) fn start_search(&self) -> bool {
        if 2 * self.searching.load(Ordering::Relaxed) >= self.workers.max(4) {
            return false;
        }
        self.searching.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// A worker stops searching. Answers whether it was the last.
    pub(crate) fn stop_search(&self) -> bool {
        // AcqRel: ordered before the last look at the queues, see `announce`.
        self.searching.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Takes the watch, if nobody has it.
    #[must_use]
    pub(crate) fn take_watch(&self) -> bool {
        !self.watched.swap(true, Ordering::AcqRel)
    }

    /// Leaves the watch.
    pub(crate) fn leave_watch(&self) {
        self.watched.store(false, Ordering::Release);
    }
}
