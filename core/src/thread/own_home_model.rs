//! Green threads with a home of their own, which a model does not have: the values of `thread_local!` belong to the OS thread
//! that explores the model, and all green threads share them.

use core::panic::Location;
use std::io;

/// The home of a green thread. There is none in a model.
pub(super) enum Home {}

/// Returns an error, as on a system on which thread identities cannot travel.
pub(super) fn make(_name: Option<&str>) -> io::Result<Home> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "exclusive_home: a model has no thread identities"))
}

/// Never called.
pub(super) fn run_in<F, T>(
    home: Home,
    _f: F,
    _spawned_at: &'static Location<'static>,
) -> impl FnOnce() -> T + use<F, T>
where
    F: FnOnce() -> T,
{
    move || match home {}
}
