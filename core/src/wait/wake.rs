//! The wake-up that a claim owes.
//!
//! Who claims does it with a lock held, and wakes after unlocking: in between it holds a [`Wake`], which keeps alive
//! what is to be woken. A thread's is its party; a task's is its waker, taken while the lock is still held.

use core::ptr::NonNull;
use core::task::Waker;

use crate::wait::current;
use crate::wait::party::{Party, PartyKind};
use crate::wait::task::TaskParty;
use crate::wait::unwind::quietly;
use crate::wait::withdrawal::{Ended, Withdrawal};

/// A wake-up that is owed to a party which the holder has claimed. Wakes on drop; drop it after unlocking.
#[must_use = "wakes when dropped: hold it until the lock is released"]
#[derive(Debug)]
pub struct Wake {
    /// A green or an OS thread; null for a task.
    party: *const Party,
    /// A task's waker; `None` for a thread, and for a task that was dropped.
    task: Option<Waker>,
}

// SAFETY: a claimed party may be woken from any thread; it stays alive until then (rule 2 of `party`, or `retain`).
unsafe impl Send for Wake {}

impl Wake {
    /// The wake-up of a party that the caller has just claimed.
    ///
    /// # Safety
    ///
    /// The caller has won the claim and has not yet woken the party. If the party is a task's, the caller holds the
    /// lock that guards its waker.
    #[inline]
    pub unsafe fn owed(party: NonNull<Party>) -> Wake {
        // SAFETY: a claimed party lives until it is woken, a task's as long as the lock is held.
        let kind = unsafe { party.as_ref() }.kind();
        if kind.is_plain() {
            return Wake { party: party.as_ptr(), task: None };
        }
        // SAFETY: as above, and by the contract.
        unsafe { Wake::owed_to_others(party, kind) }
    }

    /// # Safety
    ///
    /// As [`owed`](Self::owed).
    #[cold]
    unsafe fn owed_to_others(party: NonNull<Party>, kind: &PartyKind) -> Wake {
        if kind.is_task {
            // SAFETY: `is_task` says that the party is the first field of a `TaskParty`, and its lock is held.
            return Wake { party: core::ptr::null(), task: unsafe { TaskParty::take_waker(party) } };
        }
        if let Some(retain) = kind.retain {
            // SAFETY: the party is alive, and `wake` is called once to balance.
            unsafe { retain(party) };
        }
        Wake { party: party.as_ptr(), task: None }
    }

    /// Wakes the party.
    #[inline(always)]
    pub fn wake(self) {
        drop(self);
    }
}

impl Drop for Wake {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(party) = NonNull::new(self.party.cast_mut()) {
            // SAFETY: claimed by us and not yet woken, by `owed`'s contract; a drop happens once.
            unsafe { (party.as_ref().kind().wake)(party) };
        } else if let Some(task) = self.task.take() {
            wake_task(task);
        }
    }
}

#[cold]
#[inline(never)]
fn wake_task(task: Waker) {
    // A waker that waits would open a second wait of the same party, and close the first.
    debug_assert!(!current::has_open_wait(), "a waker is called by a thread whose own wait is open");
    if std::thread::panicking() {
        // Of several that are woken, an earlier one's waker has panicked, say.
        quietly(|| task.wake());
    } else {
        task.wake();
    }
}

/// The wake-up of a party whose wait has been ended by a cancel, or because its time is over. Takes it out of its queue first,
/// if its wait has a [`Withdrawal`].
#[must_use = "wakes when dropped: hold it until the lock is released"]
#[derive(Debug)]
pub struct MissedWake {
    withdrawal: Option<NonNull<Withdrawal>>,
    wake: Option<Wake>,
}

// SAFETY: as of `Wake`. A withdrawal is applied by the one thread that has claimed the party, whichever that is.
unsafe impl Send for MissedWake {}

impl Drop for MissedWake {
    fn drop(&mut self) {
        if let Some(withdrawal) = self.withdrawal {
            // SAFETY: it stands on the stack of the party that we have claimed and not yet woken, so it lives, and so does
            // the resource, which that stack borrows. Whoever has a wake-up to drop holds no lock.
            unsafe { withdrawal.as_ref().apply() };
        }
        drop(self.wake.take());
    }
}

impl MissedWake {
    /// # Safety
    ///
    /// The caller has just claimed `party`, and `ended` is what it was told.
    unsafe fn owed(party: NonNull<Party>, ended: &Ended<'_>) -> MissedWake {
        // SAFETY: by the contract.
        let wake = unsafe { Wake::owed(party) };
        MissedWake { withdrawal: ended.withdrawal.map(NonNull::from), wake: Some(wake) }
    }
}

impl Party {
    /// Asks the party to unwind from its present or its next unshielded wait, and returns the wake-up owed if it waits.
    ///
    /// # Safety
    ///
    /// `party` lives until the result has been dropped.
    pub unsafe fn cancel(party: NonNull<Party>) -> Option<MissedWake> {
        // SAFETY: the caller keeps the party alive.
        let ended = unsafe { party.as_ref() }.claim_cancelled()?;
        // SAFETY: the party is claimed by us, just now.
        Some(unsafe { MissedWake::owed(party, &ended) })
    }

    /// Ends the party's wait because its deadline has passed, and returns the wake-up owed if nobody was faster.
    ///
    /// # Safety
    ///
    /// As of [`cancel`](Self::cancel).
    pub unsafe fn time_out(party: NonNull<Party>) -> Option<MissedWake> {
        // SAFETY: the caller keeps the party alive.
        let ended = unsafe { party.as_ref() }.claim_timed_out()?;
        // SAFETY: the party is claimed by us, just now.
        Some(unsafe { MissedWake::owed(party, &ended) })
    }
}
