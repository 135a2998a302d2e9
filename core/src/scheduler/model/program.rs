//! The functions of the scheduler that user code reaches, in a model of a user's program.

use core::future::Future;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::fiber::{Fiber, locals};
use crate::primitives::explorer;
use crate::scheduler::{execution, report};
use crate::task::{SpawnOptions, Task};
use crate::wait::{self, current, is_internal_unwind};

/// What a spawn says that is refused for lack of memory, which does not happen in a model.
pub(crate) const SHORT_OF_MEMORY: &str = "there is no memory for another stack";

/// What the green threads of a model share.
pub(crate) struct Shared {
    pub(crate) blocking: Blocking,
}

/// In a model, a blocking call runs in its caller, which waits for it in any case.
pub(crate) struct Blocking;

impl Blocking {
    pub(crate) fn call<T>(&self, f: impl FnOnce() -> T) -> T {
        f()
    }
}

impl Shared {
    /// Returns the number of workers that a program sees. A model explores all orders, whatever the number.
    pub(crate) fn workers(&self) -> usize {
        2
    }
}

/// Returns what the green threads of the caller's model share.
pub(crate) fn runtime_here() -> Option<&'static Shared> {
    static SHARED: Shared = Shared { blocking: Blocking };
    execution::is_here().then_some(&SHARED)
}

/// Returns whether parked green threads move between workers: there are none.
pub(crate) fn migratory_here() -> Option<bool> {
    None
}

pub(crate) fn note_migratory() {}

pub(crate) fn has_own_home() -> bool {
    false
}

pub(crate) fn is_short_of_memory_for(_options: SpawnOptions) -> bool {
    false
}

/// Returns the task that the caller is.
pub(crate) fn running_task() -> Option<NonNull<Task>> {
    // SAFETY: the waiter of a green thread is in a task.
    current::green().map(|waiter| unsafe { Task::of_waiter(waiter) })
}

/// Returns the place of the caller's green-thread-local values.
pub(crate) fn running_fiber() -> Option<NonNull<Fiber>> {
    // The record of a green thread lives until the end of the execution.
    execution::running().map(|green| NonNull::from(&green.fiber))
}

/// Drops the green-thread-local values of the caller. Their destructors may park.
pub(crate) fn clear_locals() {
    if let Some(green) = execution::running() {
        locals::clear(&green.fiber);
    }
}

/// Asks a task to unwind, or, if it is stackless and idle, to drop its future or body.
///
/// # Safety
///
/// The caller holds a reference.
pub(crate) unsafe fn cancel(task: NonNull<Task>) {
    // SAFETY: the caller holds a reference.
    unsafe {
        Task::cancel(task);
        if task.as_ref().is_stackless() {
            Task::wake(task);
        }
    }
}

/// Lets other green threads run. Calls `otherwise` if the caller is not a green thread.
pub(crate) fn yield_or(otherwise: fn()) {
    if current::green().is_none() {
        return otherwise();
    }
    wait::check_cancelled();
    wait::check_timeout();
    explorer::yield_now();
}

/// Returns a closure that runs `f` and notes its panic, until a thread joins it.
pub(crate) fn watched<F: FnOnce() -> T, T>(f: F) -> impl FnOnce() -> T {
    move || catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| note_and_resume(payload))
}

/// Forgets a panic: a thread has joined it.
pub(crate) fn note_joined(payload: &(dyn std::any::Any + Send)) {
    report::forget_panic(payload);
}

fn note_and_resume(payload: Box<dyn std::any::Any + Send>) -> ! {
    if !is_internal_unwind(&*payload) {
        report::note_panic(&*payload);
    }
    resume_unwind(payload)
}

/// Returns a future that polls `future` and notes its panic, until a thread joins it.
pub(crate) fn watched_future<F: Future>(future: F) -> impl Future<Output = F::Output> {
    struct Watched<F>(F);
    impl<F: Future> Future for Watched<F> {
        type Output = F::Output;

        fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
            // SAFETY: the field is pinned when the whole is, and is never moved out of it.
            let future = unsafe { self.map_unchecked_mut(|this| &mut this.0) };
            catch_unwind(AssertUnwindSafe(|| future.poll(context)))
                .unwrap_or_else(|payload| note_and_resume(payload))
        }
    }
    Watched(future)
}
