//! The pending timers: deadlines that were set since their worker last read the clock.
//!
//! Most waits with a deadline end long before it, and usually at once: a reply arrives, or a lock becomes free. So a
//! deadline enters the [wheel](super::wheel) only when its worker runs its maintenance, some twenty microseconds
//! later, and only if the thread still waits then. Until then it is in this list, which needs no lock and no reading
//! of the clock.
//!
//! The list belongs to one OS thread, and so does each entry in it: it is for green threads that are resumed by the
//! worker on which they parked. A worker empties it before it asks the wheel which timers are due.

use core::cell::Cell;
use core::ptr::NonNull;
use std::time::Instant;

use crate::timer;
use crate::timer::wheel::{Entry, Link, Wheel};

/// When a wait ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Due {
    At(Instant),
    /// This many nanoseconds after the worker next reads the clock.
    AfterNs(u64),
}

/// `Entry::list` of an entry in this list whose `tick` is its deadline, in nanoseconds since the origin.
const AT: u16 = u16::MAX - 1;
/// `Entry::list` of an entry in this list whose `tick` is a duration: the deadline is that many nanoseconds after the
/// worker next reads the clock.
const AFTER: u16 = u16::MAX - 2;

/// The list, first in, first out.
pub(crate) struct PendingTimers {
    head: Cell<Link>,
    tail: Cell<Link>,
}

impl PendingTimers {
    pub(crate) const fn new() -> PendingTimers {
        PendingTimers { head: Cell::new(None), tail: Cell::new(None) }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.get().is_none()
    }

    /// Adds an entry at the back.
    ///
    /// # Safety
    ///
    /// The entry is in no list and no wheel. It stays valid, and does not move, until it is removed from this list or
    /// from the wheel that `gather` was given. During that time it belongs to the caller's OS thread.
    #[inline]
    pub(crate) unsafe fn push(&self, entry: NonNull<Entry>, due: Due) {
        // SAFETY: the caller passes a valid entry, and it is accessed only through shared references.
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
            // SAFETY: the entry is linked in this list, and `push` requires that a linked entry stays valid.
            Some(before) => unsafe { before.as_ref() }.next.set(Some(entry)),
            None => self.head.set(Some(entry)),
        }
    }

    /// Removes an entry that is still in this list. Returns whether the entry is in the wheel instead. An entry that
    /// has left the wheel already is in neither.
    ///
    /// # Safety
    ///
    /// The caller's OS thread has pushed the entry into this list.
    #[inline]
    pub(crate) unsafe fn remove(&self, entry: NonNull<Entry>) -> bool {
        // SAFETY: the entry belongs to the caller. Only this OS thread writes `list`: only the worker moves entries
        // of its wheel between lists, and apart from that only the sleeping thread, which is the caller, removes this
        // one.
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
            // SAFETY: the neighbour is linked in this list, and `push` requires that a linked entry stays valid.
            Some(prev) => unsafe { prev.as_ref() }.next.set(next),
            None => self.head.set(next),
        }
        match next {
            // SAFETY: the neighbour is linked in this list, and `push` requires that a linked entry stays valid.
            Some(next) => unsafe { next.as_ref() }.prev.set(prev),
            None => self.tail.set(prev),
        }
        false
    }

    /// Moves all entries to the wheel.
    ///
    /// # Safety
    ///
    /// The wheel belongs to the worker that owns this list, and the caller holds the wheel's lock.
    pub(crate) unsafe fn gather(&self, wheel: &mut Wheel, now_ns: u64) {
        let mut rest = self.head.take();
        self.tail.set(None);
        while let Some(entry) = rest {
            // SAFETY: the entry was linked in this list until now, and `push` requires that it stays valid until it
            // is removed from the wheel.
            let node = unsafe { entry.as_ref() };
            rest = node.next.take();
            let ns = node.tick.get();
            let deadline_ns = if node.list.get() == AFTER { now_ns.saturating_add(ns) } else { ns };
            node.unlinked();
            // The returned value is ignored: the worker checks its wheel before it sleeps, so an earlier deadline
            // needs no wake-up.
            // SAFETY: the entry is in no list any more. `push` requires that it stays valid until it is removed from
            // the wheel.
            let _ = unsafe { wheel.insert(entry, deadline_ns) };
        }
    }
}
