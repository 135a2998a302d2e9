//! How long a thread spins on a lock before it parks.

use core::hint::spin_loop;

use crate::primitives::MODEL;

/// The number of looks, in growing intervals from 25 ns to 0.8 µs. They take 1.5 µs in all.
const ROUNDS: u32 = 6;

/// Calls `look` until it returns `Some`, for at most about 1.5 µs.
///
/// This is less than the cost of a park and a wake-up, so spinning loses at most about as much as it can gain. The
/// intervals grow, so that in between a holder can take the lock repeatedly at the speed of its own cache.
#[inline]
pub(super) fn spin<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    // A model explores every order anyway. More than one look would only make it longer.
    if MODEL {
        return look();
    }
    for round in 0..ROUNDS {
        for _ in 0..(1_u32 << round) {
            spin_loop();
        }
        let found = look();
        if found.is_some() {
            return found;
        }
    }
    None
}
