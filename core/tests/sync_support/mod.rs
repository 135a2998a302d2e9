//! What the tests of locks share: each scenario runs once in every mode, which says what its threads are.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::time::{Duration, Instant};

/// What the threads of a scenario are.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// OS threads outside any runtime.
    Os,
}

/// A thread of a scenario.
pub struct Handle<T>(std::thread::JoinHandle<T>);

impl Mode {
    /// Starts a thread of this mode.
    pub fn spawn<T: Send + 'static>(self, f: impl FnOnce() -> T + Send + 'static) -> Handle<T> {
        match self {
            Mode::Os => Handle(std::thread::spawn(f)),
        }
    }
}

impl<T> Handle<T> {
    /// What the thread answered, or its panic.
    pub fn join(self) -> std::thread::Result<T> {
        self.0.join()
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

/// Runs `scenario` in every mode.
pub fn each_mode(scenario: impl Fn(Mode)) {
    scenario(Mode::Os);
}

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
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Runs `f` a little later than now: long enough for the others to have parked, most of the time.
pub fn settle() {
    std::thread::sleep(Duration::from_millis(if cfg!(miri) { 1 } else { 10 }));
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
