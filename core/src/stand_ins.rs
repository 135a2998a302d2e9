//! Stand-ins for the functions of fiber-based modules that tasks name. A task in a model has no stack, no
//! worker and no locals.

use core::ptr::NonNull;
use core::task::Waker;

use std::time::Instant;

use crate::task::{Body, Process, Task};
use crate::wait::WaiterVtable;

/// The waiter functions of tasks in a model. Such tasks never park themselves; the threads that call their methods
/// do.
pub(crate) static NEVER_PARKS: WaiterVtable =
    WaiterVtable { wake: |_| unreachable!(), suspend: |_, _| unreachable!(), retain: None, is_task: false };

/// The target of fiber pointers, which are always null in a model.
#[derive(Debug)]
pub(crate) struct Fiber(());

pub(crate) fn retire(task: NonNull<Task>) {
    // SAFETY: the caller runs the task, so it is alive.
    let this = unsafe { task.as_ref() };
    assert!(this.owned.get().is_null() && this.fiber().is_null());
}

/// Returns a waker that does nothing.
///
/// # Safety
///
/// There is nothing to ensure: futures that models poll never wait.
pub(crate) unsafe fn task_waker(_task: NonNull<Task>) -> Waker {
    Waker::noop().clone()
}

pub(crate) fn clear_locals() {}

/// Returns false: nothing parks in a model's destructors.
pub(crate) fn is_on_worker() -> bool {
    false
}

/// Never called.
pub(crate) fn finish_by(work: impl FnOnce()) {
    work();
}

pub(crate) fn closing_here() -> bool {
    false
}

/// Wakes a process. The waker itself runs the process until it goes idle, as its worker would.
///
/// # Safety
///
/// The caller holds a reference.
pub(crate) unsafe fn wake_task(task: NonNull<Task>) {
    // SAFETY: the caller holds a reference. `wake` and `end_run` return whether this thread may run the task. The
    // runtime's reference keeps the task alive until it has ended.
    unsafe {
        if task.as_ref().state.wake() {
            while !Task::run(task) && task.as_ref().end_run() {}
        }
    }
}

/// Wakes a process, as `wake_task` does.
///
/// # Safety
///
/// The caller holds a reference.
pub(crate) unsafe fn wake_task_next(task: NonNull<Task>) {
    // SAFETY: the caller holds a reference, which is all that `wake_task` requires.
    unsafe { wake_task(task) };
}

/// Creates a process, as `process::new` of a production build does.
///
/// # Safety
///
/// All processes have heads that begin, in `repr(C)`, with the same type, as `process::new` of a production build
/// requires.
pub unsafe fn new_process<H, B>(head: H, body: B, name: Option<Box<str>>) -> Process<H>
where
    H: Send + Sync + 'static,
    B: Body<H>,
{
    Process::new(head, body, name, &NEVER_PARKS, false)
}

/// Returns `None`: there are no runtimes in a model.
pub fn runtime_here() -> Option<usize> {
    None
}

/// Runs the first turn in the caller.
pub fn start_process<H: Send + Sync + 'static>(process: &Process<H>) {
    let task = process.task();
    // SAFETY: a new process is queued as if it was woken, and no thread has taken it yet.
    while unsafe { !Task::run(task) && task.as_ref().end_run() } {}
}

/// A timer that never fires, because time does not pass in a model.
#[derive(Debug)]
pub struct ProcessTimer<H>(core::marker::PhantomData<H>);

#[expect(missing_docs, reason = "as in production")]
impl<H: Send + Sync + 'static> ProcessTimer<H> {
    pub fn new(_process: Process<H>, _ring: fn(&Process<H>)) -> ProcessTimer<H> {
        ProcessTimer(core::marker::PhantomData)
    }

    pub fn set(&mut self, _deadline: Instant) {}

    pub fn unset(&mut self) {}
}
