//! The `Waker` of a stackless task. It holds a reference to the task.

use core::ptr::{self, NonNull};
use core::task::{RawWaker, RawWakerVTable, Waker};

use crate::task::Task;

static WAKER: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, release);

impl Task {
    /// Queues a stackless task, unless it is queued, runs, or has ended.
    ///
    /// # Safety
    ///
    /// The caller holds a reference.
    #[inline]
    pub(crate) unsafe fn wake(task: NonNull<Task>) {
        // SAFETY: the caller holds a reference. `State::wake` has returned true, as `schedule` requires.
        unsafe {
            if task.as_ref().state.wake() {
                (task.as_ref().vtable.schedule)(task);
            }
        }
    }

    /// Makes a waker of a stackless task.
    ///
    /// # Safety
    ///
    /// The task is stackless, and alive.
    pub(super) unsafe fn waker(task: NonNull<Task>) -> Waker {
        // SAFETY: the task is alive. The reference made here belongs to the waker.
        unsafe {
            task.as_ref().state.retain();
            Waker::from_raw(RawWaker::new(task.as_ptr().cast_const().cast(), &WAKER))
        }
    }
}

impl Task {
    /// Returns whether `waker` is a waker of `task`, as far as that can be seen without user code.
    #[cfg_attr(not(fibers), allow(dead_code, reason = "models have no timers"))]
    pub(crate) fn is_waker_of(task: NonNull<Task>, waker: &Waker) -> bool {
        Task::is_waker(waker) && waker.data() == task.as_ptr().cast_const().cast()
    }

    /// Returns whether `waker` is a waker of a task of kahn, as far as that can be seen without user code.
    #[cfg_attr(not(fibers), allow(dead_code, reason = "models have no workers"))]
    pub(crate) fn is_waker(waker: &Waker) -> bool {
        ptr::eq(waker.vtable(), &WAKER)
    }
}

/// Returns the task of a waker.
fn task_of(data: *const ()) -> NonNull<Task> {
    NonNull::new(data.cast::<Task>().cast_mut()).expect("a waker holds a task")
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: the pointer is that of a waker's task, which the waker's reference keeps alive.
    unsafe { task_of(data).as_ref() }.state.retain();
    RawWaker::new(data, &WAKER)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: the waker's reference keeps the task alive, and is given up here, because the call consumes the waker.
    unsafe {
        Task::wake(task_of(data));
        Task::release(task_of(data));
    }
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: the waker's reference keeps the task alive.
    unsafe { Task::wake(task_of(data)) };
}

unsafe fn release(data: *const ()) {
    // SAFETY: the waker's reference is given up, because the waker is dropped.
    unsafe { Task::release(task_of(data)) };
}
