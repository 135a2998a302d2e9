//! Runtimes in a model build: there are none. All green threads run inside `kahn::model`.

#[doc(hidden)]
#[path = "model_entry.rs"]
pub mod entry;
mod homes;

use core::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::fiber::stack::SizeClass;
use crate::handle::JoinHandle;
use crate::scheduler::Shared;
use crate::task::Runnable;
pub use crate::wait::Kind as WaitKind;
pub use homes::Homes;

const NO_RUNTIME: &str =
    "this is a model build (--cfg kahn_loom): green threads run only inside `kahn::model`";

/// A runtime. In a model build there is none: [`Builder::build`] returns an error.
pub struct Runtime(());

/// Runs a closure in a runtime of its own.
///
/// # Panics
///
/// Panics in a model build. Call `kahn::model` instead.
#[track_caller]
pub fn run<F, T>(_f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    panic!("kahn::run: {NO_RUNTIME}")
}

#[expect(missing_docs, reason = "as in production")]
impl Runtime {
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub fn run<F, T>(&self, _f: F) -> T
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        unreachable!("{NO_RUNTIME}")
    }

    pub fn workers(&self) -> usize {
        unreachable!("{NO_RUNTIME}")
    }

    pub fn homes(&self) -> Homes {
        unreachable!("{NO_RUNTIME}")
    }

    pub fn spawn<F, T>(&self, _f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        unreachable!("{NO_RUNTIME}")
    }

    pub fn shutdown(self, _timeout: Duration) -> Result<(), ShutdownError> {
        unreachable!("{NO_RUNTIME}")
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").finish()
    }
}

/// The settings of a runtime. In a model build they have no effect.
#[must_use = "`build` makes the runtime"]
#[derive(Clone)]
pub struct Builder {
    stack_size: usize,
}

#[expect(missing_docs, reason = "as in production")]
impl Builder {
    pub fn new() -> Builder {
        Builder { stack_size: crate::fiber::stack::DEFAULT_STACK_SIZE }
    }

    pub fn workers(self, _workers: usize) -> Builder {
        self
    }

    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = bytes;
        self
    }

    pub fn blocking_threads(self, _max: usize) -> Builder {
        self
    }

    pub fn homes(self, _homes: Homes) -> Builder {
        self
    }

    pub fn max_homes(self, _max: usize) -> Builder {
        self
    }

    pub fn name(self, _name: impl Into<String>) -> Builder {
        self
    }

    pub fn on_deadlock(self, _handler: impl Fn(&DeadlockReport) + Send + Sync + 'static) -> Builder {
        self
    }

    #[cfg(feature = "tracing")]
    pub fn warn_when_stuck(self, _after: Duration) -> Builder {
        self
    }

    /// # Safety
    ///
    /// As in production.
    pub unsafe fn migratory(self) -> Builder {
        self
    }

    /// # Errors
    ///
    /// Returns `Unsupported`: a model build has no runtimes.
    pub fn build(self) -> io::Result<Runtime> {
        SizeClass::for_size(self.stack_size)?;
        Err(io::Error::new(io::ErrorKind::Unsupported, NO_RUNTIME))
    }
}

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("stack_size", &self.stack_size).finish_non_exhaustive()
    }
}

/// The green threads that had not ended at the timeout of a shutdown.
#[derive(Clone, Debug)]
pub struct ShutdownError(());

#[expect(missing_docs, reason = "as in production")]
impl ShutdownError {
    pub fn count(&self) -> usize {
        0
    }

    pub fn names(&self) -> &[String] {
        &[]
    }

    pub fn threads(&self) -> &[String] {
        &[]
    }
}

impl fmt::Display for ShutdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NO_RUNTIME)
    }
}

impl core::error::Error for ShutdownError {}

/// A green thread that waits. A model reports a deadlock as its failure.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "as in production")]
pub struct Waiting {
    pub id: u64,
    pub name: Option<String>,
    pub kind: WaitKind,
    pub resource: usize,
    pub location: &'static core::panic::Location<'static>,
    pub since: Duration,
    pub os_thread: bool,
}

/// A report of a deadlock. A model reports a deadlock as its failure.
#[derive(Clone, Debug)]
pub struct DeadlockReport {
    waiting: Vec<Waiting>,
}

#[expect(missing_docs, reason = "as in production")]
impl DeadlockReport {
    pub fn waiting(&self) -> &[Waiting] {
        &self.waiting
    }
}

impl fmt::Display for DeadlockReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("all green threads are asleep: deadlock")
    }
}

impl core::error::Error for DeadlockReport {}

/// Returns an error: outside of a model there are no workers.
pub(crate) fn default_workers() -> io::Result<usize> {
    Err(io::Error::new(io::ErrorKind::Unsupported, NO_RUNTIME))
}

/// Panics: there is no default runtime.
#[track_caller]
pub(crate) fn default_shared() -> &'static Arc<Shared> {
    panic!("{NO_RUNTIME}")
}

/// Never called, because there is no runtime.
pub(crate) fn inject(_shared: &Shared, _task: Runnable) {
    unreachable!("there is no runtime in a model build");
}
