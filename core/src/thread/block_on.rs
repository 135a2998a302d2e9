//! `block_on`: runs a future from blocking code.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll};
use std::sync::Arc;
use std::task::{Wake as StdWake, Waker};

use crate::primitives::Lock;
use crate::wait::{Kind, Node, Reason, Wait, WaitQueue, operation};

/// The state that the future's wakers share with the thread that polls it.
#[derive(Default)]
struct Signal {
    state: Lock<State>,
}

#[derive(Default)]
struct State {
    woken: bool,
    waiting: WaitQueue,
}

impl StdWake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let claimed = {
            let mut state = self.state.lock();
            let claimed = state.waiting.claim_next();
            state.woken = claimed.is_none();
            claimed
        };
        if let Some(claimed) = claimed {
            claimed.wake.wake();
        }
    }
}

impl Signal {
    /// Waits until the future has been woken. Returns false without waiting if it was woken before the call.
    fn wait(&self, reason: Reason) -> bool {
        let wait = Wait::new();
        let node = Node::new(wait.waiter(), 0, core::ptr::null_mut());
        {
            let mut state = self.state.lock();
            if core::mem::take(&mut state.woken) {
                drop(state);
                return false;
            }
            // SAFETY: the node is new, `Wait::new` has opened its wait, and it does not move. It leaves the queue
            // before this function returns: its claimer removes it, or the code below does.
            unsafe { state.waiting.push((&node).into()) };
        }
        if let Err(error) = wait.park(reason, None) {
            // SAFETY: the node is in this queue or in none.
            unsafe { self.state.lock().waiting.remove((&node).into()) };
            drop(wait);
            let _ = error.raise();
        }
        true
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
