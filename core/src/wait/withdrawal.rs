//! How a party whose wait another thread has ended is taken out of its queue at once.
//!
//! A party that was cancelled, or whose time is over, leaves its queue when it runs again, and its worker may be busy with
//! something else until then. Where a queue is served strictly in order, or where its being empty means something, the
//! parties behind it would be held up. So its wait has a [`Withdrawal`], which the canceller or the timer applies between
//! the claim and the wake-up, with no lock held. The owner does the same when it runs, in vain or not.

use core::cell::Cell;
use core::fmt;
use core::ptr::NonNull;

use crate::wait::queue::Node;
use crate::wait::reason::Reason;

/// A way out of a queue, on the stack of the party that waits in it.
#[repr(C)]
pub struct Withdrawal {
    /// First: the party points to it, for reports, and so to the whole.
    reason: Reason,
    /// Where the party stands. Written and read with the resource's lock held.
    node: Cell<Option<NonNull<Node>>>,
    resource: *const (),
    withdraw: unsafe fn(*const (), &Withdrawal),
}

impl Withdrawal {
    /// What takes the party out: `withdraw` is called with `resource`. It locks the resource, takes out the [node](Self::node),
    /// serves the parties behind it, and wakes them after unlocking.
    pub fn new(
        reason: Reason,
        resource: *const (),
        withdraw: unsafe fn(*const (), &Withdrawal),
    ) -> Withdrawal {
        Withdrawal { reason, node: Cell::new(None), resource, withdraw }
    }

    /// Why the party waits.
    pub(super) fn reason(&self) -> &Reason {
        &self.reason
    }

    /// The node, once it stands in the queue. Called with the resource's lock held.
    pub fn node(&self) -> Option<NonNull<Node>> {
        self.node.get()
    }

    /// Says where the party stands. Called with the resource's lock held.
    pub fn set_node(&self, node: NonNull<Node>) {
        self.node.set(Some(node));
    }

    /// Takes the party out of its queue, if it is still there.
    ///
    /// # Safety
    ///
    /// The resource lives. The caller is the owner, or has claimed the party and not woken it; it holds no lock.
    pub(super) unsafe fn apply(&self) {
        // SAFETY: by the contract.
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
    /// To be applied before the party is woken.
    pub(super) withdrawal: Option<&'a Withdrawal>,
}
