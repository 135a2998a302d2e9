//! Deadlines that were set since their worker last looked at the clock.
//!
//! Most waits with a deadline are over long before it, and mostly in the next moment: an answer comes, a lock is free.
//! So a deadline goes into the [wheel](super::wheel) only when its worker looks around, some twenty microseconds later,
//! if its sleeper still waits by then. Until that it is in this list, which costs no lock and no look at the clock.
//!
//! The list belongs to one OS thread, and so does each entry in it: it is for sleepers that are resumed by the worker on
//! which they parked. A worker empties it before it asks the wheel what is due.

use core::cell::Cell;
use core::ptr::NonNull;
use std::time::Instant;

use crate::timer;
use crate::timer::wheel::{Entry, Link, Wheel};

/// When a wait is over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Due {
    At(Instant),
    /// So many nanoseconds after the worker's next look at the clock.
    AfterNs(u64),
}

/// `Entry::list` of an entry in the list, whose `tick` is the nanosecond of its deadline …
const AT: u16 = u16::MAX - 1;
/// … or says how many nanoseconds after the next look that is.
const AFTER: u16 = u16::MAX - 2;

/// The list: first in, first out.
pub(crate) struct Recent {
    head: Cell<Link>,
    tail: Cell<Link>,
}

impl Recent {
    pub(crate) const fn new() -> Recent {
        Recent { head: Cell::new(None), tail: Cell::new(None) }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.get().is_none()
    }

    /// # Safety
    ///
    /// The entry is in no list and no wheel. It stays valid, and where it is, until it is removed, from here or from
    /// the wheel that `gather` was given, and belongs to the caller's OS thread for as long.
    #[inline]
    pub(crate) unsafe fn push(&self, entry: NonNull<Entry>, due: Due) {
        // SAFETY: valid by the contract, and reached through shared references alone.
        let node = unsafe { entry.as_ref() };
        let (list, ns) = match due {
            Due::At(moment) => (AT, timer::to_ns(moment)),
            Due::AfterNs(ns) => (AFTER, ns),
        };
        node.list.set(list);
        node.tick.set(ns);
        let before = self.tail.replace(Some(entry));
        node.prev.set(before);
        node.next.set(None);
        match before {
            // SAFETY: linked here, so valid by the contract.
            Some(before) => unsafe { before.as_ref() }.next.set(Some(entry)),
            None => self.head.set(Some(entry)),
        }
    }

    /// Takes an entry out, unless it has gone on to the wheel, or has been there and is in no list. Answers whether it
    /// is in the wheel.
    ///
    /// # Safety
    ///
    /// The entry was pushed here, by the caller's OS thread.
    #[inline]
    pub(crate) unsafe fn remove(&self, entry: NonNull<Entry>) -> bool {
        // SAFETY: the caller's. `list` is written by this OS thread alone: only the worker moves entries of its wheel
        // from list to list, and only the sleeper, who is the caller, takes this one out otherwise.
        let node = unsafe { entry.as_ref() };
        if node.list.get() < AFTER {
            return true;
        }
        if !node.is_linked() {
            return false;
        }
        node.unlinked();
        let (prev, next) = (node.prev.take(), node.next.take());
        match prev {
            // SAFETY: linked here, so valid by the contract of `push`.
            Some(prev) => unsafe { prev.as_ref() }.next.set(next),
            None => self.head.set(next),
        }
        match next {
            // SAFETY: as above.
            Some(next) => unsafe { next.as_ref() }.prev.set(prev),
            None => self.tail.set(prev),
        }
        false
    }

    /// Moves all entries on to the wheel.
    ///
    /// # Safety
    ///
    /// The wheel is that of the worker whose list this is, and the caller holds its lock.
    pub(crate) unsafe fn gather(&self, wheel: &mut Wheel, now_ns: u64) {
        let mut rest = self.head.take();
        self.tail.set(None);
        while let Some(entry) = rest {
            // SAFETY: linked here until just now, so valid by the contract of `push`.
            let node = unsafe { entry.as_ref() };
            rest = node.next.take();
            let ns = node.tick.get();
            let deadline_ns = if node.list.get() == AFTER { now_ns.saturating_add(ns) } else { ns };
            node.unlinked();
            // The worker looks at its wheel before it sleeps, so an earlier deadline needs no wake-up.
            // SAFETY: it is in no list any more, and stays valid by the contract of `push`.
            let _ = unsafe { wheel.insert(entry, deadline_ns) };
        }
    }
}
