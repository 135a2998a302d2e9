//! The waiting protocol: how every operation that parks waits, and how it is woken.
//!
//! Channels, select, locks, timers, joins and mailboxes all wait like this:
//!
//! ```text
//! let wait = Wait::new();                          // 1. open a wait: from now on it can be claimed
//! let node = Node::new(wait.party(), 0, payload);
//! resource.lock().queue.push(&node);               // 2. check once more, then enter the queue, under its lock
//! match wait.park(reason, deadline) {              // 3. park
//!     Ok(token) => …                               //    claimed: the payload has the result
//!     Err(missed) => {                             //    timed out or cancelled: nothing was taken …
//!         resource.lock().queue.remove(&node);     // 4. … leave the queue
//!         missed.raise();                          // 5. a cancel unwinds from here; a timeout returns
//!     }
//! }
//! ```
//!
//! A waker does this: it calls `let claimed = resource.lock().queue.claim_next()`, writes the payload, unlocks, and
//! drops `claimed.wake`. [`party`] has the rules, and the argument that no wake-up is lost and that none reaches the
//! wrong wait.

mod budget;
pub mod current;
pub mod deadline;
mod os_thread;
pub mod party;
pub mod queue;
pub mod reason;
mod task;
mod unwind;
mod wake;
mod withdrawal;

use core::cell::Cell;
use core::ptr::NonNull;
use std::time::Instant;

use crate::facade::{Ordering, Suspend, fence};

pub use budget::{BATCH, BUDGET, Prepaid, charge, operation, poll_operation, spend};
pub use current::Me;
pub use deadline::Deadline;
pub use os_thread::{EndlessWait, ThreadParty, set_endless_wait};
pub use party::{Limit, Party, PartyKind, Verdict};
pub use queue::{Claimed, Node, WaitQueue};
pub use reason::{Kind, Reason};
pub use task::TaskParty;
pub use unwind::{
    CancelUnwind, Discarded, LimitUnwind, Missed, TimedOut, drop_all, is_quiet_unwind, quietly, settled,
    settled_at_end,
};
pub use wake::{MissedWake, Wake};
pub use withdrawal::Withdrawal;

/// An open wait of the caller. Its waiter (`Party`) can be claimed until this value is dropped.
///
/// Before it is dropped, the caller removes its nodes from all queues and releases all locks. A wait that was neither
/// parked nor [claimed by its owner](Wait::claim_self) may have to receive the wake-up of a cancel in its destructor.
pub struct Wait {
    me: Me,
    shielded: bool,
    settled: Cell<bool>,
}

impl Wait {
    /// Opens a wait of the caller, which is a green thread or an OS thread.
    #[inline]
    #[expect(clippy::new_without_default, reason = "opening a wait is an action, not a value")]
    pub fn new() -> Wait {
        Wait::of(Me::current())
    }

    /// Like [`new`](Self::new), for a caller that has just called [`current::green`].
    ///
    /// # Safety
    ///
    /// `party` is the waiter of the calling green thread.
    #[inline(always)]
    pub unsafe fn of_green(party: NonNull<Party>) -> Wait {
        Wait::of(Me::Green(party))
    }

    #[inline(always)]
    fn of(me: Me) -> Wait {
        // SAFETY: a waiter lives as long as its owner runs, and the owner is the caller.
        let party = unsafe { me.party().as_ref() };
        let shielded = is_shielded(party);
        party.prepare(shielded);
        Wait { me, shielded, settled: Cell::new(false) }
    }

    /// Like [`new`](Self::new), but a canceller or a timer can [withdraw](Withdrawal) the caller from the wait. A
    /// shielded caller is never withdrawn.
    ///
    /// # Safety
    ///
    /// The resource of the withdrawal is locked, and the caller adds its node to the resource's queue before it
    /// unlocks. Then it parks with [`park_withdrawable`](Self::park_withdrawable). The withdrawal and its resource
    /// stay valid, and do not move, until that call has returned.
    pub unsafe fn withdrawable(withdrawal: &Withdrawal) -> Wait {
        let me = Me::current();
        // SAFETY: a waiter lives as long as its owner runs, and the owner is the caller.
        let party = unsafe { me.party().as_ref() };
        let shielded = is_shielded(party);
        if shielded {
            party.prepare(true);
        } else {
            // SAFETY: the caller keeps the withdrawal in place until `park_withdrawable` has returned, and so until
            // the wait is over.
            unsafe { party.prepare_withdrawable(NonNull::from(withdrawal)) };
        }
        Wait { me, shielded, settled: Cell::new(false) }
    }

    /// Returns the waiter, for its nodes.
    #[inline]
    pub fn party(&self) -> NonNull<Party> {
        self.me.party()
    }

    #[inline]
    fn owner(&self) -> &Party {
        // SAFETY: a waiter lives as long as its owner runs, and the owner is the caller.
        unsafe { self.me.party().as_ref() }
    }

    #[inline(never)]
    fn suspend(&self, until: Deadline) {
        let party = self.owner();
        if self.shielded || party.may_suspend() {
            // SAFETY: the owner calls this on its own stack, while its wait is open.
            unsafe { (party.kind().suspend)(self.party(), until) };
        }
    }

    #[cold]
    fn close_unparked(&self) {
        if !self.owner().close() {
            // The waiter was claimed in the meantime, and the wake-up is on its way. The owner receives it here;
            // otherwise it would end a later wait. The nodes have left all queues, so the claimer is a canceller. Its
            // flag outlasts this wait, so the cancel is not lost.
            // SAFETY: the owner calls this on its own stack, while its wait is claimed.
            unsafe { (self.owner().kind().suspend)(self.party(), Deadline::Never) };
        }
    }

    /// Returns how a waker has ended the wait, or `None` if none has. Does not park.
    #[inline]
    pub fn verdict(&self) -> Option<Verdict> {
        self.owner().verdict()
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
    /// Returns [`Missed`] if a deadline or a cancel ended the wait. The caller then removes its nodes from all queues
    /// and calls [`Missed::raise`], which unwinds, or returns if the `deadline` given here has passed.
    #[inline(always)]
    pub fn park(&self, reason: Reason, deadline: Option<Instant>) -> Result<usize, Missed> {
        let party = self.owner();
        let (until, limit) = bound(party, deadline);
        party.set_reason(&reason);
        if self.shielded || until.is_some() || party.switch().is_null() {
            self.suspend(until.into());
        } else if party.may_suspend() {
            // This is a green thread without a deadline that is not unwinding.
            // SAFETY: the owner calls this on its own stack, while its wait is open. Its switch is valid while it runs.
            unsafe { (*party.switch()).suspend(Suspend::Parked) };
        }
        self.ended(limit)
    }

    /// Like [`park`](Self::park), for a wait that was opened with `withdrawal`, whose reason it uses.
    ///
    /// # Errors
    ///
    /// Returns [`Missed`] if a deadline or a cancel ended the wait. The caller removes its node from its queue, if it
    /// is still there, before it calls [`Missed::raise`].
    pub fn park_withdrawable(
        &self,
        withdrawal: &Withdrawal,
        deadline: Option<Instant>,
    ) -> Result<usize, Missed> {
        let party = self.owner();
        let (until, limit) = bound(party, deadline);
        if self.shielded {
            party.set_reason(withdrawal.reason());
        }
        // Without a shield, the reason was set before the wait was opened. It is not written here, because another
        // thread may be reading it.
        self.suspend(until.into());
        self.ended(limit)
    }

    /// Like [`park`](Self::park), unless `is_over` returns that there is nothing to wait for. Then the wait is ended
    /// as by [`claim_self`](Self::claim_self), and this returns `None`. A waker that comes through no queue writes
    /// what `is_over` reads, fences, and then looks for a waiter to claim.
    ///
    /// # Errors
    ///
    /// Returns [`Missed`] in the same cases as `park`.
    #[inline(always)]
    pub fn park_unless(
        &self,
        reason: Reason,
        mut deadline: Deadline,
        is_over: impl FnOnce() -> bool,
    ) -> Result<Option<usize>, Missed> {
        let party = self.owner();
        if self.shielded || !party.limit().is_null() {
            // SeqCst: the counterpart of the waker's fence. Either `is_over` reads what the waker wrote, or the waker
            // finds this waiter.
            fence(Ordering::SeqCst);
            if is_over() && self.claim_self() {
                return Ok(None);
            }
            return self.park(reason, deadline.fix()).map(Some);
        }
        party.set_reason(&reason);
        // The fence in `may_suspend` serves for cancels and for `is_over`.
        if party.may_suspend() {
            if is_over() && self.claim_self() {
                party.set_reason(core::ptr::null());
                return Ok(None);
            }
            // SAFETY: the owner calls this on its own stack, while its wait is open.
            unsafe { (party.kind().suspend)(self.party(), deadline) };
        }
        self.ended(core::ptr::null()).map(Some)
    }

    /// Returns how the wait ended. `limit` is the timeout frame whose deadline bounded the wait, or null for the
    /// wait's own deadline.
    #[inline(always)]
    fn ended(&self, limit: *const Limit) -> Result<usize, Missed> {
        let party = self.owner();
        party.set_reason(core::ptr::null());
        self.settled.set(true);
        match party.verdict() {
            Some(Verdict::Token(token)) => Ok(token),
            Some(Verdict::Cancelled) => Err(Missed::cancelled()),
            Some(Verdict::TimedOut) => Err(Missed::timed_out(limit)),
            None => unreachable!("a party was resumed that nobody had claimed"),
        }
    }
}

/// Returns whether only a waker and the wait's own deadline may end a wait of the owner now. A destructor that parks
/// while its green thread unwinds must be allowed to finish, because a second unwind would abort.
#[inline(always)]
fn is_shielded(party: &Party) -> bool {
    party.shields() > 0 || std::thread::panicking()
}

/// Returns when a wait with this deadline ends. If the deadline of an enclosing
/// [`time::timeout`](crate::time::timeout) comes first, also returns the frame of that timeout.
#[inline(always)]
fn bound(party: &Party, deadline: Option<Instant>) -> (Option<Instant>, *const Limit) {
    if !party.limit().is_null()
        && let Some(frame) = party.limit_in_force()
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
pub fn enclosing_limit() -> Option<(Instant, Missed)> {
    let me = Me::current();
    // SAFETY: this is the caller's own waiter, which lives as long as the caller runs.
    let party = unsafe { me.party().as_ref() };
    let frame = party.limit_in_force()?;
    Some((frame.deadline, Missed::timed_out(frame.owner)))
}

/// Runs `f` while cancels and outer timeouts are held off: they do not end the parks in `f`. A cancel takes effect at
/// the next park after `f`. A timeout that `f` itself opens does end parks in `f`.
pub fn shield<T>(f: impl FnOnce() -> T) -> T {
    struct Shield(Me);
    impl Drop for Shield {
        fn drop(&mut self) {
            // SAFETY: this is the owner's own waiter, which lives as long as the owner runs.
            let party = unsafe { self.0.party().as_ref() };
            party.set_shields(party.shields() - 1);
        }
    }
    let me = Me::current();
    // SAFETY: this is the caller's own waiter, which lives as long as the caller runs.
    let party = unsafe { me.party().as_ref() };
    party.set_shields(party.shields() + 1);
    let _shield = Shield(me);
    f()
}

/// Runs code that comes after an operation's effect, or that completes the end of something. A cancel, a timeout or a
/// panic of user code inside `f` does not propagate out of it. `f` may yield and park.
pub fn unfailing(f: impl FnOnce()) {
    quietly(|| shield(f));
}

/// Unwinds if the deadline of an enclosing [`time::timeout`](crate::time::timeout) has passed.
#[cold]
#[inline(never)]
pub fn check_limit() {
    if let Some((deadline, missed)) = enclosing_limit()
        && crate::facade::deadline_passed(deadline)
    {
        let _ = missed.raise();
    }
}

/// Returns whether the caller is a green thread for which a cancel was requested.
pub fn is_cancelled() -> bool {
    // SAFETY: this is the caller's own waiter, which lives as long as the caller runs.
    current::green().is_some_and(|party| unsafe { party.as_ref() }.is_cancelled())
}

/// Unwinds if the calling green thread has been cancelled and is neither shielded nor already unwinding.
pub fn check_cancelled() {
    if let Some(party) = current::green() {
        // SAFETY: this is the caller's own waiter, which lives as long as the caller runs.
        let party = unsafe { party.as_ref() };
        if party.is_cancelled() && party.shields() == 0 && !std::thread::panicking() {
            let _ = Missed::cancelled().raise();
        }
    }
}
