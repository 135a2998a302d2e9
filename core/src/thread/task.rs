//! Stackless tasks: futures that are polled on a fiber's stack, and may park while they are polled. `serve` and
//! actors are built from them.

use core::future::Future;

use crate::handle::JoinHandle;
use crate::scheduler::{self, Scheduler};
use crate::task::{Runnable, SpawnOptions, allocate_future};
use crate::thread::builder::{begin, queue};

/// Runs `future` as a green thread that has no stack while the future is pending. Not covered by semver.
pub fn spawn_task<F>(name: Option<Box<str>>, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    begin();
    let options =
        SpawnOptions { migratory: scheduler::migratory_here().unwrap_or(false), ..SpawnOptions::default() };
    let task = allocate_future::<Scheduler, _>(future, name, options);
    let handle = JoinHandle::new(task);
    // SAFETY: the task has been made just now, and has not been queued.
    queue(unsafe { Runnable::new(task) });
    handle
}
