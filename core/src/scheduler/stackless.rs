//! How tasks without a stack (stackless tasks) come to a worker, and which of them the worker starts itself.

use core::cell::Cell;

use crate::scheduler::placement;
use crate::scheduler::run_queue::End;
use crate::scheduler::worker::Worker;
use crate::task::Runnable;

/// Of the turns that take from the stack of new tasks, one in this many takes the oldest. All others take the newest.
/// Newest first is depth first, which keeps few tasks alive at once.
const OLDEST_EVERY: u32 = 32;
/// Each time the queue is longer by this many, the oldest tasks come twice as often. Otherwise a program that adds
/// tasks faster than it removes them, newest first, would delay the old ones for ever. A tree of a million green
/// threads must stay below this: the oldest task of a tree is the largest subtree, so starting it makes the queue
/// longer. With 1024 here such a tree was run breadth first, in four times the time and with twenty times the memory.
const CROWD: usize = 65_536;
/// While more new tasks wait than this, a spawner that has run before gives way to them.
const AHEAD: usize = 1024;
/// How many woken stackless tasks are passed over in the search for tasks to hand over.
const PASS_OVER: usize = 16;

/// What a worker remembers for the choice of the tasks that it starts itself.
pub(super) struct Starts {
    /// Turns that took from the queue of tasks without a stack.
    turns: Cell<u32>,
    /// How many of the next tasks without a stack were stolen, and are not to be handed over.
    stolen: Cell<usize>,
    /// The worker that a run of tasks is being handed over to.
    handoff_target: Cell<Option<usize>>,
    /// How many of the next tasks start in the home that the worker carries, whatever the policy says.
    run: Cell<usize>,
    /// Operations on channels and the like since the last look around, counted while tasks wait to be started.
    operations: Cell<u32>,
    /// The state of a random number generator.
    seed: Cell<u64>,
}

impl Starts {
    pub(super) const fn new(index: usize) -> Starts {
        Starts {
            turns: Cell::new(0),
            stolen: Cell::new(0),
            handoff_target: Cell::new(None),
            run: Cell::new(0),
            operations: Cell::new(0),
            seed: Cell::new((index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        }
    }

    /// Counts operations of the running task.
    #[inline]
    pub(super) fn count_operations(&self, count: u32) {
        self.operations.set(self.operations.get() + count);
    }

    /// Returns whether the parked tasks have communicated since the last look around.
    pub(super) fn is_communicating(&self) -> bool {
        self.operations.get() >= placement::TALK
    }

    /// Begins a new interval between two looks around. Returns whether the parked tasks communicated in the last one.
    pub(super) fn end_interval(&self) -> bool {
        let communicating = self.is_communicating();
        self.operations.set(0);
        communicating
    }

    /// Begins a run: the next `count` tasks start in the home that the worker carries, whatever the policy says.
    pub(super) fn begin_run(&self, count: usize) {
        self.run.set(count);
    }

    /// Counts a task of a run. Returns false if there is no run.
    fn continues_run(&self) -> bool {
        let left = self.run.get();
        self.run.set(left.saturating_sub(1));
        left > 0
    }

    /// Records that the next `count` tasks without a stack were stolen.
    pub(super) fn note_stolen(&self, count: usize) {
        self.stolen.set(count);
    }

    /// Returns a number of a xorshift generator, which suffices for choices that need no quality.
    pub(super) fn random(&self) -> u64 {
        let mut x = self.seed.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.seed.set(x);
        x
    }
}

impl Worker {
    /// Takes a task without a stack, to be started here. Returns `None` if there is none, or if all were handed over.
    pub(super) fn pop_stackless(&self) -> Option<Runnable> {
        if self.starts.stolen.get() > 0 {
            // These were stolen because their worker did not get to run them. They are not handed back.
            self.starts.stolen.set(self.starts.stolen.get() - 1);
        } else if self.carried.get().is_none()
            && self.remote.parked_count() > placement::SLACK
            && self.shared.remotes.len() > 1
            && !self.shared.migratory
        {
            self.hand_over();
        }
        let task = self.pop_in_turn()?;
        if let Some(home) = self.carried.get()
            && !self.starts.continues_run()
            && home.members() > placement::SLACK_OF_HOMES
            && self.shared.workers() > 1
        {
            self.consider_another_home(home);
        }
        Some(task)
    }

    /// Takes the task without a stack whose turn it is.
    #[inline]
    fn pop_in_turn(&self) -> Option<Runnable> {
        let turn = self.starts.turns.get().wrapping_add(1);
        self.starts.turns.set(turn);
        // Every second turn belongs to the woken tasks, which are first in, first out.
        if !turn.is_multiple_of(2) {
            return self.remote.stackless.pop(End::Behind);
        }
        let every = (OLDEST_EVERY >> (self.remote.stackless.len() / CROWD).min(31)).max(1);
        self.remote.stackless.pop(if (turn / 2).is_multiple_of(every) { End::Oldest } else { End::Newest })
    }

    /// Returns whether more new tasks may wait than a spawner may get ahead of.
    #[inline]
    pub(super) fn may_be_crowded(&self) -> bool {
        self.remote.stackless.len() > AHEAD
    }

    /// Returns whether more new tasks wait than a spawner may get ahead of.
    pub(super) fn is_crowded(&self) -> bool {
        self.remote.stackless.count_new() > AHEAD
    }

    /// Makes the oldest new task the next new task to start, unless thieves take it. Woken tasks keep every second
    /// turn.
    pub(super) fn prefer_oldest(&self) {
        // `turns` stays even or odd, and the next even number is a multiple of `2 * OLDEST_EVERY`.
        let turns = &self.starts.turns;
        turns.set(turns.get() % 2 + 2 * (OLDEST_EVERY - 1));
    }

    /// Hands waiting tasks over to a worker with fewer parked tasks, if the placement policy says so.
    fn hand_over(&self) {
        let waiting = self.remote.stackless.len();
        let mine = self.remote.parked_count();
        // The better of two others, chosen at random. Looking at all workers would cost more the more workers there
        // are.
        let other = |i: usize| {
            let workers = self.shared.remotes.len();
            (self.index + 1 + i % (workers - 1)) % workers
        };
        let random = self.starts.random() as usize;
        let (a, b) = (other(random), other(random >> 32));
        let load = |i: usize| self.shared.remotes[i].parked_count() + self.shared.remotes[i].handed_over();
        let handoff_target = self.starts.handoff_target.get();
        let to = handoff_target.unwrap_or(if load(a) <= load(b) { a } else { b });
        let talks = self.starts.is_communicating() || self.remote.is_communicating();
        let count =
            placement::hand_over(handoff_target.is_some(), mine, waiting, load(to), placement::slack(talks));
        self.starts.handoff_target.set((count > 0).then_some(to));
        // During a shutdown the other worker may have left its loop.
        if count == 0 || self.shared.is_closing() {
            return;
        }
        // A stackless task that was woken stays beside its waker. The placement policy applies only to tasks that have
        // not started.
        let is_new = |task: &Runnable| task.is_unplaced();
        let mut given = Vec::new();
        self.remote.stackless.take_oldest_that(count, PASS_OVER, is_new, |task| {
            if task.handed_over.replace(true) {
                // It had been handed over to this worker, which now passes it on.
                self.remote.start_handed_over();
            }
            given.push(task);
        });
        if given.is_empty() {
            self.starts.handoff_target.set(None);
            return;
        }
        let remote = self.shared.remotes[to];
        remote.add_handed_over(given.len());
        // Into the other worker's queue, not its inbox: if that worker is stuck in a task, thieves can take the tasks
        // from there.
        remote.stackless.push_all(given.into_iter());
        if self.shared.idle.pick_this(to) {
            remote.unpark();
        } else {
            self.call_for_help();
        }
    }

    /// Queues a new task without a stack. It is the next to start.
    #[inline]
    pub(super) fn push_unstarted(&self, task: Runnable) {
        if task.options.local {
            return self.push_local(task);
        }
        self.remote.stackless.push(task);
        self.call_for_help();
    }

    /// Queues a new local task, which stays in the home of the task that has spawned it, or on this worker's OS thread.
    fn push_local(&self, task: Runnable) {
        match self.carried.get() {
            Some(home) => {
                task.set_shared_home(home);
                home.tasks.push(task);
            }
            None => self.local.push(task),
        }
    }

    /// Queues a stackless task that was woken, or that has just had a turn. It goes behind the others. If it were the
    /// newest, tasks that are woken again and again would keep older ones waiting.
    #[inline(never)]
    pub(super) fn push_again(&self, task: Runnable) {
        self.remote.stackless.push_behind(task);
        self.call_for_help();
    }

    /// As [`push_again`](Self::push_again). A local task goes to the queue that no other worker takes from.
    pub(super) fn queue_idle(&self, task: Runnable) {
        if task.options.local {
            self.queue_woken(task);
        } else {
            self.push_again(task);
        }
    }

    /// Wakes an idle worker for a task that it may take, unless one is on watch, which finds the task by itself.
    #[inline]
    pub(super) fn call_for_help(&self) {
        if !self.shared.idle.is_watched() {
            self.shared.wake_one();
        }
    }
}
