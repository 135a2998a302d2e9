//! Waiting for a change of a state behind a lock, for the channels that do not hand messages over. A woken waiter looks
//! at the state again.

use core::cell::{Cell, OnceCell};
use core::future::Future;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll, ready};
use std::time::Instant;

use kahn_core::primitives::{Lock, LockGuard};
use kahn_core::wait::{Elapsed, Node, OwnedWaker, Reason, TaskWaiter, Wait, WaitQueue, Wake, poll_operation};

/// Waits in a queue of the state until woken. Releases the lock while it waits.
pub(crate) fn wait_in<S>(
    lock: &Lock<S>,
    mut state: LockGuard<'_, S>,
    queue: fn(&mut S) -> &mut WaitQueue,
    reason: Reason,
    deadline: Option<Instant>,
) -> Result<(), Elapsed> {
    let wait = Wait::new();
    let node = Node::new(wait.waiter(), 0, core::ptr::null_mut());
    // SAFETY: the wait is open. The node stays at its address until the wait is over and the node is out of the queue,
    // claimed or removed below.
    unsafe { queue(&mut state).push(NonNull::from(&node)) };
    drop(state);
    match wait.park(reason, deadline) {
        Ok(_) => Ok(()),
        Err(error) => {
            // SAFETY: the node was put into this queue, and is valid.
            unsafe { queue(&mut lock.lock()).remove(NonNull::from(&node)) };
            Err(error.raise())
        }
    }
}

/// Claims all waiters in a queue. Returns their wake-ups, which the caller drops after unlocking.
pub(crate) fn wake_all(queue: &mut WaitQueue) -> Vec<Wake> {
    core::iter::from_fn(|| queue.claim_next()).map(|claimed| claimed.wake).collect()
}

/// Like [`wait_in`], for async code: waits until `look` returns a value. `look` is called with the lock held.
pub(crate) fn wait_for<'a, S, T, F>(
    lock: &'a Lock<S>,
    queue: fn(&mut S) -> &mut WaitQueue,
    look: F,
) -> Awaited<'a, S, F>
where
    F: Fn(&mut S) -> Option<T>,
{
    Awaited { lock, queue, look, waiter: TaskWaiter::new(), node: OnceCell::new(), queued: Cell::new(false) }
}

/// The future of [`wait_for`]. It has at most one node in the queue, with the waker of its last poll, until it is
/// dropped.
pub(crate) struct Awaited<'a, S, F> {
    lock: &'a Lock<S>,
    queue: fn(&mut S) -> &mut WaitQueue,
    look: F,
    waiter: TaskWaiter,
    /// Made at the first wait. The future is pinned then, so the address is final.
    node: OnceCell<Node>,
    /// Whether the node has been put into the queue. It may have been claimed since.
    queued: Cell<bool>,
}

// SAFETY: other threads touch only the node and the waiter (`waiter`), and only with the lock held. The other fields
// may be sent, because `S` and `F` may.
unsafe impl<S: Send, F: Send> Send for Awaited<'_, S, F> {}

impl<S, F> Awaited<'_, S, F> {
    /// Enters the queue, unless the node is still in it, and sets the waker. Returns the previous waker, which the
    /// caller drops after unlocking.
    ///
    /// # Safety
    ///
    /// The future is pinned. `state` is the state behind `self.lock`, whose lock is held.
    unsafe fn enter(&self, state: &mut S, waker: OwnedWaker) -> OwnedWaker {
        let waiter = TaskWaiter::waiter(NonNull::from(&self.waiter));
        // SAFETY: the waiter lives as long as `self`.
        let is_claimed = unsafe { waiter.as_ref() }.outcome().is_some();
        // SAFETY: the caller holds the lock of the queue.
        let old = unsafe { self.waiter.set_waker(waker) };
        if !self.queued.get() || is_claimed {
            let node = self.node.get_or_init(|| Node::new(waiter, 0, core::ptr::null_mut()));
            // SAFETY: the waiter lives as long as `self`. The node is in no queue: it has never been in one, or it has
            // been claimed, which removes it. The future is pinned, so the node stays at its address until the future
            // is dropped, which removes it.
            unsafe {
                waiter.as_ref().prepare(false);
                (self.queue)(state).push(NonNull::from(node));
            }
            self.queued.set(true);
        }
        old
    }

    /// Leaves the queue, if the node is in it.
    fn leave(&self, state: &mut S) {
        if self.queued.take() {
            let node = self.node.get().expect("made when it was put into the queue");
            // SAFETY: the node was put into this queue, whose lock is held. The waiter lives as long as `self`.
            unsafe {
                (self.queue)(state).remove(NonNull::from(node));
                TaskWaiter::waiter(NonNull::from(&self.waiter)).as_ref().finish();
            }
        }
    }
}

impl<S, T, F> Future for Awaited<'_, S, F>
where
    F: Fn(&mut S) -> Option<T>,
{
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let this = self.into_ref().get_ref();
        // The waker is cloned before and dropped after the lock is held, because both run user code. Locals are dropped
        // in reverse order, so it is declared before the lock guard.
        ready!(poll_operation(context));
        let waker = OwnedWaker::new(context.waker());
        let mut state = this.lock.lock();
        if let Some(found) = (this.look)(&mut state) {
            this.leave(&mut state);
            return Poll::Ready(found);
        }
        // SAFETY: the future is pinned, and the lock of its state is held.
        let old = unsafe { this.enter(&mut state, waker) };
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl<S, F> Drop for Awaited<'_, S, F> {
    fn drop(&mut self) {
        if self.queued.get() {
            self.leave(&mut self.lock.lock());
        }
    }
}
