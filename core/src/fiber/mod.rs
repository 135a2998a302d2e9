//! Fibers: stacks, and the coroutines that run tasks on them. The only user of corosensei.
//!
//! [`stack`] allocates guarded memory, [`overflow`] reports when a stack was too small, [`coroutine`] makes a slot
//! into a fiber that runs one task after another, and [`pool`] keeps each worker's idle fibers.

pub(crate) mod overflow;
mod overflow_alt_stack;
pub(crate) mod locals;
pub(crate) mod panic_count;
pub(crate) mod park_check;
pub(crate) mod pool;
pub(crate) mod coroutine;
pub(crate) mod stack;
mod stack_advice;
mod stack_guard;
mod stack_slab;
mod stack_slot;

pub(crate) use coroutine::{Fiber, Suspend, Switch};
