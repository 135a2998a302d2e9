//! What can be done with an actor whatever its messages: ending it, and waiting for that.

use std::time::Instant;

use core::ptr::NonNull;

use kahn_core::process::Process;
use kahn_core::wait::{Kind, Node, Reason, Wait, unfailing};

use crate::cell::{Any, Core, Head, Phase};
use crate::exit::ExitReason;
use crate::unnoticed;

pub(crate) fn any<M: Send + 'static>(process: &Process<Head<M>>) -> &Any {
    // SAFETY: a head is `repr(C)`, with its core first.
    unsafe { process.by_first::<Core>() }
}

/// Runs `f` with the actor in whose turn the caller is, if it is one.
pub(crate) fn with_current<R>(f: impl FnOnce(&Any) -> R) -> Option<R> {
    // SAFETY: this crate makes all the processes there are, and their heads are `Head`s, which begin with a `Core`.
    unsafe { Process::with_current(f) }
}

/// Whether the caller is in an actor's turn.
#[inline]
pub(crate) fn is_actor() -> bool {
    with_current(|_| ()).is_some()
}

/// Whether the caller is in a turn of the actor, or of one that is kept by it, directly or not.
pub(crate) fn is_inside(process: &Any) -> bool {
    let mut at = with_current(Any::clone);
    while let Some(inside) = at {
        if inside.is(process) {
            return true;
        }
        at = inside.state.lock().rare_if_any().and_then(|rare| Some(rare.keeper.as_ref()?.0.clone()));
    }
    false
}

pub(crate) fn is_current(process: &Any) -> bool {
    with_current(|current| current.is(process)).unwrap_or(false)
}

pub(crate) fn stop(process: &Any, reason: ExitReason) {
    let mut reason = Some(reason);
    let rouse = process.state.lock().stop(&mut reason);
    rouse.wake(process);
    // A reason that came too late may hold a user's error, whose destructor runs here, without the lock.
    unfailing(|| drop(reason));
}

/// Ends the actor at once, or at its next park. The first reason counts.
pub(crate) fn kill(process: &Any, reason: ExitReason) {
    let mut state = process.state.lock();
    match state.phase {
        Phase::New | Phase::Running => {}
        // It ends already; only a kill cuts short what it still does.
        Phase::Ending if matches!(reason, ExitReason::Killed) => {}
        Phase::Ending | Phase::Between | Phase::Closed | Phase::Gone | Phase::Dead => return,
    }
    // The reason's drop may run a user's code, if it is not the first.
    let late = match &mut state.rare().exit {
        first @ None => {
            *first = Some(reason);
            None
        }
        Some(_) => Some(reason),
    };
    // Under the lock, so that it cannot come after the turn has forgiven those until then.
    let wake = process.cancel();
    let rouse = state.rouse_urgently();
    drop(state);
    drop(wake);
    rouse.wake(process);
    if let Some(late) = late {
        unfailing(|| drop(late));
    }
}

pub(crate) fn is_alive(process: &Any) -> bool {
    !process.state.lock().phase.is_dead()
}

#[track_caller]
pub(crate) fn join(process: &Any) -> ExitReason {
    wait_while(process, |phase| !phase.is_over());
    unnoticed::noticed(process);
    process.state.lock().reason()
}

#[track_caller]
pub(crate) fn wait_while(process: &Any, waits: impl Fn(Phase) -> bool) {
    let _over = wait_while_until(process, None, waits);
}

/// Waits until the phase is another, and answers whether it is. Whoever changes the phase wakes all.
#[track_caller]
pub(crate) fn wait_while_until(
    process: &Any,
    deadline: Option<Instant>,
    waits: impl Fn(Phase) -> bool,
) -> bool {
    let reason = Reason::new(Kind::Actor, core::ptr::without_provenance::<()>(process.address()));
    while waits(process.state.lock().phase) {
        let wait = Wait::new();
        let node = Node::new(wait.party(), 0, core::ptr::null_mut());
        let place = NonNull::from(&node);
        {
            let mut state = process.state.lock();
            if !waits(state.phase) {
                break;
            }
            // SAFETY: the node stays here until the wait is over; it is removed below unless it was claimed.
            unsafe { state.rare().joiners.push(place) };
        }
        if let Err(missed) = wait.park(reason, deadline) {
            // SAFETY: the node is in this queue or in none.
            unsafe { process.state.lock().rare().joiners.remove(place) };
            drop(wait);
            let _ = missed.raise();
            return !waits(process.state.lock().phase);
        }
    }
    true
}
