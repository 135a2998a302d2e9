//! The kinds of run queue.
//!
//! [`LocalQueue`] holds green threads at their home. It is a worker's own, first in, first out, without atomics.
//!
//! [`SharedQueue`] holds tasks that may be stolen: tasks without a stack, and migratory ones. The owner takes tasks
//! without a stack newest first. A tree of green threads is then run depth first, so that few of them are alive at
//! once, and the data touched last is still in the cache. At intervals the owner takes the oldest, so that no task
//! waits for ever. It takes migratory tasks with a stack oldest first. Tasks that have had more than their share stand
//! [behind](SharedQueue::push_behind) all of these, first in, first out. A thief takes the older half, which are the
//! larger subtrees. This is as in Cilk (Blumofe and Leiserson, "Scheduling multithreaded computations by work
//! stealing", 1999), but with a lock. An uncontended lock costs the owner one compare-and-swap for a push and one for
//! a pop. A Chase-Lev deque costs one fence for a pop. Behind a lock, "half of it, in order, if the oldest has waited
//! long enough" is one step.
//!
//! [`Slot`] holds one task: the migratory task that its worker runs next, unless a thief takes it.

use core::cell::Cell;
use core::ptr::{self, NonNull};
use std::collections::VecDeque;

use crate::primitives::{AtomicPtr, AtomicUsize, Lock, Ordering};
use crate::task::{Runnable, Task};

/// A worker's own queue, linked through `Task::link`.
#[derive(Debug)]
pub(crate) struct LocalQueue {
    head: Cell<*mut Task>,
    tail: Cell<*mut Task>,
}

impl LocalQueue {
    pub(crate) const fn new() -> LocalQueue {
        LocalQueue { head: Cell::new(ptr::null_mut()), tail: Cell::new(ptr::null_mut()) }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.get().is_null()
    }

    /// Adds a task at the end.
    #[inline]
    pub(crate) fn push(&self, task: Runnable) {
        // Relaxed (here and in `pop`): only this worker uses the queue.
        task.link.store(ptr::null_mut(), Ordering::Relaxed);
        let task = task.into_pointer();
        match NonNull::new(self.tail.replace(task.as_ptr())) {
            // SAFETY: this queue holds the right to run its tasks, which keeps them alive (`Runnable`).
            Some(tail) => unsafe { tail.as_ref() }.link.store(task.as_ptr(), Ordering::Relaxed),
            None => self.head.set(task.as_ptr()),
        }
    }

    /// Takes the task at the front.
    #[inline]
    pub(crate) fn pop(&self) -> Option<Runnable> {
        // SAFETY: `push` gave the right to run the task to this queue, which gives it up below.
        let task = unsafe { Runnable::new(NonNull::new(self.head.get())?) };
        let next = task.link.load(Ordering::Relaxed);
        self.head.set(next);
        if next.is_null() {
            self.tail.set(ptr::null_mut());
        }
        Some(task)
    }
}

/// Room for one task, which a thief may take.
#[derive(Debug)]
pub(crate) struct Slot(AtomicPtr<Task>);

impl Slot {
    pub(crate) fn new() -> Slot {
        Slot(AtomicPtr::new(ptr::null_mut()))
    }

    /// Puts a task in, and returns the one that was there.
    #[inline]
    pub(crate) fn replace(&self, task: Runnable) -> Option<Runnable> {
        // Release: the thread that takes the task sees what its waker did. Acquire: pairs with the put of the task
        // that is returned.
        let before = self.0.swap(task.into_pointer().as_ptr(), Ordering::AcqRel);
        // SAFETY: the exchange took the task, and the right to run it, out of the slot.
        NonNull::new(before).map(|task| unsafe { Runnable::new(task) })
    }

    /// Takes the task out.
    #[inline]
    pub(crate) fn take(&self) -> Option<Runnable> {
        // The Relaxed load suffices: only the owner puts tasks in, so it cannot miss one.
        if self.0.load(Ordering::Relaxed).is_null() {
            return None;
        }
        // Acquire: pairs with the put of the task (`replace`).
        let task = self.0.swap(ptr::null_mut(), Ordering::Acquire);
        // SAFETY: the exchange took the task, and the right to run it, out of the slot.
        NonNull::new(task).map(|task| unsafe { Runnable::new(task) })
    }

    /// Returns the address of the task in it, to compare with later.
    pub(crate) fn seen(&self) -> Option<usize> {
        // Relaxed: the address is only compared. `steal` synchronises.
        NonNull::new(self.0.load(Ordering::Relaxed)).map(|task| task.as_ptr().addr())
    }

    /// Takes the task out for a thief that has `seen` it. The task may have run since, and been put in again. Then the
    /// thief may take it as well.
    pub(crate) fn steal(&self, seen: usize) -> Option<Runnable> {
        let task = self.0.load(Ordering::Relaxed);
        // Acquire: pairs with the put of the task (`replace`).
        let taken = task.addr() == seen
            && self.0.compare_exchange(task, ptr::null_mut(), Ordering::Acquire, Ordering::Relaxed).is_ok();
        // SAFETY: the exchange took the task, and the right to run it, out of the slot.
        NonNull::new(task).filter(|_| taken).map(|task| unsafe { Runnable::new(task) })
    }
}

/// The contents of a shared queue.
#[derive(Debug, Default)]
struct Tasks {
    /// The oldest at the front, the newest at the back.
    stack: VecDeque<Runnable>,
    /// Tasks that have had more than their share, the oldest at the front.
    behind: VecDeque<Runnable>,
}

impl Tasks {
    fn len(&self) -> usize {
        self.stack.len() + self.behind.len()
    }

    fn capacity(&self) -> usize {
        self.stack.capacity() + self.behind.capacity()
    }
}

/// A queue that thieves may take from.
#[derive(Debug)]
pub(crate) struct SharedQueue {
    tasks: Lock<Tasks>,
    /// The length, for reads without the lock. Written with the lock held.
    len: AtomicUsize,
}

/// The end from which the owner takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The newest. The oldest of those behind, if there are no others.
    Newest,
    /// The oldest, but one of those behind only if there are no others.
    Oldest,
    /// The oldest of those behind. The newest of the others, if there are none behind.
    Behind,
}

/// An empty queue gives its buffer back if the capacity is larger than this.
const KEEP: usize = 4096;

impl SharedQueue {
    pub(crate) fn new() -> SharedQueue {
        SharedQueue { tasks: Lock::new(Tasks::default()), len: AtomicUsize::new(0) }
    }

    /// Returns how many tasks there are, or were a moment ago.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        // Relaxed: a hint. A caller that has to be sure takes the lock (`is_empty_for_sure`).
        self.len.load(Ordering::Relaxed)
    }

    /// Adds a task as the newest.
    #[inline]
    pub(crate) fn push(&self, task: Runnable) {
        let mut tasks = self.tasks.lock();
        tasks.stack.push_back(task);
        self.len.store(tasks.len(), Ordering::Relaxed);
    }

    /// Adds tasks, the last of them as the newest.
    pub(crate) fn push_all(&self, more: impl Iterator<Item = Runnable>) {
        let mut tasks = self.tasks.lock();
        tasks.stack.extend(more);
        self.len.store(tasks.len(), Ordering::Relaxed);
    }

    /// Adds a task behind all others.
    pub(crate) fn push_behind(&self, task: Runnable) {
        let mut tasks = self.tasks.lock();
        tasks.behind.push_back(task);
        self.len.store(tasks.len(), Ordering::Relaxed);
    }

    /// Takes a task from the given end.
    #[inline]
    pub(crate) fn pop(&self, end: End) -> Option<Runnable> {
        if self.len() == 0 {
            return None;
        }
        let mut tasks = self.tasks.lock();
        let Tasks { stack, behind } = &mut *tasks;
        let task = match end {
            End::Newest => stack.pop_back().or_else(|| behind.pop_front()),
            End::Oldest => stack.pop_front().or_else(|| behind.pop_front()),
            End::Behind => behind.pop_front().or_else(|| stack.pop_back()),
        };
        self.len.store(tasks.len(), Ordering::Relaxed);
        if tasks.len() == 0 && tasks.capacity() > KEEP {
            let buffer = std::mem::take(&mut *tasks);
            drop(tasks);
            drop(buffer);
        }
        task
    }

    /// Returns how many tasks there are, without those behind.
    pub(crate) fn count_new(&self) -> usize {
        self.tasks.lock().stack.len()
    }

    /// Takes `count` tasks: first those behind, then the oldest of the others.
    pub(crate) fn take_oldest(&self, count: usize, each: impl FnMut(Runnable)) {
        let split = |tasks: &mut VecDeque<Runnable>, count: usize| {
            let rest = tasks.split_off(count.min(tasks.len()));
            std::mem::replace(tasks, rest)
        };
        let (behind, stack) = {
            let mut tasks = self.tasks.lock();
            let behind = split(&mut tasks.behind, count);
            let stack = split(&mut tasks.stack, count - behind.len());
            self.len.store(tasks.len(), Ordering::Relaxed);
            (behind, stack)
        };
        behind.into_iter().chain(stack).for_each(each);
    }

    /// Takes at most `count` of the oldest tasks that are `wanted`, oldest first, and none of those behind. Stops when
    /// it has passed over `patience` others. The tasks that were passed over keep their places.
    pub(crate) fn take_oldest_that(
        &self,
        count: usize,
        patience: usize,
        wanted: impl Fn(&Runnable) -> bool,
        each: impl FnMut(Runnable),
    ) {
        let (mut taken, mut passed) = (Vec::new(), Vec::new());
        {
            let mut tasks = self.tasks.lock();
            while taken.len() < count
                && passed.len() < patience
                && let Some(task) = tasks.stack.pop_front()
            {
                if wanted(&task) { &mut taken } else { &mut passed }.push(task);
            }
            passed.into_iter().rev().for_each(|task| tasks.stack.push_front(task));
            self.len.store(tasks.len(), Ordering::Relaxed);
        }
        taken.into_iter().for_each(each);
    }

    /// Returns the address of the task that a thief would take first, to compare with later. `None` if the queue is
    /// empty or its lock is taken.
    pub(crate) fn oldest(&self) -> Option<usize> {
        if self.len() == 0 {
            return None;
        }
        let tasks = self.tasks.try_lock()?;
        tasks.behind.front().or_else(|| tasks.stack.front()).map(Runnable::address)
    }

    /// Returns whether the queue is empty. The lock orders this call against every push: a thread whose push this call
    /// does not see, sees after its push what the caller did before this call.
    pub(crate) fn is_empty_for_sure(&self) -> bool {
        self.tasks.lock().len() == 0
    }
}

#[cfg(all(test, not(kahn_loom)))]
mod tests {
    use super::*;

    #[test]
    fn tasks_that_are_not_taken_keep_their_place() {
        // SAFETY: the pointers are never dereferenced: the queue only compares and moves them.
        let task =
            |n: usize| unsafe { Runnable::new(NonNull::new(ptr::without_provenance_mut(n * 64)).unwrap()) };
        let number = |task: &Runnable| task.address() / 64;
        let queue = SharedQueue::new();
        queue.push_all((1..=9).map(task));
        let take = |count, patience| {
            let mut taken = Vec::new();
            queue.take_oldest_that(
                count,
                patience,
                |task| number(task).is_multiple_of(3),
                |task| taken.push(number(&task)),
            );
            (taken, queue.len())
        };
        assert_eq!(take(1, 9), (vec![3], 8));
        assert_eq!(take(5, 4), (vec![], 8));
        assert_eq!(take(5, 5), (vec![6], 7));
        assert_eq!(take(0, 5), (vec![], 7));
        let mut rest = Vec::new();
        queue.take_oldest(9, |task| rest.push(number(&task)));
        assert_eq!(rest, [1, 2, 4, 5, 7, 8, 9]);
    }

    #[test]
    fn tasks_behind_keep_their_order_and_come_after_the_others() {
        // SAFETY: the pointers are never dereferenced: the queue only compares and moves them.
        let task =
            |n: usize| unsafe { Runnable::new(NonNull::new(ptr::without_provenance_mut(n * 64)).unwrap()) };
        let number = |task: &Runnable| task.address() / 64;
        let queue = SharedQueue::new();
        let fill = || {
            (11..=13).for_each(|n| queue.push_behind(task(n)));
            (1..=3).for_each(|n| queue.push(task(n)));
            assert_eq!(queue.oldest(), Some(task(11).address()));
        };
        for (end, order) in [
            (End::Newest, [3, 2, 1, 11, 12, 13]),
            (End::Oldest, [1, 2, 3, 11, 12, 13]),
            (End::Behind, [11, 12, 13, 3, 2, 1]),
        ] {
            fill();
            assert_eq!(queue.count_new(), 3);
            let popped: Vec<_> = std::iter::from_fn(|| queue.pop(end)).map(|task| number(&task)).collect();
            assert_eq!(popped, order, "{end:?}");
            assert_eq!(queue.len(), 0);
        }
        fill();
        for expected in [vec![11, 12], vec![13, 1], vec![2, 3], vec![]] {
            let mut taken = Vec::new();
            queue.take_oldest(2, |task| taken.push(number(&task)));
            assert_eq!(taken, expected);
        }
        assert!(queue.is_empty_for_sure());
    }
}
