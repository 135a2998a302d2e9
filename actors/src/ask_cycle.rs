//! Detection of circles of actors that wait for each other.
//!
//! An actor that waits for another publishes that actor in its own state, as an `Edge`, for as long as it waits. So the
//! edges form chains, and a chain that comes back to its start is a deadlock. An actor waits for another actor
//!
//! - that it asks, as long as the question is in that actor's mailbox or in its hands, so that only that actor can
//!   answer;
//! - in whose full mailbox it waits for room;
//! - whose start or end it waits for, as a supervisor does. The start is over when `started` returns, the end when the
//!   life is over; both happen before the supervisor sees them;
//! - that decides what follows its life: a child between two lives waits for its supervisor. No edge is published for
//!   that; the phase `Between` implies it.
//!
//! | the question is | the edge |
//! |---|---|
//! | on its way, or in the mailbox | counts |
//! | being handled, its `Reply` neither used nor dropped | counts, even if its handler has given the `Reply` away |
//! | stashed, passed over, or its handler has returned; its `Reply` exists | ends the chain: the answerer is unknown |
//! | answered, or its `Reply` is dropped | ends the chain: the asker is about to continue |
//!
//! So every reported deadlock is one, unless a handler gives its `Reply` to another thread before it asks. A deadlock
//! that leads over a kept `Reply` is left to the deadline of the ask.
//!
//! **At least one actor sees the circle.** An actor first publishes its own edge and then walks, each under the lock of
//! the actor that owns the edge. One of the edges of a circle is published last; the actor that publishes it walks
//! afterwards, and finds all the others. If that edge is an ask or a tell, [`cycle`] finds the circle, and the ask or
//! tell fails. If it is a supervisor's wait for an end, or a child's end, [`release`] finds the circle, and ends
//! another wait in it: the last ask or tell before the actor that walked. That is the wait of the child that is down,
//! or of the supervisor. (A supervisor that begins to wait for a start closes no circle: the child has not run yet, and
//! walks when it waits for something.)
//!
//! **The right wait ends.** [`release`] checks the edge again under the lock of the waiting actor, which takes its edge
//! back under that lock before it continues. An ask is ended through its slot, as by a reply. A wait for room is ended
//! by a claim of its waiter, which the edge holds only while that wait is open, and only under that lock.

use core::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering as CounterOrdering};

use kahn_core::primitives::Ordering;
use kahn_core::wait::{Waiter, Wake};

use crate::cell::{AnyActor, Edge, Goal, Phase, id_of};
use crate::exit::Called;
use crate::lifecycle::with_current;
use crate::slot::{break_off, is_open};

// An atomic of std in every build: the numbers order nothing, so a model need not explore them.
static LAST_WAIT: AtomicU32 = AtomicU32::new(0);

/// The token of the claim that ends a wait for room because of a circle.
pub(crate) const BROKEN: usize = 1;

/// Guard of a published edge. Takes the edge back when it is dropped.
pub(crate) struct Asking<'a> {
    asker: &'a AnyActor,
    /// The edge that was published before: that of an enclosing wait, or null.
    outer: *const Edge,
}

impl<'a> Asking<'a> {
    /// Publishes that `asker` waits as `edge` says.
    ///
    /// An edge that it has published before is set aside until the guard is dropped. That happens for an ask within an
    /// ask, in the destructor of a message that the outer ask throws out. An actor that closes a circle over the outer
    /// edge in that time does not see the circle, and waits for its deadline.
    ///
    /// # Safety
    ///
    /// `asker` is the caller. Until the returned guard is dropped, `edge` stays in place, and the asker of its slot
    /// does not leave. Guards are dropped in the reverse order of their creation.
    pub(crate) unsafe fn publish(asker: &'a AnyActor, edge: &Edge) -> Asking<'a> {
        let outer = core::mem::replace(&mut asker.state.lock().asking, edge);
        Asking { asker, outer }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.asker.state.lock().asking = self.outer;
    }
}

/// Returns an edge with a number of its own, for a wait that sends no question.
pub(crate) fn numbered(target: &AnyActor, goal: Goal) -> Edge {
    // Relaxed: a number.
    Edge::new(target, goal, LAST_WAIT.fetch_add(1, CounterOrdering::Relaxed))
}

/// Runs `f`, in which the caller `me` waits for the start or the end of `other`.
pub(crate) fn while_waiting<R>(me: &AnyActor, other: &AnyActor, goal: Goal, f: impl FnOnce() -> R) -> R {
    let edge = numbered(other, goal);
    // SAFETY: `me` is the caller. `edge` is declared before the guard, so it outlives it. It has no slot.
    let _asking = unsafe { Asking::publish(me, &edge) };
    f()
}

/// Runs `f`, in which the caller waits for the start or the end of `other`. If the caller is in an actor's turn, the
/// wait counts as that actor's. A circle that this wait closes is broken at another wait.
pub(crate) fn wait_as_actor<R>(other: &AnyActor, goal: Goal, f: impl FnOnce() -> R) -> R {
    let mut f = Some(f);
    let mut run = || f.take().expect("run once")();
    let done = with_current(|me| {
        while_waiting(me, other, goal, || {
            release(me);
            run()
        })
    });
    done.unwrap_or_else(run)
}

/// Records that the caller `me` is about to wait for room with `waiter`, whose wait is open. From now on another thread
/// may claim it with [`BROKEN`]. Returns false if the edge was broken before.
#[must_use]
pub(crate) fn waits_for_room(me: &AnyActor, edge: &Edge, waiter: NonNull<Waiter>) -> bool {
    let _state = me.state.lock();
    // Relaxed: all accesses are under this lock.
    edge.waiter.store(waiter.as_ptr(), Ordering::Relaxed);
    !edge.is_broken()
}

/// Records that the wait for room is over. Called before the wait is closed.
pub(crate) fn waits_no_more(me: &AnyActor, edge: &Edge) {
    let _state = me.state.lock();
    // Relaxed: all accesses are under this lock.
    edge.waiter.store(core::ptr::null_mut(), Ordering::Relaxed);
}

/// One step of a chain: an actor that waits, and which of its waits it is, so that two walks can be compared.
struct Step {
    actor: AnyActor,
    /// The number of its message in the target's mailbox, if the message is there already, or the number of the wait.
    mark: Option<u32>,
    /// Whether the wait is an ask or a tell, which can be ended and can return an error.
    hears: bool,
}

impl Step {
    fn is(&self, other: &Step) -> bool {
        self.actor.is(&other.actor) && self.mark == other.mark
    }
}

fn mark(edge: &Edge) -> Option<u32> {
    // Relaxed: written under the target's lock. `circle` says why an older value does no harm.
    let known = !matches!(edge.goal, Goal::Answer(_)) || edge.sent.load(Ordering::Relaxed);
    known.then(|| edge.number.load(Ordering::Relaxed))
}

/// Returns the step of `actor` and the actor that it waits for, if it waits.
fn next(actor: &AnyActor) -> Option<(Step, AnyActor)> {
    let (step, target, goal) = {
        let mut state = actor.state.lock();
        if state.phase == Phase::Between {
            let (supervisor, monitor) = state.cold_if_any()?.supervisor.clone()?;
            let step = Step { actor: actor.clone(), mark: Some(monitor.0 as u32), hears: false };
            return Some((step, supervisor));
        }
        // SAFETY: the pointer is set while the edge is valid, and taken back under this lock before the edge is gone.
        let edge = unsafe { state.asking.as_ref() }?;
        let is_over = match edge.goal {
            // SAFETY: the asker leaves the slot only after it has taken the edge back, for which it needs the lock that
            // is held here.
            Goal::Answer(slot) => unsafe { !is_open(slot) },
            // Relaxed: an older value describes a moment ago, when the actor was waiting.
            Goal::Room => edge.is_broken() || edge.sent.load(Ordering::Relaxed),
            Goal::Start | Goal::End => false,
        };
        if is_over {
            return None;
        }
        let hears = matches!(edge.goal, Goal::Answer(_) | Goal::Room);
        let step = Step { actor: actor.clone(), mark: mark(edge), hears };
        // SAFETY: the waiting actor keeps a reference to its target while the edge is published, and the lock is held.
        (step, unsafe { (*edge.target).clone() }, edge.goal)
    };
    let waits = match (goal, step.mark) {
        (Goal::Answer(_), Some(number)) => target.state.lock().has_to_handle(number),
        (Goal::Answer(_), None) | (Goal::Room, _) => true,
        (Goal::Start, _) => {
            let state = target.state.lock();
            state.phase == Phase::New || state.phase == Phase::Ending && !state.has_started()
        }
        (Goal::End, _) => {
            let phase = target.state.lock().phase;
            !(phase.is_supervised() || phase.is_over())
        }
    };
    waits.then_some((step, target))
}

/// Walks the chain once. Returns the circle that `actor` is in, if it is in one.
fn walk(actor: &AnyActor) -> Option<Vec<Step>> {
    let (step, mut at) = next(actor)?;
    let mut chain = vec![step];
    // Brent's method: if the chain leads into a cycle that does not contain `actor`, another actor reports that cycle.
    let (mut mark, mut steps, mut power) = (at.clone(), 0_u32, 1_u32);
    while !at.is(actor) {
        let (step, then) = next(&at)?;
        chain.push(step);
        at = then;
        if at.is(&mark) && !at.is(actor) {
            return None;
        }
        steps += 1;
        if steps == power {
            (mark, steps, power) = (at.clone(), 0, power.saturating_mul(2));
        }
    }
    Some(chain)
}

/// Returns the circle that `actor` is in, if it is in one. It starts with `actor`; each waits for the next.
///
/// One walk sees the edges one after the other. So the circle counts only if two walks in a row agree: a step that both
/// found existed during the whole time between them, so all steps existed at the same moment. If the two do not agree,
/// an actor has moved on in between (a question that was on its way has arrived). A circle does that only until all of
/// its questions are sent, so the loop ends.
fn circle(actor: &AnyActor) -> Option<Vec<Step>> {
    let mut seen = walk(actor)?;
    loop {
        let again = walk(actor)?;
        if seen.len() == again.len() && seen.iter().zip(&again).all(|(one, other)| one.is(other)) {
            return Some(seen);
        }
        seen = again;
    }
}

fn called(actor: &AnyActor) -> String {
    Called(id_of(actor), actor.name()).to_string()
}

fn names<'a>(steps: impl Iterator<Item = &'a Step>) -> Vec<String> {
    steps.map(|step| called(&step.actor)).collect()
}

/// Returns the names along the circle that `asker` has just closed, if there is one.
pub(crate) fn cycle(asker: &AnyActor) -> Option<Vec<String>> {
    circle(asker).map(|steps| names(steps.iter()))
}

/// Ends one wait of the circle that `actor` has just closed by something other than an ask, if there is a circle.
#[cold]
pub(crate) fn release(actor: &AnyActor) {
    while let Some(steps) = circle(actor) {
        // Without an ask or a tell, the circle is about to dissolve by itself.
        let Some(place) = steps.iter().rposition(|step| step.hears) else { return };
        let target = steps.get(place + 1).map_or(actor, |step| &step.actor);
        let names = names(steps[place..].iter().chain(&steps[..place]));
        if end_wait(&steps[place], target, names) {
            return;
        }
        // That actor now waits for something else, or its question has reached the mailbox meanwhile: walk again.
    }
}

/// Ends the wait of this step, if it is still the same wait. Returns whether it did.
fn end_wait(step: &Step, target: &AnyActor, names: Vec<String>) -> bool {
    let mut state = step.actor.state.lock();
    // SAFETY: the pointer is set while the edge is valid, and taken back under this lock before the edge is gone.
    let Some(edge) = (unsafe { state.asking.as_ref() }) else { return false };
    // SAFETY: the waiting actor keeps a reference to its target while the edge is published, and the lock is held.
    if !unsafe { (*edge.target).is(target) } || mark(edge) != step.mark || edge.is_broken() {
        return false;
    }
    let mut slot_s = None;
    if let Goal::Answer(slot) = edge.goal {
        // SAFETY: the asker is an actor, so it waits as a thread. It leaves the slot after it has taken the edge back,
        // for which it needs the lock that is held here.
        let (was_open, wake) = unsafe { break_off(slot) };
        if !was_open {
            return false;
        }
        slot_s = wake;
    }
    // Relaxed (both): under the lock of the waiting actor. `Edge::is_broken` says why its reader needs no more.
    edge.broken.store(true, Ordering::Relaxed);
    let room_s = NonNull::new(edge.waiter.load(Ordering::Relaxed)).and_then(|waiter| {
        // SAFETY: `waiter` is set while the wait for room is open, and cleared under this lock before the wait is
        // closed. So the waiter is alive and in that wait. `Wake::owed` requires that this thread has claimed it, which
        // the line does first.
        unsafe { waiter.as_ref().claim(BROKEN).then(|| Wake::owed(waiter)) }
    });
    let old = state.cold().circle.replace(names);
    drop(state);
    drop((old, slot_s, room_s));
    true
}

/// Returns the names along the circle for which the wait of `me` for `target` was ended.
pub(crate) fn told(me: &AnyActor, target: &AnyActor) -> Vec<String> {
    let names = me.state.lock().cold_if_any().and_then(|cold| cold.circle.take());
    // There are none if a nested wait of this kind, in a destructor, has taken them.
    names.unwrap_or_else(|| vec![called(me), called(target)])
}
