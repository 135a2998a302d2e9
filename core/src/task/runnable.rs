//! The right to queue or run a task (`Runnable`).

use core::fmt;
use core::ops::Deref;
use core::ptr::NonNull;

use crate::task::Task;

/// The right to queue a task, or to run it. There is at most one for each task at a time: it comes into being at the
/// task's spawn, or when a waker claims the parked or idle task, and it goes when the task runs.
///
/// The task is alive as long as its `Runnable` exists: the runtime holds a reference until the task has finished, and a
/// task finishes only in a run.
#[must_use = "a task that is not queued never runs"]
#[derive(PartialEq, Eq)]
pub(crate) struct Runnable(NonNull<Task>);

// SAFETY: the right may move to another thread. A queue that other threads take from holds only tasks that any worker
// may run, or whose home takes them out.
unsafe impl Send for Runnable {}

impl Runnable {
    /// Makes the right to queue or run `task`.
    ///
    /// # Safety
    ///
    /// The task is alive and in no queue, and the caller has the right to queue it: the caller has spawned it, or has
    /// claimed it, or has taken it from a queue as a pointer.
    #[inline]
    pub(crate) unsafe fn new(task: NonNull<Task>) -> Runnable {
        Runnable(task)
    }

    /// Returns the task as a pointer. The right goes with it.
    #[inline]
    pub(crate) fn into_pointer(self) -> NonNull<Task> {
        self.0
    }

    /// Returns a pointer to the task, while this keeps the right.
    #[inline]
    pub(crate) fn pointer(&self) -> NonNull<Task> {
        self.0
    }

    /// Returns the address of the task, to compare with later.
    #[inline]
    pub(crate) fn address(&self) -> usize {
        self.0.as_ptr().addr()
    }
}

impl Deref for Runnable {
    type Target = Task;

    #[inline]
    fn deref(&self) -> &Task {
        // SAFETY: the task is alive as long as this exists, as the type says.
        unsafe { self.0.as_ref() }
    }
}

impl fmt::Debug for Runnable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
