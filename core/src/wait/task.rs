//! The waiter of an async task: it stores the waker of the task that polls.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::task::Waker;

use crate::wait::waiter::{Waiter, WaiterVtable};

/// The waiter of a future, with the waker of the task that polls the future.
///
/// A future can be dropped at any time. So wakers and the future touch its nodes, its payload and its waker only
/// under the lock of the queue that it is in, and it is in one queue at most.
#[repr(C)]
pub struct TaskWaiter {
    waiter: Waiter,
    waker: UnsafeCell<Option<Waker>>,
}

// SAFETY: `waker` is touched only while the queue's lock is held.
unsafe impl Send for TaskWaiter {}
// SAFETY: `waker` is touched only while the queue's lock is held.
unsafe impl Sync for TaskWaiter {}

static TASK_KIND: WaiterVtable =
    WaiterVtable { wake: |_| unreachable!(), suspend: |_, _| unreachable!(), retain: None, is_task: true };

impl TaskWaiter {
    /// Creates a waiter for a future. It must not move while one of its nodes is in a queue.
    pub fn new() -> TaskWaiter {
        TaskWaiter { waiter: Waiter::new(&TASK_KIND), waker: UnsafeCell::new(None) }
    }

    /// Returns the waiter as its wakers see it. `this` points to the whole object, and the returned pointer keeps
    /// that provenance.
    pub fn waiter(this: NonNull<TaskWaiter>) -> NonNull<Waiter> {
        this.cast()
    }

    /// Replaces the waker. Returns the old one, which the caller drops after unlocking.
    ///
    /// # Safety
    ///
    /// The caller holds the lock of the queue that the waiter is in, or the waiter is in no queue.
    #[must_use]
    pub unsafe fn set_waker(&self, waker: Option<Waker>) -> Option<Waker> {
        // SAFETY: the caller holds the queue's lock, or no other thread can reach this waiter. So the access is
        // exclusive.
        unsafe { core::mem::replace(&mut *self.waker.get(), waker) }
    }

    /// Takes the waker of a task.
    ///
    /// # Safety
    ///
    /// `waiter` is the first field of a `TaskWaiter`, is derived from a pointer to the whole, and the lock of its queue
    /// is held.
    pub(super) unsafe fn take_waker(waiter: NonNull<Waiter>) -> Option<Waker> {
        // SAFETY: `waiter` points to a whole `TaskWaiter`, and the caller holds the lock of its queue.
        unsafe { waiter.cast::<TaskWaiter>().as_ref().set_waker(None) }
    }
}

impl Default for TaskWaiter {
    fn default() -> TaskWaiter {
        TaskWaiter::new()
    }
}
