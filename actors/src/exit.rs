//! Why an actor ended: [`ExitReason`], and the number of an actor.

use core::error::Error;
use core::fmt;
use std::sync::Arc;

/// The number of an actor. It is unique in the process, and never reused.
///
/// # Examples
///
/// ```
/// use kahn::actor::testing::Inbox;
///
/// let (one, other) = (Inbox::<u32>::new(), Inbox::<u32>::new());
/// assert!(one.actor_ref().id() < other.actor_ref().id(), "numbers grow");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorId(pub(crate) u64);

impl ActorId {
    /// Returns the number.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let id = Inbox::<u32>::new().actor_ref().id();
    /// assert_eq!(id.to_string(), id.get().to_string());
    /// ```
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorId({})", self.0)
    }
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The reason for which an actor ended. If there are several, the first counts.
///
/// Every error converts into an exit reason, so `?` works in a handler:
///
/// ```
/// use kahn::actor::ExitReason;
///
/// fn parse(text: &str) -> Result<u32, ExitReason> {
///     Ok(text.parse()?)
/// }
/// assert!(matches!(parse("x"), Err(ExitReason::Failed(_))));
/// ```
#[derive(Clone, Debug)]
pub enum ExitReason {
    /// The actor was stopped, or its last reference was dropped.
    Normal,
    /// The actor was shut down, for example by its supervisor.
    Shutdown,
    /// The actor was killed.
    Killed,
    /// The actor panicked.
    Panicked {
        /// The message of the panic.
        message: Arc<str>,
        /// The place of the panic, as `file:line:column`, if the panic hook was called.
        location: Option<Arc<str>>,
    },
    /// One of the actor's methods returned an error.
    Failed(Arc<dyn Error + Send + Sync>),
    /// An actor that it was linked to ended with a reason other than `Normal`.
    LinkDied(Arc<LinkDied>),
}

/// The end of an actor that ended the actors linked to it.
///
/// # Examples
///
/// ```
/// use kahn::actor::{Builder, ExitReason, Mailbox};
///
/// let partner = Builder::new().spawn_loop(|mailbox: &mut Mailbox<()>| {
///     let worker = Builder::new().name("worker").spawn_loop(|_: &mut Mailbox<()>| Err(ExitReason::failed("so")));
///     mailbox.link(&worker);
///     Ok(mailbox.recv()?)
/// });
/// let ExitReason::LinkDied(died) = partner.join() else { panic!("another reason") };
/// assert_eq!((died.name.as_deref(), died.reason.to_string().as_str()), (Some("worker"), "failed: so"));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LinkDied {
    /// The number of the actor.
    pub id: ActorId,
    /// The name of the actor, if it had one.
    pub name: Option<Box<str>>,
    /// Why it ended. Along a chain of links, this is why the first actor ended.
    pub reason: ExitReason,
}

impl ExitReason {
    /// Creates a [`Failed`](ExitReason::Failed) from a message, where there is no error value.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(kahn::actor::ExitReason::failed("no paper").to_string(), "failed: no paper");
    /// ```
    pub fn failed(message: impl Into<String>) -> ExitReason {
        ExitReason::from(Message(message.into()))
    }

    /// Returns whether the reason is [`Normal`](ExitReason::Normal): it does not end the actors that are linked.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::ExitReason;
    ///
    /// assert!(ExitReason::Normal.is_normal());
    /// assert!(!ExitReason::Shutdown.is_normal());
    /// ```
    pub fn is_normal(&self) -> bool {
        matches!(self, ExitReason::Normal)
    }

    /// Returns whether the actor ended as intended: the reason is [`Normal`](ExitReason::Normal) or
    /// [`Shutdown`](ExitReason::Shutdown).
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::ExitReason;
    ///
    /// assert!(ExitReason::Normal.is_orderly() && ExitReason::Shutdown.is_orderly());
    /// assert!(!ExitReason::Killed.is_orderly());
    /// ```
    pub fn is_orderly(&self) -> bool {
        matches!(self, ExitReason::Normal | ExitReason::Shutdown)
    }
}

#[derive(Debug)]
struct Message(String);

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Message {}

impl<E: Error + Send + Sync + 'static> From<E> for ExitReason {
    fn from(error: E) -> ExitReason {
        ExitReason::Failed(Arc::new(error))
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitReason::Normal => f.write_str("normal"),
            ExitReason::Shutdown => f.write_str("shut down"),
            ExitReason::Killed => f.write_str("killed"),
            ExitReason::Panicked { message, location: Some(location) } => {
                write!(f, "panicked at {location}: {message}")
            }
            ExitReason::Panicked { message, location: None } => write!(f, "panicked: {message}"),
            ExitReason::Failed(error) => write!(f, "failed: {error}"),
            ExitReason::LinkDied(link) => {
                write!(
                    f,
                    "{} that it was linked to ended: {}",
                    Called(link.id, link.name.as_deref()),
                    link.reason
                )
            }
        }
    }
}

/// Displays an actor in reports: its name, or its number if it has no name.
pub(crate) struct Called<'a>(pub(crate) ActorId, pub(crate) Option<&'a str>);

impl fmt::Display for Called<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(name) => f.write_str(name),
            None => write!(f, "actor #{}", self.0),
        }
    }
}
