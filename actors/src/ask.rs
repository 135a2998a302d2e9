//! Asking: a message with a [`Reply`] in it, and the wait for the answer.

use core::cell::UnsafeCell;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::ptr::NonNull;
use core::task::{Context, Poll};
use core::time::Duration;

use kahn_channels::after;
use kahn_core::facade::{AtomicBool, AtomicU32, now};
use kahn_core::wait::{Deadline, Kind, Reason};

use crate::address::ActorRef;
use crate::cell::{Edge, Rouse};
use crate::chain::{self, Asking};
use crate::ends::with_current;
use crate::error::{AskError, TellError};
use crate::slot::{Asker, Reply};

/// How long an ask waits that says nothing else.
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
    /// other, or one for itself, the ask that closes the cycle fails at once with [`AskError::Deadlock`], and its
    /// message is not sent.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn_actors::{Actor, Context, ExitReason, Reply, spawn};
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
        self.ask_until(Deadline::After(ASK_TIMEOUT), question)
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
    /// use kahn_actors::{AskError, Builder, Mailbox, Reply};
    ///
    /// let slow = Builder::new().spawn_loop(|mailbox: &mut Mailbox<Reply<u32>>| {
    ///     let _kept = mailbox.recv()?;
    ///     kahn_core::sleep(Duration::from_secs(3600));
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
        let reason = Reason::new(Kind::Actor, core::ptr::without_provenance::<()>(self.process().address()));
        let edge = Edge { target: self.any(), number: AtomicU32::new(0), sent: AtomicBool::new(false) };
        let mut question = Some(question);
        let mut attempt = |edge: Option<&Edge>| {
            let question = question.take().expect("one attempt is made");
            self.ask_and_wait(question, deadline, reason, edge)
        };
        let asked = with_current(|asker| {
            // SAFETY: the caller is this actor, and the edge outlives the guard, which is this closure's.
            let _asking = unsafe { Asking::publish(asker, &edge) };
            match chain::cycle(asker) {
                Some(cycle) => Err(AskError::Deadlock(cycle)),
                None => attempt(Some(&edge)),
            }
        });
        asked.unwrap_or_else(|| attempt(None))
    }

    fn ask_and_wait<R: Send>(
        &self,
        question: impl FnOnce(Reply<R>) -> M,
        mut deadline: Deadline,
        reason: Reason,
        edge: Option<&Edge>,
    ) -> Result<R, AskError> {
        let place = UnsafeCell::new(None);
        // SAFETY: the asker is dropped before its place, here or in an unwinding, and nobody else uses that until then.
        let (mut asker, reply) = unsafe { Asker::new(NonNull::new_unchecked(place.get())) };
        self.tell_until(question(reply), &mut deadline, edge, Rouse::wake_next)?;
        let waited = asker.wait(reason, deadline);
        drop(asker);
        place.into_inner().ok_or(if waited.is_ok() { AskError::NoReply } else { AskError::Timeout })
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
    /// # use kahn_actors::{Actor, Context, ExitReason, Reply, spawn};
    /// # struct Echo;
    /// # impl Actor for Echo {
    /// #     type Message = (u32, Reply<u32>);
    /// #     fn handle(&mut self, (n, reply): (u32, Reply<u32>), _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         Ok(drop(reply.send(n)))
    /// #     }
    /// # }
    /// let echo = spawn(Echo);
    /// let answer = kahn_core::block_on(async { echo.ask_async(|reply| (7, reply)).await });
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
        let actor = self.clone();
        async move {
            let time = after(ASK_TIMEOUT);
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
