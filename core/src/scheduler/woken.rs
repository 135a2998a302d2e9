//! How woken tasks, above all those with a stack, come to run again.

use core::ptr::NonNull;

use crate::facade::Ordering;
use crate::job::Job;
use crate::scheduler::worker::Worker;

impl Worker {
    /// Wakes a task on this worker: one with a stack here, or a migratory one.
    #[inline]
    pub(super) fn wake_here(&self, job: NonNull<Job>) {
        if self.bulk.get() {
            self.queue_woken(job);
            return;
        }
        // SAFETY: the waker has claimed the task, so it is alive and this worker's to queue.
        let before = if unsafe { job.as_ref() }.traits.migratory {
            self.remote.next.replace(job)
        } else {
            NonNull::new(self.next.replace(job.as_ptr()))
        };
        if let Some(before) = before {
            self.queue_woken(before);
        }
    }

    /// Wakes a task without a stack on this worker, from a task that is about to park. The woken one runs after that.
    #[inline]
    pub(super) fn wake_here_next(&self, job: NonNull<Job>) {
        if let Some(before) = NonNull::new(self.next.replace(job.as_ptr())) {
            self.queue_woken(before);
        }
    }

    /// Adds a woken task at the end of its queue.
    #[inline]
    pub(super) fn queue_woken(&self, job: NonNull<Job>) {
        // SAFETY: the caller hands over a task that is alive and in no queue.
        let this = unsafe { job.as_ref() };
        if this.traits.local {
            self.local.push(job);
        } else if this.fiber().is_null() {
            self.push_again(job);
        } else if this.traits.migratory {
            self.remote.ready.push(job);
        } else {
            self.local.push(job);
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
        let mut fresh = false;
        while let Some(job) = NonNull::new(next) {
            // SAFETY: a sender gives tasks that are alive, and `take` gave this worker the whole chain. Relaxed: no
            // other thread uses the links now.
            let this = unsafe { job.as_ref() };
            next = this.link.load(Ordering::Relaxed);
            if this.fiber().is_null() && !this.traits.local {
                self.remote.fresh.push_behind(job);
                fresh = true;
            } else {
                self.queue_woken(job);
            }
        }
        if fresh {
            self.call_for_help();
        }
    }
}
