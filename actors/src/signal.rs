//! The signals that an actor receives through its system lane, before any message.

use crate::exit::{ActorId, Called, ExitReason};
use core::fmt;

/// The number of one monitor of one actor; see [`Context::monitor`](crate::Context::monitor).
///
/// # Examples
///
/// ```
/// use kahn::actor::{Builder, DownCause, Mail, Mailbox};
///
/// let watcher = Builder::new().spawn_loop(|mailbox: &mut Mailbox<()>| {
///     let other = Builder::new().name("other").spawn_loop(|_: &mut Mailbox<()>| Ok(()));
///     let monitor = mailbox.monitor(&other);
///     match mailbox.next_mail()? {
///         Mail::Down(down) => assert_eq!(down.cause, DownCause::Monitor(monitor)),
///         Mail::Message(()) => unreachable!("no thread sends a message"),
///         _ => {}
///     }
///     Ok(())
/// });
/// assert!(watcher.join().is_normal());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonitorId(pub(crate) u64);

/// A notification that another actor has ended.
///
/// # Examples
///
/// ```
/// use kahn::actor::{Builder, Mail, Mailbox};
///
/// let watcher = Builder::new().spawn_loop(|mailbox: &mut Mailbox<()>| {
///     let other = Builder::new().name("other").spawn_loop(|_: &mut Mailbox<()>| Ok(()));
///     mailbox.monitor(&other);
///     match mailbox.next_mail()? {
///         Mail::Down(down) => {
///             assert_eq!((down.id, down.name.as_deref()), (other.id(), Some("other")));
///             assert!(down.reason.is_normal());
///         }
///         Mail::Message(()) => unreachable!("no thread sends a message"),
///         _ => {}
///     }
///     Ok(())
/// });
/// assert!(watcher.join().is_normal());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Down {
    /// The number of the actor that ended.
    pub id: ActorId,
    /// The name of the actor that ended, if it had one.
    pub name: Option<Box<str>>,
    /// Why it ended.
    pub reason: ExitReason,
    /// Why this actor receives the notification.
    pub cause: DownCause,
}

/// Why an actor is told of the end of another actor.
///
/// # Examples
///
/// ```
/// use kahn::actor::{Builder, DownCause, Mail, Mailbox};
///
/// let watcher = Builder::new().spawn_loop(|mailbox: &mut Mailbox<()>| {
///     let other = Builder::new().name("other").spawn_loop(|_: &mut Mailbox<()>| Ok(()));
///     mailbox.trap_exits(true);
///     mailbox.link(&other);
///     match mailbox.next_mail()? {
///         Mail::Down(down) => assert!(matches!(down.cause, DownCause::Link)),
///         Mail::Message(()) => unreachable!("no thread sends a message"),
///         _ => {}
///     }
///     Ok(())
/// });
/// assert!(watcher.join().is_normal());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DownCause {
    /// It monitors the other actor.
    Monitor(MonitorId),
    /// It is linked to the other actor, and traps exits.
    Link,
}

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ended: {}", Called(self.id, self.name.as_deref()), self.reason)
    }
}

/// What a loop receives from its mailbox.
///
/// # Examples
///
/// ```
/// use kahn::actor::{Builder, Mail, Mailbox};
///
/// let watcher = Builder::new().spawn_loop(|mailbox: &mut Mailbox<()>| {
///     let other = Builder::new().name("other").spawn_loop(|_: &mut Mailbox<()>| Ok(()));
///     mailbox.monitor(&other);
///     match mailbox.next_mail()? {
///         Mail::Down(down) => assert_eq!(down.to_string(), "other ended: normal"),
///         Mail::Message(()) => unreachable!("no thread sends a message"),
///         _ => {}
///     }
///     Ok(())
/// });
/// assert!(watcher.join().is_normal());
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Mail<M> {
    /// A message.
    Message(M),
    /// A notification that another actor has ended.
    Down(Down),
}
