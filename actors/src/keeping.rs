//! What a keeper does with an actor that it keeps: see [`life`](crate::life).
//!
//! | | phase before | after |
//! |---|---|---|
//! | [`resume`] | `Between`, `Closed` (as it is made) | `New`: the next incarnation begins, on the same mailbox |
//! | [`close`] | `Between` | `Closed`: to others it is dead, but it may be resumed |
//! | [`end_for_good`] | `Between`, `Closed` | `Closed`, and on its way to `Dead`, for good |
//! | [`dismiss`] | any | on its way to `Dead`, for good |
//!
//! One that is told to end after [`let_last`] goes to `Dead` without being `Between`.

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

/// The keeper's monitor of an actor, for its present incarnation or its last.
pub(crate) fn monitor_of(child: &Any) -> Option<MonitorId> {
    child.state.lock().rare_if_any().and_then(|rare| rare.keeper.as_ref().map(|(_, id)| *id))
}

/// Lets the next incarnation begin, and monitors it.
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

/// Ends an actor that is between two incarnations. Messages that wait are dead letters.
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
    // Nothing from here on unwinds, so all are told.
    unfailing(|| drop(old));
    abandon(process, lane, VecDeque::new());
    let this = any(process);
    wake_all(this, |rare| rare.joiners.claim_next());
    tell_all(this, &reason);
}

/// Lets the present life be the last, if there is one.
pub(crate) fn let_last(child: &Any) {
    child.state.lock().rare().is_last = true;
}

/// Ends an actor for good that is between two incarnations or closed: for others it has ended when this returns, and what
/// is said of it elsewhere is struck before those are woken who join it. Another is [dismissed](dismiss).
pub(crate) fn end_for_good<M: Send + 'static>(process: &Process<Head<M>>) {
    let child = any(process);
    let keeper = {
        let mut state = child.state.lock();
        if state.phase.is_kept() { Some(state.rare().keeper.take()) } else { None }
    };
    let Some(keeper) = keeper else { return dismiss(child, ExitReason::Shutdown, true) };
    drop(keeper);
    // What is said of it from now on is struck at once.
    strike(child);
    close(process);
    // Its turn sees that nobody keeps it.
    child.wake();
}

/// Ends an actor in whatever phase it is, without its keeper being asked any more.
pub(crate) fn dismiss(child: &Any, reason: ExitReason, at_once: bool) {
    let (keeper, is_kept) = {
        let mut state = child.state.lock();
        let is_kept = state.phase.is_kept();
        (state.rare_if_any().and_then(|rare| rare.keeper.take()), is_kept)
    };
    drop(keeper);
    if is_kept {
        // Its turn sees that nobody keeps it.
        child.wake();
    } else if at_once {
        kill(child, reason);
    } else {
        stop(child, reason);
    }
}

/// Asks an incarnation to end. The next is not meant.
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

/// Waits until the child's incarnation is over, and answers why; `None` if it was not by the deadline.
#[track_caller]
pub(crate) fn end_of(child: &Any, deadline: Option<Instant>) -> Option<ExitReason> {
    wait_while_until(child, deadline, |phase| !(phase.is_kept() || phase.is_over())).then(|| {
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
/// It has not, for this reason.
#[track_caller]
pub(crate) fn start_of(child: &Any) -> Result<(), ExitReason> {
    wait_while_until(child, None, |phase| phase == Phase::New);
    if child.state.lock().has_started() {
        return Ok(());
    }
    end_of(child, None).map_or(Ok(()), Err)
}
