//! Waiting until a state behind a lock has changed, for the channels that hand nothing over: who is woken looks again.

use core::cell::{Cell, OnceCell};
use core::future::Future;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use kahn_core::facade::{Lock, LockGuard};
use kahn_core::wait::{Node, Reason, TaskParty, TimedOut, Wait, WaitQueue, Wake, poll_operation};

/// Stands in a queue of the state until woken. Unlocks while it waits.
pub(crate) fn wait_in<S>(
    lock: &Lock<S>,
    mut state: LockGuard<'_, S>,
    queue: fn(&mut S) -> &mut WaitQueue,
    reason: Reason,
    deadline: Option<Instant>,
) -> Result<(), TimedOut> {
    let wait = Wait::new();
    let node = Node::new(wait.party(), 0, core::ptr::null_mut());
    // SAFETY: the node stays where it is until it has been claimed and the wait is over, or removed.
    unsafe { queue(&mut state).push(NonNull::from(&node)) };
    drop(state);
    match wait.park(reason, deadline) {
        Ok(_) => Ok(()),
        Err(missed) => {
            // SAFETY: the node was put into this queue.
            unsafe { queue(&mut lock.lock()).remove(NonNull::from(&node)) };
            Err(missed.raise())
        }
    }
}

/// The wake-ups of all who stand in a queue, to be dropped after unlocking.
pub(crate) fn wake_all(queue: &mut WaitQueue) -> Vec<Wake> {
    core::iter::from_fn(|| queue.claim_next()).map(|claimed| claimed.wake).collect()
}

/// As `wait_in`, from async code: waits until `look`, which is called with the lock held, finds something in the state.
pub(crate) fn wait_for<'a, S, T, F>(
    lock: &'a Lock<S>,
    queue: fn(&mut S) -> &mut WaitQueue,
    look: F,
) -> Awaited<'a, S, F>
where
    F: Fn(&mut S) -> Option<T>,
{
    Awaited { lock, queue, look, party: TaskParty::new(), node: OnceCell::new(), stands: Cell::new(false) }
}

/// The future of [`wait_for`]. It has one place in the queue, with the waker of its last poll, until it is dropped.
pub(crate) struct Awaited<'a, S, F> {
    lock: &'a Lock<S>,
    queue: fn(&mut S) -> &mut WaitQueue,
    look: F,
    party: TaskParty,
    /// Made at the first wait, when the address is final.
    node: OnceCell<Node>,
    /// Whether the node has been put into the queue. It may have been claimed since.
    stands: Cell<bool>,
}

// SAFETY: what other threads may touch of it (node and party) is touched with the lock held; the rest may be sent.
unsafe impl<S: Send, F: Send> Send for Awaited<'_, S, F> {}

impl<S, F> Awaited<'_, S, F> {
    /// Stands in the queue, to be woken by `waker`. Answers the one before it, to be dropped after unlocking.
    ///
    /// # Safety
    ///
    /// The future is pinned, and the state is the locked one.
    unsafe fn stand(&self, state: &mut S, waker: Waker) -> Option<Waker> {
        let party = TaskParty::party(NonNull::from(&self.party));
        // SAFETY: the party lives as long as `self`.
        let is_claimed = unsafe { party.as_ref() }.verdict().is_some();
        // SAFETY: the lock is held.
        let old = unsafe { self.party.set_waker(Some(waker)) };
        if !self.stands.get() || is_claimed {
            let node = self.node.get_or_init(|| Node::new(party, 0, core::ptr::null_mut()));
            // SAFETY: as above. The node is in no queue: it never was, or was claimed and so taken out; it stays where it
            // is, being pinned, until it is removed when the future is dropped.
            unsafe {
                party.as_ref().prepare(false);
                (self.queue)(state).push(NonNull::from(node));
            }
            self.stands.set(true);
        }
        old
    }

    /// Leaves the queue, if it stands there.
    fn leave(&self, state: &mut S) {
        if self.stands.take() {
            let node = self.node.get().expect("made when it was put into the queue");
            // SAFETY: it was put into this queue, whose lock is held. The party lives as long as `self`.
            unsafe {
                (self.queue)(state).remove(NonNull::from(node));
                TaskParty::party(NonNull::from(&self.party)).as_ref().finish();
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
        // A user's waker is cloned and dropped outside of the lock, so it is declared before.
        ready!(poll_operation(context));
        let waker = context.waker().clone();
        let mut state = this.lock.lock();
        if let Some(found) = (this.look)(&mut state) {
            this.leave(&mut state);
            return Poll::Ready(found);
        }
        // SAFETY: it is pinned, and the lock is held.
        let old = unsafe { this.stand(&mut state, waker) };
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl<S, F> Drop for Awaited<'_, S, F> {
    fn drop(&mut self) {
        if self.stands.get() {
            self.leave(&mut self.lock.lock());
        }
    }
}
