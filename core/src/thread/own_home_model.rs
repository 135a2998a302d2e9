//! Green threads with a home of their own, which a model does not have: the values of `thread_local!` belong to the OS thread
//! that explores the model, and all green threads share them.

use std::io;

use crate::task::Runnable;

/// The home of a green thread. There is none in a model.
pub(super) enum Home {}

/// Returns an error, as on a system on which thread identities cannot travel.
pub(super) fn make(_name: Option<&str>) -> io::Result<Home> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "exclusive_home: a model has no thread identities"))
}

/// Never called.
pub(super) fn spawn_in(home: Home, _task: Runnable) {
    match home {}
}
