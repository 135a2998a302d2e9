//! How woken tasks, above all those with a stack, come to run again.

use core::ptr::NonNull;

use crate::primitives::Ordering;
use crate::scheduler::worker::Worker;
use crate::task::Task;

impl Worker {
    /// Wakes a task on this worker: one with a stack here, or a migratory one.
    #[inline]
    pub(super) fn wake_here(&self, task: NonNull<Task>) {
        if self.bulk.get() {
            self.queue_woken(task);
            return;
        }
        // SAFETY: the waker has claimed the task, so it is alive and this worker's to queue.
        let before = if unsafe { task.as_ref() }.options.migratory {
            self.remote.next.replace(task)
        } else {
            NonNull::new(self.next.replace(task.as_ptr()))
        };
        if let Some(before) = before {
            self.queue_woken(before);
        }
    }

    /// Wakes a task without a stack on this worker, from a task that is about to park. The woken one runs after that.
    #[inline]
    pub(super) fn wake_here_next(&self, task: NonNull<Task>) {
        if let Some(before) = NonNull::new(self.next.replace(task.as_ptr())) {
            self.queue_woken(before);
        }
    }

    /// Adds a woken task at the end of its queue.
    #[inline]
    pub(super) fn queue_woken(&self, task: NonNull<Task>) {
        // SAFETY: the caller hands over a task that is alive and in no queue.
        let this = unsafe { task.as_ref() };
        if this.options.local {
            self.local.push(task);
        } else if this.fiber().is_null() {
            self.push_again(task);
        } else if this.options.migratory {
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
        let mut next = mail.oldest;
        let mut stackless = false;
        while let Some(task) = NonNull::new(next) {
            // SAFETY: a sender gives tasks that are alive, and `take` gave this worker the whole chain. Relaxed: no
            // other thread uses the links now.
            let this = unsafe { task.as_ref() };
            next = this.link.load(Ordering::Relaxed);
            if this.fiber().is_null() && !this.options.local {
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
