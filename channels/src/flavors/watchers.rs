//! Selects that wait until a receive or a send may be ready, without doing it (`Select::ready`).
//!
//! A watcher is told when the operation may have become ready, and leaves the queue then. It reserves nothing.

use core::ptr::NonNull;

use kahn_core::wait::{Node, WaitQueue};

use crate::waiters::{Status, WaitSlotRef, Wakes};

pub(crate) struct Watchers {
    recv: WaitQueue,
    send: WaitQueue,
    /// Whether a watcher is in one of the queues. The fast paths then leave the operation to the slow paths.
    any: bool,
}

impl Watchers {
    pub(super) fn new() -> Watchers {
        Watchers { recv: WaitQueue::new(), send: WaitQueue::new(), any: false }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        !self.any
    }

    fn tell(queue: &mut WaitQueue, wakes: &mut Wakes) {
        while let Some(claimed) = queue.claim_next() {
            // SAFETY: the watcher was claimed under the lock of its channel, which the caller holds, and is not woken
            // before the lock is released. Its payload is a wait slot.
            unsafe { WaitSlotRef::new(claimed.payload) }.wait_slot().set_status(Status::Done);
            wakes.add(claimed.wake);
        }
    }

    /// Tells those that wait for a receive.
    #[inline]
    pub(super) fn tell_recv(&mut self, wakes: &mut Wakes) {
        if self.any {
            Self::tell(&mut self.recv, wakes);
            self.any = !self.send.is_empty();
        }
    }

    /// Tells those that wait for a send.
    #[inline]
    pub(super) fn tell_send(&mut self, wakes: &mut Wakes) {
        if self.any {
            Self::tell(&mut self.send, wakes);
            self.any = !self.recv.is_empty();
        }
    }

    #[inline]
    fn queue(&mut self, recv: bool) -> &mut WaitQueue {
        if recv { &mut self.recv } else { &mut self.send }
    }

    /// Puts a select into the queue of those that wait for a receive, or if `recv` is false for a send.
    ///
    /// # Safety
    ///
    /// The requirements of [`WaitQueue::push`] hold, and the node's payload is a wait slot.
    pub(crate) unsafe fn push(&mut self, node: NonNull<Node>, recv: bool) {
        // SAFETY: the caller guarantees what `WaitQueue::push` requires.
        unsafe { self.queue(recv).push(node) };
        self.any = true;
    }

    /// Removes a watcher, if it is still in the queue.
    ///
    /// # Safety
    ///
    /// The node is valid. It is in this queue or in none.
    pub(crate) unsafe fn remove(&mut self, node: NonNull<Node>, recv: bool) {
        // SAFETY: the caller guarantees that the node is valid, and is in this queue or in none.
        unsafe { self.queue(recv).remove(node) };
        self.any = !self.recv.is_empty() || !self.send.is_empty();
    }
}
