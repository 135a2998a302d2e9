//! How a child process is started.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::{CommandArgs, CommandEnvs, ExitStatus, Output, Stdio};

use kahn_core::blocking;
use kahn_core::wait::operation;

use super::Child;

/// Starts child processes. See [`std::process::Command`]. Under Unix it also has the methods of
/// [`CommandExt`](crate::os::unix::process::CommandExt).
///
/// # Examples
///
/// ```
/// use kahn::process::Command;
///
/// let status = Command::new("sh").args(["-c", "exit 3"]).status()?;
/// assert_eq!(status.code(), Some(3));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Command {
    command: std::process::Command,
    kill_on_drop: bool,
    has_pre_exec: bool,
    /// Which of standard input, output and error the caller has set.
    is_set: [bool; 3],
}

impl Command {
    /// Returns a command that starts `program`, without arguments, in the environment and the folder of this process.
    pub fn new<S: AsRef<OsStr>>(program: S) -> Command {
        Command {
            command: std::process::Command::new(program),
            kill_on_drop: false,
            has_pre_exec: false,
            is_set: [false; 3],
        }
    }

    /// Adds an argument.
    pub fn arg<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Command {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&mut self, args: I) -> &mut Command {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    pub fn env<K: AsRef<OsStr>, V: AsRef<OsStr>>(&mut self, key: K, value: V) -> &mut Command {
        self.command.env(key, value);
        self
    }

    /// Sets environment variables.
    pub fn envs<I, K, V>(&mut self, vars: I) -> &mut Command
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.command.envs(vars);
        self
    }

    /// Removes an environment variable.
    pub fn env_remove<K: AsRef<OsStr>>(&mut self, key: K) -> &mut Command {
        self.command.env_remove(key);
        self
    }

    /// Removes all environment variables.
    pub fn env_clear(&mut self) -> &mut Command {
        self.command.env_clear();
        self
    }

    /// Sets the working folder.
    pub fn current_dir<P: AsRef<Path>>(&mut self, folder: P) -> &mut Command {
        self.command.current_dir(folder);
        self
    }

    /// Sets the standard input. By default it is that of this process, and with [`output`](Self::output) it is empty.
    pub fn stdin<T: Into<Stdio>>(&mut self, input: T) -> &mut Command {
        self.is_set[0] = true;
        self.command.stdin(input);
        self
    }

    /// Sets the standard output. By default it is that of this process, and with [`output`](Self::output) a pipe.
    pub fn stdout<T: Into<Stdio>>(&mut self, output: T) -> &mut Command {
        self.is_set[1] = true;
        self.command.stdout(output);
        self
    }

    /// Sets the standard error. By default it is that of this process, and with [`output`](Self::output) a pipe.
    pub fn stderr<T: Into<Stdio>>(&mut self, output: T) -> &mut Command {
        self.is_set[2] = true;
        self.command.stderr(output);
        self
    }

    /// Sets whether dropping the [`Child`] kills the process. By default it does not, as with `std`.
    ///
    /// The drop does not wait for the end of the process. An OS thread does, so that its entry in the process table goes.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use kahn::process::Command;
    ///
    /// kahn::run(|| {
    ///     // The time-out unwinds, which drops the child.
    ///     let status = kahn::time::timeout(Duration::from_millis(10), || {
    ///         Command::new("sleep").arg("1000").kill_on_drop(true).status()
    ///     });
    ///     assert!(status.is_err());
    /// });
    /// ```
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Command {
        self.kill_on_drop = kill;
        self
    }

    /// Starts the process.
    ///
    /// # Parks
    ///
    /// Parks until the process runs its program. A thread of the blocking pool starts it, unless
    /// [`pre_exec`](crate::os::unix::process::CommandExt::pre_exec) has set a closure. Such a closure may depend on the thread
    /// that starts the process: with Linux's `PR_SET_PDEATHSIG` the process ends when that thread ends. So the
    /// calling thread starts the process then, and is blocked meanwhile. A cancel or a time-out that comes during the call takes
    /// effect at the next park.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`std::process::Command::spawn`].
    #[track_caller]
    pub fn spawn(&mut self) -> io::Result<Child> {
        self.spawn_with(Stdio::inherit, Stdio::inherit)
    }

    /// Starts the process with `input` and `output` for the streams that the caller has not set.
    #[track_caller]
    fn spawn_with(&mut self, input: fn() -> Stdio, output: fn() -> Stdio) -> io::Result<Child> {
        self.set_unset(input, output);
        let command = &mut self.command;
        let child = if self.has_pre_exec {
            operation();
            command.spawn()
        } else {
            blocking(|| command.spawn())
        };
        Child::new(child?, self.kill_on_drop)
    }

    /// Starts the process, waits for its end, and returns its exit status and its output.
    ///
    /// # Parks
    ///
    /// Parks as [`spawn`](Self::spawn) and [`Child::wait_with_output`] do.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`std::process::Command::output`].
    #[track_caller]
    pub fn output(&mut self) -> io::Result<Output> {
        self.spawn_with(Stdio::null, Stdio::piped)?.wait_with_output()
    }

    /// Starts the process, waits for its end, and returns its exit status.
    ///
    /// # Parks
    ///
    /// Parks as [`spawn`](Self::spawn) and [`Child::wait`] do.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`std::process::Command::status`].
    #[track_caller]
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn()?.wait()
    }

    /// Sets the streams that the caller has not set.
    fn set_unset(&mut self, input: fn() -> Stdio, output: fn() -> Stdio) {
        let [stdin, stdout, stderr] = self.is_set;
        if !stdin {
            self.command.stdin(input());
        }
        if !stdout {
            self.command.stdout(output());
        }
        if !stderr {
            self.command.stderr(output());
        }
    }

    /// Returns the program.
    #[must_use]
    pub fn get_program(&self) -> &OsStr {
        self.command.get_program()
    }

    /// Returns the arguments.
    pub fn get_args(&self) -> CommandArgs<'_> {
        self.command.get_args()
    }

    /// Returns the environment variables that are set or removed for the process.
    pub fn get_envs(&self) -> CommandEnvs<'_> {
        self.command.get_envs()
    }

    /// Returns the working folder, if it was set.
    #[must_use]
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.command.get_current_dir()
    }

    /// Replaces this process by the program.
    pub(crate) fn exec(&mut self) -> io::Error {
        self.set_unset(Stdio::inherit, Stdio::inherit);
        std::os::unix::process::CommandExt::exec(&mut self.command)
    }

    /// Lets the calling thread start the process, because of a closure that runs in it.
    pub(crate) fn set_pre_exec(&mut self) {
        self.has_pre_exec = true;
    }

    /// Returns the command of `std`, for settings that are not streams.
    pub(crate) fn as_std_mut(&mut self) -> &mut std::process::Command {
        &mut self.command
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.command.fmt(f)
    }
}
