//! The typed part of a task: the closure before it runs, its output afterwards.

use core::any::Any;
use core::cell::UnsafeCell;
use core::future::Future;
use core::mem::ManuallyDrop;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::task::join_state::JoinState;
use crate::task::{RunOutcome, Schedule, SpawnOptions, Task, TaskVtable};
use crate::wait::{CancelUnwind, reject_stray_unwind_at_end, run_catching, run_shielded_catching};

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
fn drop_quietly<T>(output: Output<T>) {
    run_catching(|| drop(output));
}

/// A stackless task: a future that is polled on a fiber each time it is woken, and that may park while it is polled.
#[repr(C)]
struct FutureCell<F: Future> {
    task: Task,
    join_state: JoinState,
    stage: UnsafeCell<FutureStage<F>>,
}

enum FutureStage<F: Future> {
    Running {
        future: F,
        /// Whether it has been polled.
        begun: bool,
    },
    Ended(Output<F::Output>),
    Gone,
}

impl<F: Future + Send + 'static> FutureCell<F>
where
    F::Output: Send,
{
    const fn vtable<S: Schedule>() -> TaskVtable {
        TaskVtable {
            run: poll::<F>,
            drop_output: drop_future_output::<F>,
            take_output: take_future_output::<F>,
            free: free_future::<F>,
            abandon: |_| None,
            schedule: S::schedule,
            is_stackless: true,
            is_process: false,
        }
    }
}

/// Allocates a cell for `future`, with a reference for the runtime and one for the join handle.
pub(crate) fn allocate_future<S, F>(future: F, name: Option<Box<str>>, options: SpawnOptions) -> NonNull<Task>
where
    S: Schedule,
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let task = Task::header(S::WAITER, const { &FutureCell::<F>::vtable::<S>() }, name, options);
    task.state.mark_woken();
    let stage = UnsafeCell::new(FutureStage::Running { future, begun: false });
    let join_state = JoinState::default();
    let cell = Box::into_raw(Box::new(FutureCell { task, join_state, stage }));
    // SAFETY: the cell was allocated just now. The pointer to the join state is derived from the whole cell.
    unsafe {
        (*cell).task.set_join_state(&raw mut (*cell).join_state);
        NonNull::new_unchecked(cell.cast())
    }
}

unsafe fn poll<F>(task: NonNull<Task>) -> RunOutcome
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let cell = task.cast::<FutureCell<F>>();
    // SAFETY: the scheduler runs a task from `allocate_future::<F>` on one thread at a time (`State::wake` queues it
    // once), and until the task has ended, its stage belongs to that thread. The future is never moved: the cell is on
    // the heap, and the future is dropped in place.
    unsafe {
        let this = cell.as_ref();
        this.task.begin_run();
        let stage = this.stage.get();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let FutureStage::Running { future, begun } = &mut *stage else {
                unreachable!("polled after its end")
            };
            // A future that has not begun is not begun after a cancel. A later poll may find what the future waited
            // for, for example a message that it was handed. So the cancel takes effect after that poll.
            if !core::mem::replace(begun, true) {
                crate::wait::check_cancelled();
            }
            let waker = Task::waker(task);
            let polled = Pin::new_unchecked(future).poll(&mut Context::from_waker(&waker));
            if polled.is_pending() {
                crate::wait::check_cancelled();
            }
            polled
        }));
        let output = match polled {
            Ok(Poll::Pending) => return RunOutcome::Idle,
            Ok(Poll::Ready(value)) => Ok(value),
            Err(payload) => Err(reject_stray_unwind_at_end(payload, this.task.as_waiter().is_cancelled())),
        };
        // The future is dropped first, in place. This may park, and it may panic (`first_failure`).
        let dropped = catch_unwind(AssertUnwindSafe(|| crate::wait::shield(|| *stage = FutureStage::Gone)));
        *stage = FutureStage::Ended(match dropped {
            Ok(()) => output,
            Err(payload) => first_failure(output, payload),
        });
    }
    RunOutcome::Finished
}

/// Returns the outcome of a future that has ended with `output` and whose drop has failed with `payload`: the first
/// failure. Drops the other value here, where its destructor may park and may panic.
#[cold]
fn first_failure<T>(output: Output<T>, payload: Box<dyn Any + Send>) -> Output<T> {
    match output {
        Ok(value) => {
            run_shielded_catching(|| drop(value));
            Err(payload)
        }
        Err(first) => {
            run_shielded_catching(|| drop(payload));
            Err(first)
        }
    }
}

unsafe fn drop_future_output<F: Future>(task: NonNull<Task>) {
    // SAFETY: the caller has the right to the output, which is there.
    let stage = unsafe { &mut *task.cast::<FutureCell<F>>().as_ref().stage.get() };
    if let FutureStage::Ended(output) = core::mem::replace(stage, FutureStage::Gone) {
        drop_quietly(output);
    }
}

unsafe fn take_future_output<F: Future>(task: NonNull<Task>, to: *mut ()) {
    // SAFETY: the caller has the right to the output, which is there. `to` is the caller's place for the output.
    unsafe {
        let stage = &mut *task.cast::<FutureCell<F>>().as_ref().stage.get();
        let FutureStage::Ended(output) = core::mem::replace(stage, FutureStage::Gone) else {
            unreachable!("the output was taken before")
        };
        to.cast::<Output<F::Output>>().write(output);
    }
}

unsafe fn free_future<F: Future>(task: NonNull<Task>) {
    // SAFETY: the last reference is gone, so this call owns the box. If the stage still holds a future, its runtime
    // was shut down, and the owner of the last reference drops the future here.
    drop(unsafe { Box::from_raw(task.cast::<FutureCell<F>>().as_ptr()) });
}
