//! The turns of an actor: from its start to its end, and on to its next start if a keeper restarts it.
//!
//! An *incarnation* is one life, from `begin` to `discard`. It ends by the first of these: an error from one of its
//! methods, a panic, a kill, the exit of a link, a stop, the drop of the last reference. By then the message that was
//! being handled is gone. The messages in the mailbox stay if a keeper may start another incarnation; otherwise they
//! become dead letters.
//!
//! A keeper is a supervisor. It starts each incarnation of the actors that it keeps, the first one included. It is told
//! of the end of each incarnation as by a monitor, when the phase is `Between` or `Gone`. [`keeping`](crate::keeping)
//! has the operations that it then uses. A keeper dismisses all of its children before it ends, in its destructor at
//! the latest: a child between two incarnations would wait for it for ever.

use core::ops::ControlFlow;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use kahn_core::process::{Body, Leftover, Process};
use kahn_core::wait::{Claimed, is_cancelled, quietly, settled_at_end, unfailing};

use crate::cell::{Any, Downs, Head, Locked, Phase};
use crate::chain;
use crate::control::{Control, Own, drop_each};
use crate::dead_letters::{self, Fate};
use crate::ends::any;
use crate::entry::Entries;
use crate::exit::ExitReason;
use crate::links::{Mourners, tell_all};
use crate::panics;
use crate::ring::Ring;
use crate::signal::MonitorId;
use crate::unnoticed;

/// The lives of an actor, one after the other.
pub(crate) trait Incarnation<M: Send + 'static>: Send + 'static {
    /// Starts a life.
    fn begin(&mut self, control: &mut Control<M>) -> Result<(), ExitReason>;
    /// Handles a batch of messages.
    fn run(&mut self, control: &mut Control<M>) -> Pause;
    /// Ends the life. Called before `discard`, unless the life did not start or was killed.
    fn stopped(&mut self, reason: &ExitReason, control: &mut Control<M>);
    /// Drops the value of the life.
    fn discard(&mut self);
}

/// Why a turn is over.
pub(crate) enum Pause {
    /// There is nothing to do. A thread that puts something into the mailbox wakes the actor.
    Idle,
    /// There is more to do, after other threads have had a turn.
    Again,
    End(ExitReason),
}

/// The body of an actor's process.
pub(crate) struct Life<M: Send + 'static, I> {
    incarnation: I,
    own: Option<Box<Own<M>>>,
}

impl<M: Send + 'static, I: Incarnation<M>> Life<M, I> {
    pub(crate) fn new(incarnation: I) -> Life<M, I> {
        Life { incarnation, own: None }
    }

    pub(crate) fn incarnation(&mut self) -> &mut I {
        &mut self.incarnation
    }

    /// Returns `Continue` with the phase in which the turn begins, or `Break` if the turn has nothing to do: with true
    /// if this was the actor's last turn.
    fn phase(&mut self, process: &Process<Head<M>>) -> ControlFlow<bool, Phase> {
        let mut state = process.core.state.lock();
        let phase = state.phase;
        if !phase.is_kept() {
            return ControlFlow::Continue(phase);
        }
        if process.is_cancelled() {
            // The runtime is ending, and the keeper will not decide any more.
            let keeper = state.rare().keeper.take();
            drop(state);
            drop(keeper);
            return ControlFlow::Break(self.finish(process, ExitReason::Killed, VecDeque::new(), true));
        }
        if state.rare().keeper.is_some() {
            return ControlFlow::Break(false);
        }
        let reason = match phase {
            Phase::Closed => state.reason(),
            _ => state.rare().last.clone().unwrap_or(ExitReason::Shutdown),
        };
        drop(state);
        ControlFlow::Break(self.finish(process, reason, VecDeque::new(), true))
    }

    fn live(&mut self, is_new: bool, control: &mut Control<M>) -> Pause {
        if is_new {
            // An actor that was ended before it started never starts.
            let ended = {
                let mut state = control.any().state.lock();
                state.rare_if_any().and_then(|rare| rare.exit.clone())
            };
            if let Some(reason) =
                ended.or_else(|| control.process().is_cancelled().then_some(ExitReason::Killed))
            {
                return Pause::End(reason);
            }
            if let Err(reason) = self.incarnation.begin(control) {
                return Pause::End(reason);
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
        let (first, ran) = {
            let mut state = process.core.state.lock();
            let ran = state.phase == Phase::Running;
            state.enter(Phase::Ending);
            process.note(false);
            state.let_go();
            // Under the lock, so that a kill either comes before this line, or cuts short `stopped`.
            process.forgive();
            (state.rare_if_any().and_then(|rare| rare.exit.clone()), ran)
        };
        let reason = match first {
            // The first reason counts. The other one may hold an error of the user, whose destructor runs here, without
            // the lock.
            Some(first) => {
                unfailing(|| drop(reason));
                first
            }
            None => reason,
        };
        if ran && !matches!(reason, ExitReason::Killed) {
            quietly(|| self.incarnation.stopped(&reason, control));
        }
        unfailing(|| self.incarnation.discard());
        let mut aside = VecDeque::new();
        unfailing(|| aside = control.take_aside());
        self.finish(process, reason, aside, false)
    }

    /// Completes an end after the incarnation is gone. Nothing in here unwinds.
    ///
    /// `was_told`: the keeper has already been told of the end of the life to which the reason belongs.
    fn finish(
        &mut self,
        process: &Process<Head<M>>,
        reason: ExitReason,
        aside: VecDeque<M>,
        was_told: bool,
    ) -> bool {
        let keeper = process.core.state.lock().rare_if_any().and_then(|rare| rare.keeper.clone());
        let is_kept = keeper.is_some_and(|(keeper, _)| crate::ends::is_alive(&keeper));
        let this = any(process);
        let mut locked = process.lock();
        let is_kept = is_kept
            && !locked.state.phase.is_final()
            && locked.state.rare_if_any().is_some_and(|rare| rare.keeper.is_some() && !rare.is_last);
        let told = locked.state.clear_urgent();
        if is_kept {
            let mourners = Mourners::take(&mut locked.state);
            locked.state.enter(Phase::Between);
            // Clears a kill that cut the end short: it was meant for this incarnation.
            process.forgive();
            let rare = locked.state.rare();
            rare.lives += 1;
            let old = (rare.exit.take(), rare.last.replace(reason.clone()));
            locked.put_back(aside);
            drop(locked);
            wake_all(this, |rare| rare.joiners.claim_next());
            mourners.tell(this, &reason);
            // From now on the actor waits for its keeper, which may be waiting for an actor that waits for this one.
            chain::release(this);
            unfailing(|| drop(old));
            drop_told(told);
            return false;
        }
        let (lane, reason, old) = leave(&mut locked, reason);
        drop(locked);
        unfailing(|| drop(old));
        drop_told(told);
        abandon(process, lane, aside);
        announce(this, &reason, !was_told);
        true
    }
}

/// The values that an end drops after unlocking: the actor's keeper, the reason that was in its state, and a reason
/// that came too late.
type Discarded = (Option<(Any, MonitorId)>, Option<ExitReason>, Option<ExitReason>);

/// Ends an actor for good: moves it to `Gone`, and takes out its messages. Returns the messages, the exit reason (the
/// first one counts), and the values to drop after unlocking.
#[must_use]
fn leave<M>(locked: &mut Locked<'_, M>, reason: ExitReason) -> (Ring<M>, ExitReason, Discarded) {
    let is_first = !locked.state.phase.is_final();
    locked.state.enter(Phase::Gone);
    let lane = locked.empty(0);
    if reason.is_normal() && locked.state.rare_if_any().is_none() {
        return (lane, reason, (None, None, None));
    }
    let rare = locked.state.rare();
    let (reason, late) = match rare.exit.clone() {
        Some(first) if !is_first => (first, Some(reason)),
        _ => (reason, None),
    };
    let old = (rare.keeper.take(), rare.exit.replace(reason.clone()), late);
    (lane, reason, old)
}

/// Announces that an actor has ended for good: removes its registrations, then tells its monitors and links, then wakes
/// its joiners. Whatever was told before is not told again.
///
/// `is_news`: the end is reported as unobserved (`unnoticed`) if no other actor or thread was told of it.
fn announce(this: &Any, reason: &ExitReason, is_news: bool) {
    // First, so that an actor that learns of the end can give the names to another actor.
    strike(this);
    let mut is_noticed = tell_all(this, reason);
    // After that: a thread that has joined the actor may rely on its monitors having been told.
    this.state.lock().enter(Phase::Dead);
    is_noticed |= wake_all(this, |rare| rare.joiners.claim_next());
    if is_news && !is_noticed {
        unnoticed::note(this, reason);
    }
}

/// Removes the registrations of the actor: its names, memberships and subscriptions.
pub(crate) fn strike(actor: &Any) {
    let entries = actor.state.lock().rare_if_any().map(|rare| core::mem::take(&mut rare.entries));
    for entry in entries.into_iter().flat_map(Entries::into_live) {
        unfailing(|| entry.strike());
    }
}

fn drop_told((stop, downs): (Option<ExitReason>, Downs)) {
    drop_each(stop);
    drop_each(downs.into_items());
}

impl<M: Send + 'static, I: Incarnation<M>> Body<Head<M>> for Life<M, I> {
    fn is_bare(head: &Head<M>) -> bool {
        let mut locked = head.lock();
        locked.lane().len() == 0 && locked.state.rare_if_any().is_none()
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
            let first = locked.state.rare_if_any().and_then(|rare| rare.exit.clone());
            leave(&mut locked, first.unwrap_or(ExitReason::Killed))
        };
        announce(this, &reason, false);
        wake_all(this, |rare| rare.senders.claim_next());
        let process = process.clone();
        Some(Box::new(move || {
            unfailing(|| drop(old));
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
        let mut control = Control::new(process, self.own.take());
        if phase.is_final() {
            // The runtime has given up on the actor, and the actor takes a turn nevertheless.
            return self.end(process, &mut control, ExitReason::Killed);
        }
        let lived = catch_unwind(AssertUnwindSafe(|| self.live(phase == Phase::New, &mut control)));
        let reason = match lived {
            Ok(Pause::Idle) => {
                self.own = control.take_own();
                return false;
            }
            Ok(Pause::Again) => {
                self.own = control.take_own();
                process.wake();
                return false;
            }
            Ok(Pause::End(reason)) => reason,
            Err(payload) => panics::reason(any(process), settled_at_end(payload, is_cancelled())),
        };
        self.end(process, &mut control, reason)
    }
}

/// Changes the phase, and wakes the joiners.
fn set_phase(process: &Any, phase: Phase) {
    process.state.lock().enter(phase);
    wake_all(process, |rare| rare.joiners.claim_next());
}

/// Wakes all waiters of a queue. Returns whether there were any. Nothing in here unwinds.
pub(crate) fn wake_all(process: &Any, next: impl Fn(&mut crate::cell::Rare) -> Option<Claimed>) -> bool {
    let mut any = false;
    loop {
        let claimed = process.state.lock().rare_if_any().and_then(&next);
        let Some(claimed) = claimed else { return any };
        any = true;
        // A task's waker is user code.
        unfailing(|| claimed.wake.wake());
    }
}

/// Drops messages that will not be handled, and gives the senders that wait for room their messages back. Nothing in
/// here unwinds.
pub(crate) fn abandon<M: Send + 'static>(process: &Process<Head<M>>, lane: Ring<M>, aside: VecDeque<M>) {
    let this = any(process);
    let left = lane.len() + aside.len();
    unfailing(|| {
        // Both drop the messages one by one, and go on after a panic.
        drop(lane);
        drop_each(aside);
    });
    if left > 0 {
        dead_letters::note::<M>(this, Fate::Left, left as u64);
    }
    wake_all(this, |rare| rare.senders.claim_next());
}

#[cfg(fibers)]
#[cfg(test)]
#[path = "life_tests.rs"]
mod tests;
