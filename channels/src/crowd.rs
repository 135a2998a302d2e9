//! Waiting until a state behind a lock has changed, for the channels that hand nothing over: who is woken looks again.

use std::time::Instant;

use core::ptr::NonNull;

use kahn_core::facade::{Lock, LockGuard};
use kahn_core::wait::{Node, Reason, TimedOut, Wait, WaitQueue, Wake};

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
