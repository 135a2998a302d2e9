//! Processes under Unix, with the names and the meaning of [`std::os::unix::process`].

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt as Std;

pub use std::os::unix::process::{ExitStatusExt, parent_id};

use crate::process::Command;

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::process::Command {}
}

/// What only Unix can set for a child process. See [`std::os::unix::process::CommandExt`].
pub trait CommandExt: sealed::Sealed {
    /// Sets the user of the process.
    fn uid(&mut self, id: u32) -> &mut Command;

    /// Sets the group of the process.
    fn gid(&mut self, id: u32) -> &mut Command;

    /// Adds a closure that runs in the child, before it runs its program.
    ///
    /// # Safety
    ///
    /// As for [`std::os::unix::process::CommandExt::pre_exec`]: the closure runs in a process that is a copy of this one with
    /// one thread. It must only call functions that are safe after `fork`, and must not use kahn.
    unsafe fn pre_exec<F>(&mut self, f: F) -> &mut Command
    where
        F: FnMut() -> io::Result<()> + Send + Sync + 'static;

    /// Replaces this process by the program. Returns only if that fails. No destructors run.
    fn exec(&mut self) -> io::Error;

    /// Sets the name under which the program sees itself, the first of its arguments.
    fn arg0<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Command;

    /// Sets the process group. 0 makes a new one.
    fn process_group(&mut self, group: i32) -> &mut Command;
}

impl CommandExt for Command {
    fn uid(&mut self, id: u32) -> &mut Command {
        self.as_std_mut().uid(id);
        self
    }

    fn gid(&mut self, id: u32) -> &mut Command {
        self.as_std_mut().gid(id);
        self
    }

    unsafe fn pre_exec<F>(&mut self, f: F) -> &mut Command
    where
        F: FnMut() -> io::Result<()> + Send + Sync + 'static,
    {
        // SAFETY: the caller keeps the same contract, which is that of this method.
        unsafe { self.as_std_mut().pre_exec(f) };
        self.set_pre_exec();
        self
    }

    fn exec(&mut self) -> io::Error {
        Command::exec(self)
    }

    fn arg0<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Command {
        self.as_std_mut().arg0(arg);
        self
    }

    fn process_group(&mut self, group: i32) -> &mut Command {
        self.as_std_mut().process_group(group);
        self
    }
}
