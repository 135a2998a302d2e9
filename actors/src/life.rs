//! The turns of an actor: from its start to its end, and on to its next start if a supervisor restarts it.
//!
//! An *incarnation* is one life, from `begin` to `discard`. It ends by the first of these: an error from one of its
//! methods, a panic, a kill, the exit of a link, a stop, the drop of the last reference. By then the message that was
//! being handled is gone. The messages in the mailbox stay if a supervisor may start another incarnation; otherwise
//! they become dead letters.
//!
//! A supervisor starts each incarnation of its children, the first one included. It is told of the end of each
//! incarnation as by a monitor, when the phase is `Between` or `Gone`.
//! [`supervision`](crate::supervision) has the operations that it then uses. A supervisor dismisses all of its
//! children before it ends, in its destructor at the latest: a child between two incarnations would wait for it for
//! ever.

use core::ops::ControlFlow;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use kahn_core::process::{Body, Leftover, Process};
use kahn_core::wait::{Claimed, is_cancelled, reject_stray_unwind_at_end, run_shielded_catching};

use crate::ask_cycle;
use crate::cell::{AnyActor, Downs, Head, Locked, Phase};
use crate::control::{Control, LocalState};
use crate::dead_letters::{self, Cause};
use crate::exit::ExitReason;
use crate::lifecycle::any;
use crate::links::{ExitObservers, tell_all};
use crate::panics::{self, catching, catching_shielded, drop_each};
use crate::registration::Registrations;
use crate::ring::Ring;
use crate::signal::MonitorId;
use crate::unobserved_panics;

/// The lives of an actor, one after the other.
pub(crate) trait Incarnation<M: Send + 'static>: Send + 'static {
    /// Starts a life.
    fn begin(&mut self, control: &mut Control<M>) -> Result<(), ExitReason>;
    /// Handles a batch of messages.
    fn run(&mut self, control: &mut Control<M>) -> TurnEnd;
    /// Ends the life. Called before `discard`, unless the life did not start or was killed.
    fn stopped(&mut self, reason: &ExitReason, control: &mut Control<M>);
    /// Drops the value of the life.
    fn discard(&mut self);
}

/// Why a turn is over.
pub(crate) enum TurnEnd {
    /// There is nothing to do. A thread that puts something into the mailbox wakes the actor.
    Idle,
    /// There is more to do, after other threads have had a turn.
    Again,
    End(ExitReason),
}

/// The body of an actor's process.
pub(crate) struct Life<M: Send + 'static, I> {
    incarnation: I,
    local: Option<Box<LocalState<M>>>,
}

impl<M: Send + 'static, I: Incarnation<M>> Life<M, I> {
    pub(crate) fn new(incarnation: I) -> Life<M, I> {
        Life { incarnation, local: None }
    }

    pub(crate) fn incarnation(&mut self) -> &mut I {
        &mut self.incarnation
    }

    /// Returns `Continue` with the phase in which the turn begins, or `Break` if the turn has nothing to do: with true
    /// if this was the actor's last turn.
    fn phase(&mut self, process: &Process<Head<M>>) -> ControlFlow<bool, Phase> {
        let mut state = process.core.state.lock();
        let phase = state.phase;
        if !phase.is_supervised() {
            return ControlFlow::Continue(phase);
        }
        if process.is_cancelled() {
            // The runtime is ending, and the supervisor will not decide any more.
            let supervisor = state.cold().supervisor.take();
            drop(state);
            drop(supervisor);
            return ControlFlow::Break(self.finish(process, ExitReason::Killed, VecDeque::new(), true));
        }
        if state.cold().supervisor.is_some() || phase == Phase::Closing {
            // The supervisor wakes the actor when it has decided, or has closed it.
            return ControlFlow::Break(false);
        }
        let reason = match phase {
            Phase::Closed => state.reason(),
            _ => state.cold().last.clone().unwrap_or(ExitReason::Shutdown),
        };
        drop(state);
        ControlFlow::Break(self.finish(process, reason, VecDeque::new(), true))
    }

    fn live(&mut self, is_new: bool, control: &mut Control<M>) -> TurnEnd {
        if is_new {
            // An actor that was ended before it started never starts.
            let ended = {
                let mut state = control.any().state.lock();
                state.cold_if_any().and_then(|cold| cold.exit.clone())
            };
            if let Some(reason) =
                ended.or_else(|| control.process().is_cancelled().then_some(ExitReason::Killed))
            {
                return TurnEnd::End(reason);
            }
            if let Err(reason) = self.incarnation.begin(control) {
                return TurnEnd::End(reason);
            }
            control.any().state.lock().set_started(true);
            set_phase(control.any(), Phase::Running);
            control.process().note(true);
        }
        self.incarnation.run(control)
    }

    /// Ends the incarnation. Returns whether it was the last.
    ///
    /// A kill may cut `stopped` short. The code after it runs to completion: it is shielded from cancels and timeouts,
    /// and each call of user code in it may panic.
    pub(crate) fn end(
        &mut self,
        process: &Process<Head<M>>,
        control: &mut Control<M>,
        reason: ExitReason,
    ) -> bool {
        self.end_by(process, control, reason, |incarnation, reason, control| {
            incarnation.stopped(reason, control);
        })
    }

    /// Like [`end`](Self::end), with `stopped` called by `stopped`.
    pub(crate) fn end_by(
        &mut self,
        process: &Process<Head<M>>,
        control: &mut Control<M>,
        reason: ExitReason,
        stopped: impl FnOnce(&mut I, &ExitReason, &mut Control<M>),
    ) -> bool {
        let this = any(process);
        let (first, ran) = {
            let mut state = process.core.state.lock();
            let ran = state.phase == Phase::Running;
            state.enter(Phase::Ending);
            process.note(false);
            state.let_go();
            // Under the lock, so that a kill either comes before this line, or cuts short `stopped`.
            process.clear_cancel();
            (state.cold_if_any().and_then(|cold| cold.exit.clone()), ran)
        };
        let reason = match first {
            // The first reason counts. The other one may hold an error of the user, whose destructor runs here, without
            // the lock.
            Some(first) => {
                catching_shielded(this, || drop(reason));
                first
            }
            None => reason,
        };
        if ran && !matches!(reason, ExitReason::Killed) {
            catching(this, || stopped(&mut self.incarnation, &reason, control));
        }
        catching_shielded(this, || self.incarnation.discard());
        let mut aside = VecDeque::new();
        let drop_message = |message| catching(this, || drop(message));
        run_shielded_catching(|| aside = control.take_aside(drop_message));
        self.finish(process, reason, aside, false)
    }

    /// Completes an end after the incarnation is gone. Nothing in here unwinds.
    ///
    /// `was_told`: the supervisor has already been told of the end of the life to which the reason belongs.
    fn finish(
        &mut self,
        process: &Process<Head<M>>,
        reason: ExitReason,
        aside: VecDeque<M>,
        was_told: bool,
    ) -> bool {
        let supervisor = process.core.state.lock().cold_if_any().and_then(|cold| cold.supervisor.clone());
        let is_supervised = supervisor.is_some_and(|(supervisor, _)| crate::lifecycle::is_alive(&supervisor));
        let this = any(process);
        let mut locked = process.lock();
        let is_supervised = is_supervised
            && !locked.state.phase.is_final()
            && locked.state.cold_if_any().is_some_and(|cold| cold.supervisor.is_some() && !cold.is_last);
        let told = locked.state.clear_urgent();
        if is_supervised {
            let exit_observers = ExitObservers::take(&mut locked.state);
            locked.state.enter(Phase::Between);
            // Clears a kill that cut the end short: it was meant for this incarnation.
            process.clear_cancel();
            let cold = locked.state.cold();
            cold.lives += 1;
            let old = (cold.exit.take(), cold.last.replace(reason.clone()));
            locked.put_back(aside);
            drop(locked);
            wake_all(this, |cold| cold.joiners.claim_next());
            exit_observers.tell(this, &reason);
            // From now on the actor waits for its supervisor, which may be waiting for an actor that waits for this
            // one.
            ask_cycle::release(this);
            catching_shielded(this, || drop(old));
            drop_told(this, told);
            return false;
        }
        let (lane, reason, old) = leave(&mut locked, reason);
        drop(locked);
        catching_shielded(this, || drop(old));
        drop_told(this, told);
        abandon(process, lane, aside);
        announce(this, &reason, !was_told);
        true
    }
}

/// The values that an end drops after unlocking: the actor's supervisor, the reason that was in its state, and a reason
/// that came too late.
type Discarded = (Option<(AnyActor, MonitorId)>, Option<ExitReason>, Option<ExitReason>);

/// Ends an actor for good: moves it to `Gone`, and takes out its messages. Returns the messages, the exit reason (the
/// first one counts), and the values to drop after unlocking.
#[must_use]
fn leave<M>(locked: &mut Locked<'_, M>, reason: ExitReason) -> (Ring<M>, ExitReason, Discarded) {
    let is_first = !locked.state.phase.is_final();
    locked.state.enter(Phase::Gone);
    let lane = locked.empty(0);
    if reason.is_normal() && locked.state.cold_if_any().is_none() {
        return (lane, reason, (None, None, None));
    }
    let cold = locked.state.cold();
    let (reason, late) = match cold.exit.clone() {
        Some(first) if !is_first => (first, Some(reason)),
        _ => (reason, None),
    };
    let old = (cold.supervisor.take(), cold.exit.replace(reason.clone()), late);
    (lane, reason, old)
}

/// Announces that an actor has ended for good: removes its registrations, then tells its monitors and links, then wakes
/// its joiners. Whatever was told before is not told again.
///
/// `is_news`: the end is reported as unobserved (`unobserved_panics`) if no other actor or thread was told of it.
fn announce(this: &AnyActor, reason: &ExitReason, is_news: bool) {
    // First, so that an actor that learns of the end can give the names to another actor.
    deregister(this);
    let mut is_noticed = tell_all(this, reason);
    // After that: a thread that has joined the actor may rely on its monitors having been told.
    this.state.lock().enter(Phase::Dead);
    is_noticed |= wake_all(this, |cold| cold.joiners.claim_next());
    if is_news && !is_noticed {
        unobserved_panics::note(this, reason);
    }
}

/// Removes the registrations of the actor: its names, memberships and subscriptions.
pub(crate) fn deregister(actor: &AnyActor) {
    let entries = actor.state.lock().cold_if_any().map(|cold| core::mem::take(&mut cold.entries));
    for entry in entries.into_iter().flat_map(Registrations::into_live) {
        run_shielded_catching(|| entry.deregister());
    }
}

/// Drops what was taken out of the system lane. Nothing in here unwinds.
pub(crate) fn drop_told(this: &AnyActor, (stop, downs): (Option<ExitReason>, Downs)) {
    drop_each(this, stop);
    drop_each(this, downs.into_items());
}

impl<M: Send + 'static, I: Incarnation<M>> Body<Head<M>> for Life<M, I> {
    fn is_bare(head: &Head<M>) -> bool {
        let mut locked = head.lock();
        locked.lane().len() == 0 && locked.state.cold_if_any().is_none()
    }

    /// The stack of a turn that is under way may never be resumed. So everything that other threads wait for happens
    /// here. What runs user code comes last, in the returned closure: the drop of its messages.
    fn abandoned(process: &Process<Head<M>>) -> Option<Leftover> {
        let this = any(process);
        let (lane, reason, old) = {
            let mut locked = process.lock();
            if locked.state.phase == Phase::Dead {
                return None;
            }
            let first = locked.state.cold_if_any().and_then(|cold| cold.exit.clone());
            leave(&mut locked, first.unwrap_or(ExitReason::Killed))
        };
        announce(this, &reason, false);
        wake_all(this, |cold| cold.senders.claim_next());
        let process = process.clone();
        Some(Box::new(move || {
            catching_shielded(any(&process), || drop(old));
            abandon(&process, lane, VecDeque::new());
        }))
    }

    fn turn(&mut self, process: &Process<Head<M>>) -> bool {
        // The note is set together with the phase `Running`. While it is set, only `abandoned` changes the phase from
        // outside; then `end` finds a final phase, and leaves it.
        let phase = if process.noted() {
            Phase::Running
        } else {
            match self.phase(process) {
                ControlFlow::Continue(phase) => phase,
                ControlFlow::Break(is_last) => return is_last,
            }
        };
        let mut control = Control::new(process, self.local.take());
        if phase.is_final() {
            // The runtime has given up on the actor, and the actor takes a turn nevertheless.
            return self.end(process, &mut control, ExitReason::Killed);
        }
        let lived = catch_unwind(AssertUnwindSafe(|| self.live(phase == Phase::New, &mut control)));
        let reason = match lived {
            Ok(TurnEnd::Idle) => {
                self.local = control.take_local();
                return false;
            }
            Ok(TurnEnd::Again) => {
                self.local = control.take_local();
                process.wake();
                return false;
            }
            Ok(TurnEnd::End(reason)) => reason,
            Err(payload) => panics::reason(any(process), reject_stray_unwind_at_end(payload, is_cancelled())),
        };
        self.end(process, &mut control, reason)
    }
}

/// Changes the phase, and wakes the joiners.
fn set_phase(process: &AnyActor, phase: Phase) {
    process.state.lock().enter(phase);
    wake_all(process, |cold| cold.joiners.claim_next());
}

/// Wakes all waiters of a queue. Returns whether there were any. Nothing in here unwinds.
pub(crate) fn wake_all(
    process: &AnyActor,
    next: impl Fn(&mut crate::cell::ColdState) -> Option<Claimed>,
) -> bool {
    let mut any = false;
    loop {
        let claimed = process.state.lock().cold_if_any().and_then(&next);
        let Some(claimed) = claimed else { return any };
        any = true;
        // A task's waker is user code.
        run_shielded_catching(|| claimed.wake.wake());
    }
}

/// Drops messages that will not be handled, and gives the senders that wait for room their messages back. Nothing in
/// here unwinds.
pub(crate) fn abandon<M: Send + 'static>(process: &Process<Head<M>>, mut lane: Ring<M>, aside: VecDeque<M>) {
    let this = any(process);
    let left = lane.len() + aside.len();
    drop_each(this, core::iter::from_fn(|| lane.pop()));
    drop_each(this, aside);
    if left > 0 {
        dead_letters::note::<M>(this, Cause::NotHandled, left as u64);
    }
    wake_all(this, |cold| cold.senders.claim_next());
}

#[cfg(fibers)]
#[cfg(test)]
#[path = "life_tests.rs"]
mod tests;
