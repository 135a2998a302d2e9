//! How a worker runs the green threads of homes that travel.
//!
//! A worker *stays* in a home as long as what it runs belongs to that home, or to none: new tasks, which become the
//! home's when they park, and turns of stackless tasks. It leaves the home when it has taken something from a queue that has to run
//! elsewhere: the unit of another home, or a task that belongs to the worker's OS thread. It also leaves when it has nothing to
//! run. A home that the worker leaves while its tasks can run goes to the end of a queue, where other workers find it.

use core::ptr;

use crate::home::Carrying;
use crate::scheduler::placement;
use crate::scheduler::shared_home::SharedHome;
use crate::scheduler::worker::{Worker, introduce};
use crate::task::{Runnable, Task};
use crate::wait::BUDGET;

/// Why a worker has left a home.
enum Left {
    /// It has nothing to run.
    ForNothing,
    /// This task has to run elsewhere.
    For(Runnable),
    /// This new task is to start in another home, which the worker has the right to carry.
    ToStart(Runnable, &'static SharedHome),
}

impl Worker {
    /// Runs tasks until the runtime ends.
    pub(super) fn run_until_end(&self) {
        let travel = self.shared.homes.travel();
        loop {
            let task = match self.pick(None) {
                Some(task) => task,
                None => match self.search_and_pick() {
                    Some(task) => task,
                    None if self.shared.is_terminated() && !self.has_work() => break,
                    None => continue,
                },
            };
            if task.options.is_unit() || (travel && needs_home(&task)) {
                self.run_in_homes(task);
            } else {
                self.run_task(task);
            }
        }
    }

    /// Runs a task that needs a home, or carries the home that it stands for. Goes on with the tasks for which homes are left.
    #[inline(never)]
    fn run_in_homes(&self, task: Runnable) {
        let mut next = Some(task);
        while let Some(task) = next {
            next = if let Some(home) = task.as_home() {
                // The right to carry the home goes on.
                let _ = task.into_pointer();
                self.carry(home, None)
            } else if self.shared.homes.travel()
                && needs_home(&task)
                && let Some(home) = self.take_home()
            {
                self.carry(home, Some(task))
            } else {
                self.run_task(task);
                None
            };
        }
    }

    /// Stays in a home, and in others after it, as long as there is a home to change to. Runs `first` in the first one, if that is
    /// some. Returns the task for which the worker has left the last home, if it is that.
    ///
    /// The caller has the right to carry the home.
    fn carry(&self, home: &'static SharedHome, first: Option<Runnable>) -> Option<Runnable> {
        let own = self.running.current.get();
        let (last, left) = self.stay_in_turn(home, first);
        self.carried.set(None);
        self.running.current.set(own);
        own.set_budget(last.identity().current().budget());
        self.release(last);
        left
    }

    /// Stays in one home after the other. Returns the last one, which the worker does not carry any more but has the right to, and the
    /// task for which it was left.
    ///
    /// Never inlined, and without an access of a thread-local: see [`Home::carry`](crate::home::Home::carry).
    #[inline(never)]
    fn stay_in_turn(
        &self,
        home: &'static SharedHome,
        first: Option<Runnable>,
    ) -> (&'static SharedHome, Option<Runnable>) {
        let (mut home, mut first, mut before) = (home, first, None);
        home.wait_until_lent();
        // SAFETY: the home is lent. This worker alone carries it, because it has the right to (`shared_home`). This function calls
        // others that are never inlined.
        let mut carrying = unsafe { Carrying::begin(home.identity()) };
        loop {
            let next = match self.turns_in(home, before.take(), first.take()) {
                Left::ForNothing => return (home, None),
                Left::For(task) => match task.as_home() {
                    // The right to carry it goes on.
                    Some(next) => next,
                    None => return (home, Some(task)),
                },
                Left::ToStart(task, next) => {
                    first = Some(task);
                    next
                }
            };
            next.wait_until_lent();
            // SAFETY: as for the first home: the right came with the unit, out of a queue, or the home was at rest. The home before
            // is released under the identity of the new one.
            unsafe { carrying.change(next.identity()) };
            before = Some(home);
            home = next;
        }
    }

    /// Gives up the right to carry a home under whose identity this worker does not run any more.
    fn release(&self, home: &'static SharedHome) {
        if home.tasks.is_empty_at_all() {
            if home.is_exclusive() && home.members() == 0 && !home.mail.has_mail() {
                // SAFETY: this worker has the right to carry the home. Its only task has ended: it is not new, parked or woken.
                return unsafe { home.end_exclusive() };
            }
            if home.mail.sleep() {
                return;
            }
        }
        // SAFETY: this worker has the right to carry the home, and gives it to the queue.
        self.push_ready(unsafe { home.unit() });
    }

    /// Runs tasks under the identity of `home`, after releasing the home `before`. Never inlined: see
    /// [`Home::carry`](crate::home::Home::carry).
    #[inline(never)]
    fn turns_in(
        &self,
        home: &'static SharedHome,
        before: Option<&'static SharedHome>,
        first: Option<Runnable>,
    ) -> Left {
        home.set_last(self.remote);
        let record = home.identity().current();
        record.set_worker(ptr::from_ref(self).cast());
        record.set_exclusive(home.is_exclusive());
        introduce(record);
        self.running.current.set(record);
        self.carried.set(Some(home));
        self.fairness.begin_stay();
        if let Some(before) = before {
            self.release(before);
        }
        if let Some(task) = first {
            self.run_task(task);
        } else {
            self.starts.begin_run(0);
        }
        loop {
            let Some(task) = self.pick(Some(home)) else { return Left::ForNothing };
            if let Some(target) = self.starts_in.take() {
                return Left::ToStart(task, target);
            }
            if runs_elsewhere(&task, home) {
                return Left::For(task);
            }
            self.run_task(task);
            self.fairness.charge_stay(1 + (BUDGET - record.budget()));
        }
    }

    /// Takes a home that is at rest, for a task that has none: the one that this worker took last, if possible. Returns `None` if
    /// there is none. Then the task belongs to this worker's OS thread.
    fn take_home(&self) -> Option<&'static SharedHome> {
        let homes = &self.shared.homes;
        homes.admit();
        let count = homes.count();
        if count == 0 {
            return None;
        }
        let last = self.last_home.get();
        let start = self.starts.random() as usize;
        let others = (0..count).map(|i| homes.get((start + i) % count));
        let taken = last.into_iter().chain(others).find(|home| home.mail.wake_up());
        match taken {
            Some(home) => self.last_home.set(Some(home)),
            None if homes.may_grow() => homes.start_another(&self.shared.exits, self.remote),
            None => {}
        }
        taken
    }

    /// Queues a task of a home: one that has parked there, or a local one.
    #[inline]
    pub(super) fn queue_in_home(&self, home: &'static SharedHome, task: Runnable) {
        if self.carries(home) {
            home.tasks.push(task);
        } else {
            self.send_home(home, task, true);
        }
    }

    /// Sends a task to a home that this worker does not carry. If the home was at rest, this worker carries it next, or later.
    #[inline(never)]
    pub(super) fn send_home(&self, home: &'static SharedHome, task: Runnable, later: bool) {
        if home.mail.push(task) {
            // SAFETY: the home was at rest, and the push has changed that.
            let unit = unsafe { home.unit() };
            if later { self.push_ready(unit) } else { self.wake_here(unit) }
        }
    }

    /// Returns whether this worker carries the home.
    #[inline]
    pub(super) fn carries(&self, home: &SharedHome) -> bool {
        self.carried.get().is_some_and(|carried| ptr::eq(carried, home))
    }

    /// Takes the mail of the home that this worker carries.
    #[cold]
    pub(super) fn take_mail_of(&self, home: &'static SharedHome) {
        home.mail.take().for_each(|task| home.tasks.push(task));
    }

    /// Takes the oldest task of the stacked class, while the worker stays in `home`. If others wait, too, the worker leaves the home
    /// after a bounded number of turns.
    pub(super) fn pop_stacked_in(&self, home: &'static SharedHome) -> Option<Runnable> {
        let others_wait = self.remote.ready.len() != 0 || !self.local.is_empty();
        if !(others_wait && self.fairness.is_stay_over())
            && let Some(task) = home.tasks.pop()
        {
            return Some(task);
        }
        self.fairness.begin_stay();
        self.pop_stacked().or_else(|| home.tasks.pop())
    }

    /// Called for a task without a stack that is about to start in `home`, which this worker carries. If the placement policy says so,
    /// chooses another home in which it and the next ones start.
    pub(super) fn consider_another_home(&self, home: &'static SharedHome) {
        let homes = &self.shared.homes;
        homes.admit();
        if homes.may_grow() {
            homes.start_another(&self.shared.exits, self.remote);
        }
        let waiting = self.remote.stackless.len() + 1;
        let mine = home.members();
        let talks = self.starts.is_communicating() || self.remote.is_communicating();
        if homes.count() < 2 || !placement::outgrows(mine, waiting, talks) {
            return;
        }
        let target = self.choose_home();
        let slack = placement::slack_of_homes(talks);
        let count = placement::hand_over(false, mine, waiting, target.members(), slack);
        if count > 0 && !ptr::eq(target, home) && target.mail.wake_up() {
            // Neighbours stay neighbours, but as many homes get some as there are workers to carry them.
            self.starts.begin_run(count.div_ceil(self.shared.workers()) - 1);
            self.starts_in.set(Some(target));
        }
    }

    /// Returns the home with fewer members of two that are chosen at random. Looking at all homes would cost more the more there are.
    fn choose_home(&self) -> &'static SharedHome {
        let homes = &self.shared.homes;
        let random = self.starts.random() as usize;
        let [a, b] = [random, random >> 32].map(|number| homes.get(number % homes.count()));
        if a.members() <= b.members() { a } else { b }
    }
}

/// Returns whether a task is about to start or to take a turn, in whatever home.
fn needs_home(task: &Task) -> bool {
    task.fiber().is_null() && !task.options.local && !task.options.migratory
}

/// Returns whether a task, picked in the home `here`, has to run elsewhere: it stands for another home, or belongs to the worker's OS
/// thread, or does not belong to a home that is not shared.
#[inline]
fn runs_elsewhere(task: &Task, here: &SharedHome) -> bool {
    if here.is_exclusive() {
        return !task.options.local || task.shared_home().is_none_or(|home| !ptr::eq(home, here));
    }
    task.options.is_unit()
        || ((task.options.local || !task.fiber().is_null())
            && !task.options.migratory
            && task.shared_home().is_none())
}
