//! Withdrawal: how a canceller or a timer removes a waiter from its queue at once.
//!
//! A waiter whose wait was ended by a cancel or a timer leaves its queue when it runs again. Its worker may be busy
//! until then. In a queue that is served strictly in order, or whose being empty has a meaning, the waiters behind it
//! would be held up. So a wait in such a queue has a [`Withdrawal`]. The canceller or the timer applies it between
//! the claim and the wake-up, while it holds no lock. The owner does the same when it runs; that has no effect if
//! the node has left the queue.

use core::cell::Cell;
use core::fmt;
use core::ptr::NonNull;

use crate::wait::queue::Node;
use crate::wait::reason::Reason;

/// How to remove a waiter from its queue. It is on the stack of that waiter.
#[repr(C)]
pub(super) struct Withdrawal {
    /// The first field: the waiter's pointer to its reason, which reports use, is also its pointer to the whole.
    reason: Reason,
    /// The waiter's node. It is written and read while the resource's lock is held.
    node: Cell<Option<NonNull<Node>>>,
    resource: *const (),
    withdraw: unsafe fn(*const (), &Withdrawal),
}

impl Withdrawal {
    /// Creates a withdrawal that calls `withdraw` with `resource`. `withdraw` locks the resource, removes the
    /// [node](Self::node), serves the waiters behind it, and wakes them after unlocking.
    pub(super) fn new(
        reason: Reason,
        resource: *const (),
        withdraw: unsafe fn(*const (), &Withdrawal),
    ) -> Withdrawal {
        Withdrawal { reason, node: Cell::new(None), resource, withdraw }
    }

    /// Returns why the waiter waits.
    pub(super) fn reason(&self) -> &Reason {
        &self.reason
    }

    /// Returns the node, or `None` before it was added to the queue. The caller holds the resource's lock.
    pub(super) fn node(&self) -> Option<NonNull<Node>> {
        self.node.get()
    }

    /// Sets the node. The caller holds the resource's lock.
    pub(super) fn set_node(&self, node: NonNull<Node>) {
        self.node.set(Some(node));
    }

    /// Removes the waiter from its queue, if it is still there.
    ///
    /// # Safety
    ///
    /// The resource is alive. The caller is the owner, or has claimed the waiter and not woken it. The caller holds
    /// no lock.
    pub(super) unsafe fn apply(&self) {
        // SAFETY: the caller keeps the resource alive, and holds no lock that `withdraw` takes.
        unsafe { (self.withdraw)(self.resource, self) };
    }
}

impl fmt::Debug for Withdrawal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Withdrawal").field("reason", &self.reason).finish_non_exhaustive()
    }
}

/// A wait that a canceller or a timer has ended.
pub(super) struct Ended<'a> {
    /// To be applied before the waiter is woken.
    pub(super) withdrawal: Option<&'a Withdrawal>,
}
