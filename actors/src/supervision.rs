//! The operations of a supervisor on its child: see [`life`](crate::life).
//!
//! | | phase before | after |
//! |---|---|---|
//! | [`resume`] | `Between`, `Closed` (also as created) | `New`: the next incarnation begins, with the same mailbox |
//! | [`close`] | `Between` | `Closing`, then `Closed`: the actor is dead to others, but may be resumed |
//! | [`end_for_good`] | `Between`, `Closed` | `Closed`, then `Dead`, for good |
//! | [`dismiss`] | any | `Dead` later, for good |
//!
//! A child that ends after [`let_last`] enters `Dead` without entering `Between`.

use core::panic::Location;
use std::collections::VecDeque;
use std::time::Instant;

use kahn_core::process::Process;

use crate::cell::{AnyActor, Head, Phase, State};
use crate::exit::ExitReason;
use crate::life::{abandon, deregister, drop_told, wake_all};
use crate::lifecycle::{any, kill, stop, wait_while_until};
use crate::links::{demonitor, supervise, tell_all};
use crate::panics::catching_shielded;
use crate::signal::MonitorId;

/// Returns the supervisor's monitor of a child, for its present or its last incarnation.
pub(crate) fn monitor_of(child: &AnyActor) -> Option<MonitorId> {
    child.state.lock().cold_if_any().and_then(|cold| cold.supervisor.as_ref().map(|(_, id)| *id))
}

/// Starts the next incarnation, and monitors it.
pub(crate) fn resume(child: &AnyActor) {
    let (supervisor, old) = {
        let mut state = child.state.lock();
        if !state.phase.is_supervised() {
            return;
        }
        let is_closed = state.phase != Phase::Between;
        let cold = state.cold();
        let Some(supervisor) = cold.supervisor.clone() else { return };
        // Of an actor that was closed, this is the reason of its last life. Between two lives, it is that of a kill,
        // which counts for the next one.
        let old = if is_closed { cold.exit.take() } else { None };
        state.set_started(false);
        (supervisor, old)
    };
    drop(old);
    let (supervisor, last) = supervisor;
    demonitor(&supervisor, last);
    supervise(supervisor, child);
    wake_all(child, |cold| cold.joiners.claim_next());
    child.wake();
}

/// Closes an actor that is between two incarnations. The messages in its mailbox become dead letters.
pub(crate) fn close<M: Send + 'static>(process: &Process<Head<M>>) {
    let mut locked = process.lock();
    if locked.state.phase != Phase::Between {
        return;
    }
    // A monitor or a link that is added from now on is told at once, and those that are in the lists are told below. So
    // all have been told when the phase is `Closed`, and joiners return.
    locked.state.enter(Phase::Closing);
    // A stop or a kill since the last life has its effect here. It is not for a life that begins later.
    let told = locked.state.clear_urgent();
    let cold = locked.state.cold();
    let reason = cold.last.clone().unwrap_or(ExitReason::Shutdown);
    let old = cold.exit.replace(reason.clone());
    let limit = locked.lane().limit();
    let lane = locked.empty(limit as u32);
    drop(locked);
    // Nothing below unwinds, so all observers are told.
    let this = any(process);
    catching_shielded(this, || drop(old));
    drop_told(this, told);
    abandon(process, lane, VecDeque::new());
    tell_all(this, &reason);
    this.state.lock().enter(Phase::Closed);
    wake_all(this, |cold| cold.joiners.claim_next());
}

/// Makes the present incarnation the last, if there is one.
pub(crate) fn let_last(child: &AnyActor) {
    child.state.lock().cold().is_last = true;
}

/// Ends an actor for good that is between two incarnations or closed. When this function returns, the actor has ended
/// for others. Its registrations (`Registration`) are removed before the waiters that join it are woken. An actor in
/// another phase is [dismissed](dismiss).
pub(crate) fn end_for_good<M: Send + 'static>(process: &Process<Head<M>>) {
    let child = any(process);
    let supervisor = {
        let mut state = child.state.lock();
        if state.phase.is_supervised() { Some(state.cold().supervisor.take()) } else { None }
    };
    let Some(supervisor) = supervisor else { return dismiss(child, ExitReason::Shutdown, true) };
    drop(supervisor);
    // The supervisor is gone, so a registration that is added from now on is removed at once.
    deregister(child);
    close(process);
    // Its turn sees that it has no supervisor, and ends.
    child.wake();
}

/// Ends an actor in any phase, without involving its supervisor any more.
pub(crate) fn dismiss(child: &AnyActor, reason: ExitReason, at_once: bool) {
    let (supervisor, is_supervised) = {
        let mut state = child.state.lock();
        let is_supervised = state.phase.is_supervised();
        (state.cold_if_any().and_then(|cold| cold.supervisor.take()), is_supervised)
    };
    drop(supervisor);
    if is_supervised {
        // Its turn sees that it has no supervisor, and ends.
        child.wake();
    } else if at_once {
        kill(child, reason);
    } else {
        stop(child, reason);
    }
}

/// Asks the running incarnation to end. Without one, it does nothing, so that the next incarnation is not affected.
pub(crate) fn ask_to_end(child: &AnyActor) {
    let wake_action = {
        let mut state = child.state.lock();
        match state.phase {
            Phase::New | Phase::Running => state.stop(&mut Some(ExitReason::Shutdown)),
            _ => return,
        }
    };
    wake_action.wake(child);
}

/// Waits until the child's incarnation has ended, and returns its exit reason. Returns `None` if the deadline passes
/// first. `location` is the line that waits; see [`wait_while_until`].
pub(crate) fn end_of(
    child: &AnyActor,
    location: &'static Location<'static>,
    deadline: Option<Instant>,
) -> Option<ExitReason> {
    let lives = |state: &State| !(state.phase.is_supervised() || state.phase.is_over());
    wait_while_until(child, location, deadline, lives).then(|| {
        let mut state = child.state.lock();
        match state.phase {
            Phase::Between => state.cold().last.clone().unwrap_or(ExitReason::Shutdown),
            _ => state.reason(),
        }
    })
}

/// Waits until the child has started its incarnation. `location` is the line that waits; see [`wait_while_until`].
///
/// # Errors
///
/// Returns the exit reason if the incarnation ended before it had started.
pub(crate) fn start_of(child: &AnyActor, location: &'static Location<'static>) -> Result<(), ExitReason> {
    wait_while_until(child, location, None, |state| state.phase == Phase::New);
    if child.state.lock().has_started() {
        return Ok(());
    }
    end_of(child, location, None).map_or(Ok(()), Err)
}
