//! Numbers of green threads.

use core::fmt;
use core::num::NonZeroU64;
use std::sync::atomic::{AtomicU64 as Counter, Ordering as CounterOrdering};

use crate::facade::{AtomicU64, Ordering};

/// A green thread's number, unique in the process and never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(NonZeroU64);

// A counter of std's in every build: numbers carry no meaning that a model could check.
static LAST: Counter = Counter::new(0);

impl JobId {
    /// The number in `cell`, which is given one now if it has none. Most green threads are never asked for theirs, and
    /// a counter that all workers fight over at each spawn would be felt.
    pub(crate) fn of(cell: &AtomicU64) -> JobId {
        // Relaxed: the number is all there is, nothing is published with it.
        let known = cell.load(Ordering::Relaxed);
        let id = NonZeroU64::new(known).unwrap_or_else(|| {
            let fresh = JobId::next().0;
            match cell.compare_exchange(0, fresh.get(), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => fresh,
                Err(other) => NonZeroU64::new(other).expect("only numbers above zero are stored"),
            }
        });
        JobId(id)
    }

    /// A number that nobody has.
    pub(crate) fn next() -> JobId {
        let last = LAST.fetch_add(1, CounterOrdering::Relaxed);
        JobId(NonZeroU64::new(last + 1).expect("2^64 green threads"))
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ThreadId({})", self.0)
    }
}
