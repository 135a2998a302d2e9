//! The I/O traits of tokio. They need none of tokio's features, and no runtime of tokio.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::TcpStream;
use crate::os::unix::net::UnixStream;

macro_rules! implement {
    ($($stream:ty),*) => { $(
        impl AsyncRead for $stream {
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                // SAFETY: `read` only writes initialized bytes, so no initialized byte becomes uninitialized.
                let unfilled = unsafe { buffer.unfilled_mut() };
                let n = ready!(self.0.poll_read(context, |fd| {
                    rustix::io::read(fd, &mut *unfilled).map(|(filled, _)| filled.len())
                }))?;
                // SAFETY: `read` has initialized the first `n` unfilled bytes.
                unsafe { buffer.assume_init(n) };
                buffer.advance(n);
                Poll::Ready(Ok(()))
            }
        }

        impl AsyncWrite for $stream {
            fn poll_write(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.0.poll_write(context, bytes)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.0.poll_write_vectored(context, slices)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.0.poll_shutdown()
            }
        }
    )* };
}

implement!(TcpStream, &TcpStream);
implement!(UnixStream, &UnixStream);
