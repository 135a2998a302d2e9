//! How a channel ends: its endpoints are counted, and the last of a side closes it; so does `close`.

use std::process::abort;

use kahn_core::facade::{AtomicUsize, Ordering};

use crate::bounded::Chan;
use crate::ring::Ring;
use crate::state::Wakes;

/// Counts one more endpoint.
#[inline]
pub(crate) fn add(count: &AtomicUsize) {
    // Relaxed, as in `Arc::clone`: the new endpoint is made from one that is counted already.
    if count.fetch_add(1, Ordering::Relaxed) > isize::MAX as usize {
        // Only by leaking endpoints can there be so many, and the count must not come round to zero.
        abort();
    }
}

/// Counts one endpoint less, and answers whether it was the last.
#[inline]
fn remove(count: &AtomicUsize) -> bool {
    // AcqRel: what the others did with the channel comes before what the last one does to it.
    count.fetch_sub(1, Ordering::AcqRel) == 1
}

impl<T> Chan<T> {
    /// Ends the channel: later sends fail, and receivers get what is left.
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
            // Dropped last, outside of the lock and after everybody was told: a message's drop may panic, or use the
            // channel.
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
