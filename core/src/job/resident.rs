//! A process: a job without a stack between its turns, which others reach through references that count, as an `Arc`'s
//! content. What an actor stands on.
//!
//! ```text
//!   Job  │ the header
//!   H    │ the head: what all who have a reference may touch. At the same place whatever the body's type
//!   B    │ the body: takes the turns. Belongs to whoever runs the job
//! ```
//!
//! It is woken by [`Process::wake`], at most once for each turn to come, and its turn sees what the waker did before.
//! The body is dropped when it has taken its last turn; the head, when the last reference is gone.

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::NonNull;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::facade::{Lock, Ordering};
use crate::job::corner::Corner;
use crate::job::{Job, JobId, JobKind, Leftover, State, Traits};
use crate::scheduler;
use crate::scheduler::remote::Remote;
use crate::wait::{MissedWake, PartyKind, current, quietly};

/// What takes a process's turns.
pub trait Body<H>: Send + 'static {
    /// Takes a turn, on a stack on which it may park, and answers whether it was the last. The next comes when the
    /// process is woken, be it during this turn. Panics end nothing but the process, and are not reported by it.
    fn turn(&mut self, process: &Process<H>) -> bool;

    /// The end of the runtime gives up on the process: it may never take another turn, nor end the one that it is in. It may
    /// also do both. Tells those outside who wait for it; what runs a user's code is returned, to be run where that may park.
    fn abandoned(_process: &Process<H>) -> Option<Leftover> {
        None
    }

    /// Whether nothing of a user's is left in the head of a process that nobody refers to any more.
    fn is_bare(_head: &H) -> bool {
        false
    }
}

#[repr(C)]
struct Cell<H, B> {
    job: Job,
    head: H,
    body: UnsafeCell<Option<B>>,
}

impl<H: Send + Sync + 'static, B: Body<H>> Cell<H, B> {
    const KIND: JobKind = JobKind {
        run: run::<H, B>,
        drop_output: |_| {},
        take_output: |_, _| unreachable!("a process has no output"),
        free: free::<H, B>,
        abandon: abandon::<H, B>,
        stackless: true,
        resident: true,
    };
}

unsafe fn run<H: Send + Sync + 'static, B: Body<H>>(job: NonNull<Job>) -> bool {
    let process = ManuallyDrop::new(Process::<H> { job, _head: PhantomData });
    // SAFETY: the scheduler runs a process from `Process::new::<B>` in one place at a time (`State::wake` queues it
    // once), and the body is that place's.
    unsafe {
        let cell = job.cast::<Cell<H, B>>().as_ptr();
        (*cell).job.begin_run();
        let body = (*cell).body.get();
        let turn = catch_unwind(AssertUnwindSafe(|| {
            (*body).as_mut().expect("a process takes no turn after its last").turn(&process)
        }));
        if let Ok(false) = turn {
            return false;
        }
        quietly(|| drop(turn));
        quietly(|| crate::wait::shield(|| *body = None));
        scheduler::clear_locals();
        // Nobody joins a process as a job: there is no output, and no handle.
        let _ = (*cell).job.state.end();
        scheduler::retire(job);
        Job::release(job);
    }
    true
}

/// # Safety
///
/// The job is a process from `Process::new::<B>`, and the caller holds a reference.
unsafe fn abandon<H: Send + Sync + 'static, B: Body<H>>(job: NonNull<Job>) -> Option<Leftover> {
    // The caller's reference, borrowed.
    let process = ManuallyDrop::new(Process::<H> { job, _head: PhantomData });
    B::abandoned(&process)
}

/// The last reference is gone. The head may hold what is a user's, whose destructor may park, or ask who it is that
/// calls: that is for a green or an OS thread that is alive.
unsafe fn free<H: Send + Sync + 'static, B: Body<H>>(job: NonNull<Job>) {
    struct Free<H, B: Body<H>>(NonNull<Job>, PhantomData<(H, B)>);
    // SAFETY: the owner of the cell; head and body are `Send`.
    unsafe impl<H: Send, B: Body<H>> Send for Free<H, B> {}
    impl<H, B: Body<H>> Drop for Free<H, B> {
        fn drop(&mut self) {
            // SAFETY: the last reference is gone, and this is done once. A body that is still there belongs to a runtime
            // that was shut down: it is dropped here. The corner of a process is made at need.
            unsafe {
                self.0.as_ref().free_corner();
                drop(Box::from_raw(self.0.cast::<Cell<H, B>>().as_ptr()));
            }
        }
    }
    let owner = Free::<H, B>(job, PhantomData);
    // SAFETY: the cell is the caller's alone.
    let is_bare = B::is_bare(unsafe { &(*job.cast::<Cell<H, B>>().as_ptr()).head });
    // A process that has retired, or a worker between two jobs.
    let is_nobody = current::green().is_none_or(|me| me == Job::party(job)) && scheduler::is_on_worker();
    if is_nobody && !is_bare {
        scheduler::finish_by(move || drop(owner));
    } else {
        drop(owner);
    }
}

/// A reference to a process. Dereferences to its head.
pub struct Process<H> {
    job: NonNull<Job>,
    _head: PhantomData<H>,
}

// SAFETY: a reference shares the head, and may be the last, which drops it; the header is made to be shared, and a body
// is `Send`.
unsafe impl<H: Send + Sync> Send for Process<H> {}
// SAFETY: as above.
unsafe impl<H: Send + Sync> Sync for Process<H> {}

impl<H: Send + Sync + 'static> Process<H> {
    const HEAD: usize = {
        // So that the head is right behind the header, whatever the body's alignment.
        assert!(align_of::<H>() <= align_of::<Job>());
        size_of::<Job>()
    };

    /// A process that has not been started: see [`start`](crate::process::start).
    pub(crate) fn new<B: Body<H>>(
        head: H,
        body: B,
        name: Option<Box<str>>,
        green: &'static PartyKind,
        migratory: bool,
    ) -> Process<H> {
        let traits = Traits { migratory, ..Traits::default() };
        let mut job = Job::header(green, const { &Cell::<H, B>::KIND }, name, traits);
        job.state = State::of_process();
        let cell = Box::new(Cell { job, head, body: UnsafeCell::new(Some(body)) });
        Process { job: NonNull::from(Box::leak(cell)).cast(), _head: PhantomData }
    }

    pub(crate) fn job(&self) -> NonNull<Job> {
        self.job
    }

    /// The worker that it last ran on, which is one of its own runtime's; `None` before its first turn.
    pub(crate) fn home(&self) -> Option<&'static Remote> {
        // SAFETY: records of workers are never freed.
        unsafe { self.header().home().as_ref() }
    }

    fn header(&self) -> &Job {
        // SAFETY: `self` is a reference that counts.
        unsafe { self.job.as_ref() }
    }

    /// Lets it take a turn, if none that begins after this call is on its way.
    #[inline]
    pub fn wake(&self) {
        // SAFETY: as above.
        unsafe { scheduler::wake_task(self.job) };
    }

    /// Whether it was woken since its turn began, or [looked again](Self::look_again). In its own turn.
    #[inline]
    pub fn is_woken(&self) -> bool {
        self.header().state.is_woken()
    }

    /// Its turn looks again at all there is to do, and so does for the next. In its own turn.
    #[inline]
    pub fn look_again(&self) {
        self.header().state.begin_run();
    }

    /// What its turns have noted last. In its own turn.
    #[inline]
    pub fn noted(&self) -> bool {
        // Relaxed: one turn comes after the other.
        self.header().note.load(Ordering::Relaxed)
    }

    /// Notes something for its next turns. In its own turn.
    #[inline]
    pub fn note(&self, note: bool) {
        self.header().note.store(note, Ordering::Relaxed);
    }

    /// Whether it takes a turn, or is about to. A look: the next moment it may be otherwise.
    pub fn is_busy(&self) -> bool {
        self.header().state.is_busy()
    }

    /// As [`wake`](Self::wake), called by who is about to park, to wait for it.
    #[inline]
    pub fn wake_next(&self) {
        // SAFETY: as above.
        unsafe { scheduler::wake_task_next(self.job) };
    }

    /// Asks it to unwind from its present park or its next, until it [forgives](Self::forgive). Answers a wake-up that
    /// may be owed. One that idles is not woken.
    pub fn cancel(&self) -> Option<MissedWake> {
        // SAFETY: as above; a claimed job lives until it has been woken.
        unsafe { crate::wait::Party::cancel(Job::party(self.job)) }
    }

    /// Takes back the cancels until now. In its own turn alone.
    pub fn forgive(&self) {
        self.header().as_party().forgive();
        if scheduler::closing_here() {
            // One of them may have been the runtime's, which asks once.
            drop(self.cancel());
        }
    }

    /// Whether a cancel was asked for.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.header().as_party().is_cancelled()
    }

    /// Its number.
    pub fn id(&self) -> JobId {
        self.header().id()
    }

    /// Its name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.header().name()
    }

    /// Whether the two are one process.
    pub fn is<G>(&self, other: &Process<G>) -> bool {
        self.job == other.job
    }

    /// A number that is this process's alone while it lives.
    pub fn address(&self) -> usize {
        self.job.as_ptr().addr()
    }

    /// Another reference for somebody who has none: the head's own count says that one is held for it.
    pub fn retain(&self) {
        self.header().state.retain();
    }

    /// Gives up what [`retain`](Self::retain) took.
    ///
    /// # Safety
    ///
    /// Balances a `retain`; `self` is another reference.
    pub unsafe fn release(&self) {
        // SAFETY: `self` keeps it.
        let last = unsafe { self.job.as_ref() }.state.release();
        debug_assert!(!last, "self is a reference, too");
    }

    /// The same reference, seen by the first part of its head alone.
    ///
    /// # Safety
    ///
    /// `H` is `repr(C)`, and its first field is a `G`.
    pub unsafe fn by_first<G>(&self) -> &Process<G> {
        // SAFETY: both are a pointer to the job; the head is at the same place, and begins with a `G`.
        unsafe { &*core::ptr::from_ref(self).cast::<Process<G>>() }
    }

    /// The process in whose turn the caller is.
    ///
    /// # Safety
    ///
    /// All processes of this program have heads that begin, in `repr(C)`, with an `H`.
    pub unsafe fn with_current<R>(f: impl FnOnce(&Process<H>) -> R) -> Option<R> {
        // SAFETY: a green thread's party is a job's, which is alive while it runs.
        let job = current::green().map(|party| unsafe { Job::of_party(party) })?;
        // SAFETY: as above.
        let resident = unsafe { job.as_ref() }.kind.resident;
        resident.then(|| f(&ManuallyDrop::new(Process { job, _head: PhantomData })))
    }
}

impl<H: Send + Sync + 'static> Deref for Process<H> {
    type Target = H;

    #[inline]
    fn deref(&self) -> &H {
        // SAFETY: `self` is a reference that counts, to a cell with an `H` right behind its header (`HEAD`).
        unsafe { self.job.byte_add(Self::HEAD).cast::<H>().as_ref() }
    }
}

impl<H> Clone for Process<H> {
    fn clone(&self) -> Process<H> {
        // SAFETY: `self` is a reference that counts.
        unsafe { self.job.as_ref() }.state.retain();
        Process { job: self.job, _head: PhantomData }
    }
}

impl<H> Drop for Process<H> {
    fn drop(&mut self) {
        // SAFETY: the reference is given up, once. A body that is still there may be dropped anywhere, being `Send`.
        unsafe { Job::release(self.job) };
    }
}

impl<H> fmt::Debug for Process<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: `self` is a reference that counts.
        unsafe { self.job.as_ref() }.fmt(f)
    }
}

// What a process keeps for itself of the fields that others have in their own cell.
const _: () = assert!(size_of::<Lock<Corner>>() > size_of::<usize>());
