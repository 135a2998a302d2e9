//! Panics of actors that no other actor or thread was told of, for tests that check for them.
//!
//! There are two kinds. A panic that has ended its actor is observed by the threads that are told of the end. A panic that
//! was caught inside of the actor, in `stopped` or in a destructor, is in no exit reason, so no thread observes it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kahn_core::process::runtime_here;

use crate::cell::{AnyActor, id_of};
use crate::exit::{ActorId, Called, ExitReason};

/// The number of runtimes that are watched. While it is zero, nothing is recorded.
static WATCHED: AtomicUsize = AtomicUsize::new(0);
/// The unobserved panics, by runtime.
static PANICS: Mutex<BTreeMap<usize, Panics>> = Mutex::new(BTreeMap::new());

#[derive(Default)]
struct Panics {
    /// Those that have ended their actors.
    ends: BTreeMap<ActorId, String>,
    /// Those that were caught inside of an actor.
    inside: Vec<String>,
}

fn panics() -> MutexGuard<'static, BTreeMap<usize, Panics>> {
    PANICS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records the unobserved panics in one runtime, as long as this value lives.
#[cfg(any(fibers, models))]
pub(crate) struct Watch {
    runtime: usize,
}

/// Starts to record the unobserved panics in the caller's runtime.
#[cfg(any(fibers, models))]
pub(crate) fn watch_here() -> Option<Watch> {
    let runtime = runtime_here()?;
    panics().insert(runtime, Panics::default());
    // Relaxed: later operations in this runtime are ordered after this one by the scheduler's synchronisation.
    WATCHED.fetch_add(1, Ordering::Relaxed);
    Some(Watch { runtime })
}

#[cfg(any(fibers, models))]
impl Watch {
    /// Returns the panics that were recorded.
    pub(crate) fn take(self) -> Vec<String> {
        let found = panics().get_mut(&self.runtime).map(core::mem::take).unwrap_or_default();
        found.ends.into_values().chain(found.inside).collect()
    }
}

#[cfg(any(fibers, models))]
impl Drop for Watch {
    fn drop(&mut self) {
        WATCHED.fetch_sub(1, Ordering::Relaxed);
        panics().remove(&self.runtime);
    }
}

/// Records that an actor has ended, and that no other actor or thread was told.
pub(crate) fn note(actor: &AnyActor, reason: &ExitReason) {
    record(actor, reason, |found, text| _ = found.ends.insert(id_of(actor), text));
}

/// Records a panic that was caught inside of an actor.
pub(crate) fn note_inside(actor: &AnyActor, reason: &ExitReason) {
    record(actor, reason, |found, text| found.inside.push(text));
}

fn record(actor: &AnyActor, reason: &ExitReason, add: impl FnOnce(&mut Panics, String)) {
    if WATCHED.load(Ordering::Relaxed) == 0 || !matches!(reason, ExitReason::Panicked { .. }) {
        return;
    }
    let Some(runtime) = runtime_here() else { return };
    if let Some(found) = panics().get_mut(&runtime) {
        add(found, format!("{}: {reason}", Called(id_of(actor), actor.name())));
    }
}

/// Removes the record of an actor: a thread has been told of its end after all.
pub(crate) fn noticed(actor: &AnyActor) {
    if WATCHED.load(Ordering::Relaxed) == 0 {
        return;
    }
    panics().values_mut().for_each(|found| drop(found.ends.remove(&id_of(actor))));
}
