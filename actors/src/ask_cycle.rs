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
//! - that it stops together with others. A supervisor that stops several children at once waits for each of them, so
//!   its edge leads to all that have not ended (`WaitFor::Ends`). A walk that comes to such an edge searches all of its
//!   ways;
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
//!
//! **Where a chain branches**, at a supervisor that waits for the ends of several children, the [`Search`] is depth
//! first, and looks at each actor once. It first tries a child that is likely to lead to the goal, so that the mostly
//! many other children need not be looked at:
//!
//! - A circle mostly contains a child that has just asked its own supervisor, or one further up. So the child that
//!   is, or that keeps, the actor that searches is tried first.
//! - A child that is being stopped may ask another actor, which then asks the supervisor. The child's own walk ended
//!   at that actor, and has left its number there as a hint. A hint may be out of date. Then it costs one try.

use core::ptr::NonNull;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering as CounterOrdering};

use kahn_core::primitives::Ordering;
use kahn_core::wait::{Waiter, Wake};

use crate::cell::{AnyActor, Edge, Phase, WaitFor, id_of};
use crate::exit::{ActorId, Called};
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
    /// An edge that it has published before is set aside until the guard is dropped. That happens for an ask within
    /// an ask, in the destructor of a message that the outer ask throws out, and for an ask of a supervisor's event
    /// handler. An actor that closes a circle over the outer edge in that time does not see the circle. So `asker`
    /// walks again when the outer edge is back.
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
        if !self.outer.is_null() {
            release(self.asker);
        }
    }
}

/// Returns an edge with a number of its own, for a wait that sends no question.
pub(crate) fn numbered(target: &AnyActor, goal: WaitFor) -> Edge {
    // Relaxed: a number.
    Edge::new(target, goal, LAST_WAIT.fetch_add(1, CounterOrdering::Relaxed))
}

/// Runs `f`, in which the caller `me` waits for the start or the end of `other`.
pub(crate) fn while_waiting<R>(me: &AnyActor, other: &AnyActor, goal: WaitFor, f: impl FnOnce() -> R) -> R {
    let edge = numbered(other, goal);
    // SAFETY: `me` is the caller. `edge` is declared before the guard, so it outlives it. It has no slot.
    let _asking = unsafe { Asking::publish(me, &edge) };
    f()
}

/// Runs `f`, in which the caller `me`, a supervisor, waits for the ends of all of these children. A circle that this
/// wait closes is broken at another wait.
pub(crate) fn while_waiting_for_all<R>(
    me: &AnyActor,
    mut children: Vec<AnyActor>,
    f: impl FnOnce() -> R,
) -> R {
    children.sort_unstable_by_key(id_of);
    let children: Arc<[AnyActor]> = children.into();
    let edge = numbered(me, WaitFor::Ends(NonNull::from(&children)));
    // SAFETY: `me` is the caller. `children` and `edge` are declared before the guard, so they outlive it. The edge
    // has no slot.
    let _asking = unsafe { Asking::publish(me, &edge) };
    release(me);
    f()
}

/// Runs `f`, in which the caller waits for the start or the end of `other`. If the caller is in an actor's turn, the
/// wait counts as that actor's. A circle that this wait closes is broken at another wait.
pub(crate) fn wait_as_actor<R>(other: &AnyActor, goal: WaitFor, f: impl FnOnce() -> R) -> R {
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
#[derive(Clone)]
struct Step {
    actor: AnyActor,
    /// The number of its message in the target's mailbox, if the message is there already, or the number of the wait.
    mark: Option<u32>,
    /// Whether the wait is an ask or a tell, which can be ended and can return an error.
    hears: bool,
    /// Whether the present life of the actor is being ended for good.
    is_last: bool,
}

impl Step {
    fn is(&self, other: &Step) -> bool {
        self.actor.is(&other.actor) && self.mark == other.mark
    }
}

fn mark(edge: &Edge) -> Option<u32> {
    // Relaxed: written under the target's lock. `circle` says why an older value does no harm.
    let known = !matches!(edge.goal, WaitFor::Answer(_)) || edge.sent.load(Ordering::Relaxed);
    known.then(|| edge.number.load(Ordering::Relaxed))
}

/// Where a wait leads.
enum WaitTarget {
    One(AnyActor),
    /// To each of these that has not ended. They are sorted by their numbers.
    All(Arc<[AnyActor]>),
}

impl WaitTarget {
    fn leads_to(&self, target: &AnyActor) -> bool {
        match self {
            WaitTarget::One(one) => one.is(target),
            WaitTarget::All(all) => place(all, id_of(target)).is_some() && has_to_end(target),
        }
    }
}

/// Returns the place of an actor in a list that is sorted by their numbers.
fn place(all: &[AnyActor], actor: ActorId) -> Option<usize> {
    all.binary_search_by_key(&actor, id_of).ok()
}

/// Returns whether the actor is in a life, so that a wait for its end goes on.
fn has_to_end(actor: &AnyActor) -> bool {
    let phase = actor.state.lock().phase;
    !(phase.is_supervised() || phase.is_over())
}

/// Returns the step of `actor` and where it leads, if `actor` waits.
fn next(actor: &AnyActor) -> Option<(Step, WaitTarget)> {
    let (step, target, goal) = {
        let mut state = actor.state.lock();
        if state.phase == Phase::Between {
            let (supervisor, monitor) = state.cold_if_any()?.supervisor.clone()?;
            let (actor, mark) = (actor.clone(), Some(monitor.0 as u32));
            let step = Step { actor, mark, hears: false, is_last: false };
            return Some((step, WaitTarget::One(supervisor)));
        }
        // SAFETY: the pointer is set while the edge is valid, and taken back under this lock before the edge is gone.
        let edge = unsafe { state.asking.as_ref() }?;
        let is_over = match edge.goal {
            // SAFETY: the asker leaves the slot only after it has taken the edge back, for which it needs the lock that
            // is held here.
            WaitFor::Answer(slot) => unsafe { !is_open(slot) },
            // Relaxed: an older value describes a moment ago, when the actor was waiting.
            WaitFor::Room => edge.is_broken() || edge.sent.load(Ordering::Relaxed),
            WaitFor::Start | WaitFor::End | WaitFor::Ends(_) => false,
        };
        if is_over {
            return None;
        }
        let hears = matches!(edge.goal, WaitFor::Answer(_) | WaitFor::Room);
        let mark = mark(edge);
        let is_last = state.cold_if_any().is_some_and(|cold| cold.is_last);
        let step = Step { actor: actor.clone(), mark, hears, is_last };
        if let WaitFor::Ends(all) = edge.goal {
            // SAFETY: the waiting actor keeps the list in place while the edge is published. It takes the edge back
            // under the lock that is held here.
            return Some((step, WaitTarget::All(unsafe { all.as_ref() }.clone())));
        }
        // SAFETY: the waiting actor keeps a reference to its target while the edge is published, and the lock is held.
        (step, unsafe { (*edge.target).clone() }, edge.goal)
    };
    let waits = match (goal, step.mark) {
        (WaitFor::Answer(_), Some(number)) => target.state.lock().has_to_handle(number),
        (WaitFor::Answer(_), None) | (WaitFor::Room, _) => true,
        (WaitFor::Start, _) => {
            let state = target.state.lock();
            state.phase == Phase::New || state.phase == Phase::Ending && !state.has_started()
        }
        (WaitFor::End | WaitFor::Ends(_), _) => has_to_end(&target),
    };
    waits.then_some((step, WaitTarget::One(target)))
}

/// Walks the chain once. Returns the circle that `actor` is in, if it is in one.
fn walk(actor: &AnyActor) -> Option<Vec<Step>> {
    let (step, way) = next(actor)?;
    let mut chain = vec![step];
    let mut at = match way {
        WaitTarget::One(one) => one,
        WaitTarget::All(all) => return Search::new(actor, chain, all).run(),
    };
    // Brent's method: if the chain leads into a cycle that does not contain `actor`, another actor reports that cycle.
    let (mut mark, mut steps, mut power) = (at.clone(), 0_u32, 1_u32);
    while !at.is(actor) {
        let Some((step, way)) = next(&at) else {
            if chain[0].is_last {
                leave_hint(&at, id_of(actor));
            }
            return None;
        };
        chain.push(step);
        at = match way {
            WaitTarget::One(then) => then,
            WaitTarget::All(all) => return Search::new(actor, chain, all).run(),
        };
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

/// A search for chains that lead to one actor.
struct Search<'a> {
    goal: &'a AnyActor,
    /// The children to try first: the goal, its supervisor, the supervisor of that, and so on; and the hints along
    /// the chain.
    hints: Vec<ActorId>,
    /// The actors that are in the present chain, or from which no chain leads to the goal. An actor that publishes an
    /// edge after it was looked at searches by itself.
    seen: BTreeSet<ActorId>,
    chain: Vec<Step>,
    /// The branches of the present chain, in its order.
    branches: Vec<Branch>,
}

struct Branch {
    children: Arc<[AnyActor]>,
    /// The child to try first.
    first: Option<usize>,
    /// The number of children that were tried in their order.
    tried: usize,
    /// The length of the chain up to the branch.
    length: usize,
}

impl<'a> Search<'a> {
    /// Continues a `chain` that starts with `goal`, and whose last actor waits for all of these children.
    fn new(goal: &'a AnyActor, chain: Vec<Step>, children: Arc<[AnyActor]>) -> Search<'a> {
        let mut hints = vec![id_of(goal)];
        let mut supervisor = supervisor_of(goal);
        while let Some(above) = supervisor {
            hints.push(id_of(&above));
            supervisor = supervisor_of(&above);
        }
        hints.extend(chain.iter().filter_map(|step| hint_at(&step.actor)));
        let seen = chain.iter().map(|step| id_of(&step.actor)).collect();
        let mut search = Search { goal, hints, seen, chain, branches: Vec::new() };
        search.branch(children);
        search
    }

    /// Returns a circle, if there is one.
    fn run(mut self) -> Option<Vec<Step>> {
        self.find().then_some(self.chain)
    }

    /// Returns the next circle, if there is one.
    fn next_circle(&mut self) -> Option<Vec<Step>> {
        self.find().then(|| self.chain.clone())
    }

    /// Goes back to the child of the first branch through which the last circle was found. There may be another circle
    /// through it, or the same one if it has changed.
    fn retry(&mut self) {
        self.branches.truncate(1);
        let Some(branch) = self.branches.first_mut() else { return };
        // The branch is that of the goal, so it has no child to try first.
        branch.tried = branch.tried.saturating_sub(1);
        for step in self.chain.drain(branch.length..) {
            self.seen.remove(&id_of(&step.actor));
        }
    }

    fn find(&mut self) -> bool {
        // Each step tries a child of a branch, or ends a branch. A branch belongs to an actor that was not seen before.
        while let Some(branch) = self.branches.last_mut() {
            self.chain.truncate(branch.length);
            match branch.take() {
                Some(child) => {
                    if has_to_end(&child) && self.follow(child) {
                        return true;
                    }
                }
                None => drop(self.branches.pop()),
            }
        }
        false
    }

    /// Follows the chain to its end, to the goal, or to a branch. Returns whether it leads to the goal.
    fn follow(&mut self, mut at: AnyActor) -> bool {
        while !at.is(self.goal) {
            if !self.seen.insert(id_of(&at)) {
                return false;
            }
            let Some((step, way)) = next(&at) else {
                // The goal itself waits for the children, and one of them for `at`.
                if let [_, child, ..] = &*self.chain
                    && self.branches[0].length == 1
                    && child.hears
                {
                    leave_hint(&at, id_of(&child.actor));
                }
                return false;
            };
            self.chain.push(step);
            match way {
                WaitTarget::One(then) => at = then,
                WaitTarget::All(children) => {
                    self.branch(children);
                    return false;
                }
            }
        }
        true
    }

    fn branch(&mut self, children: Arc<[AnyActor]>) {
        let first = self.hints.iter().find_map(|&id| place(&children, id));
        self.branches.push(Branch { children, first, tried: 0, length: self.chain.len() });
    }
}

impl Branch {
    fn take(&mut self) -> Option<AnyActor> {
        let place = self.first.take().unwrap_or_else(|| {
            self.tried += 1;
            self.tried - 1
        });
        self.children.get(place).cloned()
    }
}

/// Records that a chain leads to `actor` from this child, which is being stopped.
fn leave_hint(actor: &AnyActor, child: ActorId) {
    actor.state.lock().cold().asked_by = Some(child);
}

fn hint_at(actor: &AnyActor) -> Option<ActorId> {
    actor.state.lock().cold_if_any().and_then(|cold| cold.asked_by)
}

fn supervisor_of(actor: &AnyActor) -> Option<AnyActor> {
    actor.state.lock().cold_if_any().and_then(|cold| Some(cold.supervisor.as_ref()?.0.clone()))
}

/// Returns whether all steps of a circle that was just found still exist.
///
/// One walk sees the edges one after the other. So the circle counts only if a second look agrees: each step existed
/// from the one look to the other, so all steps existed at the same moment, between the two. If they do not agree, an
/// actor has moved on in between (a question that was on its way has arrived). A circle does that only until all of
/// its questions are sent, so the caller can walk again until they agree.
fn exists(steps: &[Step]) -> bool {
    let targets = steps.iter().skip(1).chain(steps.first());
    steps.iter().zip(targets).all(|(step, target)| {
        next(&step.actor).is_some_and(|(seen, way)| seen.is(step) && way.leads_to(&target.actor))
    })
}

/// Returns the circle that `actor` is in, if it is in one. It starts with `actor`; each waits for the next.
fn circle(actor: &AnyActor) -> Option<Vec<Step>> {
    loop {
        let steps = walk(actor)?;
        if exists(&steps) {
            return Some(steps);
        }
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

/// Ends one wait of each circle that `actor` has just closed by something other than an ask.
#[cold]
pub(crate) fn release(actor: &AnyActor) {
    let Some((step, WaitTarget::All(all))) = next(actor) else {
        // After the first circle, there may be others that contain another child of a supervisor that waits for
        // several.
        while circle(actor).is_some_and(|steps| end_one(&steps)) {}
        return;
    };
    // Each child is searched once, apart from those through which a circle is found.
    let mut search = Search::new(actor, vec![step], all);
    while let Some(steps) = search.next_circle() {
        if exists(&steps) && !end_one(&steps) {
            continue;
        }
        search.retry();
    }
}

/// Ends one wait of this circle, or finds that it is another wait by now. Returns false if no wait can be ended.
fn end_one(steps: &[Step]) -> bool {
    // Without an ask or a tell, the circle is about to dissolve by itself.
    let Some(place) = steps.iter().rposition(|step| step.hears) else { return false };
    let target = &steps[(place + 1) % steps.len()].actor;
    let names = names(steps[place..].iter().chain(&steps[..place]));
    // If it fails, that actor now waits for something else, or its question has reached the mailbox meanwhile. The
    // caller walks again.
    end_wait(&steps[place], target, names);
    true
}

/// Ends the wait of this step, if it is still the same wait.
fn end_wait(step: &Step, target: &AnyActor, names: Vec<String>) {
    let mut state = step.actor.state.lock();
    // SAFETY: the pointer is set while the edge is valid, and taken back under this lock before the edge is gone.
    let Some(edge) = (unsafe { state.asking.as_ref() }) else { return };
    // SAFETY: the waiting actor keeps a reference to its target while the edge is published, and the lock is held.
    if !unsafe { (*edge.target).is(target) } || mark(edge) != step.mark || edge.is_broken() {
        return;
    }
    let mut slot_s = None;
    if let WaitFor::Answer(slot) = edge.goal {
        // SAFETY: the asker is an actor, so it waits as a thread. It leaves the slot after it has taken the edge back,
        // for which it needs the lock that is held here.
        let (was_open, wake) = unsafe { break_off(slot) };
        if !was_open {
            return;
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
}

/// Returns the names along the circle for which the wait of `me` for `target` was ended.
pub(crate) fn told(me: &AnyActor, target: &AnyActor) -> Vec<String> {
    let names = me.state.lock().cold_if_any().and_then(|cold| cold.circle.take());
    // There are none if a nested wait of this kind, in a destructor, has taken them.
    names.unwrap_or_else(|| vec![called(me), called(target)])
}
