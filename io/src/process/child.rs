//! The handle of a child process.

use std::io;
use std::process::{ExitStatus, Output};

use super::exit::ExitWatch;
use super::pipe::{ChildStderr, ChildStdin, ChildStdout, read_both};
use super::reaper;

/// A child process. See [`std::process::Child`].
///
/// Dropping it neither ends nor waits for the process, unless [`kill_on_drop`](super::Command::kill_on_drop) was set.
///
/// # Examples
///
/// ```
/// use kahn::io::{Read, Write};
/// use kahn::process::{Command, Stdio};
///
/// let mut child = Command::new("tr").args(["a-z", "A-Z"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
/// child.stdin.take().unwrap().write_all(b"to be")?;
/// let mut text = String::new();
/// child.stdout.take().unwrap().read_to_string(&mut text)?;
/// assert_eq!(text, "TO BE");
/// assert!(child.wait()?.success());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Child {
    process: Process,
    /// The pipe to the standard input of the child, if that was [piped](super::Stdio::piped).
    pub stdin: Option<ChildStdin>,
    /// The pipe from the standard output of the child, if that was piped.
    pub stdout: Option<ChildStdout>,
    /// The pipe from the standard error of the child, if that was piped.
    pub stderr: Option<ChildStderr>,
}

/// The process itself. A type of its own, so that a pipe can be moved out of a [`Child`], which has no destructor.
#[derive(Debug)]
struct Process {
    /// `None` only while the process is dropped.
    child: Option<std::process::Child>,
    /// Made by the first wait that does not end at once.
    watch: Option<ExitWatch>,
    kill_on_drop: bool,
}

impl Child {
    pub(super) fn new(mut child: std::process::Child, kill_on_drop: bool) -> io::Result<Child> {
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        Ok(Child {
            process: Process { child: Some(child), watch: None, kill_on_drop },
            stdin: stdin.map(ChildStdin::new).transpose()?,
            stdout: stdout.map(ChildStdout::new).transpose()?,
            stderr: stderr.map(ChildStderr::new).transpose()?,
        })
    }

    /// Returns the process's number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.child().id()
    }

    /// Kills the process (`SIGKILL`). Does nothing if the process was waited for. Does not park.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`std::process::Child::kill`].
    pub fn kill(&mut self) -> io::Result<()> {
        self.process.child_mut().kill()
    }

    /// Closes the standard input of the child, waits until the process has ended, and returns its exit status. Later
    /// calls return the same status.
    ///
    /// # Parks
    ///
    /// Parks until the process has ended. A cancel or a time-out ends the wait and leaves the process as it is.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`std::process::Child::wait`].
    #[track_caller]
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        self.process.wait()
    }

    /// Returns the exit status of the process, if it has ended. Does not wait for it.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`std::process::Child::try_wait`].
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        kahn_core::wait::operation();
        self.process.child_mut().try_wait()
    }

    /// Closes the standard input of the child, reads its standard output and its standard error to their ends at the same
    /// time, and waits until the process has ended.
    ///
    /// # Parks
    ///
    /// Parks until all processes that have the pipes have closed them, and the child has ended. A cancel or a time-out ends
    /// the wait and drops the child. The output that has been read is lost.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`std::process::Child::wait_with_output`].
    #[track_caller]
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let (stdout, stderr) = read_both(self.stdout.take(), self.stderr.take())?;
        let status = self.wait()?;
        Ok(Output { status, stdout, stderr })
    }
}

impl Process {
    fn child(&self) -> &std::process::Child {
        self.child.as_ref().expect("a child is used before it is dropped")
    }

    fn child_mut(&mut self) -> &mut std::process::Child {
        self.child.as_mut().expect("a child is used before it is dropped")
    }

    #[track_caller]
    fn wait(&mut self) -> io::Result<ExitStatus> {
        kahn_core::wait::operation();
        loop {
            if let Some(status) = self.child_mut().try_wait()? {
                self.watch = None;
                return Ok(status);
            }
            let watch = match self.watch.take() {
                Some(watch) => watch,
                // `try_wait` has found that the process was not waited for.
                None => ExitWatch::new(self.child())?,
            };
            // It stays if a cancel ends the wait.
            self.watch.insert(watch).wait().inspect_err(|_| self.watch = None)?;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take().filter(|_| self.kill_on_drop) else { return };
        // `kill` fails only if the process has ended.
        let _ = child.kill();
        if matches!(child.try_wait(), Ok(None)) {
            reaper::reap(child);
        }
    }
}
