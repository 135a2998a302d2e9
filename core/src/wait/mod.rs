//! The waiting protocol: how every operation that parks waits, and how it is woken.
//!
//! A thread that waits opens a *wait*, leaves a *node* in the *queue* of what it waits for, and parks. A waker finds
//! the node, *claims* the waiter, and wakes it. [`waiter`](crate::wait::waiter) has the rules, and the argument that no
//! wake-up reaches the wrong wait. Two layers use the protocol:
//!
//! - [`WaitList`](crate::wait::WaitList) is the safe one: a state behind a lock, and the threads and async tasks that
//!   wait for it to change. [`wait_list`](crate::wait::wait_list) has the argument that no wake-up is lost. Locks, joins,
//!   scopes and the blocking pool wait like this.
//! - Channels, select, timers and mailboxes use waits, nodes and queues themselves, like this:
//!
//! ```text
//! let wait = Wait::new();                          // 1. open a wait: from now on it can be claimed
//! let node = Node::new(wait.waiter(), 0, payload);
//! resource.lock().queue.push(&node);               // 2. check once more, then enter the queue, under its lock
//! match wait.park(reason, deadline) {              // 3. park
//!     Ok(token) => …                               //    claimed: the payload has the result
//!     Err(error) => {                              //    timed out or cancelled: nothing was taken …
//!         resource.lock().queue.remove(&node);     // 4. … leave the queue
//!         error.raise();                           // 5. a cancel unwinds from here; a timeout returns
//!     }
//! }
//! ```
//!
//! Their wakers call `let claimed = resource.lock().queue.claim_next()`, write the payload, unlock, and drop
//! `claimed.wake`.

mod budget;
pub mod current;
pub mod deadline;
mod os_thread;
pub mod waiter;
pub mod queue;
pub mod reason;
mod task;
mod noting;
#[cfg_attr(models, path = "timer_thread_model.rs")]
mod timer_thread;
mod unwind;
mod wake;
mod withdrawal;
pub mod wait_list;

use core::cell::Cell;
use core::ptr::NonNull;
use std::time::Instant;

use crate::primitives::{Ordering, Suspend, fence};
use withdrawal::Withdrawal;

pub use budget::{BATCH, BUDGET, BudgetBatch, charge, consume, operation, poll_operation};
pub use current::{CurrentWaiter, begin_poll, note_pending, noted_pending};
pub use deadline::Deadline;
pub use noting::{Noting, noting};
pub use os_thread::{EndlessWait, ThreadWaiter, set_endless_wait};
pub use queue::{Claimed, Node, WaitQueue};
pub use reason::{Kind, Reason};
pub use task::{OwnedWaker, TaskWaiter};
pub use timer_thread::TaskTimer;
pub use unwind::{
    CancelUnwind, Discarded, Elapsed, TimeoutUnwind, WaitError, drop_all, is_internal_unwind,
    reject_stray_unwind, reject_stray_unwind_at_end, run_catching, use_and_drop,
};
pub use wait_list::{MixedWaitList, Queue, WaitFuture, WaitList, WaitOptions, Waited};
pub use waiter::{TimeoutFrame, WaitOutcome, Waiter, WaiterVtable};
pub use wake::{EndedWake, Wake};

/// An open wait of the caller. Its waiter can be claimed until this value is dropped.
///
/// Before it is dropped, the caller removes its nodes from all queues and releases all locks. A wait that was neither
/// parked nor [claimed by its owner](Wait::claim_self) may have to receive the wake-up of a cancel in its destructor.
pub struct Wait {
    me: CurrentWaiter,
    shielded: bool,
    settled: Cell<bool>,
}

impl Wait {
    /// Opens a wait of the caller, which is a green thread or an OS thread.
    #[inline]
    #[expect(clippy::new_without_default, reason = "opening a wait is an action, not a value")]
    pub fn new() -> Wait {
        Wait::of(CurrentWaiter::current())
    }

    /// Like [`new`](Self::new), for a caller that has just called [`current::green`].
    ///
    /// # Safety
    ///
    /// `waiter` is the waiter of the calling green thread.
    #[inline(always)]
    pub unsafe fn of_green(waiter: NonNull<Waiter>) -> Wait {
        Wait::of(CurrentWaiter::Green(waiter))
    }

    #[inline(always)]
    fn of(me: CurrentWaiter) -> Wait {
        // SAFETY: a waiter lives as long as its owner runs, and the owner is the caller.
        let waiter = unsafe { me.waiter().as_ref() };
        let shielded = is_shielded(waiter);
        waiter.prepare(shielded);
        Wait { me, shielded, settled: Cell::new(false) }
    }

    /// Opens a wait of the caller, whose waiter is `me`. A canceller or a timer can [withdraw](Withdrawal) the caller
    /// from it. A shielded caller is never withdrawn.
    ///
    /// # Safety
    ///
    /// The resource of the withdrawal is locked, and the caller adds its node to the resource's queue before it
    /// unlocks. Then it parks with [`park_withdrawable`](Self::park_withdrawable). The withdrawal and its resource
    /// stay valid, and do not move, until that call has returned.
    unsafe fn withdrawable(me: CurrentWaiter, withdrawal: &Withdrawal) -> Wait {
        // SAFETY: a waiter lives as long as its owner runs, and the owner is the caller.
        let waiter = unsafe { me.waiter().as_ref() };
        let shielded = is_shielded(waiter);
        if shielded {
            waiter.prepare(true);
        } else {
            // SAFETY: the caller keeps the withdrawal in place until `park_withdrawable` has returned, and so until
            // the wait is over.
            unsafe { waiter.prepare_withdrawable(NonNull::from(withdrawal)) };
        }
        Wait { me, shielded, settled: Cell::new(false) }
    }

    /// Returns the waiter, for its nodes.
    #[inline]
    pub fn waiter(&self) -> NonNull<Waiter> {
        self.me.waiter()
    }

    #[inline]
    fn owner(&self) -> &Waiter {
        // SAFETY: a waiter lives as long as its owner runs, and the owner is the caller.
        unsafe { self.me.waiter().as_ref() }
    }

    #[inline(never)]
    fn suspend(&self, until: Deadline) {
        let waiter = self.owner();
        if self.shielded || waiter.may_suspend() {
            // SAFETY: the owner calls this on its own stack, while its wait is open.
            unsafe { (waiter.kind().suspend)(self.waiter(), until) };
        }
    }

    #[cold]
    fn close_unparked(&self) {
        if !self.owner().close() {
            // The waiter was claimed in the meantime, and the wake-up is on its way. The owner receives it here;
            // otherwise it would end a later wait. The nodes have left all queues, so the claimer is a canceller. Its
            // flag outlasts this wait, so the cancel is not lost.
            // SAFETY: the owner calls this on its own stack, while its wait is claimed.
            unsafe { (self.owner().kind().suspend)(self.waiter(), Deadline::Never) };
        }
    }

    /// Returns how a waker has ended the wait, or `None` if none has. Does not park.
    #[inline]
    pub fn outcome(&self) -> Option<WaitOutcome> {
        self.owner().outcome()
    }

    /// Ends the wait by the owner's own claim, because the owner has found what it wanted without parking. Returns
    /// false if a waker was faster; then the owner parks as usual, and that returns at once.
    #[must_use]
    pub fn claim_self(&self) -> bool {
        let won = self.owner().claim(0);
        if won {
            self.settled.set(true);
        }
        won
    }

    // `inline(always)`: after a stack switch, the processor's return-address predictor holds the addresses of another
    // stack. So each return on the way back to the caller is mispredicted, at some 20 cycles each. The same holds for
    // `drop`.

    /// Parks until a waker has claimed the waiter, and returns the token of the claimed node. Also ends at the
    /// deadline, at the deadline of the nearest enclosing [`time::timeout`](crate::time::timeout), or at a cancel.
    ///
    /// # Errors
    ///
    /// Returns [`WaitError`] if a deadline or a cancel ended the wait. The caller then removes its nodes from all
    /// queues and calls [`WaitError::raise`], which unwinds, or returns if the `deadline` given here has passed.
    #[inline(always)]
    pub fn park(&self, reason: Reason, deadline: Option<Instant>) -> Result<usize, WaitError> {
        let waiter = self.owner();
        let (until, frame) = bound(waiter, deadline);
        waiter.set_reason(&reason);
        if self.shielded || until.is_some() || waiter.switch().is_none() {
            self.suspend(until.into());
        } else if waiter.may_suspend() {
            // This is a green thread without a deadline that is not unwinding.
            // SAFETY: the owner calls this on its own stack, while its wait is open. Its switch is valid while it runs.
            unsafe { waiter.switch().suspend(Suspend::Parked) };
        }
        self.ended(frame)
    }

    /// Like [`park`](Self::park), for a wait that was opened with `withdrawal`, whose reason it uses.
    ///
    /// # Errors
    ///
    /// Returns [`WaitError`] if a deadline or a cancel ended the wait. The caller removes its node from its queue, if
    /// it is still there, before it calls [`WaitError::raise`].
    fn park_withdrawable(
        &self,
        withdrawal: &Withdrawal,
        deadline: Option<Instant>,
    ) -> Result<usize, WaitError> {
        let waiter = self.owner();
        let (until, frame) = bound(waiter, deadline);
        if self.shielded {
            waiter.set_reason(withdrawal.reason());
        }
        // Without a shield, the reason was set before the wait was opened. It is not written here, because another
        // thread may be reading it.
        self.suspend(until.into());
        self.ended(frame)
    }

    /// Like [`park`](Self::park), unless `is_over` returns that there is nothing to wait for. Then the wait is ended
    /// as by [`claim_self`](Self::claim_self), and this returns `None`. A waker that comes through no queue writes
    /// what `is_over` reads, fences, and then looks for a waiter to claim.
    ///
    /// # Errors
    ///
    /// Returns [`WaitError`] in the same cases as `park`.
    #[inline(always)]
    pub fn park_unless(
        &self,
        reason: Reason,
        mut deadline: Deadline,
        is_over: impl FnOnce() -> bool,
    ) -> Result<Option<usize>, WaitError> {
        let waiter = self.owner();
        if self.shielded || !waiter.timeout_frame().is_null() {
            // SeqCst: the counterpart of the waker's fence. Either `is_over` reads what the waker wrote, or the waker
            // finds this waiter.
            fence(Ordering::SeqCst);
            if is_over() && self.claim_self() {
                return Ok(None);
            }
            return self.park(reason, deadline.fix()).map(Some);
        }
        waiter.set_reason(&reason);
        // The fence in `may_suspend` serves for cancels and for `is_over`.
        if waiter.may_suspend() {
            if is_over() && self.claim_self() {
                waiter.set_reason(core::ptr::null());
                return Ok(None);
            }
            // SAFETY: the owner calls this on its own stack, while its wait is open.
            unsafe { (waiter.kind().suspend)(self.waiter(), deadline) };
        }
        self.ended(core::ptr::null()).map(Some)
    }

    /// Returns how the wait ended. `frame` is the timeout frame whose deadline bounded the wait, or null for the
    /// wait's own deadline.
    #[inline(always)]
    fn ended(&self, frame: *const TimeoutFrame) -> Result<usize, WaitError> {
        let waiter = self.owner();
        waiter.set_reason(core::ptr::null());
        self.settled.set(true);
        match waiter.outcome() {
            Some(WaitOutcome::Token(token)) => Ok(token),
            Some(WaitOutcome::Cancelled) => Err(WaitError::cancelled()),
            Some(WaitOutcome::TimedOut) => Err(WaitError::timed_out(frame)),
            None => unreachable!("a waiter was resumed without a claim"),
        }
    }
}

/// Returns whether only a waker and the wait's own deadline may end a wait of the owner now. A destructor that parks
/// while its green thread unwinds must be allowed to finish, because a second unwind would abort.
#[inline(always)]
fn is_shielded(waiter: &Waiter) -> bool {
    waiter.shields() > 0 || std::thread::panicking()
}

/// Returns when a wait with this deadline ends. If the deadline of an enclosing
/// [`time::timeout`](crate::time::timeout) comes first, also returns the frame of that timeout.
#[inline(always)]
fn bound(waiter: &Waiter, deadline: Option<Instant>) -> (Option<Instant>, *const TimeoutFrame) {
    if !waiter.timeout_frame().is_null()
        && let Some(frame) = waiter.timeout_in_force()
        && deadline.is_none_or(|deadline| frame.deadline < deadline)
    {
        return (Some(frame.deadline), frame.owner);
    }
    (deadline, core::ptr::null())
}

impl Drop for Wait {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.settled.get() {
            self.close_unparked();
        }
        self.owner().finish();
    }
}

/// For an OS thread that sleeps by other means than [`Wait::park`]: returns the deadline of the nearest enclosing
/// [`time::timeout`](crate::time::timeout), and what to raise when it has passed.
pub fn enclosing_timeout() -> Option<(Instant, WaitError)> {
    let me = CurrentWaiter::current();
    // SAFETY: this is the caller's own waiter, which lives as long as the caller runs.
    let waiter = unsafe { me.waiter().as_ref() };
    let frame = waiter.timeout_in_force()?;
    Some((frame.deadline, WaitError::timed_out(frame.owner)))
}

/// Returns whether a payload is the unwind of an enclosing [`time::timeout`](crate::time::timeout) of the caller, or of
/// the caller's own cancel. Code that catches panics of something else resumes such a payload.
pub fn ends_caller(payload: &(dyn core::any::Any + Send)) -> bool {
    if is_internal_unwind(payload) {
        return is_cancelled();
    }
    let Some(unwind) = payload.downcast_ref::<TimeoutUnwind>() else { return false };
    let me = CurrentWaiter::current();
    // SAFETY: this is the caller's own waiter, which lives as long as the caller runs.
    let frame = unsafe { me.waiter().as_ref() }.timeout_frame();
    // An unwind goes to the frame with the earliest deadline, which is the `owner` of the frames inside it.
    // SAFETY: both frames are on the caller's stack, in calls of `timeout` that enclose this one.
    unsafe { frame.as_ref().is_some_and(|frame| unwind.is_for(&*frame.owner)) }
}

/// Runs `f` while cancels and outer timeouts are held off: they do not end the parks in `f`. A cancel takes effect at
/// the next park after `f`. A timeout that `f` itself opens does end parks in `f`.
pub fn shield<T>(f: impl FnOnce() -> T) -> T {
    struct Shield(CurrentWaiter);
    impl Drop for Shield {
        fn drop(&mut self) {
            // SAFETY: this is the owner's own waiter, which lives as long as the owner runs.
            let waiter = unsafe { self.0.waiter().as_ref() };
            waiter.set_shields(waiter.shields() - 1);
        }
    }
    let me = CurrentWaiter::current();
    // SAFETY: this is the caller's own waiter, which lives as long as the caller runs.
    let waiter = unsafe { me.waiter().as_ref() };
    waiter.set_shields(waiter.shields() + 1);
    let _shield = Shield(me);
    f()
}

/// Runs code that comes after an operation's effect, or that completes the end of something. A cancel, a timeout or a
/// panic of user code inside `f` does not propagate out of it. `f` may yield and park.
pub fn run_shielded_catching(f: impl FnOnce()) {
    run_catching(|| shield(f));
}

/// Unwinds if the deadline of an enclosing [`time::timeout`](crate::time::timeout) has passed.
#[cold]
#[inline(never)]
pub fn check_timeout() {
    if let Some((deadline, error)) = enclosing_timeout()
        && crate::primitives::deadline_passed(deadline)
    {
        let _ = error.raise();
    }
}

/// Returns whether the caller is a green thread for which a cancel was requested.
pub fn is_cancelled() -> bool {
    // SAFETY: this is the caller's own waiter, which lives as long as the caller runs.
    current::green().is_some_and(|waiter| unsafe { waiter.as_ref() }.is_cancelled())
}

/// Unwinds if the calling green thread has been cancelled and is neither shielded nor already unwinding.
pub fn check_cancelled() {
    if let Some(waiter) = current::green() {
        // SAFETY: this is the caller's own waiter, which lives as long as the caller runs.
        let waiter = unsafe { waiter.as_ref() };
        if waiter.is_cancelled() && waiter.shields() == 0 && !std::thread::panicking() {
            let _ = WaitError::cancelled().raise();
        }
    }
}
