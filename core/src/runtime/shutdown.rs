//! The end of a runtime.
//!
//! 1. `close`: tasks that park are cancelled, and tasks that have not started never will.
//! 2. Wait until no task is left (`Shared::is_drained`), or until the timeout.
//! 3. `terminate`: the workers leave their loops, which runs no user code. If no task is left, the next runtime uses
//!    their records. Then they and the threads of the blocking pool drop their thread-locals, which may take any time.
//!    The shutdown waits for this, too, until the timeout.
//! 4. If tasks are left, the workers' records are leaked, because a waker may still wake a green thread that is parked
//!    there. A join of such a green thread returns that it was cancelled. So does a join of a green thread that parks
//!    for good after this: each worker gives up on those when it leaves its loop. A worker on which stacks are left
//!    keeps its OS thread, asleep, because other code may borrow its thread-locals from these stacks.

use core::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::primitives::now;
use crate::runtime::worker_name;
use crate::scheduler::{self, shared::Shared};
use crate::task::Task;

/// How long a shutdown waits for OS threads that have nothing left to do, if its time is already over.
const GRACE: Duration = Duration::from_millis(50);

/// The green threads and OS threads of a runtime that had not ended at the timeout of a shutdown.
#[derive(Clone, Debug)]
pub struct ShutdownError {
    count: usize,
    names: Vec<String>,
    threads: Vec<String>,
}

impl ShutdownError {
    /// Returns how many green threads were still alive: those that were parked or had yielded, and those that ran.
    /// Green threads that had not started, because all workers were busy, are not counted.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns the names of the green threads that had one. An actor in its first turn, which is to start, is
    /// counted, but not named.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns the names of the OS threads that were still busy: workers that ran a green thread that did not park;
    /// workers and threads of the blocking pool that ran destructors of their thread-locals; and threads of the
    /// blocking pool that ran a closure of [`blocking`](crate::blocking).
    pub fn threads(&self) -> &[String] {
        &self.threads
    }
}

impl fmt::Display for ShutdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count > 0 {
            write!(f, "{} green threads had not ended when the time was over", self.count)?;
            if !self.names.is_empty() {
                write!(f, ": {}", self.names.join(", "))?;
            }
        }
        if !self.threads.is_empty() {
            let separator = if self.count > 0 { "; " } else { "" };
            let threads = self.threads.join(", ");
            write!(f, "{separator}OS threads had not ended when the time was over: {threads}")?;
        }
        Ok(())
    }
}

impl core::error::Error for ShutdownError {}

pub(super) fn shut_down(
    shared: &Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    timeout: Duration,
) -> Result<(), ShutdownError> {
    let deadline = now().checked_add(timeout);
    shared.close();
    if scheduler::is_worker_of(shared) || shared.exits.include_caller() {
        // No thread can wait for its own end. The shutdown continues on an OS thread of its own.
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            let _ = finish(&shared, threads, deadline);
        });
        return Ok(());
    }
    finish(shared, threads, deadline)
}

/// Waits until `workers` workers have left their loops, and gives all records back. Returns the OS threads of homes, which are
/// about to end.
fn leave_records(shared: &Shared, workers: usize) -> Vec<JoinHandle<()>> {
    shared.wait_for(None, |left| left == workers);
    // SAFETY: no task is left, and the workers have left their loops.
    let homes = unsafe { shared.homes.end() };
    shared.remotes.iter().for_each(|remote| remote.give_back());
    homes
}

/// Ends a runtime of which only these workers could be started.
pub(super) fn undo_start(shared: &Shared, workers: Vec<JoinHandle<()>>) {
    shared.close();
    shared.terminate(true);
    let homes = leave_records(shared, workers.len());
    // No user code has run on them, so a `join` returns soon.
    workers.into_iter().chain(homes).for_each(|thread| drop(thread.join()));
}

fn finish(
    shared: &Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    deadline: Option<Instant>,
) -> Result<(), ShutdownError> {
    let drained = shared.wait_for(deadline, |_| shared.is_drained());
    shared.terminate(drained);
    // A worker that is stuck in a task polls no more.
    shared.remotes.iter().for_each(|remote| remote.reactor.close());
    if drained {
        let homes = leave_records(shared, shared.workers());
        let deadline = deadline.map(|deadline| deadline.max(now() + GRACE));
        // This only closes the pool, so that its threads and the workers end at the same time, not one after the
        // other.
        shared.blocking.close(Some(now()));
        let mut left = shared.exits.wait(deadline);
        if left.is_empty() {
            // A panic in a thread-local's destructor aborts, so the result holds no error that matters.
            threads.into_iter().chain(homes).for_each(|thread| drop(thread.join()));
        }
        left.extend(shared.blocking.close(deadline));
        return if left.is_empty() {
            Ok(())
        } else {
            Err(ShutdownError { count: 0, names: Vec::new(), threads: left })
        };
    }
    let grace = Some(now() + GRACE);
    // A worker that has not left its loop by then is stuck in a green thread.
    shared.wait_for(grace, |left| left == shared.workers());
    let pool = shared.blocking.close(grace);
    give_up(shared);
    let mut error = ShutdownError { count: 0, names: Vec::new(), threads: Vec::new() };
    let mut running: Vec<_> = shared.remotes.iter().map(|remote| remote.runs()).collect();
    for (index, _) in running.iter().enumerate().filter(|(_, task)| task.is_some()) {
        error.threads.push(worker_name(shared, index));
    }
    error.threads.extend(pool);
    for remote in &shared.remotes {
        remote.owned.lock().each(|task| {
            error.count += 1;
            running.iter_mut().filter(|running| **running == Some(task)).for_each(|running| *running = None);
            // SAFETY: a task is removed from the list of parked tasks before it is freed, and the lock is held. The
            // name is immutable.
            error.names.extend(unsafe { task.as_ref() }.name().map(str::to_owned));
        });
    }
    // A task without a name that has never parked is not listed.
    error.count += running.iter().flatten().count();
    // Some were there when the time was over, even if they have ended since.
    error.count = error.count.max(1);
    Err(error)
}

/// Ends all waits for the tasks that are parked, and for those that wait to start at workers that are all stuck. The
/// latter stay in their queues: if their worker goes on, their captures are dropped there.
fn give_up(shared: &Shared) {
    shared.abandon_parked(None);
    let mut leftovers = Vec::new();
    for queue in shared.remotes.iter().map(|remote| &remote.stackless).chain([&shared.injector]) {
        let mut tasks = Vec::new();
        queue.take_oldest(usize::MAX, |task| tasks.push(task));
        for task in &tasks {
            // SAFETY: the right to run the task keeps it alive.
            leftovers.extend(unsafe { Task::abandon(task.pointer()) });
        }
        queue.push_all(tasks.into_iter());
    }
    shared.finish_elsewhere(leftovers);
}
