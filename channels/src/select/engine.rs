//! How a select waits, in three passes.
//!
//! 1. Look at every case, in random order (a biased select: in the given order). Take the first that can be done.
//! 2. Enter every queue, in the order of the channels' addresses, unless a case can be done by now. Then park.
//! 3. Leave every queue. The claimer has already removed the node through which the wait was claimed.
//!
//! With capacity 0, a receive that has met a selected sender or a permit is not done until its message has been sent.
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
use std::time::Instant;

use kahn_core::wait::{Kind, Node, Reason, Wait, operation};
use smallvec::SmallVec;

use crate::select::case::{Entered, Grant, Operation};
use crate::select::shuffle::Choices;
use crate::state::Wakes;
use crate::wait_slot::{Status, WaitSlot, WaitSlotKind};

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
pub(crate) enum Patience {
    /// It does not wait.
    None,
    /// Until this instant.
    Until(Instant),
    /// Without limit.
    Endless,
}

/// What a select does with a case that is ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Goal {
    /// It takes a reservation for the operation.
    Choose,
    /// It only reports that the operation is ready.
    Watch,
}

/// The mode of a select.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SelectMode {
    pub(crate) goal: Goal,
    /// Whether it prefers the first case that is ready, instead of a random one.
    pub(crate) biased: bool,
}

/// Waits until one of the cases can be done. Returns that case, and its grant if the case was selected. Returns
/// `None` if `patience` is used up. Unless it is biased, changes the order of the cases.
#[track_caller]
pub(crate) fn wait_for<'a, L: CaseList<'a> + ?Sized>(
    cases: &mut L,
    mode: SelectMode,
    patience: Patience,
) -> Option<(Case<'a>, Grant)> {
    operation();
    let mut patience = patience;
    loop {
        let mut found = look(cases, mode);
        if found.is_none() {
            let deadline = match patience {
                Patience::None if mode.goal == Goal::Watch || were_idle_at_once(cases) => {
                    return None;
                }
                Patience::None => continue,
                Patience::Until(deadline) => Some(deadline),
                Patience::Endless => None,
            };
            match stand(cases, mode.goal, deadline) {
                ParkResult::Found(at, grant) => found = Some((at, grant)),
                ParkResult::TimedOut => patience = Patience::None,
                ParkResult::Again => {}
            }
        }
        match found {
            Some((at, Grant::Promise)) => {
                let case = cases.get(at);
                if let Some(grant) = case.operation.await_promise(Location::caller()) {
                    return Some((case, grant));
                }
            }
            Some((at, grant)) => return Some((cases.get(at), grant)),
            None => {}
        }
    }
}

/// Pass 1. With [`Goal::Watch`] the grant in the result is a placeholder.
#[inline]
fn look<'a, L: CaseList<'a> + ?Sized>(cases: &mut L, mode: SelectMode) -> Option<(usize, Grant)> {
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
            Goal::Watch if operation.is_ready() => return Some((at, Grant::Closed)),
            Goal::Watch => {}
            Goal::Choose => {
                if let Some(grant) = operation.look() {
                    return Some((at, grant));
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

/// The outcome of passes 2 and 3.
enum ParkResult {
    Found(usize, Grant),
    TimedOut,
    Again,
}

/// Passes 2 and 3.
#[cold]
#[inline(never)]
#[track_caller]
fn stand<'a, L: CaseList<'a> + ?Sized>(cases: &L, goal: Goal, deadline: Option<Instant>) -> ParkResult {
    let identity = |at: usize| cases.get(at).operation.identity();
    // Reports name the first channel of the select. A receiver that never receives has the address 0.
    let resource = (0..cases.len()).map(|at| identity(at).address).find(|&address| address != 0);
    let reason = Reason::new(Kind::Select, core::ptr::without_provenance::<()>(resource.unwrap_or(0)));
    let mut order: SmallVec<[usize; FEW]> = (0..cases.len()).collect();
    order.sort_unstable_by_key(|&at| identity(at));
    // Dropped last. Waking an async task runs user code, and the select must have left its queues by then.
    let mut wakes = Wakes::new();
    let wait = Wait::new();
    let slots: SmallVec<[WaitSlot; FEW]> = order.iter().map(|_| WaitSlot::new(WaitSlotKind::Right)).collect();
    let nodes: SmallVec<[Node; FEW]> = slots
        .iter()
        .enumerate()
        .map(|(token, wait_slot)| Node::new(wait.waiter(), token, wait_slot.payload()))
        .collect();

    let mut entered = 0;
    let mut until = deadline;
    let mut settled = None;
    for (&at, node) in order.iter().zip(&nodes) {
        let operation = cases.get(at).operation;
        let node = NonNull::from(node);
        // SAFETY: slots and nodes stay at their addresses until pass 3 below has removed the nodes. Nothing in between
        // can unwind.
        let outcome = unsafe {
            match goal {
                Goal::Choose => operation.enter(node, &wait, &mut wakes),
                Goal::Watch if !operation.watch(node, &wait) => Entered::Waiting,
                Goal::Watch if wait.claim_self() => Entered::Ready(Grant::Closed),
                Goal::Watch => Entered::Claimed,
            }
        };
        match outcome {
            Entered::Waiting => entered += 1,
            Entered::Ready(grant) => {
                settled = Some(ParkResult::Found(at, grant));
                break;
            }
            Entered::Lost => {
                settled = Some(ParkResult::Again);
                break;
            }
            Entered::Claimed => break,
        }
        until = match (until, operation.due()) {
            (Some(until), Some(due)) => Some(until.min(due)),
            (until, due) => until.or(due),
        };
    }

    let claimed = match &settled {
        Some(_) => None,
        None => {
            // The select has claimed no partner, so these are wake-ups of watchers only. Watchers are threads, so no
            // user code runs. They are woken before the park, because one of them may be the partner that this select
            // waits for.
            drop(core::mem::replace(&mut wakes, Wakes::new()));
            Some(wait.park(reason, until))
        }
    };

    let through = match &claimed {
        Some(Ok(token)) => Some(*token),
        _ => None,
    };
    for (place, (&at, node)) in order.iter().zip(&nodes).enumerate().take(entered) {
        if Some(place) == through {
            // The claimer has removed this node.
            continue;
        }
        // SAFETY: the node was entered above, in a queue of this operation.
        unsafe {
            match goal {
                Goal::Choose => cases.get(at).operation.leave(NonNull::from(node)),
                Goal::Watch => cases.get(at).operation.unwatch(NonNull::from(node)),
            }
        }
    }

    match claimed {
        None => settled.expect("not parked, so settled"),
        Some(Ok(token)) => match slots[token].status() {
            Status::Done => ParkResult::Found(order[token], Grant::Operation),
            Status::Promised => ParkResult::Found(order[token], Grant::Promise),
            Status::Closed => ParkResult::Found(order[token], Grant::Closed),
            _ => ParkResult::Again,
        },
        Some(Err(error)) => {
            error.raise();
            if deadline.is_some() && until == deadline { ParkResult::TimedOut } else { ParkResult::Again }
        }
    }
}
