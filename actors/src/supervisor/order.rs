//! What a supervisor is told, and tells itself.

use std::sync::Arc;

use super::child::{ChildSpec, Kept};
use super::children::ChildInfo;
use super::error::ChildError;
use crate::slot::Reply;

/// What a supervisor handles. Made by [`SupervisorRef`] alone.
pub struct Order(pub(super) Command);

pub(super) type Done = Reply<Result<(), ChildError>>;

pub(super) enum Command {
    Start(Box<ChildSpec>, Done),
    Restart(Arc<str>, Done),
    Terminate(Arc<str>, Done),
    Delete(Arc<str>, Done),
    Children(Reply<Vec<ChildInfo>>),
    /// Looks at a child.
    See(Arc<str>, See),
    /// It is time to start this child again, and those that wait with it.
    Again(u64),
}

pub(super) type See = Box<dyn FnOnce(Option<&dyn Kept>) + Send>;
