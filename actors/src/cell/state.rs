//! The state that an actor's lock guards, except the lane: phase, flags, and the rarely needed part.

use std::collections::BTreeMap;

use kahn_core::process::Process;
use kahn_core::wait::{Claimed, WaitQueue};

use super::{AnyActor, Downs, Edge, Overflow, Phase};
use crate::exit::{ActorId, ExitReason};
use crate::registration::Registrations;
use crate::signal::{Down, MonitorId};

/// The turn has found nothing more to do, and ends, perhaps after the message that it has taken.
const ASLEEP: u16 = 1;
/// A stop was requested.
const STOP: u16 = 2;
/// The system lane is not empty: the turn looks there first.
const URGENT: u16 = 4;
/// Senders wait for room.
const SENDERS: u16 = 8;
/// The actor is a loop on a green thread, which waits in `cold.receiver`.
const LOOP: u16 = 16;
/// The actor traps exits: the exit of a linked actor is a notification, and does not end it.
const TRAPS: u16 = 32;
/// A timer of the actor is due.
const TIMER: u16 = 64;
/// This incarnation has started.
const STARTED: u16 = 128;
/// No message of the lane is being handled. If the bit is clear, the message that was taken last is being handled or,
/// with `SKIPPED`, the message `cold.in_hand`. The bit means nothing while the actor asks nothing, and sleeps or looks
/// for its next message.
const FREE: u16 = 256;
/// The oldest message was dropped while another was being handled.
const SKIPPED: u16 = 512;
/// The first `cold.again` messages of the lane come from an earlier life, and have no number.
const AGAIN: u16 = 1024;

/// The size matters: a program may have a million of these.
pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(crate) overflow: Overflow,
    bits: u16,
    /// The number of the last message that was taken out; it wraps around. The messages in the lane have the next
    /// numbers.
    pub(crate) handled: u32,
    /// The edge of the actor's wait, if only one other actor can end that wait. The edge is on the stack of the wait.
    pub(crate) asking: *const Edge,
    cold: Option<Box<ColdState>>,
}

// SAFETY: `asking` is followed only under the lock. Under the lock it is taken back before the edge is gone.
unsafe impl Send for State {}

/// The state that most actors do not need.
#[derive(Default)]
pub(crate) struct ColdState {
    /// The reason for which the actor must end or has ended. The first reason counts.
    pub(crate) exit: Option<ExitReason>,
    /// The reason for which the actor must end after the message that it is handling, if it is not `Normal`.
    pub(crate) stop: Option<ExitReason>,
    /// Ends of other actors that this one has been told of and has not handled. Those of a monitor have its number as
    /// the key.
    pub(crate) downs: Downs,
    /// Senders that wait for room.
    pub(crate) senders: WaitQueue,
    /// The green thread of a loop that waits for a message.
    pub(crate) receiver: WaitQueue,
    /// The threads that wait for the actor's end or start.
    pub(crate) joiners: WaitQueue,
    /// The linked actors, by their numbers.
    pub(crate) links: BTreeMap<ActorId, AnyActor>,
    /// The actors that monitor this one.
    pub(crate) monitors: BTreeMap<MonitorId, AnyActor>,
    /// The actors that this one monitors.
    pub(crate) watches: BTreeMap<MonitorId, AnyActor>,
    /// The place of its last panic.
    pub(crate) panicked: Option<Box<str>>,
    /// The supervisor, which decides what follows the end of an incarnation, and its monitor of this incarnation.
    pub(crate) supervisor: Option<(AnyActor, MonitorId)>,
    /// The present life is the last: the supervisor is ending it, and will not start another.
    pub(crate) is_last: bool,
    /// The number of incarnations that have ended and were followed by another, or may be.
    pub(crate) lives: u64,
    /// The exit reason of the last incarnation, if the actor has a supervisor.
    pub(crate) last: Option<ExitReason>,
    /// The number of messages that were dropped because the mailbox was full.
    pub(crate) dropped: u64,
    /// With `SKIPPED`: the number of the message that is being handled.
    in_hand: u32,
    /// With `AGAIN`: the number of messages in the lane that have no number.
    again: u32,
    /// Its registrations: names, memberships and subscriptions.
    pub(crate) entries: Registrations,
    /// The names along the circle because of which its wait was ended.
    pub(crate) circle: Option<Vec<String>>,
    /// A child that asked this actor while it was being stopped, as a hint for a search of circles.
    pub(crate) asked_by: Option<ActorId>,
}

/// The wake-up that a caller owes after unlocking.
#[must_use]
pub(crate) enum WakeAction {
    /// None: the actor runs or is about to run, and will see the change.
    Nobody,
    Task,
    Loop(Claimed),
}

impl WakeAction {
    #[inline]
    pub(crate) fn wake<H: Send + Sync + 'static>(self, process: &Process<H>) {
        self.wake_by::<false, H>(process);
    }

    /// Like [`wake`](Self::wake). With `WAITS`, the caller is perhaps about to park and wait for an answer.
    ///
    /// Always inlined: passed to a call as a whole, the value would be written in parts and read back as one word, and
    /// the processor stalls on that.
    #[inline(always)]
    pub(crate) fn wake_by<const WAITS: bool, H: Send + Sync + 'static>(self, process: &Process<H>) {
        match self {
            WakeAction::Nobody => {}
            WakeAction::Task if WAITS => process.wake_next(),
            WakeAction::Task => process.wake(),
            WakeAction::Loop(claimed) => claimed.wake.wake(),
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
            cold: None,
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

    /// Changes the phase, unless the actor has ended for good. Then only the change to `Dead` takes effect.
    pub(crate) fn enter(&mut self, phase: Phase) {
        if !self.phase.is_final() || phase == Phase::Dead {
            self.phase = phase;
        }
    }

    /// Returns the cold part, and allocates it if necessary.
    pub(crate) fn cold(&mut self) -> &mut ColdState {
        self.cold.get_or_insert_default()
    }

    pub(crate) fn lives(&self) -> u64 {
        self.cold.as_deref().map_or(0, |cold| cold.lives)
    }

    pub(crate) fn cold_if_any(&mut self) -> Option<&mut ColdState> {
        self.cold.as_deref_mut()
    }

    #[inline]
    pub(crate) fn is_urgent(&self) -> bool {
        self.has(URGENT)
    }

    /// Returns whether the present incarnation, or the last one, has started: its `started` has returned `Ok`.
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

    /// Records that the actor waits for something to do.
    #[inline]
    pub(crate) fn fall_asleep(&mut self) {
        self.put(ASLEEP, true);
    }

    pub(crate) fn is_asleep(&self) -> bool {
        self.has(ASLEEP)
    }

    /// Returns whether `ASLEEP` may be set while a message is being handled.
    pub(crate) fn may_sleep_early(&self) -> bool {
        !self.has(LOOP)
    }

    /// Records that a loop has returned from its wait without having been woken by a sender.
    pub(crate) fn awake(&mut self) {
        self.put(ASLEEP, false);
    }

    /// Returns whether the turn can simply take the next message, in the way it took the last.
    #[inline]
    pub(crate) fn is_fast_path(&self) -> bool {
        self.bits & (URGENT | SENDERS | FREE | SKIPPED | AGAIN) == 0
    }

    /// Returns whether there is nothing to do except for messages in the lane.
    #[inline]
    pub(super) fn is_quiet(&self) -> bool {
        self.bits & !(STARTED | TRAPS | FREE) == 0
    }

    /// Records that a message was taken out to be handled.
    pub(crate) fn count_in(&mut self) {
        self.let_go();
        let is_numbered = self.count_out();
        self.put(FREE, !is_numbered);
    }

    /// Records that a message was taken out that will not be handled. Another message may be being handled.
    pub(super) fn count_skipped(&mut self) {
        if self.bits & (FREE | SKIPPED) == 0 {
            self.cold().in_hand = self.handled;
            self.put(SKIPPED, true);
        }
        self.count_out();
    }

    /// Counts a message that was taken out. Returns whether it had a number.
    fn count_out(&mut self) -> bool {
        let again = self.again();
        if again > 0 {
            self.set_again(again - 1);
            return false;
        }
        self.handled = self.handled.wrapping_add(1);
        true
    }

    /// Returns how many of the lane's first messages have no number, because they come from an earlier life.
    #[inline]
    pub(super) fn again(&self) -> u32 {
        match &self.cold {
            Some(cold) if self.has(AGAIN) => cold.again,
            _ => 0,
        }
    }

    pub(super) fn set_again(&mut self, again: u32) {
        if again > 0 || self.has(AGAIN) {
            self.cold().again = again;
            self.put(AGAIN, again > 0);
        }
    }

    /// Records that no message of the lane is being handled any more.
    pub(crate) fn let_go(&mut self) {
        self.bits = self.bits & !SKIPPED | FREE;
    }

    /// Returns whether the message with this number is in the lane or is being handled.
    pub(crate) fn has_to_handle(&self, number: u32) -> bool {
        if number.wrapping_sub(self.handled) as i32 > 0 {
            return true;
        }
        let in_hand = match &self.cold {
            Some(cold) if self.has(SKIPPED) => cold.in_hand,
            _ => self.handled,
        };
        !self.has(FREE) && number == in_hand
    }

    /// Records that something was put into the mailbox. Returns the wake-up that is owed.
    #[inline]
    pub(crate) fn wake_action(&mut self) -> WakeAction {
        if !self.has(ASLEEP) {
            return WakeAction::Nobody;
        }
        self.put(ASLEEP, false);
        if !self.has(LOOP) {
            return WakeAction::Task;
        }
        self.cold().receiver.claim_next().map_or(WakeAction::Nobody, WakeAction::Loop)
    }

    /// Records that something was put into the system lane.
    pub(crate) fn wake_action_urgent(&mut self) -> WakeAction {
        self.put(URGENT, true);
        self.wake_action()
    }

    /// Records that a timer of the actor is due.
    pub(crate) fn ring(&mut self) -> WakeAction {
        self.put(TIMER, true);
        self.wake_action_urgent()
    }

    /// Requests a stop after the message that is being handled.
    pub(crate) fn stop(&mut self, reason: &mut Option<ExitReason>) -> WakeAction {
        if self.phase.is_dead() || self.has(STOP) {
            return WakeAction::Nobody;
        }
        self.put(STOP, true);
        if reason.as_ref().is_some_and(|reason| !reason.is_normal()) {
            self.cold().stop = reason.take();
        }
        self.wake_action_urgent()
    }

    /// Returns the reason of a stop that was requested.
    pub(crate) fn stop_reason(&self) -> Option<ExitReason> {
        let stated = || self.cold.as_deref().and_then(|cold| cold.stop.clone());
        self.has(STOP).then(|| stated().unwrap_or(ExitReason::Normal))
    }

    /// Returns the reason for which the actor ends before its next message, if it does.
    pub(crate) fn end_reason(&self) -> Option<ExitReason> {
        self.cold.as_deref().and_then(|cold| cold.exit.clone()).or_else(|| self.stop_reason())
    }

    /// Takes the next item of the system lane, in the order of precedence. Called when `URGENT` is set.
    pub(crate) fn take_urgent(&mut self) -> Urgent {
        if let Some(reason) = self.end_reason() {
            return Urgent::End(reason);
        }
        if self.has(TIMER) {
            self.put(TIMER, false);
            return Urgent::Timer;
        }
        match self.cold.as_deref_mut().and_then(|cold| cold.downs.pop_front()) {
            Some(down) => Urgent::Down(down),
            None => {
                self.put(URGENT, false);
                Urgent::Nothing
            }
        }
    }

    /// Takes out the requests and notifications of an incarnation that has ended. The caller drops them after
    /// unlocking.
    #[must_use]
    pub(crate) fn clear_urgent(&mut self) -> (Option<ExitReason>, Downs) {
        self.bits = self.bits & (LOOP | SENDERS | STARTED | AGAIN) | FREE;
        let Some(cold) = self.cold.as_deref_mut() else { return (None, Downs::new()) };
        cold.panicked = None;
        (cold.stop.take(), core::mem::take(&mut cold.downs))
    }

    /// Returns the reason for which the actor ended. Meaningful once it is dead.
    pub(crate) fn reason(&self) -> ExitReason {
        self.cold.as_deref().and_then(|cold| cold.exit.clone()).unwrap_or(ExitReason::Normal)
    }
}

/// An item of the system lane, as a turn finds it.
pub(crate) enum Urgent {
    Nothing,
    End(ExitReason),
    Timer,
    Down(Down),
}
