//! A worker's idle fibers: last in, first out, so that the stack whose pages are warm is the next to be used.
//!
//! | fibers | kept as | cost of the next use |
//! |---|---|---|
//! | up to `WARM` | fibers, their pages resident | none |
//! | beyond | slots given back to the process, their pages to the kernel, in batches | a page fault or two |
//!
//! The surplus is given back only at a worker's calm moments (`trim`), and half of it at a time, so that a wave of
//! green threads that comes and goes does not fault its stacks in again each time.

use core::ptr::NonNull;
use std::io;

use crate::fiber::Fiber;
use crate::fiber::coroutine::Run;
use crate::fiber::stack::{self, SizeClass, Slot};

/// Idle fibers that a worker always keeps per class.
const WARM: usize = 256;
/// Slots taken from the process at a time. Doubles with demand up to `BATCH_MAX`.
const BATCH: usize = 16;
const BATCH_MAX: usize = 256;

#[derive(Default)]
struct Shelf {
    fibers: Vec<NonNull<Fiber>>,
    /// Slots taken from the process and not yet made into fibers.
    slots: Vec<Slot>,
    batch: usize,
    /// The fewest idle fibers since the last `trim`: that many were not needed meanwhile.
    low: usize,
}

/// The idle fibers of one worker, by size class.
pub(crate) struct Pool {
    shelves: [Shelf; SizeClass::COUNT],
    run: Run,
}

impl Pool {
    /// Makes an empty pool of fibers whose work `run` runs.
    pub(crate) fn new(run: Run) -> Pool {
        Pool { shelves: Default::default(), run }
    }

    /// Takes a free fiber of `class`, or makes one.
    ///
    /// # Errors
    ///
    /// If there is no memory for its stack.
    #[inline]
    pub(crate) fn take(&mut self, class: SizeClass) -> io::Result<NonNull<Fiber>> {
        let shelf = &mut self.shelves[class.index()];
        match shelf.fibers.pop() {
            Some(fiber) => {
                shelf.low = shelf.low.min(shelf.fibers.len());
                Ok(fiber)
            }
            None => shelf.build(class, self.run),
        }
    }

    /// Takes back a free fiber.
    #[inline]
    pub(crate) fn put(&mut self, fiber: NonNull<Fiber>) {
        // SAFETY: the header of a fiber lives until the fiber is dismantled.
        let class = unsafe { fiber.as_ref() }.slot().class();
        self.shelves[class.index()].fibers.push(fiber);
    }

    /// Gives back half of the surplus of fibers that were not needed since the last call.
    pub(crate) fn trim(&mut self) {
        for shelf in &mut self.shelves {
            let surplus = shelf.low.saturating_sub(WARM) / 2;
            if surplus > 0 {
                shelf.give_back(surplus);
            }
            shelf.low = shelf.fibers.len();
        }
    }
}

impl Shelf {
    #[cold]
    fn build(&mut self, class: SizeClass, run: Run) -> io::Result<NonNull<Fiber>> {
        if self.slots.is_empty() {
            self.batch = (self.batch * 2).clamp(BATCH, BATCH_MAX);
            stack::allocate(class, self.batch, &mut self.slots)?;
        }
        let slot = self.slots.pop().ok_or(io::ErrorKind::OutOfMemory)?;
        self.low = 0;
        // SAFETY: the slot was allocated for this pool, and has not been used since.
        Ok(unsafe { Fiber::build(slot, run) })
    }

    /// Gives the `count` coldest fibers back.
    fn give_back(&mut self, count: usize) {
        let mut slots: Vec<Slot> = self
            .fibers
            .drain(..count)
            // SAFETY: fibers in a pool are free.
            .map(|fiber| unsafe { Fiber::dismantle(fiber) })
            .collect();
        // SAFETY: the fibers are dismantled, so nothing lives on the slots.
        unsafe {
            stack::discard(&slots);
            stack::release(&mut slots);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for shelf in &mut self.shelves {
            shelf.give_back(shelf.fibers.len());
            // SAFETY: these slots were never made into fibers.
            unsafe { stack::release(&mut shelf.slots) };
        }
    }
}
