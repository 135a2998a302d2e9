//! The scheduler's slots in the headers of tasks and fibers, with their types.

use crate::fiber::Fiber;
use crate::home::Home;
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

impl Fiber {
    /// Returns the home under whose identity its work runs, if it has one.
    ///
    /// # Safety
    ///
    /// The caller runs on the fiber, or is about to resume it, and uses the home no longer than it is set.
    #[inline]
    pub(super) unsafe fn home<'a>(&self) -> Option<&'a Home> {
        // SAFETY: a home that is set is alive, as `set_home` requires. The caller guarantees the lifetime.
        unsafe { self.home_slot.get().cast::<Home>().as_ref() }
    }

    /// Sets or clears the home.
    ///
    /// # Safety
    ///
    /// The caller runs on this fiber, and suspends it before it does anything else. It clears the home before it drops it.
    /// The home is lent.
    pub(super) unsafe fn set_home(&self, home: Option<&Home>) {
        self.home_slot.set(home.map_or(core::ptr::null(), core::ptr::from_ref).cast());
    }
}
