//! Jobs without a stack: how they come to a worker, and which of them it starts itself.

use core::ptr::NonNull;

use crate::job::Job;
use crate::scheduler::placement;
use crate::scheduler::run_queue::End;
use crate::scheduler::worker::Worker;

/// One fresh job in so many is the oldest: in turn the oldest of all, and the oldest of those that have had more than their
/// share. Newest first is depth first, which keeps few alive at once.
const OLDEST_EVERY: u32 = 64;
/// Each time that so many more wait, the oldest come twice as often, until the order is that of arrival: what adds more than
/// it takes away, newest first, must not go on for ever before the rest.
const CROWD: usize = 1024;
/// So many woken ones are passed over in looking for those to be handed over.
const PASS_OVER: usize = 16;

impl Worker {
    /// A job without a stack, to be started here; or none, if all have been handed over.
    pub(super) fn pop_fresh(&self) -> Option<NonNull<Job>> {
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
        let every = (OLDEST_EVERY >> (self.remote.fresh.len() / CROWD).min(31)).max(1);
        self.remote.fresh.pop(if !turn.is_multiple_of(every) {
            End::Newest
        } else if turn.is_multiple_of(2 * every) {
            End::Behind
        } else {
            End::Oldest
        })
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
        let talks = self.ops.get() >= placement::TALK || self.remote.is_talking();
        let count = placement::hand_over(giving.is_some(), mine, waiting, load(to), placement::slack(talks));
        self.giving.set((count > 0).then_some(to));
        // In a shutdown the other may have left by now.
        if count == 0 || self.shared.is_closing() {
            return;
        }
        // A stackless job that was woken stays beside who woke it: placement is for those that have not started.
        // SAFETY: what is in the queue is alive.
        let is_new = |job: NonNull<Job>| unsafe { job.as_ref() }.home().is_null();
        let mut given = Vec::new();
        self.remote.fresh.take_oldest_that(count, PASS_OVER, is_new, |job| {
            // SAFETY: the job is ours, out of the queue.
            if unsafe { job.as_ref() }.promised.replace(true) {
                // It had been promised to us: we pass it on.
                self.remote.keep_promise();
            }
            given.push(job);
        });
        if given.is_empty() {
            self.giving.set(None);
            return;
        }
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
    pub(super) fn push_again(&self, job: NonNull<Job>) {
        self.remote.fresh.push_behind(job);
        if !self.shared.idle.is_watched() {
            self.shared.wake_one();
        }
    }
}
