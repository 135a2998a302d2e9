//! The state that the workers of one runtime share.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::blocking::Pool as BlockingPool;
use crate::exits::Exits;
use crate::fiber::stack::SizeClass;
use crate::primitives::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, now};
use crate::scheduler::deadlock::{OnDeadlock, Watch as DeadlockWatch};
use crate::scheduler::idle::Idle;
use crate::scheduler::remote::Remote;
use crate::scheduler::run_queue::SharedQueue;
use crate::scheduler::shared_home::HomeSet;
use crate::task::{Leftover, Runnable, SpawnOptions};
use crate::wait::run_catching;

/// The settings made by a runtime's builder.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) migratory: bool,
    /// The most homes that travel. Zero if the homes of the runtime are the OS threads of its workers.
    pub(crate) max_homes: usize,
    pub(crate) blocking_threads: usize,
    pub(crate) on_deadlock: Option<OnDeadlock>,
    /// The time in one task after which a worker counts as stuck, and a warning is given.
    #[cfg(feature = "tracing")]
    pub(crate) warn_after: Option<Duration>,
}

/// A runtime, as its workers and handles see it.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) class: SizeClass,
    pub(crate) migratory: bool,
    /// Set when a migratory green thread was spawned in a runtime that is not migratory.
    has_migratory: AtomicBool,
    pub(crate) remotes: Box<[&'static Remote]>,
    /// Tasks spawned from outside of the runtime.
    pub(crate) injector: SharedQueue,
    pub(crate) idle: Idle,
    pub(crate) homes: HomeSet,
    /// Counts how often a busy worker was asked to look at the injector.
    asked: AtomicUsize,
    /// Set when the runtime shuts down: tasks that park are cancelled, and tasks that have not started never will.
    closing: AtomicBool,
    /// Set when the workers have to leave their loops.
    terminated: AtomicBool,
    /// Set when the workers leave green threads behind.
    leaves_some: AtomicBool,
    /// Bit `n` is set when a stack of size class `n` could not be allocated, and none of that class has been allocated
    /// or freed since.
    short_of_memory: AtomicU32,
    /// The number of worker threads that have left their loops. `progress` notifies the threads that wait for it.
    ended: Mutex<usize>,
    progress: Condvar,
    /// Records which worker threads of the runtime have ended, with the destructors of their thread-locals.
    pub(crate) exits: Arc<Exits>,
    /// The number of calls of `run` that wait for their green thread.
    pub(crate) runs: AtomicUsize,
    pub(crate) blocking: Arc<BlockingPool>,
    pub(crate) deadlock: DeadlockWatch,
    /// The time in one task after which a worker counts as stuck, and a warning is given.
    #[cfg(feature = "tracing")]
    pub(crate) warn_after: Option<Duration>,
}

impl Shared {
    pub(crate) fn new(settings: &Settings, class: SizeClass, workers: usize) -> Shared {
        static STARTED: AtomicU64 = AtomicU64::new(0);
        // Relaxed: only a unique number is needed.
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        Shared {
            name: settings.name.clone(),
            class,
            migratory: settings.migratory,
            has_migratory: AtomicBool::new(false),
            remotes: (0..workers).map(|_| Remote::obtain(number)).collect(),
            injector: SharedQueue::new(),
            idle: Idle::new(workers),
            homes: HomeSet::new(settings.max_homes, &settings.name),
            asked: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            terminated: AtomicBool::new(false),
            leaves_some: AtomicBool::new(false),
            short_of_memory: AtomicU32::new(0),
            ended: Mutex::new(0),
            progress: Condvar::new(),
            exits: Arc::default(),
            runs: AtomicUsize::new(0),
            blocking: Arc::new(BlockingPool::new(settings.name.clone(), settings.blocking_threads)),
            deadlock: DeadlockWatch::new(settings.on_deadlock.clone()),
            #[cfg(feature = "tracing")]
            warn_after: settings.warn_after,
        }
    }

    /// Returns whether there may be migratory green threads. Idle workers then keep watch, since a wake-up of such a green
    /// thread does not call them.
    pub(crate) fn may_have_migratory(&self) -> bool {
        // Relaxed: a worker that reads this too early dozes for a bounded time.
        self.migratory || self.homes.travel() || self.has_migratory.load(Ordering::Relaxed)
    }

    /// Records that a migratory green thread is about to be spawned.
    pub(crate) fn note_migratory(&self) {
        self.has_migratory.store(true, Ordering::Relaxed);
    }

    /// Returns the record of some worker, each in turn.
    pub(crate) fn any_worker(&self) -> &'static Remote {
        // Relaxed: any number will do.
        self.remotes[self.asked.fetch_add(1, Ordering::Relaxed) % self.remotes.len()]
    }

    /// Returns how many workers there are.
    pub(crate) fn workers(&self) -> usize {
        self.remotes.len()
    }

    /// Queues a task that is spawned from outside. Returns the task if the runtime is closing.
    pub(crate) fn inject(&self, task: Runnable) -> Result<(), Runnable> {
        if self.is_closing() {
            return Err(task);
        }
        self.injector.push(task);
        if self.idle.any_asleep() {
            self.wake_one();
        } else {
            // All workers are awake, and find the task at their next look around. The worker asked here looks at its
            // next turn. The workers are asked in rotation, because one may be stuck.
            self.any_worker().ask_to_look();
        }
        Ok(())
    }

    /// Wakes a sleeping worker, if no other is searching.
    #[inline]
    pub(crate) fn wake_one(&self) {
        if self.idle.wants_waking() {
            self.wake_one_now();
        }
    }

    #[cold]
    pub(crate) fn wake_one_now(&self) {
        if let Some(i) = self.idle.pick() {
            self.remotes[i].unpark();
        }
    }

    pub(crate) fn wake_all(&self) {
        self.remotes.iter().for_each(|remote| remote.unpark());
    }

    #[inline]
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Begins the shutdown.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.remotes.iter().for_each(|remote| remote.ask_to_look());
        self.wake_all();
    }

    #[inline]
    pub(crate) fn is_terminated(&self) -> bool {
        self.terminated.load(Ordering::Acquire)
    }

    /// Makes the workers leave their loops. `drained` is set if no task is left.
    pub(crate) fn terminate(&self, drained: bool) {
        // Relaxed: published by the store to `terminated`.
        self.leaves_some.store(!drained, Ordering::Relaxed);
        self.terminated.store(true, Ordering::Release);
        self.wake_all();
    }

    /// If the workers leave green threads behind, ends the waits of others for the parked ones. Called by the thread
    /// that has found this out, and by each worker that has `left` its loop, for the tasks that have parked since.
    pub(crate) fn abandon_parked(&self, left: Option<&Remote>) {
        // Relaxed: a worker has seen `terminated`, which publishes the flag. The thread that found it out has written
        // the flag itself.
        if self.leaves_some.load(Ordering::Relaxed) {
            self.finish_elsewhere(
                self.remotes.iter().flat_map(|remote| remote.abandon_parked(left)).collect(),
            );
        }
    }

    /// Runs the remaining work of tasks that were given up on, on an OS thread of its own. This is user code, which
    /// may park for good. If no thread can be started, the work is leaked, as are the stacks.
    pub(crate) fn finish_elsewhere(&self, leftovers: Vec<Leftover>) {
        if leftovers.is_empty() {
            return;
        }
        let finish = || leftovers.into_iter().for_each(|leftover| _ = run_catching(leftover));
        let _ = std::thread::Builder::new().name(format!("{}-leftovers", self.name)).spawn(finish);
    }

    /// Returns the size class of the stack of a task with these options.
    #[inline]
    pub(crate) fn class_of(&self, options: SpawnOptions) -> SizeClass {
        options.class.map_or(self.class, |class| SizeClass::from_index(usize::from(class.get()) - 1))
    }

    /// Returns whether there is a size class of which no stack can be allocated.
    #[inline]
    pub(crate) fn is_short_of_memory(&self) -> bool {
        // Relaxed (here, and in the next two functions): a hint for `Builder::spawn`.
        self.short_of_memory.load(Ordering::Relaxed) != 0
    }

    /// Returns whether no stack of this class can be allocated.
    pub(crate) fn is_short_of(&self, class: SizeClass) -> bool {
        self.short_of_memory.load(Ordering::Relaxed) & (1 << class.index()) != 0
    }

    #[cold]
    pub(crate) fn set_short_of(&self, class: SizeClass, short: bool) {
        let bit = 1 << class.index();
        if short {
            self.short_of_memory.fetch_or(bit, Ordering::Relaxed);
        } else {
            self.short_of_memory.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    /// Returns whether no task is left: all workers sleep, and nothing is queued or parked. While the runtime is
    /// closing, a true result is final, because then only tasks make tasks.
    ///
    /// The looks at the queues take place one after the other. They show one moment if all workers were asleep before
    /// and after them, and none woke in between.
    pub(crate) fn is_drained(&self) -> bool {
        // Acquire (both sums): the looks between the sums cannot move before the first. A worker whose bit is seen has
        // counted its nap before.
        let naps = || self.remotes.iter().map(|remote| remote.naps.load(Ordering::Acquire)).sum::<u64>();
        let before = naps();
        self.idle.all_asleep()
            && self.injector.is_empty_for_sure()
            && self.remotes.iter().all(|remote| {
                remote.owned.lock().len() == 0
                    && remote.stackless.is_empty_for_sure()
                    && remote.ready.is_empty_for_sure()
                    && !remote.inbox.has_mail()
            })
            && self.idle.all_asleep()
            && naps() == before
    }

    fn ended(&self) -> MutexGuard<'_, usize> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports the progress of a worker in a shutdown, and whether it has left its loop.
    pub(crate) fn report_progress(&self, left_loop: bool) {
        *self.ended() += usize::from(left_loop);
        self.progress.notify_all();
    }

    /// Waits until `done` returns true for the number of workers that have left, or until the deadline. Returns
    /// whether `done` did.
    pub(crate) fn wait_for(
        &self,
        deadline: Option<std::time::Instant>,
        mut done: impl FnMut(usize) -> bool,
    ) -> bool {
        /// A worker reports before it sleeps. The check whether all sleep is repeated at this interval, in case it
        /// came too early.
        const LOOK_AGAIN: Duration = Duration::from_millis(1);
        let mut ended = self.ended();
        loop {
            if done(*ended) {
                return true;
            }
            let left = deadline.map_or(LOOK_AGAIN, |d| d.saturating_duration_since(now()));
            if left.is_zero() {
                return false;
            }
            ended = self
                .progress
                .wait_timeout(ended, left.min(LOOK_AGAIN))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}
