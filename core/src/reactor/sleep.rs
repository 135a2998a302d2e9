//! How a worker sleeps: on its parker, or in its poller.
//!
//! A waker does not know which of the two. The state tells it:
//!
//! | `state` | the worker | a waker changes it to | and then |
//! |---|---|---|---|
//! | `AWAKE` | is awake, or asleep on its parker | `NOTIFIED` | leaves a token in the parker |
//! | `POLLING` | is in its poller, or about to enter it or to leave it | `NOTIFIED` | interrupts the poller |
//! | `NOTIFIED` | as `AWAKE`, and was woken | `NOTIFIED` | leaves a token in the parker |
//!
//! No wake-up is lost. Consider a wake-up after the worker's last look at its work.
//!
//! - *The worker goes to its parker.* The state is not `POLLING` until the worker is awake again, so the waker leaves a
//!   token. The parker keeps it.
//! - *The worker goes to its poller, and the waker comes before the worker's exchange of `AWAKE` for `POLLING`.* The
//!   exchange fails, and the worker does not wait.
//! - *The waker comes after that exchange.* It reads `POLLING` and interrupts the poller, which keeps the interruption
//!   until the worker's next wait.
//!
//! - *The worker is on its parker, and of two wakers the second finds `NOTIFIED` or `AWAKE`.* Its token may come after
//!   the worker has woken, when the worker goes to its poller. But when the worker wakes, it takes the state with a
//!   swap. If the swap overwrites the second waker's `NOTIFIED`, the worker sees what that waker did before, and looks
//!   at its work after it. If not, the exchange of `AWAKE` for `POLLING` fails.
//!
//! A token that is left although the worker has noticed the state ends one later sleep early. That is harmless.

use std::time::Instant;

use crate::primitives::{AtomicUsize, Ordering, Parker, Unparker};

const AWAKE: usize = 0;
const POLLING: usize = 1;
const NOTIFIED: usize = 2;

/// The sleep of one worker.
pub(crate) struct Sleeper {
    state: AtomicUsize,
    parker: Parker,
    unparker: Unparker,
}

// SAFETY: the worker alone uses `parker`. The other fields are made to be shared between threads.
unsafe impl Send for Sleeper {}
// SAFETY: the worker alone uses `parker`. The other fields are made to be shared between threads.
unsafe impl Sync for Sleeper {}

impl Sleeper {
    pub(crate) fn new(parker: Parker) -> Sleeper {
        let unparker = parker.unparker();
        Sleeper { state: AtomicUsize::new(AWAKE), parker, unparker }
    }

    /// Wakes the worker. `interrupt` interrupts its poller.
    pub(crate) fn unpark(&self, interrupt: impl FnOnce()) {
        // Release: the worker, which takes the state with Acquire, sees what the waker did before. Acquire: orders the
        // interruption after the worker's store of `POLLING`.
        if self.state.swap(NOTIFIED, Ordering::AcqRel) == POLLING {
            interrupt();
        } else {
            self.unparker.unpark();
        }
    }

    /// Sleeps on the parker. Called by the worker alone.
    pub(crate) fn park(&self, deadline: Option<Instant>) {
        match deadline {
            Some(deadline) => self.parker.park_deadline(deadline),
            None => self.parker.park(),
        }
        self.wake_up();
    }

    /// Calls `poll`, which may wait if its argument is true. Called by the worker alone.
    pub(crate) fn poll(&self, poll: impl FnOnce(bool)) {
        // Acquire: the worker sees what its waker did before.
        let may_wait =
            self.state.compare_exchange(AWAKE, POLLING, Ordering::AcqRel, Ordering::Acquire).is_ok();
        poll(may_wait);
        self.wake_up();
    }

    /// Records that the worker is awake. It looks at its work after this.
    fn wake_up(&self) {
        // Acquire: a waker whose state is overwritten here leaves its token in the parker, where a worker that polls
        // next does not see it. So the worker has to see now what that waker did before. A plain store would not
        // synchronize with the waker.
        self.state.swap(AWAKE, Ordering::AcqRel);
    }
}
