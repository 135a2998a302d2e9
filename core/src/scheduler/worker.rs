//! A worker: an OS thread that runs one job after another.
//!
//! A turn takes the next job from the first of these that has one, subject to the two counts below it:
//!
//! | source | what is in it | order |
//! |---|---|---|
//! | `next` | the job woken last on this worker; a migratory one is in `remote.next`, and may be stolen | it runs beside its waker, in one cache |
//! | `local` | jobs with a stack here that were woken or have yielded; local jobs | first in, first out |
//! | `remote.ready` | the same, if they are migratory | first in, first out; stolen from |
//! | `remote.fresh` | jobs without a stack | newest first, every 64th time the oldest; stolen from |
//!
//! `next` is passed over after [`STREAK`] turns, so that a pair that wakes each other forever does not shut out the
//! rest. Jobs with a stack and jobs without are two classes that get equal shares, counted in operations: `balance`
//! grows with what the first class has used, and shrinks with what the second has.
//!
//! Every so often, about each [`LOOK_NS`], a worker looks around: timers, the injector, whether work waits that another
//! could take. `search` has what it does when it finds nothing.

use core::cell::{Cell, RefCell};
use core::ptr::{self, NonNull};
use std::sync::Arc;

use crate::facade::Ordering;
use crate::fiber::pool::Pool;
use crate::fiber::stack::SizeClass;
use crate::fiber::{Fiber, Suspend};
use crate::job::Job;
use crate::scheduler::placement;
use crate::scheduler::remote::Remote;
use crate::scheduler::run_queue::{End, LocalQueue};
use crate::scheduler::shared::Shared;
use crate::timer;
use crate::wait::Wake;
use crate::wait::current::{self, BUDGET, Current};

/// Turns that `next` may take in a row while others wait.
const STREAK: u32 = 64;
/// Nanoseconds between two looks around, roughly: it counts turns, and corrects the count by the clock.
const LOOK_NS: u64 = 20_000;
/// The most turns between two looks.
const LOOK_TURNS: u32 = 256;
/// How far one class may get ahead of the other, in operations.
const BALANCE_MAX: i32 = 2 * BUDGET as i32;
/// One fresh job in so many is the oldest.
const OLDEST_EVERY: u32 = 64;
/// Looks around between two trims of the stack pool.
const TRIM_EVERY: u32 = 512;

/// The worker's own part. It never leaves its OS thread; jobs that run on it reach it through [`super::here`].
pub(crate) struct Worker {
    pub(super) index: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) remote: &'static Remote,
    current: &'static Current,
    next: Cell<*mut Job>,
    pub(super) local: LocalQueue,
    pool: RefCell<Pool>,
    streak: Cell<u32>,
    balance: Cell<i32>,
    turn: Cell<u32>,
    look_in: Cell<u32>,
    look_every: Cell<u32>,
    looked_ns: Cell<u64>,
    looks: Cell<u32>,
    /// The oldest stealable job at the last look.
    waiting: Cell<Option<usize>>,
    /// So many of the jobs without a stack to be started next are not to be handed over.
    pub(super) stolen: Cell<usize>,
    /// The worker that a run of jobs is being handed over to.
    giving: Cell<Option<usize>>,
    /// How long to search before sleeping, if that is longer than the least.
    pub(super) search_ns: Cell<u64>,
    /// Wake-ups go to the end of the queue: the worker itself wakes, not a job.
    bulk: Cell<bool>,
    /// What runs now, for reports.
    running: Cell<*mut Fiber>,
    seed: Cell<u64>,
    cancelled_all: Cell<bool>,
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
            pool: RefCell::default(),
            streak: Cell::new(0),
            balance: Cell::new(0),
            turn: Cell::new(0),
            look_in: Cell::new(1),
            look_every: Cell::new(32),
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
        self.current.set_yield(Some(super::yield_now));
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
        let look_in = self.look_in.get() - 1;
        self.look_in.set(look_in);
        if look_in == 0 {
            self.look_around();
        }
        if self.remote.inbox.has_mail() {
            self.take_mail();
        }
        // 1. The job woken last.
        if let Some(job) = NonNull::new(self.next.replace(ptr::null_mut())).or_else(|| self.remote.next.take()) {
            let streak = self.streak.get() + 1;
            if streak < STREAK {
                self.streak.set(streak);
                return Some(job);
            }
            self.queue_woken(job);
        }
        self.streak.set(0);
        // 2. The class that has used less, or the only one that has something.
        let fresh = self.remote.fresh.len() != 0;
        if fresh
            && self.balance.get() > 0
            && let Some(job) = self.pop_fresh()
        {
            return Some(job);
        }
        if !fresh {
            self.balance.set(0);
        }
        let stacked = self.local.pop().or_else(|| self.remote.ready.pop(End::Oldest));
        if stacked.is_some() {
            return stacked;
        }
        self.balance.set(0);
        if fresh { self.pop_fresh() } else { None }
    }

    /// A job without a stack, to be started here; or none, if all have been handed over.
    fn pop_fresh(&self) -> Option<NonNull<Job>> {
        if self.stolen.get() > 0 {
            // Whoever had them did not come to run them: they are not handed back.
            self.stolen.set(self.stolen.get() - 1);
        } else if self.remote.residents() > placement::SLACK
            && self.shared.remotes.len() > 1
            && !self.shared.migratory
        {
            self.hand_over();
        }
        let turn = self.turn.get().wrapping_add(1);
        self.turn.set(turn);
        self.remote.fresh.pop(if turn.is_multiple_of(OLDEST_EVERY) { End::Oldest } else { End::Newest })
    }

    /// Gives waiting jobs to a worker with fewer residents, if the placement says so.
    fn hand_over(&self) {
        let waiting = self.remote.fresh.len();
        let mine = self.remote.residents();
        // The better of two others, chosen at random: looking at all would cost more the more there are.
        let other = |i: usize| {
            let workers = self.shared.remotes.len();
            (self.index + 1 + i % (workers - 1)) % workers
        };
        let random = self.random() as usize;
        let (a, b) = (other(random), other(random >> 32));
        let load = |i: usize| self.shared.remotes[i].residents() + self.shared.remotes[i].promised();
        let giving = self.giving.get();
        let to = giving.unwrap_or(if load(a) <= load(b) { a } else { b });
        let count = placement::hand_over(giving.is_some(), mine, waiting, load(to));
        self.giving.set((count > 0).then_some(to));
        // In a shutdown the other may have left by now.
        if count == 0 || self.shared.is_closing() {
            return;
        }
        let mut given = Vec::with_capacity(count);
        self.remote.fresh.take_oldest(count, |job| {
            // SAFETY: the job is ours, out of the queue.
            if unsafe { job.as_ref() }.promised.replace(true) {
                // It had been promised to us: we pass it on.
                self.remote.keep_promise();
            }
            given.push(job);
        });
        let remote = self.shared.remotes[to];
        remote.promise(given.len());
        // Into its queue and not its inbox: should it be stuck in a job, others can take them from there.
        remote.fresh.push_all(given.into_iter());
        if self.shared.idle.pick_this(to) {
            remote.unpark();
        } else if !self.shared.idle.is_watched() {
            self.shared.wake_one();
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
            let balance = self.balance.get() + if fresh { -used } else { used };
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
                if self.shared.is_short_of_memory() {
                    self.shared.set_short_of_memory(false);
                }
                // SAFETY: it came back free.
                self.pool.borrow_mut().put(unsafe { NonNull::new_unchecked(fiber) });
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

    /// Puts a job without a stack on a fiber. Answers false if there is no memory for one: the job waits.
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
        let class = this.traits.class.map_or(self.shared.class, |class| SizeClass::from_index(class.into()));
        match self.pool.borrow_mut().take(class) {
            Ok(fiber) => {
                // SAFETY: a fiber in the pool is free, and its header alive.
                unsafe { fiber.as_ref() }.load(job);
                this.set_fiber(fiber.as_ptr());
                true
            }
            Err(_) => {
                self.out_of_memory(job);
                false
            }
        }
    }

    /// There is no memory for another stack. The job goes back, to be tried again when a stack has been freed;
    /// meanwhile the rest lives on.
    #[cold]
    fn out_of_memory(&self, job: NonNull<Job>) {
        self.shared.set_short_of_memory(true);
        self.postponed(job);
        if self.next.get().is_null() && self.local.is_empty() && !self.remote.inbox.has_mail() {
            // Nothing else to run here: do not burn the core asking the kernel again and again.
            std::thread::sleep(std::time::Duration::from_millis(1));
            self.look_in.set(1);
        }
    }

    fn postponed(&self, job: NonNull<Job>) {
        // SAFETY: alive and ours.
        if unsafe { job.as_ref() }.traits.local {
            self.local.push(job);
        } else {
            self.remote.fresh.push(job);
        }
        self.balance.set(-BALANCE_MAX);
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

    /// A job with a stack here is woken on this worker.
    #[inline]
    pub(super) fn wake_here(&self, job: NonNull<Job>) {
        if self.bulk.get() {
            self.queue_woken(job);
            return;
        }
        // SAFETY: alive and ours.
        let before = if unsafe { job.as_ref() }.traits.migratory {
            self.remote.next.replace(job)
        } else {
            NonNull::new(self.next.replace(job.as_ptr()))
        };
        if let Some(before) = before {
            self.queue_woken(before);
        }
    }

    /// Puts a job with a stack, or a local one, at the end of its queue.
    #[inline]
    fn queue_woken(&self, job: NonNull<Job>) {
        // SAFETY: alive and ours.
        let this = unsafe { job.as_ref() };
        if this.traits.migratory && !this.fiber().is_null() {
            self.remote.ready.push(job);
        } else {
            self.local.push(job);
        }
    }

    /// Puts in a job without a stack.
    #[inline]
    pub(super) fn push_fresh(&self, job: NonNull<Job>) {
        // SAFETY: alive and ours.
        if unsafe { job.as_ref() }.traits.local {
            self.local.push(job);
            return;
        }
        self.remote.fresh.push(job);
        if !self.shared.idle.is_watched() {
            self.shared.wake_one();
        }
    }

    /// Queues a stackless job that has just had its turn. As the newest it would have the next turn, too.
    fn push_again(&self, job: NonNull<Job>) {
        self.remote.fresh.push_behind(job);
        if !self.shared.idle.is_watched() {
            self.shared.wake_one();
        }
    }

    /// Sorts what others have sent.
    #[cold]
    fn take_mail(&self) {
        let mut next = self.remote.inbox.take();
        let mut fresh = false;
        while let Some(job) = NonNull::new(next) {
            // SAFETY: mail is alive and ours. Relaxed: the chain is ours alone.
            let this = unsafe { job.as_ref() };
            next = this.link.load(Ordering::Relaxed);
            if this.fiber().is_null() && !this.traits.local {
                self.remote.fresh.push(job);
                fresh = true;
            } else {
                self.queue_woken(job);
            }
        }
        if fresh && !self.shared.idle.is_watched() {
            self.shared.wake_one();
        }
    }

    /// What is done every so often: timers, the injector, and whether work waits that another could take.
    #[cold]
    pub(super) fn look_around(&self) {
        let now_ns = timer::now_ns();
        // 1. The next look, so that they are about LOOK_NS apart.
        let every = u64::from(self.look_every.get());
        let took_ns = now_ns.saturating_sub(self.looked_ns.replace(now_ns)).max(1);
        let ideal = (every * LOOK_NS / took_ns).clamp(every / 2, every * 2).clamp(1, u64::from(LOOK_TURNS));
        self.look_every.set(ideal as u32);
        self.look_in.set(ideal as u32);
        // Relaxed: a sign of life for whoever watches.
        self.remote.turns.store(self.remote.turns.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        // 2. Who has waited long enough.
        self.fire_timers(now_ns);
        // 3. What came from outside.
        self.take_injected();
        // 4. The oldest stealable job was there the last time, too: others may as well help.
        let oldest = self.remote.ready.oldest().or_else(|| self.remote.fresh.oldest());
        if oldest.is_some() && self.waiting.replace(oldest) == oldest {
            self.shared.wake_one();
        }
        // 5. The end.
        if self.shared.is_closing() {
            self.cancel_all();
        }
        let looks = self.looks.get().wrapping_add(1);
        self.looks.set(looks);
        if looks.is_multiple_of(TRIM_EVERY) {
            self.pool.borrow_mut().trim();
        }
    }

    /// Wakes those whose deadline has passed.
    pub(super) fn fire_timers(&self, now_ns: u64) {
        if self.next_timer_ns().is_some_and(|due_ns| due_ns <= now_ns) {
            self.fire_due_timers(now_ns);
        }
    }

    #[cold]
    #[inline(never)]
    fn fire_due_timers(&self, now_ns: u64) {
        /// Wake-ups handed out under one hold of the lock.
        const BATCH: usize = 64;
        let mut wakes: [Option<Wake>; BATCH] = [const { None }; BATCH];
        loop {
            let mut count = 0;
            {
                let mut wheel = self.remote.wheel.lock();
                let Some(wheel) = wheel.as_mut() else { return };
                if wheel.is_empty() {
                    return;
                }
                while count < BATCH {
                    let Some(entry) = wheel.pop_expired(now_ns) else { break };
                    // SAFETY: the entry and its party live until the sleeper takes the wheel's lock, after its wait.
                    let party = unsafe { super::party_of(entry) };
                    // SAFETY: as above.
                    if unsafe { party.as_ref() }.claim_timeout() {
                        // SAFETY: claimed just now.
                        wakes[count] = Some(unsafe { Wake::owed(party) });
                        count += 1;
                    }
                }
            }
            self.bulk.set(true);
            wakes[..count].iter_mut().for_each(|wake| drop(wake.take()));
            self.bulk.set(false);
            if count < BATCH {
                return;
            }
        }
    }

    /// When the next timer is due.
    pub(super) fn next_timer_ns(&self) -> Option<u64> {
        self.remote.wheel.lock().as_ref()?.next_deadline_ns()
    }

    /// Takes a fair share of what came from outside.
    pub(super) fn take_injected(&self) -> bool {
        let waiting = self.shared.injector.len();
        if waiting == 0 {
            return false;
        }
        let share = waiting.div_ceil(self.shared.remotes.len());
        let mut any = false;
        self.shared.injector.take_oldest(share, |job| {
            self.remote.fresh.push(job);
            any = true;
        });
        any
    }

    /// In a shutdown: asks all that is parked here to unwind. Once; what parks later is asked in `enlist`.
    pub(super) fn cancel_all(&self) {
        if self.cancelled_all.replace(true) {
            return;
        }
        self.bulk.set(true);
        for job in self.remote.listed() {
            // SAFETY: we hold a reference.
            unsafe { super::cancel(job.pointer()) };
        }
        self.bulk.set(false);
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
