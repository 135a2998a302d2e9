//! Ids of green threads.

use core::fmt;
use core::num::NonZeroU64;
use std::sync::atomic::{AtomicU64 as Counter, Ordering as CounterOrdering};

use crate::primitives::{AtomicU64, Ordering};

/// The id of a green thread. It is unique in the process and never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(NonZeroU64);

// A std counter in every build: the value of an id has no meaning that a model could check.
static LAST: Counter = Counter::new(0);

impl TaskId {
    /// Returns the id in `cell`, and assigns one first if there is none. Most green threads are never asked for their
    /// id, and a counter that all workers increment at each spawn would cost time.
    pub(crate) fn of(cell: &AtomicU64) -> TaskId {
        // Relaxed: nothing is published with the id.
        let known = cell.load(Ordering::Relaxed);
        let id = NonZeroU64::new(known).unwrap_or_else(|| {
            let fresh = TaskId::next().0;
            match cell.compare_exchange(0, fresh.get(), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => fresh,
                Err(other) => NonZeroU64::new(other).expect("only numbers above zero are stored"),
            }
        });
        TaskId(id)
    }

    /// Returns an unused id.
    pub(crate) fn next() -> TaskId {
        let last = LAST.fetch_add(1, CounterOrdering::Relaxed);
        TaskId(NonZeroU64::new(last + 1).expect("2^64 green threads"))
    }

    /// Returns the id as an integer.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({})", self.0)
    }
}
