//! Asking: a message with a [`Reply`] in it, and the wait for the answer.

use core::cell::UnsafeCell;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::ptr::NonNull;
use core::task::{Context, Poll};
use core::time::Duration;

use kahn_channels::after;
use kahn_core::facade::now;
use kahn_core::wait::{Deadline, Reason};

use crate::address::ActorRef;
use crate::cell::{Edge, Goal};
use crate::chain::{self, Asking};
use crate::ends::{is_actor, with_current};
use crate::error::{AskError, TellError};
use crate::slot::{Asker, Reply};

/// How long an ask waits that says nothing else. Somewhat longer where its worker is busy: a green
/// thread's time runs from when its worker looks at the clock next.
///
/// # Examples
///
/// ```
/// assert_eq!(kahn::actor::ASK_TIMEOUT.as_secs(), 5);
/// ```
pub const ASK_TIMEOUT: Duration = Duration::from_secs(5);

impl<M: Send + 'static> ActorRef<M> {
    /// Sends the message that `question` makes around a [`Reply`], and waits for the answer, for at most five seconds.
    ///
    /// # Parks
    ///
    /// Until the answer comes, or never will; before that, while the mailbox is full. An actor that asks handles nothing
    /// else meanwhile.
    ///
    /// # Errors
    ///
    /// There is no answer. An answer that comes too late is handed back to who sends it. If actors would wait for each
    /// other, or one for itself, the ask that closes the circle fails at once with [`AskError::Deadlock`], and its message is
    /// not sent. A question counts as long as its `Reply` is unused and it waits or is in hand, which is until its handler
    /// returns: so answer, or let the handler return, before asking back. An ask in a [`scope`](kahn_core::scope) or in
    /// [`blocking`](kahn_core::blocking) below a handler is not seen as the actor's: a circle over it ends with its deadline.
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

    /// As [`ask`](Self::ask), for at most `timeout`, the wait for room included.
    ///
    /// # Parks
    ///
    /// As `ask`.
    ///
    /// # Errors
    ///
    /// As `ask`.
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
        // Here: a closure does not pass the caller's line on.
        let reason = self.reason();
        let place = UnsafeCell::new(None);
        // SAFETY: the asker is dropped before its place, here or in an unwinding, and nobody else uses that until then.
        let (mut asker, reply) = unsafe { Asker::new(NonNull::new_unchecked(place.get())) };
        // Before an edge is published: the question is the user's code, and may ask.
        let message = question(reply);
        let in_time = if is_actor() {
            self.ask_as_actor(reason, message, &mut asker, deadline)
        } else {
            self.tell_and_wait(reason, message, &mut asker, deadline, None, || {})
        };
        drop(asker);
        in_time.and_then(|in_time| {
            place.into_inner().ok_or(if in_time { AskError::NoReply } else { AskError::Timeout })
        })
    }

    /// As [`tell_and_wait`](Self::tell_and_wait), for a caller that is an actor.
    fn ask_as_actor<R: Send>(
        &self,
        reason: Reason,
        message: M,
        asker: &mut Asker<'_, R>,
        deadline: Deadline,
    ) -> Result<bool, AskError> {
        let mut message = Some(message);
        with_current(|me| {
            let edge = Edge::new(self.any(), Goal::Answer(asker.place()), 0);
            // SAFETY: the caller is this actor; the edge outlives the guard, which is gone before the asker leaves.
            let asking = unsafe { Asking::publish(me, &edge) };
            if let Some(cycle) = chain::cycle(me) {
                return Err(AskError::Deadlock(cycle));
            }
            let message = message.take().expect("taken once");
            self.tell_and_wait(reason, message, asker, deadline, Some(&edge), || drop(asking))
        })
        .expect("the caller is an actor")
    }

    /// Answers whether the reply has left in time. Calls `leaving` before the asker leaves, or what was not sent is dropped.
    #[inline(always)]
    fn tell_and_wait<R: Send>(
        &self,
        reason: Reason,
        message: M,
        asker: &mut Asker<'_, R>,
        mut deadline: Deadline,
        edge: Option<&Edge>,
        leaving: impl FnOnce(),
    ) -> Result<bool, AskError> {
        if let Err(error) = self.tell_until::<true>(reason, message, &mut deadline, edge) {
            // First: the message's destructor is the user's code.
            leaving();
            let circle = edge.filter(|edge| error.is_full() && edge.is_broken());
            return Err(circle.map_or_else(|| error.into(), |_| self.circle()));
        }
        match asker.wait(reason, deadline, leaving) {
            Ok(true) => Ok(true),
            Ok(false) => Err(self.circle()),
            Err(_) => Ok(false),
        }
    }

    /// What the caller, an actor, is told whose wait was ended because it closed a circle.
    #[cold]
    fn circle(&self) -> AskError {
        let names = with_current(|me| chain::told(me, self.any()));
        AskError::Deadlock(names.unwrap_or_default())
    }

    /// As [`ask`](Self::ask), from async code, in any executor. The question is sent when the future is first polled, and
    /// there is room. Asks of this kind are not looked at for deadlocks.
    ///
    /// # Errors
    ///
    /// As `ask`, in the future's output.
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

    /// As [`ask_async`](Self::ask_async), for at most `timeout` since the future is first polled, the wait for room included.
    /// [`Duration::MAX`] is for ever.
    ///
    /// # Errors
    ///
    /// As `ask`, in the future's output.
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
            // SAFETY: the asker is dropped before its place, which is on the heap, and nobody else uses that until then.
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

/// Where a future's answer goes.
struct Place<R>(Box<UnsafeCell<Option<R>>>);

// SAFETY: while the asker has not left, only the reply's side touches it, and then only its owner.
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
