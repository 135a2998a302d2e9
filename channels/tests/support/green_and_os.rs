//! Runs scenarios on OS threads, on green threads of one worker and of two, and on OS threads and green threads
//! mixed.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use kahn_core::Runtime;

pub use kahn_core::yield_now;

/// A kind of thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    Os,
    Green1,
    Green2,
    Mixed,
}

pub const WORLDS: [World; 4] = [World::Os, World::Green1, World::Green2, World::Mixed];

static ONE: LazyLock<Runtime> = LazyLock::new(|| Runtime::builder().workers(1).build().unwrap());
static TWO: LazyLock<Runtime> = LazyLock::new(|| Runtime::builder().workers(2).build().unwrap());

/// A running part of a scenario.
pub enum Handle<T> {
    Os(thread::JoinHandle<T>),
    Green(kahn_core::thread::JoinHandle<T>),
}

impl<T> Handle<T> {
    /// Its result; its panic goes on in the caller.
    pub fn join(self) -> T {
        match self {
            Handle::Os(part) => part.join(),
            Handle::Green(part) => part.join().map_err(|error| error.into_panic()),
        }
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    pub fn is_finished(&self) -> bool {
        match self {
            Handle::Os(part) => part.is_finished(),
            Handle::Green(part) => part.is_finished(),
        }
    }
}

impl World {
    /// Runs a scenario, whose own thread is of this world, too; in the mixed one an OS thread.
    pub fn run(&self, scenario: fn(&World)) {
        match self {
            World::Os | World::Mixed => scenario(self),
            World::Green1 => ONE.run(|| scenario(self)),
            World::Green2 => TWO.run(|| scenario(self)),
        }
    }

    pub fn spawn<T: Send + 'static>(&self, part: impl FnOnce() -> T + Send + 'static) -> Handle<T> {
        static TURN: AtomicBool = AtomicBool::new(false);
        match self {
            World::Os => Handle::Os(thread::spawn(part)),
            World::Green1 => Handle::Green(ONE.spawn(part)),
            World::Green2 => Handle::Green(TWO.spawn(part)),
            World::Mixed if TURN.fetch_not(Relaxed) => World::Os.spawn(part),
            World::Mixed => World::Green2.spawn(part),
        }
    }

    pub fn yield_now(&self) {
        kahn_core::yield_now();
    }

    pub fn sleep(&self, time: Duration) {
        kahn_core::sleep(time);
    }
}
