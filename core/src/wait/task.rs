//! The waiter of an async task: it stores the waker of the task that polls.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::task::Waker;

use crate::wait::run_shielded_catching;
use crate::wait::waiter::{Waiter, WaiterVtable};

/// A task's waker, or none. Dropping and waking it are user code, which may run after an operation has had its
/// effect. So both run shielded, and a panic in them ends there, after the panic hook has reported it: what the
/// operation returns is not lost.
#[derive(Debug, Default)]
pub struct OwnedWaker(Option<Waker>);

impl OwnedWaker {
    /// Returns a clone of `waker`. The clone is user code too, so this is called before an operation has an effect.
    pub fn new(waker: &Waker) -> OwnedWaker {
        OwnedWaker(Some(waker.clone()))
    }

    /// Returns no waker.
    pub const fn none() -> OwnedWaker {
        OwnedWaker(None)
    }

    /// Takes the waker out.
    #[must_use = "its destructor is user code: drop it after unlocking"]
    pub fn take(&mut self) -> OwnedWaker {
        core::mem::take(self)
    }

    /// Puts `waker` in, and returns the waker before it.
    #[must_use = "its destructor is user code: drop it after unlocking"]
    pub fn replace(&mut self, waker: OwnedWaker) -> OwnedWaker {
        core::mem::replace(self, waker)
    }

    /// Returns whether this is a waker of the same task as `waker`, as far as that can be seen without user code.
    pub fn will_wake(&self, waker: &Waker) -> bool {
        self.0.as_ref().is_some_and(|own| own.will_wake(waker))
    }

    /// Wakes the task, if there is a waker.
    pub fn wake(mut self) {
        if let Some(waker) = self.0.take() {
            run_shielded_catching(|| waker.wake());
        }
    }

    pub(super) fn into_inner(mut self) -> Option<Waker> {
        self.0.take()
    }
}

impl Drop for OwnedWaker {
    #[inline]
    fn drop(&mut self) {
        if let Some(waker) = self.0.take() {
            run_shielded_catching(|| drop(waker));
        }
    }
}

/// The waiter of a future, with the waker of the task that polls the future.
///
/// A future can be dropped at any time. So wakers and the future touch its nodes, its payload and its waker only
/// under the lock of the queue that it is in, and it is in one queue at most.
#[repr(C)]
pub struct TaskWaiter {
    waiter: Waiter,
    waker: UnsafeCell<OwnedWaker>,
}

// SAFETY: `waker` is touched only while the queue's lock is held.
unsafe impl Send for TaskWaiter {}
// SAFETY: `waker` is touched only while the queue's lock is held.
unsafe impl Sync for TaskWaiter {}

static TASK_KIND: WaiterVtable = WaiterVtable {
    wake: |_| unreachable!(),
    wake_last: None,
    suspend: |_, _| unreachable!(),
    retain: None,
    is_task: true,
};

impl TaskWaiter {
    /// Creates a waiter for a future. It must not move while one of its nodes is in a queue.
    pub fn new() -> TaskWaiter {
        TaskWaiter { waiter: Waiter::new(&TASK_KIND), waker: UnsafeCell::new(OwnedWaker::none()) }
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
    pub unsafe fn set_waker(&self, waker: OwnedWaker) -> OwnedWaker {
        // SAFETY: the caller holds the queue's lock, or no other thread can reach this waiter. So the access is
        // exclusive.
        unsafe { (*self.waker.get()).replace(waker) }
    }

    /// Returns whether the waker is one of the same task as `waker`, as far as that can be seen without user code.
    ///
    /// # Safety
    ///
    /// The caller holds the lock of the queue that the waiter is in, or the waiter is in no queue.
    pub unsafe fn will_wake(&self, waker: &Waker) -> bool {
        // SAFETY: the caller holds the queue's lock, or no other thread can reach this waiter. So the access is
        // exclusive.
        unsafe { (*self.waker.get()).will_wake(waker) }
    }

    /// Takes the waker of a task.
    ///
    /// # Safety
    ///
    /// `waiter` is the first field of a `TaskWaiter`, is derived from a pointer to the whole, and the lock of its queue
    /// is held.
    pub(super) unsafe fn take_waker(waiter: NonNull<Waiter>) -> Option<Waker> {
        // SAFETY: `waiter` points to a whole `TaskWaiter`, and the caller holds the lock of its queue.
        unsafe { waiter.cast::<TaskWaiter>().as_ref().set_waker(OwnedWaker::none()) }.into_inner()
    }
}

impl Default for TaskWaiter {
    fn default() -> TaskWaiter {
        TaskWaiter::new()
    }
}
