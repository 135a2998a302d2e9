//! Models of the protocols of scheduler, tasks and waiters, in every order of the steps of two or three threads.
//!
//! Built where there are no fibers: under loom, which runs all orders (`ci/loom.sh`), and under Miri and
//! ThreadSanitizer, which check the orders that happen (`ci/miri.sh`, `ci/sanitize.sh`).
//!
//! | file | models |
//! |---|---|
//! | `inbox` | mail against going to sleep |
//! | `direction` | an event of a descriptor against a thread or a task that begins to wait; the turns of threads |
//! | `homes` | the right to carry a home that travels |
//! | `idle` | work for any worker against going to sleep; stealing |
//! | `sleep` | a wake-up against a worker that sleeps on its parker or in its poller |
//! | `task` | the end of a task against joiners, a handle that is dropped, and wakers |
//! | `wait_list` | futures in a wait list: claims against drops, polls, and cancels of threads beside them |
//! | `waiter` | which thread ends a wait |
//!
//! A lost wake-up is a thread that waits for ever, which loom reports as a deadlock.

mod direction;
mod homes;
mod idle;
mod inbox;
mod sleep;
mod task;
mod wait_list;
mod waiter;

use core::ptr::NonNull;

use crate::primitives::explore::{Arc, Place};
use crate::scheduler::{self, Scheduler};
use crate::task::{Runnable, SpawnOptions, Task, allocate};

/// A number of preemptions so high that all orders are run, for two threads. With a lower bound, loom's own pruning
/// may pass over an order that is within the bound.
const ALL: usize = u8::MAX as usize;

/// A number. Each of its uses must be ordered after the previous one.
#[derive(Debug)]
struct Checked(Place<usize>);

// SAFETY: the model fails if two threads use the value at once.
unsafe impl Sync for Checked {}
// SAFETY: the model fails if two threads use the value at once.
unsafe impl Send for Checked {}

impl Checked {
    fn new(value: usize) -> Checked {
        Checked(Place::new(value))
    }

    fn set(&self, value: usize) {
        // SAFETY: the model fails if two threads use the value at once.
        self.0.with_mut(|place| unsafe { *place = value });
    }

    fn get(&self) -> usize {
        // SAFETY: the model fails if two threads use the value at once.
        self.0.with(|place| unsafe { *place })
    }
}

/// A task with its two references, the runtime's and the handle's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spawned(NonNull<Task>);

// SAFETY: `spawn` takes only closures and outputs that are `Send`.
unsafe impl Send for Spawned {}
// SAFETY: `spawn` takes only closures and outputs that are `Send`, and the header is `Sync`.
unsafe impl Sync for Spawned {}

fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Spawned {
    // SAFETY: closure and output are `Send` and `'static`.
    Spawned(unsafe { allocate::<Scheduler, _, _>(work, None, SpawnOptions::default()) })
}

/// A task that checks that it sees what its sender wrote before it sent it.
fn letter(n: usize) -> Spawned {
    let written = Arc::new(Checked::new(0));
    let task = spawn({
        let written = written.clone();
        move || assert_eq!(written.get(), n)
    });
    written.set(n);
    task
}

impl Spawned {
    /// Runs the task, as a worker does. Called once.
    fn run(self) {
        // SAFETY: the runtime's reference keeps the task alive, and each model runs it once.
        assert!(unsafe { scheduler::run(self.0) });
    }

    /// Returns the right to queue the task. Called by the thread that has it.
    fn runnable(self) -> Runnable {
        // SAFETY: a model queues a task once at a time.
        unsafe { Runnable::new(self.0) }
    }

    /// Returns the task whose right to run a thread has taken from a queue.
    fn of(task: Runnable) -> Spawned {
        Spawned(task.into_pointer())
    }

    /// Drops the handle. Called once, and the handle is not used afterwards.
    fn drop_handle(self) {
        // SAFETY: the handle's reference keeps the task alive.
        unsafe { Task::drop_handle(self.0) };
    }

    /// Takes a third reference.
    fn retain(self) {
        self.task().state.retain();
    }

    /// Releases the third reference. Called once for each `retain`.
    fn release(self) {
        // SAFETY: gives up the reference of a `retain`.
        unsafe { Task::release(self.0) };
    }

    /// Returns the task, while the model holds a reference.
    fn task(&self) -> &Task {
        // SAFETY: the model holds a reference.
        unsafe { self.0.as_ref() }
    }
}
