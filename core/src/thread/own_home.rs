//! A green thread with a home of its own: it runs under a thread identity that it shares with nothing else, and that travels with it
//! between workers. To the scheduler it is a home like those that several green threads share, with one task.
//!
//! All of its life is under this identity: also the drop of what its closure has captured, if it is cancelled before it starts, the
//! drop of a value or a panic that nobody takes, and the wakers of those that wait for its end.

use std::io;
use std::sync::Arc;

pub(super) use crate::scheduler::shared_home::OwnHome as Home;

use crate::runtime;
use crate::scheduler;
use crate::task::Runnable;

/// Starts the OS thread of a home for a green thread of the caller's runtime, or of the default one.
pub(super) fn make(name: Option<&str>) -> io::Result<Home> {
    let runtime = scheduler::runtime_here().unwrap_or_else(|| Arc::clone(runtime::default_shared()));
    Home::new(runtime, name)
}

/// Queues the task of the home. It starts when the home is ready.
pub(super) fn spawn_in(home: Home, task: Runnable) {
    scheduler::spawn_in(home, task);
}
