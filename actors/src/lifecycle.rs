//! Operations on an actor of any message type: ending it, and waiting for its end.

use std::time::Instant;

use core::panic::Location;
use core::ptr::NonNull;

use kahn_core::process::Process;
use kahn_core::wait::{Kind, Node, Reason, Wait, run_shielded_catching};

use crate::cell::{AnyActor, Core, Head, Phase, State};
use crate::exit::ExitReason;
use crate::{stepping, unobserved_panics};

pub(crate) fn any<M: Send + 'static>(process: &Process<Head<M>>) -> &AnyActor {
    // SAFETY: `Head<M>` is `repr(C)`, and its first field is a `Core`.
    unsafe { process.by_first::<Core>() }
}

/// Runs `f` with the actor in whose turn, or step, the caller is, if there is one.
pub(crate) fn with_current<R>(f: impl FnOnce(&AnyActor) -> R) -> Option<R> {
    if let Some(stepped) = stepping::here() {
        return Some(f(&stepped));
    }
    // SAFETY: only this crate creates processes. Their heads are `Head`s, which are `repr(C)` and begin with a `Core`.
    unsafe { Process::with_current(f) }
}

/// Returns whether the caller is in an actor's turn.
#[inline]
pub(crate) fn is_actor() -> bool {
    with_current(|_| ()).is_some()
}

/// Returns whether the caller is in a turn of this actor, or of an actor that this one supervises, directly or through
/// other supervisors.
pub(crate) fn is_inside(process: &AnyActor) -> bool {
    let mut at = with_current(AnyActor::clone);
    while let Some(inside) = at {
        if inside.is(process) {
            return true;
        }
        at = inside.state.lock().cold_if_any().and_then(|cold| Some(cold.supervisor.as_ref()?.0.clone()));
    }
    false
}

pub(crate) fn is_current(process: &AnyActor) -> bool {
    with_current(|current| current.is(process)).unwrap_or(false)
}

pub(crate) fn stop(process: &AnyActor, reason: ExitReason) {
    let mut reason = Some(reason);
    let wake_action = process.state.lock().stop(&mut reason);
    wake_action.wake(process);
    // A reason that came too late may hold an error of the user, whose destructor runs here, without the lock.
    run_shielded_catching(|| drop(reason));
}

/// Kills the actor: ends it at once if it waits for a message, otherwise when its handler next parks or returns. The
/// first reason counts. Between two lives, it ends the next one before that starts. So a kill has the same effect
/// whether it reaches the actor before or after its restart.
pub(crate) fn kill(process: &AnyActor, reason: ExitReason) {
    kill_by(Killer::Anyone, process, reason);
}

/// Like [`kill`], but has no effect on a later life. For the supervisor, which waits for the end of the present one.
pub(crate) fn kill_life(process: &AnyActor, reason: ExitReason) {
    kill_by(Killer::Supervisor, process, reason);
}

/// Like [`kill`], for the end of a linked actor. If a stop was requested before, the actor ends at once nevertheless,
/// but the stop's reason counts, which was first.
pub(crate) fn kill_by_link(process: &AnyActor, reason: ExitReason) {
    kill_by(Killer::Link, process, reason);
}

#[derive(Clone, Copy, PartialEq)]
enum Killer {
    Anyone,
    Link,
    Supervisor,
}

fn kill_by(killer: Killer, process: &AnyActor, reason: ExitReason) {
    let mut state = process.state.lock();
    match state.phase {
        Phase::New | Phase::Running => {}
        // It is ending already. Only a kill cuts short what it still does.
        Phase::Ending if matches!(reason, ExitReason::Killed) => {}
        Phase::Between if killer != Killer::Supervisor => {
            // No cancel: none of its code runs. The next life looks at the reason before it starts.
            let late = record(&mut state, reason);
            drop(state);
            return run_shielded_catching(|| drop(late));
        }
        Phase::Ending | Phase::Between | Phase::Closing | Phase::Closed | Phase::Gone | Phase::Dead => {
            return;
        }
    }
    // If another reason was first, this one is dropped after unlocking: its destructor may be user code.
    let late = match state.stop_reason() {
        Some(first) if killer == Killer::Link => (record(&mut state, first), Some(reason)),
        _ => (record(&mut state, reason), None),
    };
    // Under the lock, so that the cancel cannot arrive after the turn has cleared the cancels until then
    // (`clear_cancel`).
    let wake = process.cancel();
    let wake_action = state.wake_action_urgent();
    drop(state);
    drop(wake);
    wake_action.wake(process);
    run_shielded_catching(|| drop(late));
}

/// Records the reason of an end, unless there is one. Returns a reason that is too late.
fn record(state: &mut State, reason: ExitReason) -> Option<ExitReason> {
    match &mut state.cold().exit {
        first @ None => {
            *first = Some(reason);
            None
        }
        Some(_) => Some(reason),
    }
}

pub(crate) fn is_alive(process: &AnyActor) -> bool {
    !process.state.lock().phase.is_dead()
}

/// Waits for the end of an actor for good, and returns the reason.
///
/// # Panics
///
/// Panics if the caller is in a turn of the actor, or of an actor below it, and would wait for its own end.
#[track_caller]
pub(crate) fn join(process: &AnyActor) -> ExitReason {
    if !process.state.lock().phase.is_over() {
        assert!(
            !is_inside(process),
            "join: an actor cannot wait for its own end, or for that of a supervisor above it"
        );
    }
    wait_while(process, |state| !state.phase.is_over());
    unobserved_panics::noticed(process);
    process.state.lock().reason()
}

/// Returns the number of incarnations of `process` that have ended, apart from the last one.
pub(crate) fn lives(process: &AnyActor) -> u64 {
    process.state.lock().lives()
}

/// Waits until the incarnation that began after `lives` others has ended. Its supervisor may start the actor again.
/// `location` is the line that waits; see [`wait_while_until`].
pub(crate) fn join_life(process: &AnyActor, lives: u64, location: &'static Location<'static>) {
    let _over = wait_while_until(process, location, None, |state| {
        !(state.phase.is_over() || state.phase.is_supervised()) && state.lives() == lives
    });
    if process.state.lock().phase.is_over() {
        unobserved_panics::noticed(process);
    }
}

#[track_caller]
pub(crate) fn wait_while(process: &AnyActor, waits: impl Fn(&State) -> bool) {
    let _over = wait_while_until(process, Location::caller(), None, waits);
}

/// Waits while `waits` returns true for the state, and returns whether it has become false before the deadline. `waits`
/// depends on the phase and on what changes with it. It runs with the actor locked.
///
/// Every change of the phase wakes all joiners, except a change to `Ending`, `Closing` or `Gone`, which another
/// change follows.
///
/// `location` is the line of the program that waits. It is an argument, because callers wait in closures, which do not
/// inherit `#[track_caller]`.
pub(crate) fn wait_while_until(
    process: &AnyActor,
    location: &'static Location<'static>,
    deadline: Option<Instant>,
    waits: impl Fn(&State) -> bool,
) -> bool {
    let resource = core::ptr::without_provenance::<()>(process.address());
    let reason = Reason::at(Kind::Actor, resource, location);
    while waits(&process.state.lock()) {
        // By hand, under the actor's lock: with a `WaitList` of the joiners, whose lock is its own, starting and joining
        // an actor took 3160 instructions, and it takes 2897.
        let wait = Wait::new();
        let node = Node::new(wait.waiter(), 0, core::ptr::null_mut());
        let place = NonNull::from(&node);
        {
            let mut state = process.state.lock();
            if !waits(&state) {
                break;
            }
            // SAFETY: the node stays in place until the wait is over. If the wait was not claimed, the node is removed
            // below; a claim removes the node.
            unsafe { state.cold().joiners.push(place) };
        }
        if let Err(error) = wait.park(reason, deadline) {
            // SAFETY: the node is in this queue, or a claim has removed it and it is in no queue.
            unsafe { process.state.lock().cold().joiners.remove(place) };
            drop(wait);
            let _ = error.raise();
            return !waits(&process.state.lock());
        }
    }
    true
}
