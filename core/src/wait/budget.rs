//! The cooperative budget: how many operations a green thread may do before it yields to others.
//!
//! This file alone has the rule. Each public operation that a loop could repeat without parking pays before it does
//! anything, in one of these ways:
//!
//! - [`operation`] pays for one operation. If the budget is spent, it yields first. A cancel or a timeout may unwind
//!   from that yield, and then the operation has done nothing.
//! - [`BudgetBatch`] is for hot operations on one resource whose lock is held: it pays for a batch before the first of
//!   them. (A mutex counts in its state word, and pays after every [`BATCH`] locks.)
//! - [`poll_operation`] is for the poll of a future. A poll must not park. So it wakes its task and returns
//!   `Pending`, and the executor yields (`block_on` of this crate does; a stackless task yields by ending its run).
//!
//! A cost that is known only when the operation is done, such as the number of messages that were there, is
//! [charged](charge) afterwards.
//!
//! Some operations are free: queries (`len`, `is_finished`, access to a value that is initialized already); creating,
//! cloning, closing and dropping an endpoint or a guard; waking one thread (`unpark`, `cancel`, a waker); ending an
//! actor, its membership, or one of its links, monitors and timers (`stop`, `kill`, `unregister`, `leave`, `unsubscribe`,
//! `unlink`, `demonitor`, `cancel_timer`, `clear_idle_timeout`). A destructor may do these, and a destructor must not
//! yield.

use core::task::{Context, Poll};

use crate::primitives::MODEL;
use crate::wait::current::CURRENT;

/// The number of operations that a green thread may do without parking before it has to yield.
pub const BUDGET: u32 = 256;

/// The largest number of operations that are paid for together, which is done for speed.
pub const BATCH: u32 = 32;

/// Pays for an operation that is about to begin. If the budget is spent, yields to other green threads first.
///
/// The caller has done nothing yet that an unwind would not undo: a cancel or a timeout may end the yield as it ends
/// any park.
#[inline]
pub fn operation() {
    consume(1);
}

/// Like [`operation`], for `cost` operations.
#[inline(never)]
pub fn consume(cost: u32) {
    let yield_now = CURRENT.with(|current| {
        let left = current.budget.get();
        if left > cost {
            current.budget.set(left - cost);
            return None;
        }
        let yield_now = current.green.get().and(current.yield_now.get());
        // A spent budget stays at 0, which the worker sees; `enter` renews it. An OS thread starts again with a full
        // one.
        current.budget.set(if yield_now.is_some() { 0 } else { BUDGET });
        yield_now
    });
    if let Some(yield_now) = yield_now {
        yield_now();
    }
}

/// Charges `cost` operations that are done already. Neither yields nor unwinds. If this spends the budget, the next
/// [`operation`] yields.
#[inline(never)]
pub fn charge(cost: u32) {
    CURRENT.with(|current| current.budget.set(current.budget.get().saturating_sub(cost)));
}

/// Pays for an operation that the poll of a future is about to begin. If the budget is spent, wakes the task and
/// returns `Pending`. Then the caller returns `Pending` too; it has done nothing yet.
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
        // An executor that keeps polling on this green thread and never yields is allowed to go on after a while. (If
        // the executor yields, each of its tasks is refused once.)
        let refusals = current.refusals.get() + 1;
        let allowed = current.green.get().is_none() || refusals > BUDGET;
        current.refusals.set(if allowed { 0 } else { refusals });
        current.budget.set(if allowed { BUDGET } else { 0 });
        allowed
    })
}

/// A batch of operations on one resource that are paid for. It is kept under the resource's lock, so that most
/// operations touch no thread-local.
///
/// The first batch is of one operation, and each later batch is twice as large, up to [`BATCH`]. So a resource that
/// is used a few times pays for little more than that, and a loop that uses a new resource each time pays as well.
#[derive(Debug)]
pub struct BudgetBatch {
    /// The operations that are left. It is a few below zero if other threads have used up the batch while one thread
    /// was paying.
    left: i32,
    next: i32,
}

impl BudgetBatch {
    /// Creates an empty batch.
    #[inline]
    pub const fn new() -> BudgetBatch {
        const MOST: i32 = BATCH.cast_signed();
        // A refill takes place while the lock is released. A model starts with a full batch, so that it has fewer
        // steps.
        if MODEL { BudgetBatch { left: MOST, next: MOST } } else { BudgetBatch { left: 0, next: 1 } }
    }

    /// Returns whether the next operation has to be paid for, with [`refill`](Self::refill).
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.left <= 0
    }

    /// Takes one operation from the batch.
    #[inline(always)]
    pub fn take(&mut self) {
        self.left -= 1;
    }

    /// Adds a batch. Returns its cost, which the caller [consumes](consume) after unlocking.
    #[must_use]
    pub fn refill(&mut self) -> u32 {
        self.left = self.next;
        self.next = (2 * self.next).min(BATCH.cast_signed());
        self.left.unsigned_abs()
    }
}

impl Default for BudgetBatch {
    fn default() -> BudgetBatch {
        BudgetBatch::new()
    }
}
