//! Asks that would wait for themselves.
//!
//! An actor that asks writes down whom, in its own state, for as long as it waits. As long as the asked actor has the
//! question before it, or in hand, it alone can answer, so who waits for whom is a chain, and a chain that comes back to its
//! start is a deadlock.
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
//! **At least one sees it.** An asker first publishes its own edge and then walks, each under the lock of the actor
//! whose edge it is. Of the edges of a cycle one is published last; whoever publishes it walks afterwards, and finds all
//! others.

use kahn_core::facade::Ordering;

use crate::cell::{Any, Edge, id_of};
use crate::exit::Called;
use crate::slot::is_open;

/// Takes the edge back when dropped.
pub(crate) struct Asking<'a> {
    asker: &'a Any,
    /// The edge of the ask that this one is in.
    outer: *const Edge,
}

impl<'a> Asking<'a> {
    /// Says that `asker` waits for the answer of `edge.target`. Another edge that it has published is put aside meanwhile:
    /// it is an ask within an ask, in the destructor of a message that the outer one throws out. Who closes a circle over the
    /// outer edge in that time does not see it, and waits for the deadline.
    ///
    /// # Safety
    ///
    /// `asker` is the caller, and `edge` stays where it is, and its slot's asker does not leave, until the answer is
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

/// Runs `f`, in which the caller `me` waits for what `other` alone can do, as if it asked it.
pub(crate) fn while_waiting<R>(me: &Any, other: &Any, f: impl FnOnce() -> R) -> R {
    let edge = Edge::new(other, None);
    // SAFETY: `me` is the caller, and the edge outlives the guard.
    let _asking = unsafe { Asking::publish(me, &edge) };
    f()
}

/// One step: who asks, and the number of its question in the next one's mailbox, if it is there already.
type Step = (Any, Option<u32>);

/// Whom `asker` waits for, if it does, and with which question.
fn next(asker: &Any) -> Option<(Any, Option<u32>)> {
    let (target, question) = {
        let state = asker.state.lock();
        // SAFETY: set while it is valid, and taken back under this lock.
        let edge = unsafe { state.asking.as_ref() }?;
        // SAFETY: the asker leaves the slot after it has taken the edge back.
        if edge.slot.is_some_and(|slot| unsafe { !is_open(slot) }) {
            return None;
        }
        // Relaxed: written under the target's lock, see `cycle` for what an older picture does.
        let sent = edge.sent.load(Ordering::Relaxed);
        let question = sent.then(|| edge.number.load(Ordering::Relaxed));
        // SAFETY: the asker keeps its target while the edge is published.
        (unsafe { (*edge.target).clone() }, question)
    };
    let waits = question.is_none_or(|number| target.state.lock().has_to_handle(number));
    waits.then_some((target, question))
}

/// The cycle that `asker` is in, if it is in one.
fn walk(asker: &Any) -> Option<Vec<Step>> {
    let (mut at, question) = next(asker)?;
    let mut chain = vec![(asker.clone(), question)];
    // By Brent's method: a chain that leads into a cycle without `asker` is somebody else's to report.
    let (mut mark, mut steps, mut power) = (at.clone(), 0_u32, 1_u32);
    while !at.is(asker) {
        let (then, question) = next(&at)?;
        chain.push((at, question));
        at = then;
        if at.is(&mark) && !at.is(asker) {
            return None;
        }
        steps += 1;
        if steps == power {
            (mark, steps, power) = (at.clone(), 0, power.saturating_mul(2));
        }
    }
    Some(chain)
}

/// The names along the cycle that `asker` has just closed, if there is one.
///
/// The edges of one walk are seen one after the other. So there are two that agree: what both have found was there all
/// the time between, and all at once. Where two do not agree, somebody has moved on in between (a question that was on
/// its way has come), which a cycle does only until all its questions are sent.
pub(crate) fn cycle(asker: &Any) -> Option<Vec<String>> {
    let same = |((a, m), (b, n)): (&Step, &Step)| a.is(b) && m == n;
    let mut seen = walk(asker)?;
    loop {
        let again = walk(asker)?;
        if seen.len() == again.len() && seen.iter().zip(&again).all(same) {
            return Some(
                seen.iter().map(|(actor, _)| Called(id_of(actor), actor.name()).to_string()).collect(),
            );
        }
        seen = again;
    }
}
