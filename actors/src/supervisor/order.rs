//! The messages that a supervisor handles: requests, and the restarts that it schedules for itself.

use std::sync::Arc;

use super::child::ChildSpec;
use super::children::ChildInfo;
use super::erased_child::ErasedChild;
use super::error::ChildError;
use crate::slot::Reply;

pub(super) type Done = Reply<Result<(), ChildError>>;

pub(super) enum Request {
    Start(Box<ChildSpec>, Done),
    Restart(Arc<str>, Done),
    Terminate(Arc<str>, Done),
    Delete(Arc<str>, Done),
    Children(Reply<Vec<ChildInfo>>),
    /// Calls the function with the child of this id, if there is one.
    Inspect(Arc<str>, Inspect),
    /// The backoff of this child is over: restart it, and the children that wait with it.
    BackoffOver(u64),
}

pub(super) type Inspect = Box<dyn FnOnce(Option<&dyn ErasedChild>) + Send>;
