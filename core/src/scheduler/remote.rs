//! The part of a worker that other threads access.
//!
//! A waker finds the worker of a parked task through `Job::home`, pushes the task to that worker's inbox, and may then
//! have to unpark the worker. By that time the task may have run, ended, and been the last of its runtime. So these
//! records are never freed: they go back to a list, and the next runtime uses them again. A late unpark then wakes a
//! worker for nothing.

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

/// A worker as other threads see it. Aligned to two cache lines, apart from its neighbours.
#[repr(align(128))]
pub(crate) struct Remote {
    pub(crate) inbox: CachePadded<Inbox>,
    /// Records the worker that put mail into the inbox last.
    pub(crate) sender: Sender,
    pub(crate) turn: Turn,
    /// The number of the runtime whose worker this is, or was last.
    runtime: AtomicU64,
    /// Tasks without a stack.
    pub(crate) fresh: SharedQueue,
    /// Woken migratory tasks.
    pub(crate) ready: SharedQueue,
    /// The migratory task woken last.
    pub(crate) next: CachePadded<Slot>,
    /// Deadlines of the green threads that have parked here.
    pub(crate) wheel: Lock<Option<Wheel>>,
    /// The tasks that have parked here, for reports and for the shutdown.
    pub(crate) roster: Lock<Roster>,
    /// The number of occupied stacks here. Written by the worker alone.
    residents: AtomicUsize,
    /// The number of tasks that were handed over to this worker and have not started.
    promised: AtomicUsize,
    /// Set when the tasks that wait to be started here wait beside residents that communicate.
    talking: AtomicBool,
    /// Counts how often the worker went to sleep, so that "asleep all the while" can be told from "asleep again".
    pub(crate) naps: AtomicU64,
    /// The task that the worker runs now, if the runtime warns of stuck workers.
    #[cfg(feature = "tracing")]
    pub(crate) running: Lock<Option<Running>>,
    pub(crate) parker: Parker,
    unparker: Unparker,
}

// SAFETY: `parker` is used by the worker alone. All other fields are atomics and locks.
unsafe impl Send for Remote {}
// SAFETY: `parker` is used by the worker alone. All other fields are atomics and locks.
unsafe impl Sync for Remote {}

static UNUSED: Mutex<Vec<&'static Remote>> = Mutex::new(Vec::new());

impl Remote {
    /// Takes an unused record, or makes one.
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
                naps: AtomicU64::new(0),
                #[cfg(feature = "tracing")]
                running: Lock::new(None),
                parker,
                unparker,
            }))
        });
        // Relaxed: a thread that compares the number has the record from a task of this runtime, or from a task of a
        // runtime that has ended since, and then the numbers differ.
        remote.runtime.store(runtime, Ordering::Relaxed);
        *remote.wheel.lock() = Some(Wheel::new(crate::timer::now_ns()));
        remote
    }

    /// Returns a record to the list. Its worker has ended, and nothing is left on it.
    pub(crate) fn give_back(&'static self) {
        if let Some(mut wheel) = self.wheel.lock().take() {
            // An entry that is still linked must not find itself linked in the wheel of the runtime that gets this
            // record next.
            wheel.unlink_all();
        }
        debug_assert_eq!((self.residents(), self.promised()), (0, 0), "a worker ended with residents");
        UNUSED.lock().unwrap_or_else(PoisonError::into_inner).push(self);
    }

    /// Returns whether the two are workers of one runtime.
    #[inline]
    pub(crate) fn is_colleague_of(&self, other: &Remote) -> bool {
        self.runtime.load(Ordering::Relaxed) == other.runtime.load(Ordering::Relaxed)
    }

    /// Wakes the worker if it sleeps.
    pub(crate) fn unpark(&self) {
        self.unparker.unpark();
    }

    /// Sends a task to the worker, from any thread. `from` is the turn counter of the sending worker, if the sender is
    /// one.
    ///
    /// # Safety
    ///
    /// The task is alive, in no queue, and the caller has the right to queue it.
    pub(crate) unsafe fn deliver(&self, job: NonNull<Job>, from: Option<&'static Turn>) {
        self.sender.note(from);
        // SAFETY: the task is alive, in no queue, and the caller's to queue, as `push` requires.
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

    /// Returns references to the tasks that are listed here now.
    pub(crate) fn listed(&self) -> Vec<Kept> {
        let mut jobs = Vec::new();
        // SAFETY: a task is removed from its roster before it is freed, and the lock is held.
        self.roster.lock().each(|job| jobs.push(unsafe { Kept::new(job) }));
        jobs
    }

    /// Gives up, at the end of the runtime, on the tasks that are parked and listed here, and on all listed tasks
    /// whose home is `left`, a worker that has left its loop.
    pub(crate) fn abandon_parked(&self, left: Option<&Remote>) -> Vec<Leftover> {
        let is_left = |job: &Job| left.is_some_and(|left| ptr::eq(left, job.home()));
        let jobs = self.listed();
        let given_up = jobs.iter().filter(|job| job.is_resting() || is_left(job));
        // SAFETY: each of `jobs` holds a reference.
        given_up.filter_map(|job| unsafe { Job::abandon(job.pointer()) }).collect()
    }

    /// Returns how many residents the worker has.
    #[inline]
    pub(crate) fn residents(&self) -> usize {
        // Relaxed (here, and in the six functions that follow): the numbers are only compared, and nothing depends on
        // their order.
        self.residents.load(Ordering::Relaxed)
    }

    /// Adds a resident. Called by the worker alone.
    #[inline]
    pub(crate) fn add_resident(&self) {
        self.residents.store(self.residents() + 1, Ordering::Relaxed);
    }

    /// Removes a resident. Called by the worker alone.
    #[inline]
    pub(crate) fn remove_resident(&self) {
        self.residents.store(self.residents() - 1, Ordering::Relaxed);
    }

    /// Returns whether the tasks that wait to be started here wait beside residents that communicate.
    #[inline]
    pub(crate) fn is_talking(&self) -> bool {
        self.talking.load(Ordering::Relaxed)
    }

    /// Called by the worker alone.
    pub(crate) fn set_talking(&self, talking: bool) {
        if self.is_talking() != talking {
            self.talking.store(talking, Ordering::Relaxed);
        }
    }

    /// Returns how many tasks have been handed over to the worker and have not started.
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

/// An owned reference to a task.
#[derive(Debug)]
pub(crate) struct Kept(NonNull<Job>);

impl Kept {
    /// # Safety
    ///
    /// The task is alive.
    unsafe fn new(job: NonNull<Job>) -> Kept {
        // SAFETY: the caller guarantees that the task is alive.
        unsafe { job.as_ref() }.state.retain();
        Kept(job)
    }

    /// Returns the task. The caller does not get the reference.
    pub(crate) fn pointer(&self) -> NonNull<Job> {
        self.0
    }
}

impl core::ops::Deref for Kept {
    type Target = Job;

    fn deref(&self) -> &Job {
        // SAFETY: the reference keeps the task alive.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // SAFETY: this value owns the reference, and gives it up once.
        unsafe { Job::release(self.0) };
    }
}

#[cfg(feature = "tracing")]
/// The task that a worker runs now.
pub(crate) struct Running {
    pub(crate) job: String,
    pub(crate) since: std::time::Instant,
    /// Set when a warning has been given.
    pub(crate) warned: bool,
}

/// The tasks that have parked, yielded or gone idle on a worker and have not ended, in no order.
#[derive(Debug)]
pub(crate) struct Roster {
    first: Cell<*const Job>,
    len: usize,
}

// SAFETY: the links are accessed only with the roster's lock held.
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

    /// Lists a task.
    ///
    /// # Safety
    ///
    /// The task is in no roster, and is removed from this one before it is freed.
    pub(crate) unsafe fn insert(&mut self, job: NonNull<Job>) {
        let first = self.first.get();
        // SAFETY: listed tasks are alive, and only the holder of the roster's lock, which `&mut self` stands for,
        // accesses their links.
        unsafe {
            job.as_ref().neighbours.set([ptr::null(), first]);
            set_neighbour(first, PREVIOUS, job.as_ptr());
        }
        self.first.set(job.as_ptr());
        self.len += 1;
    }

    /// Removes a task.
    ///
    /// # Safety
    ///
    /// The task is in this roster.
    pub(crate) unsafe fn remove(&mut self, job: NonNull<Job>) {
        // SAFETY: listed tasks are alive, and only the holder of the roster's lock, which `&mut self` stands for,
        // accesses their links.
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

    /// Calls `f` with every listed task.
    pub(crate) fn each(&self, mut f: impl FnMut(NonNull<Job>)) {
        let mut next = self.first.get();
        while let Some(job) = NonNull::new(next.cast_mut()) {
            // SAFETY: listed tasks are alive, and only the holder of the roster's lock, which `&self` stands for,
            // accesses their links.
            next = unsafe { job.as_ref() }.neighbours.get()[NEXT];
            f(job);
        }
    }
}

/// # Safety
///
/// `job` is null, or listed in a roster whose lock is held.
unsafe fn set_neighbour(job: *const Job, side: usize, to: *const Job) {
    // SAFETY: `job` is null or listed, so alive, and the lock protects its links.
    if let Some(job) = unsafe { job.as_ref() } {
        let mut neighbours = job.neighbours.get();
        neighbours[side] = to;
        job.neighbours.set(neighbours);
    }
}
