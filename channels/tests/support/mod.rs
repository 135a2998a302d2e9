//! Where a scenario's threads run, and how long it may take. A scenario is a `fn(&World)`, so that the same one can be
//! run on OS threads, on green threads, and on both mixed.

#![allow(dead_code, reason = "each test file uses a part")]

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// What a scenario's threads are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// OS threads outside any runtime, the scenario's own among them.
    Os,
    /// Green threads of one runtime with so many workers, the scenario's own among them.
    Green(usize),
    /// Green threads and OS threads in turn; the scenario's own is an OS thread.
    Mixed,
}

#[cfg(miri)]
const WORLDS: &[World] = &[World::Os];
#[cfg(not(miri))]
const WORLDS: &[World] = &[World::Os, World::Green(1), World::Green(2), World::Green(3), World::Mixed];

/// A running part of a scenario.
pub enum Handle<T> {
    Os(std::thread::JoinHandle<T>),
    Green(kahn_core::thread::JoinHandle<T>),
}

impl<T> Handle<T> {
    /// Its result; its panic goes on in the caller.
    pub fn join(self) -> T {
        let result: Result<T, Box<dyn Any + Send>> = match self {
            Handle::Os(thread) => thread.join(),
            Handle::Green(thread) => thread.join().map_err(|error| error.into_panic()),
        };
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    pub fn is_finished(&self) -> bool {
        match self {
            Handle::Os(thread) => thread.is_finished(),
            Handle::Green(thread) => thread.is_finished(),
        }
    }
}

impl World {
    /// Starts a part of the scenario.
    pub fn spawn<T: Send + 'static>(&self, part: impl FnOnce() -> T + Send + 'static) -> Handle<T> {
        static TURN: AtomicBool = AtomicBool::new(false);
        match self {
            World::Mixed if TURN.fetch_not(Ordering::Relaxed) => Handle::Os(std::thread::spawn(part)),
            World::Os => Handle::Os(std::thread::spawn(part)),
            World::Green(_) | World::Mixed => Handle::Green(kahn_core::spawn(part)),
        }
    }

    pub fn yield_now(&self) {
        kahn_core::yield_now();
    }

    pub fn sleep(&self, time: Duration) {
        kahn_core::sleep(time);
    }
}

/// Runs a scenario in every world. Fails if it does not end.
pub fn everywhere(scenario: fn(&World)) {
    for &world in WORLDS {
        let (done, ended) = mpsc::channel();
        let runner = std::thread::spawn(move || {
            match world {
                World::Green(workers) => {
                    kahn_core::Runtime::builder().workers(workers).build().unwrap().run(|| scenario(&world));
                }
                World::Os | World::Mixed => scenario(&world),
            }
            let _ = done.send(());
        });
        match ended.recv_timeout(Duration::from_secs(if cfg!(miri) { 600 } else { 60 })) {
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("the scenario hangs in {world:?}"),
            _ => runner.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        }
    }
}

/// Waits until a condition holds that another thread brings about.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(30), "never happened: {what}");
        kahn_core::yield_now();
    }
}

/// How often to repeat: `full`, or a hundredth of it under Miri.
pub fn times(full: usize) -> usize {
    if cfg!(miri) { (full / 100).clamp(2, 30) } else { full }
}
