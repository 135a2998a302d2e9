//! Serving a channel by a task that has a stack only while it handles messages.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures_core::Stream;
use kahn_core::async_task::{self, JoinHandle};

use crate::future::RecvStream;
use crate::receiver::Receiver;

/// The number of messages in a row after which other tasks may run.
const TURN: u32 = 64;

/// Spawns a server: a task that calls `f` with each message, one at a time, in the order of arrival, until the channel
/// ends.
///
/// While a server waits it is a small allocation on the heap: it occupies neither a stack nor a worker. When there is a
/// message, any worker runs `f` on a green thread, in which `f` may park. Several servers on clones of one receiver
/// form a pool: each message goes to one of them.
///
/// A server lets other tasks run after 64 messages, even if more messages are in the channel.
///
/// `join` on the returned handle waits until the channel has ended and all remaining messages have been handled. If `f`
/// panics, the server ends, `join` returns the panic, and the receiver is dropped. The same happens if the server is
/// [cancelled](JoinHandle::cancel). The cancel takes effect where `f` parks, or when the server would next wait or let
/// other tasks run.
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
#[track_caller]
pub fn serve<M, F>(rx: Receiver<M>, f: F) -> JoinHandle<()>
where
    M: Send + 'static,
    F: FnMut(M) + Send + 'static,
{
    async_task::spawn(Serve { messages: rx.into_stream(), f })
}

struct Serve<M, F> {
    /// Pinned when the whole is pinned.
    messages: RecvStream<M>,
    /// Never pinned.
    f: F,
}

impl<M, F: FnMut(M)> Future for Serve<M, F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // SAFETY: `messages` is never moved out of the pinned `self`, neither here nor in a destructor (there is none),
        // and no other code gets an unpinned reference to it. `f` is never pinned. `Serve` is `Unpin` only if the
        // stream is.
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
