//! What the tests of locks share: each scenario runs once in every mode, which says what its threads are.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::any::Any;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use kahn_core::{Runtime, thread};

/// What the threads of a scenario are. The scenario itself is an OS thread.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// OS threads outside any runtime.
    Os,
    /// Green threads on one worker.
    Green1,
    /// Green threads on two workers.
    Green2,
    /// OS threads and green threads in turn.
    Mixed,
}

static ONE: LazyLock<Runtime> = LazyLock::new(|| Runtime::builder().workers(1).build().unwrap());
static TWO: LazyLock<Runtime> = LazyLock::new(|| Runtime::builder().workers(2).build().unwrap());

/// A thread of a scenario.
pub enum Handle<T> {
    Os(std::thread::JoinHandle<T>),
    Green(thread::JoinHandle<T>),
}

impl Mode {
    /// Starts a thread of this mode.
    pub fn spawn<T: Send + 'static>(self, f: impl FnOnce() -> T + Send + 'static) -> Handle<T> {
        static TURN: AtomicBool = AtomicBool::new(false);
        match self {
            Mode::Os => Handle::Os(std::thread::spawn(f)),
            Mode::Green1 => Handle::Green(ONE.spawn(f)),
            Mode::Green2 => Handle::Green(TWO.spawn(f)),
            Mode::Mixed if TURN.fetch_not(SeqCst) => Mode::Os.spawn(f),
            Mode::Mixed => Mode::Green2.spawn(f),
        }
    }
}

impl<T> Handle<T> {
    /// What the thread answered, or its panic.
    pub fn join(self) -> Result<T, Box<dyn Any + Send>> {
        match self {
            Handle::Os(thread) => thread.join(),
            Handle::Green(thread) => thread
                .join()
                .map_err(|error| if error.is_panic() { error.into_panic() } else { Box::new("cancelled") }),
        }
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        match self {
            Handle::Os(thread) => thread.is_finished(),
            Handle::Green(thread) => thread.is_finished(),
        }
    }
}

/// Runs `scenario` in every mode; in the one without fibers where a tool cannot follow them.
pub fn each_mode(scenario: impl Fn(Mode)) {
    let modes: &[Mode] = if cfg!(any(miri, kahn_threads)) {
        &[Mode::Os]
    } else {
        &[Mode::Os, Mode::Green1, Mode::Green2, Mode::Mixed]
    };
    modes.iter().for_each(|mode| scenario(*mode));
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
        thread::sleep(Duration::from_micros(200));
    }
}

/// Runs `f` a little later than now: long enough for the others to have parked, most of the time.
pub fn settle() {
    thread::sleep(Duration::from_millis(if cfg!(miri) { 1 } else { 10 }));
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
