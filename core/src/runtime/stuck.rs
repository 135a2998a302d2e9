//! Warnings about workers that are stuck in one task, from an OS thread of its own. It exists only if the settings ask
//! for it.
//!
//! While it watches, each worker records the task that it runs, and since when. This costs a lock and an allocation a
//! turn.

use std::sync::Arc;
use std::time::Duration;

use crate::os_threads::IgnoredThread;
use crate::primitives::now;
use crate::scheduler::shared::Shared;

/// Starts the watching thread, if the runtime's settings ask for it. It ends with the runtime.
pub(super) fn watch(shared: &Arc<Shared>) -> std::io::Result<Option<std::thread::JoinHandle<()>>> {
    /// The longest nap between two looks. A shutdown may have to wait this long for the thread.
    const NAP: Duration = Duration::from_millis(20);
    const LEAST: Duration = Duration::from_millis(1);
    let Some(after) = shared.warn_after else { return Ok(None) };
    let shared = Arc::clone(shared);
    std::thread::Builder::new()
        .name(format!("{}-watch", shared.name))
        .spawn(move || {
            let has_to_warn = {
                let shared = Arc::clone(&shared);
                Arc::new(move || {
                    shared
                        .remotes
                        .iter()
                        .any(|remote| remote.running.lock().as_ref().is_some_and(|r| !r.warned))
                })
            };
            while !shared.is_terminated() {
                {
                    // A warning runs user code, which may do anything, so the thread is not harmless while there is
                    // one to give.
                    let _harmless = IgnoredThread::unless(has_to_warn.clone());
                    // This waits on a futex, which the detection of deadlocks recognises.
                    std::thread::park_timeout(NAP.min(after / 2).max(LEAST));
                }
                look(&shared, after);
            }
        })
        .map(Some)
}

fn look(shared: &Shared, after: Duration) {
    for (worker, remote) in shared.remotes.iter().enumerate() {
        let warning = {
            let mut running = remote.running.lock();
            running.as_mut().filter(|running| !running.warned && now() - running.since >= after).map(
                |running| {
                    running.warned = true;
                    (running.task.clone(), now() - running.since)
                },
            )
        };
        if let Some((task, time)) = warning {
            tracing::warn!(
                worker,
                task,
                ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
                "a worker of runtime {} is stuck in one task without parking: use kahn::blocking for calls that block, \
                 kahn::yield_now in long loops",
                shared.name,
            );
        }
    }
}
