//! Poisoning: the flag of a lock whose holder unwound.

use core::fmt;
use core::ops::Deref;
use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};
use std::thread::panicking;

use crate::facade::{AtomicBool, Ordering, maybe_const};

/// Whether a holder has unwound while it could change the value.
#[derive(Debug)]
pub(super) struct Poison(AtomicBool);

/// What a guard remembers: whether its holder was unwinding already when it took the lock. Such a holder (a destructor)
/// that gives the lock back as it should poisons nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    panicking: bool,
}

impl Poison {
    maybe_const! {
        /// Not poisoned.
        pub(super) const fn new() -> Poison {
            Poison(AtomicBool::new(false))
        }
    }

    /// Called with the lock just taken.
    #[inline]
    pub(super) fn enter(&self) -> Before {
        Before { panicking: panicking() }
    }

    /// Called with the lock about to be given back.
    #[inline]
    pub(super) fn leave(&self, before: Before) {
        if !before.panicking && panicking() {
            // Relaxed: the lock's own Release comes after.
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(super) fn get(&self) -> bool {
        // Relaxed: a holder of the lock has synchronised with the last one; to others it is a hint.
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn clear(&self) {
        // Relaxed: as in `get`.
        self.0.store(false, Ordering::Relaxed);
    }

    /// The `guard` of a lock that is held, or the value of one that is gone, as an error if it is poisoned.
    #[inline]
    pub(super) fn check<G>(&self, guard: G) -> LockResult<G> {
        if self.get() { Err(PoisonError::new(guard)) } else { Ok(guard) }
    }

    /// How a lock shows itself: with its value, if `try_lock` gets at it.
    pub(super) fn show_lock<G: Deref<Target: fmt::Debug>>(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: &str,
        try_lock: impl FnOnce() -> TryLockResult<G>,
    ) -> fmt::Result {
        let mut shown = f.debug_struct(name);
        match try_lock() {
            Ok(guard) => shown.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => shown.field("data", &&*error.into_inner()),
            Err(TryLockError::WouldBlock) => shown.field("data", &format_args!("<locked>")),
        };
        shown.field("poisoned", &self.get()).finish_non_exhaustive()
    }
}
