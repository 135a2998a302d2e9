//! Panics of actors that nobody has been told of, for tests that look.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kahn_core::process::runtime_here;

use crate::cell::{Any, id_of};
use crate::exit::{ActorId, Called, ExitReason};

/// How many runtimes are watched. Nothing is written down while it is none.
static WATCHED: AtomicUsize = AtomicUsize::new(0);
/// By runtime, then by actor: what there was.
static PANICS: Mutex<BTreeMap<usize, BTreeMap<ActorId, String>>> = Mutex::new(BTreeMap::new());

fn panics() -> MutexGuard<'static, BTreeMap<usize, BTreeMap<ActorId, String>>> {
    PANICS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes down the panics in one runtime, as long as it lives.
#[cfg(fibers)]
pub(crate) struct Watch {
    runtime: usize,
}

/// From now on, in the runtime of the caller.
#[cfg(fibers)]
pub(crate) fn watch_here() -> Option<Watch> {
    let runtime = runtime_here()?;
    panics().insert(runtime, BTreeMap::new());
    // Relaxed: who is in this runtime comes later, by the scheduler's synchronisation.
    WATCHED.fetch_add(1, Ordering::Relaxed);
    Some(Watch { runtime })
}

#[cfg(fibers)]
impl Watch {
    /// What there was.
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

/// An actor has ended, and nobody was told.
pub(crate) fn note(actor: &Any, reason: &ExitReason) {
    if WATCHED.load(Ordering::Relaxed) == 0 || !matches!(reason, ExitReason::Panicked { .. }) {
        return;
    }
    let Some(runtime) = runtime_here() else { return };
    if let Some(found) = panics().get_mut(&runtime) {
        found.insert(id_of(actor), format!("{}: {reason}", Called(id_of(actor), actor.name())));
    }
}

/// Somebody is told, late.
pub(crate) fn noticed(actor: &Any) {
    if WATCHED.load(Ordering::Relaxed) == 0 {
        return;
    }
    panics().values_mut().for_each(|found| drop(found.remove(&id_of(actor))));
}
