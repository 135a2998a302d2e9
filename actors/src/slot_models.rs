//! Models of an ask that the finder of a circle breaks off. `ci/loom.sh` runs them.
//!
//! A mutex plays the lock of the asking actor. It guards the slot's address, which the asker takes back before it leaves
//! the slot.

use core::cell::UnsafeCell;
use core::ptr::NonNull;

use kahn_core::wait::{Deadline, Kind, Reason, WaitList, WaitOptions, Waited};
use loom::sync::{Arc, Mutex};
use loom::thread;

use super::{Asker, Slot, break_off};

struct Edge(Option<NonNull<Slot>>);

// SAFETY: the slot is made to be shared.
unsafe impl Send for Edge {}

fn model(preemptions: usize, scenario: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.max(Some(preemptions));
    builder.check(scenario);
}

fn reason() -> Reason {
    Reason::new(Kind::Actor, core::ptr::null::<()>())
}

/// Starts a thread that breaks the ask off, as `ask_cycle::end_wait` does.
fn finder(edge: &Arc<Mutex<Edge>>) -> thread::JoinHandle<()> {
    let edge = edge.clone();
    thread::spawn(move || {
        let locked = edge.lock().unwrap();
        // SAFETY: the asker takes the edge back before it leaves the slot, and the lock is held.
        let wake = locked.0.map(|slot| unsafe { break_off(slot) });
        drop(locked);
        drop(wake);
    })
}

/// The reply is kept, so the finder alone can end the wait.
///
/// Fails without the fence in `break_off`, or if `break_off` does not claim the asker.
#[test]
fn broken_ask_ends_while_its_reply_is_kept() {
    model(3, || {
        let place = UnsafeCell::new(None::<usize>);
        // SAFETY: the asker is dropped before its place, which holds `None` and which only the reply uses until then.
        let (mut asker, reply) = unsafe { Asker::new(NonNull::new_unchecked(place.get())) };
        let edge = Arc::new(Mutex::new(Edge(Some(asker.place()))));
        let finder = finder(&edge);
        let waited = asker.wait(reason(), Deadline::Never, || edge.lock().unwrap().0 = None);
        assert_eq!(waited, Ok(false));
        drop(asker);
        assert_eq!(reply.send(7), Err(7));
        assert_eq!(place.into_inner(), None);
        finder.join().unwrap();
    });
}

/// The reply races with the finder. One of them ends the wait, and none of them ends the asker's next wait.
///
/// Fails if the reply stores `ANSWERED` before it claims the asker.
#[test]
fn reply_races_with_a_circle_that_breaks_the_ask() {
    model(3, || {
        let place = UnsafeCell::new(None::<usize>);
        let next = Arc::new(WaitList::<bool, bool>::new(false));
        // SAFETY: the asker is dropped before its place, which holds `None` and which only the reply uses until then.
        let (mut asker, reply) = unsafe { Asker::new(NonNull::new_unchecked(place.get())) };
        let edge = Arc::new(Mutex::new(Edge(Some(asker.place()))));
        let finder = finder(&edge);
        let replier = {
            let next = next.clone();
            thread::spawn(move || {
                let is_taken = reply.send(7).is_ok();
                next.update(|done, [waiter]| {
                    *done = true;
                    if let Some(woken) = waiter.claim_next() {
                        *woken = true;
                    }
                });
                is_taken
            })
        };
        let waited = asker.wait(reason(), Deadline::Never, || edge.lock().unwrap().0 = None);
        edge.lock().unwrap().0 = None;
        drop(asker);
        // A claim that comes too late would end this wait with `Woken(false)`.
        let after = next.wait(WaitOptions::new(reason()).with(false), |done| done.then_some(()));
        assert!(matches!(after, Ok(Waited::Found(()) | Waited::Woken(true))));
        let is_taken = replier.join().unwrap();
        assert_eq!(waited, Ok(is_taken));
        assert_eq!(place.into_inner(), is_taken.then_some(7));
        finder.join().unwrap();
    });
}
