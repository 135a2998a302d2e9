//! What an actor's lock guards but the lane: its phase, its flags, and what few actors need.

use std::collections::BTreeMap;

use kahn_core::process::Process;
use kahn_core::wait::{Claimed, WaitQueue};

use super::{Any, Downs, Edge, Overflow, Phase};
use crate::entry::Entries;
use crate::exit::{ActorId, ExitReason};
use crate::signal::{Down, MonitorId};

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
    /// What it waits for, if another actor alone can bring that about; on the stack of the wait.
    pub(crate) asking: *const Edge,
    rare: Option<Box<Rare>>,
}

// SAFETY: `asking` is followed under the lock alone, and taken back under it before what it points to is gone.
unsafe impl Send for State {}

/// What most actors do not need.
#[derive(Default)]
pub(crate) struct Rare {
    /// Why it is to end, or has. The first reason counts.
    pub(crate) exit: Option<ExitReason>,
    /// Why it is to end after the message in hand, if not normally.
    pub(crate) stop: Option<ExitReason>,
    /// Ends of others that it has been told of. Those that a monitor tells have its number.
    pub(crate) downs: Downs,
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
    /// The present life is the last: its keeper ends it, and wants no other.
    pub(crate) is_last: bool,
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
    /// The names along the circle for which its wait was ended.
    pub(crate) circle: Option<Vec<String>>,
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
        self.wake_by::<false, H>(process);
    }

    /// As [`wake`](Self::wake), by who is perhaps about to park, to wait for an answer. Inlined by force: passed on whole, it
    /// would be written in parts and read as one, for which the processor waits.
    #[inline(always)]
    pub(crate) fn wake_by<const WAITS: bool, H: Send + Sync + 'static>(self, process: &Process<H>) {
        match self {
            Rouse::Nobody => {}
            Rouse::Job if WAITS => process.wake_next(),
            Rouse::Job => process.wake(),
            Rouse::Loop(claimed) => claimed.wake.wake(),
        }
    }
}

impl State {
    pub(super) fn new(overflow: Overflow, is_loop: bool) -> State {
        State {
            phase: Phase::New,
            overflow,
            bits: if is_loop { LOOP | FREE } else { FREE },
            handled: 0,
            asking: core::ptr::null(),
            rare: None,
        }
    }

    #[inline]
    fn has(&self, bit: u16) -> bool {
        self.bits & bit != 0
    }

    #[inline]
    fn put(&mut self, bit: u16, on: bool) {
        self.bits = if on { self.bits | bit } else { self.bits & !bit };
    }

    /// Moves on to another phase, unless it has ended for good and that is none to come.
    pub(crate) fn enter(&mut self, phase: Phase) {
        if !self.phase.is_final() || phase == Phase::Dead {
            self.phase = phase;
        }
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

    /// There is nothing to do but what there may be in the lane.
    #[inline]
    pub(super) fn is_quiet(&self) -> bool {
        self.bits & !(STARTED | TRAPS | FREE) == 0
    }

    /// A message was taken out, to be handled.
    pub(crate) fn count_in(&mut self) {
        self.let_go();
        let is_numbered = self.count_out();
        self.put(FREE, !is_numbered);
    }

    /// A message was taken out that nobody will handle, while another may be in hand.
    pub(super) fn count_skipped(&mut self) {
        if self.bits & (FREE | SKIPPED) == 0 {
            self.rare().in_hand = self.handled;
            self.put(SKIPPED, true);
        }
        self.count_out();
    }

    /// A message was taken out. Answers whether it had a number.
    fn count_out(&mut self) -> bool {
        let again = self.again();
        if again > 0 {
            self.set_again(again - 1);
            return false;
        }
        self.handled = self.handled.wrapping_add(1);
        true
    }

    /// How many of the lane's first messages have no number, coming from an earlier life.
    #[inline]
    pub(super) fn again(&self) -> u32 {
        match &self.rare {
            Some(rare) if self.has(AGAIN) => rare.again,
            _ => 0,
        }
    }

    pub(super) fn set_again(&mut self, again: u32) {
        if again > 0 || self.has(AGAIN) {
            self.rare().again = again;
            self.put(AGAIN, again > 0);
        }
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
    pub(crate) fn stop(&mut self, reason: &mut Option<ExitReason>) -> Rouse {
        if self.phase.is_dead() || self.has(STOP) {
            return Rouse::Nobody;
        }
        self.put(STOP, true);
        if reason.as_ref().is_some_and(|reason| !reason.is_normal()) {
            self.rare().stop = reason.take();
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
    pub(crate) fn clear_urgent(&mut self) -> (Option<ExitReason>, Downs) {
        self.bits = self.bits & (LOOP | SENDERS | STARTED | AGAIN) | FREE;
        let Some(rare) = self.rare.as_deref_mut() else { return (None, Downs::new()) };
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
