//! The cooperative budget: how many operations a green thread may do before it lets others run.
//!
//! The rule for all operations is in this file alone. Each public operation that a loop could do without parking pays before it
//! does anything, in one of these ways:
//!
//! - [`operation`] pays for one. It lets others run first if the budget is spent. A cancel or a time-out may unwind from it,
//!   and the operation has then done nothing.
//! - [`Prepaid`] is for operations on one thing that are hot, and done with its lock held: it pays for a batch before the first
//!   of them. (A mutex counts in its state word, and pays after every [`BATCH`] locks.)
//! - [`poll_operation`] is for a future's poll. A poll must not park: it wakes its task and returns `Pending`, and the executor
//!   gives way (`block_on` here, a stackless job by its end).
//!
//! What turns out only when it is done, as the number of messages that were there, is [charged](charge) afterwards.
//!
//! Free are mere looks (`len`, `is_finished`, a value that was initialised once), what makes, clones, closes and drops an
//! endpoint or a guard, and wake-ups of one thread (`unpark`, `cancel`, a waker): a destructor may do them, and must not yield.

use core::task::{Context, Poll};

use crate::facade::MODEL;
use crate::wait::current::CURRENT;

/// Operations that a green thread may do without parking before it has to let others run.
pub const BUDGET: u32 = 256;

/// Operations that are paid for together at most, where that is for speed.
pub const BATCH: u32 = 32;

/// Pays for an operation that is about to begin, and yields to other green threads first if the budget is spent.
///
/// The caller has done nothing yet, or nothing that is not undone by an unwinding: a cancel or a time-out may end the
/// yield as it ends any park.
#[inline]
pub fn operation() {
    spend(1);
}

/// As [`operation`], for `cost` operations.
#[inline(never)]
pub fn spend(cost: u32) {
    let yield_now = CURRENT.with(|current| {
        let left = current.budget.get();
        if left > cost {
            current.budget.set(left - cost);
            return None;
        }
        let yield_now = current.green.get().and(current.yield_now.get());
        // Spent: the worker sees it, and `enter` renews it. An OS thread starts again.
        current.budget.set(if yield_now.is_some() { 0 } else { BUDGET });
        yield_now
    });
    if let Some(yield_now) = yield_now {
        yield_now();
    }
}

/// Counts `cost` operations that have been done. Neither yields nor unwinds: the next [`operation`] does, if this was all of
/// the budget.
#[inline(never)]
pub fn charge(cost: u32) {
    CURRENT.with(|current| current.budget.set(current.budget.get().saturating_sub(cost)));
}

/// Pays for an operation that a future's poll is about to begin. If the budget is spent, wakes the task and returns `Pending`:
/// the caller does the same, and has done nothing.
pub fn poll_operation(context: &Context<'_>) -> Poll<()> {
    if is_paid() {
        return Poll::Ready(());
    }
    context.waker().wake_by_ref();
    Poll::Pending
}

#[inline(never)]
fn is_paid() -> bool {
    CURRENT.with(|current| {
        let left = current.budget.get();
        if left > 1 {
            current.budget.set(left - 1);
            current.refusals.set(0);
            return true;
        }
        // An executor that goes on polling on this green thread, and never gives way, is let go on after a while. (The tasks of
        // one that does are refused once each.)
        let refusals = current.refusals.get() + 1;
        let allowed = current.green.get().is_none() || refusals > BUDGET;
        current.refusals.set(if allowed { 0 } else { refusals });
        current.budget.set(if allowed { BUDGET } else { 0 });
        allowed
    })
}

/// Operations on one thing that have been paid for, kept under its lock. Most operations then touch no thread-local.
///
/// The first batch is of one, and each later one twice as large, up to [`BATCH`]: what is used a few times pays for little
/// more than that, and a loop over new ones pays, too.
#[derive(Debug)]
pub struct Prepaid {
    /// Below zero by a few if others have used it up while one paid.
    left: i32,
    next: i32,
}

impl Prepaid {
    /// Nothing is paid for.
    #[inline]
    pub const fn new() -> Prepaid {
        const MOST: i32 = BATCH.cast_signed();
        // A model has fewer steps if all is paid for: a payment is made with the lock given up.
        if MODEL { Prepaid { left: MOST, next: MOST } } else { Prepaid { left: 0, next: 1 } }
    }

    /// Whether the next operation has to be paid for: by [`refill`](Self::refill).
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.left <= 0
    }

    /// Counts an operation.
    #[inline(always)]
    pub fn take(&mut self) {
        self.left -= 1;
    }

    /// Adds a batch. Returns what is to be [spent](spend) for it, after unlocking.
    #[must_use]
    pub fn refill(&mut self) -> u32 {
        self.left = self.next;
        self.next = (2 * self.next).min(BATCH.cast_signed());
        self.left.unsigned_abs()
    }
}

impl Default for Prepaid {
    fn default() -> Prepaid {
        Prepaid::new()
    }
}
