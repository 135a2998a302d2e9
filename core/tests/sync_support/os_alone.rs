//! Runs scenarios on OS threads alone, for builds without fibers.

use std::any::Any;
use std::thread;

pub use std::thread::{sleep, yield_now};

/// What the threads of a scenario are.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// OS threads.
    Os,
}

/// A thread of a scenario.
pub struct Handle<T>(thread::JoinHandle<T>);

impl Mode {
    /// Starts a thread.
    pub fn spawn<T: Send + 'static>(self, f: impl FnOnce() -> T + Send + 'static) -> Handle<T> {
        Handle(thread::spawn(f))
    }
}

impl<T> Handle<T> {
    /// What the thread returned, or its panic.
    pub fn join(self) -> Result<T, Box<dyn Any + Send>> {
        self.0.join()
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

/// Runs `scenario` in the one mode there is.
pub fn each_mode(scenario: impl Fn(Mode)) {
    scenario(Mode::Os);
}
