//! The typed part of a stackless task: the future while it runs, its output afterwards.

use core::any::Any;
use core::cell::{Cell, UnsafeCell};
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::task::cell::{Output, drop_quietly};
use crate::task::join_state::JoinState;
use crate::task::{RunOutcome, Schedule, SpawnOptions, Task, TaskVtable};
use crate::wait::{
    CancelUnwind, Kind, Reason, begin_poll, noted_pending, reject_stray_unwind_at_end, run_shielded_catching,
};

/// A stackless task: a future that is polled on a fiber each time it is woken, and that may park while it is polled.
#[repr(C)]
struct FutureCell<F: Future> {
    task: Task,
    join_state: JoinState,
    /// What it waits for while it is idle, for reports, with the line of its spawn. While it is idle, the waiter in the
    /// header points here. Used by the worker that runs the task, and by reports while no worker can.
    idle: UnsafeCell<Reason>,
    idle_since: Cell<u64>,
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

impl<F: Future> FutureCell<F> {
    const fn vtable<S: Schedule>() -> TaskVtable {
        TaskVtable {
            run: poll::<F>,
            drop_output: drop_future_output::<F>,
            take_output: take_future_output::<F>,
            free: free_future::<F>,
            abandon: |_| None,
            idle_since: idle_since::<F>,
            schedule: S::schedule,
            is_stackless: true,
            is_process: false,
        }
    }
}

/// Allocates a cell for `future`, with a reference for the runtime and one for the join handle. `location` is the line
/// of its spawn.
///
/// # Safety
///
/// If the future or its output is not `Send`, the task is run, joined and dropped by this OS thread alone. Both are
/// `'static`.
pub(crate) unsafe fn allocate_future<S: Schedule, F: Future>(
    future: F,
    name: Option<Box<str>>,
    options: SpawnOptions,
    location: &'static Location<'static>,
) -> NonNull<Task> {
    let task = Task::header(S::WAITER, const { &FutureCell::<F>::vtable::<S>() }, name, options);
    task.state.mark_woken();
    let stage = UnsafeCell::new(FutureStage::Running { future, begun: false });
    let join_state = JoinState::default();
    let idle = UnsafeCell::new(Reason::at(Kind::Future, core::ptr::null::<()>(), location));
    let idle_since = Cell::new(0);
    let cell = Box::into_raw(Box::new(FutureCell { task, join_state, idle, idle_since, stage }));
    // SAFETY: the cell was allocated just now. The pointer to the join state is derived from the whole cell.
    unsafe {
        (*cell).task.set_join_state(&raw mut (*cell).join_state);
        NonNull::new_unchecked(cell.cast())
    }
}

unsafe fn poll<F: Future>(task: NonNull<Task>) -> RunOutcome {
    let cell = task.cast::<FutureCell<F>>();
    // SAFETY: the scheduler runs a task from `allocate_future::<F>` on one thread at a time (`State::wake` queues it
    // once), and until the task has ended, its stage belongs to that thread. The future is never moved: the cell is on
    // the heap, and the future is dropped in place.
    unsafe {
        let this = cell.as_ref();
        this.task.begin_run();
        let waiter = this.task.as_waiter();
        waiter.set_reason(core::ptr::null());
        begin_poll();
        let stage = this.stage.get();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let FutureStage::Running { future, begun } = &mut *stage else {
                unreachable!("polled after its end")
            };
            // A future that has not begun is not begun after a cancel. A later poll may find what the future waited
            // for, for example a message that it was handed. So the cancel takes effect after that poll.
            if !core::mem::replace(begun, true) && waiter.is_cancelled() {
                resume_unwind(CancelUnwind::payload());
            }
            let waker = Task::waker(task);
            let polled = Pin::new_unchecked(future).poll(&mut Context::from_waker(&waker));
            if polled.is_pending() {
                crate::wait::check_cancelled();
            }
            polled
        }));
        let output = match polled {
            Ok(Poll::Pending) => {
                let idle = this.idle.get();
                ((*idle).kind, (*idle).resource) = noted_pending();
                waiter.set_reason(idle);
                return RunOutcome::Idle;
            }
            Ok(Poll::Ready(value)) => Ok(value),
            Err(payload) => Err(reject_stray_unwind_at_end(payload, waiter.is_cancelled())),
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

unsafe fn idle_since<F: Future>(task: NonNull<Task>) -> Option<NonNull<Cell<u64>>> {
    // SAFETY: the task is from `allocate_future::<F>`, and alive.
    unsafe { Some(NonNull::from(&task.cast::<FutureCell<F>>().as_ref().idle_since)) }
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
