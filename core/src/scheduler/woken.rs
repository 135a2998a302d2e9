//! Jobs with a stack: how those that are woken come to run again.

use core::ptr::NonNull;

use crate::facade::Ordering;
use crate::job::Job;
use crate::scheduler::worker::Worker;

impl Worker {
    /// A job with a stack here is woken on this worker.
    #[inline]
    pub(super) fn wake_here(&self, job: NonNull<Job>) {
        if self.bulk.get() {
            self.queue_woken(job);
            return;
        }
        // SAFETY: alive and ours.
        let before = if unsafe { job.as_ref() }.traits.migratory {
            self.remote.next.replace(job)
        } else {
            NonNull::new(self.next.replace(job.as_ptr()))
        };
        if let Some(before) = before {
            self.queue_woken(before);
        }
    }

    /// A job without a stack is woken on this worker by one that is about to park, and runs after that.
    #[inline]
    pub(super) fn wake_here_next(&self, job: NonNull<Job>) {
        if let Some(before) = NonNull::new(self.next.replace(job.as_ptr())) {
            self.queue_woken(before);
        }
    }

    /// Puts a woken job at the end of its queue.
    #[inline]
    pub(super) fn queue_woken(&self, job: NonNull<Job>) {
        // SAFETY: alive and ours.
        let this = unsafe { job.as_ref() };
        if this.traits.local {
            self.local.push(job);
        } else if this.fiber().is_null() {
            self.push_fresh(job);
        } else if this.traits.migratory {
            self.remote.ready.push(job);
        } else {
            self.local.push(job);
        }
    }

    /// Puts a woken job behind all others of its queue: it has had more than its share.
    pub(super) fn queue_behind(&self, job: NonNull<Job>) {
        // SAFETY: alive and ours.
        let this = unsafe { job.as_ref() };
        if this.fiber().is_null() && !this.traits.local {
            self.push_again(job);
        } else {
            self.queue_woken(job);
        }
    }

    /// Sorts what others have sent.
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
            // SAFETY: mail is alive and ours. Relaxed: the chain is ours alone.
            let this = unsafe { job.as_ref() };
            next = this.link.load(Ordering::Relaxed);
            if this.fiber().is_null() && !this.traits.local {
                self.remote.fresh.push(job);
                fresh = true;
            } else {
                self.queue_woken(job);
            }
        }
        if fresh && !self.shared.idle.is_watched() {
            self.shared.wake_one();
        }
    }
}
