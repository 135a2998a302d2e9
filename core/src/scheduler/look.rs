//! What a busy worker does every so often: timers, what came from outside, whether others should help, the end.

use crate::facade::Ordering;
use crate::scheduler::placement;
use crate::scheduler::worker::Worker;
use crate::timer;
use crate::wait::{MissedWake, Party};

/// Nanoseconds between two looks around, roughly: it counts turns, and corrects the count by the clock.
const LOOK_NS: u64 = 20_000;
/// The most turns between two looks.
const LOOK_TURNS: u32 = 256;
/// Looks around between two trims of the stack pool.
const TRIM_EVERY: u32 = 512;

impl Worker {
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
