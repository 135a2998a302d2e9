//! The wait list: a state behind a short lock, and queues of the threads and the tasks that wait for it to change.
//!
//! This is the safe face of the waiting protocol. Joins, scopes, the blocking pool and the locks use it.
//!
//! ```text
//!   waiting thread ([`wait`])                        changing thread ([`update`])
//!   1. lock                                          1. lock
//!   2. `look` at the state. Found? Unlock, return.   2. `change` the state, and claim waiters. A claimed node leaves
//!   3. open a wait, enter the queue                     its queue and enters the call's list of wake-ups.
//!   4. unlock                                        3. unlock
//!   5. park until woken, timed out or cancelled      4. wake the claimed waiters, in the order of their claims
//!   6. woken: return the payload
//!      otherwise: lock, leave the queue, unlock, return the error
//! ```
//!
//! A node of the queue, its payload, and the list of wake-ups are on the stacks of the waiting threads. So neither side
//! allocates.
//!
//! Async tasks wait in the queues of a [`MixedWaitList`], beside threads ([`wait_async`]). Each poll of the future is
//! steps 1 to 4: it looks unless it is queued already, stores the task's waker, and returns. The node is in the future,
//! which is pinned. A task is claimed like a thread, in its turn. A thread that claims tasks allocates room for their
//! wakers.
//!
//! # Why no wake-up is lost
//!
//! Steps 2 and 3 of the waiting thread are in one critical section. So a change either comes before `look`, which sees
//! it, or after the waiter has entered its queue, where `change` finds it. A cancel comes through no queue; the fences
//! of `Waiter::may_suspend` and `Waiter::claim_cancelled` order it with the park.
//!
//! A claim takes nothing from a waiter whose wait has ended otherwise. `claim_next` passes over such a waiter, so the
//! wake-up goes to the next one. A waiter that has been claimed is woken in any case: a cancel or a deadline cannot end
//! its wait any more, so [`wait`] returns [`Waited::Woken`].
//!
//! The waker of a queued task is that of its last poll. A poll replaces it under the lock, so a claim takes either the
//! old one, and then the poll sees the claim, or the new one. A future that was claimed can be dropped before it looks
//! again. Then it calls its `missed`, with the list locked, which passes on what the future was given.
//!
//! # Why it is sound
//!
//! - A node stays valid while it is in a queue, because [`wait`] does not return before the node has left: a claim
//!   removes it, or step 6 does. The node of a future is removed by a claim or by the future's destructor. Queues cannot
//!   be moved out of the list, because `look` and `change` only get [`Queue`]s, which borrow them.
//! - The claimed node of a thread stays valid until its waiter is woken, because a claimed thread does not run before
//!   ([`waiter`](crate::wait::waiter), rule 2). It is read for the last time before its waiter is woken. The claimed node
//!   of a future stays valid while the list is locked, because the future's destructor takes the lock. It is not read
//!   after unlocking.
//! - A payload is used by one thread at a time. It belongs to the holder of the lock while its node is queued or is
//!   being claimed, and that of a future also afterwards. That of a thread then belongs to the thread. The claimer's
//!   reference ends with `change`, and so before unlocking. A future's `look` gets its payload only while its node is in
//!   no queue, so the queues do not lead to the same payload.
//! - A waiter has one open wait at a time. `look` runs before the wait is opened, and nothing else of the caller runs
//!   before it is over, except `queued` of [`wait_releasing`], whose contract excludes waits. A task's waker may wait, so
//!   a `look` that has claimed a task does not wait, and `left` wakes tasks after the caller's wait is closed.
//! - [`update`] does not access the list after it has unlocked it. So the list may be on the stack of the thread that
//!   waits for that change.
//!
//! # Withdrawal
//!
//! A waiter whose wait was ended by a cancel or a deadline leaves its queue when it runs again, which may be much
//! later. If a queue is served strictly in order, or if newcomers look at whether it is empty, such a waiter holds up
//! others. With [`wait_strictly`], the canceller or the timer does step 6 in its place, before it wakes the waiter.
//!
//! [`wait`]: WaitList::wait
//! [`wait_async`]: MixedWaitList::wait_async
//! [`wait_releasing`]: WaitList::wait_releasing
//! [`wait_strictly`]: WaitList::wait_strictly
//! [`update`]: WaitList::update

mod future;
mod queue;
mod strict;
mod wakes;

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Instant;

use self::wakes::Wakes;
use crate::primitives::{Lock, LockGuard, maybe_const};
use crate::wait::Wait;
use crate::wait::current::CurrentWaiter;
use crate::wait::queue::{Node, WaitQueue};
use crate::wait::reason::Reason;
use crate::wait::unwind::WaitError;

pub use self::future::WaitFuture;
pub use self::queue::{ClaimedAll, Queue};

/// A state `S`, and the threads and tasks that wait for it to change, in one or more queues. Each waiter has a payload
/// `P`, which the waiter gives and its claimer may change.
///
/// Tasks may wait in the list if `TASKS` is true. [`MixedWaitList`] names such a list.
pub struct WaitList<S, P = (), const QUEUES: usize = 1, const TASKS: bool = false> {
    inner: Lock<Inner<S, P, QUEUES>>,
}

/// A wait list in whose queues threads and tasks may wait.
pub type MixedWaitList<S, P = (), const QUEUES: usize = 1> = WaitList<S, P, QUEUES, true>;

struct Inner<S, P, const QUEUES: usize> {
    state: S,
    /// The payload of each node is a `P`, on the stack of its waiter or in its future.
    queues: [WaitQueue; QUEUES],
    _payload: PhantomData<P>,
}

// What runs under the lock is code of kahn, which does not unwind in the middle of a change.
impl<S, P, const QUEUES: usize, const TASKS: bool> UnwindSafe for WaitList<S, P, QUEUES, TASKS> {}
impl<S, P, const QUEUES: usize, const TASKS: bool> RefUnwindSafe for WaitList<S, P, QUEUES, TASKS> {}

/// How a thread waits.
#[derive(Clone, Copy, Debug)]
pub struct WaitOptions<P = ()> {
    reason: Reason,
    deadline: Option<Instant>,
    queue: usize,
    at_front: bool,
    payload: P,
}

/// How a wait ended that found what it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited<R, P = ()> {
    /// `look` returned this, and the caller has not waited.
    Found(R),
    /// Another thread has claimed and woken the caller. This is the caller's payload.
    Woken(P),
}

impl WaitOptions {
    /// Waits for `reason`, without a deadline, at the back of the first queue.
    pub fn new(reason: Reason) -> WaitOptions {
        WaitOptions { reason, deadline: None, queue: 0, at_front: false, payload: () }
    }
}

impl<P> WaitOptions<P> {
    /// Sets the deadline.
    #[must_use]
    pub fn until(self, deadline: Option<Instant>) -> WaitOptions<P> {
        WaitOptions { deadline, ..self }
    }

    /// Selects the queue with this number.
    #[must_use]
    pub fn in_queue(self, queue: usize) -> WaitOptions<P> {
        WaitOptions { queue, ..self }
    }

    /// Enters the queue at the front, if `at_front`: the caller was in the queue before, and keeps its turn.
    #[must_use]
    pub fn at_front(self, at_front: bool) -> WaitOptions<P> {
        WaitOptions { at_front, ..self }
    }

    /// Sets the payload.
    #[must_use]
    pub fn with<Q>(self, payload: Q) -> WaitOptions<Q> {
        let WaitOptions { reason, deadline, queue, at_front, .. } = self;
        WaitOptions { reason, deadline, queue, at_front, payload }
    }
}

impl<S, P, const QUEUES: usize, const TASKS: bool> WaitList<S, P, QUEUES, TASKS> {
    maybe_const! {
        /// Creates a list in which no thread waits.
        pub const fn new(state: S) -> WaitList<S, P, QUEUES, TASKS> {
            let queues = [const { WaitQueue::new() }; QUEUES];
            WaitList { inner: Lock::new(Inner { state, queues, _payload: PhantomData }) }
        }
    }

    /// Calls `change` with the list locked. Then unlocks it, and wakes the waiters that `change` has claimed.
    #[inline]
    pub fn update<R>(&self, change: impl FnOnce(&mut S, &mut [Queue<'_, P>; QUEUES]) -> R) -> R {
        // If `change` unwinds, locals are dropped in the reverse order. So this unlocks first in that case, too.
        let wakes = Wakes::new();
        let mut locked = self.lock(&wakes);
        let result = locked.with(change);
        drop(locked);
        drop(wakes);
        result
    }

    /// Calls `f` with the list locked. `f` claims no waiter.
    #[inline]
    pub fn with_state<R>(&self, f: impl FnOnce(&mut S) -> R) -> R {
        f(&mut self.inner.lock().state)
    }

    #[inline]
    fn lock<'a>(&'a self, wakes: &'a Wakes<TASKS>) -> Locked<'a, S, P, QUEUES, TASKS> {
        Locked { inner: self.inner.lock(), wakes }
    }

    /// Waits until another thread claims the caller, unless `look` returns a value. `look` runs with the list locked.
    ///
    /// # Errors
    ///
    /// Returns an error if a cancel or a deadline ended the wait. The caller is in no queue any more, and raises it.
    #[inline]
    pub fn wait<R>(
        &self,
        options: WaitOptions<P>,
        look: impl FnOnce(&mut S) -> Option<R>,
    ) -> Result<Waited<R, P>, WaitError> {
        self.wait_or(options, |state, _| look(state), |_, _| {})
    }

    /// Like [`wait`](Self::wait), but `look` also gets the queues and the caller's payload. If it returns a value, the
    /// payload is dropped. If a cancel or a deadline ends the wait, the payload is returned next to the error.
    ///
    /// # Errors
    ///
    /// Returns the errors of `wait`, with the payload.
    ///
    /// # Panics
    ///
    /// Panics if `look` has claimed a task and returns `None`.
    #[inline]
    pub fn wait_with<R>(
        &self,
        options: WaitOptions<P>,
        look: impl FnOnce(&mut S, &mut [Queue<'_, P>; QUEUES], &mut P) -> Option<R>,
    ) -> Result<Waited<R, P>, (WaitError, P)> {
        // SAFETY: the function does nothing, so it neither waits nor unwinds.
        unsafe { self.wait_queued(options, look, |_, _| {}, || {}) }
    }

    /// Like [`wait`](Self::wait), but `look` also gets the queues. Calls `left`, with the list locked, if the caller
    /// leaves its queue without having been claimed.
    ///
    /// # Errors
    ///
    /// Returns the errors of `wait`.
    ///
    /// # Panics
    ///
    /// Panics if `look` has claimed a task and returns `None`.
    #[inline]
    pub fn wait_or<R>(
        &self,
        options: WaitOptions<P>,
        look: impl FnOnce(&mut S, &mut [Queue<'_, P>; QUEUES]) -> Option<R>,
        left: impl FnOnce(&mut S, &mut [Queue<'_, P>; QUEUES]),
    ) -> Result<Waited<R, P>, WaitError> {
        // SAFETY: the function does nothing, so it neither waits nor unwinds.
        let waited =
            unsafe { self.wait_queued(options, |state, queues, _| look(state, queues), left, || {}) };
        waited.map_err(|(error, _)| error)
    }

    /// Waits until another thread claims the caller. Calls `queued` as soon as the caller can be claimed, with the list
    /// unlocked. Returns the payload.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`wait`](Self::wait).
    ///
    /// # Safety
    ///
    /// `queued` opens no wait, and does not unwind.
    pub unsafe fn wait_releasing(
        &self,
        options: WaitOptions<P>,
        queued: impl FnOnce(),
    ) -> Result<P, WaitError> {
        // SAFETY: the caller guarantees that `queued` neither waits nor unwinds.
        let waited = unsafe { self.wait_queued(options, |_, _, _| None::<P>, |_, _| {}, queued) };
        match waited {
            Ok(Waited::Found(payload) | Waited::Woken(payload)) => Ok(payload),
            Err((error, _)) => Err(error),
        }
    }

    /// Waits; see the module.
    ///
    /// # Safety
    ///
    /// `queued` opens no wait, and does not unwind.
    #[inline]
    unsafe fn wait_queued<R>(
        &self,
        options: WaitOptions<P>,
        look: impl FnOnce(&mut S, &mut [Queue<'_, P>; QUEUES], &mut P) -> Option<R>,
        left: impl FnOnce(&mut S, &mut [Queue<'_, P>; QUEUES]),
        queued: impl FnOnce(),
    ) -> Result<Waited<R, P>, (WaitError, P)> {
        // Before the list is locked, because an OS thread allocates its waiter at its first wait.
        let me = CurrentWaiter::current();
        let mut payload = UnsafeCell::new(options.payload);
        let wakes = Wakes::new();
        let mut locked = self.lock(&wakes);
        if let Some(found) = locked.with(|state, queues| look(state, queues, payload.get_mut())) {
            drop(locked);
            return Ok(Waited::Found(found));
        }
        wakes.assert_no_task();
        let wait = Wait::of(me);
        let node = Node::new(wait.waiter(), 0, payload.get().cast());
        // SAFETY: the node is new, its wait was just opened, and its payload is a `P`. Neither of them moves. Nothing
        // below returns or unwinds before the node was claimed, or was removed by `leave`.
        unsafe { locked.push(NonNull::from(&node), options.queue, options.at_front) };
        drop(locked);
        drop(wakes);
        queued();
        match wait.park(options.reason, options.deadline) {
            Ok(_) => Ok(Waited::Woken(payload.into_inner())),
            Err(error) => {
                let wakes = Wakes::new();
                // SAFETY: the node was put into this queue, and is valid.
                unsafe { self.leave(&wakes, NonNull::from(&node), options.queue, left) };
                // Before the wake-ups, because a task's waker may wait.
                drop(wait);
                drop(wakes);
                Err((error, payload.into_inner()))
            }
        }
    }

    /// Removes a node from its queue. If it was still there, calls `left` with the list locked.
    ///
    /// # Safety
    ///
    /// The node is valid. It is in the queue with this number, or in none.
    unsafe fn leave(
        &self,
        wakes: &Wakes<TASKS>,
        node: NonNull<Node>,
        queue: usize,
        left: impl FnOnce(&mut S, &mut [Queue<'_, P>; QUEUES]),
    ) {
        let mut locked = self.lock(wakes);
        // SAFETY: the caller guarantees that the node is valid, and in this queue or in none.
        if unsafe { locked.inner.queues[queue].remove(node) } {
            locked.with(left);
        }
    }
}

/// A locked list. It is unlocked when this is dropped. The waiters that were claimed are woken when `wakes` is dropped.
struct Locked<'a, S, P, const QUEUES: usize, const TASKS: bool> {
    inner: LockGuard<'a, Inner<S, P, QUEUES>>,
    wakes: &'a Wakes<TASKS>,
}

impl<S, P, const QUEUES: usize, const TASKS: bool> Drop for Locked<'_, S, P, QUEUES, TASKS> {
    #[inline]
    fn drop(&mut self) {
        // The lock is released after this, when `inner` is dropped.
        self.wakes.settle();
    }
}

impl<S, P, const QUEUES: usize, const TASKS: bool> Locked<'_, S, P, QUEUES, TASKS> {
    #[inline]
    fn with<R>(&mut self, f: impl FnOnce(&mut S, &mut [Queue<'_, P>; QUEUES]) -> R) -> R {
        let Inner { state, queues, .. } = &mut *self.inner;
        f(state, &mut queues.each_mut().map(|nodes| Queue::new(nodes, self.wakes.chain())))
    }

    /// Adds a node to a queue.
    ///
    /// # Safety
    ///
    /// As for [`WaitQueue::push`]. The node's payload is a `P`.
    unsafe fn push(&mut self, node: NonNull<Node>, queue: usize, at_front: bool) {
        let queue = &mut self.inner.queues[queue];
        // SAFETY: the caller guarantees what both functions require.
        unsafe {
            if at_front {
                queue.push_front(node);
            } else {
                queue.push(node);
            }
        }
    }
}

impl<S: Default, P, const QUEUES: usize, const TASKS: bool> Default for WaitList<S, P, QUEUES, TASKS> {
    fn default() -> WaitList<S, P, QUEUES, TASKS> {
        WaitList::new(S::default())
    }
}

impl<S, P, const QUEUES: usize, const TASKS: bool> fmt::Debug for WaitList<S, P, QUEUES, TASKS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitList").finish_non_exhaustive()
    }
}
