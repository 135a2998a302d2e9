//! The ends of the pipes to a child.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::process::Stdio;
use std::task::{Context, Poll};

use kahn_core::source::{Interest, Source};

use crate::provided::{provided_reads, provided_writes};

/// How many bytes are read at least, when the length of a stream is not known.
const CHUNK: usize = 8 << 10;

/// This process's end of a pipe. It alone is in non-blocking mode: the end of the child is another open file.
#[derive(Debug)]
struct End(Source<OwnedFd>);

impl End {
    fn new(fd: impl Into<OwnedFd>) -> io::Result<End> {
        Source::new(fd.into()).map(End)
    }

    #[track_caller]
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_stream(buffer.len(), None, |fd| Ok(rustix::io::read(fd, &mut *buffer)?))
    }

    #[track_caller]
    fn read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let len = buffers.iter().map(|buffer| buffer.len()).sum();
        self.0.read_stream(len, None, |fd| Ok(rustix::io::readv(fd, buffers)?))
    }

    #[track_caller]
    fn write(&self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write_with(|fd| Ok(rustix::io::write(fd, buffer)?))
    }

    #[track_caller]
    fn write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_with(|fd| Ok(rustix::io::writev(fd, buffers)?))
    }

    /// Reads what is there. Ready when the stream has ended, or on an error.
    fn poll_to_end(&self, context: &Context<'_>, bytes: &mut Vec<u8>) -> Poll<io::Result<()>> {
        loop {
            bytes.reserve(CHUNK);
            let read = |fd: &OwnedFd| Ok(rustix::io::read(fd, rustix::buffer::spare_capacity(&mut *bytes))?);
            match self.0.poll_io(Interest::Readable, context, read) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Returns the descriptor in blocking mode, as another process expects it.
    fn into_blocking(self) -> OwnedFd {
        let fd = self.0.into_inner();
        // It can fail only for a descriptor that is not open.
        let _ = rustix::io::ioctl_fionbio(&fd, false);
        fd
    }
}

/// Defines the end of a pipe, and its conversions.
macro_rules! end {
    ($(#[$documentation:meta])* $name:ident) => {
        $(#[$documentation])*
        #[derive(Debug)]
        pub struct $name(End);

        impl $name {
            pub(super) fn new(pipe: std::process::$name) -> io::Result<$name> {
                End::new(pipe).map($name)
            }
        }

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.0.as_fd()
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.as_fd().as_raw_fd()
            }
        }

        /// Sets the descriptor to blocking mode.
        impl From<$name> for OwnedFd {
            fn from(pipe: $name) -> OwnedFd {
                pipe.0.into_blocking()
            }
        }

        /// Sets the descriptor to blocking mode.
        impl IntoRawFd for $name {
            fn into_raw_fd(self) -> RawFd {
                self.0.into_blocking().into_raw_fd()
            }
        }

        /// Sets the descriptor to blocking mode, so that it can become a stream of another child.
        impl From<$name> for Stdio {
            fn from(pipe: $name) -> Stdio {
                Stdio::from(pipe.0.into_blocking())
            }
        }
    };
}

/// Implements [`Read`] for the end of a pipe.
macro_rules! read {
    ($name:ident) => {
        impl Read for $name {
            #[track_caller]
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0.read(buffer)
            }

            #[track_caller]
            fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.0.read_vectored(buffers)
            }

            provided_reads!();
        }
    };
}

end! {
    /// The write end of a pipe to the standard input of a child. See [`std::process::ChildStdin`].
    ///
    /// Dropping it closes the pipe, which the child reads as the end of its input. A write parks while the pipe is full.
    ChildStdin
}
end! {
    /// The read end of a pipe from the standard output of a child. See [`std::process::ChildStdout`].
    ///
    /// A read parks while the pipe is empty.
    ChildStdout
}
end! {
    /// The read end of a pipe from the standard error of a child. See [`std::process::ChildStderr`].
    ///
    /// A read parks while the pipe is empty.
    ChildStderr
}
read!(ChildStdout);
read!(ChildStderr);

impl Write for &ChildStdin {
    #[track_caller]
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write(buffer)
    }

    #[track_caller]
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    provided_writes!();
}

impl Write for ChildStdin {
    #[track_caller]
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write(buffer)
    }

    #[track_caller]
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    provided_writes!();
}

/// Reads both pipes to their ends, at the same time: a child that fills one of them before it closes the other must not
/// wait for ever.
#[track_caller]
pub(super) fn read_both(
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut pipes = [(stdout.map(|pipe| pipe.0), &mut out), (stderr.map(|pipe| pipe.0), &mut err)];
    kahn_core::block_on(std::future::poll_fn(|context| {
        let mut result = Poll::Ready(Ok(()));
        for (pipe, bytes) in &mut pipes {
            let Some(end) = pipe else { continue };
            match end.poll_to_end(context, bytes) {
                // Closed at once, as a child that has ended its output may wait for the reader to go.
                Poll::Ready(Ok(())) => *pipe = None,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => result = Poll::Pending,
            }
        }
        result
    }))?;
    Ok((out, err))
}
