//! How long a lock is looked at before its waiter parks.

use core::hint::spin_loop;

use crate::facade::MODEL;

/// Looks, in growing intervals of 25 ns to 0.8 µs, for 1.5 µs in all.
const ROUNDS: u32 = 6;

/// Calls `look` until it answers something, at most for about a microsecond and a half.
///
/// That is less than a park and a wake-up cost, so it loses at most about as much as it can gain; and the intervals grow,
/// so that a holder who keeps taking the lock anew can do so at the speed of its own cache in between.
#[inline]
pub(super) fn spin<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    // A model explores every order anyway: to look more than once would only make it longer.
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
