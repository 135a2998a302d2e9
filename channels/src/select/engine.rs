//! How a select waits, in three passes.
//!
//! 1. Look at every case, in random order (a biased select: in the given order). Take the first that can be done.
//! 2. Enter every queue, in the order of the channels' addresses, unless a case can be done by now. Then park.
//! 3. Leave every queue. The claimer has already removed the node through which the wait was claimed.
//!
//! With capacity 0, a receive that has met a sender with a reservation is not done until its message has been sent.
//! Until then the select waits for nothing else. If the sender gives up, the select starts again.
//!
//! A select that chooses and does not wait gives up after pass 1 only if there was a moment when no case could be done.
//!
//! A select that finds its partner in pass 2 first ends its own wait, so that no other thread can claim it. Then it
//! requests the reservation. If another thread has claimed the partner meanwhile, the select starts again. Two selects
//! that find each other cannot make each other start again forever. A select that is in queue `a` and looks at queue
//! `b` has `a < b`. If several selects looked at each other in a circle, one of them would be before itself in this
//! order. So whenever a select starts again, another one has made progress.

use core::panic::Location;
use core::ptr::NonNull;
use core::time::Duration;
use std::time::Instant;

use kahn_core::wait::{Elapsed, Kind, Node, Reason, Wait, operation};
use smallvec::SmallVec;

use crate::clock;
use crate::reservation::Reservation;
use crate::select::case::{Entered, Operation};
use crate::select::shuffle::Choices;
use crate::waiters::{Status, WaitSlot, WaitSlotKind, Wakes};

/// The number of cases up to which a select allocates nothing.
pub(crate) const FEW: usize = 8;

/// One operation of a select.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    pub(crate) operation: &'a dyn Operation,
    /// The number by which the user identifies the case.
    pub(crate) index: usize,
}

/// The cases of a select. Their order is that in which a biased select prefers them; a random select changes it.
pub(crate) trait CaseList<'a> {
    fn len(&self) -> usize;
    fn get(&self, at: usize) -> Case<'a>;
    fn swap(&mut self, one: usize, other: usize);
}

impl<'a> CaseList<'a> for [Case<'a>] {
    #[inline]
    fn len(&self) -> usize {
        <[Case<'a>]>::len(self)
    }

    #[inline]
    fn get(&self, at: usize) -> Case<'a> {
        self[at]
    }

    #[inline]
    fn swap(&mut self, one: usize, other: usize) {
        <[Case<'a>]>::swap(self, one, other);
    }
}

/// How long a select waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Timeout {
    /// It does not wait.
    Now,
    /// Until this instant.
    At(Instant),
    /// Without limit.
    Never,
}

impl Timeout {
    /// Without limit if the clock cannot express the end.
    pub(crate) fn after(timeout: Duration) -> Timeout {
        clock::deadline_in(timeout).map_or(Timeout::Never, Timeout::At)
    }
}

/// What a select does with a case that is ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Goal {
    /// It takes a reservation for the operation.
    Select,
    /// It only reports that the operation is ready. Where a reservation is returned, it is `Closed`: nothing is
    /// reserved.
    Ready,
}

/// The mode of a select.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SelectMode {
    pub(crate) goal: Goal,
    /// Whether it prefers the first case that is ready, instead of a random one.
    pub(crate) biased: bool,
}

/// Waits until one of the cases can be done. Returns that case and its reservation. Returns `None` if the time-out has
/// elapsed. Unless it is biased, changes the order of the cases.
#[track_caller]
pub(crate) fn wait_for<'a, L: CaseList<'a> + ?Sized>(
    cases: &mut L,
    mode: SelectMode,
    timeout: Timeout,
) -> Option<(Case<'a>, Reservation)> {
    operation();
    let mut timeout = timeout;
    loop {
        let mut found = look(cases, mode);
        if found.is_none() {
            let deadline = match timeout {
                Timeout::Now if mode.goal == Goal::Ready || were_idle_at_once(cases) => {
                    return None;
                }
                Timeout::Now => continue,
                Timeout::At(deadline) => Some(deadline),
                Timeout::Never => None,
            };
            match enter_and_park(cases, mode.goal, deadline) {
                Ok(outcome) => found = outcome,
                // One more look, which decides.
                Err(_) => timeout = Timeout::Now,
            }
        }
        match found {
            Some((at, Reservation::Unsent)) => {
                let case = cases.get(at);
                if let Some(reservation) = case.operation.await_unsent(Location::caller()) {
                    return Some((case, reservation));
                }
            }
            Some((at, reservation)) => return Some((cases.get(at), reservation)),
            None => {}
        }
    }
}

/// Pass 1.
#[inline]
fn look<'a, L: CaseList<'a> + ?Sized>(cases: &mut L, mode: SelectMode) -> Option<(usize, Reservation)> {
    let count = cases.len();
    let mut choices = (!mode.biased && count > 1).then(Choices::new);
    for at in 0..count {
        // A Fisher–Yates shuffle, done only as far as the cases are looked at.
        if let Some(choices) = &mut choices {
            let other = at + choices.below(count - at);
            cases.swap(at, other);
        }
        let operation = cases.get(at).operation;
        match mode.goal {
            Goal::Ready if operation.is_ready() => return Some((at, Reservation::Closed)),
            Goal::Ready => {}
            Goal::Select => {
                if let Some(reservation) = operation.look() {
                    return Some((at, reservation));
                }
            }
        }
    }
    None
}

/// Whether there was a moment when no case could be done.
///
/// One look at each case cannot tell. The first case may become ready after its look, and before the last case ceases
/// to be ready. The caller looks again if this returns false. A case that may be ready although its look failed has
/// changed since that look. So the caller's loop ends unless other threads keep changing the channels.
fn were_idle_at_once<'a, L: CaseList<'a> + ?Sized>(cases: &L) -> bool {
    if cases.len() <= 1 {
        return true;
    }
    // An operation whose number is the same in both rounds was idle at every moment between its two looks. So all were
    // idle at the moment between the rounds.
    let mut first: SmallVec<[u64; FEW]> = SmallVec::new();
    for at in 0..cases.len() {
        let Some(since) = cases.get(at).operation.idle_since() else { return false };
        first.push(since);
    }
    (0..cases.len()).zip(first).all(|(at, since)| cases.get(at).operation.idle_since() == Some(since))
}

/// The nodes of a select that waits, one for each case, in the order of the channels' addresses.
struct Nodes {
    /// The positions of the cases.
    order: SmallVec<[usize; FEW]>,
    nodes: SmallVec<[Node; FEW]>,
    /// How many of the nodes have been put into queues.
    entered: usize,
}

/// Passes 2 and 3. Returns the position of a case that can be done, with its reservation, or `None` if the select has
/// to start again.
#[cold]
#[inline(never)]
#[track_caller]
fn enter_and_park<'a, L: CaseList<'a> + ?Sized>(
    cases: &L,
    goal: Goal,
    deadline: Option<Instant>,
) -> Result<Option<(usize, Reservation)>, Elapsed> {
    let identity = |at: usize| cases.get(at).operation.identity();
    // Reports name the first channel of the select. A receiver that never receives has the address 0.
    let resource = (0..cases.len()).map(|at| identity(at).address).find(|&address| address != 0);
    let reason = Reason::new(Kind::Select, core::ptr::without_provenance::<()>(resource.unwrap_or(0)));
    let mut order: SmallVec<[usize; FEW]> = (0..cases.len()).collect();
    order.sort_unstable_by_key(|&at| identity(at));
    // Dropped last. Waking an async task runs user code, and the select must have left its queues by then.
    let mut wakes = Wakes::new();
    let wait = Wait::new();
    let slots: SmallVec<[WaitSlot; FEW]> =
        order.iter().map(|_| WaitSlot::new(WaitSlotKind::Reservation)).collect();
    let nodes = slots
        .iter()
        .enumerate()
        .map(|(token, slot)| Node::new(wait.waiter(), token, slot.payload()))
        .collect();
    let mut nodes = Nodes { order, nodes, entered: 0 };

    let mut until = deadline;
    // SAFETY: slots and nodes stay at their addresses until `leave_all` below has removed the nodes. Nothing in between
    // can unwind. Each payload is a wait slot for a reservation.
    let ready = unsafe { enter_all(cases, goal, &mut nodes, &wait, &mut wakes, &mut until) };
    if let Some((at, reservation)) = ready {
        // SAFETY: the nodes are valid.
        unsafe { leave_all(cases, goal, &nodes, None) };
        return Ok(reservation.map(|reservation| (at, reservation)));
    }
    // The select has claimed no partner, so these are wake-ups of watchers only. Watchers are threads, so no user code
    // runs. They are woken before the park, because one of them may be the partner that this select waits for.
    drop(core::mem::replace(&mut wakes, Wakes::new()));
    let woken = wait.park(reason, until);
    // SAFETY: the nodes are valid. The claimer has removed the node with the token that it has claimed.
    unsafe { leave_all(cases, goal, &nodes, woken.as_ref().ok().copied()) };
    match woken {
        Ok(token) => {
            let reservation = match slots[token].status() {
                Status::Done => Reservation::Reserved,
                Status::Unsent => Reservation::Unsent,
                Status::Closed => Reservation::Closed,
                Status::Waiting | Status::Retry => return Ok(None),
            };
            Ok(Some((nodes.order[token], reservation)))
        }
        Err(error) => {
            let timed_out = error.raise();
            if deadline.is_some() && until == deadline { Err(timed_out) } else { Ok(None) }
        }
    }
}

/// Enters the queues one after the other. Stops at a case that can be done, and returns its position with the outcome
/// of [`Entered::Ready`]; the select has then ended its own wait. Returns `None` if it has entered all queues, or if
/// another thread has claimed the wait. Lowers `until` to the first instant at which a case becomes ready by itself.
///
/// # Safety
///
/// The requirements of [`Operation::enter`] hold for all nodes.
#[track_caller]
unsafe fn enter_all<'a, L: CaseList<'a> + ?Sized>(
    cases: &L,
    goal: Goal,
    nodes: &mut Nodes,
    wait: &Wait,
    wakes: &mut Wakes,
    until: &mut Option<Instant>,
) -> Option<(usize, Option<Reservation>)> {
    for (&at, node) in nodes.order.iter().zip(&nodes.nodes) {
        let operation = cases.get(at).operation;
        let node = NonNull::from(node);
        // SAFETY: the caller guarantees the requirements of `enter`, which are those of `watch`.
        let entered = unsafe {
            match goal {
                Goal::Select => operation.enter(node, wait, wakes),
                Goal::Ready if !operation.watch(node, wait) => Entered::Waiting,
                Goal::Ready if wait.claim_self() => Entered::Ready(Some(Reservation::Closed)),
                Goal::Ready => Entered::Claimed,
            }
        };
        match entered {
            Entered::Waiting => nodes.entered += 1,
            Entered::Ready(reservation) => return Some((at, reservation)),
            Entered::Claimed => return None,
        }
        *until = match (*until, operation.due()) {
            (Some(until), Some(due)) => Some(until.min(due)),
            (until, due) => until.or(due),
        };
    }
    None
}

/// Removes the nodes that have been put into queues, except the one that a claimer has removed.
///
/// # Safety
///
/// The nodes are valid. Those that have been entered are in the queues of their operations, or in none.
unsafe fn leave_all<'a, L: CaseList<'a> + ?Sized>(
    cases: &L,
    goal: Goal,
    nodes: &Nodes,
    claimed: Option<usize>,
) {
    for (token, (&at, node)) in nodes.order.iter().zip(&nodes.nodes).enumerate().take(nodes.entered) {
        if Some(token) == claimed {
            continue;
        }
        let operation = cases.get(at).operation;
        // SAFETY: the caller guarantees that the node was entered in a queue of this operation, and is valid.
        unsafe {
            match goal {
                Goal::Select => operation.leave(NonNull::from(node)),
                Goal::Ready => operation.unwatch(NonNull::from(node)),
            }
        }
    }
}
