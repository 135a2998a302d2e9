//! The waiter: a green thread, an OS thread or an async task that waits. It has one atomic word, `claim`,
//! and the wakers race for it.
//!
//! | `claim` | means | who may change it, and to what |
//! |---|---|---|
//! | `RUNNING` | The waiter waits for nothing. | The owner, to one of the next three. |
//! | `WAITING` | The waiter is in some queues, or is about to enter them. | Any waker, by compare-and-swap, to its outcome. |
//! | `SHIELDED` | As `WAITING`, but a cancel must not end the wait. | Any waker but a canceller. |
//! | `WITHDRAWABLE` | As `WAITING`, and the wait has a `Withdrawal`. | As `WAITING`. |
//! | an outcome | One waker has won the claim, and wakes the waiter once. | The owner, to `RUNNING`, when it was woken. |
//!
//! An outcome is `TIMED_OUT`, `CANCELLED`, or `FIRST_TOKEN + n`, where `n` is the token of the node that was claimed.
//! The *owner* is the thread or the task that the waiter stands for. It may also end an open wait by compare-and-swap
//! itself: it claims the waiter, or it closes a wait that was never parked.
//!
//! The protocol rests on these rules:
//!
//! 1. A waker claims a waiter through a node that it finds in a queue, while it holds that queue's lock. The owner
//!    removes its nodes from all queues, under their locks, before its wait is over. So a node in a queue belongs to
//!    the current wait of its waiter, and a claim never hits a later wait.
//! 2. A claimed waiter does not run before it is woken. So its stack, which holds the payload of its node, belongs to
//!    the claimer until then. An async task can be dropped at any time, so its payload is touched only under the
//!    queue's lock.
//! 3. The claimer wakes the waiter exactly once, after unlocking. [`Wake`](crate::wait::Wake) does so when it is
//!    dropped, if not before.
//! 4. A waiter whose wait was ended by a cancel or a timer leaves its queue when it runs again, which may be much
//!    later. Claimers pass over it. Where its mere presence would hold up the waiters behind it, the wait has a
//!    `Withdrawal`: the canceller or the timer applies it, which removes the node from the queue, before it wakes
//!    the waiter.

use core::cell::Cell;
use core::num::NonZeroU64;
use core::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering as CounterOrdering};
use std::time::Instant;

use crate::primitives::{AtomicBool, AtomicUsize, Ordering, Switch, fence};
use crate::wait::deadline::Deadline;
use crate::wait::reason::Reason;
use crate::wait::withdrawal::{Ended, Withdrawal};

const RUNNING: usize = 0;
const WAITING: usize = 1;
const SHIELDED: usize = 2;
const WITHDRAWABLE: usize = 3;
const TIMED_OUT: usize = 4;
const CANCELLED: usize = 5;
const FIRST_TOKEN: usize = 8;

/// Returns whether a value of `claim` is that of an open wait that has not been claimed.
#[inline]
fn is_claimable(claim: usize) -> bool {
    matches!(claim, WAITING | SHIELDED | WITHDRAWABLE)
}

/// The functions and properties that differ between the kinds of waiter.
pub struct WaiterVtable {
    /// Makes a claimed waiter run again. Either this or `wake_last` is called, once per claim.
    pub wake: unsafe fn(NonNull<Waiter>),
    /// Like `wake`, but the waiter runs after those that can run on its worker now. `None` if that is no difference.
    pub wake_last: Option<unsafe fn(NonNull<Waiter>)>,
    /// Suspends the owner, which is the caller. It returns when the waiter has been claimed and woken, or when the
    /// deadline has passed and the waiter has claimed itself with [`Waiter::claim_timeout`].
    pub suspend: unsafe fn(NonNull<Waiter>, Deadline),
    /// Keeps the waiter's memory alive until `wake`. It is called at the claim. `None` if the memory lives until the
    /// waiter is woken in any case.
    pub retain: Option<unsafe fn(NonNull<Waiter>)>,
    /// Whether the waiter is the `waiter` field of a [`TaskWaiter`](crate::wait::TaskWaiter).
    pub is_task: bool,
}

impl WaiterVtable {
    /// Returns whether a claim needs nothing but a later `wake`, as for a green thread.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.retain.is_none() && !self.is_task
    }
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitOutcome {
    /// A waker claimed the node with this token.
    Token(usize),
    /// The deadline passed.
    TimedOut,
    /// The green thread was cancelled.
    Cancelled,
}

/// A green thread, an OS thread or an async task, as its wakers see it.
#[repr(C)]
pub struct Waiter {
    claim: AtomicUsize,
    kind: &'static WaiterVtable,
    /// A green thread's switch back to its worker's stack. `NONE` for other waiters, and while the green thread has no
    /// stack. Only the owner touches it.
    switch: Cell<Switch>,
    /// The reason of the wait, on the owner's stack; null while the owner does not wait. Reports read it. In a
    /// `WITHDRAWABLE` wait it is set before the wait is opened, and points to the first field of a `Withdrawal`. While a
    /// stackless task is idle, it points to the reason in the task's cell.
    reason: Cell<*const Reason>,
    /// The frame of the innermost [`time::timeout`](crate::time::timeout) that the owner is in. Only the owner
    /// touches it.
    timeout_frame: Cell<*const TimeoutFrame>,
    /// Set when a cancel was requested. It is cleared only by a process that goes on after the cancel (`clear_cancel`).
    cancelled: AtomicBool,
    /// The number of shields that the owner is under. While it is above zero, cancels and outer timeouts do not end a
    /// wait. Only the owner touches it.
    shields: Cell<u32>,
}

// SAFETY: `claim` and `cancelled` are atomics and `kind` is immutable. `switch`, `timeout_frame` and `shields` are touched
// only by the owner. `reason` is touched by the owner, and by reports while the owner cannot run.
unsafe impl Send for Waiter {}
// SAFETY: the same division of the fields holds when several threads share a reference.
unsafe impl Sync for Waiter {}

/// The frame of a [`time::timeout`](crate::time::timeout). No wait inside the frame lasts beyond `deadline`, unless a
/// shield was raised between the frame and the wait.
#[derive(Debug)]
pub struct TimeoutFrame {
    /// The earliest deadline among this frame and the enclosing frames that are in force in it.
    pub deadline: Instant,
    /// The frame that this deadline belongs to.
    pub owner: *const TimeoutFrame,
    /// The number of shields that the owner was under when the frame was opened. Frames and shields nest. So as long
    /// as the owner's number equals this one, no shield has been raised or lowered in between.
    pub shields: u32,
    /// The frame's number, unique in the process. It is assigned at the first unwind to the frame, because most
    /// frames are never unwound to.
    pub number: Cell<Option<NonZeroU64>>,
}

// An atomic of `std` in every build: the numbers carry no meaning that a model could check.
static LAST_FRAME: AtomicU64 = AtomicU64::new(0);

impl TimeoutFrame {
    /// Returns the frame's number, and assigns one if it has none.
    pub(super) fn numbered(&self) -> NonZeroU64 {
        let number = self.number.get().unwrap_or_else(|| {
            // Relaxed: the number itself is all that is shared; no other memory is published with it.
            let last = LAST_FRAME.fetch_add(1, CounterOrdering::Relaxed);
            NonZeroU64::new(last + 1).expect("2^64 time-outs")
        });
        self.number.set(Some(number));
        number
    }
}

impl Waiter {
    /// Creates a waiter that waits for nothing.
    pub fn new(kind: &'static WaiterVtable) -> Waiter {
        Waiter {
            claim: AtomicUsize::new(RUNNING),
            kind,
            switch: Cell::new(Switch::NONE),
            reason: Cell::new(core::ptr::null()),
            timeout_frame: Cell::new(core::ptr::null()),
            cancelled: AtomicBool::new(false),
            shields: Cell::new(0),
        }
    }

    /// Returns what differs between the kinds of waiter.
    #[inline]
    pub fn kind(&self) -> &'static WaiterVtable {
        self.kind
    }

    /// Opens a wait: from now on, a waker that finds one of the waiter's nodes may claim it. Only the owner calls
    /// this.
    #[inline]
    pub fn prepare(&self, shielded: bool) {
        // Release: pairs with the claim of a canceller, which comes through no queue and then reads where to wake the
        // waiter. Other wakers learn of this wait through a queue, whose lock orders this store before their claim.
        self.claim.store(if shielded { SHIELDED } else { WAITING }, Ordering::Release);
    }

    /// Like [`prepare`](Self::prepare), but opens a wait from which another thread can withdraw the waiter. Only the
    /// owner calls this.
    ///
    /// # Safety
    ///
    /// The withdrawal stays valid, and does not move, until the wait is over.
    pub(super) unsafe fn prepare_withdrawable(&self, withdrawal: NonNull<Withdrawal>) {
        self.reason.set(withdrawal.as_ptr().cast_const().cast());
        // Release: pairs with the claim of a canceller, as in `prepare`. A canceller or a timer that claims the wait
        // sees the withdrawal.
        self.claim.store(WITHDRAWABLE, Ordering::Release);
    }

    /// Returns whether the waiter has an open wait that has not been claimed. It may be claimed the next moment.
    pub fn is_waiting(&self) -> bool {
        // Relaxed: the result is a hint, and nothing depends on it.
        is_claimable(self.claim.load(Ordering::Relaxed))
    }

    /// Returns whether a wait is open, claimed or not. Only the owner calls this.
    pub(super) fn is_open(&self) -> bool {
        // Relaxed: only the owner opens and closes its waits, so it reads its own stores.
        self.claim.load(Ordering::Relaxed) != RUNNING
    }

    /// Closes the wait. Only the owner calls this, when none of its nodes is in a queue.
    #[inline]
    pub fn finish(&self) {
        // Relaxed: only a canceller can claim a waiter that is in no queue. It finds either RUNNING or the next wait,
        // and both are correct.
        self.claim.store(RUNNING, Ordering::Relaxed);
    }

    /// Closes a wait that was never parked. Returns false if a waker has claimed it. Only the owner calls this.
    #[must_use]
    pub fn close(&self) -> bool {
        let seen = self.claim.load(Ordering::Relaxed);
        is_claimable(seen)
            // Relaxed: no data is handed over. If the exchange fails, the owner synchronizes with the claimer when it
            // is woken.
            && self.claim.compare_exchange(seen, RUNNING, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Returns how the wait ended, or `None` while no waker has claimed the waiter. Only the owner calls this.
    #[inline]
    pub fn outcome(&self) -> Option<WaitOutcome> {
        // Acquire: pairs with the claimer's AcqRel, for waiters that look without having been woken (async tasks).
        match self.claim.load(Ordering::Acquire) {
            RUNNING | WAITING | SHIELDED | WITHDRAWABLE => None,
            TIMED_OUT => Some(WaitOutcome::TimedOut),
            CANCELLED => Some(WaitOutcome::Cancelled),
            token => Some(WaitOutcome::Token(token - FIRST_TOKEN)),
        }
    }

    /// Claims the waiter with `token`. Returns whether the caller has won the claim; then it owes a wake-up.
    #[inline]
    #[must_use]
    pub fn claim(&self, token: usize) -> bool {
        self.claim_as(token + FIRST_TOKEN).is_some()
    }

    /// Claims the waiter because its deadline has passed. Returns whether the caller has won the claim.
    #[inline]
    #[must_use]
    pub fn claim_timeout(&self) -> bool {
        self.claim_as(TIMED_OUT).is_some()
    }

    /// Like [`claim_timeout`](Self::claim_timeout), for a caller that is not the owner. If the caller has won the
    /// claim, returns the kind of wait that it ended.
    pub(super) fn claim_timed_out(&self) -> Option<Ended<'_>> {
        self.claim_as(TIMED_OUT).map(|seen| self.ended(seen))
    }

    /// Tries to replace an open wait with `outcome`. Returns the replaced value if the caller has won the claim.
    #[inline]
    fn claim_as(&self, outcome: usize) -> Option<usize> {
        // Relaxed: the value only tells which of the waiting values to expect; the exchange decides.
        let seen = self.claim.load(Ordering::Relaxed);
        // AcqRel: the winner sees what the owner wrote before it waited, and `outcome` sees what the winner wrote.
        let won = is_claimable(seen)
            && self.claim.compare_exchange(seen, outcome, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        won.then_some(seen)
    }

    /// Returns what a canceller or a timer needs after it has claimed a wait whose value was `seen`.
    fn ended(&self, seen: usize) -> Ended<'_> {
        if seen != WITHDRAWABLE {
            return Ended { withdrawal: None };
        }
        // SAFETY: `prepare_withdrawable` set the pointer before it stored the value that the caller has seen and
        // exchanged with Acquire. The owner changes the pointer, and gives up the withdrawal, only after it has been
        // woken, and the caller has not woken it yet.
        Ended { withdrawal: Some(unsafe { &*self.reason.get().cast::<Withdrawal>() }) }
    }

    /// Requests that the waiter unwind from its current or its next unshielded wait. If it waits now, the caller has
    /// claimed it and owes the wake-up, and this returns the kind of wait.
    #[must_use]
    pub(super) fn claim_cancelled(&self) -> Option<Ended<'_>> {
        // A store, then a SeqCst fence. Either the exchange below sees the waiter's WAITING, or the waiter, which
        // stores WAITING, fences and then reads `cancelled` (`may_suspend`), sees the flag. In both cases the wait
        // ends. This holds for each of the two exchanges of `exchange_cancelled` alone: each either sees the wait or
        // comes before it.
        // Release: pairs with the Acquire in `clear_cancel`.
        self.cancelled.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        self.exchange_cancelled().map(|seen| self.ended(seen))
    }

    /// Claims an open wait that a cancel may end. Returns the replaced value if the caller has won the claim.
    fn exchange_cancelled(&self) -> Option<usize> {
        [WAITING, WITHDRAWABLE].into_iter().find(|&open| {
            // AcqRel: the winner sees what the owner wrote before it waited, and `outcome` sees what the winner
            // wrote.
            self.claim.compare_exchange(open, CANCELLED, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        })
    }

    /// Returns whether a cancel was requested.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        // Relaxed: a caller that must not miss the flag fences first (`claim_cancelled`).
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Clears all cancels that were requested until now: the owner has unwound, and goes on with something else. Only
    /// the owner calls this.
    pub fn clear_cancel(&self) {
        // Acquire: pairs with the Release in `claim_cancelled`. The owner sees what each canceller did before it
        // requested a cancel that is cleared here. So the owner sees a reason for which that cancel has to be
        // requested again.
        self.cancelled.swap(false, Ordering::Acquire);
    }

    /// Looks for a cancel one last time before the owner suspends. Returns false if a cancel came first and has ended
    /// the wait.
    #[inline]
    pub fn may_suspend(&self) -> bool {
        // SeqCst: the counterpart of the fence in `claim_cancelled`.
        fence(Ordering::SeqCst);
        !self.is_cancelled() || self.exchange_cancelled().is_none()
    }

    /// Sets the switch back to the worker, for as long as the green thread runs on its present stack.
    pub fn set_switch(&self, switch: Switch) {
        self.switch.set(switch);
    }

    /// Returns the switch back to the worker, or `NONE` if the waiter is not a green thread. Only the owner calls this.
    #[inline]
    pub fn switch(&self) -> Switch {
        self.switch.get()
    }

    /// Sets why the waiter waits, for reports; null when it no longer waits. Only the owner calls this.
    #[inline]
    pub fn set_reason(&self, reason: *const Reason) {
        self.reason.set(reason);
    }

    /// Returns why the waiter waits, or `None` if it does not wait.
    ///
    /// # Safety
    ///
    /// The owner cannot run during the call.
    pub unsafe fn reason(&self) -> Option<Reason> {
        // SAFETY: the pointer is non-null only while the owner is inside the wait whose stack frame holds the reason, or
        // is an idle task whose cell holds it. The owner cannot run during this call, so the reason stays.
        unsafe { self.reason.get().as_ref() }.copied()
    }

    /// Returns the innermost timeout frame, or null. Only the owner calls this.
    #[inline]
    pub fn timeout_frame(&self) -> *const TimeoutFrame {
        self.timeout_frame.get()
    }

    /// Returns the innermost timeout frame if it may end a wait now. It may not if a shield was raised since the
    /// frame was opened, or while the owner unwinds, where a second unwind would abort. Only the owner calls this.
    pub fn timeout_in_force(&self) -> Option<&TimeoutFrame> {
        // SAFETY: timeout frames are on the owner's stack, in calls that enclose this one (`time::timeout`).
        let frame = unsafe { self.timeout_frame.get().as_ref() }?;
        (frame.shields == self.shields() && !std::thread::panicking()).then_some(frame)
    }

    /// Sets the innermost timeout frame. Only the owner calls this.
    #[inline]
    pub fn set_timeout_frame(&self, frame: *const TimeoutFrame) {
        self.timeout_frame.set(frame);
    }

    /// Returns how many shields the owner is under. Only the owner calls this.
    #[inline]
    pub fn shields(&self) -> u32 {
        self.shields.get()
    }

    /// Sets how many shields the owner is under. Only the owner calls this.
    #[inline]
    pub fn set_shields(&self, shields: u32) {
        self.shields.set(shields);
    }
}
