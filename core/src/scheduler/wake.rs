//! How woken tasks, above all those with a stack, come to run again.

use crate::scheduler::worker::Worker;
use crate::task::Runnable;

impl Worker {
    /// Wakes a task on this worker: one with a stack here, or a migratory one.
    #[inline]
    pub(super) fn wake_here(&self, task: Runnable) {
        if self.bulk.get() {
            self.queue_woken(task);
            return;
        }
        let before = if task.options.migratory {
            self.remote.next.replace(task)
        } else {
            self.next.replace(Some(task))
        };
        if let Some(before) = before {
            self.queue_woken(before);
        }
    }

    /// Wakes a task without a stack on this worker, from a task that is about to park. The woken one runs after that.
    #[inline]
    pub(super) fn wake_here_next(&self, task: Runnable) {
        if let Some(before) = self.next.replace(Some(task)) {
            self.queue_woken(before);
        }
    }

    /// Adds a woken task at the end of its queue.
    #[inline]
    pub(super) fn queue_woken(&self, task: Runnable) {
        if task.options.local {
            self.local.push(task);
        } else if task.fiber().is_null() {
            self.push_again(task);
        } else if task.options.migratory {
            self.remote.ready.push(task);
        } else {
            self.local.push(task);
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
