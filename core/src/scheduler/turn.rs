//! The count of a worker's turns. An idle worker uses it to let mail gather before it starts.
//!
//! A green thread that wakes another on an idle worker mostly does one of two things next. Either it parks: then the
//! woken thread is the only one that has something to do, and must start at once. Or it goes on, and wakes more
//! threads, or fills the buffer that the woken one empties. If the woken thread then starts at once, both work on one
//! channel, message by message, on cache lines that change their owner each time. So an idle worker starts with its
//! mail when the sender's turn is over, and at the latest after [`GATHER_NS`].
//!
//! Everything here is a hint. All accesses are Relaxed: a stale value costs a short wait, or skips one.

use core::ptr;

use crossbeam_utils::CachePadded;

use crate::primitives::{AtomicPtr, AtomicU32, Ordering};

/// The longest time that mail gathers, in nanoseconds. It is a few times the cost of moving a cache line between cores
/// and back. It is little against the microsecond or more that a task must take for another core to be worth its cost.
pub(crate) const GATHER_NS: u64 = 700;

/// The number of turns that a worker has finished. On a cache line of its own: the worker writes it at each turn, and
/// others read it.
#[derive(Debug)]
pub(crate) struct Turn(CachePadded<AtomicU32>);

impl Turn {
    pub(crate) fn new() -> Turn {
        Turn(CachePadded::new(AtomicU32::new(0)))
    }

    /// Returns how many turns the worker has finished, modulo 2³².
    #[inline]
    pub(crate) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts a turn that the worker has finished.
    #[inline]
    pub(crate) fn finish(&self) {
        // A load and a store suffice: only the worker writes.
        self.0.store(self.count().wrapping_add(1), Ordering::Relaxed);
    }
}

/// The worker that sent mail last, and in which of its turns.
#[derive(Debug)]
pub(crate) struct LastNotifier {
    turn: AtomicPtr<Turn>,
    at: AtomicU32,
}

impl LastNotifier {
    pub(crate) fn new() -> LastNotifier {
        LastNotifier { turn: AtomicPtr::new(ptr::null_mut()), at: AtomicU32::new(0) }
    }

    /// Records that mail is about to be sent. `turn` is the turn counter of the sending worker, or `None` if the
    /// sender is not a worker.
    #[inline]
    pub(crate) fn note(&self, turn: Option<&'static Turn>) {
        let at = turn.map_or(0, Turn::count);
        self.at.store(at, Ordering::Relaxed);
        self.turn
            .store(turn.map_or(ptr::null_mut(), |turn| ptr::from_ref(turn).cast_mut()), Ordering::Relaxed);
    }

    /// Returns whether the last sender is still in the turn in which it sent.
    pub(crate) fn goes_on(&self) -> bool {
        let turn = self.turn.load(Ordering::Relaxed);
        // SAFETY: only `note` writes the pointer, from a `'static` reference. A `Turn` is initialised before the
        // reference is made, and later only its atomic is written. So the Relaxed load needs no further order.
        unsafe { turn.as_ref() }.is_some_and(|turn| turn.count() == self.at.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::primitives::explore::orders;

    #[test]
    fn notifier_continues_until_its_turn_is_over() {
        static TURN: LazyLock<Turn> = LazyLock::new(Turn::new);
        orders(0, || {
            let sender = LastNotifier::new();
            assert!(!sender.goes_on());
            sender.note(Some(&TURN));
            assert!(sender.goes_on());
            TURN.finish();
            assert!(!sender.goes_on());
            sender.note(Some(&TURN));
            assert!(sender.goes_on());
            sender.note(None);
            assert!(!sender.goes_on());
        });
    }
}
