//! How a channel ends. Its endpoints are counted. The last endpoint of a side to be dropped closes the channel, and so
//! does `close`.

use std::process::abort;

use kahn_core::primitives::{AtomicUsize, Ordering};

use crate::chan::Chan;
use crate::ring::Ring;
use crate::state::Wakes;

/// Counts one more endpoint.
#[inline]
pub(crate) fn add(count: &AtomicUsize) {
    // Relaxed, as in `Arc::clone`: the new endpoint is made from one that is already counted.
    if count.fetch_add(1, Ordering::Relaxed) > isize::MAX as usize {
        // So many endpoints exist only if they are leaked. Abort, because the count must not wrap around to zero.
        abort();
    }
}

/// Counts one endpoint less. Returns whether it was the last.
#[inline]
fn remove(count: &AtomicUsize) -> bool {
    // AcqRel: what the other endpoints did with the channel happens before what the last one does to it.
    count.fetch_sub(1, Ordering::AcqRel) == 1
}

impl<T> Chan<T> {
    /// Closes the channel. Later sends fail, and receivers get the messages that are left.
    pub(crate) fn close(&self) {
        let mut wakes = Wakes::new();
        let mut state = self.lock();
        state.close(&mut wakes);
        drop(state);
    }

    pub(crate) fn remove_sender(&self) {
        if remove(&self.senders) {
            self.close();
        }
    }

    pub(crate) fn remove_receiver(&self) {
        if remove(&self.receivers) {
            // Dropped last, after unlocking and after all waiters were told, because a message's destructor may panic
            // or use the channel.
            let messages;
            let mut wakes = Wakes::new();
            let mut state = self.lock();
            state.close(&mut wakes);
            messages = core::mem::replace(&mut state.ring, Ring::new());
            drop(state);
            drop(wakes);
            drop(messages);
        }
    }
}
