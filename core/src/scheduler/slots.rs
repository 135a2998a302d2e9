//! The scheduler's slots in the header of a task, with their types.

use crate::fiber::Fiber;
use crate::primitives::Ordering;
use crate::scheduler::remote::Remote;
use crate::task::Task;

impl Task {
    /// Returns the worker that the task has a stack on. Null before it has started.
    #[inline]
    pub(crate) fn home(&self) -> *const Remote {
        // Relaxed: the store happens before the task opens its wait. A waker got the task through a queue, whose lock
        // orders the store before this load. A canceller is ordered by the Release of `Waiter::prepare` and the Acquire
        // of its claim.
        self.home_slot.load(Ordering::Relaxed).cast_const().cast()
    }

    #[inline]
    pub(crate) fn set_home(&self, home: *const Remote) {
        self.home_slot.store(home.cast_mut().cast(), Ordering::Relaxed);
    }

    /// Returns the fiber that it runs on, or null. Called by the running worker.
    #[inline]
    pub(crate) fn fiber(&self) -> *mut Fiber {
        self.fiber_slot.get().cast()
    }

    #[inline]
    pub(crate) fn set_fiber(&self, fiber: *mut Fiber) {
        self.fiber_slot.set(fiber.cast());
    }

    /// Returns the worker that lists the task among its parked tasks, or null. Called by the running worker.
    #[inline]
    pub(crate) fn owner(&self) -> *const Remote {
        self.owner_slot.get().cast()
    }

    #[inline]
    pub(crate) fn set_owner(&self, owner: *const Remote) {
        self.owner_slot.set(owner.cast());
    }
}
