//! Shared helpers of the tests of locks: each scenario runs once in every mode. A mode decides which kinds of
//! threads it runs on.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::time::{Duration, Instant};

#[cfg(not(any(kahn_threads, miri)))]
#[path = "green_and_os.rs"]
mod modes;
#[cfg(any(kahn_threads, miri))]
#[path = "os_alone.rs"]
mod modes;

#[allow(unused_imports, reason = "each test file uses a part of it")]
pub use modes::{Handle, Mode, each_mode, sleep, yield_now};

/// `full` in a test of the machine code, `small` under Miri.
pub fn size(full: usize, small: usize) -> usize {
    if cfg!(miri) { small } else { full }
}

/// Waits until `condition` holds; a test that waits in vain fails.
#[track_caller]
pub fn eventually(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain");
        sleep(Duration::from_micros(200));
    }
}

/// Runs `f` a little later than now: long enough for the others to have parked, most of the time.
pub fn settle() {
    sleep(Duration::from_millis(if cfg!(miri) { 1 } else { 10 }));
}

/// A small random number generator (xorshift), so that a run can be repeated from its seed.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
