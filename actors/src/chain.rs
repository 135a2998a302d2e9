//! Asks that would wait for themselves.
//!
//! An actor that waits for another writes down for which, in its own state, for as long as it waits. So what waits for
//! what is a chain, and a chain that comes back to its start is a deadlock. An actor waits for another
//!
//! - that it asks, as long as that one has the question before it, or in hand, and so it alone can answer;
//! - in whose full mailbox it waits for room;
//! - whose start or end it waits for: a supervisor does that. The start is over with `started`, the end with the life, and
//!   both before the supervisor has seen it;
//! - that decides what comes after its life: a child between two lives waits for its supervisor. Nothing is written down
//!   for that, it is what the phase `Between` says.
//!
//! | the question is | the edge |
//! |---|---|
//! | on its way, or in the mailbox | counts |
//! | in hand, and its `Reply` is neither used nor dropped | counts, though its handler may have given the `Reply` away |
//! | put aside, passed over, or its handler is over, and the `Reply` is somewhere | ends the chain: who answers is not known |
//! | answered, or its `Reply` is dropped | ends the chain: the asker is about to go on |
//!
//! So a deadlock that is reported is one, unless somebody within its own handler gives a `Reply` to a third before asking;
//! and one that leads over a `Reply` that was kept is left to the deadline.
//!
//! **At least one sees it.** An actor first publishes its own edge and then walks, each under the lock of the actor whose
//! edge it is. Of the edges of a circle one is published last; the actor that publishes it walks afterwards, and finds all
//! others. If that edge is an ask or a tell, [`cycle`] finds the circle, and it fails. If it is a supervisor's wait for
//! an end, or a child's end, [`release`] finds the circle, and ends another wait in it: the last ask or tell before the
//! actor that has walked, which is that of the child that is down, or of the supervisor. (A supervisor that begins to wait
//! for a start closes none: the child has not run yet, and walks when it waits for something.)
//!
//! **The right wait ends.** [`release`] looks at the edge again under the lock of the actor that waits, which takes its edge
//! back under that lock before it goes on. An ask is ended through its slot, as by a reply; a wait for room by a claim of
//! its party, which is written down in the edge, under that lock, only while that wait is open.

use core::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering as CounterOrdering};

use kahn_core::facade::Ordering;
use kahn_core::wait::{Party, Wake};

use crate::cell::{Any, Edge, Goal, Phase, id_of};
use crate::ends::with_current;
use crate::exit::Called;
use crate::slot::{break_off, is_open};

// A counter of std's in every build: numbers carry no meaning that a model could check.
static LAST_WAIT: AtomicU32 = AtomicU32::new(0);

/// The token of the claim that ends a wait for room.
pub(crate) const BROKEN: usize = 1;

/// Takes the edge back when dropped.
pub(crate) struct Asking<'a> {
    asker: &'a Any,
    /// The edge of the wait that this one is in.
    outer: *const Edge,
}

impl<'a> Asking<'a> {
    /// Says that `asker` waits as `edge` says. Another edge that it has published is put aside meanwhile: it is an ask
    /// within an ask, in the destructor of a message that the outer one throws out. Who closes a circle over the outer edge
    /// in that time does not see it, and waits for the deadline.
    ///
    /// # Safety
    ///
    /// `asker` is the caller, and `edge` stays where it is, and its slot's asker does not leave, until what is returned is
    /// dropped; which is before that of an outer one.
    pub(crate) unsafe fn publish(asker: &'a Any, edge: &Edge) -> Asking<'a> {
        let outer = core::mem::replace(&mut asker.state.lock().asking, edge);
        Asking { asker, outer }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.asker.state.lock().asking = self.outer;
    }
}

/// An edge of a wait that has no message's number.
pub(crate) fn numbered(target: &Any, goal: Goal) -> Edge {
    // Relaxed: a number.
    Edge::new(target, goal, LAST_WAIT.fetch_add(1, CounterOrdering::Relaxed))
}

/// Runs `f`, in which the caller `me` waits for the start or the end of `other`.
pub(crate) fn while_waiting<R>(me: &Any, other: &Any, goal: Goal, f: impl FnOnce() -> R) -> R {
    let edge = numbered(other, goal);
    // SAFETY: `me` is the caller, and the edge outlives the guard.
    let _asking = unsafe { Asking::publish(me, &edge) };
    f()
}

/// Runs `f`, in which the caller waits for the start or the end of `other`, as that of the actor whose turn it is in, if
/// there is one. A circle that this closes is broken elsewhere.
pub(crate) fn wait_as_actor<R>(other: &Any, goal: Goal, f: impl FnOnce() -> R) -> R {
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

/// Says that the caller `me` is about to wait for room, with this party, whose wait is open: from now on it may be
/// claimed with [`BROKEN`]. Returns false if its edge has been broken before.
#[must_use]
pub(crate) fn waits_for_room(me: &Any, edge: &Edge, party: NonNull<Party>) -> bool {
    let _state = me.state.lock();
    // Relaxed: under the lock.
    edge.waiter.store(party.as_ptr(), Ordering::Relaxed);
    !edge.is_broken()
}

/// Says that the wait is over, before it is closed.
pub(crate) fn waits_no_more(me: &Any, edge: &Edge) {
    let _state = me.state.lock();
    // Relaxed: under the lock.
    edge.waiter.store(core::ptr::null_mut(), Ordering::Relaxed);
}

/// One step: an actor that waits, and for what, so that it can be known again.
struct Step {
    actor: Any,
    /// The number of its message in the next one's mailbox, if it is there already, or of the wait.
    mark: Option<u32>,
    /// It asks or tells, and can be told.
    hears: bool,
}

impl Step {
    fn is(&self, other: &Step) -> bool {
        self.actor.is(&other.actor) && self.mark == other.mark
    }
}

fn mark(edge: &Edge) -> Option<u32> {
    // Relaxed: written under the target's lock, see `circle` for what an older picture does.
    let known = !matches!(edge.goal, Goal::Answer(_)) || edge.sent.load(Ordering::Relaxed);
    known.then(|| edge.number.load(Ordering::Relaxed))
}

/// The step from `actor` to the one that it waits for, and that one, if it waits.
fn next(actor: &Any) -> Option<(Step, Any)> {
    let (step, target, goal) = {
        let mut state = actor.state.lock();
        if state.phase == Phase::Between {
            let (keeper, monitor) = state.rare_if_any()?.keeper.clone()?;
            let step = Step { actor: actor.clone(), mark: Some(monitor.0 as u32), hears: false };
            return Some((step, keeper));
        }
        // SAFETY: set while it is valid, and taken back under this lock.
        let edge = unsafe { state.asking.as_ref() }?;
        let is_over = match edge.goal {
            // SAFETY: the asker leaves the slot after it has taken the edge back.
            Goal::Answer(slot) => unsafe { !is_open(slot) },
            // Relaxed: an older picture is that of a moment ago, when it waited.
            Goal::Room => edge.is_broken() || edge.sent.load(Ordering::Relaxed),
            Goal::Start | Goal::End => false,
        };
        if is_over {
            return None;
        }
        let hears = matches!(edge.goal, Goal::Answer(_) | Goal::Room);
        let step = Step { actor: actor.clone(), mark: mark(edge), hears };
        // SAFETY: the one that waits keeps its target while the edge is published.
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
            !(phase.is_kept() || phase.is_over())
        }
    };
    waits.then_some((step, target))
}

/// The circle that `actor` is in, if it is in one.
fn walk(actor: &Any) -> Option<Vec<Step>> {
    let (step, mut at) = next(actor)?;
    let mut chain = vec![step];
    // By Brent's method: a chain that leads into a cycle without `actor` is another's to report.
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

/// The circle that `actor` is in, if it is in one: from it on, each waits for the next.
///
/// The edges of one walk are seen one after the other. So there are two that agree: what both have found was there all
/// the time between, and all at once. Where two do not agree, somebody has moved on in between (a question that was on
/// its way has come), which a circle does only until all its questions are sent.
fn circle(actor: &Any) -> Option<Vec<Step>> {
    let mut seen = walk(actor)?;
    loop {
        let again = walk(actor)?;
        if seen.len() == again.len() && seen.iter().zip(&again).all(|(one, other)| one.is(other)) {
            return Some(seen);
        }
        seen = again;
    }
}

fn called(actor: &Any) -> String {
    Called(id_of(actor), actor.name()).to_string()
}

fn names<'a>(steps: impl Iterator<Item = &'a Step>) -> Vec<String> {
    steps.map(|step| called(&step.actor)).collect()
}

/// The names along the circle that `asker` has just closed, if there is one.
pub(crate) fn cycle(asker: &Any) -> Option<Vec<String>> {
    circle(asker).map(|steps| names(steps.iter()))
}

/// Ends a wait of the circle that `actor` has just closed by something that is no ask, if there is one.
#[cold]
pub(crate) fn release(actor: &Any) {
    while let Some(steps) = circle(actor) {
        // Without any it is about to go on.
        let Some(place) = steps.iter().rposition(|step| step.hears) else { return };
        let target = steps.get(place + 1).map_or(actor, |step| &step.actor);
        let names = names(steps[place..].iter().chain(&steps[..place]));
        if end_wait(&steps[place], target, names) {
            return;
        }
        // It waits for something else now, or its question has come to the mailbox meanwhile.
    }
}

/// Ends the wait of this step, if it is still the same.
fn end_wait(step: &Step, target: &Any, names: Vec<String>) -> bool {
    let mut state = step.actor.state.lock();
    // SAFETY: set while it is valid, and taken back under this lock.
    let Some(edge) = (unsafe { state.asking.as_ref() }) else { return false };
    // SAFETY: the one that waits keeps its target while the edge is published.
    if !unsafe { (*edge.target).is(target) } || mark(edge) != step.mark || edge.is_broken() {
        return false;
    }
    let mut slot_s = None;
    if let Goal::Answer(slot) = edge.goal {
        // SAFETY: the asker is an actor, so a thread; it leaves after it has taken the edge back, for which it needs the
        // lock.
        let (was_open, wake) = unsafe { break_off(slot) };
        if !was_open {
            return false;
        }
        slot_s = wake;
    }
    // Relaxed (both): under the lock.
    edge.broken.store(true, Ordering::Relaxed);
    let room_s = NonNull::new(edge.waiter.load(Ordering::Relaxed)).and_then(|party| {
        // SAFETY: written down while the wait for room is open, and taken back under the lock before it is closed, so the
        // party is there and in that wait. If it was claimed, that was just now.
        unsafe { party.as_ref().claim(BROKEN).then(|| Wake::owed(party)) }
    });
    let old = state.rare().circle.replace(names);
    drop(state);
    drop((old, slot_s, room_s));
    true
}

/// The names along the circle for which the wait of `me` for `target` was ended.
pub(crate) fn told(me: &Any, target: &Any) -> Vec<String> {
    let names = me.state.lock().rare_if_any().and_then(|rare| rare.circle.take());
    // There are none if another such wait, in a destructor, has taken them.
    names.unwrap_or_else(|| vec![called(me), called(target)])
}
