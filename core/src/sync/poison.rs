//! Poisoning: the flag of a lock whose holder has unwound.

use core::fmt;
use core::ops::Deref;
use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};
use std::thread::panicking;

use crate::primitives::{AtomicBool, Ordering, maybe_const};

/// Whether a holder has unwound while it could change the value.
#[derive(Debug)]
pub(super) struct Poison(AtomicBool);

/// What a guard records: whether its holder was already unwinding when it took the lock. Such a holder, a destructor,
/// does not poison the lock when it releases it as usual.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    panicking: bool,
}

impl Poison {
    maybe_const! {
        /// Creates a flag that is not set.
        pub(super) const fn new() -> Poison {
            Poison(AtomicBool::new(false))
        }
    }

    /// Called when the lock has just been taken.
    #[inline]
    pub(super) fn enter(&self) -> Before {
        Before { panicking: panicking() }
    }

    /// Called when the lock is about to be released. Sets the flag if the holder has begun to unwind while it held
    /// the lock.
    #[inline]
    pub(super) fn leave(&self, before: Before) {
        if !before.panicking && panicking() {
            // Relaxed: the Release of the lock itself follows.
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(super) fn get(&self) -> bool {
        // Relaxed: a holder of the lock has synchronized with the previous holder; for other threads the value is a
        // hint.
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn clear(&self) {
        // Relaxed: as in `get`, a holder synchronizes through the lock, and for other threads the value is a hint.
        self.0.store(false, Ordering::Relaxed);
    }

    /// Returns `guard`, which is a guard or the value of the lock. Returns it as an error if the lock is poisoned.
    #[inline]
    pub(super) fn check<G>(&self, guard: G) -> LockResult<G> {
        if self.get() { Err(PoisonError::new(guard)) } else { Ok(guard) }
    }

    /// Formats a lock for `Debug`, with its value if `try_lock` succeeds.
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
