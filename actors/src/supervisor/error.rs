//! The errors of a supervisor's requests and of its start.

use core::error::Error;
use core::fmt;
use std::sync::Arc;

use crate::exit::ExitReason;

/// The error of a request to a supervisor.
///
/// # Examples
///
/// ```
/// use kahn::actor::{ChildError, Supervisor};
///
/// let supervisor = Supervisor::default().spawn();
/// assert!(matches!(supervisor.restart_child("clock"), Err(ChildError::NotFound)));
/// supervisor.stop();
/// assert!(matches!(supervisor.restart_child("clock"), Err(ChildError::Ended)));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ChildError {
    /// The supervisor has no child of this id.
    NotFound,
    /// The child runs. Terminate it first.
    Running,
    /// The child waits for its restart. Terminate it first.
    Restarting,
    /// A child of this id exists, and runs or waits for its restart.
    AlreadyStarted,
    /// A child of this id exists, and is stopped. Restart it, or delete it first.
    AlreadyPresent,
    /// The child is significant, but its supervisor has no [`AutoShutdown`](super::AutoShutdown).
    SignificantInVain,
    /// The child is significant and permanent. A permanent child never ends for good.
    SignificantPermanent,
    /// The supervisor has as many children as it [may have](super::DynamicSupervisor::max_children).
    MaxChildren(usize),
    /// The child did not start, for this reason.
    Failed(ExitReason),
    /// The child is of another kind, or its messages have another type. Each field describes a kind of child, such as
    /// "a supervisor" or "an actor with messages of type u32".
    WrongType {
        /// What was requested.
        expected: String,
        /// What the child is.
        found: String,
    },
    /// The supervisor has ended.
    Ended,
    /// The supervisor waits for the caller. The names are those of the actors that wait for each other.
    Deadlock(Vec<String>),
}

impl fmt::Display for ChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChildError::NotFound => f.write_str("the supervisor has no child of that id"),
            ChildError::Running => f.write_str("the child runs; terminate it first"),
            ChildError::Restarting => f.write_str("the child is being restarted; terminate it first"),
            ChildError::AlreadyStarted => f.write_str("there is a child of that id, and it runs"),
            ChildError::AlreadyPresent => {
                f.write_str("there is a child of that id that does not run; restart it, or delete it first")
            }
            ChildError::SignificantInVain => {
                f.write_str("a child is significant only for a supervisor with an auto-shutdown; set one")
            }
            ChildError::SignificantPermanent => {
                f.write_str("a permanent child never ends for good, so it cannot be significant")
            }
            ChildError::MaxChildren(max) => {
                write!(f, "the supervisor has {max} children, and may have no more")
            }
            ChildError::Failed(reason) => write!(f, "the child did not start: {reason}"),
            ChildError::WrongType { expected, found } => {
                write!(f, "the child is {found}, not {expected}")
            }
            ChildError::Ended => f.write_str("the supervisor has ended"),
            ChildError::Deadlock(names) => {
                write!(f, "the supervisor waits for the caller: {}", names.join(" -> "))
            }
        }
    }
}

impl Error for ChildError {}

/// The error of a supervisor that did not start because one of its children did not. It is also the supervisor's exit
/// reason.
///
/// # Examples
///
/// ```
/// use kahn::actor::{ChildSpec, Supervisor};
///
/// let late = ChildSpec::supervisor("lower", || {
///     Supervisor::default().child(ChildSpec::thread("a", || ())).child(ChildSpec::thread("a", || ()))
/// });
/// let error = Supervisor::default().child(late).try_spawn().unwrap_err();
/// assert!(error.to_string().starts_with("child \"lower\": the child did not start: "));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StartError {
    /// The id of the child. Empty if the supervisor itself was killed while it started its children.
    pub child: Arc<str>,
    /// The error of the child, or why the supervisor ended.
    pub error: ChildError,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.child.is_empty() {
            return write!(f, "the supervisor ended while it started its children: {}", self.error);
        }
        write!(f, "child {:?}: {}", self.child, self.error)
    }
}

impl Error for StartError {}
