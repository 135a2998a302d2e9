//! The scheduler: workers that run tasks, and how tasks reach them. `README.md` beside this file proves that
//! no wake-up is lost.
//!
//! | file | holds |
//! |---|---|
//! | `remote` | the part of a worker that other threads access |
//! | `inbox`, `run_queue` | the queues |
//! | `idle` | which workers sleep, search, and keep watch |
//! | `placement` | the policy of where tasks start |
//! | `shared` | what the workers of a runtime share |
//! | `turn` | counts of turns, by which other workers see whether a worker is still in the same turn |
//! | `worker` | the main loop |
//! | `shared_home`, `carry` | homes that travel, and how workers run their green threads |
//! | `fairness` | from which class of queues the next turn is taken |
//! | `stacks` | how tasks get stacks |
//! | `here` | the worker, the runtime and the task that the caller runs on |
//! | `stackless`, `wake` | how tasks without and with a stack come to a worker |
//! | `suspend` | how a green thread parks, and how a waker queues it |
//! | `finish` | how a task runs on a fiber, and how it ends or goes idle |
//! | `slots` | what the scheduler keeps in the header of a task |
//! | `maintenance`, `search` | a worker's periodic work, and its behaviour when it has no work |
//! | `deadlock` | the examination of a process in which all workers sleep |

pub(crate) mod deadlock;
mod carry;
mod fairness;
mod finish;
mod here;
mod idle;
mod inbox;
mod maintenance;
mod placement;
pub(crate) mod remote;
mod run_queue;
mod search;
pub(crate) mod shared;
pub(crate) mod shared_home;
mod slots;
mod stackless;
mod stacks;
mod suspend;
mod turn;
mod wake;
mod worker;

use core::ptr::NonNull;
use std::sync::Arc;

pub(crate) use finish::{Scheduler, finish_by};
pub(crate) use here::{
    closing_here, is_on_worker, is_short_of_memory_for, is_worker_of, migratory_here, note_migratory,
    remote_here, running_fiber, running_task, runtime_here,
};

use crate::fiber::{Suspend, overflow};
use crate::os_threads;
use crate::scheduler::here::with_worker;
use crate::scheduler::shared::Shared;
use crate::scheduler::shared_home::{OwnHome, SharedHome};
use crate::scheduler::worker::Worker;
use crate::task::{Runnable, Task};
use crate::wait::{self, current};

/// Runs a worker on the calling OS thread until its runtime ends.
pub(crate) fn run_worker(index: usize, shared: &Arc<Shared>) {
    /// A panic in the scheduler itself is a bug, and would leave green threads asleep for ever.
    struct Abort;
    impl Drop for Abort {
        fn drop(&mut self) {
            if std::thread::panicking() {
                std::process::abort();
            }
        }
    }
    let _abort = Abort;
    let _alternate_stack = overflow::thread_setup();
    overflow::install();
    overflow::set_describe(describe_running);
    let reactor = &shared.remotes[index].reactor;
    let _polling = os_threads::Polling::new(|| reactor.has_waiting());
    let worker = Worker::new(index, Arc::clone(shared));
    worker.run();
    shared.remotes[index].set_runs(core::ptr::null_mut());
    // Threads of other runtimes may wait for descriptors that are registered here.
    reactor.close();
    shared.abandon_parked(Some(shared.remotes[index]));
    worker.leave();
    drop(worker);
    // After the report another runtime may use the record. Only this worker changes the number of parked tasks, so it
    // is final.
    let stacks_are_left = shared.remotes[index].parked_count() > 0;
    shared.report_progress(true);
    if stacks_are_left {
        // Code elsewhere may hold a borrow from one of these stacks to data of this OS thread, above all a
        // thread-local. So the OS thread must not end.
        loop {
            std::thread::park();
        }
    }
}

/// What a spawn says that is refused because of [`is_short_of_memory_for`].
pub(crate) const SHORT_OF_MEMORY: &str = "there is no memory for another stack of this size; wait for green threads to end, or spawn fewer at a time";

/// Queues a new task on the worker here. Returns the task to a caller that is not on a worker.
#[inline]
pub(crate) fn spawn(task: Runnable) -> Result<(), Runnable> {
    let mut task = Some(task);
    let _ = with_worker(|worker| task.take().map(|task| worker.push_unstarted(task)));
    task.map_or(Ok(()), Err)
}

/// Returns `f`. A model adds that it notes the panic of `f` until a thread joins it.
#[inline(always)]
pub(crate) fn watched<F: FnOnce() -> T, T>(f: F) -> F {
    f
}

/// Returns `future`. A model adds that it notes a panic of the future until a thread joins it.
#[inline(always)]
pub(crate) fn watched_future<F: Future>(future: F) -> F {
    future
}

/// Called when a thread has joined a panic. A model forgets the panic then.
#[inline(always)]
pub(crate) fn note_joined(_payload: &(dyn core::any::Any + Send)) {}

/// Yields because the budget is spent, and then unwinds if a cancel or time-out asks for it. The order matters: code
/// that catches the unwinding then has a new budget, and has given way for it.
pub(crate) fn give_way() {
    let Some(fiber) = running_fiber() else { return };
    // SAFETY: the caller runs on this fiber.
    unsafe { fiber.as_ref().suspend(Suspend::Yielded) };
    wait::check_cancelled();
    wait::check_timeout();
}

/// Returns whether the running green thread has a home of its own.
pub(crate) fn has_own_home() -> bool {
    with_worker(|worker| worker.carried.get().is_some_and(SharedHome::is_exclusive)).unwrap_or(false)
}

/// Queues a new task with a home of its own. It starts as soon as the home is ready.
pub(crate) fn spawn_in(home: OwnHome, task: Runnable) {
    home.admit(task);
}

/// Called before a spawn. If many new tasks wait here, gives way to them, which a cancel or a time-out may end. Returns
/// whether the caller is on a worker.
#[inline]
pub(crate) fn let_new_start() -> bool {
    let Some(may_be_crowded) = with_worker(Worker::may_be_crowded) else { return false };
    if may_be_crowded {
        give_way_to_new();
    }
    true
}

/// Gives way while more new tasks wait here than a spawner may get ahead of, but for a bounded number of turns.
///
/// A task in its first turn does not give way. In a tree of tasks the parents spawn in their first turns. A parent that
/// gave way would be alive beside its children, and the tree would be run breadth first.
#[cold]
fn give_way_to_new() {
    /// The most turns. All but the first are stacked chains, even if the caller runs in a stackless one. A stackless
    /// chain follows each of these, and one of two stackless chains starts a new task.
    const TURNS: u32 = 64;
    // SAFETY: the caller runs as this task, which is therefore alive.
    let Some(task) = running_task().map(|task| unsafe { task.as_ref() }) else { return };
    // A stackless task settles anew in each of its turns, and has an owner from the end of its first turn.
    let has_run_before = task.settled.get() || (task.is_stackless() && !task.owner().is_null());
    if !has_run_before {
        return;
    }
    for turn in 0..TURNS {
        if with_worker(Worker::is_crowded) != Some(true) {
            return;
        }
        if turn == 0 {
            let _ = with_worker(Worker::prefer_oldest);
        }
        // The turn counts as a whole budget, so that the new tasks get as much.
        wait::charge(wait::BUDGET);
        give_way();
    }
}

/// Lets other green threads run. Calls `otherwise` if the caller is not a green thread. Inlined: see `Wait::park`.
///
/// A yield that a cancel or a time-out may end pays for an operation first. Otherwise a loop that catches those unwinds
/// would never yield.
#[inline(always)]
pub(crate) fn yield_or(otherwise: fn()) {
    let Some(fiber) = running_fiber() else { return otherwise() };
    // SAFETY: the caller runs on this fiber, and is its task.
    unsafe {
        let fiber = fiber.as_ref();
        let waiter = (*fiber.work().cast::<Task>()).as_waiter();
        if waiter.is_cancelled() {
            wait::operation();
            wait::check_cancelled();
        }
        if !waiter.timeout_frame().is_null() {
            wait::operation();
            wait::check_timeout();
        }
        fiber.suspend(Suspend::Yielded);
    }
}

/// Asks a task to unwind, or, if it is stackless and idle, to drop its future or body.
///
/// # Safety
///
/// The caller holds a reference.
pub(crate) unsafe fn cancel(task: NonNull<Task>) {
    // SAFETY: the caller holds a reference.
    unsafe {
        Task::cancel(task);
        if task.as_ref().is_stackless() {
            Task::wake(task);
        }
    }
}

/// As [`Task::wake`], but the task is the next to run here, once the caller has parked, which it is about to do. No
/// other worker can take it until then.
///
/// # Safety
///
/// The caller holds a reference.
#[inline]
pub(crate) unsafe fn wake_task_next(task: NonNull<Task>) {
    // SAFETY: the caller holds a reference. The woken task has run before, on a worker, whose record is never freed.
    let home = unsafe { &*task.as_ref().worker() };
    let next_here = with_worker(|worker| {
        // SAFETY: a running task has a waiter.
        let parks = current::green().is_some_and(|me| unsafe { !me.as_ref().is_cancelled() });
        // If not, the caller may unwind instead of parking.
        let next_here = parks && worker.remote.is_in_runtime_of(home);
        // SAFETY: the caller holds a reference.
        if next_here && unsafe { task.as_ref() }.state.wake() {
            // SAFETY: `State::wake` has returned true, which gives the right to queue the task.
            worker.wake_here_next(unsafe { Runnable::new(task) });
        }
        next_here
    });
    if next_here != Some(true) {
        // SAFETY: the caller holds a reference.
        unsafe { Task::wake(task) };
    }
}

/// Passes the name of the running green thread to `say`. Async-signal-safe: it only loads, and does not allocate.
fn describe_running(say: &mut dyn FnMut(&[u8])) {
    // SAFETY: the running fiber is alive.
    let task =
        running_fiber().and_then(|fiber| NonNull::new(unsafe { fiber.as_ref() }.work().cast::<Task>()));
    let Some(task) = task else {
        say(b"a green thread");
        return;
    };
    // SAFETY: the task of the running fiber is alive.
    let task = unsafe { task.as_ref() };
    say(b"green thread");
    match task.name() {
        Some(name) => {
            say(b" '");
            say(name.as_bytes());
            say(b"'");
        }
        None => say(b" <unnamed>"),
    }
    let mut id = task.id_if_known();
    if id != 0 {
        let mut digits = [0_u8; 20];
        let mut at = digits.len();
        while id > 0 {
            at -= 1;
            digits[at] = b'0' + (id % 10) as u8;
            id /= 10;
        }
        say(b" (id ");
        say(&digits[at..]);
        say(b")");
    }
}
