//! Waiting in a queue in which a waiter that is not claimed may hold up others: the canceller or the timer that ends the
//! wait withdraws the waiter.

use core::cell::UnsafeCell;
use core::ptr::NonNull;

use super::wakes::Wakes;
use super::{Queue, WaitList, WaitOptions, Waited};
use crate::wait::Wait;
use crate::wait::current::CurrentWaiter;
use crate::wait::queue::Node;
use crate::wait::unwind::WaitError;
use crate::wait::withdrawal::Withdrawal;

impl<S, P, const QUEUES: usize, const TASKS: bool> WaitList<S, P, QUEUES, TASKS> {
    /// Like [`wait_or`](Self::wait_or), for a queue in which a waiter that is not claimed may hold up others. The
    /// canceller or the timer that ends the wait removes the caller from its queue, and then calls `left`.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`wait`](Self::wait).
    ///
    /// # Panics
    ///
    /// Panics if `look` has claimed a task and returns `None`.
    pub fn wait_strictly<R, L>(
        &self,
        options: WaitOptions<P>,
        look: impl FnOnce(&mut S, &mut [Queue<'_, P>; QUEUES]) -> Option<R>,
        left: L,
    ) -> Result<Waited<R, P>, WaitError>
    where
        S: Send,
        P: Send,
        L: Fn(&mut S, &mut [Queue<'_, P>; QUEUES]) + Sync,
    {
        // Before the list is locked, because an OS thread allocates its waiter at its first wait.
        let me = CurrentWaiter::current();
        let strict = Strict { list: self, queue: options.queue, left };
        let resource = (&raw const strict).cast();
        let withdrawal =
            Withdrawal::new(options.reason, resource, Strict::<S, P, L, QUEUES, TASKS>::withdraw);
        let wakes = Wakes::new();
        let mut locked = self.lock(&wakes);
        if let Some(found) = locked.with(look) {
            drop(locked);
            return Ok(Waited::Found(found));
        }
        wakes.assert_no_task();
        // SAFETY: the list is locked, and the node enters its queue before it is unlocked. The wait is parked below.
        // The withdrawal, and `strict`, which is its resource, stay in this frame until then. Another thread may use
        // `strict`: the list may be shared, because `S` and `P` are `Send`, and `left` is `Sync`.
        let wait = unsafe { Wait::withdrawable(me, &withdrawal) };
        let payload = UnsafeCell::new(options.payload);
        let node = Node::new(wait.waiter(), 0, payload.get().cast());
        withdrawal.set_node(NonNull::from(&node));
        // SAFETY: the node is new, its wait was just opened, and its payload is a `P`. Neither of them moves. Nothing
        // below returns or unwinds before the node was claimed, or was removed by `leave`.
        unsafe { locked.push(NonNull::from(&node), options.queue, options.at_front) };
        drop(locked);
        drop(wakes);
        match wait.park_withdrawable(&withdrawal, options.deadline) {
            Ok(_) => Ok(Waited::Woken(payload.into_inner())),
            Err(error) => {
                let wakes = Wakes::new();
                strict.leave(&wakes, &withdrawal);
                // Before the wake-ups, because a task's waker may wait.
                drop(wait);
                drop(wakes);
                Err(error)
            }
        }
    }
}

/// What a canceller or a timer needs to remove a waiter from its queue. It is on the waiter's stack.
struct Strict<'a, S, P, L, const QUEUES: usize, const TASKS: bool> {
    list: &'a WaitList<S, P, QUEUES, TASKS>,
    queue: usize,
    left: L,
}

impl<S, P, L, const QUEUES: usize, const TASKS: bool> Strict<'_, S, P, L, QUEUES, TASKS>
where
    L: Fn(&mut S, &mut [Queue<'_, P>; QUEUES]),
{
    fn leave(&self, wakes: &Wakes<TASKS>, withdrawal: &Withdrawal) {
        if let Some(node) = withdrawal.node() {
            // SAFETY: the node of a withdrawal is on the same stack as the withdrawal, and was put into this queue.
            unsafe { self.list.leave(wakes, node, self.queue, &self.left) };
        }
    }

    /// Withdraws a waiter.
    ///
    /// # Safety
    ///
    /// `strict` is the resource of the withdrawal, in `WaitList::wait_strictly`.
    unsafe fn withdraw(strict: *const (), withdrawal: &Withdrawal) {
        // SAFETY: the pointer is to a `Strict` of this type, on the stack of the owner, which waits.
        unsafe { &*strict.cast::<Self>() }.leave(&Wakes::new(), withdrawal);
    }
}
