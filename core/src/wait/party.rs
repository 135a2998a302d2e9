//! Who waits: a *party* is a green thread, an OS thread or an async task, and has one word over which its wakers race.
//!
//! | `claim` | means | who may change it, and to what |
//! |---|---|---|
//! | `RUNNING` | waits for nothing | its owner, to one of the next two |
//! | `WAITING` | stands in some queues, or is about to | any waker, by compare-and-swap, to its verdict |
//! | `SHIELDED` | the same, and a cancel must not end it | any waker but a canceller |
//! | `WITHDRAWABLE` | as `WAITING`, with a [`Withdrawal`] | as `WAITING` |
//! | a verdict | somebody has won the right to wake it, and wakes it once | its owner, after it is woken, to `RUNNING` |
//!
//! A verdict is `TIMED_OUT`, `CANCELLED`, or `FIRST_TOKEN + n` where `n` is the token of the node that was claimed.
//!
//! The rules that everything rests on:
//!
//! 1. A waker claims a party through a node that it finds in a queue, with that queue's lock held. The owner takes its
//!    nodes out of all queues, under their locks, before its wait is over. So a node in a queue belongs to the wait
//!    that its party is in now, and no claim ever hits a later one.
//! 2. A claimed party does not run before it is woken, so its stack (the payload of its node) belongs to the claimer
//!    until then. An async task can be dropped at any time; its payload is touched under the queue's lock alone.
//! 3. Who has claimed wakes exactly once, after unlocking: [`Wake`](crate::wait::Wake) does it when dropped at the latest.
//! 4. A party whose wait was ended by a cancel or by a timer leaves its queue when it runs, which may be much later. Claimers
//!    pass over it. Where the parties behind it would be held up all the same, the wait has a [`Withdrawal`]: with it the
//!    canceller, or the timer, takes the node out of the queue before it wakes the party.

use core::cell::Cell;
use core::num::NonZeroU64;
use core::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering as CounterOrdering};
use std::time::Instant;

use crate::facade::{AtomicBool, AtomicUsize, Ordering, Switch, fence};
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

/// Whether a value of `claim` is that of an open wait that has not been claimed.
#[inline]
fn is_claimable(claim: usize) -> bool {
    matches!(claim, WAITING | SHIELDED | WITHDRAWABLE)
}

/// What differs between the kinds of party.
pub struct PartyKind {
    /// Makes a claimed party run again. Called once per claim.
    pub wake: unsafe fn(NonNull<Party>),
    /// Called by the owner: returns when the party has been claimed and woken, or when the deadline has passed and
    /// the party has claimed itself with [`Party::claim_timeout`].
    pub suspend: unsafe fn(NonNull<Party>, Deadline),
    /// Keeps the party's memory until `wake`, called at the claim. `None` where it lives until woken anyway.
    pub retain: Option<unsafe fn(NonNull<Party>)>,
    /// Whether this is the `party` of a [`TaskParty`](crate::wait::TaskParty).
    pub is_task: bool,
}

impl PartyKind {
    /// Whether a claim needs nothing but a later `wake`: a green thread's.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.retain.is_none() && !self.is_task
    }
}

/// How a wait ended without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Woken through the node with this token.
    Token(usize),
    /// The deadline passed.
    TimedOut,
    /// The green thread was cancelled.
    Cancelled,
}

/// A green thread, an OS thread or an async task as seen by those who wake it.
#[repr(C)]
pub struct Party {
    claim: AtomicUsize,
    kind: &'static PartyKind,
    /// A green thread's way back to its worker; null for others, and while it has no stack. The owner's alone.
    switch: Cell<*const Switch>,
    /// Set while waiting; read by reports. Points to the owner's stack. In a `WITHDRAWABLE` wait it is set before the wait
    /// is opened, and is the first field of a `Withdrawal`.
    reason: Cell<*const Reason>,
    /// The innermost [`time::timeout`](crate::time::timeout) that the owner is in. The owner's alone.
    limit: Cell<*const Limit>,
    /// A cancel was asked for. Taken back by nobody but a process that goes on after it (`forgive`).
    cancelled: AtomicBool,
    /// While above zero, waits are shielded from cancels and limits. The owner's alone.
    shields: Cell<u32>,
}

// SAFETY: `claim` and `cancelled` are atomics, `kind` is immutable; `switch`, `limit` and `shields` are touched by the owner alone,
// and `reason` by the owner and by reports made while it cannot run.
unsafe impl Send for Party {}
// SAFETY: as above.
unsafe impl Sync for Party {}

/// A frame of [`time::timeout`](crate::time::timeout): no wait inside it lasts beyond `deadline`, unless a shield stands
/// between the two.
#[derive(Debug)]
pub struct Limit {
    /// The earliest deadline of this frame and of those around it that are in force in it.
    pub deadline: Instant,
    /// The frame whose deadline that is.
    pub owner: *const Limit,
    /// How many shields its owner was under when it was opened. Frames and shields nest, so as long as this is the
    /// owner's number the shields are the same ones.
    pub shields: u32,
    /// Its number, unique in the process, from the first unwind to it on. Most are never unwound to.
    pub number: Cell<Option<NonZeroU64>>,
}

// A counter of std's in every build: numbers carry no meaning that a model could check.
static LAST_LIMIT: AtomicU64 = AtomicU64::new(0);

impl Limit {
    /// Its number, given now if it has none.
    pub(super) fn numbered(&self) -> NonZeroU64 {
        let number = self.number.get().unwrap_or_else(|| {
            // Relaxed: the number is all there is, nothing is published with it.
            let last = LAST_LIMIT.fetch_add(1, CounterOrdering::Relaxed);
            NonZeroU64::new(last + 1).expect("2^64 time-outs")
        });
        self.number.set(Some(number));
        number
    }
}

impl Party {
    /// A party that runs.
    pub fn new(kind: &'static PartyKind) -> Party {
        Party {
            claim: AtomicUsize::new(RUNNING),
            kind,
            switch: Cell::new(core::ptr::null()),
            reason: Cell::new(core::ptr::null()),
            limit: Cell::new(core::ptr::null()),
            cancelled: AtomicBool::new(false),
            shields: Cell::new(0),
        }
    }

    /// What differs between the kinds of party.
    #[inline]
    pub fn kind(&self) -> &'static PartyKind {
        self.kind
    }

    /// Opens a wait: from now on a waker that finds one of the party's nodes may claim it. The owner's call.
    #[inline]
    pub fn prepare(&self, shielded: bool) {
        // Release: pairs with the claim of a canceller, who comes through no queue, and then reads where the party is
        // to be woken. Others learn of this wait through a queue, whose lock orders this before their claim.
        self.claim.store(if shielded { SHIELDED } else { WAITING }, Ordering::Release);
    }

    /// As [`prepare`](Self::prepare), of a wait that the party can be withdrawn from. The owner's call.
    ///
    /// # Safety
    ///
    /// The withdrawal stays where it is until the wait is over.
    pub(super) unsafe fn prepare_withdrawable(&self, withdrawal: NonNull<Withdrawal>) {
        self.reason.set(withdrawal.as_ptr().cast_const().cast());
        // Release: as in `prepare`. A canceller or a timer that claims the wait sees the withdrawal.
        self.claim.store(WITHDRAWABLE, Ordering::Release);
    }

    /// Whether it waits for something that nobody has brought yet. It may be brought the next moment.
    pub fn is_waiting(&self) -> bool {
        // Relaxed: a look that nothing depends on.
        is_claimable(self.claim.load(Ordering::Relaxed))
    }

    /// Whether a wait is open, be it claimed or not. The owner's call.
    pub(super) fn is_open(&self) -> bool {
        // Relaxed: the owner opens and closes its waits.
        self.claim.load(Ordering::Relaxed) != RUNNING
    }

    /// Closes the wait. The owner's call, when no node of its is in any queue.
    #[inline]
    pub fn finish(&self) {
        // Relaxed: nobody claims a party that stands in no queue, but a canceller, who then finds RUNNING or the
        // next wait, and either is right.
        self.claim.store(RUNNING, Ordering::Relaxed);
    }

    /// Closes a wait that was never parked. Answers false if somebody has claimed it. The owner's call.
    #[must_use]
    pub fn close(&self) -> bool {
        let seen = self.claim.load(Ordering::Relaxed);
        is_claimable(seen)
            // Relaxed: nothing is handed over; a loser learns the rest by being woken.
            && self.claim.compare_exchange(seen, RUNNING, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// How the wait ended; `None` while nobody has claimed the party. The owner's call.
    #[inline]
    pub fn verdict(&self) -> Option<Verdict> {
        // Acquire: pairs with the claimer's AcqRel, for parties that look without having been woken (async tasks).
        match self.claim.load(Ordering::Acquire) {
            RUNNING | WAITING | SHIELDED | WITHDRAWABLE => None,
            TIMED_OUT => Some(Verdict::TimedOut),
            CANCELLED => Some(Verdict::Cancelled),
            token => Some(Verdict::Token(token - FIRST_TOKEN)),
        }
    }

    /// Claims the party with `token`. Answers whether the caller has won: then it owes a wake-up.
    #[inline]
    #[must_use]
    pub fn claim(&self, token: usize) -> bool {
        self.claim_as(token + FIRST_TOKEN).is_some()
    }

    /// Claims the party because its deadline has passed.
    #[inline]
    #[must_use]
    pub fn claim_timeout(&self) -> bool {
        self.claim_as(TIMED_OUT).is_some()
    }

    /// As [`claim_timeout`](Self::claim_timeout), by another than the owner: returns what kind of wait it was, if it has won.
    pub(super) fn claim_timed_out(&self) -> Option<Ended<'_>> {
        self.claim_as(TIMED_OUT).map(|seen| self.ended(seen))
    }

    /// Returns the value that it has replaced, if the caller has won.
    #[inline]
    fn claim_as(&self, verdict: usize) -> Option<usize> {
        // Relaxed: only a hint of which of the waiting values to expect; the exchange decides.
        let seen = self.claim.load(Ordering::Relaxed);
        // AcqRel: what the owner wrote before it waited is seen by the winner, and the reverse by `verdict`.
        let won = is_claimable(seen)
            && self.claim.compare_exchange(seen, verdict, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        won.then_some(seen)
    }

    /// What a canceller or a timer needs that has just claimed a wait which was `seen`.
    fn ended(&self, seen: usize) -> Ended<'_> {
        if seen != WITHDRAWABLE {
            return Ended { withdrawal: None };
        }
        // SAFETY: set by `prepare_withdrawable`, before the value that we have seen and exchanged with Acquire. The owner
        // changes it, and lets go of the withdrawal, only after it has been woken, which the caller has not done yet.
        Ended { withdrawal: Some(unsafe { &*self.reason.get().cast::<Withdrawal>() }) }
    }

    /// Asks the party to unwind from its present or its next unshielded wait. Returns what kind of wait it was if it waits:
    /// the caller has claimed it, and owes the wake-up.
    #[must_use]
    pub(super) fn claim_cancelled(&self) -> Option<Ended<'_>> {
        // A store, then a SeqCst fence: either we see the party's WAITING below, or the party, which stores WAITING,
        // fences and then looks at `cancelled` (`may_suspend`), sees our flag. One of the two ends the wait. That holds for
        // each of the two exchanges of `exchange_cancelled`: either sees the wait, or is before it.
        // Release: see `forgive`.
        self.cancelled.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        self.exchange_cancelled().map(|seen| self.ended(seen))
    }

    /// Claims an open wait that a cancel may end. Returns the value that it has replaced, if the caller has won.
    fn exchange_cancelled(&self) -> Option<usize> {
        [WAITING, WITHDRAWABLE].into_iter().find(|&open| {
            // AcqRel: as in `claim_as`.
            self.claim.compare_exchange(open, CANCELLED, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        })
    }

    /// Whether a cancel was asked for.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        // Relaxed: who must not miss it fences, see `claim_cancelled`.
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Takes back what cancels were asked for until now: the owner has unwound, and goes on with something else. The
    /// owner's call.
    pub fn forgive(&self) {
        // Acquire: pairs with `claim_cancelled`. Whoever's cancel is taken back, we see what it did before, and so the reason
        // for which it may have to be asked for again.
        self.cancelled.swap(false, Ordering::Acquire);
    }

    /// The owner's last look before it suspends. Answers false if a cancel came first and ended the wait.
    #[inline]
    pub fn may_suspend(&self) -> bool {
        // The other half of `claim_cancelled`.
        fence(Ordering::SeqCst);
        !self.is_cancelled() || self.exchange_cancelled().is_none()
    }

    /// Sets the way back to the worker, for as long as the green thread runs on its present stack.
    pub fn set_switch(&self, switch: *const Switch) {
        self.switch.set(switch);
    }

    /// The way back to the worker; null if the party is no green thread. The owner's call.
    #[inline]
    pub fn switch(&self) -> *const Switch {
        self.switch.get()
    }

    /// Writes down why the party waits, for reports. The owner's call; null when it no longer waits.
    #[inline]
    pub fn set_reason(&self, reason: *const Reason) {
        self.reason.set(reason);
    }

    /// Why the party waits.
    ///
    /// # Safety
    ///
    /// The owner cannot run during the call.
    pub unsafe fn reason(&self) -> Option<Reason> {
        // SAFETY: non-null only while the owner is inside the wait that the reason stands on, which the caller vouches
        // goes on.
        unsafe { self.reason.get().as_ref() }.copied()
    }

    /// The innermost limit. The owner's call.
    #[inline]
    pub fn limit(&self) -> *const Limit {
        self.limit.get()
    }

    /// The innermost limit, if a wait now may be ended by it: no shield has been raised since, and no unwinding is under
    /// way, in which a second one would abort. The owner's call.
    pub fn limit_in_force(&self) -> Option<&Limit> {
        // SAFETY: limits stand on frames below this one on the owner's stack (`time::timeout`).
        let frame = unsafe { self.limit.get().as_ref() }?;
        (frame.shields == self.shields() && !std::thread::panicking()).then_some(frame)
    }

    /// Sets the innermost limit. The owner's call.
    #[inline]
    pub fn set_limit(&self, limit: *const Limit) {
        self.limit.set(limit);
    }

    /// How many shields the owner is under. The owner's call.
    #[inline]
    pub fn shields(&self) -> u32 {
        self.shields.get()
    }

    /// Sets how many shields the owner is under. The owner's call.
    #[inline]
    pub fn set_shields(&self, shields: u32) {
        self.shields.set(shields);
    }
}
