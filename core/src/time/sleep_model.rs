//! Sleeping in async code, in a model. The clock is that of the model.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::primitives::now;
use crate::wait::{Kind, TaskTimer, note_pending, poll_operation};

/// Waits in async code for at least `duration` from now.
pub fn sleep_async(duration: Duration) -> SleepFuture {
    SleepFuture::new(now().checked_add(duration))
}

/// Waits in async code until `deadline`.
pub fn sleep_until_async(deadline: Instant) -> SleepFuture {
    SleepFuture::new(Some(deadline))
}

/// The future of [`sleep_async`] and [`sleep_until_async`].
#[must_use = "futures do nothing unless polled"]
pub struct SleepFuture {
    /// `None` if the clock cannot express it.
    deadline: Option<Instant>,
    timer: TaskTimer,
    /// As in production, the future cannot be moved once it is polled.
    _pinned: core::marker::PhantomPinned,
}

// SAFETY: a shared reference gives access to the deadline alone, which is immutable.
unsafe impl Sync for SleepFuture {}

impl SleepFuture {
    pub(super) fn new(deadline: Option<Instant>) -> SleepFuture {
        SleepFuture { deadline, timer: TaskTimer::new(), _pinned: core::marker::PhantomPinned }
    }

    /// Polls without noting what the task waits for.
    pub(super) fn poll_quietly(self: Pin<&mut Self>, context: &Context<'_>) -> Poll<()> {
        ready!(poll_operation(context));
        let Some(deadline) = self.deadline else { return Poll::Pending };
        if deadline <= now() {
            self.timer.unset();
            return Poll::Ready(());
        }
        self.timer.set(deadline, context.waker());
        Poll::Pending
    }
}

impl Future for SleepFuture {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let slept = self.poll_quietly(context);
        if slept.is_pending() {
            note_pending(Kind::Sleep, core::ptr::null::<()>());
        }
        slept
    }
}

impl fmt::Debug for SleepFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SleepFuture").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
