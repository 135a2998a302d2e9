//! Child processes, with the names and the meaning of [`std::process`].
//!
//! [`Command`] starts a process, and [`Child`] is its handle. The pipes to a child are [`ChildStdin`], [`ChildStdout`]
//! and [`ChildStderr`]. A green thread that reads or writes a pipe, or waits for the end of a child, parks, and its worker
//! runs others. No thread of the blocking pool is occupied. The same calls on an OS thread block that thread.
//!
//! As with `std`, dropping a [`Child`] neither ends nor waits for the process: it goes on, and when it has ended, its entry in
//! the process table stays until this process ends. [`Command::kill_on_drop`] changes that.
//!
//! # Cancels and time-outs
//!
//! A cancel of the green thread, or the deadline of an enclosing [`time::timeout`](kahn_core::time::timeout), ends a wait for
//! a child and for a pipe by unwinding. The child goes on, and can be waited for again. What was read into a buffer of a frame
//! that unwinds is lost, as that of [`Child::wait_with_output`].
//!
//! # Examples
//!
//! ```
//! use kahn::process::Command;
//!
//! kahn::run(|| {
//!     let output = Command::new("echo").arg("to be").output()?;
//!     assert!(output.status.success());
//!     assert_eq!(output.stdout, b"to be\n");
//!     Ok::<(), std::io::Error>(())
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod child;
mod command;
mod exit;
mod pipe;
mod reaper;

pub use std::process::{
    CommandArgs, CommandEnvs, ExitCode, ExitStatus, Output, Stdio, Termination, abort, exit, id,
};

pub use self::child::Child;
pub use self::command::Command;
pub use self::pipe::{ChildStderr, ChildStdin, ChildStdout};
