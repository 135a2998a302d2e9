//! The queues of a locked list, as the closures of its users see them.

use core::marker::PhantomData;
use core::ptr::NonNull;

use super::wakes::Chain;
use crate::wait::queue::{Node, WaitQueue};

/// One queue of a locked list.
pub struct Queue<'a, P> {
    nodes: &'a mut WaitQueue,
    claimed: &'a Chain,
    _payload: PhantomData<&'a mut P>,
}

impl<'a, P> Queue<'a, P> {
    #[inline]
    pub(super) fn new(nodes: &'a mut WaitQueue, claimed: &'a Chain) -> Queue<'a, P> {
        Queue { nodes, claimed, _payload: PhantomData }
    }

    /// Returns whether no waiter is in the queue. The waits of those that are in it may have ended already.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Returns the payload of the waiter at the front. Its wait may have ended already.
    pub fn front(&self) -> Option<&P> {
        // SAFETY: the payload of a queued node is a `P`, and belongs to the holder of the lock.
        self.nodes.front_payload().map(|payload| unsafe { &*payload.cast::<P>() })
    }

    /// Counts the waiters whose waits have not ended. They may end the next moment.
    pub fn waiting(&self) -> usize {
        self.nodes.waiting()
    }

    /// Claims the first waiter whose wait has not ended, and returns its payload. It is woken when the list has been
    /// unlocked.
    #[inline]
    pub fn claim_next(&mut self) -> Option<&mut P> {
        let node = self.nodes.claim_next_node()?;
        Some(self.claimed(node))
    }

    /// Removes the waiter at the front, claims it, and returns its payload. Returns `None` if the queue is empty, or if
    /// the wait of that waiter has ended otherwise.
    pub fn claim_front(&mut self) -> Option<&mut P> {
        let node = self.nodes.claim_front_node()?;
        Some(self.claimed(node))
    }

    /// Claims all waiters whose waits have not ended, and empties the queue.
    pub fn claim_all(&mut self) -> ClaimedAll<'_, P> {
        let mut all = ClaimedAll { first: None, len: 0, _payload: PhantomData };
        while let Some(node) = self.nodes.claim_next_node() {
            self.claimed(node);
            all.first.get_or_insert(node);
            all.len += 1;
        }
        all
    }

    /// Lists a node that was just claimed, and returns its payload.
    fn claimed(&mut self, node: NonNull<Node>) -> &mut P {
        self.claimed.push(node);
        // SAFETY: the node was just claimed and the list is locked, so the node is valid, and its payload, which is a
        // `P`, belongs to this thread. No other reference to it exists: the waiter does not use it before the list is
        // unlocked, and a node is claimed once.
        unsafe { &mut *node.as_ref().payload.cast::<P>() }
    }
}

/// The waiters that one [`Queue::claim_all`] has claimed.
pub struct ClaimedAll<'a, P> {
    first: Option<NonNull<Node>>,
    len: usize,
    _payload: PhantomData<&'a mut P>,
}

impl<P> ClaimedAll<'_, P> {
    /// Returns how many waiters were claimed.
    pub fn count(&self) -> usize {
        self.len
    }

    /// Calls `f` with the payload of each.
    pub fn for_each(self, mut f: impl FnMut(&mut P)) {
        let mut next = self.first;
        for _ in 0..self.len {
            let node = next.expect("the claimed nodes follow one another in the list of wake-ups");
            // SAFETY: the node was claimed under the lock, and the list is still locked. So the node is valid, and its
            // payload belongs to this thread. No other reference to the payload exists, because this value borrows the
            // queue through which it was claimed.
            unsafe {
                next = node.as_ref().next.get();
                f(&mut *node.as_ref().payload.cast::<P>());
            }
        }
    }
}
