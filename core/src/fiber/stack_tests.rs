//! Tests of the pools of slots, and of the kernel's behaviour with guards and discards.
//!
//! Method: the pools belong to the process. So tests that rely on their contents take turns, and tests that exhaust a
//! resource do it in a child. Whether a page faults is found with a system call that reads it: for a guard the call
//! returns EFAULT, and no signal is sent.

use std::{
    collections::HashSet,
    env,
    process::{Command, Output},
};

use super::*;
use crate::fiber::stack_guard::GuardMethod;
use crate::fiber::stack_slot::page_size;

/// The number of slots that the process has.
#[derive(Debug)]
struct Stats {
    /// Allocated and not released.
    handed_out: usize,
    /// Released and not allocated again.
    free: usize,
}

/// Counts, over all classes. The counts are not of one instant if other threads allocate meanwhile.
fn stats() -> Stats {
    let mut stats = Stats { handed_out: 0, free: 0 };
    for index in 0..SizeClass::COUNT {
        let pool = pool(SizeClass::from_index(index));
        stats.free += pool.free.len();
        stats.handed_out += pool.reserved - pool.fresh.slots - pool.free.len();
    }
    stats
}

const CHILD: &str = "KAHN_TEST_CHILD";

/// Held by the test that uses the pools.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// In the test itself: runs the test binary again, with only the test of this module and name, and returns its
/// outcome. In that child: runs `deed`, and returns `None` if the process has survived it.
pub(crate) fn in_child(module: &str, test: &str, deed: fn()) -> Option<Output> {
    if env::var_os(CHILD).is_some() {
        let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the argument is valid. A core dump of the child is not needed.
        unsafe { libc::setrlimit(libc::RLIMIT_CORE, &no_core) };
        deed();
        return None;
    }
    let (_crate, path) = module.split_once("::").unwrap();
    let mut child = Command::new(env::current_exe().unwrap());
    child.args([&format!("{path}::{test}"), "--exact", "--nocapture"]).env(CHILD, "1");
    Some(child.output().unwrap())
}

fn class(bytes: usize) -> SizeClass {
    SizeClass::for_size(bytes).unwrap()
}

/// Returns whether an access to the lowest page of the slot faults.
fn is_guarded(slot: Slot) -> bool {
    stack_guard::faults(libc::iovec { iov_base: slot.guard().cast(), iov_len: page_size() })
}

#[test]
fn every_slot_is_usable_from_limit_to_top_and_guarded_below() {
    let _turn = turn();
    let mut slots = Vec::new();
    for index in 0..SizeClass::COUNT {
        if SizeClass::from_index(index).slot_size() >= 4 * page_size() {
            allocate(SizeClass::from_index(index), 2, &mut slots).unwrap();
        }
    }
    for slot in &slots {
        // SAFETY: both bytes are in the usable part of a slot that was just allocated.
        unsafe {
            slot.limit().write_volatile(1);
            slot.top().sub(1).write_volatile(1);
        }
        assert_eq!(slot.top().addr() % slot.class().slot_size(), 0);
        assert!(is_guarded(*slot));
        let place = slot_containing(slot.limit().addr() - 1).unwrap();
        assert!(place.in_guard && place.slot == *slot);
    }
    // SAFETY: nothing lives on the slots.
    unsafe { release(&mut slots) };
}

#[test]
fn slots_are_distinct_and_the_last_released_is_the_first_given_out() {
    let _turn = turn();
    let class = class(64 << 20);
    let mut slots = Vec::new();
    allocate(class, 200, &mut slots).unwrap();
    assert_eq!(slots.iter().map(|slot| slot.top().addr()).collect::<HashSet<_>>().len(), 200);
    let released = slots.clone();
    // SAFETY: nothing lives on the slots.
    unsafe { release(&mut slots) };
    assert!(slots.is_empty());
    allocate(class, 3, &mut slots).unwrap();
    assert_eq!(slots, released[197..]);
    // SAFETY: nothing lives on the slots.
    unsafe { release(&mut slots) };
}

#[test]
fn discard_gives_the_memory_back_and_keeps_the_guards() {
    let _turn = turn();
    let mut slots = Vec::new();
    allocate(class(4 << 20), 2 * BATCH + 3, &mut slots).unwrap();
    for slot in &slots {
        // SAFETY: the bytes are in the usable part of a slot that was just allocated.
        unsafe { slot.top().sub(8).write_volatile(7) };
    }
    // SAFETY: nothing lives on the slots, and the bytes written above are not needed.
    unsafe { discard(&slots) };
    for slot in &slots {
        #[cfg(target_os = "linux")]
        // SAFETY: the bytes are in the usable part of a slot that is still allocated.
        assert_eq!(unsafe { slot.top().sub(8).read_volatile() }, 0);
        assert!(is_guarded(*slot));
    }
    // Even an advice that covers the guard leaves it there.
    let slot = slots[0];
    let whole = libc::iovec { iov_base: slot.guard().cast(), iov_len: slot.class().slot_size() };
    // SAFETY: nothing lives on the slot.
    unsafe { advise_one(whole, libc::MADV_DONTNEED) }.unwrap();
    assert!(is_guarded(slot));
    // SAFETY: nothing lives on the slots.
    unsafe { release(&mut slots) };
}

#[test]
fn stats_count_used_and_free_slots() {
    let _turn = turn();
    let class = class(256 << 20);
    let mut slots = Vec::new();
    allocate(class, 5, &mut slots).unwrap();
    assert!(stack_slab::count() > 0 && stats().handed_out >= 5);
    assert_ne!(stack_guard::method(), GuardMethod::Untried);
    // SAFETY: nothing lives on the slots.
    unsafe { release(&mut slots) };
    assert!(stats().free >= 5);
}

#[test]
fn mixed_classes_go_back_to_their_own_lists() {
    let _turn = turn();
    let mut slots = Vec::new();
    allocate(class(16 << 20), 1, &mut slots).unwrap();
    allocate(class(1 << 20), 2, &mut slots).unwrap();
    allocate(class(16 << 20), 1, &mut slots).unwrap();
    let released = slots.clone();
    // SAFETY: nothing lives on the slots.
    unsafe { release(&mut slots) };
    allocate(class(16 << 20), 2, &mut slots).unwrap();
    assert!(slots.iter().all(|slot| slot.class() == class(16 << 20)));
    assert!(slots.contains(&released[0]) && slots.contains(&released[3]));
    // SAFETY: nothing lives on the slots.
    unsafe { release(&mut slots) };
}

/// Allocates by the hundred until there is no more. Returns how many slots there were, and the error.
#[cfg(target_os = "linux")]
fn exhaust(class: SizeClass) -> (usize, io::Error) {
    let mut slots = Vec::with_capacity(1 << 17);
    loop {
        if let Err(error) = allocate(class, 100, &mut slots) {
            return (slots.len(), error);
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn past_the_limit_of_mappings_the_error_names_the_sysctl() {
    let output = in_child(module_path!(), "past_the_limit_of_mappings_the_error_names_the_sysctl", || {
        let max = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
        let max: usize = max.trim().parse().unwrap();
        if max > 100_000 {
            return; // It would take too long.
        }
        stack_guard::force_method(GuardMethod::Mprotect);
        let (count, error) = exhaust(class(64 * 1024));
        assert!((max * 4 / 10..max / 2).contains(&count), "{count} slots");
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        assert!(error.to_string().contains("Raise it, as in `sysctl -w vm.max_map_count="), "{error}");
        // There is room for other allocations.
        std::thread::spawn(|| drop(vec![0u8; 64 << 20])).join().unwrap();
    });
    if let Some(output) = output {
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn in_a_limited_address_space_smaller_slabs_are_used_to_the_end() {
    let output =
        in_child(module_path!(), "in_a_limited_address_space_smaller_slabs_are_used_to_the_end", || {
            let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
            let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
            let limit = pages * page_size() as u64 + (100 << 20);
            let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
            // SAFETY: the argument is valid.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
            let (count, error) = exhaust(class(DEFAULT_STACK_SIZE));
            assert!((360..=400).contains(&count), "{count} slots in 100 MiB");
            assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
            assert!(error.to_string().contains("ulimit -v"), "{error}");
        });
    if let Some(output) = output {
        assert!(output.status.success(), "{output:?}");
    }
}
