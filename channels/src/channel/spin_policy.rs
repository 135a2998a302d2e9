//! The spin policy of an OS thread that is about to wait.

use std::time::Instant;

use kahn_core::primitives::{AtomicU64, Ordering, SPINS};
use kahn_core::wait::current;

/// How long an OS thread spins before it sleeps.
///
/// A sleep and its wake-up cost both sides microseconds, and the partner often arrives sooner. A green thread does not
/// spin, because parking costs it only nanoseconds.
pub(crate) struct SpinPolicy {
    rounds: u32,
}

impl SpinPolicy {
    const ROUNDS: u32 = if SPINS { 10 } else { 0 };

    #[inline]
    pub(crate) fn new(deadline: Option<Instant>) -> SpinPolicy {
        let sleeps = deadline.is_none() && current::green().is_none();
        SpinPolicy { rounds: if sleeps { Self::ROUNDS } else { 0 } }
    }

    #[inline]
    pub(crate) fn is_left(&self) -> bool {
        self.rounds > 0
    }

    /// Spins until a bit of the hint is set or the rounds are used up.
    pub(crate) fn watch(&mut self, hint: &AtomicU64, bit: u64) {
        while self.rounds > 0 {
            self.rounds -= 1;
            let doublings = Self::ROUNDS - self.rounds;
            if doublings <= 7 {
                for _ in 0..1_u32 << doublings {
                    core::hint::spin_loop();
                }
            } else {
                std::thread::yield_now();
            }
            // Relaxed: the bit is only a reason to look again under the lock.
            if hint.load(Ordering::Relaxed) & bit != 0 {
                return;
            }
        }
    }
}
