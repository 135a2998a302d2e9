//! The behaviour of a worker that has nothing to run: it searches, steals, keeps watch, and sleeps.

use core::cell::Cell;
use std::time::{Duration, Instant};

use crate::primitives::{Ordering, now};
use crate::scheduler::remote::Remote;
use crate::scheduler::run_queue::SharedQueue;
use crate::scheduler::turn::GATHER_NS;
use crate::scheduler::worker::Worker;
use crate::timer;

/// The longest search before a sleep: as long as a sleep and a wake-up cost together. So the wrong choice costs at
/// most twice the cost of the right one (Karlin and others, *Competitive randomized algorithms for nonuniform
/// problems*, 1990).
const SEARCH_NS: u64 = 50_000;
/// The longest search while searches have not found work lately.
const SEARCH_LEAST_NS: u64 = 5_000;
/// How long the oldest task of another worker must have waited before it is stolen. Its worker usually starts it
/// sooner, beside its parent.
const AGE_NS: u64 = 15_000;
/// The same if the worker's parked tasks communicate: the task is probably going to communicate with them.
const TALKING_AGE_NS: u64 = 100_000;
/// The same if tasks have been handed over to the worker: it may have to wake up first, and meanwhile the worker that
/// has handed them over must not take them back.
const HANDED_OVER_AGE_NS: u64 = 500_000;
/// The same for a migratory task that has run before.
const READY_AGE_NS: u64 = 3_000;
/// The same if the worker has been in one turn all the time: it computes, and the tasks that wait there wait for that.
/// A turn of a task that only passes messages on is mostly shorter.
const TURN_NS: u64 = 1000;
/// Pauses between two rounds of the search.
const PAUSES: u32 = 20;
/// How long the watching worker sleeps between two looks at the busy workers: the first nap, and the longest.
const WATCH_FIRST: Duration = Duration::from_micros(50);
const WATCH_LONGEST: Duration = Duration::from_millis(1);
/// How long a worker that was picked keeps watch in its sleeps. Afterwards it dozes, unless work waits at a busy
/// worker. So a worker that goes on pushing work which it starts itself wakes a sleeper at most once in this time.
const CALM_NS: u64 = 50_000_000;
/// The longest sleep of the worker that dozes. A push to a queue wakes it; this limits the wait of what is not announced: a task
/// that moves from the injector to a busy worker's queue between the looks at the two.
const DOZE: Duration = Duration::from_millis(100);
/// The same in a runtime that has homes that travel, or migratory tasks. What its worker runs next is not announced, and has to
/// wait if the worker goes on with a long turn. As long as the longest nap of Go's monitor, which retakes the queue of a
/// processor that computes.
const SHORT_DOZE: Duration = Duration::from_millis(10);

/// The place at a victim where a thief finds a task.
#[derive(Clone, Copy)]
enum Place {
    Ready,
    Stackless,
    Next,
}

/// The first task that a thief would take from a worker, and how long it must have waited.
struct Waiting {
    place: Place,
    /// Its address, to compare with later.
    task: usize,
    age_ns: u64,
    /// How long it must have waited if the worker is in one turn all the time.
    turn_ns: u64,
}

impl Waiting {
    fn at(remote: &Remote) -> Option<Waiting> {
        if let Some(task) = remote.ready.oldest() {
            return Some(Waiting { place: Place::Ready, task, age_ns: READY_AGE_NS, turn_ns: TURN_NS });
        }
        if let Some(task) = remote.stackless.oldest() {
            let age_ns = if remote.handed_over() > 0 {
                HANDED_OVER_AGE_NS
            } else if remote.is_communicating() {
                TALKING_AGE_NS
            } else {
                AGE_NS
            };
            // No limit for a long turn: it may be the turn that spawns these tasks.
            return Some(Waiting { place: Place::Stackless, task, age_ns, turn_ns: u64::MAX });
        }
        // A task that runs next is often put there again soon after, so its age shows nothing.
        let task = remote.next.seen()?;
        Some(Waiting { place: Place::Next, task, age_ns: u64::MAX, turn_ns: TURN_NS })
    }
}

/// A task that waits at a worker, as a thief saw it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sighting {
    victim: usize,
    task: usize,
}

/// The task that a thief has seen, since when, and since when its victim has been in one turn.
#[derive(Default)]
struct SearchLimit {
    seen: Option<(Sighting, u64)>,
    turn: u32,
    turn_ns: u64,
}

impl SearchLimit {
    /// Records a sighting. Returns whether the task has waited long enough.
    fn is_over(&mut self, sighting: Sighting, turn: u32, now_ns: u64, waiting: &Waiting) -> bool {
        let since_ns = match self.seen {
            Some((seen, since_ns)) if seen == sighting => since_ns,
            _ => {
                self.seen = Some((sighting, now_ns));
                self.turn = turn.wrapping_sub(1);
                now_ns
            }
        };
        if self.turn != turn {
            (self.turn, self.turn_ns) = (turn, now_ns);
        }
        now_ns.saturating_sub(since_ns) >= waiting.age_ns
            || now_ns.saturating_sub(self.turn_ns) >= waiting.turn_ns
    }
}

/// What a worker remembers from one search and sleep for the next.
pub(super) struct Idling {
    /// The longest search before a sleep, in nanoseconds, if that is more than `SEARCH_LEAST_NS`.
    search_ns: Cell<u64>,
    /// When this worker may doze instead of keeping watch.
    calm_from_ns: Cell<u64>,
    /// Set if others have relied on this worker to search, and it has run nothing since it woke.
    is_relied_on: Cell<bool>,
}

impl Idling {
    pub(super) const fn new() -> Idling {
        Idling { search_ns: Cell::new(0), calm_from_ns: Cell::new(0), is_relied_on: Cell::new(false) }
    }
}

impl Worker {
    /// Finds work elsewhere, or sleeps until there may be some. The caller then looks at its own queues again.
    #[cold]
    pub(super) fn search(&self) {
        let mut limit = SearchLimit::default();
        let idle_ns = timer::now_ns();
        // Nothing runs here until this function returns, so no further deadline is set.
        self.gather_deadlines(idle_ns);
        if self.shared.idle.start_search() {
            let found = self.search_for(&mut limit, idle_ns);
            let last = self.shared.idle.stop_search();
            if found {
                self.idling.search_ns.set(SEARCH_NS);
                if last {
                    self.pass_on(1);
                }
                return;
            }
        }
        self.sleep(&mut limit);
        let paid = timer::now_ns().saturating_sub(idle_ns) < 2 * SEARCH_NS;
        self.idling.search_ns.set(if paid { SEARCH_NS } else { self.idling.search_ns.get() / 2 });
    }

    /// Searches until there is something in this worker's own queues. Returns false if the search found nothing in its
    /// time.
    fn search_for(&self, limit: &mut SearchLimit, start_ns: u64) -> bool {
        loop {
            if self.remote.inbox.has_mail() {
                self.gather_mail();
                return true;
            }
            if self.has_work() {
                return true;
            }
            let now_ns = timer::now_ns();
            if self.next_timer_ns().is_some_and(|due_ns| due_ns <= now_ns) {
                self.fire_timers(now_ns);
                if self.has_work() {
                    return true;
                }
            }
            if self.take_injected() || self.steal(limit, now_ns) {
                return true;
            }
            if self.poll() && self.has_work() {
                return true;
            }
            if now_ns.saturating_sub(start_ns) > self.idling.search_ns.get().max(SEARCH_LEAST_NS)
                || self.shared.is_closing()
            {
                return false;
            }
            for _ in 0..PAUSES {
                core::hint::spin_loop();
                if self.remote.inbox.has_mail() {
                    break;
                }
            }
        }
    }

    /// Waits a little for more mail, as long as the sender of the last mail is still in the same turn. Called when
    /// there is nothing else to do.
    fn gather_mail(&self) {
        let until_ns = timer::now_ns() + GATHER_NS;
        while self.remote.sender.goes_on() && timer::now_ns() < until_ns {
            core::hint::spin_loop();
        }
    }

    pub(super) fn has_work(&self) -> bool {
        !self.local.is_empty()
            || self.remote.inbox.has_mail()
            || self.remote.stackless.len() != 0
            || self.remote.ready.len() != 0
    }

    /// Called by a worker that has taken a task of its own queues after a search or a sleep. The task may have come to
    /// the worker after it woke, by mail or by a look around, so that no search has been made. If others have relied
    /// on the worker to search, this wakes another one.
    pub(super) fn pass_on_if_relied_on(&self) {
        if self.idling.is_relied_on.replace(false) {
            self.pass_on(0);
        }
    }

    /// Called by a worker that is about to run something, and that others have relied on to notice work: it searched,
    /// kept watch, or was picked. From now on a push wakes a worker again. Work that was pushed while it did not is
    /// looked for here, and another worker is woken for it. `next` is the number of tasks in the worker's queues that it
    /// runs at once.
    fn pass_on(&self, next: usize) {
        let own = self.remote.stackless.len() + self.remote.ready.len();
        if own > next || self.work_elsewhere() != Elsewhere::Nothing {
            self.shared.wake_one();
        }
    }

    /// Takes the older half of the tasks that have waited too long at another worker.
    fn steal(&self, limit: &mut SearchLimit, now_ns: u64) -> bool {
        let remotes = &self.shared.remotes;
        let start = self.starts.random() as usize;
        for i in 0..remotes.len() {
            let victim = (start + i) % remotes.len();
            if victim == self.index {
                continue;
            }
            let remote = remotes[victim];
            let turn = remote.turn.count();
            let Some(waiting) = Waiting::at(remote) else { continue };
            let sighting = Sighting { victim, task: waiting.task };
            if limit.is_over(sighting, turn, now_ns, &waiting) && self.take(remote, &waiting) {
                return true;
            }
        }
        false
    }

    fn take(&self, victim: &Remote, waiting: &Waiting) -> bool {
        match waiting.place {
            Place::Ready => self.take_half(victim, &victim.ready) > 0,
            Place::Stackless => self.take_half(victim, &victim.stackless) > 0,
            Place::Next => match victim.next.steal(waiting.task) {
                Some(task) => {
                    self.remote.ready.push(task);
                    true
                }
                None => false,
            },
        }
    }

    fn take_half(&self, victim: &Remote, from: &SharedQueue) -> usize {
        let (mut taken, mut stackless) = (0, 0);
        from.take_oldest(from.len().div_ceil(2), |task| {
            if task.fiber().is_null() {
                if task.handed_over.replace(false) {
                    victim.start_handed_over();
                }
                self.remote.stackless.push(task);
                stackless += 1;
            } else {
                self.remote.ready.push(task);
            }
            taken += 1;
        });
        if stackless > 0 {
            self.starts.note_stolen(stackless);
        }
        taken
    }

    /// Sleeps until there may be something to do.
    fn sleep(&self, limit: &mut SearchLimit) {
        let idle = &self.shared.idle;
        self.stacks.trim();
        if self.shared.is_closing() {
            self.cancel_all();
        }
        self.remote.set_runs(core::ptr::null_mut());
        // 1. From here on other threads see this worker asleep. Relaxed: published by the announcement.
        let naps = &self.remote.naps;
        naps.store(naps.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        idle.announce(self.index);
        // 2. The last look. A thread that pushes after it sees the announcement (README), or the watching worker finds
        //    what was pushed.
        let mail = !self.remote.inbox.sleep();
        let elsewhere = self.work_elsewhere();
        let given = !self.remote.stackless.is_empty_for_sure();
        let stay =
            mail || given || self.has_work() || elsewhere == Elsewhere::ToTake || self.shared.is_terminated();
        let mut on_watch = false;
        if !stay {
            // 3. Sleep, until a deadline if there is one.
            let due = self.next_timer_ns().map(timer::to_instant);
            let all_asleep = idle.all_asleep();
            if all_asleep && self.shared.is_closing() {
                self.shared.report_progress(false);
            }
            if all_asleep
                && due.is_none()
                && !self.some_worker_wakes_by_itself()
                && self.shared.deadlock.is_on_guard(&self.shared)
            {
                crate::scheduler::deadlock::examine(&self.shared, self.remote, || self.has_work());
            } else if !all_asleep && !self.is_calm(elsewhere, timer::now_ns()) && idle.take_watch() {
                self.watch(limit, elsewhere == Elsewhere::Waiting);
                idle.leave_watch();
                on_watch = true;
            } else if !all_asleep && idle.take_doze() {
                let wake_at = now() + if self.shared.may_have_migratory() { SHORT_DOZE } else { DOZE };
                self.sleep_until(Some(due.flatten().map_or(wake_at, |due| due.min(wake_at))));
                idle.leave_doze();
            } else {
                self.sleep_until(due.flatten());
            }
        }
        // 4. Awake.
        self.maintenance.slept();
        let picked = idle.retract(self.index);
        self.remote.inbox.awake();
        let now_ns = timer::now_ns();
        if picked {
            self.idling.calm_from_ns.set(now_ns + CALM_NS);
        }
        self.fire_timers(now_ns);
        self.fire_timers_of_others(now_ns);
        self.dispatch();
        // A worker that stays has found in its last look what was pushed during its search.
        self.idling.is_relied_on.set(on_watch || picked || stay);
    }

    /// Sleeps until there may be something to do, or until the deadline.
    fn sleep_until(&self, deadline: Option<Instant>) {
        self.remote.reactor.sleep(deadline, &mut self.events.borrow_mut());
    }

    /// Returns whether some worker wakes by itself, by a timer or a descriptor. If all workers sleep, that worker decides
    /// anew when it goes to sleep.
    fn some_worker_wakes_by_itself(&self) -> bool {
        self.shared.remotes.iter().any(|remote| remote.wakes_by_itself())
    }

    /// Returns whether this worker may doze although others are awake. `elsewhere` is what it has seen there since it
    /// announced its sleep. A thread that pushes later wakes it, because there is no watch.
    fn is_calm(&self, elsewhere: Elsewhere, now_ns: u64) -> bool {
        elsewhere == Elsewhere::Nothing && now_ns >= self.idling.calm_from_ns.get()
    }

    /// Sleeps in naps until there is something to do, or until it may doze instead. Looks after each nap whether work
    /// waits too long at a busy worker.
    fn watch(&self, limit: &mut SearchLimit, waiting: bool) {
        let mut nap = if waiting { WATCH_FIRST } else { WATCH_FIRST * 2 };
        loop {
            let wake_at = now() + nap;
            // Read anew each time: another thread may set an earlier deadline here.
            let due = self.next_timer_ns().and_then(timer::to_instant);
            let until = due.map_or(wake_at, |due| due.min(wake_at));
            self.sleep_until(Some(until));
            let now = now();
            if self.has_work()
                || !self.events.borrow().is_empty()
                || self.shared.idle.is_picked(self.index)
                || self.shared.injector.len() != 0
                || due.is_some_and(|due| due <= now)
                || self.shared.is_closing()
                || self.shared.idle.all_asleep()
            {
                return;
            }
            let now_ns = timer::now_ns();
            if self.steal(limit, now_ns) || self.fire_timers_of_others(now_ns) {
                return;
            }
            if now_ns >= self.idling.calm_from_ns.get() && self.is_calm(self.work_elsewhere(), now_ns) {
                return;
            }
            nap = if limit.seen.is_some() && self.work_elsewhere() == Elsewhere::Waiting {
                WATCH_FIRST
            } else {
                (nap * 2).min(WATCH_LONGEST)
            };
        }
    }

    /// Returns whether others have work that could be taken. Takes the queues' locks, which order the result against
    /// pushes.
    fn work_elsewhere(&self) -> Elsewhere {
        if !self.shared.injector.is_empty_for_sure() {
            return Elsewhere::ToTake;
        }
        let waiting = self.shared.remotes.iter().enumerate().any(|(i, remote)| {
            i != self.index
                && (!remote.stackless.is_empty_for_sure()
                    || !remote.ready.is_empty_for_sure()
                    || remote.next.seen().is_some())
        });
        if waiting { Elsewhere::Waiting } else { Elsewhere::Nothing }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Elsewhere {
    /// There is work in the injector, which any worker may take.
    ToTake,
    /// There is work in the queue of another worker, which will run it soon unless it is stuck.
    Waiting,
    Nothing,
}
