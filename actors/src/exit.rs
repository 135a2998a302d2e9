//! Why an actor ended.

use core::error::Error;
use core::fmt;
use std::sync::Arc;

/// The number of an actor, unique in the process and never reused.
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
    /// The number.
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

/// Why an actor ended. The first reason counts.
///
/// Every error converts into one, so `?` works in a handler:
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
    /// It was stopped, or nobody referred to it any more.
    Normal,
    /// It was asked to end by who is responsible for it, as part of something larger that ends.
    Shutdown,
    /// It was killed.
    Killed,
    /// It panicked.
    Panicked {
        /// What the panic said.
        message: Arc<str>,
        /// Where in the program, as `file:line:column`, if the panic hook was told.
        location: Option<Arc<str>>,
    },
    /// One of its methods answered an error.
    Failed(Arc<dyn Error + Send + Sync>),
    /// An actor that it was linked to ended, other than normally.
    LinkDied(Arc<LinkDied>),
}

/// The end of an actor that took those with it that were linked to it.
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
    /// Its number.
    pub id: ActorId,
    /// Its name, if it had one.
    pub name: Option<Box<str>>,
    /// Why it ended. Along a chain of links this is why the first ended.
    pub reason: ExitReason,
}

impl ExitReason {
    /// A failure with a message, where there is no error at hand.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(kahn::actor::ExitReason::failed("no paper").to_string(), "failed: no paper");
    /// ```
    pub fn failed(message: impl Into<String>) -> ExitReason {
        ExitReason::from(Message(message.into()))
    }

    /// Whether it is [`Normal`](ExitReason::Normal): those that are linked to the actor live on.
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

    /// Whether the actor ended as intended: normally, or shut down.
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

/// How an actor is called in reports: by its name, or by its number.
pub(crate) struct Called<'a>(pub(crate) ActorId, pub(crate) Option<&'a str>);

impl fmt::Display for Called<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(name) => f.write_str(name),
            None => write!(f, "actor #{}", self.0),
        }
    }
}
