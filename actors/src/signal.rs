//! What reaches an actor through its system lane, before any message.

use crate::exit::{ActorId, Called, ExitReason};
use core::fmt;

/// One monitor of one actor; see [`Control::monitor`](crate::Control::monitor).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonitorId(pub(crate) u64);

/// Another actor has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Down {
    /// Its number.
    pub id: ActorId,
    /// Its name, if it had one.
    pub name: Option<Box<str>>,
    /// Why it ended.
    pub reason: ExitReason,
    /// Why this actor is told.
    pub cause: DownCause,
}

/// Why an actor is told of the end of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DownCause {
    /// It monitors it.
    Monitor(MonitorId),
    /// It is linked to it, and traps exits.
    Link,
}

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ended: {}", Called(self.id, self.name.as_deref()), self.reason)
    }
}

/// What a loop finds in its mailbox.
#[derive(Debug)]
#[non_exhaustive]
pub enum Mail<M> {
    /// A message.
    Message(M),
    /// Another actor has ended.
    Down(Down),
}
