//! A busy worker's periodic look around: timers, work from outside, whether other workers should help, and the
//! shutdown.

use core::cell::Cell;

use crate::primitives::ticks;
use crate::scheduler::remote::Remote;
use crate::scheduler::worker::Worker;
use crate::timer;
use crate::timer::wheel::Wheel;
use crate::wait::{EndedWake, Waiter};

/// Nanoseconds between two looks around.
const LOOK_NS: u64 = 20_000;
/// The most turns between two checks whether a look is due.
const CHECK_TURNS: u32 = 16;
/// The most checks between two looks, in case the counter of ticks is wrong.
const CHECKS: u32 = 64;
/// How long a deadline must have passed for another worker to end the wait.
const STUCK_NS: u64 = 1_000_000;
/// Looks around between two looks at the timers of another worker.
const OTHERS_EVERY: u32 = 16;
/// Looks around between two trims of the stack pool.
const TRIM_EVERY: u32 = 512;

/// Decides when a worker looks around. Reading the clock at each turn is too expensive. So some turns compare a
/// counter of ticks, whose rate is measured from look to look.
///
/// There are at most [`CHECK_TURNS`] turns between two checks. If these took longer than [`LOOK_NS`], there is a check
/// before each turn, until turns are short again.
#[derive(Debug)]
struct MaintenanceTicks {
    /// Turns until the next check.
    check_in: Cell<u32>,
    /// Turns between two checks.
    check_every: Cell<u32>,
    /// The ticks at the last check, and at the last look.
    checked: Cell<u64>,
    looked: Cell<u64>,
    /// Checks since the last look.
    checks: Cell<u32>,
    /// The number of ticks in `LOOK_NS`. Zero while that is unknown; then a look is due at each check.
    look_ticks: Cell<u64>,
}

impl MaintenanceTicks {
    const fn new() -> MaintenanceTicks {
        MaintenanceTicks {
            check_in: Cell::new(1),
            check_every: Cell::new(1),
            checked: Cell::new(0),
            looked: Cell::new(0),
            checks: Cell::new(0),
            look_ticks: Cell::new(0),
        }
    }

    /// Counts a turn. Returns whether a check is due.
    #[inline]
    fn count_turn(&self) -> bool {
        let check_in = self.check_in.get() - 1;
        self.check_in.set(check_in);
        check_in == 0
    }

    /// Records a check at `ticks`. Returns whether a look is due.
    fn check(&self, ticks: u64) -> bool {
        let look_ticks = self.look_ticks.get();
        // If the counter jumps back, these differences wrap to very large numbers, and the look comes early.
        let took = ticks.wrapping_sub(self.checked.replace(ticks));
        let since_look = ticks.wrapping_sub(self.looked.get());
        let every = self.check_every.get();
        let every = if took > look_ticks {
            1
        } else if took > look_ticks / 2 {
            (every / 2).max(1)
        } else if took <= look_ticks / 4 {
            (every * 2).min(CHECK_TURNS)
        } else {
            every
        };
        self.check_every.set(every);
        self.check_in.set(every);
        let checks = self.checks.get() + 1;
        let is_time = since_look >= look_ticks || checks >= CHECKS;
        self.checks.set(if is_time { 0 } else { checks });
        is_time
    }

    /// Records a look at `ticks`, `took_ns` nanoseconds after the previous one.
    fn looked(&self, ticks: u64, took_ns: u64) {
        let took = ticks.wrapping_sub(self.looked.replace(ticks));
        // The interval must not be too short for the resolution of the clocks. The ticks must not overflow the
        // product.
        if took_ns >= 1000 && took < 1 << 40 {
            self.look_ticks.set(took * LOOK_NS / took_ns);
        }
    }

    /// Makes the next turn begin with a look.
    fn at_once(&self) {
        self.check_in.set(1);
        self.checks.set(CHECKS);
    }

    /// Records that the worker has slept, so that the sleep does not count as a long turn.
    fn slept(&self) {
        self.checked.set(ticks());
    }
}

/// What a worker remembers from one look around for the next.
pub(super) struct Maintenance {
    ticks: MaintenanceTicks,
    /// When the worker looked around last.
    looked_ns: Cell<u64>,
    looks: Cell<u32>,
    /// The oldest stealable task at the last look.
    waiting: Cell<Option<usize>>,
    /// Set when the parked tasks were cancelled for a shutdown.
    cancelled_all: Cell<bool>,
}

impl Maintenance {
    pub(super) const fn new() -> Maintenance {
        Maintenance {
            ticks: MaintenanceTicks::new(),
            looked_ns: Cell::new(0),
            looks: Cell::new(0),
            waiting: Cell::new(None),
            cancelled_all: Cell::new(false),
        }
    }

    /// Counts a turn. Returns whether to check the time.
    #[inline]
    pub(super) fn count_turn(&self) -> bool {
        self.ticks.count_turn()
    }

    /// Makes the next turn begin with a look.
    pub(super) fn at_once(&self) {
        self.ticks.at_once();
    }

    /// Records that the worker has slept.
    pub(super) fn slept(&self) {
        self.ticks.slept();
    }

    /// Returns when the worker looked around last.
    #[inline]
    pub(super) fn looked_ns(&self) -> u64 {
        self.looked_ns.get()
    }
}

impl Worker {
    /// Looks around if a look is due.
    #[cold]
    #[inline(never)]
    pub(super) fn check_time(&self) {
        let ticks = ticks();
        if self.maintenance.ticks.check(ticks) {
            self.maintain(ticks);
        }
    }

    /// Performs the periodic work: timers, the injector, the request for help, and the shutdown.
    fn maintain(&self, ticks: u64) {
        let now_ns = timer::now_ns();
        // 1. Measure the interval since the last look.
        self.maintenance
            .ticks
            .looked(ticks, now_ns.saturating_sub(self.maintenance.looked_ns.replace(now_ns)));
        self.remote.set_communicating(self.starts.end_interval());
        // 2. Wake the tasks whose deadline has passed, or whose descriptor has changed.
        self.fire_timers(now_ns);
        self.poll();
        // 3. Take tasks from the injector.
        if self.take_injected() && !self.shared.idle.is_watched() {
            // The tasks are in this worker's own queue now, behind others whose turns may not end. So a sleeper is told,
            // as for tasks that are pushed there.
            self.shared.wake_one();
        }
        // 4. Ask for help if the oldest stealable task was also the oldest at the last look.
        let oldest = self.remote.ready.oldest().or_else(|| self.remote.stackless.oldest());
        if oldest.is_some() && self.maintenance.waiting.replace(oldest) == oldest {
            self.shared.wake_one();
        }
        // 5. Take part in a shutdown.
        if self.shared.is_closing() {
            self.cancel_all();
        }
        let looks = self.maintenance.looks.get().wrapping_add(1);
        self.maintenance.looks.set(looks);
        if looks.is_multiple_of(TRIM_EVERY) {
            self.stacks.trim();
        }
        if looks.is_multiple_of(OTHERS_EVERY) && self.shared.homes.travel() {
            let other = self.starts.random() as usize % self.shared.remotes.len();
            self.fire_timers_of(other, now_ns);
        }
    }

    /// Moves the deadlines that were set since the last call into the wheel.
    pub(super) fn gather_deadlines(&self, now_ns: u64) {
        if !self.pending_timers.is_empty()
            && let Some(wheel) = self.remote.wheel.lock().as_mut()
        {
            // SAFETY: the list is this worker's, and `wheel` is this worker's wheel, locked.
            unsafe { self.pending_timers.gather(wheel, now_ns) };
        }
    }

    /// Wakes the tasks whose deadline has passed.
    pub(super) fn fire_timers(&self, now_ns: u64) {
        self.gather_deadlines(now_ns);
        if self.next_timer_ns().is_some_and(|due_ns| due_ns <= now_ns) {
            self.fire_due_timers(self.remote, now_ns);
        }
    }

    /// Wakes the tasks whose deadline has passed for long at another worker, which is stuck in a turn. Returns whether there were any.
    /// Only where homes travel: there these tasks can run elsewhere, and every sleeper takes the lock of the wheel before it goes on.
    pub(super) fn fire_timers_of(&self, other: usize, now_ns: u64) -> bool {
        let remote = self.shared.remotes[other];
        let due_ns = remote.wheel.lock().as_ref().and_then(Wheel::next_deadline_ns);
        let overdue = self.shared.homes.travel()
            && other != self.index
            && due_ns.is_some_and(|due_ns| due_ns.saturating_add(STUCK_NS) <= now_ns);
        if overdue {
            self.fire_due_timers(remote, now_ns);
        }
        overdue
    }

    /// As `fire_timers_of`, for all other workers. Called by a worker that has nothing to run.
    pub(super) fn fire_timers_of_others(&self, now_ns: u64) -> bool {
        if !self.shared.homes.travel() {
            return false;
        }
        let workers = 0..self.shared.remotes.len();
        workers.filter(|&other| self.fire_timers_of(other, now_ns)).count() > 0
    }

    #[cold]
    #[inline(never)]
    fn fire_due_timers(&self, of: &Remote, now_ns: u64) {
        /// The number of wake-ups that are collected in one critical section.
        const BATCH: usize = 64;
        let mut wakes: [Option<EndedWake>; BATCH] = [const { None }; BATCH];
        loop {
            let mut count = 0;
            {
                let mut wheel = of.wheel.lock();
                let Some(wheel) = wheel.as_mut() else { return };
                if wheel.is_empty() {
                    return;
                }
                while count < BATCH {
                    let Some(entry) = wheel.pop_expired(now_ns) else { break };
                    // SAFETY: the entry was made by `suspend_until`, a `ProcessTimer` or a `SleepFuture`, and its wheel
                    // is locked. A sleeper leaves, with its entry and waiter, only after it resumes: on this worker,
                    // after this function, or elsewhere, after it has taken the wheel's lock. The other two are not
                    // dropped before they have taken the wheel's lock.
                    let waiter = unsafe { super::suspend::waiter_of(entry) };
                    // SAFETY: the waiter lives as long as the entry, by the same argument.
                    if let Some(wake) = unsafe { Waiter::time_out(waiter) } {
                        wakes[count] = Some(wake);
                        count += 1;
                    }
                }
            }
            self.local.in_bulk(|| wakes[..count].iter_mut().for_each(|wake| drop(wake.take())));
            if count < BATCH {
                return;
            }
        }
    }

    /// Wakes the tasks that wait for a descriptor that has changed. Returns whether any task waits for a descriptor.
    #[inline]
    pub(super) fn poll(&self) -> bool {
        let waiting = self.remote.reactor.has_waiting();
        if waiting {
            self.remote.reactor.poll(&mut self.events.borrow_mut());
            self.dispatch();
        }
        waiting
    }

    /// Wakes the tasks that wait for the events that the last poll has found.
    pub(super) fn dispatch(&self) {
        let mut events = self.events.borrow_mut();
        if events.is_empty() {
            return;
        }
        let more = self.local.in_bulk(|| self.remote.reactor.dispatch(&mut events));
        if more {
            self.maintenance.ticks.at_once();
        }
    }

    /// Returns when the next timer in the wheel is due. Deadlines that have not been gathered do not count.
    pub(super) fn next_timer_ns(&self) -> Option<u64> {
        self.remote.wheel.lock().as_ref()?.next_deadline_ns()
    }

    /// Takes a fair share of the tasks in the injector. Returns whether there was one.
    pub(super) fn take_injected(&self) -> bool {
        let waiting = self.shared.injector.len();
        if waiting == 0 {
            return false;
        }
        let share = waiting.div_ceil(self.shared.remotes.len());
        let mut any = false;
        self.shared.injector.take_oldest(share, |task| {
            // Not on the stack of new tasks, where a loop that spawns would keep them from starting.
            self.remote.stackless.push_behind(task);
            any = true;
        });
        any
    }

    /// In a shutdown, cancels everything that is parked here, once. `enlist` cancels what parks later.
    pub(super) fn cancel_all(&self) {
        if self.maintenance.cancelled_all.replace(true) {
            return;
        }
        self.local.in_bulk(|| {
            for task in self.remote.listed() {
                // SAFETY: `listed` holds a reference to the task.
                unsafe { super::cancel(task.pointer()) };
            }
        });
    }
}
