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
//! | `stackless`, `woken` | how tasks without and with a stack come to a worker |
//! | `maintenance`, `search` | a worker's periodic work, and its behaviour when it has no work |
//! | `deadlock` | the examination of a process in which all workers sleep |

pub(crate) mod deadlock;
mod idle;
mod inbox;
mod placement;
pub(crate) mod remote;
mod run_queue;
pub(crate) mod shared;
mod turn;
mod worker;
mod stackless;
mod maintenance;
mod search;
mod wake;

use core::cell::Cell;
use core::ptr::{self, NonNull};
use core::task::{RawWaker, RawWakerVTable, Waker};
use core::time::Duration;
use std::sync::Arc;

use crate::fiber::{Fiber, Suspend, locals, overflow};
use crate::primitives::deadline_about;
use crate::scheduler::shared::Shared;
use crate::scheduler::worker::Worker;
use crate::task::{SpawnOptions, Task, allocate};
use crate::timer::{self, pending::Due, wheel::Entry};
use crate::wait::{self, Deadline, Waiter, WaiterVtable, current};

thread_local! {
    /// The worker that runs on this OS thread. Non-null only while it is alive, in the frame of `run_worker`.
    static HERE: Cell<*const Worker> = const { Cell::new(ptr::null()) };
}

/// Returns the worker that the caller runs on, or null. Never inlined: see `wait::current`.
#[inline(never)]
fn here() -> *const Worker {
    HERE.get()
}

/// The waiter kind (`WaiterVtable`) of green threads.
pub(crate) static GREEN: WaiterVtable = WaiterVtable { wake, suspend, retain: None, is_task: false };

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
    let worker = Worker::new(index, Arc::clone(shared));
    HERE.set(&raw const worker);
    worker.run();
    shared.abandon_parked(Some(shared.remotes[index]));
    HERE.set(ptr::null());
    drop(worker);
    // After the report another runtime may use the record. Only this worker changes the number of parked_count, so it is
    // final.
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

/// Returns the runtime whose worker the caller runs on.
pub(crate) fn runtime_here() -> Option<Arc<Shared>> {
    // SAFETY: `HERE` is non-null only while this OS thread's worker is alive.
    unsafe { here().as_ref() }.map(|worker| Arc::clone(&worker.shared))
}

/// Returns whether the caller runs on a worker of `shared`.
pub(crate) fn is_worker_of(shared: &Shared) -> bool {
    // SAFETY: `HERE` is non-null only while this OS thread's worker is alive.
    unsafe { here().as_ref() }.is_some_and(|worker| ptr::eq(&raw const *worker.shared, shared))
}

/// Returns whether the runtime here lets parked green threads move to other workers, or `None` if there is no runtime
/// here.
pub(crate) fn migratory_here() -> Option<bool> {
    // SAFETY: `HERE` is non-null only while this OS thread's worker is alive.
    unsafe { here().as_ref() }.map(|worker| worker.shared.migratory)
}

/// Returns whether there is a runtime here that is being shut down.
pub(crate) fn closing_here() -> bool {
    // SAFETY: `HERE` is non-null only while this OS thread's worker is alive.
    unsafe { here().as_ref() }.is_some_and(|worker| worker.shared.is_closing())
}

/// Returns the record of the worker that the caller runs on.
pub(crate) fn remote_here() -> Option<&'static remote::Remote> {
    // SAFETY: `HERE` is non-null only while this OS thread's worker is alive.
    unsafe { here().as_ref() }.map(|worker| worker.remote)
}

/// What a spawn says that is refused because of [`is_short_of_memory_for`].
pub(crate) const SHORT_OF_MEMORY: &str = "there is no memory for another stack of this size; wait for green threads to end, or spawn fewer at a time";

/// Returns whether the runtime here last failed to get a stack of the size class that a task with these options needs.
#[inline]
pub(crate) fn is_short_of_memory_for(options: SpawnOptions) -> bool {
    // SAFETY: `HERE` is non-null only while this OS thread's worker is alive.
    let Some(worker) = (unsafe { here().as_ref() }) else { return false };
    worker.shared.is_short_of_memory() && worker.shared.is_short_of(worker.shared.class_of(options))
}

/// Queues a new task on the worker here. Returns the task to a caller that is not on a worker.
#[inline]
pub(crate) fn spawn(task: NonNull<Task>) -> Result<(), NonNull<Task>> {
    // SAFETY: `HERE` is non-null only while this OS thread's worker is alive.
    match unsafe { here().as_ref() } {
        Some(worker) => {
            worker.push_unstarted(task);
            Ok(())
        }
        None => Err(task),
    }
}

/// Yields because the budget is spent, and then unwinds if a cancel or time-out asks for it. The order matters: code
/// that catches the unwinding then has a new budget, and has given way for it.
pub(crate) fn give_way() {
    let Some(fiber) = running_fiber() else { return };
    // SAFETY: the caller runs on this fiber.
    unsafe { fiber.as_ref().suspend(Suspend::Yielded) };
    wait::check_cancelled();
    wait::check_timeout();
}

/// Lets other green threads run. Calls `otherwise` if the caller is not a green thread. Inlined: see `Wait::park`.
#[inline(always)]
pub(crate) fn yield_or(otherwise: fn()) {
    let Some(fiber) = running_fiber() else { return otherwise() };
    // SAFETY: the caller runs on this fiber, and is its task.
    unsafe {
        let fiber = fiber.as_ref();
        let waiter = (*fiber.task()).as_waiter();
        if waiter.is_cancelled() {
            wait::check_cancelled();
        }
        if !waiter.timeout_frame().is_null() {
            wait::check_timeout();
        }
        fiber.suspend(Suspend::Yielded);
    }
}

/// Returns the fiber that the caller runs on.
#[inline]
pub(crate) fn running_fiber() -> Option<NonNull<Fiber>> {
    // SAFETY: `HERE` is non-null only while this OS thread's worker is alive.
    NonNull::new(unsafe { here().as_ref() }?.running())
}

/// Drops the thread-local values of the running task, which has ended.
pub(crate) fn clear_locals() {
    if let Some(fiber) = running_fiber() {
        // SAFETY: the caller runs on this fiber, whose header outlives the call.
        locals::clear(unsafe { fiber.as_ref() });
    }
}

/// Returns whether the caller is a worker, or runs on one.
pub(crate) fn is_on_worker() -> bool {
    !here().is_null()
}

/// Spawns a green thread that does the remaining work of a task that has retired here.
pub(crate) fn finish_by(work: impl FnOnce() + Send + 'static) {
    // SAFETY: the closure is `Send` and `'static`.
    let task = unsafe { allocate(work, &GREEN, None, SpawnOptions::default()) };
    if let Err(task) = spawn(task) {
        unreachable!("{task:?} is left by one that ran on no worker");
    }
    // SAFETY: gives up the reference that `allocate` made for a handle.
    unsafe { Task::drop_handle(task) };
}

/// Returns the task that the caller is.
pub(crate) fn running_task() -> Option<NonNull<Task>> {
    // SAFETY: the waiter of a green thread is in a task.
    current::green().map(|waiter| unsafe { Task::of_waiter(waiter) })
}

/// Queues a claimed green thread on its home worker, or, if it may move, on the waker's worker.
unsafe fn wake(waiter: NonNull<Waiter>) {
    // SAFETY: only waiters in tasks have the kind `GREEN`. A claimed task is alive until it runs again.
    let (task, home) = unsafe {
        let task = Task::of_waiter(waiter);
        (task, task.as_ref().home())
    };
    // SAFETY: `HERE` is non-null only while this OS thread's worker is alive.
    match unsafe { here().as_ref() } {
        Some(worker) if ptr::eq(worker.remote, home) => worker.wake_here(task),
        // A migratory task runs beside its waker, which has just written the data that the task is woken for.
        //
        // SAFETY: the claimed task is alive, and records of workers are never freed.
        Some(worker) if unsafe { may_move(task.as_ref()) && worker.remote.is_in_runtime_of(&*home) } => {
            worker.wake_here(task);
        }
        // SAFETY: records of workers are never freed. The caller has claimed the task, so it is alive and the caller's
        // to queue.
        Some(worker) => unsafe { (*home).deliver(task, Some(&worker.remote.turn)) },
        // SAFETY: records of workers are never freed. The caller has claimed the task, so it is alive and the caller's
        // to queue.
        None => unsafe { (*home).deliver(task, None) },
    }
}

/// Returns whether a parked task may be resumed by another worker than the one on which it parked.
#[inline]
fn may_move(task: &Task) -> bool {
    task.options.migratory && task.is_at_rest()
}

/// Parks the running green thread until it has been claimed and woken.
unsafe fn suspend(waiter: NonNull<Waiter>, deadline: Deadline) {
    // SAFETY: the owner of the waiter calls this, so its task is the one that runs here.
    let task = unsafe { Task::of_waiter(waiter).as_ref() };
    // SAFETY: a running task has a fiber.
    let fiber = unsafe { &*task.fiber() };
    match deadline {
        // SAFETY: the caller runs on this fiber.
        Deadline::Never => unsafe { fiber.suspend(Suspend::Parked) },
        Deadline::At(moment) => suspend_until(waiter, task, fiber, Due::At(moment)),
        Deadline::After(time) => suspend_until(waiter, task, fiber, Due::AfterNs(time.0)),
    }
}

#[inline(never)]
fn suspend_until(waiter: NonNull<Waiter>, task: &Task, fiber: &Fiber, due: Due) {
    let entry = Entry::new(waiter.as_ptr().cast_const().cast());
    let place = NonNull::from(&entry);
    if task.options.migratory {
        return suspend_in_wheel(place, task, fiber, due);
    }
    // SAFETY: a task runs on a worker, and a task that is not migratory comes back to the same one.
    let worker = unsafe { &*here() };
    // SAFETY: the entry stays in this frame until the same OS thread removes it below.
    unsafe { worker.pending_timers.push(place, due) };
    // SAFETY: the caller runs on this fiber.
    unsafe { fiber.suspend(Suspend::Parked) };
    // SAFETY: the entry was pushed to this list, by this OS thread.
    if unsafe { worker.pending_timers.remove(place) } {
        forget(place, worker.remote);
    }
}

/// As `suspend_until`, for a task that may resume on another worker.
#[inline(never)]
fn suspend_in_wheel(place: NonNull<Entry>, task: &Task, fiber: &Fiber, due: Due) {
    // SAFETY: the home of a running task is a worker's record, which is never freed.
    let remote = unsafe { &*task.home() };
    let deadline_ns = match due {
        Due::At(moment) => timer::to_ns(moment),
        Due::AfterNs(ns) => deadline_about(Duration::from_nanos(ns)).map_or(u64::MAX, timer::to_ns),
    };
    if let Some(wheel) = remote.wheel.lock().as_mut() {
        // The worker looks at its wheel before it sleeps, so an earlier deadline needs no wake-up.
        //
        // SAFETY: the entry stays at its address until it is removed below, under the wheel's lock.
        let _ = unsafe { wheel.insert(place, deadline_ns) };
    }
    // SAFETY: the caller runs on this fiber.
    unsafe { fiber.suspend(Suspend::Parked) };
    // `remote` has the wheel that the entry was put into. The task may have another home by now.
    forget(place, remote);
}

/// Removes an entry from the wheel of `remote`, if it is still linked.
fn forget(entry: NonNull<Entry>, remote: &remote::Remote) {
    let mut wheel = remote.wheel.lock();
    if let Some(wheel) = wheel.as_mut()
        // SAFETY: the entry is in the caller's frame.
        && unsafe { entry.as_ref() }.is_linked()
    {
        // SAFETY: the entry is linked, and it was only ever put into this wheel, which is locked.
        unsafe { wheel.remove(entry) };
    }
}

/// Returns the waiter whose deadline an entry holds.
///
/// # Safety
///
/// The entry was made by `suspend_until`, is linked or was popped just now, and the lock of its wheel is held.
unsafe fn waiter_of(entry: NonNull<Entry>) -> NonNull<Waiter> {
    // SAFETY: the sleeper takes the wheel's lock before it drops its entry, or runs on the worker that is calling. So
    // the entry is alive.
    let data = unsafe { entry.as_ref() }.data();
    NonNull::new(data.cast_mut().cast()).expect("an entry holds a waiter")
}

/// Removes an ended task from its owned and from its worker's parked_count. Called on the stack that ran it.
pub(crate) fn retire(task: NonNull<Task>) {
    // SAFETY: the caller runs the task, which is alive until it has ended.
    let this = unsafe { task.as_ref() };
    let owned = this.owned.get();
    if !owned.is_null() {
        // SAFETY: the task is in the owned of this record, and records are never freed.
        unsafe { (*owned).owned.lock().remove(task) };
        this.owned.set(ptr::null());
    }
    // SAFETY: `HERE` is non-null only while this OS thread's worker is alive.
    if let Some(worker) = unsafe { here().as_ref() } {
        worker.leave_stack(task);
    }
}

/// Makes a stackless task idle. Returns true if it was woken meanwhile and has to be queued again. If this returns
/// false, the caller must not touch the task any more.
///
/// # Safety
///
/// The caller has just run the task, here.
pub(crate) unsafe fn go_idle(task: NonNull<Task>) -> bool {
    // Thread-local values belong to one turn: the next turn may be on another stack, and this stack may get another
    // task. Dropping the values may park.
    clear_locals();
    // SAFETY: `HERE` is non-null only while this OS thread's worker is alive.
    if let Some(worker) = unsafe { here().as_ref() } {
        worker.leave_stack(task);
        worker.enlist_idle(task);
    }
    // SAFETY: the caller owns the run of the task, which keeps it alive until `end_run` gives the run up.
    unsafe { task.as_ref() }.end_run()
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
            wake_task(task);
        }
    }
}

/// Queues a stackless task, unless it is queued, runs, or has ended.
///
/// # Safety
///
/// The caller holds a reference.
pub(crate) unsafe fn wake_task(task: NonNull<Task>) {
    // SAFETY: the caller holds a reference.
    let this = unsafe { task.as_ref() };
    if this.state.wake() {
        // SAFETY: `HERE` is non-null only while this OS thread's worker is alive.
        match unsafe { here().as_ref() } {
            // SAFETY: the task has run before, so it has a home, whose record is never freed.
            Some(worker) if worker.remote.is_in_runtime_of(unsafe { &*this.home() }) => {
                worker.push_again(task);
            }
            // The task goes to a queue that its home worker and thieves see. Any worker may run it if the home worker
            // is stuck.
            //
            // SAFETY: the task has run before, so it has a home, whose record is never freed. `state.wake` gave this
            // thread alone the right to queue it.
            _ => unsafe {
                (*this.home()).stackless.push_behind(task);
                (*this.home()).unpark();
            },
        }
    }
}

/// As [`wake_task`], but the task is the next to run here, once the caller has parked, which it is about to do. No
/// other worker can take it until then.
///
/// # Safety
///
/// The caller holds a reference.
#[inline]
pub(crate) unsafe fn wake_task_next(task: NonNull<Task>) {
    // SAFETY: `HERE` is non-null only while this OS thread's worker is alive.
    let Some(worker) = (unsafe { here().as_ref() }) else {
        // SAFETY: the caller holds a reference.
        return unsafe { wake_task(task) };
    };
    // SAFETY: the caller holds a reference. A running task has a waiter. The woken task has run before, so it has a
    // home, whose record is never freed.
    unsafe {
        if !worker.remote.is_in_runtime_of(&*task.as_ref().home())
            || current::green().is_none_or(|me| me.as_ref().is_cancelled())
        {
            // The caller may unwind instead of parking.
            wake_task(task);
        } else if task.as_ref().state.wake() {
            worker.wake_here_next(task);
        }
    }
}

static TASK_WAKER: RawWakerVTable = RawWakerVTable::new(
    // SAFETY (all four): the pointer is a task's, and each waker holds one reference to it.
    |data| {
        let task = data.cast::<Task>();
        // SAFETY: the waker's reference keeps the task alive.
        unsafe { (*task).state.retain() };
        RawWaker::new(data, &TASK_WAKER)
    },
    |data| {
        let task = NonNull::new(data.cast::<Task>().cast_mut()).expect("a waker holds a task");
        // SAFETY: the waker's reference keeps the task alive, and is given up here, because the call consumes the
        // waker.
        unsafe {
            wake_task(task);
            Task::release(task);
        }
    },
    |data| {
        let task = NonNull::new(data.cast::<Task>().cast_mut()).expect("a waker holds a task");
        // SAFETY: the waker's reference keeps the task alive.
        unsafe { wake_task(task) };
    },
    |data| {
        let task = NonNull::new(data.cast::<Task>().cast_mut()).expect("a waker holds a task");
        // SAFETY: the waker's reference is given up, because the waker is dropped.
        unsafe { Task::release(task) };
    },
);

/// Makes a waker of a stackless task.
///
/// # Safety
///
/// The task is stackless, and alive.
pub(crate) unsafe fn task_waker(task: NonNull<Task>) -> Waker {
    // SAFETY: the task is alive. The reference made here belongs to the waker.
    unsafe {
        task.as_ref().state.retain();
        Waker::from_raw(RawWaker::new(task.as_ptr().cast_const().cast(), &TASK_WAKER))
    }
}

/// Passes the name of the running green thread to `say`. Async-signal-safe: it only loads, and does not allocate.
fn describe_running(say: &mut dyn FnMut(&[u8])) {
    // SAFETY: `HERE` is non-null only while this OS thread's worker is alive. The running fiber is alive.
    let task = unsafe { here().as_ref() }
        .and_then(|worker| NonNull::new(worker.running()))
        .and_then(|fiber| NonNull::new(unsafe { fiber.as_ref() }.task()));
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
