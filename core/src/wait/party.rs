//! Who waits: a *party* is a green thread, an OS thread or an async task, and has one word over which its wakers race.
//!
//! | `claim` | means | who may change it, and to what |
//! |---|---|---|
//! | `RUNNING` | waits for nothing | its owner, to one of the next two |
//! | `WAITING` | stands in some queues, or is about to | any waker, by compare-and-swap, to its verdict |
//! | `SHIELDED` | the same, and a cancel must not end it | any waker but a canceller |
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
//! 3. Who has claimed wakes exactly once, after unlocking: [`Wake`] does it when dropped at the latest.

use core::cell::{Cell, UnsafeCell};
use core::ptr::NonNull;
use core::task::Waker;
use std::time::Instant;

use crate::facade::{Arc, AtomicBool, AtomicUsize, Ordering, Parker, Switch, Unparker, fence};
use crate::wait::deadline::Deadline;
use crate::wait::reason::Reason;

const RUNNING: usize = 0;
const WAITING: usize = 1;
const SHIELDED: usize = 2;
const TIMED_OUT: usize = 3;
const CANCELLED: usize = 4;
const FIRST_TOKEN: usize = 8;

/// What differs between the kinds of party.
pub struct PartyKind {
    /// Makes a claimed party run again. Called once per claim.
    pub wake: unsafe fn(NonNull<Party>),
    /// Called by the owner: returns when the party has been claimed and woken, or when the deadline has passed and
    /// the party has claimed itself with [`Party::claim_timeout`].
    pub suspend: unsafe fn(NonNull<Party>, Deadline),
    /// Keeps the party's memory until `wake`, called at the claim. `None` where it lives until woken anyway.
    pub retain: Option<unsafe fn(NonNull<Party>)>,
    /// Whether this is the `party` of a [`TaskParty`].
    pub is_task: bool,
}

impl PartyKind {
    /// Whether a claim needs nothing but a later `wake`: a green thread's.
    #[inline]
    fn is_plain(&self) -> bool {
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
    /// Set while waiting; read by reports. Points to the owner's stack.
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

    /// Whether it waits for something that nobody has brought yet. It may be brought the next moment.
    pub fn is_waiting(&self) -> bool {
        // Relaxed: a look that nothing depends on.
        matches!(self.claim.load(Ordering::Relaxed), WAITING | SHIELDED)
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
        (seen == WAITING || seen == SHIELDED)
            // Relaxed: nothing is handed over; a loser learns the rest by being woken.
            && self.claim.compare_exchange(seen, RUNNING, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// How the wait ended; `None` while nobody has claimed the party. The owner's call.
    #[inline]
    pub fn verdict(&self) -> Option<Verdict> {
        // Acquire: pairs with the claimer's AcqRel, for parties that look without having been woken (async tasks).
        match self.claim.load(Ordering::Acquire) {
            RUNNING | WAITING | SHIELDED => None,
            TIMED_OUT => Some(Verdict::TimedOut),
            CANCELLED => Some(Verdict::Cancelled),
            token => Some(Verdict::Token(token - FIRST_TOKEN)),
        }
    }

    /// Claims the party with `token`. Answers whether the caller has won: then it owes a wake-up.
    #[inline]
    #[must_use]
    pub fn claim(&self, token: usize) -> bool {
        self.claim_as(token + FIRST_TOKEN)
    }

    /// Claims the party because its deadline has passed.
    #[inline]
    #[must_use]
    pub fn claim_timeout(&self) -> bool {
        self.claim_as(TIMED_OUT)
    }

    #[inline]
    fn claim_as(&self, verdict: usize) -> bool {
        // Relaxed: only a hint of which of the two waiting values to expect; the exchange decides.
        let seen = self.claim.load(Ordering::Relaxed);
        (seen == WAITING || seen == SHIELDED)
            // AcqRel: what the owner wrote before it waited is seen by the winner, and the reverse by `verdict`.
            && self.claim.compare_exchange(seen, verdict, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Asks the party to unwind from its present or its next unshielded wait, and answers the wake-up owed if it waits.
    ///
    /// # Safety
    ///
    /// `party` lives until the answer has been dropped.
    pub unsafe fn cancel(party: NonNull<Party>) -> Option<Wake> {
        // SAFETY: the caller keeps the party alive.
        let this = unsafe { party.as_ref() };
        // A store, then a SeqCst fence: either we see the party's WAITING below, or the party, which stores WAITING,
        // fences and then looks at `cancelled` (`begin_suspend`), sees our flag. One of the two ends the wait.
        // Release: see `forgive`.
        this.cancelled.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        let won =
            this.claim.compare_exchange(WAITING, CANCELLED, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        // SAFETY: the party is claimed by us, just now.
        won.then(|| unsafe { Wake::owed(party) })
    }

    /// Whether a cancel was asked for.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        // Relaxed: who must not miss it fences, see `cancel`.
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Takes back what cancels were asked for until now: the owner has unwound, and goes on with something else. The
    /// owner's call.
    pub fn forgive(&self) {
        // Acquire: pairs with `cancel`. Whoever's cancel is taken back, we see what it did before, and so the reason
        // for which it may have to be asked for again.
        self.cancelled.swap(false, Ordering::Acquire);
    }

    /// The owner's last look before it suspends. Answers false if a cancel came first and ended the wait.
    #[inline]
    pub fn may_suspend(&self) -> bool {
        // The other half of `cancel`.
        fence(Ordering::SeqCst);
        !self.is_cancelled()
            || self.claim.compare_exchange(WAITING, CANCELLED, Ordering::AcqRel, Ordering::Relaxed).is_err()
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

/// A wake-up that is owed to a party which the holder has claimed. Wakes on drop; drop it after unlocking.
#[must_use = "wakes when dropped: hold it until the lock is released"]
#[derive(Debug)]
pub struct Wake {
    /// A green or an OS thread; null for a task.
    party: *const Party,
    /// A task's waker; `None` for a thread, and for a task that was dropped.
    task: Option<Waker>,
}

// SAFETY: a claimed party may be woken from any thread; it stays alive until then (rule 2, or `retain`).
unsafe impl Send for Wake {}

impl Wake {
    /// The wake-up of a party that the caller has just claimed.
    ///
    /// # Safety
    ///
    /// The caller has won the claim and has not yet woken the party. If the party is a task's, the caller holds the
    /// lock that guards its waker.
    #[inline]
    pub unsafe fn owed(party: NonNull<Party>) -> Wake {
        // SAFETY: a claimed party lives until it is woken, a task's as long as the lock is held.
        let kind = unsafe { party.as_ref() }.kind;
        if kind.is_plain() {
            return Wake { party: party.as_ptr(), task: None };
        }
        // SAFETY: as above, and by the contract.
        unsafe { Wake::owed_to_others(party, kind) }
    }

    /// # Safety
    ///
    /// As [`owed`](Self::owed).
    #[cold]
    unsafe fn owed_to_others(party: NonNull<Party>, kind: &PartyKind) -> Wake {
        if kind.is_task {
            // SAFETY: `is_task` says that the party is the first field of a `TaskParty`, and its lock is held.
            return Wake { party: core::ptr::null(), task: unsafe { TaskParty::take_waker(party) } };
        }
        if let Some(retain) = kind.retain {
            // SAFETY: the party is alive, and `wake` is called once to balance.
            unsafe { retain(party) };
        }
        Wake { party: party.as_ptr(), task: None }
    }

    /// Wakes the party.
    #[inline(always)]
    pub fn wake(self) {
        drop(self);
    }
}

impl Drop for Wake {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(party) = NonNull::new(self.party.cast_mut()) {
            // SAFETY: claimed by us and not yet woken, by `owed`'s contract; a drop happens once.
            unsafe { (party.as_ref().kind.wake)(party) };
        } else if let Some(task) = self.task.take() {
            wake_task(task);
        }
    }
}

#[cold]
#[inline(never)]
fn wake_task(task: Waker) {
    task.wake();
}

/// An OS thread that waits.
#[repr(C)]
pub struct ThreadParty {
    party: Party,
    /// Set by `wake`: the claimer has finished with the payload. A claim alone does not say that (see rule 2), and the
    /// thread may look at any time.
    notified: AtomicBool,
    parker: Parker,
    unparker: Unparker,
}

// SAFETY: `parker` is used by the owner alone; the rest is shared by design.
unsafe impl Send for ThreadParty {}
// SAFETY: as above.
unsafe impl Sync for ThreadParty {}

static THREAD_KIND: PartyKind = PartyKind {
    wake: ThreadParty::wake,
    suspend: ThreadParty::suspend,
    retain: Some(ThreadParty::retain),
    is_task: false,
};

impl ThreadParty {
    /// A party for the calling thread.
    pub fn new() -> Arc<ThreadParty> {
        let parker = Parker::new();
        let unparker = parker.unparker();
        let party = Party::new(&THREAD_KIND);
        Arc::new(ThreadParty { party, notified: AtomicBool::new(false), parker, unparker })
    }

    /// The party as its wakers see it.
    pub fn party(this: &Arc<ThreadParty>) -> NonNull<Party> {
        // The pointer is derived from the whole object, of which the party is the first field.
        NonNull::new(Arc::as_ptr(this).cast_mut()).expect("an Arc is never null").cast()
    }

    unsafe fn retain(party: NonNull<Party>) {
        // SAFETY: THREAD_KIND is given to the `party` of a ThreadParty in an Arc alone, and `ThreadParty::party` derives
        // the pointer from the Arc.
        unsafe { Arc::increment_strong_count(party.as_ptr().cast::<ThreadParty>()) };
    }

    unsafe fn wake(party: NonNull<Party>) {
        // SAFETY: balances `retain`.
        let this = unsafe { Arc::from_raw(party.as_ptr().cast::<ThreadParty>()) };
        // Release: the payload written by the claimer is seen by the owner's Acquire.
        this.notified.store(true, Ordering::Release);
        this.unparker.unpark();
    }

    unsafe fn suspend(party: NonNull<Party>, mut deadline: Deadline) {
        // SAFETY: as in `retain`; the owner, who calls this, holds an Arc.
        let this = unsafe { party.cast::<ThreadParty>().as_ref() };
        let mut deadline = deadline.fix();
        // Acquire: pairs with `wake`.
        while !this.notified.load(Ordering::Acquire) {
            match deadline {
                None => this.parker.park(),
                Some(moment) => {
                    this.parker.park_deadline(moment);
                    if crate::facade::deadline_passed(moment) {
                        if this.party.claim_timeout() {
                            return;
                        }
                        // Claimed by another: its wake-up is on the way.
                        deadline = None;
                    }
                }
            }
        }
        // Relaxed: the owner's own store; the next claimer synchronises through a queue's lock.
        this.notified.store(false, Ordering::Relaxed);
    }
}

/// An async task that waits: the party of a future, and the waker of the task that polls it.
///
/// A future can be dropped at any time. So its nodes, its payload and its waker are touched under the lock of the queue
/// it stands in, by both sides, and it stands in one queue at most.
#[repr(C)]
pub struct TaskParty {
    party: Party,
    waker: UnsafeCell<Option<Waker>>,
}

// SAFETY: `waker` is touched under the queue's lock alone, see above.
unsafe impl Send for TaskParty {}
// SAFETY: as above.
unsafe impl Sync for TaskParty {}

static TASK_KIND: PartyKind =
    PartyKind { wake: |_| unreachable!(), suspend: |_, _| unreachable!(), retain: None, is_task: true };

impl TaskParty {
    /// A party for a future. It must not move while a node of it is in a queue.
    pub fn new() -> TaskParty {
        TaskParty { party: Party::new(&TASK_KIND), waker: UnsafeCell::new(None) }
    }

    /// The party as its wakers see it. `this` points to the whole object and keeps that provenance.
    pub fn party(this: NonNull<TaskParty>) -> NonNull<Party> {
        this.cast()
    }

    /// Replaces the waker, and answers the old one, which the caller drops after unlocking.
    ///
    /// # Safety
    ///
    /// The caller holds the lock of the queue that the party stands in, or it stands in none.
    #[must_use]
    pub unsafe fn set_waker(&self, waker: Option<Waker>) -> Option<Waker> {
        // SAFETY: exclusive by the contract.
        unsafe { core::mem::replace(&mut *self.waker.get(), waker) }
    }

    /// # Safety
    ///
    /// `party` is the first field of a `TaskParty`, derived from the whole, and the lock of its queue is held.
    unsafe fn take_waker(party: NonNull<Party>) -> Option<Waker> {
        // SAFETY: by the contract.
        unsafe { party.cast::<TaskParty>().as_ref().set_waker(None) }
    }
}

impl Default for TaskParty {
    fn default() -> TaskParty {
        TaskParty::new()
    }
}
