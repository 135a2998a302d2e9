//! Telling from async code: a future that stands in the queue of senders beside the threads.
//!
//! It can be dropped at any time, so what it has in the queue is touched under the actor's lock by both sides
//! (`kahn_core::wait`'s rule for tasks). It is pinned while it stands there.

use core::cell::OnceCell;
use core::fmt;
use core::future::Future;
use core::marker::PhantomPinned;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll, ready};

use kahn_core::wait::{Node, TaskParty, poll_operation};

use crate::address::ActorRef;
use crate::cell::Overflow;
use crate::dead_letters::{self, Fate};
use crate::error::TellError;
use crate::tell::{Parcel, accept_parcel};

/// The future of [`ActorRef::tell_async`].
///
/// # Examples
///
/// ```
/// use kahn::actor::{TellFuture, testing::Inbox};
///
/// let inbox = Inbox::new();
/// let tell: TellFuture<u32> = inbox.actor_ref().tell_async(7);
/// assert!(inbox.is_empty(), "nobody has polled it");
/// kahn::block_on(tell).unwrap();
/// assert_eq!(inbox.len(), 1);
/// ```
#[must_use = "a future does nothing unless it is polled"]
pub struct TellFuture<M: Send + 'static> {
    actor: ActorRef<M>,
    parcel: Parcel<'static, M>,
    party: TaskParty,
    /// Made when it first has to wait.
    node: OnceCell<Node>,
    _pinned: PhantomPinned,
}

// SAFETY: `node` points to the future itself, and is touched under the actor's lock; the message is `Send`.
unsafe impl<M: Send> Send for TellFuture<M> {}

impl<M: Send + 'static> ActorRef<M> {
    /// As [`tell`](Self::tell), from async code, in any executor. The message is sent when the future is first polled,
    /// and there is room. If it is dropped before, the message is dropped with it.
    ///
    /// # Errors
    ///
    /// As `tell`, in the future's output.
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
            parcel: Parcel { message: Some(message), edge: None },
            party: TaskParty::new(),
            node: OnceCell::new(),
            _pinned: PhantomPinned,
        }
    }
}

impl<M: Send + 'static> Future for TellFuture<M> {
    type Output = Result<(), TellError<M>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: nothing is moved out of the future but the message, which is never pinned.
        let this = unsafe { self.get_unchecked_mut() };
        if this.node.get().is_none() {
            ready!(poll_operation(context));
            let message = this.parcel.message.take().expect("polled after it was done");
            match this.actor.put::<false>(message, None) {
                Err(TellError::Full(message)) => this.parcel.message = Some(message),
                done => return Poll::Ready(done),
            }
        }
        let waker = context.waker().clone();
        let mut locked = this.actor.process().lock();
        if this.node.get().is_none() {
            let message = &mut this.parcel.message;
            if locked.state.overflow == Overflow::Fail {
                drop(locked);
                return Poll::Ready(Err(TellError::Full(message.take().expect("put there above"))));
            }
            if locked.state.phase.is_dead() {
                drop(locked);
                dead_letters::note::<M>(this.actor.any(), Fate::Dead, 1);
                return Poll::Ready(Err(TellError::Dead(message.take().expect("put there above"))));
            }
            if !locked.lane().is_full() {
                accept_parcel(&mut locked, &mut this.parcel);
                let rouse = locked.state.rouse();
                drop(locked);
                rouse.wake(this.actor.process());
                return Poll::Ready(Ok(()));
            }
            let party = TaskParty::party(NonNull::from(&this.party));
            let node = this.node.get_or_init(|| Node::new(party, 0, (&raw mut this.parcel).cast()));
            // SAFETY: the party is the future's own, and the node stays here, pinned, until it is removed in `drop`.
            unsafe {
                party.as_ref().prepare(false);
                locked.state.set_senders(true);
                locked.state.rare().senders.push(NonNull::from(node));
            }
        } else {
            // SAFETY: the future's own party.
            let claimed =
                unsafe { TaskParty::party(NonNull::from(&this.party)).as_ref() }.verdict().is_some();
            if claimed {
                drop(locked);
                return Poll::Ready(match this.parcel.message.take() {
                    None => Ok(()),
                    Some(message) => {
                        dead_letters::note::<M>(this.actor.any(), Fate::Dead, 1);
                        Err(TellError::Dead(message))
                    }
                });
            }
        }
        // SAFETY: the lock is held.
        let old = unsafe { this.party.set_waker(Some(waker)) };
        drop(locked);
        drop(old);
        Poll::Pending
    }
}

impl<M: Send + 'static> Drop for TellFuture<M> {
    fn drop(&mut self) {
        if let Some(node) = self.node.get() {
            let mut locked = self.actor.process().lock();
            if let Some(rare) = locked.state.rare_if_any() {
                // SAFETY: the node is in this queue or in none.
                unsafe { rare.senders.remove(NonNull::from(node)) };
            }
        }
    }
}

impl<M: Send + 'static> fmt::Debug for TellFuture<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TellFuture").field("actor", &self.actor).finish_non_exhaustive()
    }
}
