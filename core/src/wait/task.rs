//! The waiter (`Party`) of an async task: it stores the waker of the task that polls.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::task::Waker;

use crate::wait::party::{Party, PartyKind};

/// The waiter of a future, with the waker of the task that polls the future.
///
/// A future can be dropped at any time. So wakers and the future touch its nodes, its payload and its waker only
/// under the lock of the queue that it is in, and it is in one queue at most.
#[repr(C)]
pub struct TaskParty {
    party: Party,
    waker: UnsafeCell<Option<Waker>>,
}

// SAFETY: `waker` is touched only while the queue's lock is held.
unsafe impl Send for TaskParty {}
// SAFETY: `waker` is touched only while the queue's lock is held.
unsafe impl Sync for TaskParty {}

static TASK_KIND: PartyKind =
    PartyKind { wake: |_| unreachable!(), suspend: |_, _| unreachable!(), retain: None, is_task: true };

impl TaskParty {
    /// Creates a waiter for a future. It must not move while one of its nodes is in a queue.
    pub fn new() -> TaskParty {
        TaskParty { party: Party::new(&TASK_KIND), waker: UnsafeCell::new(None) }
    }

    /// Returns the waiter as its wakers see it. `this` points to the whole object, and the returned pointer keeps
    /// that provenance.
    pub fn party(this: NonNull<TaskParty>) -> NonNull<Party> {
        this.cast()
    }

    /// Replaces the waker. Returns the old one, which the caller drops after unlocking.
    ///
    /// # Safety
    ///
    /// The caller holds the lock of the queue that the waiter is in, or the waiter is in no queue.
    #[must_use]
    pub unsafe fn set_waker(&self, waker: Option<Waker>) -> Option<Waker> {
        // SAFETY: the caller holds the queue's lock, or no other thread can reach this waiter. So the access is
        // exclusive.
        unsafe { core::mem::replace(&mut *self.waker.get(), waker) }
    }

    /// Takes the waker of a task.
    ///
    /// # Safety
    ///
    /// `party` is the first field of a `TaskParty`, is derived from a pointer to the whole, and the lock of its queue
    /// is held.
    pub(super) unsafe fn take_waker(party: NonNull<Party>) -> Option<Waker> {
        // SAFETY: `party` points to a whole `TaskParty`, and the caller holds the lock of its queue.
        unsafe { party.cast::<TaskParty>().as_ref().set_waker(None) }
    }
}

impl Default for TaskParty {
    fn default() -> TaskParty {
        TaskParty::new()
    }
}
