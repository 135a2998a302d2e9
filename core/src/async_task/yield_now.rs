//! Yielding from async code.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

/// Lets other tasks and green threads run: the returned future is pending once, and wakes its task.
///
/// # Examples
///
/// ```
/// let task = kahn::task::spawn(async {
///     for _ in 0..1000 {
///         // … computes …
///         kahn::task::yield_now().await;
///     }
/// });
/// task.join().unwrap();
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`].
///
/// # Examples
///
/// See [`yield_now`].
#[must_use = "futures do nothing unless polled"]
#[derive(Debug)]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if core::mem::replace(&mut self.yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
