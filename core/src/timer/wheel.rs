//! The timing wheel: start, cancel and fire a timer in constant time, a million of them at once.
//!
//! The design is the hierarchical wheel of Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP
//! 1987, scheme 7), with intrusive lists, as Linux had it before 4.8, and bitmaps of the occupied slots.
//!
//! # Idea
//!
//! Time is cut into ticks of 2^16 ns (65.5 µs). A `u64` of nanoseconds then has 2^48 ticks, and a tick number
//! has exactly eight digits in base 64. There is one level of 64 slots for each digit:
//!
//! ```text
//!   bit 63     58 57     52 51     46 45     40 39     34 33     28 27     22 21     16 15              0
//!      ┌─────────┬─────────┬─────────┬─────────┬─────────┬─────────┬─────────┬─────────┬────────────────┐
//!      │ level 7 │ level 6 │ level 5 │ level 4 │ level 3 │ level 2 │ level 1 │ level 0 │ below one tick │
//!      └─────────┴─────────┴─────────┴─────────┴─────────┴─────────┴─────────┴─────────┴────────────────┘
//!  slot   9.1 y    52.1 d    19.5 h    18.3 min   17.2 s    268 ms    4.2 ms    65.5 µs
//! ```
//!
//! An entry hangs in the level of the highest digit in which its tick differs from the wheel's own tick
//! (`elapsed_tick`), in the slot which that digit names. On two digits, with `elapsed_tick` = 3'10:
//!
//! ```text
//!   level 0   . . . . . . . . . . E . . B . . . .      E: due (3'10 or before)   B: 3'13
//!   level 1   . . . e . . . C . . . . . . . . . .      e: always empty           C: 7'xx, any low digit
//!                   ^ elapsed_tick                     what is left of it in a level is empty
//!   never     N                                        deadlines past the last tick: linked, never due
//! ```
//!
//! All of a level comes before all of the next, and within a level the slots are in order of time. So the
//! first entries are in the lowest occupied slot of the lowest occupied level: two `trailing_zeros`, however
//! far away they are. When time reaches a slot above level 0, its entries are hung up again (they *cascade*);
//! each lands at least one level lower, so an entry is moved seven times at most in its life, mostly once or
//! twice.
//!
//! # Invariants
//!
//! 1. Every tick up to `elapsed_tick` has been reached by the caller's clock; `elapsed_tick` never goes back.
//! 2. A linked entry is in the list `place(elapsed_tick, entry.tick)`, and `entry.list` says so. Hence the
//!    overdue ones are in the level-0 slot of `elapsed_tick` itself.
//! 3. A bit of `occupied` is set if and only if that slot has entries, a bit of `levels` if and only if that
//!    level has an occupied slot.
//! 4. `earliest_tick` of a list is no later than the tick of any entry in it, and within the span of its slot
//!    (or overdue, in the slot of `elapsed_tick`). It is exact until an entry is removed, then it may be too
//!    early.
//! 5. Entries of the same tick are in one list, in the order in which they were inserted.
//!
//! # Precision
//!
//! A deadline is rounded up to a tick and the clock is rounded down, so an entry is never returned early, and
//! it is less than one tick late if the wheel is polled when [`Wheel::next_deadline_ns`] says. 65 µs is about
//! what Linux allows itself in waking a thread (50 µs of timer slack), and 16 + 8 × 6 = 64 wastes no bit.
//!
//! # Cost
//!
//! Insert and remove touch the entry, its neighbours and its slot. A pop is constant when shared out among
//! the entries, but a single one may cascade a whole slot: a million entries in one slot hold the lock for
//! tens of milliseconds, or over a hundred if their memory is scattered.
//!
//! # Who may touch an entry
//!
//! Its owner keeps the memory, the wheel writes the links. Both use shared references to `Cell`s only, so the
//! owner may hold an `&Entry` while it is linked. The owner may be on another thread than the wheel: what
//! keeps the two apart is the lock around the wheel, which is the caller's affair and part of the contract of
//! [`Wheel::insert`].
//!
//! # Rejected
//!
//! - A binary heap: allocates, O(log n) to start and to cancel, and a cancel needs the position in the heap.
//! - Wheels without a cascade (Linux since 4.8): up to an eighth of the time-out late. Fine for the time-outs
//!   of a network stack, not for `sleep`.
//! - A list of the due beside the slots: the slot of `elapsed_tick` serves, and entries move once less.
//! - Slots that go round (a level ahead of the wheel's digit reused for the next turn): keeps a few entries
//!   one level lower, but makes every search a rotation and the order among levels no longer plain.

#[cfg(test)]
#[path = "wheel_tests.rs"]
mod tests;

use std::cell::Cell;
use std::marker::PhantomPinned;
use std::ptr::NonNull;

/// Nanoseconds in a tick, as a power of two.
const TICK_SHIFT: u32 = 16;
/// Nanoseconds in a tick.
const TICK_NS: u64 = 1 << TICK_SHIFT;
/// Bits of a digit of the tick: 64 slots a level, one `u64` of occupancy.
const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
/// Levels that it takes to hold every tick of a `u64` of nanoseconds.
const LEVELS: usize = ((u64::BITS - TICK_SHIFT) / DIGIT_BITS) as usize;
/// The last tick that a clock of `u64` nanoseconds can reach.
const LAST_TICK: u64 = u64::MAX >> TICK_SHIFT;

/// The list of the entries that are never due. Lists below it are slots: `level * SLOTS + slot`.
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

/// A timer, in its owner's memory (most often on the stack of the green thread that sleeps).
///
/// | field      | written by                                  | read by                                    |
/// |------------|---------------------------------------------|--------------------------------------------|
/// | `data`     | `new`                                       | anyone                                     |
/// | the others | the wheel it is inserted in, under its lock | that wheel and `is_linked`, under its lock |
pub(crate) struct Entry {
    pub(super) prev: Cell<Link>,
    pub(super) next: Cell<Link>,
    /// The deadline, rounded up. Has no meaning while the entry is not linked.
    pub(super) tick: Cell<u64>,
    data: *const (),
    /// Number of the list that this entry is in, or `UNLINKED`.
    pub(super) list: Cell<u16>,
    _pinned: PhantomPinned,
}

impl Entry {
    /// An entry that is not linked. The wheel hands `data` through and never looks at it.
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

    /// Whether a wheel holds this entry. The caller holds the lock of the wheel it was last inserted in.
    pub(crate) fn is_linked(&self) -> bool {
        self.list.get() != UNLINKED
    }

    /// It is in no list any more.
    pub(super) fn unlinked(&self) {
        self.list.set(UNLINKED);
    }

    /// What was given to [`Entry::new`].
    pub(crate) fn data(&self) -> *const () {
        self.data
    }
}

/// One slot's entries, first in first out.
struct List {
    head: Link,
    tail: Link,
    /// See invariant 4. `u64::MAX` in an empty list.
    earliest_tick: u64,
}

impl List {
    const EMPTY: List = List { head: None, tail: None, earliest_tick: u64::MAX };
}

/// A set of timers in order of their deadlines. See the head of this file.
///
/// Times are nanoseconds since an origin that the caller chooses; the wheel never reads a clock. No method
/// panics or allocates after `new`, whatever the times are. Dropping a wheel forgets the entries that are
/// still in it: they stay marked as linked, and nothing may be done with them but to free them.
pub(crate) struct Wheel {
    /// Bit `l` says that level `l` has an occupied slot.
    levels: u8,
    /// Bit `s` of word `l` says that slot `s` of level `l` has entries.
    occupied: [u64; LEVELS],
    elapsed_tick: u64,
    len: usize,
    lists: Box<[List; LISTS]>,
}

// SAFETY: the pointers in a wheel are to entries of which `insert`'s caller promised that they are valid, and
// that their links are touched under the wheel's lock only, on whichever thread that is. So whoever has the
// wheel to itself has the links to itself. The `data` of an entry is handed through as a bare address.
unsafe impl Send for Wheel {}

impl Wheel {
    /// An empty wheel. `now_ns` saves the first entries a cascade if time is well under way; 0 is right as
    /// well.
    pub(crate) fn new(now_ns: u64) -> Wheel {
        Wheel {
            levels: 0,
            occupied: [0; LEVELS],
            elapsed_tick: now_ns >> TICK_SHIFT,
            len: 0,
            lists: Box::new([const { List::EMPTY }; LISTS]),
        }
    }

    /// How many entries are linked, those that are never due included.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether no entry is linked.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// When to call [`Wheel::pop_expired`] next; `None` if no entry will ever be due.
    ///
    /// It is the deadline of the earliest entry, rounded up to a tick, so it may be in the past. After a
    /// removal it may be earlier than that, down to the deadline of the entry removed: a call then returns
    /// nothing, and the next answer is better.
    pub(crate) fn next_deadline_ns(&self) -> Option<u64> {
        self.first_occupied().map(|list| self.lists[list].earliest_tick << TICK_SHIFT)
    }

    /// Links `entry`. Says whether [`Wheel::next_deadline_ns`] became earlier, so that a sleep must be cut
    /// short.
    ///
    /// A deadline in the past is due at once. One in the last tick of time, such as `u64::MAX`, means never.
    ///
    /// # Safety
    ///
    /// - `entry` is not linked, in this wheel or another.
    /// - It stays valid and where it is until `remove` is called with it, `pop_expired` returns it, or the
    ///   wheel is dropped; there is no `&mut` to it for as long.
    /// - From here on, the wheel's methods and the entry's `is_linked` exclude each other and happen one
    ///   after the other, by a lock for instance, if they are called on several threads.
    #[must_use = "if the first deadline changed, whoever sleeps until the old one must be woken"]
    pub(crate) unsafe fn insert(&mut self, entry: NonNull<Entry>, deadline_ns: u64) -> bool {
        let before = self.first_occupied().map(|list| self.lists[list].earliest_tick);
        // SAFETY: valid and not under a `&mut`, by this function's contract.
        let node = unsafe { entry.as_ref() };
        debug_assert!(!node.is_linked(), "an entry is inserted twice");
        let tick = deadline_ns.div_ceil(TICK_NS);
        node.tick.set(tick);
        // SAFETY: valid and not linked, by this function's contract.
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
        // SAFETY: linked in this wheel, by this function's contract.
        unsafe { self.unlink(entry) };
        self.len -= 1;
    }

    /// Unlinks every entry, without making it due.
    pub(crate) fn unlink_all(&mut self) {
        for list in &mut *self.lists {
            let mut rest = core::mem::replace(list, List::EMPTY).head;
            while let Some(entry) = rest {
                // SAFETY: it was in a list of this wheel, so `insert`'s contract keeps it valid.
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

    /// Unlinks and returns an entry whose deadline is at `now_ns` or before, the earliest tick first, and
    /// within a tick in the order of insertion. `None` if there is none: call it until then.
    ///
    /// A clock that goes back counts as one that stands still: what was due stays due.
    ///
    /// The entry belongs to its owner again, who may free it as soon as the wheel's lock is released: read
    /// its [`Entry::data`] before that.
    pub(crate) fn pop_expired(&mut self, now_ns: u64) -> Option<NonNull<Entry>> {
        let now_tick = (now_ns >> TICK_SHIFT).max(self.elapsed_tick);
        // Three turns at most. If a turn cascades because of an `earliest_tick` that is too early, it leaves
        // exact ones, since all the levels below were empty. If it cascades by an exact one, then either that
        // tick is reached and there is an entry in its slot of level 0 for the next turn to return, or
        // `elapsed_tick` is now `now_tick`, and the next turn finds nothing that starts as early.
        let mut turns = 0;
        loop {
            turns += 1;
            debug_assert!(turns <= 3, "a cascade left its entries where they were");
            let Some(list) = self.first_occupied().filter(|&list| self.start_tick(list) <= now_tick) else {
                // No slot starts up to `now_tick`, so each digit down to the level of the first one is as
                // before or still below that slot's: invariant 2 holds.
                self.elapsed_tick = now_tick;
                return None;
            };
            if list < SLOTS {
                self.elapsed_tick = self.start_tick(list);
                let entry = self.lists[list].head?;
                // SAFETY: it is in a list of this wheel, so it was inserted in it and not removed since.
                unsafe { self.unlink(entry) };
                self.len -= 1;
                return Some(entry);
            }
            self.cascade(list, now_tick);
        }
    }

    /// Moves time to the first entry of `list`, or to `now_tick` if that is before, and hangs up its entries
    /// anew.
    ///
    /// `list` is the first occupied slot, above level 0, and starts at `now_tick` or before. Both times are
    /// within its span, so its entries agree with the new `elapsed_tick` in the digit of their level and
    /// those above: they all land lower. Where the others are, before and after, the difference is in the
    /// same digit as before.
    fn cascade(&mut self, list: usize, now_tick: u64) {
        let first_tick = self.lists[list].earliest_tick;
        debug_assert!(first_tick > self.elapsed_tick, "what is due is in level 0");
        self.elapsed_tick = first_tick.min(now_tick);
        let mut rest = std::mem::replace(&mut self.lists[list], List::EMPTY).head;
        self.mark_empty(list);
        // Each entry of the list once: none of them comes back to it.
        while let Some(entry) = rest {
            // SAFETY: it was in a list of this wheel, so `insert`'s contract keeps it valid.
            let node = unsafe { entry.as_ref() };
            rest = node.next.get();
            // SAFETY: as above; it is in no list, since its list has been taken apart.
            unsafe { self.push_back(place(self.elapsed_tick, node.tick.get()), entry) };
        }
    }

    /// The list that time reaches first. Every entry of it comes before every entry of the others.
    fn first_occupied(&self) -> Option<usize> {
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros() as usize;
        Some(level * SLOTS + self.occupied[level].trailing_zeros() as usize)
    }

    /// The first tick of a slot: the digits of `elapsed_tick` above its level, its own, and zeros.
    fn start_tick(&self, list: usize) -> u64 {
        let shift = (list / SLOTS) as u32 * DIGIT_BITS;
        let above = self.elapsed_tick >> (shift + DIGIT_BITS) << (shift + DIGIT_BITS);
        above | ((list % SLOTS) as u64) << shift
    }

    /// Adds `entry` at the end of `list`.
    ///
    /// # Safety
    ///
    /// `entry` is valid as `insert` demands, its tick is set, and it is in no list.
    unsafe fn push_back(&mut self, list: usize, entry: NonNull<Entry>) {
        // SAFETY: valid, by this function's contract.
        let node = unsafe { entry.as_ref() };
        let ends = &mut self.lists[list];
        node.prev.set(ends.tail);
        node.next.set(None);
        node.list.set(list as u16);
        match ends.tail {
            // SAFETY: it is linked in this wheel, so `insert`'s contract keeps it valid.
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

    /// Takes `entry` out of its list.
    ///
    /// # Safety
    ///
    /// `entry` is linked, in this wheel.
    unsafe fn unlink(&mut self, entry: NonNull<Entry>) {
        // SAFETY: it is linked in this wheel, so `insert`'s contract keeps it valid.
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
            // SAFETY: as for `prev`.
            Some(next) => unsafe { next.as_ref() }.prev.set(prev),
            None => ends.tail = prev,
        }
        if ends.head.is_none() {
            ends.earliest_tick = u64::MAX;
            self.mark_empty(list);
        }
    }

    /// Clears the bits of a list that has lost its last entry.
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

/// The list in which an entry of `tick` hangs when the wheel is at `elapsed_tick`.
fn place(elapsed_tick: u64, tick: u64) -> usize {
    if tick > LAST_TICK {
        return NEVER;
    }
    // What is overdue goes where what is due now is.
    let tick = tick.max(elapsed_tick);
    // The lowest bit is set so that equal ticks, too, have a highest digit: that of level 0.
    let level = ((elapsed_tick ^ tick) | 1).ilog2() / DIGIT_BITS;
    let slot = (tick >> (level * DIGIT_BITS)) as usize % SLOTS;
    level as usize * SLOTS + slot
}
