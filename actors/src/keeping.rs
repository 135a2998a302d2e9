//! What a supervisor (the *keeper*) does with its child: see [`life`](crate::life).
//!
//! | | phase before | after |
//! |---|---|---|
//! | [`resume`] | `Between`, `Closed` (also as created) | `New`: the next incarnation begins, with the same mailbox |
//! | [`close`] | `Between` | `Closed`: the actor is dead to others, but may be resumed |
//! | [`end_for_good`] | `Between`, `Closed` | `Closed`, then `Dead`, for good |
//! | [`dismiss`] | any | `Dead` later, for good |
//!
//! A child that ends after [`let_last`] enters `Dead` without entering `Between`.

use std::collections::VecDeque;
use std::time::Instant;

use kahn_core::process::Process;
use kahn_core::wait::unfailing;

use crate::cell::{Any, Head, Phase};
use crate::ends::{any, kill, stop, wait_while_until};
use crate::exit::ExitReason;
use crate::life::{abandon, strike, wake_all};
use crate::links::{demonitor, keep, tell_all};
use crate::signal::MonitorId;

/// Returns the supervisor's monitor of a child, for its present or its last incarnation.
pub(crate) fn monitor_of(child: &Any) -> Option<MonitorId> {
    child.state.lock().rare_if_any().and_then(|rare| rare.keeper.as_ref().map(|(_, id)| *id))
}

/// Starts the next incarnation, and monitors it.
pub(crate) fn resume(child: &Any) {
    let (keeper, old) = {
        let mut state = child.state.lock();
        if !state.phase.is_kept() {
            return;
        }
        let rare = state.rare();
        let Some(keeper) = rare.keeper.clone() else { return };
        let old = rare.exit.take();
        state.set_started(false);
        (keeper, old)
    };
    drop(old);
    let (keeper, last) = keeper;
    demonitor(&keeper, last);
    keep(keeper, child);
    wake_all(child, |rare| rare.joiners.claim_next());
    child.wake();
}

/// Closes an actor that is between two incarnations. The messages in its mailbox become dead letters.
pub(crate) fn close<M: Send + 'static>(process: &Process<Head<M>>) {
    let mut locked = process.lock();
    if locked.state.phase != Phase::Between {
        return;
    }
    locked.state.enter(Phase::Closed);
    let rare = locked.state.rare();
    let reason = rare.last.clone().unwrap_or(ExitReason::Shutdown);
    let old = rare.exit.replace(reason.clone());
    let limit = locked.lane().limit();
    let lane = locked.empty(limit as u32);
    drop(locked);
    // Nothing below unwinds, so all observers are told.
    unfailing(|| drop(old));
    abandon(process, lane, VecDeque::new());
    let this = any(process);
    // The monitors first: a caller that has joined the actor may rely on them having been told.
    tell_all(this, &reason);
    wake_all(this, |rare| rare.joiners.claim_next());
}

/// Makes the present incarnation the last, if there is one.
pub(crate) fn let_last(child: &Any) {
    child.state.lock().rare().is_last = true;
}

/// Ends an actor for good that is between two incarnations or closed. When this function returns, the actor has ended
/// for others. Its registrations (`Entry`) are removed before the waiters that join it are woken. An actor in another
/// phase is [dismissed](dismiss).
pub(crate) fn end_for_good<M: Send + 'static>(process: &Process<Head<M>>) {
    let child = any(process);
    let keeper = {
        let mut state = child.state.lock();
        if state.phase.is_kept() { Some(state.rare().keeper.take()) } else { None }
    };
    let Some(keeper) = keeper else { return dismiss(child, ExitReason::Shutdown, true) };
    drop(keeper);
    // The keeper is gone, so a registration that is added from now on is removed at once.
    strike(child);
    close(process);
    // Its turn sees that it has no keeper, and ends.
    child.wake();
}

/// Ends an actor in any phase, without involving its supervisor any more.
pub(crate) fn dismiss(child: &Any, reason: ExitReason, at_once: bool) {
    let (keeper, is_kept) = {
        let mut state = child.state.lock();
        let is_kept = state.phase.is_kept();
        (state.rare_if_any().and_then(|rare| rare.keeper.take()), is_kept)
    };
    drop(keeper);
    if is_kept {
        // Its turn sees that it has no keeper, and ends.
        child.wake();
    } else if at_once {
        kill(child, reason);
    } else {
        stop(child, reason);
    }
}

/// Asks the running incarnation to end. Without one, it does nothing, so that the next incarnation is not affected.
pub(crate) fn ask_to_end(child: &Any) {
    let rouse = {
        let mut state = child.state.lock();
        match state.phase {
            Phase::New | Phase::Running => state.stop(&mut Some(ExitReason::Shutdown)),
            _ => return,
        }
    };
    rouse.wake(child);
}

/// Waits until the child's incarnation has ended, and returns its exit reason. Returns `None` if the deadline passes
/// first.
#[track_caller]
pub(crate) fn end_of(child: &Any, deadline: Option<Instant>) -> Option<ExitReason> {
    wait_while_until(child, deadline, |state| !(state.phase.is_kept() || state.phase.is_over())).then(|| {
        let mut state = child.state.lock();
        match state.phase {
            Phase::Between => state.rare().last.clone().unwrap_or(ExitReason::Shutdown),
            _ => state.reason(),
        }
    })
}

/// Waits until the child has started its incarnation.
///
/// # Errors
///
/// Returns the exit reason if the incarnation ended before it had started.
#[track_caller]
pub(crate) fn start_of(child: &Any) -> Result<(), ExitReason> {
    wait_while_until(child, None, |state| state.phase == Phase::New);
    if child.state.lock().has_started() {
        return Ok(());
    }
    end_of(child, None).map_or(Ok(()), Err)
}
