//! Ids of green threads.

use core::fmt;
use core::num::NonZeroU64;
use std::sync::atomic::{AtomicU64 as Counter, Ordering as CounterOrdering};

use crate::facade::{AtomicU64, Ordering};

/// The id of a green thread. It is unique in the process and never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(NonZeroU64);

// A std counter in every build: the value of an id has no meaning that a model could check.
static LAST: Counter = Counter::new(0);

impl JobId {
    /// Returns the id in `cell`, and assigns one first if there is none. Most green threads are never asked for their
    /// id, and a counter that all workers increment at each spawn would cost time.
    pub(crate) fn of(cell: &AtomicU64) -> JobId {
        // Relaxed: nothing is published with the id.
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

    /// Returns an unused id.
    pub(crate) fn next() -> JobId {
        let last = LAST.fetch_add(1, CounterOrdering::Relaxed);
        JobId(NonZeroU64::new(last + 1).expect("2^64 green threads"))
    }

    /// Returns the id as an integer.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ThreadId({})", self.0)
    }
}
