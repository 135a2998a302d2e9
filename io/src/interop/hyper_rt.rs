//! The traits of `hyper::rt`.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Executor, Read, ReadBufCursor, Sleep, Timer, Write};
use kahn_core::async_task;
use kahn_core::time::{SleepFuture, sleep_async, sleep_until_async};

use crate::net::TcpStream;
use crate::os::unix::net::UnixStream;

macro_rules! implement {
    ($stream:ty) => {
        impl Read for $stream {
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                mut buffer: ReadBufCursor<'_>,
            ) -> Poll<io::Result<()>> {
                // SAFETY: `read` only writes initialized bytes, so no initialized byte becomes uninitialized.
                let unfilled = unsafe { buffer.as_mut() };
                let n = ready!(self.0.poll_read(context, |fd| {
                    rustix::io::read(fd, &mut *unfilled).map(|(filled, _)| filled.len())
                }))?;
                // SAFETY: `read` has initialized the first `n` unfilled bytes.
                unsafe { buffer.advance(n) };
                Poll::Ready(Ok(()))
            }
        }

        impl Write for $stream {
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
    };
}

implement!(TcpStream);
implement!(UnixStream);

/// The timer of kahn for hyper: its deadlines are those of [`sleep_async`]. Without a timer, hyper has no
/// time-outs, such as the one for the head of a request.
///
/// # Examples
///
/// ```
/// let mut server = hyper::server::conn::http1::Builder::new();
/// server.timer(kahn::interop::KahnTimer).header_read_timeout(std::time::Duration::from_secs(5));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct KahnTimer;

impl Timer for KahnTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(KahnSleep(sleep_async(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(KahnSleep(sleep_until_async(deadline)))
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<KahnSleep>() {
            // hyper resets the timer of a connection for each request, so this saves an allocation for each.
            Some(mut sleep) => sleep.set(KahnSleep(sleep_until_async(deadline))),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

/// The future of [`KahnTimer`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct KahnSleep(SleepFuture);

impl Future for KahnSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // SAFETY: the field is pinned whenever the whole is. It is not moved out of the pinned `self`, here or in a
        // destructor, of which there is none, and `KahnSleep` is not `Unpin`, because a `SleepFuture` is not.
        unsafe { self.map_unchecked_mut(|sleep| &mut sleep.0) }.poll(context)
    }
}

impl Sleep for KahnSleep {}

/// Runs the futures of hyper as tasks, with [`task::spawn`](kahn_core::async_task::spawn). HTTP/2 needs an executor.
#[derive(Clone, Copy, Debug, Default)]
pub struct KahnExecutor;

impl<F> Executor<F> for KahnExecutor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    /// # Parks
    ///
    /// Never waits, but yields to other green threads every so often.
    #[track_caller]
    fn execute(&self, future: F) {
        async_task::spawn(future);
    }
}

/// Like [`KahnExecutor`], with [`task::spawn_local`](kahn_core::async_task::spawn_local): the futures need not be `Send`.
#[derive(Clone, Copy, Debug, Default)]
pub struct KahnLocalExecutor;

impl<F> Executor<F> for KahnLocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    /// # Parks
    ///
    /// Never waits, but yields to other green threads every so often.
    ///
    /// # Panics
    ///
    /// Panics if the caller is neither a green thread nor a task.
    #[track_caller]
    fn execute(&self, future: F) {
        async_task::spawn_local(future);
    }
}
