//! Asking an actor: sends a message that contains a [`Reply`], and waits for the answer.

use core::cell::UnsafeCell;
use core::future::{Future, poll_fn};
use core::panic::Location;
use core::pin::pin;
use core::ptr::NonNull;
use core::task::{Context, Poll};
use core::time::Duration;

use kahn_channels::after;
use kahn_core::primitives::now;
use kahn_core::wait::Deadline;

use crate::address::ActorRef;
use crate::ask_cycle::{self, Asking};
use crate::cell::{Edge, WaitFor};
use crate::error::{AskError, TellError};
use crate::lifecycle::{is_actor, with_current};
use crate::slot::{Asker, Reply};

/// Default deadline of `ask`. The wait may last longer where the caller's worker is busy: a green thread's time runs
/// from the moment at which its worker next reads the clock.
///
/// # Examples
///
/// ```
/// assert_eq!(kahn::actor::ASK_TIMEOUT.as_secs(), 5);
/// ```
pub const ASK_TIMEOUT: Duration = Duration::from_secs(5);

impl<M: Send + 'static> ActorRef<M> {
    /// Sends the message that `question` makes from a [`Reply`], and waits for the answer, for at most five seconds.
    ///
    /// # Parks
    ///
    /// Until the answer arrives, or cannot arrive any more. Before that, while the mailbox is full. An actor that asks
    /// handles no message during the wait.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no answer. A late answer is handed back to the sender of the answer.
    ///
    /// If actors would wait for each other in a circle, or an actor for itself, the ask that closes the circle fails at
    /// once with [`AskError::Deadlock`], and its message is not sent. A question counts from the send until its `Reply`
    /// is used or dropped, or its handler returns. So answer, or let the handler return, before asking back.
    ///
    /// An ask in [`blocking`](kahn_core::blocking) below a handler counts as an ask of the actor. An ask in a
    /// [`scope`](kahn_core::scope) below a handler does not: a circle that contains it ends at its deadline.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Actor, Context, ExitReason, Reply, spawn};
    ///
    /// struct Counter(u64);
    /// enum Message {
    ///     Add(u64),
    ///     Get(Reply<u64>),
    /// }
    /// impl Actor for Counter {
    ///     type Message = Message;
    ///     fn handle(&mut self, message: Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         match message {
    ///             Message::Add(n) => self.0 += n,
    ///             Message::Get(reply) => drop(reply.send(self.0)),
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// let counter = spawn(Counter(40));
    /// counter.tell(Message::Add(2)).unwrap();
    /// assert_eq!(counter.ask(Message::Get), Ok(42));
    /// ```
    #[track_caller]
    pub fn ask<R: Send>(&self, question: impl FnOnce(Reply<R>) -> M) -> Result<R, AskError> {
        self.ask_until(Deadline::after(ASK_TIMEOUT), question)
    }

    /// Like [`ask`](Self::ask), but waits for at most `timeout`, which includes the wait for room.
    ///
    /// # Parks
    ///
    /// Like `ask`.
    ///
    /// # Errors
    ///
    /// Like `ask`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{AskError, Builder, Mailbox, Reply};
    ///
    /// let slow = Builder::new().spawn_loop(|mailbox: &mut Mailbox<Reply<u32>>| {
    ///     let _kept = mailbox.recv()?;
    ///     kahn::sleep(Duration::from_secs(3600));
    ///     Ok(())
    /// });
    /// assert_eq!(slow.ask_timeout(Duration::from_millis(1), |reply| reply), Err(AskError::Timeout));
    /// ```
    #[track_caller]
    pub fn ask_timeout<R: Send>(
        &self,
        timeout: Duration,
        question: impl FnOnce(Reply<R>) -> M,
    ) -> Result<R, AskError> {
        self.ask_until(now().checked_add(timeout).into(), question)
    }

    #[track_caller]
    fn ask_until<R: Send>(
        &self,
        deadline: Deadline,
        question: impl FnOnce(Reply<R>) -> M,
    ) -> Result<R, AskError> {
        // Taken here, because a closure does not pass on the location of the caller.
        let location = Location::caller();
        let place = UnsafeCell::new(None);
        // SAFETY: `place` is declared before `asker`, so the asker is dropped first, also when this function unwinds.
        // `place` holds `None`, and only the reply uses it until then.
        let (mut asker, reply) = unsafe { Asker::new(NonNull::new_unchecked(place.get())) };
        // Before an edge is published, because `question` is user code and may itself ask.
        let message = question(reply);
        let in_time = if is_actor() {
            self.ask_as_actor(location, message, &mut asker, deadline)
        } else {
            self.tell_and_wait(location, message, &mut asker, deadline, None, || {})
        };
        drop(asker);
        in_time.and_then(|in_time| {
            place.into_inner().ok_or(if in_time { AskError::NoReply } else { AskError::Timeout })
        })
    }

    /// Like [`tell_and_wait`](Self::tell_and_wait), for a caller that is an actor.
    fn ask_as_actor<R: Send>(
        &self,
        location: &'static Location<'static>,
        message: M,
        asker: &mut Asker<'_, R>,
        deadline: Deadline,
    ) -> Result<bool, AskError> {
        let mut message = Some(message);
        with_current(|me| {
            let edge = Edge::new(self.any(), WaitFor::Answer(asker.place()), 0);
            // SAFETY: `me` is the caller. `edge` is declared before the guard, so it outlives it. `tell_and_wait` drops
            // the guard in `leaving`, before the asker leaves the slot.
            let asking = unsafe { Asking::publish(me, &edge) };
            if let Some(cycle) = ask_cycle::cycle(me) {
                return Err(AskError::Deadlock(cycle));
            }
            let message = message.take().expect("taken once");
            self.tell_and_wait(location, message, asker, deadline, Some(&edge), || drop(asking))
        })
        .expect("the caller is an actor")
    }

    /// Returns whether the reply has left in time. Calls `leaving` before the asker leaves the slot, and before a
    /// message that was not sent is dropped.
    #[inline(always)]
    fn tell_and_wait<R: Send>(
        &self,
        location: &'static Location<'static>,
        message: M,
        asker: &mut Asker<'_, R>,
        mut deadline: Deadline,
        edge: Option<&Edge>,
        leaving: impl FnOnce(),
    ) -> Result<bool, AskError> {
        if let Err(error) = self.tell_until::<true>(location, message, &mut deadline, edge) {
            // Before the error is converted, which drops the message: its destructor is user code.
            leaving();
            let circle = edge.filter(|edge| error.is_full() && edge.is_broken());
            return Err(circle.map_or_else(|| error.into(), |_| self.circle()));
        }
        match asker.wait(self.reason(location), deadline, leaving) {
            Ok(true) => Ok(true),
            Ok(false) => Err(self.circle()),
            Err(_) => Ok(false),
        }
    }

    /// Returns the error of a caller, an actor, whose wait was ended because it closed a circle.
    #[cold]
    fn circle(&self) -> AskError {
        let names = with_current(|me| ask_cycle::told(me, self.any()));
        AskError::Deadlock(names.unwrap_or_default())
    }

    /// Like [`ask`](Self::ask), from async code, in any executor. The question is sent when the future has been polled
    /// and the mailbox has room. These asks take no part in the detection of deadlocks.
    ///
    /// # Errors
    ///
    /// The future's output is an error in the cases in which `ask` returns one, except `Deadlock`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Context, ExitReason, Reply, spawn};
    /// # struct Echo;
    /// # impl Actor for Echo {
    /// #     type Message = (u32, Reply<u32>);
    /// #     fn handle(&mut self, (n, reply): (u32, Reply<u32>), _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         Ok(drop(reply.send(n)))
    /// #     }
    /// # }
    /// let echo = spawn(Echo);
    /// let answer = kahn::block_on(async { echo.ask_async(|reply| (7, reply)).await });
    /// assert_eq!(answer, Ok(7));
    /// ```
    pub fn ask_async<R, Q>(
        &self,
        question: Q,
    ) -> impl Future<Output = Result<R, AskError>> + Send + use<M, R, Q>
    where
        R: Send + 'static,
        Q: FnOnce(Reply<R>) -> M + Send,
    {
        self.ask_async_timeout(ASK_TIMEOUT, question)
    }

    /// Like [`ask_async`](Self::ask_async), but waits for at most `timeout` from the first poll, which includes the
    /// wait for room. [`Duration::MAX`] means no limit.
    ///
    /// # Errors
    ///
    /// The future's output is an error in the cases in which `ask` returns one, except `Deadlock`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{AskError, Reply, testing::Inbox};
    ///
    /// let inbox = Inbox::<Reply<u32>>::new();
    /// let actor = inbox.actor_ref();
    /// let answer = kahn::block_on(actor.ask_async_timeout(Duration::from_millis(1), |reply| reply));
    /// assert_eq!(answer, Err(AskError::Timeout));
    /// ```
    pub fn ask_async_timeout<R, Q>(
        &self,
        timeout: Duration,
        question: Q,
    ) -> impl Future<Output = Result<R, AskError>> + Send + use<M, R, Q>
    where
        R: Send + 'static,
        Q: FnOnce(Reply<R>) -> M + Send,
    {
        let actor = self.clone();
        async move {
            let time = after(timeout);
            let mut late = pin!(time.recv_async());
            let mut is_late = |context: &mut Context<'_>| late.as_mut().poll(context).is_ready();
            let place = Place(Box::new(UnsafeCell::new(None)));
            // SAFETY: `place` is declared before `asker`, so the asker is dropped first, also when the future is
            // dropped. The `Option` is on the heap, so it stays in place when the future moves. It holds `None`, and
            // only the reply uses it until then.
            let (mut asker, reply) = unsafe { Asker::new(NonNull::new_unchecked(place.0.get())) };
            let mut tell = pin!(actor.tell_async(question(reply)));
            let told = poll_fn(|context| match tell.as_mut().poll(context) {
                Poll::Ready(told) => Poll::Ready(told.map_err(AskError::from)),
                Poll::Pending if is_late(context) => Poll::Ready(Err(AskError::Timeout)),
                Poll::Pending => Poll::Pending,
            });
            told.await?;
            let in_time = poll_fn(|context| match asker.poll(context.waker()) {
                true => Poll::Ready(true),
                false if is_late(context) => Poll::Ready(false),
                false => Poll::Pending,
            });
            let in_time = in_time.await;
            drop(asker);
            place.0.into_inner().ok_or(if in_time { AskError::NoReply } else { AskError::Timeout })
        }
    }
}

/// The heap cell that receives a future's answer.
struct Place<R>(Box<UnsafeCell<Option<R>>>);

// SAFETY: a shared `Place` gives access to a raw pointer only. Until the asker has left, only the reply writes through
// it; afterwards only the owner of the `Place` reads it.
unsafe impl<R: Send> Sync for Place<R> {}

impl<M> From<TellError<M>> for AskError {
    fn from(error: TellError<M>) -> AskError {
        match error {
            TellError::Dead(_) => AskError::Dead,
            TellError::Full(_) => AskError::Full,
            TellError::Timeout(_) => AskError::Timeout,
        }
    }
}
