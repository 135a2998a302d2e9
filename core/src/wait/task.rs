//! The waiter of an async task: it stores the waker of the task that polls.

use core::cell::{Cell, OnceCell, UnsafeCell};
use core::ptr::NonNull;
use core::task::Waker;

use crate::wait::current::call_waker;
use crate::wait::queue::{Node, WaitQueue};
use crate::wait::run_shielded_catching;
use crate::wait::waiter::{Waiter, WaiterVtable};

/// A task's waker, or none. Dropping and waking it are user code, which may run after an operation has had its
/// effect. So both run shielded, and a panic in them ends there, after the panic hook has reported it: what the
/// operation returns is not lost.
#[derive(Debug, Default)]
pub struct OwnedWaker(Option<Waker>);

impl OwnedWaker {
    /// Returns a clone of `waker`. The clone is user code too, so this is called before an operation has an effect.
    pub fn new(waker: &Waker) -> OwnedWaker {
        OwnedWaker(Some(waker.clone()))
    }

    /// Returns no waker.
    pub const fn none() -> OwnedWaker {
        OwnedWaker(None)
    }

    /// Takes the waker out.
    #[must_use = "its destructor is user code: drop it after unlocking"]
    pub fn take(&mut self) -> OwnedWaker {
        core::mem::take(self)
    }

    /// Puts `waker` in, and returns the waker before it.
    #[must_use = "its destructor is user code: drop it after unlocking"]
    pub fn replace(&mut self, waker: OwnedWaker) -> OwnedWaker {
        core::mem::replace(self, waker)
    }

    /// Returns whether this is a waker of the same task as `waker`, as far as that can be seen without user code.
    pub fn will_wake(&self, waker: &Waker) -> bool {
        self.0.as_ref().is_some_and(|own| own.will_wake(waker))
    }

    /// Wakes the task, if there is a waker.
    pub fn wake(mut self) {
        if let Some(waker) = self.0.take() {
            call_waker(waker);
        }
    }

    pub(super) fn into_inner(mut self) -> Option<Waker> {
        self.0.take()
    }
}

impl Drop for OwnedWaker {
    #[inline]
    fn drop(&mut self) {
        if let Some(waker) = self.0.take() {
            run_shielded_catching(|| drop(waker));
        }
    }
}

/// The waiter of a future, with the waker of the task that polls the future.
///
/// A future can be dropped at any time. So wakers and the future touch its nodes, its payload and its waker only
/// under the lock of the queue that it is in, and it is in one queue at most.
#[repr(C)]
pub struct TaskWaiter {
    waiter: Waiter,
    waker: UnsafeCell<OwnedWaker>,
}

// SAFETY: `waker` is touched only while the queue's lock is held.
unsafe impl Send for TaskWaiter {}
// SAFETY: `waker` is touched only while the queue's lock is held.
unsafe impl Sync for TaskWaiter {}

static TASK_KIND: WaiterVtable = WaiterVtable {
    wake: |_| unreachable!(),
    wake_last: None,
    suspend: |_, _| unreachable!(),
    retain: None,
    is_task: true,
};

impl TaskWaiter {
    /// Creates a waiter for a future. It must not move while one of its nodes is in a queue.
    pub fn new() -> TaskWaiter {
        TaskWaiter { waiter: Waiter::new(&TASK_KIND), waker: UnsafeCell::new(OwnedWaker::none()) }
    }

    /// Returns the waiter as its wakers see it. `this` points to the whole object, and the returned pointer keeps
    /// that provenance.
    pub fn waiter(this: NonNull<TaskWaiter>) -> NonNull<Waiter> {
        this.cast()
    }

    /// Replaces the waker. Returns the old one, which the caller drops after unlocking.
    ///
    /// # Safety
    ///
    /// The caller holds the lock of the queue that the waiter is in, or the waiter is in no queue.
    #[must_use]
    pub unsafe fn set_waker(&self, waker: OwnedWaker) -> OwnedWaker {
        // SAFETY: the caller holds the queue's lock, or no other thread can reach this waiter. So the access is
        // exclusive.
        unsafe { (*self.waker.get()).replace(waker) }
    }

    /// Returns whether the waker is one of the same task as `waker`, as far as that can be seen without user code.
    ///
    /// # Safety
    ///
    /// The caller holds the lock of the queue that the waiter is in, or the waiter is in no queue.
    pub unsafe fn will_wake(&self, waker: &Waker) -> bool {
        // SAFETY: the caller holds the queue's lock, or no other thread can reach this waiter. So the access is
        // exclusive.
        unsafe { (*self.waker.get()).will_wake(waker) }
    }

    /// Takes the waker of a task.
    ///
    /// # Safety
    ///
    /// `waiter` is the first field of a `TaskWaiter`, is derived from a pointer to the whole, and the lock of its queue
    /// is held.
    pub(super) unsafe fn take_waker(waiter: NonNull<Waiter>) -> Option<Waker> {
        // SAFETY: `waiter` points to a whole `TaskWaiter`, and the caller holds the lock of its queue.
        unsafe { waiter.cast::<TaskWaiter>().as_ref().set_waker(OwnedWaker::none()) }.into_inner()
    }
}

impl Default for TaskWaiter {
    fn default() -> TaskWaiter {
        TaskWaiter::new()
    }
}

/// A future's place in one queue: its waiter, its payload and its node.
///
/// | `entered` | waiter | means |
/// |---|---|---|
/// | false | any | The node is in no queue. |
/// | true | not claimed | The node is in the queue. |
/// | true | claimed | The node is in no queue, and the future has not been told. |
///
/// All of it is used only while the lock of the queue is held, except by the owner while `entered` is false.
pub(super) struct TaskNode<P> {
    waiter: TaskWaiter,
    payload: UnsafeCell<P>,
    /// Made when the future first enters the queue. The future is pinned then, so the address is final.
    node: OnceCell<Node>,
    entered: Cell<bool>,
}

impl<P> TaskNode<P> {
    pub(super) fn new(payload: P) -> TaskNode<P> {
        TaskNode {
            waiter: TaskWaiter::new(),
            payload: UnsafeCell::new(payload),
            node: OnceCell::new(),
            entered: Cell::new(false),
        }
    }

    fn waiter(&self) -> NonNull<Waiter> {
        TaskWaiter::waiter(NonNull::from(&self.waiter))
    }

    /// Returns whether the node was put into the queue, and the future has not [settled](Self::settle) that.
    pub(super) fn is_entered(&self) -> bool {
        self.entered.get()
    }

    /// Returns whether the node is in the queue. The caller holds the queue's lock.
    pub(super) fn is_queued(&self) -> bool {
        // SAFETY: the waiter lives as long as `self`.
        self.entered.get() && unsafe { self.waiter().as_ref() }.outcome().is_none()
    }

    /// Returns the payload.
    ///
    /// # Safety
    ///
    /// The caller holds the queue's lock, and the node is not in the queue, as long as the reference is used. There is no
    /// other reference to the payload.
    #[expect(clippy::mut_from_ref, reason = "the payload is in a cell, and the caller has exclusive access")]
    pub(super) unsafe fn payload(&self) -> &mut P {
        // SAFETY: the caller guarantees that the access is exclusive.
        unsafe { &mut *self.payload.get() }
    }

    /// Opens a wait, and adds the node at the back of the queue.
    ///
    /// # Safety
    ///
    /// The caller holds the lock of the queue. `self` is pinned, and its node is not in a queue. Before `self` is
    /// dropped, the caller calls [`leave`](Self::leave) with the same queue.
    pub(super) unsafe fn enter(&self, queue: &mut WaitQueue) {
        let node = self.node.get_or_init(|| Node::new(self.waiter(), 0, self.payload.get().cast()));
        // SAFETY: the waiter lives as long as `self`. The node is in no queue, and its wait is opened here. `self` is
        // pinned, so the node stays at its address until it is dropped, and by then it has left the queue.
        unsafe {
            self.waiter().as_ref().prepare(false);
            queue.push(NonNull::from(node));
        }
        self.entered.set(true);
    }

    /// Closes the wait of a node that was claimed. The caller holds the queue's lock.
    pub(super) fn settle(&self) {
        // SAFETY: the waiter lives as long as `self`.
        unsafe { self.waiter().as_ref() }.finish();
        self.entered.set(false);
    }

    /// Removes the node from the queue, and closes the wait. Returns whether the node had been claimed, and the future
    /// had not settled that.
    ///
    /// # Safety
    ///
    /// The caller holds the lock of the queue, which is the one that the node was put into.
    pub(super) unsafe fn leave(&self, queue: &mut WaitQueue) -> bool {
        if !self.entered.get() {
            return false;
        }
        let node = self.node.get().expect("made when it was put into the queue");
        // SAFETY: the node is valid. It is in this queue, or a claim has removed it, and it is in none.
        let was_queued = unsafe { queue.remove(NonNull::from(node)) };
        self.settle();
        !was_queued
    }

    /// Replaces the waker. Returns the old one, which the caller drops after unlocking.
    ///
    /// # Safety
    ///
    /// The caller holds the lock of the queue.
    #[must_use]
    pub(super) unsafe fn set_waker(&self, waker: OwnedWaker) -> OwnedWaker {
        // SAFETY: the caller holds the lock of the queue that the waiter is in, or was in.
        unsafe { self.waiter.set_waker(waker) }
    }
}
