//! How woken tasks, above all those with a stack, come to run again.

use core::cell::Cell;

use crate::scheduler::run_queue::LocalQueue;
use crate::scheduler::shared_home::SharedHome;
use crate::scheduler::worker::Worker;
use crate::task::Runnable;

/// The tasks that wait for this worker, and that no other takes.
pub(super) struct LocalTasks {
    /// The task that runs next.
    next: Cell<Option<Runnable>>,
    queue: LocalQueue,
    /// Set when wake-ups go to the end of the queue, because the worker itself wakes, and not a task.
    bulk: Cell<bool>,
}

impl LocalTasks {
    pub(super) const fn new() -> LocalTasks {
        LocalTasks { next: Cell::new(None), queue: LocalQueue::new(), bulk: Cell::new(false) }
    }

    /// Takes the task that runs next.
    #[inline]
    pub(super) fn take_next(&self) -> Option<Runnable> {
        self.next.take()
    }

    pub(super) fn has_next(&self) -> bool {
        let next = self.next.take();
        let any = next.is_some();
        self.next.set(next);
        any
    }

    /// Adds a task at the end of the queue.
    #[inline]
    pub(super) fn push(&self, task: Runnable) {
        self.queue.push(task);
    }

    /// Takes the task at the front of the queue.
    #[inline]
    pub(super) fn pop(&self) -> Option<Runnable> {
        self.queue.pop()
    }

    /// Makes a task the next to run. Returns the one that was the next.
    #[inline]
    pub(super) fn set_next(&self, task: Runnable) -> Option<Runnable> {
        self.next.replace(Some(task))
    }

    /// Returns whether there is no task at all.
    pub(super) fn is_empty_at_all(&self) -> bool {
        self.is_empty() && !self.has_next()
    }

    /// Returns whether the queue has no tasks. The task that runs next does not count.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Calls `wake`, which wakes tasks for the worker and not for a task. They go to the ends of their queues.
    #[inline]
    pub(super) fn in_bulk<R>(&self, wake: impl FnOnce() -> R) -> R {
        self.bulk.set(true);
        let result = wake();
        self.bulk.set(false);
        result
    }
}

impl Worker {
    /// Wakes a task on this worker: one with a stack here, or a migratory one.
    #[inline]
    pub(super) fn wake_here(&self, task: Runnable) {
        if self.local.bulk.get() {
            self.queue_woken(task);
            return;
        }
        let before = if task.options.migratory {
            self.remote.next.replace(task)
        } else {
            self.local.next.replace(Some(task))
        };
        if let Some(before) = before {
            self.queue_woken(before);
        }
    }

    /// Wakes a member of a home, from a task on this worker or from the worker itself. With `last`, the member goes to the
    /// end of its queue.
    #[inline]
    pub(super) fn wake_member(&self, home: &'static SharedHome, task: Runnable, last: bool) {
        let last = last || self.local.bulk.get();
        if self.carries(home) {
            if last {
                home.tasks.push(task);
            } else if let Some(before) = home.tasks.set_next(task) {
                home.tasks.push(before);
            }
        } else {
            self.send_home(home, task, last);
        }
    }

    /// Wakes a task without a stack on this worker, from a task that is about to park. The woken one runs after that.
    #[inline]
    pub(super) fn wake_here_next(&self, task: Runnable) {
        if let Some(before) = self.local.next.replace(Some(task)) {
            self.queue_woken(before);
        }
    }

    /// Adds a woken task at the end of its queue.
    #[inline(always)]
    pub(super) fn queue_woken(&self, task: Runnable) {
        if task.fiber().is_null() && !task.options.local {
            self.push_again(task);
        } else if task.options.migratory {
            self.push_ready(task);
        } else if let Some(home) = task.shared_home() {
            self.queue_in_home(home, task);
        } else {
            self.local.push(task);
        }
    }

    /// Queues a migratory task, or the unit of a home, that this worker or another one runs later.
    #[inline(never)]
    pub(super) fn push_ready(&self, task: Runnable) {
        self.remote.ready.push(task);
        // A worker that has woken for one task runs it at once.
        if !self.local.bulk.get() || self.remote.ready.len() > 1 {
            self.call_for_help();
        }
    }

    /// Takes the mail, and sorts it into the queues.
    #[cold]
    pub(super) fn take_mail(&self) {
        let mail = self.remote.inbox.take();
        if mail.look {
            self.take_injected();
            if self.shared.is_closing() {
                self.cancel_all();
            }
        }
        let mut stackless = false;
        for task in mail {
            if task.fiber().is_null() && !task.options.local {
                self.remote.stackless.push_behind(task);
                stackless = true;
            } else {
                self.queue_woken(task);
            }
        }
        if stackless {
            self.call_for_help();
        }
    }
}
