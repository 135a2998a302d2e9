//! Reading and writing for async code: what the adapters in `interop` have in common.
//!
//! These operations wait through a task's waker. They ignore the time-outs and the mode that the program has set, which
//! are for blocking calls. A read or a write that is given up leaves its waker until the next event or poll, or until
//! the socket is dropped.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};

use kahn_core::source::Interest;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{SendAncillaryBuffer, SendFlags, Shutdown, send, sendmsg};

use super::Socket;

/// The number of buffers that the system takes in one call.
const MAX_SLICES: usize = 1024;

/// A write to a peer that has gone raises no signal, as in `std`.
#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;
/// A write to a peer that has gone raises no signal: a socket has the option `SO_NOSIGPIPE`, which `std` sets too.
#[cfg(target_vendor = "apple")]
const SEND_FLAGS: SendFlags = SendFlags::empty();

impl<T: AsFd> Socket<T> {
    /// Reads with `f`.
    pub(crate) fn poll_read(
        &self,
        context: &Context<'_>,
        mut f: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.source.poll_io(Interest::Readable, context, |io| Ok(retry_on_intr(|| f(io.as_fd()))?))
    }

    /// Writes as much as there is room for.
    pub(crate) fn poll_write(&self, context: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.source
            .poll_io(Interest::Writable, context, |io| Ok(retry_on_intr(|| send(io, bytes, SEND_FLAGS))?))
    }

    /// Writes as much of several buffers as there is room for.
    pub(crate) fn poll_write_vectored(
        &self,
        context: &Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let slices = &slices[..slices.len().min(MAX_SLICES)];
        self.source.poll_io(Interest::Writable, context, |io| {
            let mut control = SendAncillaryBuffer::default();
            Ok(retry_on_intr(|| sendmsg(io, slices, &mut control, SEND_FLAGS))?)
        })
    }

    /// Shuts down the writing side. The peer reads the end of the stream after all that was written. Reading goes on.
    pub(crate) fn poll_shutdown(&self) -> Poll<io::Result<()>> {
        Poll::Ready(match rustix::net::shutdown(self, Shutdown::Write) {
            // The connection has ended already.
            Ok(()) | Err(Errno::NOTCONN) => Ok(()),
            Err(error) => Err(error.into()),
        })
    }
}
