//! A receiver that is served: a job without a stack, until there is a message.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures_core::Stream;
use kahn_core::thread::{JoinHandle, spawn_task};

use crate::future::RecvStream;
use crate::receiver::Receiver;

/// After so many messages in a row, others may run.
const TURN: u32 = 64;

/// Handles message after message until the channel ends, one at a time, in the order in which they come.
///
/// While it waits it is a small cell on the heap: it has no stack, and no worker. When there is a message, any worker
/// runs `f` as a green thread, in which it may park. Several of them on clones of one receiver are a pool of workers:
/// each message goes to one of them.
///
/// It lets others run after 64 messages, however many more there are.
///
/// The handle's `join` waits until the channel has ended and what was left in it has been handled. If `f` panics that is
/// the end of it, `join` says so, and the receiver is gone as if it had been dropped. The same if it is
/// [cancelled](JoinHandle::cancel), which takes effect where `f` parks, or when it would next wait or let others run.
///
/// # Examples
///
/// ```
/// use kahn::channel::bounded;
/// use kahn::serve;
///
/// let (tx, rx) = bounded(8);
/// let (squares_tx, squares) = bounded(8);
/// let pool: Vec<_> = (0..4)
///     .map(|_| {
///         let squares = squares_tx.clone();
///         serve(rx.clone(), move |n: u64| squares.send(n * n).unwrap())
///     })
///     .collect();
/// drop((rx, squares_tx));
/// for n in 1..=3 {
///     tx.send(n).unwrap();
/// }
/// drop(tx);
/// assert_eq!(squares.iter().sum::<u64>(), 14);
/// for server in pool {
///     server.join().unwrap();
/// }
/// ```
pub fn serve<M, F>(rx: Receiver<M>, f: F) -> JoinHandle<()>
where
    M: Send + 'static,
    F: FnMut(M) + Send + 'static,
{
    spawn_task(None, Serve { messages: rx.into_stream(), f })
}

struct Serve<M, F> {
    /// Pinned with the whole.
    messages: RecvStream<M>,
    /// Not pinned.
    f: F,
}

impl<M, F: FnMut(M)> Future for Serve<M, F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // SAFETY: `messages` is not moved out of `self`, here or in a destructor (there is none), and is given out
        // pinned only; `f` is never pinned. `Serve` is `Unpin` only if the stream is.
        let (mut messages, f) = unsafe {
            let this = self.get_unchecked_mut();
            (Pin::new_unchecked(&mut this.messages), &mut this.f)
        };
        for _ in 0..TURN {
            match messages.as_mut().poll_next(context) {
                Poll::Ready(Some(message)) => f(message),
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
