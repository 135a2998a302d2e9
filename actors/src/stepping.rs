//! The actors that tests run step by step, each with the thread that runs it. These actors have no turn by which
//! [`with_current`](crate::lifecycle::with_current) could find them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kahn_core::wait::CurrentWaiter;

use crate::cell::AnyActor;

static STEPS: Mutex<Vec<(usize, AnyActor)>> = Mutex::new(Vec::new());
/// The length of the list. While it is zero, no thread takes the lock.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Returns a number that identifies the calling thread, green or not, while it lives.
fn me() -> usize {
    CurrentWaiter::current().waiter().addr().get()
}

fn steps() -> MutexGuard<'static, Vec<(usize, AnyActor)>> {
    STEPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the actor whose step the caller runs, if it runs one.
#[inline]
pub(crate) fn here() -> Option<AnyActor> {
    // Relaxed: a thread that runs a step has raised the count itself.
    if COUNT.load(Ordering::Relaxed) == 0 { None } else { find() }
}

#[cold]
fn find() -> Option<AnyActor> {
    let me = me();
    steps().iter().rev().find(|(thread, _)| *thread == me).map(|(_, actor)| actor.clone())
}

/// Runs `f`, a step of `actor`.
pub(crate) fn step<R>(actor: &AnyActor, f: impl FnOnce() -> R) -> R {
    struct Step(usize);
    impl Drop for Step {
        fn drop(&mut self) {
            let step = {
                let mut steps = steps();
                let place = steps.iter().rposition(|(thread, _)| *thread == self.0);
                place.map(|place| steps.remove(place))
            };
            // Relaxed: as in `here`.
            COUNT.fetch_sub(1, Ordering::Relaxed);
            drop(step);
        }
    }
    let me = me();
    steps().push((me, actor.clone()));
    // Relaxed: as in `here`.
    COUNT.fetch_add(1, Ordering::Relaxed);
    let _step = Step(me);
    f()
}
