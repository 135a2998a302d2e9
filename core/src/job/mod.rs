//! A job: what is spawned. A small heap cell without a stack, which borrows one only while it runs.
//!
//! ```text
//!   Job (header) ┐ party      who waits, and why               its wakers, and itself
//!                │ state      who still needs the cell         everyone, see `state`
//!                │ link       its place in one run queue       who owns it while it is runnable
//!                │ home       the worker it has a stack on     set by the worker that runs it, read by its wakers
//!                │ fiber      the stack it stands on           the worker that runs it
//!                │ corner     joiners, and the park token      under its lock; it stands behind the header, or is made at need
//!                │ roster     its place among those that wait  under the roster's lock
//!   Stage        ┘ the closure, then the output                the worker that runs it, then the handle
//!                  or, of a process, what others reach of it, and what takes its turns (`resident`)
//! ```
//!
//! | it is | queued in | may be run by |
//! |---|---|---|
//! | fresh (`fiber` is null) | a worker's fresh queue, the injector, an inbox | any worker; a local job by its worker alone |
//! | running | nothing | itself |
//! | parked | the queues of what it waits for | nobody, until a waker claims its party |
//! | woken | its home's run queue or inbox | its home; a migratory job by anyone |
//!
//! Safety by situation: the header lives while `state` counts a reference, and the runtime holds one until the job has
//! ended, so a queued, running or parked job is alive. Only one queue or worker has it at a time, because a job is
//! queued exactly once: at its spawn, and by the one waker that has claimed it.

mod cell;
mod corner;
mod id;
mod resident;
mod state;

use core::cell::Cell;
use core::fmt;
use core::num::NonZeroU8;
use core::ptr::NonNull;

#[allow(unused_imports, reason = "models take a part")]
pub(crate) use cell::{Output, allocate, allocate_task};
use corner::Corner;
pub use id::JobId;
pub use resident::{Body, Process};
pub(crate) use state::{Ended, State};

use crate::facade::{AtomicBool, AtomicPtr, AtomicU64, Lock, Ordering};
use crate::fiber::Fiber;
use crate::scheduler;
use crate::scheduler::remote::Remote;
use crate::wait::{Party, PartyKind};

/// What is left to do for a job that its runtime has given up on. It runs a user's code.
pub type Leftover = Box<dyn FnOnce() + Send>;

/// What differs between jobs of different types.
pub(crate) struct JobKind {
    /// Runs the closure, on a runner's stack, and leaves the output. Answers false if a stackless job went idle.
    pub(crate) run: unsafe fn(NonNull<Job>) -> bool,
    /// Drops the output that nobody wants.
    pub(crate) drop_output: unsafe fn(NonNull<Job>),
    /// Moves the output, a `Result<T, Box<dyn Any + Send>>`, to where the pointer says.
    pub(crate) take_output: unsafe fn(NonNull<Job>, *mut ()),
    /// Frees the cell, whose stage is empty.
    pub(crate) free: unsafe fn(NonNull<Job>),
    /// The end of the runtime gives up on the job: tells those outside who wait for it.
    pub(crate) abandon: unsafe fn(NonNull<Job>) -> Option<Leftover>,
    /// Whether it has no stack while it waits: a future, or a process between its turns.
    pub(crate) stackless: bool,
    /// Whether it is a process.
    pub(crate) resident: bool,
}

/// How a job is to be run. Immutable after the spawn.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traits {
    /// One more than the index of its stack's size class; `None` is the runtime's default.
    pub(crate) class: Option<NonZeroU8>,
    /// Its stack may be resumed by any worker.
    pub(crate) migratory: bool,
    /// It starts on the worker that spawned it.
    pub(crate) local: bool,
}

/// The header of every job.
#[repr(C)]
pub struct Job {
    party: Party,
    pub(crate) state: State,
    kind: &'static JobKind,
    /// The next in a run queue. Atomic because an inbox is pushed to by many.
    pub(crate) link: AtomicPtr<Job>,
    home: AtomicPtr<Remote>,
    fiber: Cell<*mut Fiber>,
    id: AtomicU64,
    /// One word, not two: most have none.
    name: Option<Box<Box<str>>>,
    pub(crate) traits: Traits,
    /// Whether it has parked in its present run, and counts as an occupied stack. The running worker's.
    pub(crate) settled: Cell<bool>,
    /// Whether its stack is at rest, so that another worker may resume it. Written by the worker that runs it, and kept for
    /// migratory jobs alone: a waker may be faster than the switch away from the stack of the job that it wakes.
    at_rest: AtomicBool,
    /// Whether a stackless job runs, be it parked. For looks alone: written by who runs it.
    running: AtomicBool,
    /// A process's own, for its turns. Here, where it takes no room.
    note: AtomicBool,
    /// Whether it was handed over to the worker in whose queue it is, and counts there. Whoever has it queued.
    pub(crate) promised: Cell<bool>,
    /// The worker in whose roster it is listed, or null. Changes under that roster's lock.
    pub(crate) roster: Cell<*const Remote>,
    pub(crate) neighbours: Cell<[*const Job; 2]>,
    /// Behind the header in the same cell, or null until it is needed (`corner`).
    corner: AtomicPtr<Lock<Corner>>,
}

// SAFETY: see the table in the module's head: each field is atomic, immutable, behind a lock, or belongs to whoever
// runs the job. The stage moves between threads only if its closure is `Send`, or the job is local (`cell`).
unsafe impl Send for Job {}
// SAFETY: as above.
unsafe impl Sync for Job {}

impl Job {
    pub(crate) fn header(
        party: &'static PartyKind,
        kind: &'static JobKind,
        name: Option<Box<str>>,
        traits: Traits,
    ) -> Job {
        Job {
            party: Party::new(party),
            state: State::new(),
            kind,
            link: AtomicPtr::new(core::ptr::null_mut()),
            home: AtomicPtr::new(core::ptr::null_mut()),
            fiber: Cell::new(core::ptr::null_mut()),
            id: AtomicU64::new(0),
            name: name.map(Box::new),
            traits,
            settled: Cell::new(false),
            at_rest: AtomicBool::new(false),
            running: AtomicBool::new(false),
            note: AtomicBool::new(false),
            promised: Cell::new(false),
            roster: Cell::new(core::ptr::null()),
            neighbours: Cell::new([core::ptr::null(); 2]),
            corner: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    /// The job whose party this is.
    ///
    /// # Safety
    ///
    /// The party is a green thread's.
    #[inline]
    pub(crate) unsafe fn of_party(party: NonNull<Party>) -> NonNull<Job> {
        // The party is the first field, and pointers to it are derived from the whole cell (`party`).
        party.cast()
    }

    /// The party as its wakers see it.
    #[inline]
    pub(crate) fn party(job: NonNull<Job>) -> NonNull<Party> {
        job.cast()
    }

    #[inline]
    pub(crate) fn as_party(&self) -> &Party {
        &self.party
    }

    /// The worker that the job has a stack on; null before it has started.
    #[inline]
    pub(crate) fn home(&self) -> *const Remote {
        // Relaxed: a waker got the job through a queue, whose lock orders the store before this.
        self.home.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set_home(&self, home: *const Remote) {
        self.home.store(home.cast_mut(), Ordering::Relaxed);
    }

    /// Whether its stack is at rest.
    #[inline]
    pub(crate) fn is_at_rest(&self) -> bool {
        // Acquire: what the job and the switch away from it have written to its stack is seen by who resumes it.
        self.at_rest.load(Ordering::Acquire)
    }

    /// The running worker's call: before it switches to the job, and after it has come back.
    #[inline]
    pub(crate) fn set_at_rest(&self, at_rest: bool) {
        // Release: as above. A waker cannot see the value from before the job was resumed: it has claimed a wait that
        // was opened since.
        self.at_rest.store(at_rest, Ordering::Release);
    }

    /// Whether it is a future, polled without a stack of its own.
    #[inline]
    pub(crate) fn is_stackless(&self) -> bool {
        self.kind.stackless
    }

    /// The stack that it stands on; null while it has none. The running worker's call.
    #[inline]
    pub(crate) fn fiber(&self) -> *mut Fiber {
        self.fiber.get()
    }

    #[inline]
    pub(crate) fn set_fiber(&self, fiber: *mut Fiber) {
        self.fiber.set(fiber);
    }

    /// Its name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref().map(|name| &**name)
    }

    /// Its number, unique in the process, given when first asked for.
    pub fn id(&self) -> JobId {
        JobId::of(&self.id)
    }

    /// As [`id`](Self::id), for a signal handler: zero if nobody has asked before.
    pub(crate) fn id_if_known(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    /// A stackless job begins a run.
    #[inline]
    fn begin_run(&self) {
        // Relaxed: nothing depends on it.
        self.running.store(true, Ordering::Relaxed);
        self.state.begin_run();
    }

    /// It goes idle, as [`State::end_run`] says.
    #[inline]
    #[must_use]
    pub(crate) fn end_run(&self) -> bool {
        self.running.store(false, Ordering::Relaxed);
        self.state.end_run()
    }

    /// Runs it, on a runner's stack. Answers false if a stackless job went idle: it is not to be touched then.
    ///
    /// # Safety
    ///
    /// The caller has taken the job from a queue, and stands on a runner's stack.
    #[inline]
    pub(crate) unsafe fn run(job: NonNull<Job>) -> bool {
        // SAFETY: by the contract the job is alive and ours.
        unsafe { (job.as_ref().kind.run)(job) }
    }

    /// Ends a job whose output is in place: drops it if nobody wants it, leaves the stack, wakes the joiners, and lets go
    /// of the runtime's reference.
    ///
    /// # Safety
    ///
    /// Called once, by `JobKind::run`, on the stack that ran the job. The last reference runs no user's code when it
    /// goes.
    #[inline]
    pub(crate) unsafe fn end(job: NonNull<Job>) {
        // SAFETY: the runtime's reference, ours, keeps the job until `release`.
        unsafe {
            scheduler::clear_locals();
            let this = job.as_ref();
            let Ended { unwanted, waited } = this.state.end();
            if unwanted {
                // Its destructor is a user's, and may park: so the job still has its stack, and its place in a roster.
                (this.kind.drop_output)(job);
                scheduler::clear_locals();
            }
            // From here on no user's code runs on this stack: who parked would be run again as if it were new.
            scheduler::retire(job);
            if waited {
                this.wake_joiners();
            }
            Job::release(job);
        }
    }

    /// Whether it is parked, or a stackless one that nobody polls. A look: the next moment it may be otherwise.
    pub(crate) fn is_resting(&self) -> bool {
        self.party.is_waiting() || (self.is_stackless() && !self.running.load(Ordering::Relaxed))
    }

    /// Lets nobody wait for its end any more: it may never come. Nothing on the job's stack is touched, since it may still
    /// run, and others may be borrowing from its stack. Returns what is left to do where a user's code may run.
    ///
    /// # Safety
    ///
    /// The caller holds a reference.
    #[must_use]
    pub(crate) unsafe fn abandon(job: NonNull<Job>) -> Option<Leftover> {
        // SAFETY: the reference keeps the job, and the kind is its own.
        unsafe {
            let this = job.as_ref();
            if this.state.abandon() {
                this.wake_joiners();
            }
            (this.kind.abandon)(job)
        }
    }

    /// One holder less; the last frees the cell.
    ///
    /// # Safety
    ///
    /// The caller owns a reference and gives it up. If it may be the last, the stage is empty, or holds what may be
    /// dropped here.
    #[inline]
    pub(crate) unsafe fn release(job: NonNull<Job>) {
        // SAFETY: by the contract.
        unsafe {
            if job.as_ref().state.release() {
                (job.as_ref().kind.free)(job);
            }
        }
    }

    /// Asks the job to unwind.
    ///
    /// # Safety
    ///
    /// The caller holds a reference.
    pub(crate) unsafe fn cancel(job: NonNull<Job>) {
        // SAFETY: the reference keeps the job until the wake-up has been delivered.
        drop(unsafe { Party::cancel(Job::party(job)) });
    }

    /// Moves the output out.
    ///
    /// # Safety
    ///
    /// The job is done, its handle asks, once, and `to` is the `Result` that the job's kind says.
    pub(crate) unsafe fn take_output(job: NonNull<Job>, to: *mut ()) {
        // SAFETY: by the contract.
        unsafe { (job.as_ref().kind.take_output)(job, to) }
    }

    /// The handle goes without having joined.
    ///
    /// # Safety
    ///
    /// The handle calls, once, and does not use the job afterwards. It has not taken the output.
    pub(crate) unsafe fn disclaim(job: NonNull<Job>) {
        // SAFETY: the handle's reference keeps the job.
        unsafe {
            match job.as_ref().state.disclaim() {
                Some(false) => {}
                Some(true) => (job.as_ref().kind.free)(job),
                None => {
                    (job.as_ref().kind.drop_output)(job);
                    Job::release(job);
                }
            }
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("name", &self.name()).field("state", &self.state).finish()
    }
}
