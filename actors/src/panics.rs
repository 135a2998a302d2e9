//! Where actors panic: a panic hook that records the place, and calls the hook that was installed before. It prints
//! nothing. If a program has since installed another hook that does not call this one, the places are not known.

use core::any::Any as Payload;
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Arc, Once};

use kahn_core::primitives::{Backoff, is_of_checker, now, without_switches};
use kahn_core::wait::{is_internal_unwind, reject_stray_unwind, run_catching, shield};

use crate::cell::AnyActor;
use crate::exit::ExitReason;
use crate::lifecycle::with_current;
use crate::{stepping, unobserved_panics};

/// How long the hook tries to take the lock of its actor. Every holder keeps the lock for a moment only. A lock that
/// stays taken is held by the panicking thread itself, which would be a defect of kahn.
const PATIENCE: Duration = Duration::from_secs(1);

/// Installs the hook, once.
pub(crate) fn watch() {
    static SET: Once = Once::new();
    // `set_hook` panics on a panicking thread. The next actor that is spawned elsewhere installs the hook.
    if !SET.is_completed() && std::thread::panicking() {
        return;
    }
    SET.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if let Some(location) = info.location().filter(|location| !is_of_checker(location)) {
                let place = location.to_string().into_boxed_str();
                // Recorded in the actor and not in the OS thread: other green threads may panic on this OS thread
                // before this panic is caught.
                let _ = without_switches(|| with_current(|actor| write_down(actor, place)));
            }
            before(info);
        }));
    });
}

fn write_down(actor: &AnyActor, place: Box<str>) {
    let start = now();
    let mut backoff = Backoff::new();
    let mut place = Some(place);
    loop {
        if let Some(mut state) = actor.state.try_lock() {
            let old = core::mem::replace(&mut state.cold().panicked, place.take());
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

/// Runs `f`, a step of `actor`, and records panics in it as panics of `actor`.
pub(crate) fn while_stepping<R>(actor: &AnyActor, f: impl FnOnce() -> R) -> R {
    watch();
    stepping::step(actor, f)
}

/// Runs code of the user whose panic ends here, because the actor's exit reason is another one or the actor is not even
/// ending: `stopped`, and the destructors of values and messages. Records the panic as unobserved.
pub(crate) fn catching(actor: &AnyActor, f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        unobserved_panics::note_inside(actor, &reason(actor, payload));
    }
}

/// Like [`catching`], for code that neither a cancel nor a timeout cuts short.
pub(crate) fn catching_shielded(actor: &AnyActor, f: impl FnOnce()) {
    catching(actor, || shield(f));
}

/// Drops the items one by one, each as by [`catching_shielded`].
pub(crate) fn drop_each<T>(actor: &AnyActor, all: impl IntoIterator<Item = T>) {
    all.into_iter().for_each(|one| catching_shielded(actor, || drop(one)));
}

/// Returns the exit reason of an actor that has unwound with this payload.
pub(crate) fn reason(actor: &AnyActor, payload: Box<dyn Payload + Send>) -> ExitReason {
    if is_internal_unwind(&*payload) {
        let mut state = actor.state.lock();
        return state.cold_if_any().and_then(|cold| cold.exit.clone()).unwrap_or(ExitReason::Killed);
    }
    let payload = reject_stray_unwind(payload);
    let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => Arc::from(*text),
        (_, Some(text)) => Arc::from(text.as_str()),
        _ => Arc::from("a value that is not a text"),
    };
    run_catching(|| drop(payload));
    let location = actor.state.lock().cold_if_any().and_then(|cold| cold.panicked.take());
    ExitReason::Panicked { message, location: location.map(Arc::from) }
}
