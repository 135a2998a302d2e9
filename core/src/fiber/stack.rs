//! Stacks: how they are allocated and released.
//!
//! ```text
//!                     allocate                          release
//!   slab ──fresh, guarded once──> the caller ─────────────────────────> free list of the class
//!                                      ^                                        │
//!                                      └───────────── last in, first out ───────┘
//! ```
//!
//! For each size class the process has a free list and a slab with fresh slots, under one lock. The lock is off every
//! hot path: workers take and return slots in batches and keep their own lists in between. The first touch of a page
//! costs microseconds, so the slots that were used last are given out first, and only [`discard`] returns memory to
//! the kernel. A guard is installed when a slot is handed out for the first time, and stays for the life of the
//! process. [`discard`] does not cover the guard, and would keep it if it did.

use std::{
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    stack_advice::{BATCH, advise_many, advise_one},
    stack_guard,
    stack_slab::{self, Slab},
};

pub(crate) use super::{
    stack_slab::slot_containing,
    stack_slot::{DEFAULT_STACK_SIZE, SizeClass, Slot},
};

/// The unused slots of one class.
struct Pool {
    /// Guarded and used before.
    free: Vec<Slot>,
    /// The lowest slot of the newest slab that was never handed out, and the number of slots from there on.
    fresh: Slab,
    /// How many slots all slabs of the class have.
    reserved: usize,
}

// SAFETY: the pointer in `fresh` is an address to cut slots from. It is never dereferenced.
unsafe impl Send for Pool {}

static POOLS: [Mutex<Pool>; SizeClass::COUNT] = [const {
    Mutex::new(Pool { free: Vec::new(), fresh: Slab { base: std::ptr::null_mut(), slots: 0 }, reserved: 0 })
}; SizeClass::COUNT];

fn pool(class: SizeClass) -> MutexGuard<'static, Pool> {
    // No code under this lock panics between two changes that belong together, so the contents of a poisoned lock are
    // valid.
    POOLS[class.index()].lock().unwrap_or_else(PoisonError::into_inner)
}

/// Appends up to `count` slots to `out`: at least one, and fewer than `count` only if memory is short. As in every
/// list of slots here, the memory of the last ones is the likeliest to be resident. Contents are unspecified.
///
/// # Errors
///
/// If there is not even one (and one was asked for). The text says what to do.
pub(crate) fn allocate(class: SizeClass, count: usize, out: &mut Vec<Slot>) -> io::Result<()> {
    let mut pool = pool(class);
    let used = pool.free.len().min(count);
    let wanted_fresh = out.len() + count - used;
    out.reserve(count);

    // 1. Fresh slots for those that the free list lacks: from the present slab, and then from new ones.
    while out.len() < wanted_fresh {
        if let Err(error) = pool.take_fresh(class, wanted_fresh - out.len(), out) {
            let none = used == 0 && out.len() + count == wanted_fresh;
            if none {
                return Err(stack_guard::explain(error));
            }
            break;
        }
    }
    // 2. Behind them, the slots that were used before.
    let kept = pool.free.len() - used;
    out.extend(pool.free.drain(kept..));
    Ok(())
}

impl Pool {
    /// Guards the next fresh slots, at most `count`, and appends them to `out`: at least one, or an error.
    fn take_fresh(&mut self, class: SizeClass, count: usize, out: &mut Vec<Slot>) -> io::Result<()> {
        if self.fresh.slots == 0 {
            self.fresh = stack_slab::map(class, self.reserved)?;
            self.reserved += self.fresh.slots;
        }
        let start = out.len();
        let size = class.slot_size();
        let taken = count.min(self.fresh.slots).min(BATCH);
        out.extend((0..taken).map(|i| Slot::from_base(self.fresh.base.wrapping_add(i * size), class)));
        // SAFETY: the slots are in the present slab and were never handed out, so no thread uses them.
        let (guarded, result) = unsafe { stack_guard::install(&out[start..]) };
        // Slots without a guard stay fresh, and are tried again the next time.
        out.truncate(start + guarded);
        self.fresh.base = self.fresh.base.wrapping_add(guarded * size);
        self.fresh.slots -= guarded;
        if guarded > 0 { Ok(()) } else { result }
    }
}

/// Takes slots back, and leaves `slots` empty. Classes may be mixed. The memory stays resident.
///
/// # Safety
///
/// Each slot comes from [`allocate`] and has not been released. Nothing lives on it, and no thread uses it any more.
pub(crate) unsafe fn release(slots: &mut Vec<Slot>) {
    for slots in slots.chunk_by(|a, b| a.class() == b.class()) {
        pool(slots[0].class()).free.extend_from_slice(slots);
    }
    slots.clear();
}

/// Gives the memory of slots back to the kernel. They read as zeros afterwards. Guards stay. Best effort: where the
/// kernel refuses (locked memory), the memory stays.
///
/// # Safety
///
/// Each slot comes from [`allocate`], and nothing lives on it.
pub(crate) unsafe fn discard(slots: &[Slot]) {
    /// Whether the kernel takes many ranges at once. Relaxed: a hint that nothing else depends on.
    static MANY: AtomicBool = AtomicBool::new(true);

    for slots in slots.chunks(BATCH) {
        let mut ranges = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH];
        for (range, slot) in ranges.iter_mut().zip(slots) {
            range.iov_base = slot.limit().cast();
            range.iov_len = slot.top().addr() - slot.limit().addr();
        }
        let mut left = &ranges[..slots.len()];
        while !left.is_empty() {
            let done = if MANY.load(Ordering::Relaxed) {
                // SAFETY: the ranges are the usable parts of slots. The caller guarantees that nothing lives on them.
                unsafe { advise_many(left, libc::MADV_DONTNEED) }.unwrap_or_else(|_| {
                    MANY.store(false, Ordering::Relaxed);
                    0
                })
            } else {
                // SAFETY: the range is the usable part of a slot. The caller guarantees that nothing lives on it.
                let _ = unsafe { advise_one(left[0], libc::MADV_DONTNEED) };
                1
            };
            left = &left[done..];
        }
    }
}

#[cfg(test)]
#[path = "stack_tests.rs"]
pub(crate) mod tests;
