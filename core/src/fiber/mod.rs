//! Fibers: stacks with something to run on them. The only user of corosensei.
//!
//! [`stack`] hands out guarded memory, [`overflow`] tells when one was too small, [`runner`] makes a slot into a fiber
//! that runs one job after another, and [`pool`] keeps each worker's idle ones.

pub(crate) mod overflow;
mod overflow_alt_stack;
pub(crate) mod locals;
pub(crate) mod panic_count;
pub(crate) mod park_check;
pub(crate) mod pool;
pub(crate) mod runner;
pub(crate) mod stack;
mod stack_advice;
mod stack_guard;
mod stack_slab;
mod stack_slot;

pub(crate) use runner::{Fiber, Suspend};
