//! An async task as a party: the waker of whoever polls it.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::task::Waker;

use crate::wait::party::{Party, PartyKind};

/// An async task that waits: the party of a future, and the waker of the task that polls it.
///
/// A future can be dropped at any time. So its nodes, its payload and its waker are touched under the lock of the queue
/// it stands in, by both sides, and it stands in one queue at most.
#[repr(C)]
pub struct TaskParty {
    party: Party,
    waker: UnsafeCell<Option<Waker>>,
}

// SAFETY: `waker` is touched under the queue's lock alone, see above.
unsafe impl Send for TaskParty {}
// SAFETY: as above.
unsafe impl Sync for TaskParty {}

static TASK_KIND: PartyKind =
    PartyKind { wake: |_| unreachable!(), suspend: |_, _| unreachable!(), retain: None, is_task: true };

impl TaskParty {
    /// A party for a future. It must not move while a node of it is in a queue.
    pub fn new() -> TaskParty {
        TaskParty { party: Party::new(&TASK_KIND), waker: UnsafeCell::new(None) }
    }

    /// The party as its wakers see it. `this` points to the whole object and keeps that provenance.
    pub fn party(this: NonNull<TaskParty>) -> NonNull<Party> {
        this.cast()
    }

    /// Replaces the waker, and answers the old one, which the caller drops after unlocking.
    ///
    /// # Safety
    ///
    /// The caller holds the lock of the queue that the party stands in, or it stands in none.
    #[must_use]
    pub unsafe fn set_waker(&self, waker: Option<Waker>) -> Option<Waker> {
        // SAFETY: exclusive by the contract.
        unsafe { core::mem::replace(&mut *self.waker.get(), waker) }
    }

    /// # Safety
    ///
    /// `party` is the first field of a `TaskParty`, derived from the whole, and the lock of its queue is held.
    pub(super) unsafe fn take_waker(party: NonNull<Party>) -> Option<Waker> {
        // SAFETY: by the contract.
        unsafe { party.cast::<TaskParty>().as_ref().set_waker(None) }
    }
}

impl Default for TaskParty {
    fn default() -> TaskParty {
        TaskParty::new()
    }
}
