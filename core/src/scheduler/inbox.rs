//! A worker's inbox: the tasks that other threads send to it, and how they wake it.
//!
//! The inbox is one word, the head of a stack of tasks linked through `Task::link`:
//!
//! | head | meaning | a sender changes it to | the worker changes it to |
//! |---|---|---|---|
//! | null | empty, the worker is awake | its task | `ASLEEP`, before it sleeps |
//! | `ASLEEP` | empty, the worker sleeps or is about to | its task, and then wakes the worker | null, when it is awake |
//! | a task | mail | its task, in front | null, taking all |
//!
//! Null and a task may also carry the mark `LOOK`, which asks the worker to look around at the start of its next turn.
//! Any thread sets the mark. A sender keeps it. The worker takes it together with the mail. The mark counts as mail.
//!
//! Exactly one sender changes `ASLEEP` into a task, and only that sender wakes the worker. The worker sleeps only
//! after it has changed null into `ASLEEP`, which fails if there is mail. So the worker finds mail that came before,
//! and mail that comes after wakes it. No fence is needed, because everything is in one word.

use core::ptr::{self, NonNull};

use crate::primitives::{AtomicPtr, Ordering};
use crate::task::{Runnable, Task};

const ASLEEP: *mut Task = ptr::without_provenance_mut(1);
/// A bit that no task's address has set.
const LOOK: usize = 2;
const _: () = assert!(align_of::<Task>() > LOOK);

/// Returns the task in a head that is not `ASLEEP`, or null.
#[inline]
fn address(head: *mut Task) -> *mut Task {
    head.map_addr(|addr| addr & !LOOK)
}

/// The contents of an inbox. Iterates over the tasks, the oldest first.
#[derive(Debug)]
#[must_use = "the tasks have to be queued"]
pub(crate) struct Mail {
    /// The oldest task that is left. The others are linked behind it. Null if there is none.
    oldest: *mut Task,
    /// Set when the worker is to look around.
    pub(crate) look: bool,
}

impl Iterator for Mail {
    type Item = Runnable;

    fn next(&mut self) -> Option<Runnable> {
        // SAFETY: `Inbox::take` gave this value the whole chain, with the right to run its tasks.
        let task = NonNull::new(self.oldest).map(|task| unsafe { Runnable::new(task) })?;
        // Relaxed: no other thread uses the links now.
        self.oldest = task.link.load(Ordering::Relaxed);
        Some(task)
    }
}

/// A queue with many senders and one receiver, the worker.
#[derive(Debug)]
pub(crate) struct Inbox {
    head: AtomicPtr<Task>,
}

impl Inbox {
    pub(crate) fn new() -> Inbox {
        Inbox { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Adds a task. Returns true if the worker sleeps. Then the caller must wake it.
    #[inline]
    #[must_use]
    pub(crate) fn push(&self, task: Runnable) -> bool {
        // Relaxed: the exchange below checks the value.
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            let asleep = head == ASLEEP;
            let next = if asleep { ptr::null_mut() } else { address(head) };
            // Relaxed: the exchange publishes the link.
            task.link.store(next, Ordering::Relaxed);
            let look = if asleep { 0 } else { head.addr() & LOOK };
            let new = task.pointer().as_ptr().map_addr(|addr| addr | look);
            // AcqRel: the worker sees the task. A sender that finds `ASLEEP` sees what the worker did before. The
            // exchange gives the right to run the task to the inbox.
            match self.head.compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return asleep,
                Err(seen) => head = seen,
            }
        }
    }

    /// Asks the worker to look around at the start of its next turn. Returns true if the worker sleeps, and then sets
    /// no mark: the worker looks around when the caller wakes it.
    #[must_use]
    pub(crate) fn ask_to_look(&self) -> bool {
        // Relaxed: the exchange below checks the value.
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head == ASLEEP {
                return true;
            }
            let new = head.map_addr(|addr| addr | LOOK);
            // The exchange takes place even if the mark is set already, for its Release: the worker that takes the
            // mark sees what the caller did before.
            match self.head.compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return false,
                Err(seen) => head = seen,
            }
        }
    }

    /// Returns whether there may be mail.
    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        // Relaxed: a hint. `take` synchronises.
        self.head.load(Ordering::Relaxed).addr() > ASLEEP.addr()
    }

    /// Takes all mail, and marks the worker as awake.
    pub(crate) fn take(&self) -> Mail {
        // Acquire: pairs with the exchanges of the senders, and of the threads that set the mark.
        let head = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        if head == ASLEEP {
            return Mail { oldest: ptr::null_mut(), look: false };
        }
        let look = head.addr() & LOOK != 0;
        let mut newer = address(head);
        let mut oldest = ptr::null_mut();
        while let Some(task) = NonNull::new(newer) {
            // SAFETY: `push` requires tasks that are alive, and the swap gave this thread the whole chain. Relaxed: no
            // other thread uses the links now.
            let link = unsafe { &task.as_ref().link };
            newer = link.load(Ordering::Relaxed);
            link.store(oldest, Ordering::Relaxed);
            oldest = task.as_ptr();
        }
        Mail { oldest, look }
    }

    /// Marks the worker as about to sleep. Returns false if there is mail.
    #[must_use]
    pub(crate) fn sleep(&self) -> bool {
        // Release: pairs with the sender that finds `ASLEEP`.
        self.head.compare_exchange(ptr::null_mut(), ASLEEP, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Marks a sleeper as awake. Returns false if it does not sleep, or if a sender is to wake it.
    #[must_use]
    pub(crate) fn wake_up(&self) -> bool {
        // Acquire: pairs with the exchange of `sleep`. The caller sees what the sleeper did before.
        self.head.compare_exchange(ASLEEP, ptr::null_mut(), Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Marks the worker as awake again, whatever the reason.
    pub(crate) fn awake(&self) {
        // Fails if there is mail, and then the head already shows that the worker is awake. Relaxed: nothing is handed
        // over.
        let _ = self.head.compare_exchange(ASLEEP, ptr::null_mut(), Ordering::Relaxed, Ordering::Relaxed);
    }
}
