//! A slot: the memory of one stack. And the size classes of slots.
//!
//! ```text
//!   low addresses                                                    high addresses
//!   | guard page | usable, committed by the kernel page by page as it is touched  |
//!   ^            ^                                                   <- grows     ^
//!   top - size   limit()                                                      top()
//! ```
//!
//! A slot is aligned to its own size, so an address inside a slot, such as a stack pointer, gives the slot's bounds by
//! masking. Sizes are powers of four: eight classes span 16 KiB to 256 MiB. A stack is committed lazily, so rounding
//! up wastes address space and page tables, not memory.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

/// The default stack size of a green thread, in bytes.
pub(crate) const DEFAULT_STACK_SIZE: usize = 256 * 1024;

/// The smallest stack that can be asked for, in bytes.
pub(crate) const MIN_STACK_SIZE: usize = 16 * 1024;

/// The largest stack that can be asked for, in bytes.
pub(crate) const MAX_STACK_SIZE: usize = MIN_STACK_SIZE << (2 * (SizeClass::COUNT - 1));

/// The fewest pages of a slot, whatever the size of a page: it must hold its guard and leave room to run.
const MIN_PAGES: usize = 4;

/// One of the sizes of slots: class `n` is `16 KiB * 4^n`, guard included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SizeClass(u8);

impl SizeClass {
    /// How many classes there are. An index is below it.
    pub(crate) const COUNT: usize = 8;

    /// Returns the smallest class whose slots, guard page included, have at least `bytes`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` below [`MIN_STACK_SIZE`] and above [`MAX_STACK_SIZE`].
    pub(crate) fn for_size(bytes: usize) -> io::Result<SizeClass> {
        if !(MIN_STACK_SIZE..=MAX_STACK_SIZE).contains(&bytes) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "a green thread's stack of {bytes} bytes is not possible: ask for at least \
                     {MIN_STACK_SIZE} (16 KiB) and at most {MAX_STACK_SIZE} (256 MiB), or leave the default \
                     of {DEFAULT_STACK_SIZE} (256 KiB)"
                ),
            ));
        }
        // With 16 KiB or 64 KiB pages the smallest classes could hold little but their guard. Those are skipped.
        let bytes = bytes.max(MIN_PAGES * page_size());
        let index = (0..Self::COUNT).find(|&index| Self::from_index(index).slot_size() >= bytes);
        Ok(Self::from_index(index.unwrap_or(Self::COUNT - 1)))
    }

    /// Returns the class with this `index`.
    ///
    /// # Panics
    ///
    /// If `index` is not below `COUNT`.
    pub(crate) const fn from_index(index: usize) -> SizeClass {
        assert!(index < Self::COUNT);
        SizeClass(index as u8)
    }

    /// Returns the index, from 0, the smallest class, to `COUNT - 1`.
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// Returns the bytes of one slot, guard page included. This is also its alignment.
    pub(crate) const fn slot_size(self) -> usize {
        MIN_STACK_SIZE << (2 * self.0)
    }
}

/// A token for one slot. Like a raw pointer, it may be copied, and does not own the memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Slot {
    top: *mut u8,
    class: SizeClass,
}

// SAFETY: a `Slot` is an address and a number. It dereferences nothing itself, and code that writes to the memory
// argues for it there. So moving the token between OS threads is harmless.
unsafe impl Send for Slot {}
// SAFETY: a `Slot` is an address and a number, and has nothing to mutate.
unsafe impl Sync for Slot {}

impl Slot {
    /// Returns the slot whose lowest byte is at `base`, for the files that cut slabs into slots.
    pub(super) fn from_base(base: *mut u8, class: SizeClass) -> Slot {
        Slot { top: base.wrapping_add(class.slot_size()), class }
    }

    /// Returns the address one past the highest byte, where a stack starts. Aligned to a page.
    pub(crate) const fn top(self) -> *mut u8 {
        self.top
    }

    /// Returns the lowest byte that may be used, just above the guard page.
    pub(crate) fn limit(self) -> *mut u8 {
        self.guard().wrapping_add(page_size())
    }

    /// Returns the class of the slot, which determines its size.
    pub(crate) const fn class(self) -> SizeClass {
        self.class
    }

    /// Returns the lowest byte of the guard page, and of the slot.
    pub(super) fn guard(self) -> *mut u8 {
        self.top.wrapping_sub(self.class.slot_size())
    }
}

/// Returns the bytes of a page. Safe to call in a signal handler once it has been called outside of one.
pub(super) fn page_size() -> usize {
    static PAGE_SIZE: AtomicUsize = AtomicUsize::new(0);
    // Relaxed: every thread writes the same value, and nothing else is published with it.
    match PAGE_SIZE.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: sysconf takes no pointers and has no preconditions.
            let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
            PAGE_SIZE.store(size, Ordering::Relaxed);
            size
        }
        size => size,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_up_to_a_class() {
        let size = |bytes| SizeClass::for_size(bytes).unwrap().slot_size();
        assert_eq!(size(DEFAULT_STACK_SIZE), DEFAULT_STACK_SIZE);
        assert_eq!(size(DEFAULT_STACK_SIZE + 1), 4 * DEFAULT_STACK_SIZE);
        assert_eq!(size(MAX_STACK_SIZE), MAX_STACK_SIZE);
        assert!(size(MIN_STACK_SIZE) >= MIN_PAGES * page_size());
        assert_eq!(MAX_STACK_SIZE, 256 << 20);
    }

    #[test]
    fn sizes_out_of_bounds_say_the_bounds() {
        for bytes in [0, 1, MIN_STACK_SIZE - 1, MAX_STACK_SIZE + 1, usize::MAX] {
            let error = SizeClass::for_size(bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains("at least 16384 (16 KiB) and at most 268435456 (256 MiB)"));
        }
    }

    #[test]
    fn parts_of_a_slot_are_laid_out_as_documented() {
        let class = SizeClass::for_size(DEFAULT_STACK_SIZE).unwrap();
        let base = std::ptr::without_provenance_mut::<u8>(64 << 20);
        let slot = Slot::from_base(base, class);
        assert_eq!(slot.guard(), base);
        assert_eq!(slot.limit().addr(), base.addr() + page_size());
        assert_eq!(slot.top().addr(), base.addr() + class.slot_size());
    }
}
