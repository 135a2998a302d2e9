//! The timing wheel: starts, cancels and fires a timer in constant time, for a million timers at once.
//!
//! The design is the hierarchical wheel of Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP
//! 1987, scheme 7), with intrusive lists, as Linux had it before 4.8, and bitmaps of the occupied slots.
//!
//! # Idea
//!
//! Time is divided into ticks of 2^16 ns (65.5 µs). A `u64` of nanoseconds has 2^48 ticks, so a tick number has
//! exactly eight digits in base 64. For each digit there is one level of 64 slots:
//!
//! ```text
//!   bit 63     58 57     52 51     46 45     40 39     34 33     28 27     22 21     16 15              0
//!      ┌─────────┬─────────┬─────────┬─────────┬─────────┬─────────┬─────────┬─────────┬────────────────┐
//!      │ level 7 │ level 6 │ level 5 │ level 4 │ level 3 │ level 2 │ level 1 │ level 0 │ below one tick │
//!      └─────────┴─────────┴─────────┴─────────┴─────────┴─────────┴─────────┴─────────┴────────────────┘
//!  slot   9.1 y    52.1 d    19.5 h    18.3 min   17.2 s    268 ms    4.2 ms    65.5 µs
//! ```
//!
//! The level of an entry is that of the highest digit in which its tick differs from the wheel's own tick
//! (`elapsed_tick`). That digit of its tick names the slot. On two digits, with `elapsed_tick` = 3'10:
//!
//! ```text
//!   level 0   . . . . . . . . . . E . . B . . . .      E: due (3'10 or before)   B: 3'13
//!   level 1   . . . e . . . C . . . . . . . . . .      e: always empty           C: 7'xx, any low digit
//!                   ^ elapsed_tick                     slots to its left in a level are empty
//!   never     N                                        deadlines past the last tick: linked, never due
//! ```
//!
//! All entries of a level come before all entries of the next level, and within a level the slots are in order of
//! time. So the first entries are in the lowest occupied slot of the lowest occupied level. Two `trailing_zeros` find
//! it, no matter how far in the future it is. When time reaches a slot above level 0, its entries are placed again
//! (they *cascade*). Each moves down at least one level, so an entry is moved at most seven times, and usually once
//! or twice.
//!
//! # Invariants
//!
//! 1. The caller's clock has reached every tick up to `elapsed_tick`; `elapsed_tick` never goes back.
//! 2. A linked entry is in the list `place(elapsed_tick, entry.tick)`, and `entry.list` is the number of that list.
//!    Hence overdue entries are in the level-0 slot of `elapsed_tick` itself.
//! 3. A bit of `occupied` is set if and only if that slot has entries. A bit of `levels` is set if and only if that
//!    level has an occupied slot.
//! 4. `earliest_tick` of a list is no later than the tick of any entry in the list. It is within the span of the
//!    list's slot (or overdue, in the slot of `elapsed_tick`). It is exact until an entry is removed; then it may be
//!    too early.
//! 5. Entries of the same tick are in one list, in the order of insertion.
//!
//! # Precision
//!
//! A deadline is rounded up to a tick and the clock is rounded down, so an entry is never returned early. It is less
//! than one tick late if the wheel is polled when [`Wheel::next_deadline_ns`] returns. 65 µs is about what Linux
//! allows itself when it wakes a thread (50 µs of timer slack), and 16 + 8 × 6 = 64 wastes no bit.
//!
//! # Cost
//!
//! Insert and remove access the entry, its neighbours and its slot. A pop takes amortized constant time, but a single
//! pop may cascade a whole slot: with a million entries in one slot, it holds the lock for tens of milliseconds, or
//! for over a hundred if their memory is scattered.
//!
//! # Access to an entry
//!
//! The owner keeps the entry's memory, and the wheel writes its links. Both use only shared references to `Cell`s, so
//! the owner may hold an `&Entry` while the entry is linked. The owner may be on another thread than the wheel. The
//! lock around the wheel keeps the two apart; the caller provides it, and [`Wheel::insert`] requires it.
//!
//! # Rejected
//!
//! - A binary heap: it allocates, it takes O(log n) to start and to cancel, and a cancel needs the position in the
//!   heap.
//! - Wheels without a cascade (Linux since 4.8): a timer may be late by up to an eighth of its timeout. This suits
//!   the timeouts of a network stack, but not `sleep`.
//! - A list of the due entries beside the slots: the slot of `elapsed_tick` serves as well, and entries move once
//!   less.
//! - Slots that wrap around (a level reuses slots before the wheel's digit for the next turn): this keeps a few
//!   entries one level lower. But every search becomes a rotation, and the order among levels is no longer simple.

#[cfg(test)]
#[path = "wheel_tests.rs"]
mod tests;

use std::cell::Cell;
use std::marker::PhantomPinned;
use std::ptr::NonNull;

/// Nanoseconds in a tick, as an exponent of two.
const TICK_SHIFT: u32 = 16;
/// Nanoseconds in a tick.
const TICK_NS: u64 = 1 << TICK_SHIFT;
/// Bits of a digit of the tick: 64 slots in a level, and one `u64` of occupancy bits.
const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
/// The number of levels that can hold every tick of a `u64` of nanoseconds.
const LEVELS: usize = ((u64::BITS - TICK_SHIFT) / DIGIT_BITS) as usize;
/// The last tick that a clock of `u64` nanoseconds can reach.
const LAST_TICK: u64 = u64::MAX >> TICK_SHIFT;

/// The list of the entries that are never due. The lists with smaller numbers are slots: `level * SLOTS + slot`.
const NEVER: usize = LEVELS * SLOTS;
const LISTS: usize = NEVER + 1;
/// `Entry::list` of an entry that is in no list.
const UNLINKED: u16 = u16::MAX;

const _: () = assert!(TICK_SHIFT + LEVELS as u32 * DIGIT_BITS == u64::BITS, "every tick has a place");
const _: () =
    assert!(LISTS < UNLINKED as usize - 2, "a list's number fits an entry, beside those of `recent`");
const _: () = assert!(LEVELS <= u8::BITS as usize, "a level's bit fits `levels`");
const _: () = assert!(size_of::<Entry>() <= 48, "an entry stays small: it is on the stack of each sleeper");

pub(super) type Link = Option<NonNull<Entry>>;

/// A timer, in its owner's memory (usually on the stack of the green thread that sleeps).
///
/// | field      | written by                                  | read by                                    |
/// |------------|---------------------------------------------|--------------------------------------------|
/// | `data`     | `new`                                       | any thread                                 |
/// | the others | the wheel it is inserted in, under its lock | that wheel and `is_linked`, under its lock |
pub(crate) struct Entry {
    pub(super) prev: Cell<Link>,
    pub(super) next: Cell<Link>,
    /// The deadline, rounded up. Has no meaning while the entry is not linked.
    pub(super) tick: Cell<u64>,
    data: *const (),
    /// The number of the list that this entry is in, or `UNLINKED`.
    pub(super) list: Cell<u16>,
    _pinned: PhantomPinned,
}

impl Entry {
    /// Creates an entry that is not linked. The wheel returns `data` and never interprets it.
    pub(crate) const fn new(data: *const ()) -> Entry {
        Entry {
            prev: Cell::new(None),
            next: Cell::new(None),
            tick: Cell::new(0),
            data,
            list: Cell::new(UNLINKED),
            _pinned: PhantomPinned,
        }
    }

    /// Returns whether a wheel holds this entry. The caller holds the lock of the wheel in which it was last
    /// inserted.
    pub(crate) fn is_linked(&self) -> bool {
        self.list.get() != UNLINKED
    }

    /// Marks the entry as being in no list.
    pub(super) fn unlinked(&self) {
        self.list.set(UNLINKED);
    }

    /// Returns the value that was given to [`Entry::new`].
    pub(crate) fn data(&self) -> *const () {
        self.data
    }
}

/// The entries of one slot, first in, first out.
struct List {
    head: Link,
    tail: Link,
    /// See invariant 4. `u64::MAX` in an empty list.
    earliest_tick: u64,
}

impl List {
    const EMPTY: List = List { head: None, tail: None, earliest_tick: u64::MAX };
}

/// A set of timers, ordered by their deadlines. The comment at the top of this file describes it.
///
/// Times are nanoseconds since an origin that the caller chooses; the wheel never reads a clock. No method panics or
/// allocates after `new`, for any times. Dropping a wheel does not unlink its entries: they stay marked as linked,
/// and may then only be freed.
pub(crate) struct Wheel {
    /// Bit `l` is set if level `l` has an occupied slot.
    levels: u8,
    /// Bit `s` of word `l` is set if slot `s` of level `l` has entries.
    occupied: [u64; LEVELS],
    elapsed_tick: u64,
    len: usize,
    lists: Box<[List; LISTS]>,
}

// SAFETY: the caller of `insert` keeps each entry valid, and its links are accessed only under the wheel's lock, on
// any thread. So exclusive access to the wheel is exclusive access to the links. The wheel returns `data` as a bare
// address and does not dereference it.
unsafe impl Send for Wheel {}

impl Wheel {
    /// Creates an empty wheel. A `now_ns` that is close to the current time saves the first entries a cascade; 0 is
    /// correct too.
    pub(crate) fn new(now_ns: u64) -> Wheel {
        Wheel {
            levels: 0,
            occupied: [0; LEVELS],
            elapsed_tick: now_ns >> TICK_SHIFT,
            len: 0,
            lists: Box::new([const { List::EMPTY }; LISTS]),
        }
    }

    /// Returns the number of linked entries, including those that are never due.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns whether no entry is linked.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns when to call [`Wheel::pop_expired`] next, or `None` if no entry will ever be due.
    ///
    /// This is the deadline of the earliest entry, rounded up to a tick, so it may be in the past. After a removal it
    /// may be earlier than that, down to the deadline of the removed entry. A call of `pop_expired` then returns
    /// `None`, and the next value of this function is more exact.
    pub(crate) fn next_deadline_ns(&self) -> Option<u64> {
        self.first_occupied().map(|list| self.lists[list].earliest_tick << TICK_SHIFT)
    }

    /// Links `entry`. Returns whether [`Wheel::next_deadline_ns`] became earlier, so that a sleep must be cut short.
    ///
    /// A deadline in the past is due at once. A deadline in the last tick of time, such as `u64::MAX`, means never.
    ///
    /// # Safety
    ///
    /// - `entry` is not linked, in this wheel or another.
    /// - It stays valid, and does not move, until `remove` is called with it, `pop_expired` returns it, or the wheel
    ///   is dropped. There is no `&mut` to it during that time.
    /// - From now on, if several threads call the wheel's methods and the entry's `is_linked`, these calls exclude
    ///   each other and happen one after the other, for example by a lock.
    #[must_use = "if the first deadline changed, whoever sleeps until the old one must be woken"]
    pub(crate) unsafe fn insert(&mut self, entry: NonNull<Entry>, deadline_ns: u64) -> bool {
        let before = self.first_occupied().map(|list| self.lists[list].earliest_tick);
        // SAFETY: the caller guarantees that the entry is valid and that there is no `&mut` to it.
        let node = unsafe { entry.as_ref() };
        debug_assert!(!node.is_linked(), "an entry is inserted twice");
        let tick = deadline_ns.div_ceil(TICK_NS);
        node.tick.set(tick);
        // SAFETY: the caller guarantees that the entry is valid and not linked.
        unsafe { self.push_back(place(self.elapsed_tick, tick), entry) };
        self.len += 1;
        tick <= LAST_TICK && before.is_none_or(|before| tick < before)
    }

    /// Unlinks `entry` before it is due.
    ///
    /// # Safety
    ///
    /// `entry` is linked, in this wheel.
    pub(crate) unsafe fn remove(&mut self, entry: NonNull<Entry>) {
        // SAFETY: the caller guarantees that the entry is linked in this wheel.
        unsafe { self.unlink(entry) };
        self.len -= 1;
    }

    /// Unlinks every entry without firing it.
    pub(crate) fn unlink_all(&mut self) {
        for list in &mut *self.lists {
            let mut rest = core::mem::replace(list, List::EMPTY).head;
            while let Some(entry) = rest {
                // SAFETY: the entry was in a list of this wheel, and `insert` requires that it stays valid while it
                // is linked.
                let node = unsafe { entry.as_ref() };
                rest = node.next.take();
                node.prev.set(None);
                node.unlinked();
            }
        }
        self.levels = 0;
        self.occupied = [0; LEVELS];
        self.len = 0;
    }

    /// Unlinks and returns an entry whose deadline is at `now_ns` or before: the earliest tick first, and within a
    /// tick in the order of insertion. Returns `None` if there is none; call it until then.
    ///
    /// If the clock goes back, the wheel treats it as standing still: entries that were due stay due.
    ///
    /// The entry belongs to its owner again, which may free it as soon as the wheel's lock is released. Read its
    /// [`Entry::data`] before that.
    pub(crate) fn pop_expired(&mut self, now_ns: u64) -> Option<NonNull<Entry>> {
        let now_tick = (now_ns >> TICK_SHIFT).max(self.elapsed_tick);
        // The loop runs at most three times. If an iteration cascades because of an `earliest_tick` that is too
        // early, it leaves exact ones, since all lower levels were empty. If it cascades because of an exact one,
        // there are two cases. Either that tick is reached, and the next iteration returns an entry from its slot of
        // level 0. Or `elapsed_tick` is now `now_tick`, and the next iteration finds no slot that starts as early.
        let mut turns = 0;
        loop {
            turns += 1;
            debug_assert!(turns <= 3, "a cascade left its entries where they were");
            let Some(list) = self.first_occupied().filter(|&list| self.start_tick(list) <= now_tick) else {
                // No slot starts at `now_tick` or before. So each digit, down to the level of the first occupied
                // slot, is unchanged or still below the digit of that slot. Invariant 2 holds.
                self.elapsed_tick = now_tick;
                return None;
            };
            if list < SLOTS {
                self.elapsed_tick = self.start_tick(list);
                let entry = self.lists[list].head?;
                // SAFETY: the entry is in a list of this wheel, so it was inserted in this wheel and not removed
                // since.
                unsafe { self.unlink(entry) };
                self.len -= 1;
                return Some(entry);
            }
            self.cascade(list, now_tick);
        }
    }

    /// Advances `elapsed_tick` to the first entry of `list`, or to `now_tick` if that is earlier, and places the
    /// entries of `list` again.
    ///
    /// `list` is the first occupied slot; it is above level 0, and starts at `now_tick` or before. Both times are
    /// within its span. So its entries agree with the new `elapsed_tick` in the digit of their level and in all
    /// higher digits, and they all move to a lower level. The entries of other lists still differ from `elapsed_tick`
    /// in the same digit as before.
    fn cascade(&mut self, list: usize, now_tick: u64) {
        let first_tick = self.lists[list].earliest_tick;
        debug_assert!(first_tick > self.elapsed_tick, "what is due is in level 0");
        self.elapsed_tick = first_tick.min(now_tick);
        let mut rest = std::mem::replace(&mut self.lists[list], List::EMPTY).head;
        self.mark_empty(list);
        // Each entry of the list is moved once, because none returns to this list.
        while let Some(entry) = rest {
            // SAFETY: the entry was in a list of this wheel, and `insert` requires that it stays valid while it is
            // linked.
            let node = unsafe { entry.as_ref() };
            rest = node.next.get();
            // SAFETY: the entry was in a list of this wheel, so it is valid. It is in no list, since its list was taken
            // apart.
            unsafe { self.push_back(place(self.elapsed_tick, node.tick.get()), entry) };
        }
    }

    /// Returns the list that time reaches first. Its entries come before all entries of other lists.
    fn first_occupied(&self) -> Option<usize> {
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros() as usize;
        Some(level * SLOTS + self.occupied[level].trailing_zeros() as usize)
    }

    /// Returns the first tick of a slot: the digits of `elapsed_tick` above its level, then its own digit, then
    /// zeros.
    fn start_tick(&self, list: usize) -> u64 {
        let shift = (list / SLOTS) as u32 * DIGIT_BITS;
        let above = self.elapsed_tick >> (shift + DIGIT_BITS) << (shift + DIGIT_BITS);
        above | ((list % SLOTS) as u64) << shift
    }

    /// Adds `entry` at the back of `list`.
    ///
    /// # Safety
    ///
    /// `entry` is valid as `insert` requires, its tick is set, and it is in no list.
    unsafe fn push_back(&mut self, list: usize, entry: NonNull<Entry>) {
        // SAFETY: the caller guarantees that the entry is valid.
        let node = unsafe { entry.as_ref() };
        let ends = &mut self.lists[list];
        node.prev.set(ends.tail);
        node.next.set(None);
        node.list.set(list as u16);
        match ends.tail {
            // SAFETY: the tail is linked in this wheel, and `insert` requires that it stays valid while it is linked.
            Some(tail) => unsafe { tail.as_ref() }.next.set(Some(entry)),
            None => ends.head = Some(entry),
        }
        ends.tail = Some(entry);
        ends.earliest_tick = ends.earliest_tick.min(node.tick.get());
        if list != NEVER {
            self.occupied[list / SLOTS] |= 1 << (list % SLOTS);
            self.levels |= 1 << (list / SLOTS);
        }
    }

    /// Removes `entry` from its list.
    ///
    /// # Safety
    ///
    /// `entry` is linked, in this wheel.
    unsafe fn unlink(&mut self, entry: NonNull<Entry>) {
        // SAFETY: the entry is linked in this wheel, and `insert` requires that it stays valid while it is linked.
        let node = unsafe { entry.as_ref() };
        debug_assert!(node.is_linked(), "an entry is removed twice");
        let list = usize::from(node.list.replace(UNLINKED));
        let (prev, next) = (node.prev.take(), node.next.take());
        let ends = &mut self.lists[list];
        match prev {
            // SAFETY: the neighbour of a linked entry is linked in the same wheel, hence valid.
            Some(prev) => unsafe { prev.as_ref() }.next.set(next),
            None => ends.head = next,
        }
        match next {
            // SAFETY: the neighbour of a linked entry is linked in the same wheel, hence valid.
            Some(next) => unsafe { next.as_ref() }.prev.set(prev),
            None => ends.tail = prev,
        }
        if ends.head.is_none() {
            ends.earliest_tick = u64::MAX;
            self.mark_empty(list);
        }
    }

    /// Clears the bits of a list that has become empty.
    fn mark_empty(&mut self, list: usize) {
        if list == NEVER {
            return;
        }
        let level = list / SLOTS;
        self.occupied[level] &= !(1 << (list % SLOTS));
        if self.occupied[level] == 0 {
            self.levels &= !(1 << level);
        }
    }
}

/// Returns the list for an entry of `tick` when the wheel is at `elapsed_tick`.
fn place(elapsed_tick: u64, tick: u64) -> usize {
    if tick > LAST_TICK {
        return NEVER;
    }
    // An overdue entry goes to the list of the entries that are due now.
    let tick = tick.max(elapsed_tick);
    // The lowest bit is set so that equal ticks, too, have a highest differing digit, namely that of level 0.
    let level = ((elapsed_tick ^ tick) | 1).ilog2() / DIGIT_BITS;
    let slot = (tick >> (level * DIGIT_BITS)) as usize % SLOTS;
    level as usize * SLOTS + slot
}
