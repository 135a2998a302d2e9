//! Telling from async code: a future that waits in the queue of senders together with threads.
//!
//! The future can be dropped at any time. So both sides touch its node, its pending and its waker only under the
//! actor's lock, as `kahn_core::wait` requires of tasks. The future is pinned while its node is in the queue.

use core::cell::OnceCell;
use core::fmt;
use core::future::Future;
use core::marker::PhantomPinned;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll, ready};

use kahn_core::wait::{Node, OwnedWaker, TaskWaiter, poll_operation};

use crate::address::ActorRef;
use crate::cell::Overflow;
use crate::dead_letters::{self, Cause};
use crate::error::TellError;
use crate::tell::{PendingSend, accept_pending};

/// The future of [`ActorRef::tell_async`].
///
/// # Examples
///
/// ```
/// use kahn::actor::{TellFuture, testing::Inbox};
///
/// let inbox = Inbox::new();
/// let tell: TellFuture<u32> = inbox.actor_ref().tell_async(7);
/// assert!(inbox.is_empty(), "the future was not polled");
/// kahn::block_on(tell).unwrap();
/// assert_eq!(inbox.len(), 1);
/// ```
#[must_use = "a future does nothing unless it is polled"]
pub struct TellFuture<M: Send + 'static> {
    actor: ActorRef<M>,
    pending: PendingSend<'static, M>,
    waiter: TaskWaiter,
    /// Made when the future first has to wait.
    node: OnceCell<Node>,
    _pinned: PhantomPinned,
}

// SAFETY: the future holds pointers to its own fields only. Other threads follow them under the actor's lock, and it is
// pinned by then. The message is `Send`.
unsafe impl<M: Send> Send for TellFuture<M> {}

impl<M: Send + 'static> ActorRef<M> {
    /// Like [`tell`](Self::tell), from async code, in any executor. The message is sent when the future has been polled
    /// and the mailbox has room. If the future is dropped before that, the message is dropped with it.
    ///
    /// # Errors
    ///
    /// The future's output is an error if the actor has ended, or if the mailbox is full and its overflow is `Fail`.
    /// The wait is not checked for circles, nor for an actor that tells itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let mut inbox = Inbox::new();
    /// let actor = inbox.actor_ref();
    /// kahn::block_on(async { actor.tell_async(7).await }).unwrap();
    /// assert_eq!(inbox.take(), Some(7));
    /// ```
    pub fn tell_async(&self, message: M) -> TellFuture<M> {
        TellFuture {
            actor: self.clone(),
            pending: PendingSend { message: Some(message), edge: None },
            waiter: TaskWaiter::new(),
            node: OnceCell::new(),
            _pinned: PhantomPinned,
        }
    }
}

impl<M: Send + 'static> Future for TellFuture<M> {
    type Output = Result<(), TellError<M>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: only the message is moved out of the future, and the message is never pinned.
        let this = unsafe { self.get_unchecked_mut() };
        if this.node.get().is_none() {
            ready!(poll_operation(context));
            let message = this.pending.message.take().expect("polled after it was done");
            match this.actor.put::<false>(message, None) {
                Err(TellError::Full(message)) => this.pending.message = Some(message),
                done => return Poll::Ready(done),
            }
        }
        let waker = OwnedWaker::new(context.waker());
        let mut locked = this.actor.process().lock();
        if this.node.get().is_none() {
            let message = &mut this.pending.message;
            if locked.state.overflow == Overflow::Fail {
                drop(locked);
                return Poll::Ready(Err(TellError::Full(message.take().expect("put there above"))));
            }
            if locked.state.phase.is_dead() {
                drop(locked);
                dead_letters::note::<M>(this.actor.any(), Cause::ActorEnded, 1);
                return Poll::Ready(Err(TellError::Dead(message.take().expect("put there above"))));
            }
            if !locked.lane().is_full() {
                accept_pending(&mut locked, &mut this.pending);
                let wake_action = locked.state.wake_action();
                drop(locked);
                wake_action.wake(this.actor.process());
                return Poll::Ready(Ok(()));
            }
            let waiter = TaskWaiter::waiter(NonNull::from(&this.waiter));
            let node = this.node.get_or_init(|| Node::new(waiter, 0, (&raw mut this.pending).cast()));
            // SAFETY: the waiter and the node are fields of the future, which is pinned. They stay in place until
            // `drop` removes the node from the queue. The lock is held.
            unsafe {
                waiter.as_ref().prepare(false);
                locked.state.set_senders(true);
                locked.state.cold().senders.push(NonNull::from(node));
            }
        } else {
            // SAFETY: the waiter is a field of this future, which is alive.
            let claimed =
                unsafe { TaskWaiter::waiter(NonNull::from(&this.waiter)).as_ref() }.outcome().is_some();
            if claimed {
                drop(locked);
                return Poll::Ready(match this.pending.message.take() {
                    None => Ok(()),
                    Some(message) => {
                        dead_letters::note::<M>(this.actor.any(), Cause::ActorEnded, 1);
                        Err(TellError::Dead(message))
                    }
                });
            }
        }
        // SAFETY: the lock of the queue that the waiter is in is held.
        let old = unsafe { this.waiter.set_waker(waker) };
        drop(locked);
        drop(old);
        Poll::Pending
    }
}

impl<M: Send + 'static> Drop for TellFuture<M> {
    fn drop(&mut self) {
        if let Some(node) = self.node.get() {
            let mut locked = self.actor.process().lock();
            if let Some(cold) = locked.state.cold_if_any() {
                // SAFETY: the node is in this queue, or a claim has removed it and it is in no queue.
                unsafe { cold.senders.remove(NonNull::from(node)) };
            }
        }
    }
}

impl<M: Send + 'static> fmt::Debug for TellFuture<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TellFuture").field("actor", &self.actor).finish_non_exhaustive()
    }
}
