//! How a select waits, in three passes.
//!
//! 1. Look at every case, in random order (a biased select: in the order given), and take the first that can be done.
//! 2. Enter every queue, in the order of the channels' addresses, unless a case can be done by now; then park.
//! 3. Leave every queue but that of the case through which the wait was claimed.
//!
//! A receive of capacity 0 that has met a selected sender or a permit is not done until that one has brought its message:
//! until then it waits for nothing else, and if it is given up, it starts again.
//!
//! One that does not wait gives up after pass 1 only if there was a moment when no case could be done.
//!
//! A select that finds its partner in pass 2 ends its own wait first (nobody can claim it from then on), and takes the
//! grant after: if the partner has been claimed by another meanwhile, it starts again. Two selects that find each other
//! would both start again, and again; but the order of the queues forbids it: one that stands in queue `a` and looks at
//! `b` has `a < b`, so of selects that look at each other in a circle one would stand behind itself. So whenever one
//! starts again, another has gone on.

use core::panic::Location;
use core::ptr::NonNull;
use std::time::Instant;

use kahn_core::wait::{Kind, Node, Reason, Wait, operation};
use smallvec::SmallVec;

use crate::seat::{Seat, Status, Want};
use crate::select::case::{Entered, Grant, Operation};
use crate::select::random::Choices;
use crate::state::Wakes;

/// Cases up to which nothing is allocated.
pub(crate) const FEW: usize = 8;

/// One operation of a select.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    pub(crate) operation: &'a dyn Operation,
    /// What its user knows it by.
    pub(crate) index: usize,
}

/// How long to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Patience {
    /// Only look.
    None,
    /// Until then.
    Until(Instant),
    /// For ever.
    Endless,
}

/// What to do with a case that is ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Aim {
    /// Take the right to do it.
    Choose,
    /// Only tell that it is ready.
    Watch,
}

/// How to go about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) aim: Aim,
    /// Whether the first case that is ready is preferred to the others.
    pub(crate) biased: bool,
}

/// Waits until one of the cases can be done. Answers its place, and its grant if it was chosen. A fair select changes
/// the order of the cases.
#[track_caller]
pub(crate) fn wait_for(cases: &mut [Case<'_>], manner: Manner, patience: Patience) -> Option<(usize, Grant)> {
    operation();
    let mut patience = patience;
    loop {
        let mut found = look(cases, manner);
        if found.is_none() {
            let deadline = match patience {
                Patience::None if manner.aim == Aim::Watch || were_idle_at_once(cases) => {
                    return None;
                }
                Patience::None => continue,
                Patience::Until(deadline) => Some(deadline),
                Patience::Endless => None,
            };
            match stand(cases, manner.aim, deadline) {
                Stood::Found(at, grant) => found = Some((at, grant)),
                Stood::TimedOut => patience = Patience::None,
                Stood::Again => {}
            }
        }
        match found {
            Some((at, Grant::Promise)) => {
                if let Some(grant) = cases[at].operation.await_promise(Location::caller()) {
                    return Some((at, grant));
                }
            }
            Some(found) => return Some(found),
            None => {}
        }
    }
}

/// Pass 1.
#[inline]
fn look(cases: &mut [Case<'_>], manner: Manner) -> Option<(usize, Grant)> {
    let count = cases.len();
    let mut choices = (!manner.biased && count > 1).then(Choices::new);
    for at in 0..count {
        // A shuffle, of which no more is done than is looked at.
        if let Some(choices) = &mut choices {
            let other = at + choices.below(count - at);
            cases.swap(at, other);
        }
        let operation = cases[at].operation;
        match manner.aim {
            Aim::Watch if operation.is_ready() => return Some((at, Grant::Closed)),
            Aim::Watch => {}
            Aim::Choose => {
                if let Some(grant) = operation.look() {
                    return Some((at, grant));
                }
            }
        }
    }
    None
}

/// Whether there was a moment when no case could be done. A look at one after the other does not tell: what was looked at
/// first may have become ready before what was looked at last stopped to be. (What may be ready after a look failed has
/// changed since, so the loop around this ends unless others go on.)
fn were_idle_at_once(cases: &[Case<'_>]) -> bool {
    if cases.len() <= 1 {
        return true;
    }
    // What has not changed from the first look to the second was idle at every moment between the two rounds.
    let mut first: SmallVec<[u64; FEW]> = SmallVec::new();
    for case in cases {
        let Some(since) = case.operation.idle_since() else { return false };
        first.push(since);
    }
    cases.iter().zip(first).all(|(case, since)| case.operation.idle_since() == Some(since))
}

/// How passes 2 and 3 ended.
enum Stood {
    Found(usize, Grant),
    TimedOut,
    Again,
}

/// Passes 2 and 3.
#[cold]
#[inline(never)]
#[track_caller]
fn stand(cases: &[Case<'_>], aim: Aim, deadline: Option<Instant>) -> Stood {
    let reason = Reason::new(
        Kind::Select,
        core::ptr::without_provenance::<()>(
            cases.first().map_or(0, |case| case.operation.identity().address),
        ),
    );
    let mut order: SmallVec<[usize; FEW]> = (0..cases.len()).collect();
    order.sort_unstable_by_key(|&at| cases[at].operation.identity());
    // Dropped last: a task that is woken runs a user's code, and we must have left the queues by then.
    let mut wakes = Wakes::new();
    let wait = Wait::new();
    let seats: SmallVec<[Seat; FEW]> = order.iter().map(|_| Seat::new(Want::Right)).collect();
    let nodes: SmallVec<[Node; FEW]> = seats
        .iter()
        .enumerate()
        .map(|(token, seat)| Node::new(wait.party(), token, seat.payload()))
        .collect();

    let mut entered = 0;
    let mut until = deadline;
    let mut settled = None;
    for (&at, node) in order.iter().zip(&nodes) {
        let operation = cases[at].operation;
        let node = NonNull::from(node);
        // SAFETY: seats and nodes stay where they are until pass 3, below, has taken the nodes out; nothing between can
        // unwind.
        let outcome = unsafe {
            match aim {
                Aim::Choose => operation.enter(node, &wait, &mut wakes),
                Aim::Watch if !operation.watch(node, &wait) => Entered::Waiting,
                Aim::Watch if wait.claim_self() => Entered::Ready(Grant::Closed),
                Aim::Watch => Entered::Claimed,
            }
        };
        match outcome {
            Entered::Waiting => entered += 1,
            Entered::Ready(grant) => {
                settled = Some(Stood::Found(at, grant));
                break;
            }
            Entered::Lost => {
                settled = Some(Stood::Again);
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
            // Who has claimed nobody owes wake-ups to watchers alone. Those are threads, so no user's code is run here;
            // and they may be who we wait for.
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
            // Taken out by the claimer.
            continue;
        }
        // SAFETY: entered above.
        unsafe {
            match aim {
                Aim::Choose => cases[at].operation.leave(NonNull::from(node)),
                Aim::Watch => cases[at].operation.unwatch(NonNull::from(node)),
            }
        }
    }

    match claimed {
        None => settled.expect("not parked, so settled"),
        Some(Ok(token)) => match seats[token].status() {
            Status::Done => Stood::Found(order[token], Grant::Operation),
            Status::Promised => Stood::Found(order[token], Grant::Promise),
            Status::Closed => Stood::Found(order[token], Grant::Closed),
            _ => Stood::Again,
        },
        Some(Err(missed)) => {
            missed.raise();
            if deadline.is_some() && until == deadline { Stood::TimedOut } else { Stood::Again }
        }
    }
}
