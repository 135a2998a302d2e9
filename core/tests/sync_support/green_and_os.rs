//! Runs scenarios on OS threads, on green threads, and on both mixed.

use std::any::Any;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use kahn_core::{Runtime, thread};

pub use kahn_core::thread::{sleep, yield_now};

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
    /// What the thread returned, or its panic.
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

/// Runs `scenario` in every mode.
pub fn each_mode(scenario: impl Fn(Mode)) {
    for mode in [Mode::Os, Mode::Green1, Mode::Green2, Mode::Mixed] {
        scenario(mode);
    }
}
