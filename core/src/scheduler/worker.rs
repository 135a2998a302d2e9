//! A worker: an OS thread that runs one job after another.
//!
//! A turn takes its job from one of these:
//!
//! | source | what is in it | class | order |
//! |---|---|---|---|
//! | `next` | the job woken last on this worker, if it has a stack here, or its waker waits for it; a migratory one is in `remote.next`, and may be stolen | that of the turn before | it runs beside its waker, in one cache |
//! | `local` | jobs with a stack here that were woken or have yielded; local jobs | stacked | first in, first out |
//! | `remote.ready` | the same, if they are migratory | stacked | first in, first out; stolen from |
//! | `remote.fresh` | jobs without a stack | fresh | newest first, every 64th time the oldest, and more often the more there are; stolen from |
//!
//! A *chain* is a turn that was taken from a queue, and the turns taken from `next` that follow it. The rules of fairness,
//! whose bounds the README beside this file proves:
//!
//! 1. A chain has at most [`STREAK`] turns. Then `next` goes to the end of its queue.
//! 2. Stacked and fresh jobs are two classes that get equal shares, counted in operations. All turns of a chain are charged
//!    to the class of its first: `balance` grows with what chains of the stacked class have used, and shrinks with what
//!    those of the fresh class have. While both classes wait, the next chain is fresh if `balance` is positive, and
//!    stacked if not. It is never farther from zero than [`BALANCE_MAX`].
//! 3. In the stacked class, `local` and `ready` take turns while both wait.
//! 4. In the fresh class, at least one turn in 64 is the oldest's.
//!
//! Every so often, about every 20 µs, a worker looks around: timers, the injector, whether work waits that another
//! could take. `search` has what it does when it finds nothing.

use core::cell::{Cell, RefCell};
use core::ptr::{self, NonNull};
use std::sync::Arc;

use crate::fiber::pool::Pool;
use crate::fiber::stack::SizeClass;
use crate::fiber::{Fiber, Suspend};
use crate::job::Job;
use crate::scheduler::look::Looks;
use crate::scheduler::remote::Remote;
use crate::scheduler::run_queue::{End, LocalQueue};
use crate::scheduler::shared::Shared;
use crate::timer;
use crate::timer::recent::Recent;
use crate::wait::BUDGET;
use crate::wait::current::{self, Current};

/// The most turns of a chain.
const STREAK: u32 = 64;
/// How far one class may get ahead of the other, in operations.
const BALANCE_MAX: i32 = BUDGET as i32;

/// The classes of queues, as the signs with which their operations count in `balance`.
const STACKED: i32 = 1;
const FRESH: i32 = -1;

/// The worker's own part. It never leaves its OS thread; jobs that run on it reach it through [`super::here`].
pub(crate) struct Worker {
    pub(super) index: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) remote: &'static Remote,
    current: &'static Current,
    pub(super) next: Cell<*mut Job>,
    pub(super) local: LocalQueue,
    /// Deadlines that have not come to the wheel.
    pub(super) recent: Recent,
    pub(super) pool: RefCell<Pool>,
    /// Turns of this chain that were taken from `next`.
    streak: Cell<u32>,
    /// The class of this chain.
    chain: Cell<i32>,
    pub(super) balance: Cell<i32>,
    /// It is the turn of `ready`, if `local` waits, too.
    ready_first: Cell<bool>,
    /// Operations on channels and the like since the last look around, while jobs wait to be started.
    pub(super) ops: Cell<u32>,
    pub(super) turn: Cell<u32>,
    pub(super) look: Looks,
    /// Stacks in a row for which there was no memory.
    refusals: Cell<usize>,
    pub(super) looked_ns: Cell<u64>,
    pub(super) looks: Cell<u32>,
    /// The oldest stealable job at the last look.
    pub(super) waiting: Cell<Option<usize>>,
    /// So many of the jobs without a stack to be started next are not to be handed over.
    pub(super) stolen: Cell<usize>,
    /// The worker that a run of jobs is being handed over to.
    pub(super) giving: Cell<Option<usize>>,
    /// How long to search before sleeping, if that is longer than the least.
    pub(super) search_ns: Cell<u64>,
    /// Wake-ups go to the end of the queue: the worker itself wakes, not a job.
    pub(super) bulk: Cell<bool>,
    /// What runs now, for reports.
    running: Cell<*mut Fiber>,
    seed: Cell<u64>,
    pub(super) cancelled_all: Cell<bool>,
}

impl Worker {
    pub(super) fn new(index: usize, shared: Arc<Shared>) -> Worker {
        Worker {
            index,
            remote: shared.remotes[index],
            shared,
            // SAFETY: a worker lives in a frame of its OS thread, whose locals outlive it.
            current: unsafe { current::of_this_thread() },
            next: Cell::new(ptr::null_mut()),
            local: LocalQueue::new(),
            recent: Recent::new(),
            pool: RefCell::default(),
            streak: Cell::new(0),
            chain: Cell::new(STACKED),
            balance: Cell::new(0),
            ready_first: Cell::new(false),
            ops: Cell::new(0),
            turn: Cell::new(0),
            look: Looks::new(),
            refusals: Cell::new(0),
            looked_ns: Cell::new(0),
            looks: Cell::new(0),
            waiting: Cell::new(None),
            stolen: Cell::new(0),
            giving: Cell::new(None),
            search_ns: Cell::new(0),
            bulk: Cell::new(false),
            running: Cell::new(ptr::null_mut()),
            seed: Cell::new((index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            cancelled_all: Cell::new(false),
        }
    }

    /// Runs jobs until the runtime ends.
    pub(super) fn run(&self) {
        self.current.set_yield(Some(super::give_way));
        loop {
            let job = match self.pick() {
                Some(job) => job,
                None => match self.search() {
                    Some(job) => job,
                    None => {
                        if self.shared.is_terminated() && !self.has_work() {
                            break;
                        }
                        continue;
                    }
                },
            };
            self.run_job(job);
        }
        self.current.set_yield(None);
    }

    /// The next job, if there is one at hand.
    #[inline]
    fn pick(&self) -> Option<NonNull<Job>> {
        if self.look.count_turn() {
            self.check_time();
        }
        if self.remote.inbox.has_mail() {
            self.take_mail();
        }
        // 1. The job woken last.
        if let Some(job) =
            NonNull::new(self.next.replace(ptr::null_mut())).or_else(|| self.remote.next.take())
        {
            let streak = self.streak.get() + 1;
            if streak < STREAK {
                self.streak.set(streak);
                return Some(job);
            }
            self.queue_behind(job);
            // `next` has kept this one waiting.
            if let Some(job) = self.remote.next.take() {
                self.queue_behind(job);
            }
        }
        self.streak.set(0);
        // 2. The class that has used less, or the only one that has something.
        let fresh = self.remote.fresh.len() != 0;
        if fresh
            && self.balance.get() > 0
            && let Some(job) = self.pop_fresh()
        {
            self.chain.set(FRESH);
            return Some(job);
        }
        if !fresh {
            self.balance.set(0);
        }
        let stacked = self.pop_stacked();
        if stacked.is_some() {
            self.chain.set(STACKED);
            return stacked;
        }
        self.balance.set(0);
        if !fresh {
            return None;
        }
        self.chain.set(FRESH);
        self.pop_fresh()
    }

    /// The oldest of the stacked class: of `local` and `ready` in turn, if both have something.
    #[inline]
    fn pop_stacked(&self) -> Option<NonNull<Job>> {
        if self.remote.ready.len() != 0
            && (self.ready_first.replace(!self.ready_first.get()) || self.local.is_empty())
        {
            // A thief may have been faster.
            self.remote.ready.pop(End::Oldest).or_else(|| self.local.pop())
        } else {
            self.local.pop()
        }
    }

    /// Runs a job until it ends, parks or yields.
    #[inline]
    fn run_job(&self, job: NonNull<Job>) {
        // SAFETY: taken from a queue, so it is alive and nobody else runs it.
        let this = unsafe { job.as_ref() };
        let fresh = this.fiber().is_null();
        if fresh && !self.give_stack(job) {
            return;
        }
        let fiber = this.fiber();
        this.set_home(self.remote);
        self.running.set(fiber);
        #[cfg(feature = "tracing")]
        self.note_running(Some(this));
        if this.traits.migratory {
            this.set_at_rest(false);
        }
        self.current.enter(Job::party(job));
        // SAFETY: the job is suspended or new on this fiber, and was queued to be run by this worker.
        let why = unsafe { Fiber::resume(NonNull::new_unchecked(fiber)) };
        self.current.leave();
        self.remote.turn.finish();
        self.running.set(ptr::null_mut());
        #[cfg(feature = "tracing")]
        self.note_running(None);
        if fresh || self.remote.fresh.len() != 0 {
            let used = 1 + (BUDGET - self.current.budget()) as i32;
            let balance = self.balance.get() + self.chain.get() * used;
            // That a job starts says nothing about whether it talks.
            self.ops.set(self.ops.get() + (used - i32::from(fresh)) as u32);
            self.balance.set(balance.clamp(-BALANCE_MAX, BALANCE_MAX));
        }
        match why {
            Suspend::Parked => {
                // SAFETY: the header of a fiber lives until it is dismantled.
                unsafe { &*fiber }.since_ns.set(self.looked_ns.get());
                self.settle(job);
                // SAFETY: nobody resumes it, and so it cannot end, before this; afterwards it may be another's.
                let this = unsafe { job.as_ref() };
                if this.traits.migratory {
                    this.set_at_rest(true);
                }
            }
            Suspend::Yielded => {
                self.settle(job);
                self.queue_woken(job);
            }
            Suspend::Free | Suspend::FreeAgain => {
                // SAFETY: `resume` has come back from it.
                let fiber = unsafe { NonNull::new_unchecked(fiber) };
                if self.shared.is_short_of_memory() {
                    // SAFETY: the header of a fiber lives until it is dismantled.
                    self.shared.set_short_of(unsafe { fiber.as_ref() }.slot().class(), false);
                }
                self.pool.borrow_mut().put(fiber);
                if why == Suspend::FreeAgain {
                    self.push_again(job);
                }
            }
        }
    }

    /// Notes down what runs, if somebody watches for workers that are stuck.
    #[cfg(feature = "tracing")]
    #[inline]
    fn note_running(&self, job: Option<&Job>) {
        if self.shared.warn_after.is_none() {
            return;
        }
        let running = job.map(|job| crate::scheduler::remote::Running {
            job: job.name().map_or_else(|| format!("green thread {:?}", job.id()), str::to_owned),
            since: crate::facade::now(),
            warned: false,
        });
        *self.remote.running.lock() = running;
    }

    /// Puts a job without a stack on a fiber. Returns false if there is no memory for one: the job waits.
    #[inline]
    fn give_stack(&self, job: NonNull<Job>) -> bool {
        // SAFETY: as in `run_job`.
        let this = unsafe { job.as_ref() };
        if this.promised.replace(false) {
            self.remote.keep_promise();
        }
        if self.shared.is_closing() {
            // SAFETY: the runtime's reference keeps it.
            unsafe { Job::cancel(job) };
        }
        let class = self.shared.class_of(this.traits);
        let mut taken = self.pool.borrow_mut().take(class);
        if taken.is_err() && class != self.shared.class && this.as_party().is_cancelled() {
            // It does not start: it only drops what it has captured, for which it needs no stack of that size.
            taken = self.pool.borrow_mut().take(self.shared.class);
        }
        match taken {
            Ok(fiber) => {
                if self.shared.is_short_of_memory() {
                    self.shared.set_short_of(class, false);
                    self.refusals.set(0);
                }
                // SAFETY: a fiber in the pool is free, and its header alive.
                unsafe { fiber.as_ref() }.load(job);
                this.set_fiber(fiber.as_ptr());
                true
            }
            Err(_) => {
                self.out_of_memory(job, class);
                false
            }
        }
    }

    /// There is no memory for another stack of a class. The job goes behind all others, which may be of another class, and is
    /// tried again.
    #[cold]
    fn out_of_memory(&self, job: NonNull<Job>, class: SizeClass) {
        /// Refusals in a row after which the worker naps, however many jobs wait.
        const REFUSALS: usize = 64;
        self.shared.set_short_of(class, true);
        self.queue_behind(job);
        self.balance.set(-BALANCE_MAX);
        let refusals = self.refusals.get() + 1;
        self.refusals.set(refusals);
        // As many as there are have been refused, and nothing else can run here: do not burn the core asking the kernel again
        // and again.
        // SAFETY: queued here, so alive.
        let in_local = unsafe { job.as_ref() }.traits.local;
        let others = !self.next.get().is_null()
            || self.remote.ready.len() != 0
            || (!in_local && !self.local.is_empty());
        if !others && refusals >= self.remote.fresh.len().clamp(1, REFUSALS) {
            self.refusals.set(0);
            self.nap();
        }
    }

    /// Sleeps for a millisecond, until there is mail, or until a timer is due.
    fn nap(&self) {
        const NAP_NS: u64 = 1_000_000;
        let now_ns = timer::now_ns();
        self.gather_deadlines(now_ns);
        let until_ns = self.next_timer_ns().unwrap_or(u64::MAX).min(now_ns + NAP_NS);
        // Others do not see it asleep: it has work, which is not for them to wait for.
        if let Some(until) = timer::to_instant(until_ns)
            && self.remote.inbox.sleep()
        {
            self.remote.parker.park_deadline(until);
        }
        self.remote.inbox.awake();
        self.look.at_once();
    }

    /// A job parks or yields for the first time on this stack: from now on it lives here.
    #[inline]
    fn settle(&self, job: NonNull<Job>) {
        // SAFETY: suspended here; nobody else resumes it before this worker has queued it or taken its mail.
        let this = unsafe { job.as_ref() };
        if !this.settled.replace(true) && !this.traits.migratory {
            self.remote.add_resident();
        }
        if this.roster.get().is_null() {
            self.enlist(job);
        }
    }

    fn enlist(&self, job: NonNull<Job>) {
        // SAFETY: as in `settle`; it is struck out in `retire`.
        unsafe {
            job.as_ref().roster.set(self.remote);
            self.remote.roster.lock().insert(job);
        }
        if self.shared.is_closing() {
            // SAFETY: the runtime's reference keeps it.
            unsafe { super::cancel(job) };
        }
    }

    /// A job leaves its stack for good, on this worker: it has ended, or goes idle without one.
    #[inline]
    pub(super) fn leave_stack(&self, job: NonNull<Job>) {
        // SAFETY: the job runs on this worker.
        let this = unsafe { job.as_ref() };
        if this.settled.replace(false) && !this.traits.migratory {
            self.remote.remove_resident();
        }
        this.set_fiber(ptr::null_mut());
    }

    /// A stackless job is to be known while it idles.
    pub(super) fn enlist_idle(&self, job: NonNull<Job>) {
        // SAFETY: the job runs on this worker.
        if unsafe { job.as_ref() }.roster.get().is_null() {
            self.enlist(job);
        }
    }

    pub(super) fn trim(&self) {
        self.pool.borrow_mut().trim();
    }

    /// What runs now; null between jobs.
    pub(super) fn running(&self) -> *mut Fiber {
        self.running.get()
    }

    /// Xorshift; only for choices that need no quality.
    pub(super) fn random(&self) -> u64 {
        let mut x = self.seed.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.seed.set(x);
        x
    }
}
