//! The wake-up that a claim owes.
//!
//! Who claims does it with a lock held, and wakes after unlocking: in between it holds a [`Wake`], which keeps alive
//! what is to be woken. A thread's is its party; a task's is its waker, taken while the lock is still held.

use core::ptr::NonNull;
use core::task::Waker;

use crate::wait::party::{Party, PartyKind};
use crate::wait::task::TaskParty;

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
    task.wake();
}

impl Party {
    /// Asks the party to unwind from its present or its next unshielded wait, and answers the wake-up owed if it waits.
    ///
    /// # Safety
    ///
    /// `party` lives until the answer has been dropped.
    pub unsafe fn cancel(party: NonNull<Party>) -> Option<Wake> {
        // SAFETY: the caller keeps the party alive.
        let won = unsafe { party.as_ref() }.claim_cancelled();
        // SAFETY: the party is claimed by us, just now.
        won.then(|| unsafe { Wake::owed(party) })
    }
}
