//! The one waiting protocol: how everything that parks, parks, and how it is woken.
//!
//! Channels, select, locks, timers, joins and mailboxes all wait like this:
//!
//! ```text
//! let wait = Wait::new();                          // 1. open a wait: from here on it can be claimed
//! let node = Node::new(wait.party(), 0, payload);
//! resource.lock().queue.push(&node);               // 2. look once more, then stand in the queue, under its lock
//! match wait.park(reason, deadline) {              // 3. park
//!     Ok(token) => …                               //    claimed: the payload says with what
//!     Err(missed) => {                             //    timed out or cancelled: nothing was taken …
//!         resource.lock().queue.remove(&node);     // 4. … leave the queue
//!         missed.raise();                          // 5. a cancel unwinds from here; a time-out returns
//!     }
//! }
//! ```
//!
//! and are woken like this: `let claimed = resource.lock().queue.claim_next()`, leave the payload, unlock, drop
//! `claimed.wake`. [`party`] has the rules and the argument that no wake-up is lost and none hits the wrong wait.

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

/// A wait that is open: the caller's party, which can be claimed until this is dropped.
///
/// Whoever has one must have taken its nodes out of all queues, and hold no lock, before dropping it: dropped without
/// having been parked or [claimed by its owner](Wait::claim_self), it may have to take delivery of a cancel's wake-up.
pub struct Wait {
    me: Me,
    shielded: bool,
    settled: Cell<bool>,
}

impl Wait {
    /// Opens a wait of the caller, green thread or OS thread.
    #[inline]
    #[expect(clippy::new_without_default, reason = "opening a wait is an action, not a value")]
    pub fn new() -> Wait {
        Wait::of(Me::current())
    }

    /// As [`new`](Self::new), for a caller that has just asked [`current::green`].
    ///
    /// # Safety
    ///
    /// `party` is the calling green thread's.
    #[inline(always)]
    pub unsafe fn of_green(party: NonNull<Party>) -> Wait {
        Wait::of(Me::Green(party))
    }

    #[inline(always)]
    fn of(me: Me) -> Wait {
        // SAFETY: a party lives as long as its owner runs, and the owner is the caller.
        let party = unsafe { me.party().as_ref() };
        let shielded = is_shielded(party);
        party.prepare(shielded);
        Wait { me, shielded, settled: Cell::new(false) }
    }

    /// As [`new`](Self::new), of a wait from which a canceller or a timer [withdraws](Withdrawal) the caller. A shielded
    /// caller is withdrawn by nobody.
    ///
    /// # Safety
    ///
    /// The resource of the withdrawal is locked, and the caller's node is put into its queue before it is unlocked. Then
    /// the wait is parked, by [`park_withdrawable`](Self::park_withdrawable). The withdrawal and its resource stay where
    /// they are until that has returned.
    pub unsafe fn withdrawable(withdrawal: &Withdrawal) -> Wait {
        let me = Me::current();
        // SAFETY: as in `of`.
        let party = unsafe { me.party().as_ref() };
        let shielded = is_shielded(party);
        if shielded {
            party.prepare(true);
        } else {
            // SAFETY: by the contract.
            unsafe { party.prepare_withdrawable(NonNull::from(withdrawal)) };
        }
        Wait { me, shielded, settled: Cell::new(false) }
    }

    /// The party, for its nodes.
    #[inline]
    pub fn party(&self) -> NonNull<Party> {
        self.me.party()
    }

    #[inline]
    fn owner(&self) -> &Party {
        // SAFETY: as in `new`.
        unsafe { self.me.party().as_ref() }
    }

    #[inline(never)]
    fn suspend(&self, until: Deadline) {
        let party = self.owner();
        if self.shielded || party.may_suspend() {
            // SAFETY: the owner calls, on its own stack, with its wait open.
            unsafe { (party.kind().suspend)(self.party(), until) };
        }
    }

    #[cold]
    fn close_unparked(&self) {
        if !self.owner().close() {
            // Claimed meanwhile, and the wake-up is on its way: take it, or it would hit whatever we do next. The
            // claimer can only have been a canceller, whose flag outlasts this wait.
            // SAFETY: the owner calls, on its own stack, with its wait claimed.
            unsafe { (self.owner().kind().suspend)(self.party(), Deadline::Never) };
        }
    }

    /// How the wait has been ended by a waker, if it has: a look without parking.
    #[inline]
    pub fn verdict(&self) -> Option<Verdict> {
        self.owner().verdict()
    }

    /// Ends the wait by the owner's own claim: it has found what it wanted without parking. Answers false if a waker
    /// was faster; then the owner parks as usual, and is told at once.
    #[must_use]
    pub fn claim_self(&self) -> bool {
        let won = self.owner().claim(0);
        if won {
            self.settled.set(true);
        }
        won
    }

    // Inlined by force: after a stack switch the processor's record of return addresses is another stack's, so every
    // return on the way back to the caller is mispredicted, at some 20 cycles each. The same goes for `drop`.

    /// Parks until a waker has claimed the party, and answers the token of the node that was claimed; or until the
    /// deadline, the nearest enclosing [`time::timeout`](crate::time::timeout), or a cancel.
    ///
    /// # Errors
    ///
    /// [`Missed`] when the wait ended otherwise. The caller takes its nodes out of all queues, and then calls
    /// [`Missed::raise`], which unwinds unless it was the deadline given here.
    #[inline(always)]
    pub fn park(&self, reason: Reason, deadline: Option<Instant>) -> Result<usize, Missed> {
        let party = self.owner();
        let (until, limit) = bound(party, deadline);
        party.set_reason(&reason);
        if self.shielded || until.is_some() || party.switch().is_null() {
            self.suspend(until.into());
        } else if party.may_suspend() {
            // A green thread without a deadline, and not unwinding.
            // SAFETY: the owner calls, on its own stack, with its wait open; its way back is valid while it runs.
            unsafe { (*party.switch()).suspend(Suspend::Parked) };
        }
        self.ended(limit)
    }

    /// As [`park`](Self::park), of a wait that was opened with `withdrawal`, for its reason.
    ///
    /// # Errors
    ///
    /// As `park`. The caller takes its node out of its queue, if it is still there, before it [raises](Missed::raise).
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
        // Otherwise it was written down before the wait was opened, and is not touched while another may read it.
        self.suspend(until.into());
        self.ended(limit)
    }

    /// As [`park`](Self::park), unless `is_over` says that there is nothing to wait for: then the wait is ended as by
    /// [`claim_self`](Self::claim_self), and the answer is `None`. A waker that comes through no queue writes what
    /// `is_over` reads, fences, and then looks whether there is somebody to be claimed.
    ///
    /// # Errors
    ///
    /// As `park`.
    #[inline(always)]
    pub fn park_unless(
        &self,
        reason: Reason,
        mut deadline: Deadline,
        is_over: impl FnOnce() -> bool,
    ) -> Result<Option<usize>, Missed> {
        let party = self.owner();
        if self.shielded || !party.limit().is_null() {
            // The other half of what the waker does.
            fence(Ordering::SeqCst);
            if is_over() && self.claim_self() {
                return Ok(None);
            }
            return self.park(reason, deadline.fix()).map(Some);
        }
        party.set_reason(&reason);
        // Its fence serves both.
        if party.may_suspend() {
            if is_over() && self.claim_self() {
                party.set_reason(core::ptr::null());
                return Ok(None);
            }
            // SAFETY: the owner calls, on its own stack, with its wait open.
            unsafe { (party.kind().suspend)(self.party(), deadline) };
        }
        self.ended(core::ptr::null()).map(Some)
    }

    /// How it was ended, by a waker or by the deadline of `limit`; null for that of the wait itself.
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

/// Whether nothing but a waker and the wait's own deadline may end a wait of the owner's now. A destructor that parks while
/// its green thread unwinds must be let finish: a second unwinding would abort.
#[inline(always)]
fn is_shielded(party: &Party) -> bool {
    party.shields() > 0 || std::thread::panicking()
}

/// When a wait with this deadline is over, and the frame of an enclosing [`time::timeout`](crate::time::timeout) if its
/// deadline comes first.
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

/// For an OS thread that sleeps by other means than [`Wait::park`]: when the nearest enclosing
/// [`time::timeout`](crate::time::timeout) is over, and what is to be raised then.
pub fn enclosing_limit() -> Option<(Instant, Missed)> {
    let me = Me::current();
    // SAFETY: the caller's own party, which lives as long as it runs.
    let party = unsafe { me.party().as_ref() };
    let frame = party.limit_in_force()?;
    Some((frame.deadline, Missed::timed_out(frame.owner)))
}

/// Runs `f` with cancels held off, and limits from outside: what it parks on is waited for, and a cancel takes effect at
/// the next park after it. A limit that `f` opens counts.
pub fn shield<T>(f: impl FnOnce() -> T) -> T {
    struct Shield(Me);
    impl Drop for Shield {
        fn drop(&mut self) {
            // SAFETY: the owner's own party, which lives as long as it runs.
            let party = unsafe { self.0.party().as_ref() };
            party.set_shields(party.shields() - 1);
        }
    }
    let me = Me::current();
    // SAFETY: as above.
    let party = unsafe { me.party().as_ref() };
    party.set_shields(party.shields() + 1);
    let _shield = Shield(me);
    f()
}

/// Runs what comes after an operation's effect, or belongs to an end that must be complete: a cancel, a time-out, or a panic
/// of the user's code in it ends nothing outside. It may yield and park.
pub fn unfailing(f: impl FnOnce()) {
    quietly(|| shield(f));
}

/// Unwinds now if an enclosing [`time::timeout`](crate::time::timeout) is over.
#[cold]
#[inline(never)]
pub fn check_limit() {
    if let Some((deadline, missed)) = enclosing_limit()
        && crate::facade::deadline_passed(deadline)
    {
        let _ = missed.raise();
    }
}

/// Whether the caller is a green thread of which a cancel was asked for.
pub fn is_cancelled() -> bool {
    // SAFETY: the caller's own party.
    current::green().is_some_and(|party| unsafe { party.as_ref() }.is_cancelled())
}

/// Unwinds now if the calling green thread has been cancelled and is neither shielded nor unwinding already.
pub fn check_cancelled() {
    if let Some(party) = current::green() {
        // SAFETY: the caller's own party.
        let party = unsafe { party.as_ref() };
        if party.is_cancelled() && party.shields() == 0 && !std::thread::panicking() {
            let _ = Missed::cancelled().raise();
        }
    }
}
