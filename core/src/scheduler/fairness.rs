//! Fairness between the tasks of a worker: from which class of queues the next turn is taken.
//!
//! A *chain* is a turn that was taken from a queue, and the turns taken from `next` that follow it. These are the
//! rules, whose bounds the README beside this file proves:
//!
//! 1. A chain has at most [`STREAK`] turns. Then `next` goes to the end of its queue.
//! 2. Stacked and stackless tasks are two classes that get equal shares, counted in operations. All turns of a chain
//!    are charged to the class of its first turn: `balance` grows by what chains of the stacked class have used, and
//!    shrinks by what chains of the stackless class have used. While both classes have tasks, the next chain is
//!    stackless if `balance` is positive, and stacked if not. `balance` is never farther from zero than
//!    [`BALANCE_MAX`].
//! 3. In the stacked class, `local` and `ready` alternate while both have tasks. A worker that carries a home takes the
//!    tasks of that home first, until it has stayed for [`STAY`] operations.
//! 4. In the stackless class, new and woken tasks take turns while both wait. At least one turn in 64 takes the
//!    oldest new task (`stackless`).
//! 5. While more than 1024 new tasks wait, a spawner that has run before gives way before each spawn, and the next new
//!    task to start is the oldest (`scheduler::let_new_start`).

use core::cell::Cell;

use crate::wait::BUDGET;

/// The most turns of a chain.
const STREAK: u32 = 64;
/// The most operations for which a worker stays in a home while others wait, apart from those of the chain that it is in. Each turn
/// counts as one at least.
const STAY: u32 = BUDGET;
/// How far one class may get ahead of the other, in operations.
const BALANCE_MAX: i32 = BUDGET as i32;

/// A class of queues. The value is the sign with which its operations count in `balance`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Class {
    Stacked = 1,
    Stackless = -1,
}

/// What a worker has given to each class.
#[derive(Debug)]
pub(super) struct Fairness {
    /// Turns of this chain that were taken from `next`.
    streak: Cell<u32>,
    /// The class of this chain.
    chain: Cell<Class>,
    /// Operations of stacked chains since the worker has come to the home that it carries.
    stay: Cell<u32>,
    balance: Cell<i32>,
    /// Set when `ready` comes first, should `local` have tasks, too.
    ready_first: Cell<bool>,
}

impl Fairness {
    pub(super) const fn new() -> Fairness {
        Fairness {
            streak: Cell::new(0),
            chain: Cell::new(Class::Stacked),
            stay: Cell::new(0),
            balance: Cell::new(0),
            ready_first: Cell::new(false),
        }
    }

    /// Counts a turn that is taken from `next`. Returns false if the chain may have no more turns.
    #[inline]
    pub(super) fn continue_chain(&self) -> bool {
        let streak = self.streak.get() + 1;
        let goes_on = streak < STREAK;
        if goes_on {
            self.streak.set(streak);
        }
        goes_on
    }

    /// Ends the chain. The next turn is taken from a queue.
    #[inline]
    pub(super) fn end_chain(&self) {
        self.streak.set(0);
    }

    /// Records that the worker has come to a home, or that others had a turn.
    #[inline]
    pub(super) fn begin_stay(&self) {
        self.stay.set(0);
    }

    /// Charges a turn, which used so many operations, to the home in which the worker stays. Those of stackless chains do not count:
    /// the home has had nothing of them.
    #[inline]
    pub(super) fn charge_stay(&self, used: u32) {
        if self.chain.get() == Class::Stacked {
            self.stay.set(self.stay.get().saturating_add(used));
        }
    }

    /// Returns whether the worker has stayed in the home for so long that others come first.
    #[inline]
    pub(super) fn is_stay_over(&self) -> bool {
        self.stay.get() >= STAY
    }

    /// Begins a chain of this class.
    #[inline]
    pub(super) fn begin_chain(&self, class: Class) {
        self.chain.set(class);
    }

    /// Returns whether the next chain is stackless, if both classes have tasks.
    #[inline]
    pub(super) fn is_stackless_due(&self) -> bool {
        self.balance.get() > 0
    }

    /// Records that one of the classes has no tasks. While that is so, no class gets ahead.
    #[inline]
    pub(super) fn reset(&self) {
        self.balance.set(0);
    }

    /// Charges a turn of this chain, which used so many operations, to the class of the chain.
    #[inline]
    pub(super) fn charge(&self, used: i32) {
        let balance = self.balance.get() + self.chain.get() as i32 * used;
        self.balance.set(balance.clamp(-BALANCE_MAX, BALANCE_MAX));
    }

    /// Gives the stacked class as much as it can be behind, because no stackless task can start.
    pub(super) fn prefer_stacked(&self) {
        self.balance.set(-BALANCE_MAX);
    }

    /// Returns whether `ready` comes before `local` now, and lets them alternate. Called when `ready` has tasks.
    #[inline]
    pub(super) fn alternate(&self) -> bool {
        self.ready_first.replace(!self.ready_first.get())
    }
}
