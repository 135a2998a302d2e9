//! Where actors panic: a panic hook that writes the place down and calls the hook that was there before. It prints
//! nothing. Where a program has set another hook since that does not call this one, places are not known.

use core::any::Any as Payload;
use core::time::Duration;
use std::panic::{set_hook, take_hook};
use std::sync::{Arc, Mutex, Once, PoisonError};

use kahn_core::facade::{Backoff, now};
use kahn_core::wait::{Me, is_quiet_unwind, quietly, settled};

use crate::cell::Any;
use crate::ends::with_current;
use crate::exit::ExitReason;

/// How long a panic waits for its actor's lock. It is held for a moment each time; only one that is held by the panicking
/// thread itself, which would be a defect of ours, is never free.
const PATIENCE: Duration = Duration::from_secs(1);

/// The actors that their tests run, each with the thread that does: these have no turn to be found by.
static STEPPED: Mutex<Vec<(usize, Any)>> = Mutex::new(Vec::new());

/// Sees to it that places are written down from now on.
pub(crate) fn watch() {
    static SET: Once = Once::new();
    SET.call_once(|| {
        // A panicking thread may not change the hook; the next actor is in time.
        if std::thread::panicking() {
            return;
        }
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if let Some(location) = info.location() {
                let place = location.to_string().into_boxed_str();
                // The actor's own field, and not the OS thread's: others may panic here before this one is caught.
                match stepped_here() {
                    Some(actor) => write_down(&actor, place),
                    None => drop(with_current(|actor| write_down(actor, place))),
                }
            }
            before(info);
        }));
    });
}

fn write_down(actor: &Any, place: Box<str>) {
    let start = now();
    let mut backoff = Backoff::new();
    let mut place = Some(place);
    loop {
        if let Some(mut state) = actor.state.try_lock() {
            let old = core::mem::replace(&mut state.rare().panicked, place.take());
            drop(state);
            drop(old);
            return;
        }
        if now().saturating_duration_since(start) > PATIENCE {
            return;
        }
        backoff.wait();
    }
}

/// A number that is the calling thread's alone, green or not, while it lives.
fn me() -> usize {
    Me::current().party().addr().get()
}

fn stepped() -> std::sync::MutexGuard<'static, Vec<(usize, Any)>> {
    STEPPED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stepped_here() -> Option<Any> {
    let stepped = stepped();
    if stepped.is_empty() {
        return None;
    }
    let me = me();
    stepped.iter().rev().find(|(thread, _)| *thread == me).map(|(_, actor)| actor.clone())
}

/// Runs `f`, a step of `actor`, with its panics written down as the actor's.
pub(crate) fn while_stepping<R>(actor: &Any, f: impl FnOnce() -> R) -> R {
    struct Step(usize);
    impl Drop for Step {
        fn drop(&mut self) {
            let step = {
                let mut stepped = stepped();
                let place = stepped.iter().rposition(|(thread, _)| *thread == self.0);
                place.map(|place| stepped.remove(place))
            };
            drop(step);
        }
    }
    watch();
    let me = me();
    stepped().push((me, actor.clone()));
    let _step = Step(me);
    f()
}

/// Why an actor has unwound.
pub(crate) fn reason(actor: &Any, payload: Box<dyn Payload + Send>) -> ExitReason {
    if is_quiet_unwind(&*payload) {
        let mut state = actor.state.lock();
        return state.rare_if_any().and_then(|rare| rare.exit.clone()).unwrap_or(ExitReason::Killed);
    }
    let payload = settled(payload);
    let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => Arc::from(*text),
        (_, Some(text)) => Arc::from(text.as_str()),
        _ => Arc::from("a value that is no text"),
    };
    quietly(|| drop(payload));
    let location = actor.state.lock().rare_if_any().and_then(|rare| rare.panicked.take());
    ExitReason::Panicked { message, location: location.map(Arc::from) }
}
