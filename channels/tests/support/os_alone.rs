//! The world of OS threads, for builds without fibers.

use std::thread;
use std::time::Duration;

pub use std::thread::yield_now;

/// A kind of thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    Os,
}

pub const WORLDS: [World; 1] = [World::Os];

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
    pub fn run(&self, scenario: fn(&World)) {
        scenario(self);
    }

    pub fn spawn<T: Send + 'static>(&self, part: impl FnOnce() -> T + Send + 'static) -> Handle<T> {
        Handle(thread::spawn(part))
    }

    pub fn yield_now(&self) {
        thread::yield_now();
    }

    pub fn sleep(&self, time: Duration) {
        thread::sleep(time);
    }
}
