//! The scheduler's slots in the headers of tasks, with their types.

use core::ptr;

use crate::fiber::Fiber;
use crate::primitives::Ordering;
use crate::scheduler::remote::Remote;
use crate::scheduler::shared_home::SharedHome;
use crate::task::Task;

/// The mark of a place that is a home. The records of homes and of workers are aligned to 128.
const SHARED: usize = 1;

impl Task {
    /// Returns where it has a stack, or ran last: the address of a worker's record, or that of a home with a mark.
    #[inline]
    fn place(&self) -> *mut () {
        // Relaxed: the store happens before the task opens its wait. A waker got the task through a queue, whose lock
        // orders the store before this load. A canceller is ordered by the Release of `Waiter::prepare` and the Acquire
        // of its claim.
        self.home_slot.load(Ordering::Relaxed)
    }

    /// Returns whether it has never been started, and has not been given a home.
    pub(super) fn is_unplaced(&self) -> bool {
        self.place().is_null()
    }

    /// Returns the home that travels and that it has a stack in, or ran in last, if it is in one.
    #[inline]
    pub(super) fn shared_home(&self) -> Option<&'static SharedHome> {
        let place = self.place();
        // SAFETY: only `set_shared_home` sets the mark, on a pointer from a `'static` reference.
        (place.addr() & SHARED != 0).then(|| unsafe { &*place.map_addr(|addr| addr & !SHARED).cast() })
    }

    /// Returns the worker that it has a stack on, or ran on last. If it is in a home that travels, returns the worker that
    /// carries the home, or carried it last. Null before the task has started.
    #[inline]
    pub(crate) fn worker(&self) -> *const Remote {
        match self.shared_home() {
            Some(home) => home.last(),
            None => self.place().cast_const().cast(),
        }
    }

    #[inline]
    pub(super) fn set_worker(&self, worker: &'static Remote) {
        self.home_slot.store(ptr::from_ref(worker).cast_mut().cast(), Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn set_shared_home(&self, home: &'static SharedHome) {
        let place = ptr::from_ref(home).cast_mut().cast::<()>().map_addr(|addr| addr | SHARED);
        self.home_slot.store(place, Ordering::Relaxed);
    }

    /// Makes this task the unit of a home.
    pub(super) fn stand_for(&self, home: &'static SharedHome) {
        debug_assert!(self.options.is_unit(), "the task was made as a unit");
        self.fiber_slot.set(ptr::from_ref(home).cast_mut().cast());
    }

    /// Returns the home that this task stands for, if it is a unit.
    #[inline]
    pub(super) fn as_home(&self) -> Option<&'static SharedHome> {
        // SAFETY: the fiber slot of a unit is set by `stand_for`, from a `'static` reference.
        self.options.is_unit().then(|| unsafe { &*self.fiber_slot.get().cast_const().cast() })
    }

    /// Returns the fiber that it runs on, or null. For a unit of a home, which is never run, returns an address that is not null.
    /// Called by the running worker.
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
