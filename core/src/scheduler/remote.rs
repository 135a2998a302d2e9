//! The part of a worker that others touch.
//!
//! A waker finds the worker of a parked job through `Job::home`, pushes the job to its inbox, and may then have to
//! unpark it; by that time the job may have run, ended, and been the last of its runtime. So these records are never
//! freed: they go back to a list, and the next runtime uses them again. A late unpark then wakes a worker for nothing.

use core::cell::Cell;
use core::ptr::{self, NonNull};
use std::sync::{Mutex, PoisonError};

use crossbeam_utils::CachePadded;

use crate::facade::{AtomicBool, AtomicU64, AtomicUsize, Lock, Ordering, Parker, Unparker};
use crate::job::{Job, Leftover};
use crate::scheduler::inbox::Inbox;
use crate::scheduler::run_queue::{SharedQueue, Slot};
use crate::scheduler::turn::{Sender, Turn};
use crate::timer::wheel::Wheel;

/// A worker as others see it. Two lines of the cache apart from its neighbours.
#[repr(align(128))]
pub(crate) struct Remote {
    pub(crate) inbox: CachePadded<Inbox>,
    /// Who put something into the inbox last.
    pub(crate) sender: Sender,
    pub(crate) turn: Turn,
    /// The number of the runtime whose worker this is, or was last.
    runtime: AtomicU64,
    /// Jobs without a stack.
    pub(crate) fresh: SharedQueue,
    /// Woken migratory jobs.
    pub(crate) ready: SharedQueue,
    /// The migratory job woken last.
    pub(crate) next: CachePadded<Slot>,
    /// Deadlines of the green threads that have parked here.
    pub(crate) wheel: Lock<Option<Wheel>>,
    /// Those that have parked here, for reports and for the shutdown.
    pub(crate) roster: Lock<Roster>,
    /// Stacks that are occupied here. Written by the worker alone.
    residents: AtomicUsize,
    /// Jobs that were handed over to this worker, and have not started yet.
    promised: AtomicUsize,
    /// Whether jobs that wait to be started here wait beside others that talk.
    talking: AtomicBool,
    /// Counts the worker's turns; stands still while it is stuck in one job.
    pub(crate) turns: AtomicU64,
    /// Counts how often the worker went to sleep, so that "asleep all the while" can be told from "asleep again".
    pub(crate) naps: AtomicU64,
    /// What the worker runs now, where somebody watches for workers that are stuck.
    #[cfg(feature = "tracing")]
    pub(crate) running: Lock<Option<Running>>,
    pub(crate) parker: Parker,
    unparker: Unparker,
}

// SAFETY: `parker` is used by the worker alone; the rest is atomics and locks.
unsafe impl Send for Remote {}
// SAFETY: as above.
unsafe impl Sync for Remote {}

static UNUSED: Mutex<Vec<&'static Remote>> = Mutex::new(Vec::new());

impl Remote {
    /// One that nobody uses.
    pub(crate) fn obtain(runtime: u64) -> &'static Remote {
        let unused = UNUSED.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let remote = unused.unwrap_or_else(|| {
            let parker = Parker::new();
            let unparker = parker.unparker();
            Box::leak(Box::new(Remote {
                inbox: CachePadded::new(Inbox::new()),
                sender: Sender::new(),
                turn: Turn::new(),
                runtime: AtomicU64::new(runtime),
                fresh: SharedQueue::new(),
                ready: SharedQueue::new(),
                next: CachePadded::new(Slot::new()),
                wheel: Lock::new(None),
                roster: Lock::new(Roster::new()),
                residents: AtomicUsize::new(0),
                promised: AtomicUsize::new(0),
                talking: AtomicBool::new(false),
                turns: AtomicU64::new(0),
                naps: AtomicU64::new(0),
                #[cfg(feature = "tracing")]
                running: Lock::new(None),
                parker,
                unparker,
            }))
        });
        // Relaxed: whoever compares it has got the record from a job of this runtime, or from one that has ended since,
        // and then is told no.
        remote.runtime.store(runtime, Ordering::Relaxed);
        *remote.wheel.lock() = Some(Wheel::new(crate::timer::now_ns()));
        remote
    }

    /// Gives one back whose worker has ended with nothing left on it.
    pub(crate) fn give_back(&'static self) {
        if let Some(mut wheel) = self.wheel.lock().take() {
            // Whatever is still linked must not find itself linked in the wheel of the runtime that gets this record next.
            wheel.unlink_all();
        }
        debug_assert_eq!((self.residents(), self.promised()), (0, 0), "a worker ended with residents");
        UNUSED.lock().unwrap_or_else(PoisonError::into_inner).push(self);
    }

    /// Whether the two are workers of one runtime.
    #[inline]
    pub(crate) fn is_colleague_of(&self, other: &Remote) -> bool {
        self.runtime.load(Ordering::Relaxed) == other.runtime.load(Ordering::Relaxed)
    }

    /// Wakes the worker if it sleeps.
    pub(crate) fn unpark(&self) {
        self.unparker.unpark();
    }

    /// Hands a job to the worker, from wherever; `from` is the turn of a worker that sends.
    ///
    /// # Safety
    ///
    /// The job is alive, in no queue, and the caller's to give.
    pub(crate) unsafe fn deliver(&self, job: NonNull<Job>, from: Option<&'static Turn>) {
        self.sender.note(from);
        // SAFETY: by the contract.
        if unsafe { self.inbox.push(job, job) } {
            self.unpark();
        }
    }

    /// Asks the worker to look around before its next turn.
    pub(crate) fn ask_to_look(&self) {
        if self.inbox.ask_to_look() {
            self.unpark();
        }
    }

    /// What is listed here now.
    pub(crate) fn listed(&self) -> Vec<Kept> {
        let mut jobs = Vec::new();
        // SAFETY: listed jobs are alive.
        self.roster.lock().each(|job| jobs.push(unsafe { Kept::new(job) }));
        jobs
    }

    /// The end of the runtime gives up on what is parked and listed here, and on all that `left`, a worker that has left its
    /// loop, was home to.
    pub(crate) fn abandon_parked(&self, left: Option<&Remote>) -> Vec<Leftover> {
        let is_left = |job: &Job| left.is_some_and(|left| ptr::eq(left, job.home()));
        let jobs = self.listed();
        let given_up = jobs.iter().filter(|job| job.is_resting() || is_left(job));
        // SAFETY: each of `jobs` is a reference.
        given_up.filter_map(|job| unsafe { Job::abandon(job.pointer()) }).collect()
    }

    /// How many residents the worker has.
    #[inline]
    pub(crate) fn residents(&self) -> usize {
        // Relaxed (this and the next four): figures to compare, nothing depends on them.
        self.residents.load(Ordering::Relaxed)
    }

    /// One resident more. The worker's call.
    #[inline]
    pub(crate) fn add_resident(&self) {
        self.residents.store(self.residents() + 1, Ordering::Relaxed);
    }

    /// One resident less. The worker's call.
    #[inline]
    pub(crate) fn remove_resident(&self) {
        self.residents.store(self.residents() - 1, Ordering::Relaxed);
    }

    /// Whether jobs that wait to be started here wait beside others that talk.
    #[inline]
    pub(crate) fn is_talking(&self) -> bool {
        self.talking.load(Ordering::Relaxed)
    }

    /// The worker's call.
    pub(crate) fn set_talking(&self, talking: bool) {
        if self.is_talking() != talking {
            self.talking.store(talking, Ordering::Relaxed);
        }
    }

    /// How many jobs have been handed over to the worker and not yet started.
    pub(crate) fn promised(&self) -> usize {
        self.promised.load(Ordering::Relaxed)
    }

    pub(crate) fn promise(&self, count: usize) {
        self.promised.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn keep_promise(&self) {
        self.promised.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A reference to a job.
#[derive(Debug)]
pub(crate) struct Kept(NonNull<Job>);

impl Kept {
    /// # Safety
    ///
    /// The job is alive.
    unsafe fn new(job: NonNull<Job>) -> Kept {
        // SAFETY: by the contract.
        unsafe { job.as_ref() }.state.retain();
        Kept(job)
    }

    /// The job; the reference is kept.
    pub(crate) fn pointer(&self) -> NonNull<Job> {
        self.0
    }
}

impl core::ops::Deref for Kept {
    type Target = Job;

    fn deref(&self) -> &Job {
        // SAFETY: the reference keeps it.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // SAFETY: the reference is ours, and given up once.
        unsafe { Job::release(self.0) };
    }
}

#[cfg(feature = "tracing")]
/// A job that a worker runs now.
pub(crate) struct Running {
    pub(crate) job: String,
    pub(crate) since: std::time::Instant,
    /// It has been warned of.
    pub(crate) warned: bool,
}

/// The jobs that have parked on a worker and not yet ended, in no order.
#[derive(Debug)]
pub(crate) struct Roster {
    first: Cell<*const Job>,
    len: usize,
}

// SAFETY: the links are touched with the roster's lock held.
unsafe impl Send for Roster {}

const PREVIOUS: usize = 0;
const NEXT: usize = 1;

impl Roster {
    fn new() -> Roster {
        Roster { first: Cell::new(ptr::null()), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Lists a job.
    ///
    /// # Safety
    ///
    /// The job is in no roster, and is removed from this one before it is freed.
    pub(crate) unsafe fn insert(&mut self, job: NonNull<Job>) {
        let first = self.first.get();
        // SAFETY: listed jobs are alive, and their links are ours under the lock.
        unsafe {
            job.as_ref().neighbours.set([ptr::null(), first]);
            set_neighbour(first, PREVIOUS, job.as_ptr());
        }
        self.first.set(job.as_ptr());
        self.len += 1;
    }

    /// Strikes a job out.
    ///
    /// # Safety
    ///
    /// The job is in this roster.
    pub(crate) unsafe fn remove(&mut self, job: NonNull<Job>) {
        // SAFETY: as in `insert`.
        unsafe {
            let [previous, next] = job.as_ref().neighbours.get();
            if previous.is_null() {
                self.first.set(next);
            }
            set_neighbour(previous, NEXT, next);
            set_neighbour(next, PREVIOUS, previous);
        }
        self.len -= 1;
    }

    /// Shows every listed job.
    pub(crate) fn each(&self, mut f: impl FnMut(NonNull<Job>)) {
        let mut next = self.first.get();
        while let Some(job) = NonNull::new(next.cast_mut()) {
            // SAFETY: as in `insert`.
            next = unsafe { job.as_ref() }.neighbours.get()[NEXT];
            f(job);
        }
    }
}

/// # Safety
///
/// `job` is null, or listed in a roster whose lock is held.
unsafe fn set_neighbour(job: *const Job, side: usize, to: *const Job) {
    // SAFETY: by the contract.
    if let Some(job) = unsafe { job.as_ref() } {
        let mut neighbours = job.neighbours.get();
        neighbours[side] = to;
        job.neighbours.set(neighbours);
    }
}
