//! A future as a case of a select.
//!
//! ```text
//!   select                                          waker of the future, on any thread
//!   1. look: clear `woken`, poll; take the output if it is ready
//!   2. open the wait
//!   3. enter: lock; start again if `woken`,         a. lock, set `woken`, claim the select, unlock
//!      else push the node; unlock                   b. wake it
//!   4. park; leave; look again
//! ```
//!
//! No wake-up is lost: one that comes before 3 is seen there, and a later one finds the node. A select that is woken
//! looks at all cases again, and polls the future once more.
//!
//! A future whose output is ready has had its effect. So it is polled only in pass 1, where a case that can be done is
//! chosen at once. The futures of all cases are dropped before the body of the chosen arm runs. What a future has been
//! given meanwhile, it passes on when it is dropped.

use core::cell::{Cell, RefCell};
use core::panic::Location;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;
use std::task::Wake;
use std::time::Instant;

use kahn_core::primitives::{Lock, MODEL};
use kahn_core::wait::{Node, Wait, WaitQueue, operation, run_shielded_catching};

use crate::reservation::Reservation;
use crate::select::case::{Entered, Identity, Operation, settle};
use crate::waiters::Wakes;

/// A future that a select waits for, and its output.
pub struct FutureCase<'f, F: Future> {
    /// `None` once the future is dropped.
    future: RefCell<Pin<&'f mut Option<F>>>,
    output: Cell<Option<F::Output>>,
    signal: Arc<Signal>,
}

/// What the waker of the future shares with the select.
struct Signal(Lock<State>);

struct State {
    /// Set if the future has to be polled.
    woken: bool,
    /// Counts how often the future was woken.
    wakes: u64,
    /// The select, while it waits.
    queue: WaitQueue,
}

impl Wake for Signal {
    fn wake(self: Arc<Signal>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Signal>) {
        let claimed = {
            let mut state = self.0.lock();
            state.woken = true;
            state.wakes += 1;
            state.queue.claim_next()
        };
        // The wait slot keeps its status, so the select starts again. It is woken here, after unlocking.
        drop(claimed.map(|claimed| claimed.wake));
    }
}

impl<'f, F: Future> FutureCase<'f, F> {
    /// Makes the case of a future that has not been polled.
    pub fn new(future: Pin<&'f mut Option<F>>) -> FutureCase<'f, F> {
        let state = State { woken: true, wakes: 0, queue: WaitQueue::new() };
        let signal = Arc::new(Signal(Lock::new(state)));
        FutureCase { future: RefCell::new(future), output: Cell::new(None), signal }
    }

    /// Returns the output, if this case was selected.
    pub(crate) fn take_output(&self) -> Option<F::Output> {
        self.output.take()
    }

    fn poll(&self) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(&self.signal));
        let mut future = self.future.borrow_mut();
        match future.as_mut().as_pin_mut() {
            Some(future) => future.poll(&mut Context::from_waker(&waker)),
            None => Poll::Pending,
        }
    }

    fn must_poll(&self) -> bool {
        core::mem::replace(&mut self.signal.0.lock().woken, false)
    }
}

impl<F: Future> Operation for FutureCase<'_, F> {
    /// No other select enters this queue, so its place in the order of the queues does not matter. In a model it is
    /// fixed, because addresses differ from run to run.
    fn identity(&self) -> Identity {
        let address = if MODEL { 1 } else { Arc::as_ptr(&self.signal).addr() };
        Identity { address, sends: false }
    }

    fn look(&self) -> Option<Reservation> {
        // A future that finds the budget spent wakes its task and is pending. Then this pays, which yields, and polls
        // once more.
        for _ in 0..2 {
            if !self.must_poll() {
                return None;
            }
            if let Poll::Ready(output) = self.poll() {
                self.output.set(Some(output));
                return Some(Reservation::Reserved);
            }
            operation();
        }
        None
    }

    unsafe fn enter(&self, node: NonNull<Node>, wait: &Wait, _wakes: &mut Wakes) -> Entered {
        let mut state = self.signal.0.lock();
        if state.woken {
            return settle(wait, || None);
        }
        // SAFETY: the caller guarantees that the node stays at its address until it is out of the queue. The wait is
        // open.
        unsafe { state.queue.push(node) };
        Entered::Waiting
    }

    unsafe fn leave(&self, node: NonNull<Node>) {
        // SAFETY: the caller guarantees that the node is valid, and is in this queue or in none.
        unsafe { self.signal.0.lock().queue.remove(node) };
    }

    fn is_ready(&self) -> bool {
        unreachable!("only the macros select futures, and they do not ask whether a case is ready")
    }

    unsafe fn watch(&self, _node: NonNull<Node>, _wait: &Wait) -> bool {
        unreachable!("only the macros select futures, and they do not ask whether a case is ready")
    }

    unsafe fn unwatch(&self, _node: NonNull<Node>) {}

    fn idle_since(&self) -> Option<u64> {
        let state = self.signal.0.lock();
        (!state.woken).then_some(state.wakes)
    }

    fn due(&self) -> Option<Instant> {
        None
    }

    fn await_unsent(&self, _location: &'static Location<'static>) -> Option<Reservation> {
        unreachable!("a future has no partner that could give up")
    }

    /// The output is dropped with the case.
    fn give_up(&self, _reservation: Reservation) {}

    fn finish(&self) {
        // The chosen operation has been reserved, so a panic of a destructor ends here.
        run_shielded_catching(|| self.future.borrow_mut().set(None));
    }
}
