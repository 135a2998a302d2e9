//! A future that notes what its task waits for, for the report of a deadlock.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::wait::current::note_pending;
use crate::wait::reason::Kind;

/// The future of [`noting`].
pub struct Noting<F> {
    kind: Kind,
    resource: usize,
    /// Pinned when the whole is pinned.
    future: F,
}

/// Wraps a future. The returned future [notes](note_pending) that its task waits for `resource`, whenever it is pending.
pub fn noting<T: ?Sized, F: Future>(kind: Kind, resource: *const T, future: F) -> Noting<F> {
    Noting { kind, resource: resource.cast::<()>().addr(), future }
}

impl<F: Future> Future for Noting<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: `future` is never moved out of the pinned `self`, here or in a destructor (there is none), and no other
        // code gets an unpinned reference to it. `Noting` is `Unpin` only if the future is.
        let (future, kind, resource) = unsafe {
            let this = self.get_unchecked_mut();
            (Pin::new_unchecked(&mut this.future), this.kind, this.resource)
        };
        let polled = future.poll(context);
        if polled.is_pending() {
            note_pending(kind, core::ptr::without_provenance::<()>(resource));
        }
        polled
    }
}

impl<F> fmt::Debug for Noting<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Noting").field("kind", &self.kind).finish_non_exhaustive()
    }
}
