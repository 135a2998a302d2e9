//! The end of a runtime.
//!
//! 1. `close`: what parks is cancelled, what has not started never will.
//! 2. Wait until no job is left (`Shared::is_drained`), or the time is over.
//! 3. `terminate`: the workers leave their loops and drop their thread-locals; join them.
//! 4. If all went, the workers' records serve the next runtime. If not, they are leaked: someone may still wake a green
//!    thread that is parked there. Who joins such a one is told that it was cancelled. So is who joins one that parks for
//!    good after this: each worker gives up on those when it leaves its loop. A worker on which stacks are left keeps its
//!    OS thread, asleep: they may have lent out its thread-locals.

use core::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::facade::now;
use crate::job::Job;
use crate::scheduler::{self, shared::Shared};

/// Green threads that had not ended when the time given to a shutdown was over.
#[derive(Clone, Debug)]
pub struct ShutdownError {
    count: usize,
    names: Vec<String>,
}

impl ShutdownError {
    /// How many green threads were still alive.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The names of those that had one.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

impl fmt::Display for ShutdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} green threads had not ended when the time was over", self.count)?;
        if !self.names.is_empty() {
            write!(f, ": {}", self.names.join(", "))?;
        }
        Ok(())
    }
}

impl core::error::Error for ShutdownError {}

pub(super) fn shut_down(
    shared: &Arc<Shared>,
    threads: Vec<std::thread::JoinHandle<()>>,
    timeout: Duration,
) -> Result<(), ShutdownError> {
    if threads.is_empty() && shared.is_terminated() {
        return Ok(());
    }
    let deadline = now().checked_add(timeout);
    shared.close();
    if scheduler::is_worker_of(shared) {
        // A green thread cannot wait for its own end. The workers stop by themselves when all is done.
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            let _ = finish(&shared, threads, deadline);
        });
        return Ok(());
    }
    finish(shared, threads, deadline)
}

fn finish(
    shared: &Arc<Shared>,
    threads: Vec<std::thread::JoinHandle<()>>,
    deadline: Option<Instant>,
) -> Result<(), ShutdownError> {
    let drained = shared.wait_for(deadline, |_| shared.is_drained());
    shared.terminate(drained);
    if drained {
        for thread in threads {
            // A panic in a thread-local's destructor aborts, so this is no error of a worker's.
            let _ = thread.join();
        }
        shared.blocking.close(now() + Duration::from_secs(1));
        shared.remotes.iter().for_each(|remote| remote.give_back());
        return Ok(());
    }
    shared.blocking.close(now());
    give_up(shared);
    let mut error = ShutdownError { count: 0, names: Vec::new() };
    for remote in &shared.remotes {
        remote.roster.lock().each(|job| {
            error.count += 1;
            // SAFETY: listed jobs are alive, and the name is immutable.
            error.names.extend(unsafe { job.as_ref() }.name().map(str::to_owned));
        });
    }
    // A worker that is not asleep is stuck in a job, which is not listed if it has never parked.
    error.count = error.count.max(1);
    Err(error)
}

/// Nobody is to wait for what is parked, nor for what waits to start at workers that are all stuck. The latter stays where
/// it is: should its worker go on, what it has captured is dropped there.
fn give_up(shared: &Shared) {
    shared.abandon_parked(None);
    let mut leftovers = Vec::new();
    for queue in shared.remotes.iter().map(|remote| &remote.fresh).chain([&shared.injector]) {
        let mut jobs = Vec::new();
        queue.take_oldest(usize::MAX, |job| jobs.push(job));
        for job in &jobs {
            // SAFETY: out of the queue, so alive and ours.
            leftovers.extend(unsafe { Job::abandon(*job) });
        }
        queue.push_all(jobs.into_iter());
    }
    shared.finish_elsewhere(leftovers);
}
