//! Where actors panic: a panic hook that writes the place down and calls the hook that was there before. It prints
//! nothing. Where a program has set another hook since that does not call this one, places are not known.

use core::any::Any as Payload;
use std::panic::{set_hook, take_hook};
use std::sync::{Arc, Once};

use kahn_core::wait::{is_quiet_unwind, quietly};

use crate::cell::Any;
use crate::ends::with_current;
use crate::exit::ExitReason;

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
            let place = info.location().map(|location| location.to_string().into_boxed_str());
            // The actor's own field, and not the OS thread's: others may panic here before this one is caught.
            with_current(|actor| {
                let old = actor.state.try_lock().and_then(|mut state| state.rare().panicked.replace(place?));
                drop(old);
            });
            before(info);
        }));
    });
}

/// Why an actor has unwound.
pub(crate) fn reason(actor: &Any, payload: Box<dyn Payload + Send>) -> ExitReason {
    if is_quiet_unwind(&*payload) {
        let mut state = actor.state.lock();
        return state.rare_if_any().and_then(|rare| rare.exit.clone()).unwrap_or(ExitReason::Killed);
    }
    let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => Arc::from(*text),
        (_, Some(text)) => Arc::from(text.as_str()),
        _ => Arc::from("a value that is no text"),
    };
    quietly(|| drop(payload));
    let location = actor.state.lock().rare_if_any().and_then(|rare| rare.panicked.take());
    ExitReason::Panicked { message, location: location.map(Arc::from) }
}
