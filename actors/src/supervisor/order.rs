//! The messages that a supervisor handles, including those that it sends to itself.

use core::fmt;
use std::sync::Arc;

use super::child::ChildSpec;
use super::children::ChildInfo;
use super::erased_child::ErasedChild;
use super::error::ChildError;
use crate::slot::Reply;

/// The message type of a [`Supervisor`](super::Supervisor). Only [`SupervisorRef`](super::SupervisorRef) creates its
/// values. An `ActorRef<Order>` converts into a `SupervisorRef`.
///
/// # Examples
///
/// ```
/// use kahn::actor::{ActorRef, Order, Supervisor, SupervisorRef, spawn};
///
/// let actor: ActorRef<Order> = spawn(Supervisor::default());
/// let supervisor = SupervisorRef::from(actor);
/// assert!(supervisor.children().is_empty());
/// supervisor.stop();
/// ```
pub struct Order(pub(super) Command);

pub(super) type Done = Reply<Result<(), ChildError>>;

pub(super) enum Command {
    Start(Box<ChildSpec>, Done),
    Restart(Arc<str>, Done),
    Terminate(Arc<str>, Done),
    Delete(Arc<str>, Done),
    Children(Reply<Vec<ChildInfo>>),
    /// Calls the function with the child of this id, if there is one.
    Inspect(Arc<str>, Inspect),
    /// The backoff of this child is over: restart it, and the children that wait with it.
    Again(u64),
}

pub(super) type Inspect = Box<dyn FnOnce(Option<&dyn ErasedChild>) + Send>;

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Command::Start(spec, _) => write!(f, "Order(start {})", spec.id()),
            Command::Restart(id, _) => write!(f, "Order(restart {id})"),
            Command::Terminate(id, _) => write!(f, "Order(terminate {id})"),
            Command::Delete(id, _) => write!(f, "Order(delete {id})"),
            Command::Children(_) => f.write_str("Order(children)"),
            Command::Inspect(id, _) => write!(f, "Order(see {id})"),
            Command::Again(_) => f.write_str("Order(again)"),
        }
    }
}
