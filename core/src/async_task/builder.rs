//! The settings of a task.

use core::future::Future;
use std::io;

use crate::async_task::start;
use crate::handle::JoinHandle;
use crate::scheduler;
use crate::task::SpawnOptions;
use crate::thread::{self, begin};

/// The settings of a task, like [`thread::Builder`].
///
/// # Examples
///
/// ```
/// let task = kahn::task::Builder::new()
///     .name("parser".into())
///     .spawn(async { kahn::thread::current().name().map(str::to_owned) })?;
/// assert_eq!(task.join().unwrap().as_deref(), Some("parser"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "`spawn` starts the task"]
#[derive(Clone, Debug, Default)]
pub struct Builder(thread::Builder);

impl Builder {
    /// Creates settings without a name, and with the runtime's stack size.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Sets the name, which reports show.
    pub fn name(self, name: String) -> Builder {
        Builder(self.0.name(name))
    }

    /// Sets the size of the stack on which the task is polled, in bytes. It is rounded up as in
    /// [`thread::Builder::stack_size`]. The task has the stack only during a poll.
    pub fn stack_size(self, bytes: usize) -> Builder {
        Builder(self.0.stack_size(bytes))
    }

    /// Spawns the task, as [`spawn`](super::spawn) does.
    ///
    /// # Parks
    ///
    /// Never waits, but yields to other green threads every so often.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`thread::Builder::spawn`].
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> io::Result<JoinHandle<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        begin();
        let options = self.0.options(scheduler::migratory_here().unwrap_or(false))?;
        // SAFETY: the bounds require that the future and its output are `Send` and `'static`.
        Ok(unsafe { start(future, self.0.into_name(), options) })
    }

    /// Spawns the task on the caller's worker, as [`spawn_local`](super::spawn_local) does.
    ///
    /// # Parks
    ///
    /// Never waits, but yields to other green threads every so often.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`thread::Builder::spawn`].
    ///
    /// # Panics
    ///
    /// Panics if the caller is neither a green thread nor a task.
    #[track_caller]
    pub fn spawn_local<F>(self, future: F) -> io::Result<JoinHandle<F::Output>>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        thread::assert_stays();
        begin();
        let options = SpawnOptions { local: true, ..self.0.options(false)? };
        // SAFETY: only this worker runs a local task, and the handle is not `Send` if the output is not. The bounds
        // require that both are `'static`.
        Ok(unsafe { start(future, self.0.into_name(), options) })
    }
}
