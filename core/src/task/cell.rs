//! The typed part of a task: the closure before it runs, its output afterwards.

use core::any::Any;
use core::cell::UnsafeCell;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::task::join_state::JoinState;
use crate::task::{RunOutcome, Schedule, SpawnOptions, Task, TaskVtable};
use crate::wait::{CancelUnwind, reject_stray_unwind_at_end, run_catching};

/// The outcome of a task: its value, or the payload with which it unwound.
pub(crate) type Output<T> = Result<T, Box<dyn Any + Send>>;

/// The history of the task determines the variant: `work` until `run` takes it; `output` from the end of `run` until
/// it is taken or dropped; neither afterwards.
union Stage<F, T> {
    work: ManuallyDrop<F>,
    output: ManuallyDrop<Output<T>>,
}

#[repr(C)]
struct Cell<F, T> {
    task: Task,
    join_state: JoinState,
    stage: UnsafeCell<Stage<F, T>>,
}

impl<F: FnOnce() -> T, T> Cell<F, T> {
    const fn vtable<S: Schedule>() -> TaskVtable {
        TaskVtable {
            run: run::<F, T>,
            drop_output: drop_output::<F, T>,
            take_output: take_output::<F, T>,
            free: free::<F, T>,
            abandon: |_| None,
            idle_since: |_| None,
            schedule: S::schedule,
            is_stackless: false,
            is_process: false,
        }
    }
}

/// Allocates a cell for `work`, with a reference for the runtime and one for the join handle.
///
/// # Safety
///
/// If `F` or `T` is not `Send`, the task is run, joined and dropped by this OS thread alone. If they are not
/// `'static`, the task has ended and its output is gone before the data that they borrow.
pub(crate) unsafe fn allocate<S: Schedule, F: FnOnce() -> T, T>(
    work: F,
    name: Option<Box<str>>,
    options: SpawnOptions,
) -> NonNull<Task> {
    let task = Task::header(S::WAITER, const { &Cell::<F, T>::vtable::<S>() }, name, options);
    let stage = UnsafeCell::new(Stage::<F, T> { work: ManuallyDrop::new(work) });
    let join_state = JoinState::default();
    let cell = Box::into_raw(Box::new(Cell { task, join_state, stage }));
    // SAFETY: the cell was allocated just now. The pointer to the join state is derived from the whole cell.
    unsafe {
        (*cell).task.set_join_state(&raw mut (*cell).join_state);
        NonNull::new_unchecked(cell.cast())
    }
}

unsafe fn run<F: FnOnce() -> T, T>(task: NonNull<Task>) -> RunOutcome {
    let cell = task.cast::<Cell<F, T>>();
    // SAFETY: the scheduler calls this once for a task from `allocate::<F, T>`. So the work is there, and no other
    // thread accesses the stage before `finish`.
    unsafe {
        let stage = cell.as_ref().stage.get();
        let work = ManuallyDrop::take(&mut (*stage).work);
        let cancelled = cell.as_ref().task.as_waiter().is_cancelled();
        let output = catch_unwind(AssertUnwindSafe(move || {
            if cancelled {
                // Cancelled before it started: it never runs. Its captures are dropped here, which may park.
                crate::wait::shield(|| drop(work));
                resume_unwind(CancelUnwind::payload());
            }
            work()
        }))
        .map_err(|payload| {
            reject_stray_unwind_at_end(payload, cell.as_ref().task.as_waiter().is_cancelled())
        });
        (*stage).output = ManuallyDrop::new(output);
    }
    RunOutcome::Finished
}

unsafe fn drop_output<F: FnOnce() -> T, T>(task: NonNull<Task>) {
    // SAFETY: the caller has the right to the output, which is there, and drops it once.
    unsafe {
        let stage = task.cast::<Cell<F, T>>().as_ref().stage.get();
        drop_quietly(ManuallyDrop::take(&mut (*stage).output));
    }
}

unsafe fn take_output<F: FnOnce() -> T, T>(task: NonNull<Task>, to: *mut ()) {
    // SAFETY: the caller has the right to the output, which is there, and takes it once. `to` is the caller's place
    // for an `Output<T>`.
    unsafe {
        let stage = task.cast::<Cell<F, T>>().as_ref().stage.get();
        to.cast::<Output<T>>().write(ManuallyDrop::take(&mut (*stage).output));
    }
}

unsafe fn free<F: FnOnce() -> T, T>(task: NonNull<Task>) {
    // SAFETY: the last reference is gone, so this call owns the box. The stage is a union, and drops nothing by
    // itself.
    drop(unsafe { Box::from_raw(task.cast::<Cell<F, T>>().as_ptr()) });
}

/// Drops an output that no handle asked for. If its destructor panics, the panic hook has reported the panic, and it
/// ends here, as a panic of the green thread itself does.
pub(super) fn drop_quietly<T>(output: Output<T>) {
    run_catching(|| drop(output));
}
