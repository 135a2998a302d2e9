//! Slabs: the few large mappings that slots are cut from, and the table that finds the slot of an address.
//!
//! ```text
//!   slab of class 2 (256 KiB slots), one mapping of up to 8 GiB, aligned
//!   |g| slot 0    |g| slot 1    |g| slot 2    | not handed out yet: no guards, no page tables, no memory |
//!   ^base         ^base + slot_size
//! ```
//!
//! A kernel counts mappings, and allows few (65,530 by default), so a stack must not be a mapping of its own. Slabs
//! are reserved without being committed. The first of a class is small, and each next one doubles the memory of the
//! class, up to 8 GiB. A program with ten green threads reserves 16 MiB, and a program with a million has 40 mappings
//! for them. Where address space is limited (RLIMIT_AS, strict overcommit) a slab is halved until it fits. Slabs live
//! as long as the process.
//!
//! The alignment is that of a slot, and at least the span of one page of page-table entries. So a slab shares such a
//! page with nothing else, and a full slab of 256 KiB slots costs 513 bytes of page tables a slot.

use std::{
    io, ptr,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::stack_slot::{SizeClass, Slot, page_size};

/// The bytes of a class's first slab, unless one slot is larger.
const FIRST_SLAB_BYTES: usize = 16 << 20;

/// The bytes of its largest slabs: 8 GiB, or 64 MiB where pointers are small.
const MAX_SLAB_BYTES: usize = FIRST_SLAB_BYTES << if usize::BITS >= 64 { 9 } else { 2 };

/// The bytes that one page of page-table entries spans with 4 KiB pages.
const PAGE_TABLE_SPAN: usize = 2 << 20;

/// How many slabs the table holds: 32 TiB of them at full size.
const MAX_SLABS: usize = 4096;

/// A range of slots of one class, reserved and not guarded.
pub(super) struct Slab {
    pub(super) base: *mut u8,
    pub(super) slots: usize,
}

/// The position of an address in a slot.
pub(crate) struct FaultPlace {
    /// The slot.
    pub(crate) slot: Slot,
    /// Whether the address is in its guard page, that is, whether an access to it is an overflow.
    pub(crate) in_guard: bool,
}

/// A slab in the table.
///
/// | field   | written                         | read                                   |
/// |---------|---------------------------------|----------------------------------------|
/// | `shape` | once, before `base`             | after a `base` that is not 0           |
/// | `base`  | once, from 0, when it is mapped | by any thread at any time, in signal handlers too |
struct Entry {
    base: AtomicUsize,
    /// The number of slots, and the class in the low eight bits.
    shape: AtomicUsize,
}

static TABLE: [Entry; MAX_SLABS] =
    [const { Entry { base: AtomicUsize::new(0), shape: AtomicUsize::new(0) } }; MAX_SLABS];

/// How many entries were claimed. More than `MAX_SLABS` if some claims were refused.
static CLAIMED: AtomicUsize = AtomicUsize::new(0);

/// Returns how many slabs there are, of all classes.
pub(super) fn count() -> usize {
    // Relaxed: a statistic, and a bound for a search that checks each entry.
    CLAIMED.load(Ordering::Relaxed).min(MAX_SLABS)
}

/// Returns the slot that `addr` is in. Takes no lock and allocates nothing, so a signal handler may call it.
pub(crate) fn slot_containing(addr: usize) -> Option<FaultPlace> {
    TABLE[..count()].iter().find_map(|entry| {
        // Acquire: pairs with the Release in `record`, so that the shape is that of this slab. A thread that faults in
        // a slot was given the slot after `record`, so it sees the claim and the base without more ordering.
        let base = entry.base.load(Ordering::Acquire);
        let shape = entry.shape.load(Ordering::Relaxed);
        let class = SizeClass::from_index(shape & 0xff);
        let index = addr.checked_sub(base)? / class.slot_size();
        if base == 0 || index >= shape >> 8 {
            return None;
        }
        let slot_base = base + index * class.slot_size();
        let slot = Slot::from_base(ptr::with_exposed_provenance_mut(slot_base), class);
        Some(FaultPlace { slot, in_guard: addr - slot_base < page_size() })
    })
}

/// Reserves the next slab of a class that has `existing` slots: as many again, within bounds, and fewer if there is no
/// room for so many.
///
/// # Errors
///
/// If there is no room for a single slot.
pub(super) fn map(class: SizeClass, existing: usize) -> io::Result<Slab> {
    let size = class.slot_size();
    let mut slots = existing.clamp((FIRST_SLAB_BYTES / size).max(1), (MAX_SLAB_BYTES / size).max(1));
    let base = loop {
        match map_aligned(slots * size, size.max(PAGE_TABLE_SPAN)) {
            Ok(base) => break base,
            Err(_) if slots > 1 => slots /= 2,
            Err(error) => return Err(error),
        }
    };
    // Stacks are used sparsely: a huge page would commit 2 MiB for the first byte of a stack. An error means that the
    // kernel has no huge pages, which is as good.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // SAFETY: the range is the mapping made above, which no other code knows, and the advice keeps its contents.
    unsafe {
        libc::madvise(base.cast(), slots * size, libc::MADV_NOHUGEPAGE);
    }
    if let Err(error) = record(base, slots, class) {
        unmap(base, slots * size);
        return Err(error);
    }
    Ok(Slab { base, slots })
}

/// Adds a slab to the table, before any of its slots is handed out.
fn record(base: *mut u8, slots: usize, class: SizeClass) -> io::Result<()> {
    // Relaxed: only the uniqueness of the index matters. The entry's contents are published below.
    let index = CLAIMED.fetch_add(1, Ordering::Relaxed);
    let Some(entry) = TABLE.get(index) else {
        return Err(io::Error::new(
            io::ErrorKind::OutOfMemory,
            format!(
                "no more room for green threads' stacks: all {MAX_SLABS} slabs are in use; keep fewer parked"
            ),
        ));
    };
    entry.shape.store(slots << 8 | class.index(), Ordering::Relaxed);
    // Release: a thread that reads this base reads the shape stored above.
    entry.base.store(base.expose_provenance(), Ordering::Release);
    Ok(())
}

/// Reserves `len` bytes at a multiple of `align`, a power of two.
fn map_aligned(len: usize, align: usize) -> io::Result<*mut u8> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple", target_os = "netbsd"))]
    const FLAGS: libc::c_int = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;
    #[cfg(not(any(
        target_os = "linux",
        target_os = "android",
        target_vendor = "apple",
        target_os = "netbsd"
    )))]
    const FLAGS: libc::c_int = libc::MAP_PRIVATE | libc::MAP_ANON;

    // 1. Reserve enough that an aligned range is inside, wherever the kernel places it.
    let padded = len.checked_add(align).ok_or(io::ErrorKind::OutOfMemory)?;
    // SAFETY: an anonymous mapping at an address of the kernel's choice affects no existing memory.
    let mapped =
        unsafe { libc::mmap(ptr::null_mut(), padded, libc::PROT_READ | libc::PROT_WRITE, FLAGS, -1, 0) };
    if mapped == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // 2. Give back the parts before and behind the range.
    let mapped: *mut u8 = mapped.cast();
    let head = mapped.addr().next_multiple_of(align) - mapped.addr();
    let base = mapped.wrapping_add(head);
    unmap(mapped, head);
    unmap(base.wrapping_add(len), align - head);
    Ok(base)
}

/// Unmaps part of a new mapping that no other code knows yet.
fn unmap(start: *mut u8, len: usize) {
    if len > 0 {
        // SAFETY: the callers pass ranges inside a mapping that they have just made and that nothing refers to. If the
        // kernel refuses (it may run out of mappings in a split), only address space is lost.
        unsafe { libc::munmap(start.cast(), len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slab_is_aligned_and_its_addresses_are_found() {
        for index in 0..SizeClass::COUNT {
            let class = SizeClass::from_index(index);
            let size = class.slot_size();
            let slab = map(class, 0).unwrap();
            assert_eq!(slab.base.addr() % size.max(PAGE_TABLE_SPAN), 0);
            for slot in [0, slab.slots / 2, slab.slots - 1] {
                let base = slab.base.wrapping_add(slot * size);
                for (offset, in_guard) in
                    [(0, true), (page_size() - 1, true), (page_size(), false), (size - 1, false)]
                {
                    let place = slot_containing(base.addr() + offset).unwrap();
                    assert_eq!(place.slot, Slot::from_base(base, class));
                    assert_eq!(place.in_guard, in_guard);
                }
            }
        }
        let on_the_os_stack = 0u8;
        assert!(slot_containing(ptr::from_ref(&on_the_os_stack).addr()).is_none());
        assert!(slot_containing(0).is_none() && slot_containing(8).is_none());
        assert!(slot_containing(usize::MAX).is_none());
    }

    #[test]
    fn slabs_double_up_to_a_bound() {
        let class = SizeClass::from_index(2);
        assert_eq!(map(class, 0).unwrap().slots, 64);
        assert_eq!(map(class, 640).unwrap().slots, 640);
        assert_eq!(map(class, usize::MAX).unwrap().slots, 32 * 1024);
    }
}
