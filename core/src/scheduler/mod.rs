//! The scheduler: workers that run jobs, and how jobs reach it. `README.md` beside this file proves that no wake-up is
//! lost.
//!
//! | file | holds |
//! |---|---|
//! | `remote` | what others touch of a worker |
//! | `inbox`, `run_queue` | the queues |
//! | `idle` | who sleeps, searches, watches |
//! | `placement` | the policy of where jobs start |
//! | `shared` | what the workers of a runtime share |
//! | `turn` | counts of turns, by which others see whether a worker goes on |
//! | `worker` | the loop |
//! | `fresh`, `woken` | how jobs without a stack, and with one, come to a worker |
//! | `look`, `search` | what a worker does every so often, and when it finds nothing |

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
    /// The worker that this OS thread is.
    static HERE: Cell<*const Worker> = const { Cell::new(ptr::null()) };
}

/// The worker that the caller runs on. Never inlined: see `wait::current`.
#[inline(never)]
fn here() -> *const Worker {
    HERE.get()
}

/// How green threads take part in the waiting protocol.
pub(crate) static GREEN: PartyKind = PartyKind { wake, suspend, retain: None, is_task: false };

/// Runs a worker on the calling OS thread until its runtime ends.
pub(crate) fn run_worker(index: usize, shared: &Arc<Shared>) {
    /// A panic in the scheduler itself is a defect of ours, and would leave green threads asleep for ever.
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
    // After the report another runtime may have the record. Only this worker changes the number, so it is final.
    let stacks_are_left = shared.remotes[index].residents() > 0;
    shared.report_progress(true);
    if stacks_are_left {
        // From one of them somebody may have borrowed what is this OS thread's own, a thread-local above all: so it does
        // not end.
        loop {
            std::thread::park();
        }
    }
}

/// The runtime whose worker the caller runs on.
pub(crate) fn runtime_here() -> Option<Arc<Shared>> {
    // SAFETY: non-null only while the worker runs, on this very OS thread.
    unsafe { here().as_ref() }.map(|worker| Arc::clone(&worker.shared))
}

/// Whether the caller runs on a worker of `shared`.
pub(crate) fn is_worker_of(shared: &Shared) -> bool {
    // SAFETY: as above.
    unsafe { here().as_ref() }.is_some_and(|worker| ptr::eq(&raw const *worker.shared, shared))
}

/// Whether a runtime can be spawned to from here, and the new job's stack may move.
pub(crate) fn migratory_here() -> Option<bool> {
    // SAFETY: as above.
    unsafe { here().as_ref() }.map(|worker| worker.shared.migratory)
}

/// Whether the runtime here, if there is one, is being shut down.
pub(crate) fn closing_here() -> bool {
    // SAFETY: as above.
    unsafe { here().as_ref() }.is_some_and(|worker| worker.shared.is_closing())
}

/// The record of the worker that the caller runs on.
pub(crate) fn remote_here() -> Option<&'static remote::Remote> {
    // SAFETY: as above.
    unsafe { here().as_ref() }.map(|worker| worker.remote)
}

/// Whether the last attempt of the runtime here to get such a stack as a job with these traits needs failed.
#[inline]
pub(crate) fn is_short_of_memory_for(traits: Traits) -> bool {
    // SAFETY: as above.
    let Some(worker) = (unsafe { here().as_ref() }) else { return false };
    worker.shared.is_short_of_memory() && worker.shared.is_short_of(worker.shared.class_of(traits))
}

/// Queues a new job on the worker here. Gives it back to a caller that is on no worker.
#[inline]
pub(crate) fn spawn(job: NonNull<Job>) -> Result<(), NonNull<Job>> {
    // SAFETY: as above.
    match unsafe { here().as_ref() } {
        Some(worker) => {
            worker.push_fresh(job);
            Ok(())
        }
        None => Err(job),
    }
}

/// Lets others run, because the budget is spent; then unwinds if that is asked for. In this order: who catches the
/// unwinding has a new budget, and has given way for it.
pub(crate) fn give_way() {
    let Some(fiber) = running_fiber() else { return };
    // SAFETY: the caller runs on this fiber.
    unsafe { fiber.as_ref().suspend(Suspend::Yielded) };
    wait::check_cancelled();
    wait::check_limit();
}

/// Lets other green threads run; calls `otherwise` if the caller is none. Inlined, see `Wait::park`.
#[inline(always)]
pub(crate) fn yield_or(otherwise: fn()) {
    let Some(fiber) = running_fiber() else { return otherwise() };
    // SAFETY: the caller runs on this fiber, and is its job.
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

/// The fiber that the caller runs on.
#[inline]
pub(crate) fn running_fiber() -> Option<NonNull<Fiber>> {
    // SAFETY: as above.
    NonNull::new(unsafe { here().as_ref() }?.running())
}

/// Drops the thread-local values of the job that runs, which has ended.
pub(crate) fn clear_locals() {
    if let Some(fiber) = running_fiber() {
        // SAFETY: the caller runs on this fiber, whose header outlives it.
        locals::clear(unsafe { fiber.as_ref() });
    }
}

/// Whether the caller is a worker, or runs on one.
pub(crate) fn is_on_worker() -> bool {
    !here().is_null()
}

/// Lets a new green thread do what is left of one that has retired here.
pub(crate) fn finish_by(work: impl FnOnce() + Send + 'static) {
    // SAFETY: `Send`, and nothing is borrowed.
    let job = unsafe { allocate(work, &GREEN, None, Traits::default()) };
    if let Err(job) = spawn(job) {
        unreachable!("{job:?} is left by one that ran on no worker");
    }
    // SAFETY: the handle's reference, given up.
    unsafe { Job::disclaim(job) };
}

/// The job that the caller is.
pub(crate) fn running_job() -> Option<NonNull<Job>> {
    // SAFETY: a green thread's party is a job's.
    current::green().map(|party| unsafe { Job::of_party(party) })
}

/// Makes a claimed green thread run again, at home.
unsafe fn wake(party: NonNull<Party>) {
    // SAFETY: GREEN is the kind of jobs' parties alone, and a claimed job is alive until it runs again.
    let (job, home) = unsafe {
        let job = Job::of_party(party);
        (job, job.as_ref().home())
    };
    // SAFETY: as above.
    match unsafe { here().as_ref() } {
        Some(worker) if ptr::eq(worker.remote, home) => worker.wake_here(job),
        // Beside its waker, which has just written what it is woken for.
        // SAFETY: the claimed job is alive, and records of workers are never freed.
        Some(worker) if unsafe { may_move(job.as_ref()) && worker.remote.is_colleague_of(&*home) } => {
            worker.wake_here(job);
        }
        // SAFETY: as above, and the job is ours to queue, having claimed it.
        Some(worker) => unsafe { (*home).deliver(job, Some(&worker.remote.turn)) },
        // SAFETY: as above.
        None => unsafe { (*home).deliver(job, None) },
    }
}

/// Whether a job that has parked may be resumed by another worker than the one on which it did.
#[inline]
fn may_move(job: &Job) -> bool {
    job.traits.migratory && job.is_at_rest()
}

/// Parks the running green thread until it has been claimed and woken.
unsafe fn suspend(party: NonNull<Party>, deadline: Deadline) {
    // SAFETY: the owner calls, so the job runs, here.
    let job = unsafe { Job::of_party(party).as_ref() };
    // SAFETY: a running job has a fiber.
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
    // SAFETY: a job runs on a worker, and this one comes back to the same.
    let worker = unsafe { &*here() };
    // SAFETY: the entry stays here until it is removed, below, by the same OS thread.
    unsafe { worker.recent.push(place, due) };
    // SAFETY: the caller runs on this fiber.
    unsafe { fiber.suspend(Suspend::Parked) };
    // SAFETY: pushed there, by this OS thread.
    if unsafe { worker.recent.remove(place) } {
        forget(place, worker.remote);
    }
}

/// As `suspend_until`, for one that may come back on another worker.
#[inline(never)]
fn suspend_in_wheel(place: NonNull<Entry>, job: &Job, fiber: &Fiber, due: Due) {
    // SAFETY: a running job's home is a worker's record, which is never freed.
    let remote = unsafe { &*job.home() };
    let deadline_ns = match due {
        Due::At(moment) => timer::to_ns(moment),
        Due::AfterNs(ns) => deadline_about(Duration::from_nanos(ns)).map_or(u64::MAX, timer::to_ns),
    };
    if let Some(wheel) = remote.wheel.lock().as_mut() {
        // The worker looks at its wheel before it sleeps, so an earlier deadline needs no wake-up.
        // SAFETY: the entry stays where it is until it is removed, below, under the wheel's lock.
        let _ = unsafe { wheel.insert(place, deadline_ns) };
    }
    // SAFETY: the caller runs on this fiber.
    unsafe { fiber.suspend(Suspend::Parked) };
    // The wheel it was put in: the job may have another home by now.
    forget(place, remote);
}

/// Takes an entry out of this worker's wheel, if it is still there.
fn forget(entry: NonNull<Entry>, remote: &remote::Remote) {
    let mut wheel = remote.wheel.lock();
    if let Some(wheel) = wheel.as_mut()
        // SAFETY: the caller's own.
        && unsafe { entry.as_ref() }.is_linked()
    {
        // SAFETY: linked in this wheel.
        unsafe { wheel.remove(entry) };
    }
}

/// The party whose deadline an entry is.
///
/// # Safety
///
/// The entry was made by `suspend_until`, and the lock of its wheel is held.
unsafe fn party_of(entry: NonNull<Entry>) -> NonNull<Party> {
    // SAFETY: by the contract the sleeper has not left yet.
    let data = unsafe { entry.as_ref() }.data();
    NonNull::new(data.cast_mut().cast()).expect("an entry holds a party")
}

/// A job has ended: strikes it from its roster and its worker's residents. Called on the stack that ran it.
pub(crate) fn retire(job: NonNull<Job>) {
    // SAFETY: the caller runs the job, which is alive until it has ended.
    let this = unsafe { job.as_ref() };
    let roster = this.roster.get();
    if !roster.is_null() {
        // SAFETY: it was inserted there; records are never freed.
        unsafe { (*roster).roster.lock().remove(job) };
        this.roster.set(ptr::null());
    }
    // SAFETY: as in `runtime_here`.
    if let Some(worker) = unsafe { here().as_ref() } {
        worker.leave_stack(job);
    }
}

/// A stackless job goes idle. Answers true if it was woken meanwhile, and is to be queued again; else the caller must
/// not touch it any more.
///
/// # Safety
///
/// The caller has just run the job, here.
pub(crate) unsafe fn go_idle(job: NonNull<Job>) -> bool {
    // Its thread-locals are a turn's: the next may be on another stack, and this one another's. Dropping them may park.
    clear_locals();
    // SAFETY: as in `runtime_here`.
    if let Some(worker) = unsafe { here().as_ref() } {
        worker.leave_stack(job);
        worker.enlist_idle(job);
    }
    // SAFETY: alive until given up here.
    unsafe { job.as_ref() }.end_run()
}

/// Asks a job to unwind, or, if it is a stackless one that idles, to drop what it has.
///
/// # Safety
///
/// The caller holds a reference.
pub(crate) unsafe fn cancel(job: NonNull<Job>) {
    // SAFETY: by the contract.
    unsafe {
        Job::cancel(job);
        if job.as_ref().is_stackless() {
            wake_task(job);
        }
    }
}

/// Queues a stackless job unless it is queued, runs, or has ended.
///
/// # Safety
///
/// The caller holds a reference.
pub(crate) unsafe fn wake_task(job: NonNull<Job>) {
    // SAFETY: by the contract.
    let this = unsafe { job.as_ref() };
    if this.state.wake() {
        // SAFETY: as in `runtime_here`.
        match unsafe { here().as_ref() } {
            // SAFETY: it has run before, so it has a home, whose record is never freed.
            Some(worker) if worker.remote.is_colleague_of(unsafe { &*this.home() }) => {
                worker.push_fresh(job);
            }
            // To where its home looks, and thieves: any worker may run it, should that one be stuck.
            // SAFETY: it has run before, so it has a home, whose record is never freed; queueing it is ours alone.
            _ => unsafe {
                (*this.home()).fresh.push(job);
                (*this.home()).unpark();
            },
        }
    }
}

/// As [`wake_task`]; the job is the next to run here, when the caller has parked, which it is about to do. Nobody else can
/// take it until then.
///
/// # Safety
///
/// As `wake_task`.
#[inline]
pub(crate) unsafe fn wake_task_next(job: NonNull<Job>) {
    // SAFETY: as in `runtime_here`.
    let Some(worker) = (unsafe { here().as_ref() }) else {
        // SAFETY: by the contract.
        return unsafe { wake_task(job) };
    };
    // SAFETY: by the contract; one that runs here has a party, and one that has run before a home, whose record is
    // never freed.
    unsafe {
        if !worker.remote.is_colleague_of(&*job.as_ref().home())
            || current::green().is_none_or(|me| me.as_ref().is_cancelled())
        {
            // Its waker may never park, but unwind.
            wake_task(job);
        } else if job.as_ref().state.wake() {
            worker.wake_here_next(job);
        }
    }
}

static TASK_WAKER: RawWakerVTable = RawWakerVTable::new(
    // SAFETY (all four): the pointer is a job's, and each waker holds one reference to it.
    |data| {
        let job = data.cast::<Job>();
        // SAFETY: see above.
        unsafe { (*job).state.retain() };
        RawWaker::new(data, &TASK_WAKER)
    },
    |data| {
        let job = NonNull::new(data.cast::<Job>().cast_mut()).expect("a waker holds a job");
        // SAFETY: see above; the reference is given up.
        unsafe {
            wake_task(job);
            Job::release(job);
        }
    },
    |data| {
        let job = NonNull::new(data.cast::<Job>().cast_mut()).expect("a waker holds a job");
        // SAFETY: see above.
        unsafe { wake_task(job) };
    },
    |data| {
        let job = NonNull::new(data.cast::<Job>().cast_mut()).expect("a waker holds a job");
        // SAFETY: see above; the reference is given up.
        unsafe { Job::release(job) };
    },
);

/// A waker of a stackless job.
///
/// # Safety
///
/// The job is stackless, and alive.
pub(crate) unsafe fn task_waker(job: NonNull<Job>) -> Waker {
    // SAFETY: by the contract; the reference made here is the waker's.
    unsafe {
        job.as_ref().state.retain();
        Waker::from_raw(RawWaker::new(job.as_ptr().cast_const().cast(), &TASK_WAKER))
    }
}

/// Feeds the name of the running green thread to `say`. Async-signal-safe: loads, and no allocation.
fn describe_running(say: &mut dyn FnMut(&[u8])) {
    // SAFETY: as in `runtime_here`; the fiber that runs has a job that is alive.
    let job = unsafe { here().as_ref() }
        .and_then(|worker| NonNull::new(worker.running()))
        .and_then(|fiber| NonNull::new(unsafe { fiber.as_ref() }.job()));
    let Some(job) = job else {
        say(b"a green thread");
        return;
    };
    // SAFETY: as above.
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
