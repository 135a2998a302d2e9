//! Tests of the wheel: single cases, and then random histories that are compared with a sorted map.
//!
//! The random test allocates each entry in a box and frees it when the wheel has returned it, so that Miri detects a
//! pointer that the wheel keeps too long. It needs no crate. A failing case prints the call that replays it.

use std::collections::BTreeMap;
use std::ptr;

use super::*;

const SECOND_NS: u64 = 1_000_000_000;

/// A wheel with boxed entries that are identified by numbers.
struct Bench {
    wheel: Wheel,
    /// The entries that are linked.
    linked: BTreeMap<usize, NonNull<Entry>>,
}

impl Bench {
    fn new(now_ns: u64) -> Bench {
        Bench { wheel: Wheel::new(now_ns), linked: BTreeMap::new() }
    }

    fn insert(&mut self, name: usize, deadline_ns: u64) -> bool {
        let entry = Box::new(Entry::new(ptr::without_provenance(name)));
        assert!(!entry.is_linked());
        let entry = NonNull::from(Box::leak(entry));
        assert!(self.linked.insert(name, entry).is_none(), "the test uses a name twice");
        // SAFETY: the entry is new. Only `free` frees it, and `free` is called only for entries that have left the
        // wheel.
        let earlier = unsafe { self.wheel.insert(entry, deadline_ns) };
        // SAFETY: the entry is not freed while it is linked, and there is no `&mut` to it.
        assert!(unsafe { entry.as_ref() }.is_linked());
        earlier
    }

    fn remove(&mut self, name: usize) {
        let entry = self.linked[&name];
        // SAFETY: the entries in `linked` are linked in `wheel`.
        unsafe { self.wheel.remove(entry) };
        self.free(entry);
    }

    fn pop(&mut self, now_ns: u64) -> Option<usize> {
        let entry = self.wheel.pop_expired(now_ns)?;
        Some(self.free(entry))
    }

    fn pop_all(&mut self, now_ns: u64) -> Vec<usize> {
        std::iter::from_fn(|| self.pop(now_ns)).collect()
    }

    fn free(&mut self, entry: NonNull<Entry>) -> usize {
        // SAFETY: the pointer came from `Box::leak`, and the wheel has just given the entry up.
        let entry = unsafe { Box::from_raw(entry.as_ptr()) };
        assert!(!entry.is_linked());
        let name = entry.data().addr();
        assert!(self.linked.remove(&name).is_some(), "the wheel returned an entry twice");
        name
    }

    /// Checks the invariants at the top of `wheel.rs`, by their numbers there.
    fn check(&self) {
        let wheel = &self.wheel;
        let mut seen = 0;
        for (number, list) in wheel.lists.iter().enumerate() {
            let (mut prev, mut next) = (None, list.head);
            while let Some(entry) = next {
                // SAFETY: linked entries have not been freed.
                let node = unsafe { entry.as_ref() };
                assert!(node.prev.get() == prev, "a list is not doubly linked");
                assert_eq!(usize::from(node.list.get()), number, "invariant 2");
                assert_eq!(place(wheel.elapsed_tick, node.tick.get()), number, "invariant 2");
                assert!(list.earliest_tick <= node.tick.get(), "invariant 4");
                seen += 1;
                (prev, next) = (next, node.next.get());
            }
            assert!(list.tail == prev);
            if number == NEVER {
                continue;
            }
            let bit = wheel.occupied[number / SLOTS] >> (number % SLOTS) & 1;
            assert_eq!(bit == 1, list.head.is_some(), "invariant 3");
            match list.head {
                Some(_) => assert_eq!(place(wheel.elapsed_tick, list.earliest_tick), number, "invariant 4"),
                None => assert_eq!(list.earliest_tick, u64::MAX, "invariant 4"),
            }
        }
        for (level, occupied) in wheel.occupied.iter().enumerate() {
            assert_eq!(wheel.levels >> level & 1 == 1, *occupied != 0, "invariant 3");
        }
        assert_eq!(seen, wheel.len());
        assert_eq!(seen, self.linked.len());
        assert_eq!(seen == 0, wheel.is_empty());
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for entry in self.linked.values() {
            // SAFETY: the pointer came from `Box::leak`, and the wheel is not used any more.
            drop(unsafe { Box::from_raw(entry.as_ptr()) });
        }
    }
}

/// Returns the first nanosecond of the first tick at or after `deadline_ns`.
fn rounded_up(deadline_ns: u64) -> u64 {
    deadline_ns.next_multiple_of(TICK_NS)
}

#[test]
fn wheel_may_change_threads() {
    fn is_send<T: Send>() {}
    is_send::<Wheel>();
}

#[test]
fn entry_is_due_from_the_tick_at_or_after_its_deadline() {
    for deadline_ns in [1, TICK_NS - 1, TICK_NS, TICK_NS + 1, SECOND_NS, u64::MAX - TICK_NS] {
        let mut bench = Bench::new(0);
        assert!(bench.insert(1, deadline_ns));
        let due_ns = rounded_up(deadline_ns);
        assert_eq!(bench.wheel.next_deadline_ns(), Some(due_ns));
        assert_eq!(bench.pop(due_ns - 1), None);
        assert_eq!(bench.wheel.next_deadline_ns(), Some(due_ns));
        assert_eq!(bench.pop(due_ns), Some(1));
        assert_eq!(bench.pop(u64::MAX), None);
        bench.check();
    }
}

#[test]
fn edges_of_every_level_hold_from_every_start() {
    for start_level in 0..LEVELS as u32 {
        let start = (1_u64 << (DIGIT_BITS * start_level)) - 1;
        for level in 0..LEVELS as u32 {
            let offsets: &[u64] = if cfg!(miri) { &[0, 63] } else { &[0, 1, 2, 62, 63] };
            for &offset in offsets {
                let tick = offset << (DIGIT_BITS * level);
                for tick in [tick.saturating_sub(1), tick, tick + 1] {
                    let mut bench = Bench::new(start << TICK_SHIFT);
                    bench.insert(1, tick << TICK_SHIFT);
                    bench.check();
                    let due_ns = tick.max(start) << TICK_SHIFT;
                    if tick > start {
                        assert_eq!(bench.pop(due_ns - 1), None);
                        bench.check();
                    }
                    assert_eq!(bench.pop(due_ns), Some(1), "tick {tick} from {start}");
                }
            }
        }
    }
}

#[test]
fn last_tick_of_time_is_due_and_what_is_past_it_never() {
    let mut bench = Bench::new(0);
    let last_ns = LAST_TICK << TICK_SHIFT;
    assert!(!bench.insert(1, u64::MAX));
    assert!(!bench.insert(2, last_ns + 1));
    assert_eq!(bench.wheel.next_deadline_ns(), None);
    assert_eq!(bench.wheel.len(), 2);
    assert!(bench.insert(3, last_ns));
    assert!(!bench.insert(4, u64::MAX));
    bench.check();
    assert_eq!(bench.pop_all(last_ns - 1), []);
    assert_eq!(bench.pop_all(u64::MAX), [3]);
    assert!(!bench.insert(5, u64::MAX));
    bench.remove(1);
    bench.remove(5);
    bench.remove(4);
    bench.check();
    bench.remove(2);
    assert!(bench.wheel.is_empty());
}

#[test]
fn deadline_in_the_past_is_due_at_once() {
    let mut bench = Bench::new(SECOND_NS);
    assert!(bench.insert(1, SECOND_NS / 2));
    assert!(bench.insert(2, 0));
    assert!(!bench.insert(3, SECOND_NS / 4));
    assert_eq!(bench.wheel.next_deadline_ns(), Some(0));
    assert_eq!(bench.pop_all(SECOND_NS), [1, 2, 3]);
}

#[test]
fn clock_that_goes_back_stands_still() {
    let mut bench = Bench::new(0);
    bench.insert(1, SECOND_NS);
    bench.insert(2, SECOND_NS);
    bench.insert(3, 2 * SECOND_NS);
    assert_eq!(bench.pop(SECOND_NS + TICK_NS), Some(1));
    assert_eq!(bench.pop(0), Some(2), "it was due");
    assert_eq!(bench.pop(0), None);
    bench.insert(4, 3);
    assert_eq!(bench.pop(0), Some(4));
    assert_eq!(bench.pop(SECOND_NS), None);
    assert_eq!(bench.pop(2 * SECOND_NS + TICK_NS), Some(3));
}

#[test]
fn insert_says_whether_the_sleeper_must_be_woken() {
    let mut bench = Bench::new(0);
    assert!(bench.insert(1, 10 * SECOND_NS));
    assert!(!bench.insert(2, 11 * SECOND_NS));
    assert!(!bench.insert(3, 10 * SECOND_NS), "no earlier than the first");
    assert!(!bench.insert(4, 10 * SECOND_NS - 1), "earlier, but not by a tick");
    assert!(bench.insert(5, 10 * SECOND_NS - TICK_NS), "earlier within the same slot");
    assert!(bench.insert(6, 1));
}

#[test]
fn equal_deadlines_fire_first_in_first_out_after_cascades() {
    let mut bench = Bench::new(0);
    let deadline_ns = 20 * SECOND_NS;
    bench.insert(1, deadline_ns);
    bench.insert(2, deadline_ns + SECOND_NS);
    for (name, now_ns) in [(3, 10), (4, 18), (5, 19)] {
        assert_eq!(bench.pop(now_ns * SECOND_NS), None);
        bench.insert(name, deadline_ns);
        bench.check();
    }
    assert_eq!(bench.pop(deadline_ns), None);
    bench.insert(6, deadline_ns - 1);
    assert_eq!(bench.pop_all(deadline_ns + TICK_NS), [1, 3, 4, 5, 6]);
    assert_eq!(bench.pop_all(u64::MAX), [2]);
}

#[test]
fn removal_works_at_each_end_and_in_the_middle() {
    for gone in [[1, 2, 3], [3, 2, 1], [2, 1, 3], [2, 3, 1]] {
        let mut bench = Bench::new(0);
        for name in 1..=3 {
            bench.insert(name, SECOND_NS);
        }
        for name in gone {
            bench.remove(name);
            bench.check();
        }
        assert_eq!(bench.wheel.next_deadline_ns(), None);
        assert!(bench.insert(4, SECOND_NS));
        assert_eq!(bench.pop_all(2 * SECOND_NS), [4]);
    }
}

#[test]
fn unlink_all_leaves_an_empty_wheel_and_entries_that_may_be_linked_again() {
    let mut bench = Bench::new(0);
    // One entry on each level, an overdue one, and one that is never due.
    let deadlines: Vec<u64> =
        (0..LEVELS as u32).map(|level| TICK_NS << (level * DIGIT_BITS)).chain([0, u64::MAX]).collect();
    for (name, &deadline_ns) in deadlines.iter().enumerate() {
        let _ = bench.insert(name, deadline_ns);
    }
    bench.wheel.unlink_all();
    let entries: Vec<_> = bench.linked.values().copied().collect();
    // SAFETY: none of the entries has been freed.
    assert!(entries.iter().all(|entry| unsafe { !entry.as_ref().is_linked() }));
    assert!(bench.wheel.is_empty() && bench.wheel.next_deadline_ns().is_none());
    assert!(bench.wheel.pop_expired(u64::MAX).is_none());
    for entry in entries {
        bench.free(entry);
    }
    let _ = bench.insert(0, SECOND_NS);
    bench.check();
}

#[test]
fn next_deadline_is_early_at_most_once_after_a_removal() {
    let mut bench = Bench::new(0);
    bench.insert(1, 100 * SECOND_NS);
    bench.insert(2, 101 * SECOND_NS);
    bench.remove(1);
    let early_ns = bench.wheel.next_deadline_ns().unwrap();
    assert_eq!(early_ns, rounded_up(100 * SECOND_NS));
    assert_eq!(bench.pop(early_ns), None);
    assert_eq!(bench.wheel.next_deadline_ns(), Some(rounded_up(101 * SECOND_NS)));
}

/// A loop over the slots, or even over the cascades, of 580 years would not end.
#[test]
fn jump_of_centuries_returns_everything_in_order() {
    let mut bench = Bench::new(0);
    let deadlines_ns = (0..63).map(|bit| 1_u64 << bit);
    for (name, deadline_ns) in deadlines_ns.rev().enumerate() {
        bench.insert(name, deadline_ns);
    }
    // The last seventeen entries have deadlines that differ by up to a tick, and are all due in the same tick.
    let expected: Vec<usize> = (46..63).chain((0..46).rev()).collect();
    assert_eq!(bench.pop_all(u64::MAX), expected);
}

/// The xorshift64* generator: good enough to mix cases, and the same on every platform.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }

    /// Returns a number below 2^`max_bits`. Each number of bits is equally likely.
    fn magnitude(&mut self, max_bits: u64) -> u64 {
        let bits = self.below(max_bits + 1) as u32;
        self.next().checked_shr(u64::BITS - bits).unwrap_or(0)
    }
}

/// Runs a random history on a wheel and on a sorted map, and compares all observable results.
fn compare_with_a_sorted_map(seed: u64, steps: usize) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    // Each seed has its own pace: most histories stay within minutes, and some run to the end of time.
    let stride_bits = 18 + random.below(44);
    let reach_bits = (stride_bits + random.below(12)).min(64);
    let crowd = 1 << random.below(8);
    let mut now_ns = if random.below(2) == 0 { 0 } else { random.magnitude(63) };
    let mut bench = Bench::new(now_ns);
    // The model: deadlines, ordered by the tick at which they are due and the order of insertion. Entries that are
    // never due are in `forever`.
    let mut pending: BTreeMap<(u64, usize), u64> = BTreeMap::new();
    let mut forever: Vec<usize> = Vec::new();

    for name in 0..steps {
        match random.below(10) {
            0..=4 if bench.wheel.len() < crowd => {
                let deadline_ns = match random.below(16) {
                    0 => now_ns.saturating_sub(random.magnitude(40)),
                    1 => u64::MAX - random.magnitude(18),
                    // Deadlines next to an existing one.
                    2..=5 if !pending.is_empty() => {
                        let nth = random.below(pending.len() as u64) as usize;
                        *pending.values().nth(nth).unwrap()
                    }
                    _ => now_ns.saturating_add(random.magnitude(reach_bits)),
                };
                let before = bench.wheel.next_deadline_ns();
                let earlier = bench.insert(name, deadline_ns);
                let after = bench.wheel.next_deadline_ns();
                assert_eq!(earlier, after.is_some() && before.is_none_or(|before| after < Some(before)));
                if deadline_ns > LAST_TICK << TICK_SHIFT {
                    forever.push(name);
                } else {
                    let tick = deadline_ns.div_ceil(TICK_NS).max(bench.wheel.elapsed_tick);
                    pending.insert((tick, name), deadline_ns);
                }
            }
            0..=5 => {
                let nth = random.below(bench.wheel.len() as u64 + 1) as usize;
                if let Some(&key) = pending.keys().nth(nth) {
                    pending.remove(&key);
                    bench.remove(key.1);
                } else if !forever.is_empty() {
                    bench.remove(forever.swap_remove(nth % forever.len()));
                }
            }
            step => {
                // The clock moves anywhere, exactly to the next deadline, or back.
                let clock_ns = match step {
                    6 => now_ns.saturating_add(random.magnitude(stride_bits)),
                    7 => now_ns.saturating_sub(random.magnitude(stride_bits)),
                    _ => bench.wheel.next_deadline_ns().unwrap_or(now_ns),
                };
                now_ns = now_ns.max(clock_ns);
                // Sometimes the caller does not take all due entries.
                let mut limit = if random.below(4) == 0 { random.below(4) } else { u64::MAX };
                while limit > 0 {
                    let before_tick = bench.wheel.elapsed_tick;
                    let popped = bench.pop(clock_ns);
                    if popped.is_none() {
                        let reached_tick = before_tick.max(clock_ns >> TICK_SHIFT);
                        assert_eq!(bench.wheel.elapsed_tick, reached_tick, "invariant 1");
                    }
                    let due = pending.first_key_value().map(|(&key, &deadline_ns)| (key, deadline_ns));
                    let due = due.filter(|((tick, _), _)| tick << TICK_SHIFT <= now_ns);
                    match (popped, due) {
                        (Some(popped), Some((key, deadline_ns))) => {
                            assert_eq!(popped, key.1, "out of order");
                            assert!(deadline_ns <= now_ns, "early");
                            assert!(bench.wheel.elapsed_tick >= key.0, "time did not come along");
                            pending.remove(&key);
                        }
                        (None, None) => break,
                        // With a clock that went back, the wheel returns only what was due at the time that it had
                        // reached before.
                        (None, Some(((tick, _), _))) if clock_ns < now_ns => {
                            assert!(tick > bench.wheel.elapsed_tick);
                            break;
                        }
                        (popped, due) => panic!("popped {popped:?}, but due is {due:?}"),
                    }
                    limit -= 1;
                }
            }
        }
        let promised_ns = bench.wheel.next_deadline_ns();
        match pending.first_key_value() {
            Some((&(tick, _), _)) => assert!(promised_ns.unwrap() <= tick << TICK_SHIFT, "looks too late"),
            None => assert_eq!(promised_ns, None),
        }
        bench.check();
    }

    // Takes the rest as a worker does: it sleeps until the next deadline, and never longer.
    let mut idle_polls = 0;
    while let Some(promised_ns) = bench.wheel.next_deadline_ns() {
        let slept = promised_ns > now_ns;
        now_ns = now_ns.max(promised_ns);
        let popped = bench.pop_all(now_ns);
        idle_polls = if popped.is_empty() { idle_polls + 1 } else { 0 };
        assert!(idle_polls <= LEVELS, "polls without end");
        for name in popped {
            let (key, deadline_ns) = pending.pop_first().unwrap();
            assert_eq!(name, key.1);
            assert!(deadline_ns <= now_ns, "early");
            assert!(!slept || now_ns - deadline_ns < TICK_NS, "late by a tick or more");
        }
        bench.check();
    }
    assert!(pending.is_empty(), "lost");
    assert_eq!(bench.wheel.len(), forever.len());
}

/// Reports which seed failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay: compare_with_a_sorted_map({}, {STEPS})", self.0);
        }
    }
}

const STEPS: usize = if cfg!(miri) { 60 } else { 400 };

#[test]
fn random_histories_agree_with_a_sorted_map() {
    for seed in 0..if cfg!(miri) { 12 } else { 300 } {
        let _says = Seed(seed);
        compare_with_a_sorted_map(seed, STEPS);
    }
}
