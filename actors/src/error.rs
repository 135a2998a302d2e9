//! Errors of telling, asking and stashing.

use core::error::Error;
use core::fmt;

/// The error of a tell: the message that was not delivered, and the reason.
///
/// # Examples
///
/// ```
/// use kahn::actor::{TellError, testing::Inbox};
///
/// let inbox = Inbox::with_capacity(1);
/// let actor = inbox.actor_ref();
/// actor.tell("one").unwrap();
/// assert_eq!(actor.tell("two"), Err(TellError::Full("two")));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TellError<M> {
    /// The mailbox is full, and the caller must not wait.
    Full(M),
    /// The mailbox was full until the timeout expired.
    Timeout(M),
    /// The actor has ended.
    Dead(M),
}

impl<M> TellError<M> {
    /// Returns the message.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let inbox = Inbox::with_capacity(1);
    /// let actor = inbox.actor_ref();
    /// actor.tell("one").unwrap();
    /// assert_eq!(actor.tell("two").unwrap_err().into_inner(), "two");
    /// ```
    pub fn into_inner(self) -> M {
        match self {
            TellError::Full(message) | TellError::Timeout(message) | TellError::Dead(message) => message,
        }
    }

    /// Returns whether the error is [`Full`](TellError::Full).
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let inbox = Inbox::with_capacity(1);
    /// let actor = inbox.actor_ref();
    /// actor.tell("one").unwrap();
    /// assert!(actor.tell("two").unwrap_err().is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        matches!(self, TellError::Full(_))
    }

    /// Returns whether the error is [`Dead`](TellError::Dead).
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let inbox = Inbox::with_capacity(1);
    /// let actor = inbox.actor_ref();
    /// actor.tell("one").unwrap();
    /// drop(inbox);
    /// assert!(actor.tell("two").unwrap_err().is_dead());
    /// ```
    pub fn is_dead(&self) -> bool {
        matches!(self, TellError::Dead(_))
    }

    fn text(&self) -> &'static str {
        match self {
            TellError::Full(_) => "the actor's mailbox is full",
            TellError::Timeout(_) => "the actor's mailbox was full until the time was over",
            TellError::Dead(_) => "the actor has ended",
        }
    }
}

impl<M> fmt::Display for TellError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl<M> fmt::Debug for TellError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TellError::Full(_) => "Full(..)",
            TellError::Timeout(_) => "Timeout(..)",
            TellError::Dead(_) => "Dead(..)",
        })
    }
}

impl<M> Error for TellError<M> {}

/// The error of [`Context::try_stash`](crate::Context::try_stash): the stash is full. Holds the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StashError<M>(pub M);

impl<M> StashError<M> {
    /// Returns the message.
    pub fn into_inner(self) -> M {
        self.0
    }
}

impl<M> fmt::Display for StashError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("as many messages are stashed as the mailbox holds")
    }
}

impl<M> fmt::Debug for StashError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StashError(..)")
    }
}

impl<M> Error for StashError<M> {}

/// The error of an ask.
///
/// # Examples
///
/// ```
/// use kahn::actor::{AskError, Builder, Mailbox, Reply};
///
/// let rude = Builder::new().spawn_loop(|mailbox: &mut Mailbox<Reply<u32>>| {
///     drop(mailbox.recv()?);
///     Ok(())
/// });
/// assert_eq!(rude.ask(|reply| reply), Err(AskError::NoReply));
/// rude.join();
/// assert_eq!(rude.ask(|reply| reply), Err(AskError::Dead));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AskError {
    /// The actor had ended before it received the question.
    Dead,
    /// No answer will come: the [`Reply`](crate::Reply) was dropped, or the actor ended before it handled the question.
    NoReply,
    /// The timeout expired.
    Timeout,
    /// The mailbox is full, and its senders do not wait ([`Overflow::Fail`](crate::Overflow::Fail)).
    Full,
    /// The ask would close a circle. Each of these actors, in order, waits for the next, and the last waits for the
    /// first.
    ///
    /// Most of them wait for an answer. A supervisor waits for a child's start or end, and a child that is down waits
    /// for its supervisor. If the ask was already waiting when another wait closed the circle, its message was sent,
    /// and may be handled later. An actor that is handling the question counts as the one that will answer it, even if
    /// its handler has just given the [`Reply`](crate::Reply) to another thread.
    Deadlock(Vec<String>),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskError::Dead => f.write_str("the actor has ended"),
            AskError::NoReply => f.write_str("the actor dropped the question without an answer"),
            AskError::Timeout => f.write_str("the actor has not answered in time"),
            AskError::Full => f.write_str("the actor's mailbox is full"),
            AskError::Deadlock(cycle) => {
                f.write_str("deadlock: each of these actors would wait for the next: ")?;
                for name in cycle {
                    write!(f, "{name} -> ")?;
                }
                f.write_str(cycle.first().map_or("", String::as_str))
            }
        }
    }
}

impl Error for AskError {}
