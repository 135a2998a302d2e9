//! The worker, the runtime and the task that the caller runs on.

use core::ptr::{self, NonNull};
use std::sync::Arc;

use crate::fiber::Fiber;
use crate::scheduler::remote::Remote;
use crate::scheduler::shared::Shared;
use crate::scheduler::worker::Worker;
use crate::task::{SpawnOptions, Task};
use crate::wait::current;

/// Returns the worker that the caller runs on, or null.
#[inline(always)]
pub(super) fn here() -> *const Worker {
    current::worker().cast()
}

/// Calls `f` with the worker that the caller runs on, if there is one. `f` must not switch stacks.
#[inline(always)]
pub(super) fn with_worker<R>(f: impl FnOnce(&Worker) -> R) -> Option<R> {
    // SAFETY: the pointer is null, or that of a worker that runs on this kernel thread: a worker sets it in its own record
    // until it ends, and in that of a home while it carries the home. `f` returns on this kernel thread before the
    // worker's own frame goes on, because it does not switch stacks.
    unsafe { here().as_ref() }.map(f)
}

/// Returns the runtime whose worker the caller runs on.
pub(crate) fn runtime_here() -> Option<Arc<Shared>> {
    with_worker(|worker| Arc::clone(&worker.shared))
}

/// Returns whether the caller runs on a worker of `shared`.
pub(crate) fn is_worker_of(shared: &Shared) -> bool {
    with_worker(|worker| ptr::eq(&raw const *worker.shared, shared)).unwrap_or(false)
}

/// Returns whether the runtime here lets parked green threads move to other workers, or `None` if there is no runtime
/// here.
pub(crate) fn migratory_here() -> Option<bool> {
    with_worker(|worker| worker.shared.migratory)
}

/// Records that a migratory green thread is about to be spawned in the runtime here.
pub(crate) fn note_migratory() {
    let _ = with_worker(|worker| worker.shared.note_migratory());
}

/// Returns whether there is a runtime here that is being shut down.
pub(crate) fn closing_here() -> bool {
    with_worker(|worker| worker.shared.is_closing()).unwrap_or(false)
}

/// Returns the record of the worker that the caller runs on.
pub(crate) fn remote_here() -> Option<&'static Remote> {
    with_worker(|worker| worker.remote)
}

/// Returns whether the runtime here last failed to get a stack of the size class that a task with these options needs.
#[inline]
pub(crate) fn is_short_of_memory_for(options: SpawnOptions) -> bool {
    with_worker(|worker| {
        worker.shared.is_short_of_memory() && worker.shared.is_short_of(worker.shared.class_of(options))
    })
    .unwrap_or(false)
}

/// Returns whether the caller is a worker, or runs on one.
pub(crate) fn is_on_worker() -> bool {
    !here().is_null()
}

/// Returns the fiber that the caller runs on.
#[inline]
pub(crate) fn running_fiber() -> Option<NonNull<Fiber>> {
    with_worker(|worker| NonNull::new(worker.running()))?
}

/// Returns the task that the caller is.
pub(crate) fn running_task() -> Option<NonNull<Task>> {
    // SAFETY: the waiter of a green thread is in a task.
    current::green().map(|waiter| unsafe { Task::of_waiter(waiter) })
}
