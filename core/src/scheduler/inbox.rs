//! A worker's inbox: what others have for it, and how they wake it.
//!
//! One word, the head of a stack of jobs linked through `Job::link`:
//!
//! | head | means | a sender makes it | the worker makes it |
//! |---|---|---|---|
//! | null | empty, the worker is awake | its job | `ASLEEP`, before it sleeps |
//! | `ASLEEP` | empty, the worker sleeps or is about to | its job, and then wakes the worker | null, when it is awake |
//! | a job | mail | its job, in front | null, taking all |
//!
//! Null and a job may have the mark `LOOK` besides: the worker is to look around at the start of its next turn. Any thread
//! sets it; a sender keeps it; the worker takes it with the mail. It counts as mail.
//!
//! Who turns `ASLEEP` into a job, and only that sender, wakes the worker. The worker sleeps only after it has turned
//! null into `ASLEEP`, which fails if there is mail. So mail that came before is found, mail that comes after wakes,
//! and no fence is needed: it is all one word.

use core::ptr::{self, NonNull};

use crate::facade::{AtomicPtr, Ordering};
use crate::job::Job;

const ASLEEP: *mut Job = ptr::without_provenance_mut(1);
/// A bit that no job's address has.
const LOOK: usize = 2;
const _: () = assert!(align_of::<Job>() > LOOK);

/// The job in a head that is not `ASLEEP`, or null.
#[inline]
fn job(head: *mut Job) -> *mut Job {
    head.map_addr(|addr| addr & !LOOK)
}

/// What was in an inbox.
#[derive(Debug)]
pub(crate) struct Mail {
    /// The oldest job; the others are linked behind it. Null if there is none.
    pub(crate) oldest: *mut Job,
    /// The worker is to look around.
    pub(crate) look: bool,
}

/// Many senders, one receiver.
#[derive(Debug)]
pub(crate) struct Inbox {
    head: AtomicPtr<Job>,
}

impl Inbox {
    pub(crate) fn new() -> Inbox {
        Inbox { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Puts in a chain of jobs, linked from `newest` to `oldest`, or one job as both. Answers true if the worker sleeps
    /// and the caller must wake it.
    ///
    /// # Safety
    ///
    /// The jobs are alive, in no queue, and the caller's to give.
    #[inline]
    #[must_use]
    pub(crate) unsafe fn push(&self, newest: NonNull<Job>, oldest: NonNull<Job>) -> bool {
        // Relaxed: the exchange below checks what was seen.
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            let asleep = head == ASLEEP;
            let next = if asleep { ptr::null_mut() } else { job(head) };
            // SAFETY: alive and ours until the exchange succeeds. Relaxed: published by the exchange.
            unsafe { oldest.as_ref() }.link.store(next, Ordering::Relaxed);
            let look = if asleep { 0 } else { head.addr() & LOOK };
            let new = newest.as_ptr().map_addr(|addr| addr | look);
            // AcqRel: the worker sees the jobs; a sender that finds ASLEEP sees what the worker did before.
            match self.head.compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return asleep,
                Err(seen) => head = seen,
            }
        }
    }

    /// Asks the worker to look around at the start of its next turn. Returns true if the worker sleeps instead and has not
    /// been asked: then it looks around when the caller wakes it.
    #[must_use]
    pub(crate) fn ask_to_look(&self) -> bool {
        // Relaxed: as in `push`.
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head == ASLEEP {
                return true;
            }
            let new = head.map_addr(|addr| addr | LOOK);
            // Also if the mark is there already. Release: the worker that takes the mark sees what the caller did before.
            match self.head.compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return false,
                Err(seen) => head = seen,
            }
        }
    }

    /// Whether there may be mail.
    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        // Relaxed: a hint; `take` synchronises.
        self.head.load(Ordering::Relaxed).addr() > ASLEEP.addr()
    }

    /// Takes all mail, and says that the worker is awake.
    pub(crate) fn take(&self) -> Mail {
        // Acquire: pairs with the exchanges of the senders, and of those that set the mark.
        let head = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        if head == ASLEEP {
            return Mail { oldest: ptr::null_mut(), look: false };
        }
        let look = head.addr() & LOOK != 0;
        let mut newer = job(head);
        let mut oldest = ptr::null_mut();
        while let Some(job) = NonNull::new(newer) {
            // SAFETY: the chain was given to us whole. Relaxed: it is ours alone now.
            let link = unsafe { &job.as_ref().link };
            newer = link.load(Ordering::Relaxed);
            link.store(oldest, Ordering::Relaxed);
            oldest = job.as_ptr();
        }
        Mail { oldest, look }
    }

    /// The worker is about to sleep. Answers false if there is mail.
    #[must_use]
    pub(crate) fn sleep(&self) -> bool {
        // Release: pairs with the sender that finds ASLEEP.
        self.head.compare_exchange(ptr::null_mut(), ASLEEP, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// The worker is awake again, for whatever reason.
    pub(crate) fn awake(&self) {
        // Fails if there is mail, which says the same. Relaxed: nothing is handed over.
        let _ = self.head.compare_exchange(ASLEEP, ptr::null_mut(), Ordering::Relaxed, Ordering::Relaxed);
    }
}
