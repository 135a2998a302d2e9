//! The scheduler: workers that run tasks (`Job`), and how tasks reach them. `README.md` beside this file proves that
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
//! | `fresh`, `woken` | how tasks without and with a stack come to a worker |
//! | `look`, `search` | a worker's periodic work, and its behaviour when it has no work |
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
mod fresh;
mod look;
mod search;
mod woken;

use core::cell::Cell;
use core::ptr::{self, NonNull};
use core::task::{RawWaker, RawWakerVTable, Waker};
use core::time::Duration;
use std::sync::Arc;

use crate::facade::deadline_about;
use crate::fiber::{Fiber, Suspend, locals, overflow};
use crate::job::{Job, Traits, allocate};
use crate::scheduler::shared::Shared;
use crate::scheduler::worker::Worker;
use crate::timer::{self, recent::Due, wheel::Entry};
use crate::wait::{self, Deadline, Party, PartyKind, current};

thread_local! {
    /// The worker that runs on this OS thread. Non-null only while it is alive, in the frame of `run_worker`.
    static HERE: Cell<*const Worker> = const { Cell::new(ptr::null()) };
}

/// Returns the worker that the caller runs on, or null. Never inlined: see `wait::current`.
#[inline(never)]
fn here() -> *const Worker {
    HERE.get()
}

/// The waiter kind (`PartyKind`) of green threads.
pub(crate) static GREEN: PartyKind = PartyKind { wake, suspend, retain: None, is_task: false };

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
    // After the report another runtime may use the record. Only this worker changes the number of residents, so it is
    // final.
    let stacks_are_left = shared.remotes[index].residents() > 0;
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

/// Returns whether the runtime here last failed to get a stack of the size class that a task with these traits needs.
#[inline]
pub(crate) fn is_short_of_memory_for(traits: Traits) -> bool {
    // SAFETY: `HERE` is non-null only while this OS thread's worker is alive.
    let Some(worker) = (unsafe { here().as_ref() }) else { return false };
    worker.shared.is_short_of_memory() && worker.shared.is_short_of(worker.shared.class_of(traits))
}

/// Queues a new task on the worker here. Returns the task to a caller that is not on a worker.
#[inline]
pub(crate) fn spawn(job: NonNull<Job>) -> Result<(), NonNull<Job>> {
    // SAFETY: `HERE` is non-null only while this OS thread's worker is alive.
    match unsafe { here().as_ref() } {
        Some(worker) => {
            worker.push_fresh(job);
            Ok(())
        }
        None => Err(job),
    }
}

/// Yields because the budget is spent, and then unwinds if a cancel or time-out asks for it. The order matters: code
/// that catches the unwinding then has a new budget, and has given way for it.
pub(crate) fn give_way() {
    let Some(fiber) = running_fiber() else { return };
    // SAFETY: the caller runs on this fiber.
    unsafe { fiber.as_ref().suspend(Suspend::Yielded) };
    wait::check_cancelled();
    wait::check_limit();
}

/// Lets other green threads run. Calls `otherwise` if the caller is not a green thread. Inlined: see `Wait::park`.
#[inline(always)]
pub(crate) fn yield_or(otherwise: fn()) {
    let Some(fiber) = running_fiber() else { return otherwise() };
    // SAFETY: the caller runs on this fiber, and is its task.
    unsafe {
        let fiber = fiber.as_ref();
        let party = (*fiber.job()).as_party();
        if party.is_cancelled() {
            wait::check_cancelled();
        }
        if !party.limit().is_null() {
            wait::check_limit();
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
    let job = unsafe { allocate(work, &GREEN, None, Traits::default()) };
    if let Err(job) = spawn(job) {
        unreachable!("{job:?} is left by one that ran on no worker");
    }
    // SAFETY: gives up the reference that `allocate` made for a handle.
    unsafe { Job::disclaim(job) };
}

/// Returns the task that the caller is.
pub(crate) fn running_job() -> Option<NonNull<Job>> {
    // SAFETY: the waiter (`Party`) of a green thread is in a task.
    current::green().map(|party| unsafe { Job::of_party(party) })
}

/// Queues a claimed green thread on its home worker, or, if it may move, on the waker's worker.
unsafe fn wake(party: NonNull<Party>) {
    // SAFETY: only waiters in tasks have the kind `GREEN`. A claimed task is alive until it runs again.
    let (job, home) = unsafe {
        let job = Job::of_party(party);
        (job, job.as_ref().home())
    };
    // SAFETY: `HERE` is non-null only while this OS thread's worker is alive.
    match unsafe { here().as_ref() } {
        Some(worker) if ptr::eq(worker.remote, home) => worker.wake_here(job),
        // A migratory task runs beside its waker, which has just written the data that the task is woken for.
        //
        // SAFETY: the claimed task is alive, and records of workers are never freed.
        Some(worker) if unsafe { may_move(job.as_ref()) && worker.remote.is_colleague_of(&*home) } => {
            worker.wake_here(job);
        }
        // SAFETY: records of workers are never freed. The caller has claimed the task, so it is alive and the caller's
        // to queue.
        Some(worker) => unsafe { (*home).deliver(job, Some(&worker.remote.turn)) },
        // SAFETY: records of workers are never freed. The caller has claimed the task, so it is alive and the caller's
        // to queue.
        None => unsafe { (*home).deliver(job, None) },
    }
}

/// Returns whether a parked task may be resumed by another worker than the one on which it parked.
#[inline]
fn may_move(job: &Job) -> bool {
    job.traits.migratory && job.is_at_rest()
}

/// Parks the running green thread until it has been claimed and woken.
unsafe fn suspend(party: NonNull<Party>, deadline: Deadline) {
    // SAFETY: the owner of the party calls this, so its task is the one that runs here.
    let job = unsafe { Job::of_party(party).as_ref() };
    // SAFETY: a running task has a fiber.
    let fiber = unsafe { &*job.fiber() };
    match deadline {
        // SAFETY: the caller runs on this fiber.
        Deadline::Never => unsafe { fiber.suspend(Suspend::Parked) },
        Deadline::At(moment) => suspend_until(party, job, fiber, Due::At(moment)),
        Deadline::After(time) => suspend_until(party, job, fiber, Due::AfterNs(time.0)),
    }
}

#[inline(never)]
fn suspend_until(party: NonNull<Party>, job: &Job, fiber: &Fiber, due: Due) {
    let entry = Entry::new(party.as_ptr().cast_const().cast());
    let place = NonNull::from(&entry);
    if job.traits.migratory {
        return suspend_in_wheel(place, job, fiber, due);
    }
    // SAFETY: a task runs on a worker, and a task that is not migratory comes back to the same one.
    let worker = unsafe { &*here() };
    // SAFETY: the entry stays in this frame until the same OS thread removes it below.
    unsafe { worker.recent.push(place, due) };
    // SAFETY: the caller runs on this fiber.
    unsafe { fiber.suspend(Suspend::Parked) };
    // SAFETY: the entry was pushed to this list, by this OS thread.
    if unsafe { worker.recent.remove(place) } {
        forget(place, worker.remote);
    }
}

/// As `suspend_until`, for a task that may resume on another worker.
#[inline(never)]
fn suspend_in_wheel(place: NonNull<Entry>, job: &Job, fiber: &Fiber, due: Due) {
    // SAFETY: the home of a running task is a worker's record, which is never freed.
    let remote = unsafe { &*job.home() };
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
unsafe fn party_of(entry: NonNull<Entry>) -> NonNull<Party> {
    // SAFETY: the sleeper takes the wheel's lock before it drops its entry, or runs on the worker that is calling. So
    // the entry is alive.
    let data = unsafe { entry.as_ref() }.data();
    NonNull::new(data.cast_mut().cast()).expect("an entry holds a party")
}

/// Removes an ended task from its roster and from its worker's residents. Called on the stack that ran it.
pub(crate) fn retire(job: NonNull<Job>) {
    // SAFETY: the caller runs the task, which is alive until it has ended.
    let this = unsafe { job.as_ref() };
    let roster = this.roster.get();
    if !roster.is_null() {
        // SAFETY: the task is in the roster of this record, and records are never freed.
        unsafe { (*roster).roster.lock().remove(job) };
        this.roster.set(ptr::null());
    }
    // SAFETY: `HERE` is non-null only while this OS thread's worker is alive.
    if let Some(worker) = unsafe { here().as_ref() } {
        worker.leave_stack(job);
    }
}

/// Makes a stackless task idle. Returns true if it was woken meanwhile and has to be queued again. If this returns
/// false, the caller must not touch the task any more.
///
/// # Safety
///
/// The caller has just run the task, here.
pub(crate) unsafe fn go_idle(job: NonNull<Job>) -> bool {
    // Thread-local values belong to one turn: the next turn may be on another stack, and this stack may get another
    // task. Dropping the values may park.
    clear_locals();
    // SAFETY: `HERE` is non-null only while this OS thread's worker is alive.
    if let Some(worker) = unsafe { here().as_ref() } {
        worker.leave_stack(job);
        worker.enlist_idle(job);
    }
    // SAFETY: the caller owns the run of the task, which keeps it alive until `end_run` gives the run up.
    unsafe { job.as_ref() }.end_run()
}

/// Asks a task to unwind, or, if it is stackless and idle, to drop its future or body.
///
/// # Safety
///
/// The caller holds a reference.
pub(crate) unsafe fn cancel(job: NonNull<Job>) {
    // SAFETY: the caller holds a reference.
    unsafe {
        Job::cancel(job);
        if job.as_ref().is_stackless() {
            wake_task(job);
        }
    }
}

/// Queues a stackless task, unless it is queued, runs, or has ended.
///
/// # Safety
///
/// The caller holds a reference.
pub(crate) unsafe fn wake_task(job: NonNull<Job>) {
    // SAFETY: the caller holds a reference.
    let this = unsafe { job.as_ref() };
    if this.state.wake() {
        // SAFETY: `HERE` is non-null only while this OS thread's worker is alive.
        match unsafe { here().as_ref() } {
            // SAFETY: the task has run before, so it has a home, whose record is never freed.
            Some(worker) if worker.remote.is_colleague_of(unsafe { &*this.home() }) => {
                worker.push_again(job);
            }
            // The task goes to a queue that its home worker and thieves see. Any worker may run it if the home worker
            // is stuck.
            //
            // SAFETY: the task has run before, so it has a home, whose record is never freed. `state.wake` gave this
            // thread alone the right to queue it.
            _ => unsafe {
                (*this.home()).fresh.push_behind(job);
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
pub(crate) unsafe fn wake_task_next(job: NonNull<Job>) {
    // SAFETY: `HERE` is non-null only while this OS thread's worker is alive.
    let Some(worker) = (unsafe { here().as_ref() }) else {
        // SAFETY: the caller holds a reference.
        return unsafe { wake_task(job) };
    };
    // SAFETY: the caller holds a reference. A running task has a party. The woken task has run before, so it has a
    // home, whose record is never freed.
    unsafe {
        if !worker.remote.is_colleague_of(&*job.as_ref().home())
            || current::green().is_none_or(|me| me.as_ref().is_cancelled())
        {
            // The caller may unwind instead of parking.
            wake_task(job);
        } else if job.as_ref().state.wake() {
            worker.wake_here_next(job);
        }
    }
}

static TASK_WAKER: RawWakerVTable = RawWakerVTable::new(
    // SAFETY (all four): the pointer is a task's, and each waker holds one reference to it.
    |data| {
        let job = data.cast::<Job>();
        // SAFETY: the waker's reference keeps the task alive.
        unsafe { (*job).state.retain() };
        RawWaker::new(data, &TASK_WAKER)
    },
    |data| {
        let job = NonNull::new(data.cast::<Job>().cast_mut()).expect("a waker holds a job");
        // SAFETY: the waker's reference keeps the task alive, and is given up here, because the call consumes the
        // waker.
        unsafe {
            wake_task(job);
            Job::release(job);
        }
    },
    |data| {
        let job = NonNull::new(data.cast::<Job>().cast_mut()).expect("a waker holds a job");
        // SAFETY: the waker's reference keeps the task alive.
        unsafe { wake_task(job) };
    },
    |data| {
        let job = NonNull::new(data.cast::<Job>().cast_mut()).expect("a waker holds a job");
        // SAFETY: the waker's reference is given up, because the waker is dropped.
        unsafe { Job::release(job) };
    },
);

/// Makes a waker of a stackless task.
///
/// # Safety
///
/// The task is stackless, and alive.
pub(crate) unsafe fn task_waker(job: NonNull<Job>) -> Waker {
    // SAFETY: the task is alive. The reference made here belongs to the waker.
    unsafe {
        job.as_ref().state.retain();
        Waker::from_raw(RawWaker::new(job.as_ptr().cast_const().cast(), &TASK_WAKER))
    }
}

/// Passes the name of the running green thread to `say`. Async-signal-safe: it only loads, and does not allocate.
fn describe_running(say: &mut dyn FnMut(&[u8])) {
    // SAFETY: `HERE` is non-null only while this OS thread's worker is alive. The running fiber is alive.
    let job = unsafe { here().as_ref() }
        .and_then(|worker| NonNull::new(worker.running()))
        .and_then(|fiber| NonNull::new(unsafe { fiber.as_ref() }.job()));
    let Some(job) = job else {
        say(b"a green thread");
        return;
    };
    // SAFETY: the task of the running fiber is alive.
    let job = unsafe { job.as_ref() };
    say(b"green thread");
    match job.name() {
        Some(name) => {
            say(b" '");
            say(name.as_bytes());
            say(b"'");
        }
        None => say(b" <unnamed>"),
    }
    let mut id = job.id_if_known();
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
