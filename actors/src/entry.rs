//! What is said of an actor elsewhere (a name, a membership), and is struck when it ends for good.
//!
//! An entry belongs to where it is said; the actor has a weak reference to it. So an entry that is taken back earlier
//! leaves a few bytes behind, until the list would grow, or the actor has ended.

use std::sync::{Arc, Weak};

pub(crate) trait Entry: Send + Sync {
    /// The actor ends for good. Called with no lock held.
    fn strike(self: Arc<Self>);
}

/// The entries about one actor.
#[derive(Default)]
pub(crate) struct Entries(Vec<Weak<dyn Entry>>);

impl Entries {
    pub(crate) fn add(&mut self, entry: Weak<dyn Entry>) {
        if self.0.len() == self.0.capacity() {
            // No entry is dropped here: these are weak references to what is gone.
            self.0.retain(|entry| entry.strong_count() > 0);
        }
        self.0.push(entry);
    }

    /// Those that have not been taken back.
    pub(crate) fn into_live(self) -> impl Iterator<Item = Arc<dyn Entry>> {
        self.0.into_iter().filter_map(|entry| entry.upgrade())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Entry for Nothing {
        fn strike(self: Arc<Self>) {}
    }

    #[test]
    fn entries_that_were_taken_back_do_not_pile_up() {
        let mut entries = Entries::default();
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
