//! The queue that parties stand in: an intrusive list of nodes, first come, first served.
//!
//! A node lives on the stack (or in the future) of the party that waits. The queue's owner keeps it behind a lock, and
//! every method is called with that lock held, which is what `&mut self` says.

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomPinned;
use core::ptr::NonNull;

use crate::wait::party::Party;
use crate::wait::wake::Wake;

/// One party's place in one queue.
///
/// ```text
///   queue: head ──► node ◄──► node ◄──► node ◄── tail
///                    │party    │         │          (each on the stack of the party that waits)
///                    │token    ▼
///                    └payload  where the claimer leaves or takes the message
/// ```
pub struct Node {
    prev: Cell<Option<NonNull<Node>>>,
    next: Cell<Option<NonNull<Node>>>,
    linked: Cell<bool>,
    party: NonNull<Party>,
    token: usize,
    payload: *mut (),
    _pinned: PhantomPinned,
}

impl Node {
    /// A node that stands in no queue. `token` tells its owner which of its nodes was claimed; `payload` is what the
    /// claimer gets.
    pub fn new(party: NonNull<Party>, token: usize, payload: *mut ()) -> Node {
        Node {
            prev: Cell::new(None),
            next: Cell::new(None),
            linked: Cell::new(false),
            party,
            token,
            payload,
            _pinned: PhantomPinned,
        }
    }

    /// Whether it stands in a queue. Asked with the queue's lock held.
    #[inline]
    pub fn is_linked(&self) -> bool {
        self.linked.get()
    }
}

/// A party that the caller has claimed, through its node.
#[must_use = "the claimed party waits to be woken"]
#[derive(Debug)]
pub struct Claimed {
    /// The node's payload. The claimer's until it wakes the party; a task's only while the queue's lock is held.
    pub payload: *mut (),
    /// Wakes the party. To be dropped after unlocking.
    pub wake: Wake,
}

/// Parties that wait for one thing, in the order of their coming.
#[derive(Default)]
pub struct WaitQueue {
    head: Option<NonNull<Node>>,
    tail: Option<NonNull<Node>>,
}

// SAFETY: the nodes' parties may be claimed and woken from any thread, and the nodes' fields are touched only with the
// lock held that guards this queue.
unsafe impl Send for WaitQueue {}

impl WaitQueue {
    /// An empty queue.
    pub const fn new() -> WaitQueue {
        WaitQueue { head: None, tail: None }
    }

    /// Whether nobody stands in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// Puts a node at the end.
    ///
    /// # Safety
    ///
    /// The node stands in no queue, and its memory stays where it is until it has been claimed or removed. Its party
    /// has been prepared.
    #[inline]
    pub unsafe fn push(&mut self, node: NonNull<Node>) {
        // SAFETY: the node is valid by the contract, and so are those in the list, by the contract of earlier calls.
        unsafe {
            let n = node.as_ref();
            debug_assert!(!n.linked.get(), "a node stands in one queue at a time");
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

    /// Puts a node at the front: its party has been here before, and keeps its turn.
    ///
    /// # Safety
    ///
    /// As of [`push`](Self::push).
    pub unsafe fn push_front(&mut self, node: NonNull<Node>) {
        // SAFETY: as in `push`.
        unsafe {
            let n = node.as_ref();
            debug_assert!(!n.linked.get(), "a node stands in one queue at a time");
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

    /// The payload of the node at the front. Valid as long as the lock is held; the party may have missed its wait.
    pub fn front_payload(&self) -> Option<*mut ()> {
        // SAFETY: a linked node is valid.
        self.head.map(|node| unsafe { node.as_ref() }.payload)
    }

    /// Takes a node out if it is still in, and answers whether it was.
    ///
    /// # Safety
    ///
    /// The node is valid, and stands in this queue or in none.
    #[inline]
    pub unsafe fn remove(&mut self, node: NonNull<Node>) -> bool {
        // SAFETY: the node and, if it is linked, its neighbours are valid.
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

    /// Claims the first party that can still be claimed. Those before it, whose wait has ended otherwise, are taken out.
    #[inline]
    pub fn claim_next(&mut self) -> Option<Claimed> {
        while let Some(node) = self.head {
            // SAFETY: a linked node is valid, and the lock is held.
            unsafe {
                self.remove(node);
                if let Some(claimed) = claim(node) {
                    return Some(claimed);
                }
            }
        }
        None
    }

    /// Takes out the node at the front, and claims its party. `None` if the queue is empty or its wait has ended otherwise.
    pub fn claim_front(&mut self) -> Option<Claimed> {
        let node = self.head?;
        // SAFETY: a linked node is valid, and the lock is held.
        unsafe {
            self.remove(node);
            claim(node)
        }
    }

    /// As [`claim_next`](Self::claim_next), passing over the nodes of `me`, which stay: a select does not meet itself.
    pub fn claim_next_but(&mut self, me: NonNull<Party>) -> Option<Claimed> {
        let mut next = self.head;
        while let Some(node) = next {
            // SAFETY: as in `claim_next`; the successor is read before the node is taken out.
            unsafe {
                next = node.as_ref().next.get();
                if node.as_ref().party == me {
                    continue;
                }
                self.remove(node);
                if let Some(claimed) = claim(node) {
                    return Some(claimed);
                }
            }
        }
        None
    }

    /// How many parties stand here that have not been claimed yet. A hint: they may be claimed elsewhere the next moment.
    pub fn waiting(&self) -> usize {
        let mut count = 0;
        let mut next = self.head;
        while let Some(node) = next {
            // SAFETY: linked nodes are valid, and so are their parties (rule 1 in `party`).
            unsafe {
                count += usize::from(node.as_ref().party.as_ref().verdict().is_none());
                next = node.as_ref().next.get();
            }
        }
        count
    }

    /// Whether a party other than `me` stands here that has not been claimed yet. A hint: it may be claimed elsewhere
    /// the next moment.
    pub fn has_other(&self, me: Option<NonNull<Party>>) -> bool {
        let mut next = self.head;
        while let Some(node) = next {
            // SAFETY: linked nodes are valid, and so are their parties (rule 1 in `party`).
            unsafe {
                if Some(node.as_ref().party) != me && node.as_ref().party.as_ref().verdict().is_none() {
                    return true;
                }
                next = node.as_ref().next.get();
            }
        }
        false
    }
}

/// # Safety
///
/// The node was linked until now, in a queue whose lock is held.
#[inline]
unsafe fn claim(node: NonNull<Node>) -> Option<Claimed> {
    // SAFETY: the owner takes its nodes out under the lock before its wait ends, so the node was valid, and with it
    // its party, as long as we hold the lock. After a won claim the party lives on until woken.
    unsafe {
        let n = node.as_ref();
        let (party, payload) = (n.party, n.payload);
        party.as_ref().claim(n.token).then(|| Claimed { payload, wake: Wake::owed(party) })
    }
}

impl fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitQueue").field("empty", &self.is_empty()).finish()
    }
}
