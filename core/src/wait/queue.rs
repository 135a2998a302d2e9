//! The wait queue: an intrusive, first-in-first-out list of nodes, one for each waiter.
//!
//! A node lives on the waiter's stack or in its future. The resource that owns the queue keeps it behind a lock.
//! Every method is called while that lock is held, which `&mut self` expresses.

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomPinned;
use core::ptr::NonNull;

use crate::wait::waiter::Waiter;
use crate::wait::wake::Wake;

/// The place of one waiter in one queue.
///
/// ```text
///   queue: head ──► node ◄──► node ◄──► node ◄── tail
///                    │waiter    │         │          (each on the stack of its waiter)
///                    │token    ▼
///                    └payload  where the claimer leaves or takes the message
/// ```
pub struct Node {
    prev: Cell<Option<NonNull<Node>>>,
    /// In a queue, the next node. A [`WaitList`](crate::wait::WaitList) also links claimed nodes by it.
    pub(super) next: Cell<Option<NonNull<Node>>>,
    linked: Cell<bool>,
    pub(super) waiter: NonNull<Waiter>,
    token: usize,
    pub(super) payload: *mut (),
    _pinned: PhantomPinned,
}

impl Node {
    /// Creates a node that is in no queue. `token` tells the owner which of its nodes was claimed. The claimer
    /// receives `payload`.
    pub fn new(waiter: NonNull<Waiter>, token: usize, payload: *mut ()) -> Node {
        Node {
            prev: Cell::new(None),
            next: Cell::new(None),
            linked: Cell::new(false),
            waiter,
            token,
            payload,
            _pinned: PhantomPinned,
        }
    }

    /// Returns whether the node is in a queue. The caller holds the queue's lock.
    #[inline]
    pub fn is_linked(&self) -> bool {
        self.linked.get()
    }
}

/// A waiter that the caller has claimed through its node.
#[must_use = "the claimed waiter waits to be woken"]
#[derive(Debug)]
pub struct Claimed {
    /// The node's payload. The claimer may use it until it wakes the waiter. A task's payload may be used only while
    /// the queue's lock is held.
    pub payload: *mut (),
    /// The wake-up of the waiter. Drop it after unlocking.
    pub wake: Wake,
}

/// The waiters for one resource, in order of arrival.
#[derive(Default)]
pub struct WaitQueue {
    head: Option<NonNull<Node>>,
    tail: Option<NonNull<Node>>,
}

// SAFETY: any thread may claim and wake the nodes' waiters. The nodes' fields are touched only while the lock that
// guards this queue is held.
unsafe impl Send for WaitQueue {}

impl WaitQueue {
    /// Creates an empty queue.
    pub const fn new() -> WaitQueue {
        WaitQueue { head: None, tail: None }
    }

    /// Returns whether the queue contains no node.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// Adds a node at the back.
    ///
    /// # Safety
    ///
    /// The node is in no queue. Its memory stays valid, and does not move, until the node has been claimed or
    /// removed. A wait of its waiter has been opened.
    #[inline]
    pub unsafe fn push(&mut self, node: NonNull<Node>) {
        // SAFETY: the caller passes a valid node. The nodes in the list are valid, because each stays valid until it
        // leaves the list.
        unsafe {
            let n = node.as_ref();
            debug_assert!(!n.linked.get(), "a node is in one queue at a time");
            n.prev.set(self.tail);
            n.next.set(None);
            n.linked.set(true);
            match self.tail {
                Some(tail) => tail.as_ref().next.set(Some(node)),
                None => self.head = Some(node),
            }
        }
        self.tail = Some(node);
    }

    /// Adds a node at the front: its waiter was in the queue before, and keeps its turn.
    ///
    /// # Safety
    ///
    /// The same rules hold as for [`push`](Self::push).
    pub unsafe fn push_front(&mut self, node: NonNull<Node>) {
        // SAFETY: the caller passes a valid node. The nodes in the list are valid, because each stays valid until it
        // leaves the list.
        unsafe {
            let n = node.as_ref();
            debug_assert!(!n.linked.get(), "a node is in one queue at a time");
            n.prev.set(None);
            n.next.set(self.head);
            n.linked.set(true);
            match self.head {
                Some(head) => head.as_ref().prev.set(Some(node)),
                None => self.tail = Some(node),
            }
        }
        self.head = Some(node);
    }

    /// Returns the payload of the node at the front. It is valid as long as the lock is held. The wait of that node's
    /// waiter may have ended already, by a cancel or a timer.
    pub fn front_payload(&self) -> Option<*mut ()> {
        // SAFETY: a linked node is valid until it leaves the list.
        self.head.map(|node| unsafe { node.as_ref() }.payload)
    }

    /// Removes a node if it is still in the queue. Returns whether it was.
    ///
    /// # Safety
    ///
    /// The node is valid. It is in this queue or in none.
    #[inline]
    pub unsafe fn remove(&mut self, node: NonNull<Node>) -> bool {
        // SAFETY: the caller passes a valid node. If it is linked, its neighbours are linked too, and therefore
        // valid.
        unsafe {
            let n = node.as_ref();
            if !n.linked.get() {
                return false;
            }
            n.linked.set(false);
            match n.prev.get() {
                Some(prev) => prev.as_ref().next.set(n.next.get()),
                None => self.head = n.next.get(),
            }
            match n.next.get() {
                Some(next) => next.as_ref().prev.set(n.prev.get()),
                None => self.tail = n.prev.get(),
            }
        }
        true
    }

    /// Claims the first waiter that can still be claimed. Removes the nodes before it, whose waits have ended
    /// otherwise.
    #[inline]
    pub fn claim_next(&mut self) -> Option<Claimed> {
        // SAFETY: the node was just claimed, and the queue's lock is held (`&mut self`).
        self.claim_next_node().map(|node| unsafe { Claimed::owed(node) })
    }

    /// Like [`claim_next`](Self::claim_next), but returns the node. The caller owes the wake-up of its waiter.
    #[inline]
    pub(super) fn claim_next_node(&mut self) -> Option<NonNull<Node>> {
        while let Some(node) = self.head {
            // SAFETY: a linked node is valid, and the queue's lock is held (`&mut self`).
            unsafe {
                self.remove(node);
                if claim(node) {
                    return Some(node);
                }
            }
        }
        None
    }

    /// Removes the node at the front, and claims its waiter. Returns `None` if the queue is empty, or if the wait of
    /// that waiter has ended otherwise. If it returns the node, the caller owes the wake-up of its waiter.
    pub(super) fn claim_front_node(&mut self) -> Option<NonNull<Node>> {
        let node = self.head?;
        // SAFETY: a linked node is valid, and the queue's lock is held (`&mut self`).
        unsafe {
            self.remove(node);
            claim(node).then_some(node)
        }
    }

    /// Like [`claim_next`](Self::claim_next), but passes over the nodes of `me` and leaves them in the queue, so that
    /// a select does not pair with itself.
    pub fn claim_next_but(&mut self, me: NonNull<Waiter>) -> Option<Claimed> {
        let mut next = self.head;
        while let Some(node) = next {
            // SAFETY: a linked node is valid, and the queue's lock is held. The successor is read before the node is
            // removed.
            unsafe {
                next = node.as_ref().next.get();
                if node.as_ref().waiter == me {
                    continue;
                }
                self.remove(node);
                if claim(node) {
                    return Some(Claimed::owed(node));
                }
            }
        }
        None
    }

    /// Returns how many waiters in the queue have not been claimed yet. This is a hint: they may be claimed through
    /// another queue the next moment.
    pub fn waiting(&self) -> usize {
        let mut count = 0;
        let mut next = self.head;
        while let Some(node) = next {
            // SAFETY: linked nodes are valid, and so are their waiters (rule 1 in `waiter`).
            unsafe {
                count += usize::from(node.as_ref().waiter.as_ref().outcome().is_none());
                next = node.as_ref().next.get();
            }
        }
        count
    }

    /// Returns whether a waiter other than `me` is in the queue and has not been claimed yet. This is a hint: it may
    /// be claimed through another queue the next moment.
    pub fn has_other(&self, me: Option<NonNull<Waiter>>) -> bool {
        let mut next = self.head;
        while let Some(node) = next {
            // SAFETY: linked nodes are valid, and so are their waiters (rule 1 in `waiter`).
            unsafe {
                if Some(node.as_ref().waiter) != me && node.as_ref().waiter.as_ref().outcome().is_none() {
                    return true;
                }
                next = node.as_ref().next.get();
            }
        }
        false
    }
}

impl Claimed {
    /// Returns the payload and the wake-up of a node that was just claimed.
    ///
    /// # Safety
    ///
    /// The caller has just claimed the node's waiter, and still holds the queue's lock.
    #[inline]
    unsafe fn owed(node: NonNull<Node>) -> Claimed {
        // SAFETY: the owner removes its nodes under the lock before its wait ends, so the node is valid. The caller has
        // won the claim, has not woken the waiter yet, and holds the lock.
        unsafe {
            let n = node.as_ref();
            Claimed { payload: n.payload, wake: Wake::owed(n.waiter) }
        }
    }
}

/// Claims the waiter of a node that was just removed. Returns whether the caller has won the claim.
///
/// # Safety
///
/// The node was linked until now, in a queue whose lock is held.
#[inline]
unsafe fn claim(node: NonNull<Node>) -> bool {
    // SAFETY: the owner removes its nodes under the lock before its wait ends. So the node and its waiter are valid
    // as long as the caller holds the lock.
    unsafe { node.as_ref().waiter.as_ref().claim(node.as_ref().token) }
}

impl fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitQueue").field("empty", &self.is_empty()).finish()
    }
}
