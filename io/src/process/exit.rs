//! Waiting for the end of a process.
//!
//! On Linux a descriptor of the process becomes readable at its end. Where there is none, an OS thread waits for the
//! process, and leaves its exit status for the owner of the child.

use std::io;
use std::process::Child;
use std::thread;

use kahn_channels::{Receiver, bounded};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// What tells the end of a process.
#[derive(Debug)]
pub(super) enum ExitWatch {
    #[cfg(target_os = "linux")]
    Descriptor(kahn_core::source::Source<std::os::fd::OwnedFd>),
    /// Receives the result of the thread's wait.
    Thread(Receiver<io::Result<()>>),
}

impl ExitWatch {
    /// Watches a child that has not been waited for, so that its number is still its own.
    pub(super) fn new(child: &Child) -> io::Result<ExitWatch> {
        #[cfg(target_os = "linux")]
        if let Ok(watch) = Self::descriptor(child) {
            return Ok(watch);
        }
        Self::thread(child)
    }

    #[cfg(target_os = "linux")]
    fn descriptor(child: &Child) -> io::Result<ExitWatch> {
        use rustix::process::{PidfdFlags, pidfd_open};
        let fd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
        // Nothing is ever read from it, so its mode does not matter.
        Ok(ExitWatch::Descriptor(kahn_core::source::Source::from_nonblocking(fd)))
    }

    fn thread(child: &Child) -> io::Result<ExitWatch> {
        let process = Pid::from_child(child);
        let (ended, watch) = bounded(1);
        let wait = move || {
            // `NOWAIT` leaves the status for the owner of the child.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let result = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(process), options));
            let _ = ended.send(result.map(drop).map_err(io::Error::from));
        };
        thread::Builder::new().name("kahn-wait".to_owned()).spawn(wait)?;
        Ok(ExitWatch::Thread(watch))
    }

    /// Waits until the process has ended. A second wait after the end may fail.
    #[track_caller]
    pub(super) fn wait(&self) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            ExitWatch::Descriptor(fd) => fd.readable(),
            ExitWatch::Thread(ended) => {
                ended.recv().unwrap_or_else(|_| Err(io::Error::other("the process was waited for before")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;

    #[test]
    fn thread_tells_the_end_and_leaves_the_status() {
        kahn_core::run(|| {
            let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
            let watch = ExitWatch::thread(&child).unwrap();
            let early = kahn_core::time::timeout(Duration::from_millis(10), || watch.wait());
            assert!(early.is_err() && child.try_wait().unwrap().is_none());
            drop(child.stdin.take());
            watch.wait().unwrap();
            assert!(child.try_wait().unwrap().unwrap().success());
        });
    }
}
