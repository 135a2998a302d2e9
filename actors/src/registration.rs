//! Registrations of an actor (`Registration`): names and memberships, which are removed when the actor ends for good.
//!
//! A registration is owned by the registry or group that it is in. The actor holds a weak reference to it. After a
//! registration is withdrawn, its empty allocation therefore remains, until the actor's list would have to grow or the
//! actor ends.

use std::sync::{Arc, Weak};

pub(crate) trait Registration: Send + Sync {
    /// Removes the registration, because the actor ends for good. The caller holds no lock.
    fn deregister(self: Arc<Self>);
}

/// The registrations of one actor.
#[derive(Default)]
pub(crate) struct Registrations(Vec<Weak<dyn Registration>>);

impl Registrations {
    pub(crate) fn add(&mut self, entry: Weak<dyn Registration>) {
        if self.0.len() == self.0.capacity() {
            // This drops weak references whose registrations are gone, so no user code runs.
            self.0.retain(|entry| entry.strong_count() > 0);
        }
        self.0.push(entry);
    }

    /// Returns the registrations that have not been withdrawn.
    pub(crate) fn into_live(self) -> impl Iterator<Item = Arc<dyn Registration>> {
        self.0.into_iter().filter_map(|entry| entry.upgrade())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Registration for Nothing {
        fn deregister(self: Arc<Self>) {}
    }

    #[test]
    fn removed_registrations_do_not_accumulate() {
        let mut entries = Registrations::default();
        let kept: Vec<Arc<Nothing>> = (0..10).map(|_| Arc::new(Nothing)).collect();
        for entry in &kept {
            entries.add(Arc::downgrade(entry) as _);
        }
        for _ in 0..10_000 {
            let gone: Weak<Nothing> = Arc::downgrade(&Arc::new(Nothing));
            entries.add(gone);
        }
        assert!(entries.0.len() <= 64, "{}", entries.0.len());
        assert_eq!(entries.into_live().count(), 10);
    }
}
