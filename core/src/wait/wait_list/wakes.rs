//! The wake-ups that a call of a list owes: the waiters that it has claimed, in the order of the claims.
//!
//! While the list is locked, the claimed nodes form a chain. A claimed thread does not run before it is woken, so its
//! node stays in the chain until then, and nothing is allocated. The future of a task may be dropped as soon as the
//! list is unlocked. So [`Wakes::settle`], just before that, takes the nodes of tasks out of the chain, and keeps their
//! wakers.

use core::cell::Cell;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use core::task::Waker;

use crate::wait::queue::Node;
use crate::wait::task::TaskWaiter;
use crate::wait::wake::{Wake, wake_task};

type Link = Option<NonNull<Node>>;

/// Claimed nodes, linked in the order of their claims.
pub(super) struct Chain {
    first: Cell<Link>,
    last: Cell<Link>,
}

impl Chain {
    /// Adds a node that was just claimed. The list is locked.
    pub(super) fn push(&self, node: NonNull<Node>) {
        // SAFETY: the list is locked, so the nodes that were claimed under the lock are valid. No queue uses their links
        // any more. So the links belong to this thread.
        unsafe {
            node.as_ref().next.set(None);
            match self.last.replace(Some(node)) {
                Some(last) => last.as_ref().next.set(Some(node)),
                None => self.first.set(Some(node)),
            }
        }
    }
}

/// The waker of a claimed task, with the thread that was claimed last before the task. That node is compared, and not
/// read.
type TaskWake = (Link, Waker);

/// Claimed waiters. They are woken in order when this is dropped, after unlocking. `TASKS` says whether tasks may be
/// among them; without it, they cost nothing.
pub(super) struct Wakes<const TASKS: bool> {
    chain: Chain,
    /// The first task. Mostly there is one at most, and then nothing is allocated.
    ///
    /// Without `TASKS`, there is never a task. So the destructor alone decides whether there is anything to drop.
    task: ManuallyDrop<Cell<Option<TaskWake>>>,
    /// Whether there is a task.
    has_wakers: Cell<bool>,
    /// The other tasks.
    more_tasks: ManuallyDrop<Cell<Vec<TaskWake>>>,
}

impl<const TASKS: bool> Wakes<TASKS> {
    #[inline]
    pub(super) fn new() -> Wakes<TASKS> {
        Wakes {
            chain: Chain { first: Cell::new(None), last: Cell::new(None) },
            task: ManuallyDrop::new(Cell::new(None)),
            has_wakers: Cell::new(false),
            more_tasks: ManuallyDrop::new(Cell::new(Vec::new())),
        }
    }

    #[inline]
    pub(super) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Returns whether a task was claimed since the list was locked. The list is still locked.
    #[inline]
    fn has_task(&self) -> bool {
        let mut next = self.chain.first.get();
        while TASKS && let Some(node) = next {
            // SAFETY: the node was claimed and its waiter is not yet woken, and the list is still locked. So the node and
            // its waiter are valid.
            unsafe {
                if node.as_ref().waiter.as_ref().kind().is_task {
                    return true;
                }
                next = node.as_ref().next.get();
            }
        }
        false
    }

    /// Called by a thread that is about to open a wait, with the list locked.
    ///
    /// # Panics
    ///
    /// Panics if a task was claimed since the list was locked. Its waker is user code, which may wait, and would run
    /// while the wait of the caller is open.
    #[inline]
    pub(super) fn assert_no_task(&self) {
        assert!(!self.has_task(), "a thread that has claimed a task is about to wait");
    }

    /// Prepares for the unlock of the list. The list is still locked.
    #[inline]
    pub(super) fn settle(&self) {
        if self.has_task() {
            self.take_wakers();
        }
    }

    /// Takes the nodes of tasks out of the chain, and takes the wakers of these tasks.
    #[cold]
    #[inline(never)]
    fn take_wakers(&self) {
        self.has_wakers.set(true);
        let mut next = self.chain.first.take();
        let mut last: Link = None;
        while let Some(node) = next {
            // SAFETY: the node was claimed and its waiter is not yet woken, and the list is still locked. So the node and
            // its waiter are valid, and the links and a task's waker belong to this thread.
            unsafe {
                let waiter = node.as_ref().waiter;
                next = node.as_ref().next.get();
                if waiter.as_ref().kind().is_task {
                    if let Some(waker) = TaskWaiter::take_waker(waiter) {
                        self.add_task((last, waker));
                    }
                    continue;
                }
                node.as_ref().next.set(None);
                match last.replace(node) {
                    Some(last) => last.as_ref().next.set(Some(node)),
                    None => self.chain.first.set(Some(node)),
                }
            }
        }
        self.chain.last.set(last);
    }

    fn add_task(&self, wake: TaskWake) {
        match self.task.take() {
            None => self.task.set(Some(wake)),
            first @ Some(_) => {
                self.task.set(first);
                let mut more = self.more_tasks.take();
                more.push(wake);
                self.more_tasks.set(more);
            }
        }
    }

    /// Wakes threads and tasks.
    #[cold]
    #[inline(never)]
    fn wake_mixed(&self) {
        let mut next = self.chain.first.get();
        let mut last = None;
        for (after, waker) in self.task.take().into_iter().chain(self.more_tasks.take()) {
            while last != after
                && let Some(node) = next
            {
                // SAFETY: the chain's nodes are those of threads that are claimed and not yet woken, since `settle` has
                // removed the tasks.
                next = unsafe { wake_thread(node) };
                last = Some(node);
            }
            wake_task(waker);
        }
        // SAFETY: the same holds for the rest of the chain.
        unsafe { wake_threads(next) };
    }
}

impl<const TASKS: bool> Drop for Wakes<TASKS> {
    #[inline]
    fn drop(&mut self) {
        if TASKS && self.has_wakers.get() {
            return self.wake_mixed();
        }
        // SAFETY: the chain's nodes are those of threads that are claimed and not yet woken, since `settle` has removed the
        // tasks.
        unsafe { wake_threads(self.chain.first.get()) };
    }
}

/// Wakes the threads that wait with this node and with those after it.
///
/// # Safety
///
/// The nodes are those of threads, which are claimed and not yet woken.
#[inline]
unsafe fn wake_threads(mut next: Link) {
    while let Some(node) = next {
        // SAFETY: the caller guarantees that it is the node of a thread that is claimed and not yet woken.
        next = unsafe { wake_thread(node) };
    }
}

/// Wakes the thread that waits with this node. Returns the next node.
///
/// # Safety
///
/// The node is that of a thread, which is claimed and not yet woken.
#[inline]
unsafe fn wake_thread(node: NonNull<Node>) -> Link {
    // SAFETY: the waiter is claimed and not yet woken, so its node is valid. The node is not used after the waiter is
    // woken.
    unsafe {
        let next = node.as_ref().next.get();
        Wake::wake_thread(node.as_ref().waiter);
        next
    }
}
