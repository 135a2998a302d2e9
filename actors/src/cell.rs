//! What others touch of an actor: one heap cell, shared by all references to it.
//!
//! ```text
//!   Job      the header of its job (kahn-core)
//!   Head<M> ┐ core ┐ strong   references that keep it going             everyone
//!           │      └ state    phase, flags, the rare part; behind the lock that guards the lane, too
//!           └ lane            the user lane: messages                   under the core's lock
//!   Body      the actor itself, and what it keeps for itself            who runs its turn
//! ```
//!
//! The lock is held for a few dozen instructions, in which no user's code runs and nothing is woken: what is to be
//! woken is answered as a [`Rouse`], what is to be dropped is handed out.
//!
//! | phase | means | to |
//! |---|---|---|
//! | `New` | it has not come to its first turn of this incarnation | `Running`, by its turn |
//! | `Running` | it handles messages, or waits for some | `Ending`, by its turn |
//! | `Ending` | it is in `stopped`, or what it had is being dropped | `Between` or `Gone`, by its turn |
//! | `Between` | a keeper decides what comes next; the mailbox takes messages | `New`, `Closed` or `Gone`, by the keeper |
//! | `Closed` | as `Dead` to all but its keeper, who may start it again | `New` or `Gone`, by the keeper |
//! | `Gone` | it has ended, and those who monitor it are being told | `Dead`, by its turn |
//! | `Dead` | nothing is taken any more, `exit` says why | |
//!
//! The argument that no message is left lying: `ASLEEP` is set by the turn that finds the lane empty, or that takes the
//! last message out, and cleared by whoever puts something in, both under the lock. Who clears it wakes the job, and the
//! job's own protocol sees to it that a turn follows that begins after that, or that this one looks again.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use std::collections::{BTreeMap, VecDeque};

use kahn_core::facade::{AtomicBool, AtomicU32, AtomicUsize, Lock, LockGuard, Ordering};
use kahn_core::process::Process;
use kahn_core::wait::{Claimed, WaitQueue};

use crate::entry::Entries;
use crate::exit::{ActorId, ExitReason};
use crate::ring::Ring;
use crate::signal::{Down, MonitorId};
use crate::slot::Slot;

/// An actor, whatever its messages. Keeps the memory, not the actor.
pub(crate) type Any = Process<Core>;

#[repr(C)]
pub(crate) struct Head<M> {
    pub(crate) core: Core,
    lane: UnsafeCell<Ring<M>>,
}

// SAFETY: the lane is touched under the core's lock, through `Locked`, and moves messages between threads.
unsafe impl<M: Send> Sync for Head<M> {}

pub(crate) struct Core {
    /// References that keep it going. Together they hold one reference to the memory.
    pub(crate) strong: AtomicUsize,
    pub(crate) state: Lock<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    New,
    Running,
    Ending,
    Between,
    Closed,
    Gone,
    Dead,
}

impl Phase {
    /// Whether it has ended, as far as others are concerned.
    #[inline]
    pub(crate) fn is_dead(self) -> bool {
        matches!(self, Phase::Closed | Phase::Gone | Phase::Dead)
    }

    /// Whether it has ended, and who is told of that has been told.
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Phase::Closed | Phase::Dead)
    }

    /// Whether its keeper has to say what comes next.
    pub(crate) fn is_kept(self) -> bool {
        matches!(self, Phase::Between | Phase::Closed)
    }
}

/// What becomes of a message that finds the mailbox full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Overflow {
    /// The sender waits for room. The default.
    #[default]
    Park,
    /// The sender gets it back, with an error.
    Fail,
    /// It is dropped, and counted as a dead letter. The sender is told nothing.
    DropNewest,
    /// The oldest that is waiting is dropped to make room, and counted as a dead letter.
    DropOldest,
}

/// The turn has found nothing more to do, and leaves, perhaps after the message in hand.
const ASLEEP: u16 = 1;
/// A stop was asked for.
const STOP: u16 = 2;
/// There is something in the system lane: the turn looks there first.
const URGENT: u16 = 4;
/// Senders wait for room.
const SENDERS: u16 = 8;
/// It is a loop on a green thread, which waits in `rare.receiver`.
const LOOP: u16 = 16;
/// Exits of those it is linked to are told, and do not end it.
const TRAPS: u16 = 32;
/// A timer of its own has come.
const TIMER: u16 = 64;
/// This incarnation has started.
const STARTED: u16 = 128;
/// No message of the lane is in hand. If not: the last that was taken is, or, with `SKIPPED`, that of `rare.in_hand`. Of
/// one that asks nobody, which sleeps or looks for its next message, it says nothing.
const FREE: u16 = 256;
/// The oldest message was dropped while one was in hand.
const SKIPPED: u16 = 512;
/// The first messages of the lane, `rare.again` of them, come from an earlier life, and have no number.
const AGAIN: u16 = 1024;

/// Sized with care: there may be a million of these.
pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(crate) overflow: Overflow,
    bits: u16,
    /// The number of the last message that was taken out, wrapping. Those in the lane have the next ones.
    pub(crate) handled: u32,
    /// Whom it asks, while it does; on the stack of the ask.
    pub(crate) asking: *const Edge,
    rare: Option<Box<Rare>>,
}

// SAFETY: `asking` is followed under the lock alone, and taken back under it before what it points to is gone.
unsafe impl Send for State {}

/// An ask that is under way.
pub(crate) struct Edge {
    /// Who is asked. The asker keeps it.
    pub(crate) target: *const Any,
    /// Where the answer is handed over, unless what is waited for is none. The asker leaves it after the edge is taken back.
    pub(crate) slot: Option<NonNull<Slot>>,
    /// The number of the message that asks, once it is in the mailbox. Changes under the target's lock.
    pub(crate) number: AtomicU32,
    /// Whether there is such a number. Changes under the target's lock.
    pub(crate) sent: AtomicBool,
}

impl Edge {
    pub(crate) fn new(target: &Any, slot: Option<NonNull<Slot>>) -> Edge {
        Edge { target, slot, number: AtomicU32::new(0), sent: AtomicBool::new(false) }
    }
}

/// What most actors do not need.
#[derive(Default)]
pub(crate) struct Rare {
    /// Why it is to end, or has. The first reason counts.
    pub(crate) exit: Option<ExitReason>,
    /// Why it is to end after the message in hand, if not normally.
    pub(crate) stop: Option<ExitReason>,
    pub(crate) downs: VecDeque<Down>,
    /// Senders that wait for room.
    pub(crate) senders: WaitQueue,
    /// The green thread of a loop that waits for a message.
    pub(crate) receiver: WaitQueue,
    /// Who waits for its end, and who for its start.
    pub(crate) joiners: WaitQueue,
    /// By their numbers.
    pub(crate) links: BTreeMap<ActorId, Any>,
    /// Who is to be told of its end.
    pub(crate) monitors: BTreeMap<MonitorId, Any>,
    /// Whom it monitors.
    pub(crate) watches: BTreeMap<MonitorId, Any>,
    /// Where it last panicked.
    pub(crate) panicked: Option<Box<str>>,
    /// Who decides what follows an incarnation's end, and its monitor of this one.
    pub(crate) keeper: Option<(Any, MonitorId)>,
    /// Why the last incarnation ended, if somebody keeps it.
    pub(crate) last: Option<ExitReason>,
    /// Messages dropped because the mailbox was full.
    pub(crate) dropped: u64,
    /// With `SKIPPED`: the number of the message in hand.
    in_hand: u32,
    /// With `AGAIN`: how many messages have no number.
    again: u32,
    /// What is said of it elsewhere.
    pub(crate) entries: Entries,
}

/// What is to be woken, after unlocking.
#[must_use]
pub(crate) enum Rouse {
    /// It runs, or is about to, and will see.
    Nobody,
    Job,
    Loop(Claimed),
}

impl Rouse {
    #[inline]
    pub(crate) fn wake<H: Send + Sync + 'static>(self, process: &Process<H>) {
        match self {
            Rouse::Nobody => {}
            Rouse::Job => process.wake(),
            Rouse::Loop(claimed) => claimed.wake.wake(),
        }
    }

    /// As [`wake`](Self::wake), by who is about to park, to wait for an answer.
    #[inline]
    pub(crate) fn wake_next<H: Send + Sync + 'static>(self, process: &Process<H>) {
        match self {
            Rouse::Job => process.wake_next(),
            other => other.wake(process),
        }
    }
}

impl Core {
    fn new(overflow: Overflow, is_loop: bool) -> Core {
        Core {
            strong: AtomicUsize::new(1),
            state: Lock::new(State {
                phase: Phase::New,
                overflow,
                bits: if is_loop { LOOP | FREE } else { FREE },
                handled: 0,
                asking: core::ptr::null(),
                rare: None,
            }),
        }
    }
}

impl<M> Head<M> {
    /// A new actor's, with one reference.
    pub(crate) fn new(capacity: u32, overflow: Overflow, is_loop: bool) -> Head<M> {
        Head { core: Core::new(overflow, is_loop), lane: UnsafeCell::new(Ring::new(capacity)) }
    }

    /// State and lane.
    #[inline]
    pub(crate) fn lock(&self) -> Locked<'_, M> {
        Locked { core: &self.core, state: self.core.state.lock(), lane: &self.lane }
    }
}

/// The actor, locked.
pub(crate) struct Locked<'a, M> {
    core: &'a Core,
    pub(crate) state: LockGuard<'a, State>,
    lane: &'a UnsafeCell<Ring<M>>,
}

impl<M> Locked<'_, M> {
    #[inline]
    pub(crate) fn lane(&mut self) -> &mut Ring<M> {
        // SAFETY: `self` holds the lock that guards the lane, and is borrowed exclusively.
        unsafe { &mut *self.lane.get() }
    }

    /// Takes the oldest message out, which nobody will handle, while another may be in hand.
    pub(crate) fn skip(&mut self) -> Option<M> {
        let message = self.lane().pop()?;
        if self.state.bits & (FREE | SKIPPED) == 0 {
            let in_hand = self.state.handled;
            self.state.rare().in_hand = in_hand;
            self.state.put(SKIPPED, true);
        }
        self.state.count_out();
        Some(message)
    }

    /// The number of the message that is put in next.
    #[inline]
    pub(crate) fn next_number(&mut self) -> u32 {
        let ahead = self.lane().len() as u32;
        let again = if self.state.has(AGAIN) { self.state.rare().again } else { 0 };
        self.state.handled.wrapping_add(ahead - again).wrapping_add(1)
    }

    /// Takes out all messages, and leaves an empty lane.
    #[must_use]
    pub(crate) fn empty(&mut self, limit: u32) -> Ring<M> {
        self.state.put(AGAIN, false);
        core::mem::replace(self.lane(), Ring::new(limit))
    }

    /// Puts messages of an earlier life before all others, in their order.
    pub(crate) fn put_back(&mut self, mut messages: VecDeque<M>) {
        if messages.is_empty() {
            return;
        }
        let again = if self.state.has(AGAIN) { self.state.rare().again } else { 0 };
        self.state.rare().again = again + messages.len() as u32;
        self.state.put(AGAIN, true);
        while let Some(message) = messages.pop_back() {
            self.lane().push_front(message);
        }
    }

    /// Falls asleep before the message in hand is handled, if there is nothing else to do: most who are asked are asked
    /// one question at a time. The turn need not lock again then, unless its job has been woken by the end of it.
    #[inline]
    pub(crate) fn doze(&mut self) -> bool {
        // Acquire: pairs with the last reference's drop. Without references it has to look at what follows.
        if self.lane().len() != 0
            || self.state.bits & !(STARTED | TRAPS | FREE) != 0
            || self.core.strong.load(Ordering::Acquire) == 0
        {
            return false;
        }
        self.lane().shrink();
        self.state.fall_asleep();
        true
    }
}

impl State {
    #[inline]
    fn has(&self, bit: u16) -> bool {
        self.bits & bit != 0
    }

    #[inline]
    fn put(&mut self, bit: u16, on: bool) {
        self.bits = if on { self.bits | bit } else { self.bits & !bit };
    }

    /// The rare part, made at need.
    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(crate) fn rare_if_any(&mut self) -> Option<&mut Rare> {
        self.rare.as_deref_mut()
    }

    #[inline]
    pub(crate) fn is_urgent(&self) -> bool {
        self.has(URGENT)
    }

    /// Whether the present incarnation, or the last, came as far as its first message.
    pub(crate) fn has_started(&self) -> bool {
        self.has(STARTED)
    }

    pub(crate) fn set_started(&mut self, started: bool) {
        self.put(STARTED, started);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.has(STOP)
    }

    pub(crate) fn traps(&self) -> bool {
        self.has(TRAPS)
    }

    pub(crate) fn set_traps(&mut self, traps: bool) {
        self.put(TRAPS, traps);
    }

    #[inline]
    pub(crate) fn has_senders(&self) -> bool {
        self.has(SENDERS)
    }

    pub(crate) fn set_senders(&mut self, any: bool) {
        self.put(SENDERS, any);
    }

    /// It waits for something to do.
    #[inline]
    pub(crate) fn fall_asleep(&mut self) {
        self.put(ASLEEP, true);
    }

    pub(crate) fn is_asleep(&self) -> bool {
        self.has(ASLEEP)
    }

    /// Whether it may be asleep with a message in hand.
    pub(crate) fn may_doze(&self) -> bool {
        !self.has(LOOP)
    }

    /// A loop has come back from its wait without having been roused.
    pub(crate) fn awake(&mut self) {
        self.put(ASLEEP, false);
    }

    /// Nothing keeps its turn from simply taking the next message, as it has taken the last.
    #[inline]
    pub(crate) fn is_calm(&self) -> bool {
        self.bits & (URGENT | SENDERS | FREE | SKIPPED | AGAIN) == 0
    }

    /// A message was taken out, to be handled.
    pub(crate) fn count_in(&mut self) {
        self.let_go();
        let is_numbered = self.count_out();
        self.put(FREE, !is_numbered);
    }

    /// A message was taken out. Answers whether it had a number.
    fn count_out(&mut self) -> bool {
        if !self.has(AGAIN) {
            self.handled = self.handled.wrapping_add(1);
            return true;
        }
        let again = &mut self.rare().again;
        *again -= 1;
        let none_left = *again == 0;
        self.put(AGAIN, !none_left);
        false
    }

    /// Nothing of the lane is in hand any more.
    pub(crate) fn let_go(&mut self) {
        self.bits = self.bits & !SKIPPED | FREE;
    }

    /// Whether the message with this number is in the lane, or in hand.
    pub(crate) fn has_to_handle(&self, number: u32) -> bool {
        if number.wrapping_sub(self.handled) as i32 > 0 {
            return true;
        }
        let in_hand = match &self.rare {
            Some(rare) if self.has(SKIPPED) => rare.in_hand,
            _ => self.handled,
        };
        !self.has(FREE) && number == in_hand
    }

    /// Something was put in.
    #[inline]
    pub(crate) fn rouse(&mut self) -> Rouse {
        if !self.has(ASLEEP) {
            return Rouse::Nobody;
        }
        self.put(ASLEEP, false);
        if !self.has(LOOP) {
            return Rouse::Job;
        }
        self.rare().receiver.claim_next().map_or(Rouse::Nobody, Rouse::Loop)
    }

    /// Something was put into the system lane.
    pub(crate) fn rouse_urgently(&mut self) -> Rouse {
        self.put(URGENT, true);
        self.rouse()
    }

    /// A timer of the actor has come.
    pub(crate) fn ring(&mut self) -> Rouse {
        self.put(TIMER, true);
        self.rouse_urgently()
    }

    /// Asks for a stop after the message in hand.
    pub(crate) fn stop(&mut self, reason: ExitReason) -> Rouse {
        if self.phase.is_dead() || self.has(STOP) {
            return Rouse::Nobody;
        }
        self.put(STOP, true);
        if !reason.is_normal() {
            self.rare().stop = Some(reason);
        }
        self.rouse_urgently()
    }

    /// What there is in the system lane, in the order in which it counts. Asked when it is urgent.
    pub(crate) fn take_urgent(&mut self) -> Urgent {
        if let Some(reason) = self.rare.as_deref().and_then(|rare| rare.exit.clone()) {
            return Urgent::End(reason);
        }
        if self.has(STOP) {
            let reason = self.rare.as_deref().and_then(|rare| rare.stop.clone());
            return Urgent::End(reason.unwrap_or(ExitReason::Normal));
        }
        if self.has(TIMER) {
            self.put(TIMER, false);
            return Urgent::Timer;
        }
        match self.rare.as_deref_mut().and_then(|rare| rare.downs.pop_front()) {
            Some(down) => Urgent::Down(down),
            None => {
                self.put(URGENT, false);
                Urgent::Nothing
            }
        }
    }

    /// An incarnation has ended: what was asked of it, and told to it, goes with it. To be dropped after unlocking.
    #[must_use]
    pub(crate) fn clear_urgent(&mut self) -> (Option<ExitReason>, VecDeque<Down>) {
        self.bits = self.bits & (LOOP | SENDERS | STARTED | AGAIN) | FREE;
        let Some(rare) = self.rare.as_deref_mut() else { return (None, VecDeque::new()) };
        rare.panicked = None;
        (rare.stop.take(), core::mem::take(&mut rare.downs))
    }

    /// Why it ended, once it is dead.
    pub(crate) fn reason(&self) -> ExitReason {
        self.rare.as_deref().and_then(|rare| rare.exit.clone()).unwrap_or(ExitReason::Normal)
    }
}

/// What a turn finds in the system lane.
pub(crate) enum Urgent {
    Nothing,
    End(ExitReason),
    Timer,
    Down(Down),
}

/// The number of a process.
pub(crate) fn id_of<H: Send + Sync + 'static>(process: &Process<H>) -> ActorId {
    ActorId(process.id().get())
}
