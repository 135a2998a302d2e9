//! What a busy worker does every so often: timers, what came from outside, whether others should help, the end.

use core::cell::Cell;

use crate::facade::{Ordering, ticks};
use crate::scheduler::placement;
use crate::scheduler::worker::Worker;
use crate::timer;
use crate::wait::{MissedWake, Party};

/// Nanoseconds between two looks around.
const LOOK_NS: u64 = 20_000;
/// The most turns between two checks whether it is time for one.
const CHECK_TURNS: u32 = 16;
/// The most checks between two looks, in case that the counter of ticks does not say what it should.
const CHECKS: u32 = 64;
/// Looks around between two trims of the stack pool.
const TRIM_EVERY: u32 = 512;

/// When a worker looks around. A reading of the clock is too much for each turn, so some turns ask a counter of ticks,
/// whose pace is measured from look to look, whether it is time.
///
/// Between two checks there are at most [`CHECK_TURNS`] turns. If these took longer than [`LOOK_NS`] there is a check before
/// each turn, until turns are short again.
#[derive(Debug)]
pub(super) struct Looks {
    /// Turns until the next check.
    check_in: Cell<u32>,
    /// Turns between two checks.
    check_every: Cell<u32>,
    /// The ticks at the last check, and at the last look.
    checked: Cell<u64>,
    looked: Cell<u64>,
    /// Checks since the last look.
    checks: Cell<u32>,
    /// The ticks of `LOOK_NS`; zero while that is not known, and a look is always due.
    look_ticks: Cell<u64>,
}

impl Looks {
    pub(super) fn new() -> Looks {
        Looks {
            check_in: Cell::new(1),
            check_every: Cell::new(1),
            checked: Cell::new(0),
            looked: Cell::new(0),
            checks: Cell::new(0),
            look_ticks: Cell::new(0),
        }
    }

    /// Counts a turn. Returns whether it is time for a check.
    #[inline]
    pub(super) fn count_turn(&self) -> bool {
        let check_in = self.check_in.get() - 1;
        self.check_in.set(check_in);
        check_in == 0
    }

    /// Returns whether it is time for a look.
    fn check(&self, ticks: u64) -> bool {
        let look_ticks = self.look_ticks.get();
        // A counter that jumps back makes these very long, and the look comes early.
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

    /// A look took place at `ticks`, `took_ns` nanoseconds after the one before.
    fn looked(&self, ticks: u64, took_ns: u64) {
        let took = ticks.wrapping_sub(self.looked.replace(ticks));
        // Neither too short for the resolution of the clocks, nor too long for the product.
        if took_ns >= 1000 && took < 1 << 40 {
            self.look_ticks.set(took * LOOK_NS / took_ns);
        }
    }

    /// The next turn begins with a look.
    pub(super) fn at_once(&self) {
        self.check_in.set(1);
        self.checks.set(CHECKS);
    }

    /// The worker has slept: that took time, but says nothing about its turns.
    pub(super) fn slept(&self) {
        self.checked.set(ticks());
    }
}

impl Worker {
    /// Looks around if it is time.
    #[cold]
    #[inline(never)]
    pub(super) fn check_time(&self) {
        let ticks = ticks();
        if self.look.check(ticks) {
            self.look_around(ticks);
        }
    }

    /// What is done every so often: timers, the injector, and whether work waits that another could take.
    fn look_around(&self, ticks: u64) {
        let now_ns = timer::now_ns();
        // 1. The next look.
        self.look.looked(ticks, now_ns.saturating_sub(self.looked_ns.replace(now_ns)));
        // Relaxed: a sign of life for whoever watches.
        self.remote.turns.store(self.remote.turns.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        let talks = self.ops.replace(0) >= placement::TALK;
        self.remote.set_talking(talks);
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

    /// Moves the deadlines set since the last time on to the wheel.
    pub(super) fn gather_deadlines(&self, now_ns: u64) {
        if !self.recent.is_empty()
            && let Some(wheel) = self.remote.wheel.lock().as_mut()
        {
            // SAFETY: this worker's list, and its wheel, locked.
            unsafe { self.recent.gather(wheel, now_ns) };
        }
    }

    /// Wakes those whose deadline has passed.
    pub(super) fn fire_timers(&self, now_ns: u64) {
        self.gather_deadlines(now_ns);
        if self.next_timer_ns().is_some_and(|due_ns| due_ns <= now_ns) {
            self.fire_due_timers(now_ns);
        }
    }

    #[cold]
    #[inline(never)]
    fn fire_due_timers(&self, now_ns: u64) {
        /// Wake-ups handed out under one hold of the lock.
        const BATCH: usize = 64;
        let mut wakes: [Option<MissedWake>; BATCH] = [const { None }; BATCH];
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
                    // SAFETY: the entry and its party live until the sleeper goes on: here, after us, or after it
                    // has taken the wheel's lock.
                    let party = unsafe { super::party_of(entry) };
                    // SAFETY: as above.
                    if let Some(wake) = unsafe { Party::time_out(party) } {
                        wakes[count] = Some(wake);
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

    /// When the next timer is due, of those that have been gathered.
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
}
