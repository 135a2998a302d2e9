//! Deadlines that need not be exact, at a tenth of the cost of reading the clock.
//!
//! The kernel keeps the time of its last tick in memory that can be read without access to the hardware clock. That
//! time is behind by at most one tick, which is some milliseconds.

use std::time::{Duration, Instant};

#[cfg(not(kahn_loom))]
use super::clock::now;

/// Returns the instant `after` from now. It is never earlier, and at most two ticks of the kernel later. Returns
/// `None` if the clock cannot express it.
#[cfg(all(target_os = "linux", not(any(kahn_loom, miri))))]
pub fn deadline_about(after: Duration) -> Option<Instant> {
    use std::sync::OnceLock;

    struct Origin {
        /// Read after `tick_time`. So an instant that is as far from `instant` as a coarse reading is from
        /// `tick_time` is never before that reading.
        instant: Instant,
        tick_time: Duration,
        tick: Duration,
    }
    static ORIGIN: OnceLock<Origin> = OnceLock::new();

    fn read(get: unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> libc::c_int) -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `get` is one of the two functions that are passed below, and `time` is valid for its result. The
        // kernel has this clock since Linux 2.6.32.
        let failed = unsafe { get(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
        assert!(failed == 0, "the kernel has no coarse clock");
        Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).expect("less than a second"))
    }

    let tick_time = read(libc::clock_gettime);
    let origin = ORIGIN.get_or_init(|| Origin { tick_time, tick: read(libc::clock_getres), instant: now() });
    let since = tick_time.saturating_sub(origin.tick_time);
    origin.instant.checked_add(since.checked_add(after)?.checked_add(origin.tick)?)
}

/// Returns the instant `after` from now in a model of a user's program. Returns `None` in other models, in which time does
/// not pass.
#[cfg(kahn_loom)]
pub fn deadline_about(after: Duration) -> Option<Instant> {
    super::explorer::model_now()?.checked_add(after)
}

/// Returns the instant `after` from now, exactly. Miri has no coarse clock.
#[cfg(not(any(kahn_loom, all(target_os = "linux", not(miri)))))]
pub fn deadline_about(after: Duration) -> Option<Instant> {
    now().checked_add(after)
}

#[cfg(all(test, not(kahn_loom)))]
mod tests {
    use super::*;

    #[test]
    fn coarse_clock_is_never_early_and_hardly_late() {
        for _ in 0..10_000 {
            let before = now();
            let about = deadline_about(Duration::from_secs(5)).unwrap();
            assert!(about >= before + Duration::from_secs(5));
            assert!(about <= now() + Duration::from_millis(5_100));
        }
    }
}
