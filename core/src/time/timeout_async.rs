//! A bound on a future.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::time::Duration;

use crate::time::sleep::{SleepFuture, sleep_async};
use crate::wait::Elapsed;

/// Bounds a future: the returned future is ready when `future` is, or when `duration` from now has passed.
///
/// `future` is dropped with the returned future. It is polled before the time is looked at. So if it is ready, its
/// value is returned, however late it is.
///
/// This bounds an `.await`. [`timeout`](super::timeout) bounds the parks of blocking code.
///
/// # Errors
///
/// Returns [`Elapsed`] if the duration has passed.
///
/// # Parks
///
/// Never parks the thread. The task waits.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use kahn::time::timeout_async;
///
/// let (_tx, rx) = kahn::channel::bounded::<u8>(1);
/// let late = kahn::task::spawn(async move {
///     timeout_async(Duration::from_millis(1), rx.recv_async()).await
/// });
/// assert!(late.join().unwrap().is_err());
/// ```
pub fn timeout_async<F: Future>(duration: Duration, future: F) -> TimeoutFuture<F> {
    TimeoutFuture { sleep: sleep_async(duration), future }
}

/// The future of [`timeout_async`].
///
/// # Examples
///
/// See [`timeout_async`].
#[must_use = "futures do nothing unless polled"]
pub struct TimeoutFuture<F> {
    /// Both fields are pinned when the whole is pinned.
    sleep: SleepFuture,
    future: F,
}

impl<F: Future> Future for TimeoutFuture<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: neither field is moved out of the pinned `self`, here or in a destructor (there is none). No other
        // code gets an unpinned reference to them. `TimeoutFuture` is never `Unpin`, because a `SleepFuture` is not.
        let (sleep, future) = unsafe {
            let this = self.get_unchecked_mut();
            (Pin::new_unchecked(&mut this.sleep), Pin::new_unchecked(&mut this.future))
        };
        if let Poll::Ready(value) = future.poll(context) {
            return Poll::Ready(Ok(value));
        }
        // A report shows what the future waits for, and not the time.
        sleep.poll_quietly(context).map(|()| Err(Elapsed::new()))
    }
}

impl<F> fmt::Debug for TimeoutFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutFuture").field("sleep", &self.sleep).finish_non_exhaustive()
    }
}
