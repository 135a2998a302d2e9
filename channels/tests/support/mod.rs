//! Where a scenario's threads run, and how long it may take. A scenario is a `fn(&World)`, so that the same one can be
//! run on OS threads, on green threads, and on both mixed.

#![allow(dead_code, reason = "each test file uses a part")]

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// A kind of thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    Os,
}

/// A running part of a scenario.
pub struct Handle<T>(thread::JoinHandle<T>);

impl<T> Handle<T> {
    /// Its result; its panic goes on in the caller.
    pub fn join(self) -> T {
        self.0.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl World {
    pub fn spawn<T: Send + 'static>(&self, part: impl FnOnce() -> T + Send + 'static) -> Handle<T> {
        match self {
            World::Os => Handle(thread::spawn(part)),
        }
    }

    pub fn yield_now(&self) {
        thread::yield_now();
    }

    pub fn sleep(&self, time: Duration) {
        thread::sleep(time);
    }
}

/// Runs a scenario in every world. Fails if it does not end.
pub fn everywhere(scenario: fn(&World)) {
    let (done, ended) = mpsc::channel();
    let runner = thread::spawn(move || {
        scenario(&World::Os);
        let _ = done.send(());
    });
    match ended.recv_timeout(Duration::from_secs(if cfg!(miri) { 600 } else { 60 })) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the scenario hangs"),
        _ => runner.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

/// Waits until a condition holds that another thread brings about.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(30), "never happened: {what}");
        thread::yield_now();
    }
}

/// How often to repeat: `full`, or a hundredth of it under Miri.
pub fn times(full: usize) -> usize {
    if cfg!(miri) { (full / 100).clamp(2, 30) } else { full }
}
