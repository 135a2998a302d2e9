//! Panics of actors that no other actor or thread was told of, for tests that check for them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kahn_core::process::runtime_here;

use crate::cell::{AnyActor, id_of};
use crate::exit::{ActorId, Called, ExitReason};

/// The number of runtimes that are watched. While it is zero, nothing is recorded.
static WATCHED: AtomicUsize = AtomicUsize::new(0);
/// The unobserved panics, by runtime, then by actor.
static PANICS: Mutex<BTreeMap<usize, BTreeMap<ActorId, String>>> = Mutex::new(BTreeMap::new());

fn panics() -> MutexGuard<'static, BTreeMap<usize, BTreeMap<ActorId, String>>> {
    PANICS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records the unobserved panics in one runtime, as long as this value lives.
#[cfg(fibers)]
pub(crate) struct Watch {
    runtime: usize,
}

/// Starts to record the unobserved panics in the caller's runtime.
#[cfg(fibers)]
pub(crate) fn watch_here() -> Option<Watch> {
    let runtime = runtime_here()?;
    panics().insert(runtime, BTreeMap::new());
    // Relaxed: later operations in this runtime are ordered after this one by the scheduler's synchronisation.
    WATCHED.fetch_add(1, Ordering::Relaxed);
    Some(Watch { runtime })
}

#[cfg(fibers)]
impl Watch {
    /// Returns the panics that were recorded.
    pub(crate) fn take(self) -> Vec<String> {
        let found = panics().get_mut(&self.runtime).map(core::mem::take);
        found.unwrap_or_default().into_values().collect()
    }
}

#[cfg(fibers)]
impl Drop for Watch {
    fn drop(&mut self) {
        WATCHED.fetch_sub(1, Ordering::Relaxed);
        panics().remove(&self.runtime);
    }
}

/// Records that an actor has ended, and that no other actor or thread was told.
pub(crate) fn note(actor: &AnyActor, reason: &ExitReason) {
    if WATCHED.load(Ordering::Relaxed) == 0 || !matches!(reason, ExitReason::Panicked { .. }) {
        return;
    }
    let Some(runtime) = runtime_here() else { return };
    if let Some(found) = panics().get_mut(&runtime) {
        found.insert(id_of(actor), format!("{}: {reason}", Called(id_of(actor), actor.name())));
    }
}

/// Removes the record of an actor: a thread has been told of its end after all.
pub(crate) fn noticed(actor: &AnyActor) {
    if WATCHED.load(Ordering::Relaxed) == 0 {
        return;
    }
    panics().values_mut().for_each(|found| drop(found.remove(&id_of(actor))));
}
