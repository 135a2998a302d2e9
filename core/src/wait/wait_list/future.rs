//! Waiting in a list in async code.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use super::wakes::Wakes;
use super::{MixedWaitList, Queue};
use crate::wait::budget::poll_operation;
use crate::wait::task::{OwnedWaker, TaskNode};

/// The future of [`MixedWaitList::wait_async`]. It has at most one node in the list, with the waker of its last poll.
#[must_use = "a future does nothing unless it is polled"]
pub struct WaitFuture<'a, S, P, F, M, const QUEUES: usize>
where
    M: Fn(&mut S, &mut [Queue<'_, P>; QUEUES], &mut P),
{
    list: &'a MixedWaitList<S, P, QUEUES>,
    queue: usize,
    look: F,
    missed: M,
    node: TaskNode<P>,
}

// SAFETY: the node and the payload move between threads together with the future, and `P` may be sent. While the node
// is in a queue, the future is pinned, and other threads use the node and the payload only with the list locked. The
// list may be shared, because `S` and `P` may be sent.
unsafe impl<S: Send, P: Send, F: Send, M: Send, const QUEUES: usize> Send
    for WaitFuture<'_, S, P, F, M, QUEUES>
where
    M: Fn(&mut S, &mut [Queue<'_, P>; QUEUES], &mut P),
{
}

impl<S, P, const QUEUES: usize> MixedWaitList<S, P, QUEUES> {
    /// Returns a future that waits until `look` returns a value, at the back of the queue with this number.
    ///
    /// The future calls `look`, with the list locked, at its first poll, and at the first poll after each claim. If it
    /// returns `None`, the future enters the queue. `look` gets the future's payload, which a claimer may have changed.
    ///
    /// Each poll pays for one operation. If the future is dropped after it was claimed, and before it has looked, it
    /// calls `missed` with the list locked: if only this waiter was claimed, `missed` passes that on.
    pub fn wait_async<R, F, M>(
        &self,
        queue: usize,
        payload: P,
        look: F,
        missed: M,
    ) -> WaitFuture<'_, S, P, F, M, QUEUES>
    where
        F: Fn(&mut S, &mut [Queue<'_, P>; QUEUES], &mut P) -> Option<R>,
        M: Fn(&mut S, &mut [Queue<'_, P>; QUEUES], &mut P),
    {
        WaitFuture { list: self, queue, look, missed, node: TaskNode::new(payload) }
    }
}

impl<S, P, R, F, M, const QUEUES: usize> Future for WaitFuture<'_, S, P, F, M, QUEUES>
where
    F: Fn(&mut S, &mut [Queue<'_, P>; QUEUES], &mut P) -> Option<R>,
    M: Fn(&mut S, &mut [Queue<'_, P>; QUEUES], &mut P),
{
    type Output = R;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R> {
        let this = self.into_ref().get_ref();
        ready!(poll_operation(context));
        // The waker is cloned before and dropped after the list is locked, because both run user code. Locals are
        // dropped in reverse order, so these are declared before the lock guard.
        let waker = OwnedWaker::new(context.waker());
        let wakes = Wakes::new();
        let mut locked = this.list.lock(&wakes);
        if !this.node.is_queued() {
            // SAFETY: the list is locked and the node is not in its queue, so the queues that `look` gets do not lead to
            // the payload. The reference is used in this call alone.
            let found =
                locked.with(|state, queues| (this.look)(state, queues, unsafe { this.node.payload() }));
            if let Some(found) = found {
                this.node.settle();
                return Poll::Ready(found);
            }
            // SAFETY: the list is locked, and the future is pinned. The node is not in the queue. The destructor calls
            // `leave` with the same queue.
            unsafe { this.node.enter(&mut locked.inner.queues[this.queue]) };
        }
        // SAFETY: the list, which has the queue, is locked.
        let old = unsafe { this.node.set_waker(waker) };
        drop(locked);
        drop(wakes);
        drop(old);
        Poll::Pending
    }
}

impl<S, P, F, M, const QUEUES: usize> Drop for WaitFuture<'_, S, P, F, M, QUEUES>
where
    M: Fn(&mut S, &mut [Queue<'_, P>; QUEUES], &mut P),
{
    fn drop(&mut self) {
        if !self.node.is_entered() {
            return;
        }
        let wakes = Wakes::new();
        let mut locked = self.list.lock(&wakes);
        // SAFETY: the list is locked, and the node was put into this queue.
        if unsafe { self.node.leave(&mut locked.inner.queues[self.queue]) } {
            // SAFETY: the list is locked and the node is in no queue. The reference is used in this call alone.
            locked.with(|state, queues| (self.missed)(state, queues, unsafe { self.node.payload() }));
        }
    }
}

impl<S, P, F, M, const QUEUES: usize> fmt::Debug for WaitFuture<'_, S, P, F, M, QUEUES>
where
    M: Fn(&mut S, &mut [Queue<'_, P>; QUEUES], &mut P),
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitFuture").finish_non_exhaustive()
    }
}
