//! The count of a worker's turns, and how an idle worker uses it to let mail gather.
//!
//! A green thread that wakes another on an idle worker mostly does one of two things next. It parks: then whoever it has
//! woken is the only one with something to do, and must start at once. Or it goes on, and wakes more, or fills the
//! buffer that the woken one empties: then, if the woken one starts at once, both work on one channel, message by
//! message, on lines that change owner each time. So an idle worker starts with its mail when the sender's turn is over,
//! and at the latest after [`GATHER_NS`].
//!
//! Everything here is a hint. All accesses are Relaxed: a value that is late costs a short wait, or the lack of one.

use core::ptr;

use crossbeam_utils::CachePadded;

use crate::facade::{AtomicPtr, AtomicU32, Ordering};

/// The longest that mail is let gather. A few times what it costs to move a line between cores and back, and little
/// against the microsecond or more of a job for whose sake it pays to use another core.
pub(crate) const GATHER_NS: u64 = 700;

/// How many turns a worker has finished. On a line of its own: written at each turn, looked at by others.
#[derive(Debug)]
pub(crate) struct Turn(CachePadded<AtomicU32>);

impl Turn {
    pub(crate) fn new() -> Turn {
        Turn(CachePadded::new(AtomicU32::new(0)))
    }

    /// How many turns the worker has finished, modulo 2³².
    #[inline]
    pub(crate) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// The worker has finished a turn.
    #[inline]
    pub(crate) fn finish(&self) {
        // Only the worker writes.
        self.0.store(self.count().wrapping_add(1), Ordering::Relaxed);
    }
}

/// Who sent mail last, and in which of its turns.
#[derive(Debug)]
pub(crate) struct Sender {
    turn: AtomicPtr<Turn>,
    at: AtomicU32,
}

impl Sender {
    pub(crate) fn new() -> Sender {
        Sender { turn: AtomicPtr::new(ptr::null_mut()), at: AtomicU32::new(0) }
    }

    /// Somebody is about to send: a worker, by its turn, or `None` if it is none.
    #[inline]
    pub(crate) fn note(&self, turn: Option<&'static Turn>) {
        let at = turn.map_or(0, Turn::count);
        self.at.store(at, Ordering::Relaxed);
        self.turn
            .store(turn.map_or(ptr::null_mut(), |turn| ptr::from_ref(turn).cast_mut()), Ordering::Relaxed);
    }

    /// Whether who sent last is still in the turn in which it did.
    pub(crate) fn goes_on(&self) -> bool {
        let turn = self.turn.load(Ordering::Relaxed);
        // SAFETY: written by `note` alone, from a reference that is valid for ever. Nothing is ever written to a `Turn`
        // but its atomic, which is initialised before the reference was made.
        unsafe { turn.as_ref() }.is_some_and(|turn| turn.count() == self.at.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::facade::explore::orders;

    #[test]
    fn the_sender_goes_on_until_its_turn_is_over() {
        static TURN: LazyLock<Turn> = LazyLock::new(Turn::new);
        orders(0, || {
            let sender = Sender::new();
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
