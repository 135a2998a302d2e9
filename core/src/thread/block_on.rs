//! `block_on`: runs a future from blocking code.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll};
use std::sync::Arc;
use std::task::{Wake as StdWake, Waker};

use crate::wait::{Kind, Reason, WaitList, WaitOptions, Waited, operation};

/// Whether the future was woken since the last wait. The future's wakers share it with the thread that polls.
#[derive(Default)]
struct Signal(WaitList<bool>);

impl StdWake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.update(|woken, [waiter]| *woken = waiter.claim_next().is_none());
    }
}

impl Signal {
    /// Waits until the future has been woken. Returns false without waiting if it was woken before the call.
    fn wait(&self, reason: Reason) -> bool {
        match self.0.wait(WaitOptions::new(reason), |woken| core::mem::take(woken).then_some(())) {
            Ok(waited) => waited == Waited::Woken(()),
            Err(error) => {
                let _ = error.raise();
                unreachable!("the wait has no deadline of its own")
            }
        }
    }
}

/// Runs a future to completion. The future must not need the context of another runtime.
///
/// # Parks
///
/// Parks whenever the future is pending. A cancel unwinds from here and drops the future.
///
/// # Examples
///
/// ```
/// assert_eq!(kahn::block_on(async { 6 * 7 }), 42);
/// ```
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    // A loop over futures that never wait yields for the budget, too.
    operation();
    let signal = Arc::new(Signal::default());
    let reason = Reason::new(Kind::Future, Arc::as_ptr(&signal));
    let waker = Waker::from(Arc::clone(&signal));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        if !signal.wait(reason) {
            // A future that wakes itself wants others to run, or was refused because the budget is spent.
            operation();
        }
    }
}
