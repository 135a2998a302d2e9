//! The wait list: a state behind a short lock, and queues of the threads that wait for it to change.
//!
//! This is the safe face of the waiting protocol for threads. Joins, scopes, the blocking pool and the locks use it.
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
//! # Why it is sound
//!
//! - A node stays valid while it is in a queue, because [`wait`] does not return before the node has left: a claim
//!   removes it, or step 6 does. Queues cannot be moved out of the list, because `look` and `change` only get
//!   [`Queue`]s, which borrow them.
//! - A claimed node stays valid until its waiter is woken, because a claimed thread does not run before
//!   ([`waiter`](crate::wait::waiter), rule 2). It is read for the last time before its waiter is woken.
//! - A payload is used by one thread at a time. It belongs to the holder of the lock while its node is queued or is
//!   being claimed, and to the waiter afterwards. The claimer's reference ends with `change`, and so before unlocking.
//! - A waiter has one open wait at a time. `look` runs before the wait is opened, and nothing else of the caller runs
//!   before it is over, except `queued` of [`wait_releasing`], whose contract excludes waits.
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
//! [`wait_releasing`]: WaitList::wait_releasing
//! [`wait_strictly`]: WaitList::wait_strictly
//! [`update`]: WaitList::update

use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Instant;

use crate::primitives::{Lock, maybe_const};
use crate::wait::Wait;
use crate::wait::current::CurrentWaiter;
use crate::wait::queue::{Node, WaitQueue};
use crate::wait::reason::Reason;
use crate::wait::unwind::WaitError;
use crate::wait::wake::Wake;
use crate::wait::withdrawal::Withdrawal;

/// A state `S`, and the threads that wait for it to change, in one or more queues. Each waiter has a payload `P`, which
/// the waiter gives and its claimer may change.
pub struct WaitList<S, P = (), const QUEUES: usize = 1> {
    inner: Lock<Inner<S, P, QUEUES>>,
}

struct Inner<S, P, const QUEUES: usize> {
    state: S,
    /// The payload of each node is a `P` on the stack of its waiter. All waiters are threads.
    queues: [WaitQueue; QUEUES],
    _payload: PhantomData<P>,
}

// What runs under the lock is code of kahn, which does not unwind in the middle of a change.
impl<S, P, const QUEUES: usize> UnwindSafe for WaitList<S, P, QUEUES> {}
impl<S, P, const QUEUES: usize> RefUnwindSafe for WaitList<S, P, QUEUES> {}

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

impl<S, P, const QUEUES: usize> WaitList<S, P, QUEUES> {
    maybe_const! {
        /// Creates a list in which no thread waits.
        pub const fn new(state: S) -> WaitList<S, P, QUEUES> {
            let queues = [const { WaitQueue::new() }; QUEUES];
            WaitList { inner: Lock::new(Inner { state, queues, _payload: PhantomData }) }
        }
    }

    /// Calls `change` with the list locked. Then unlocks it, and wakes the waiters that `change` has claimed.
    #[inline]
    pub fn update<R>(&self, change: impl FnOnce(&mut S, &mut [Queue<'_, P>; QUEUES]) -> R) -> R {
        // If `change` unwinds, locals are dropped in the reverse order. So this unlocks first in that case, too.
        let wakes = Wakes::new();
        let mut inner = self.inner.lock();
        let result = inner.with(&wakes, change);
        drop(inner);
        drop(wakes);
        result
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

    /// Like [`wait`](Self::wait), but `look` also gets the queues. Calls `left`, with the list locked, if the caller
    /// leaves its queue without having been claimed.
    ///
    /// # Errors
    ///
    /// Returns the errors of `wait`.
    #[inline]
    pub fn wait_or<R>(
        &self,
        options: WaitOptions<P>,
        look: impl FnOnce(&mut S, &mut [Queue<'_, P>; QUEUES]) -> Option<R>,
        left: impl FnOnce(&mut S, &mut [Queue<'_, P>; QUEUES]),
    ) -> Result<Waited<R, P>, WaitError> {
        // SAFETY: the function does nothing, so it neither waits nor unwinds.
        unsafe { self.wait_with(options, look, left, || {}) }
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
        let waited = unsafe { self.wait_with(options, |_, _| None::<P>, |_, _| {}, queued) };
        waited.map(|(Waited::Found(payload) | Waited::Woken(payload))| payload)
    }

    /// Waits; see the module.
    ///
    /// # Safety
    ///
    /// `queued` opens no wait, and does not unwind.
    #[inline]
    unsafe fn wait_with<R>(
        &self,
        options: WaitOptions<P>,
        look: impl FnOnce(&mut S, &mut [Queue<'_, P>; QUEUES]) -> Option<R>,
        left: impl FnOnce(&mut S, &mut [Queue<'_, P>; QUEUES]),
        queued: impl FnOnce(),
    ) -> Result<Waited<R, P>, WaitError> {
        // Before the list is locked, because an OS thread allocates its waiter at its first wait.
        let me = CurrentWaiter::current();
        let wakes = Wakes::new();
        let mut inner = self.inner.lock();
        if let Some(found) = inner.with(&wakes, look) {
            drop(inner);
            return Ok(Waited::Found(found));
        }
        let wait = Wait::of(me);
        let payload = UnsafeCell::new(options.payload);
        let node = Node::new(wait.waiter(), 0, payload.get().cast());
        // SAFETY: the node is new, its wait was just opened, its waiter is a thread, and its payload is a `P`.
        // Neither of them moves. Nothing below returns or unwinds before the node was claimed, or was removed by
        // `leave`.
        unsafe { inner.push(NonNull::from(&node), options.queue, options.at_front) };
        drop(inner);
        drop(wakes);
        queued();
        match wait.park(options.reason, options.deadline) {
            Ok(_) => Ok(Waited::Woken(payload.into_inner())),
            Err(error) => {
                // SAFETY: the node was put into this queue, and is valid.
                unsafe { self.leave(NonNull::from(&node), options.queue, left) };
                drop(wait);
                Err(error)
            }
        }
    }

    /// Like [`wait_or`](Self::wait_or), for a queue in which a waiter that is not claimed may hold up others. The
    /// canceller or the timer that ends the wait removes the caller from its queue, and then calls `left`.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`wait`](Self::wait).
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
        let withdrawal = Withdrawal::new(options.reason, resource, Strict::<S, P, L, QUEUES>::withdraw);
        let wakes = Wakes::new();
        let mut inner = self.inner.lock();
        if let Some(found) = inner.with(&wakes, look) {
            drop(inner);
            return Ok(Waited::Found(found));
        }
        // SAFETY: the list is locked, and the node enters its queue before it is unlocked. The wait is parked below.
        // The withdrawal, and `strict`, which is its resource, stay in this frame until then. Another thread may use
        // `strict`: the list may be shared, because `S` and `P` are `Send`, and `left` is `Sync`.
        let wait = unsafe { Wait::withdrawable(me, &withdrawal) };
        let payload = UnsafeCell::new(options.payload);
        let node = Node::new(wait.waiter(), 0, payload.get().cast());
        withdrawal.set_node(NonNull::from(&node));
        // SAFETY: the node is new, its wait was just opened, its waiter is a thread, and its payload is a `P`.
        // Neither of them moves. Nothing below returns or unwinds before the node was claimed, or was removed by
        // `leave`.
        unsafe { inner.push(NonNull::from(&node), options.queue, options.at_front) };
        drop(inner);
        drop(wakes);
        match wait.park_withdrawable(&withdrawal, options.deadline) {
            Ok(_) => Ok(Waited::Woken(payload.into_inner())),
            Err(error) => {
                strict.leave(&withdrawal);
                drop(wait);
                Err(error)
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
        node: NonNull<Node>,
        queue: usize,
        left: impl FnOnce(&mut S, &mut [Queue<'_, P>; QUEUES]),
    ) {
        let wakes = Wakes::new();
        let mut inner = self.inner.lock();
        // SAFETY: the caller guarantees that the node is valid, and in this queue or in none.
        if unsafe { inner.queues[queue].remove(node) } {
            inner.with(&wakes, left);
        }
        drop(inner);
        drop(wakes);
    }
}

/// What a canceller or a timer needs to remove a waiter from its queue. It is on the waiter's stack.
struct Strict<'a, S, P, L, const QUEUES: usize> {
    list: &'a WaitList<S, P, QUEUES>,
    queue: usize,
    left: L,
}

impl<S, P, L, const QUEUES: usize> Strict<'_, S, P, L, QUEUES>
where
    L: Fn(&mut S, &mut [Queue<'_, P>; QUEUES]),
{
    fn leave(&self, withdrawal: &Withdrawal) {
        if let Some(node) = withdrawal.node() {
            // SAFETY: the node of a withdrawal is on the same stack as the withdrawal, and was put into this queue.
            unsafe { self.list.leave(node, self.queue, &self.left) };
        }
    }

    /// Withdraws a waiter.
    ///
    /// # Safety
    ///
    /// `strict` is the resource of the withdrawal, in `WaitList::wait_strictly`.
    unsafe fn withdraw(strict: *const (), withdrawal: &Withdrawal) {
        // SAFETY: the pointer is to a `Strict` of this type, on the stack of the owner, which waits.
        unsafe { &*strict.cast::<Self>() }.leave(withdrawal);
    }
}

impl<S, P, const QUEUES: usize> Inner<S, P, QUEUES> {
    #[inline]
    fn with<R>(&mut self, wakes: &Wakes, f: impl FnOnce(&mut S, &mut [Queue<'_, P>; QUEUES]) -> R) -> R {
        let queue = |nodes| Queue { nodes, wakes, _payload: PhantomData };
        f(&mut self.state, &mut self.queues.each_mut().map(queue))
    }

    /// # Safety
    ///
    /// As for [`WaitQueue::push`]. The node's waiter is a thread, and its payload is a `P`.
    unsafe fn push(&mut self, node: NonNull<Node>, queue: usize, at_front: bool) {
        let queue = &mut self.queues[queue];
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

/// One queue of a locked list.
pub struct Queue<'a, P> {
    nodes: &'a mut WaitQueue,
    wakes: &'a Wakes,
    _payload: PhantomData<&'a mut P>,
}

impl<P> Queue<'_, P> {
    /// Returns whether no waiter is in the queue. The waits of those that are in it may have ended already.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Returns the payload of the waiter at the front. Its wait may have ended already.
    pub fn front(&self) -> Option<&P> {
        // SAFETY: the payload of a queued node is a `P`, and belongs to the holder of the lock.
        self.nodes.front_payload().map(|payload| unsafe { &*payload.cast::<P>() })
    }

    /// Counts the waiters whose waits have not ended. They may end the next moment.
    pub fn waiting(&self) -> usize {
        self.nodes.waiting()
    }

    /// Claims the first waiter whose wait has not ended, and returns its payload. It is woken when the list has been
    /// unlocked.
    #[inline]
    pub fn claim_next(&mut self) -> Option<&mut P> {
        let node = self.nodes.claim_next_node()?;
        Some(self.claimed(node))
    }

    /// Removes the waiter at the front, claims it, and returns its payload. Returns `None` if the queue is empty, or if
    /// the wait of that waiter has ended otherwise.
    pub fn claim_front(&mut self) -> Option<&mut P> {
        let node = self.nodes.claim_front_node()?;
        Some(self.claimed(node))
    }

    /// Claims all waiters whose waits have not ended, and empties the queue.
    pub fn claim_all(&mut self) -> ClaimedAll<'_, P> {
        let mut all = ClaimedAll { first: None, len: 0, _payload: PhantomData };
        while let Some(node) = self.nodes.claim_next_node() {
            self.claimed(node);
            all.first.get_or_insert(node);
            all.len += 1;
        }
        all
    }

    /// Lists a node that was just claimed, and returns its payload.
    fn claimed(&mut self, node: NonNull<Node>) -> &mut P {
        self.wakes.push(node);
        // SAFETY: the node was just claimed, so it is valid, and its payload, which is a `P`, belongs to this thread
        // until the waiter is woken. No other reference to it exists: the waiter does not run, and a node is claimed
        // once.
        unsafe { &mut *node.as_ref().payload.cast::<P>() }
    }
}

/// The waiters that one [`Queue::claim_all`] has claimed.
pub struct ClaimedAll<'a, P> {
    first: Option<NonNull<Node>>,
    len: usize,
    _payload: PhantomData<&'a mut P>,
}

impl<P> ClaimedAll<'_, P> {
    /// Returns how many waiters were claimed.
    pub fn count(&self) -> usize {
        self.len
    }

    /// Calls `f` with the payload of each.
    pub fn for_each(self, mut f: impl FnMut(&mut P)) {
        let mut next = self.first;
        for _ in 0..self.len {
            let node = next.expect("the claimed nodes follow one another in the list of wake-ups");
            // SAFETY: the node was claimed and its waiter is not yet woken, because the list is still locked. So the
            // node is valid, and its payload belongs to this thread. No other reference to the payload exists, because
            // this value borrows the queue through which it was claimed.
            unsafe {
                next = node.as_ref().next.get();
                f(&mut *node.as_ref().payload.cast::<P>());
            }
        }
    }
}

/// Claimed waiters, linked through their nodes. They are woken in order when this is dropped, after unlocking.
struct Wakes {
    first: Cell<Option<NonNull<Node>>>,
    last: Cell<Option<NonNull<Node>>>,
}

impl Wakes {
    #[inline]
    fn new() -> Wakes {
        Wakes { first: Cell::new(None), last: Cell::new(None) }
    }

    /// Adds a node that was just claimed, whose waiter is a thread.
    fn push(&self, node: NonNull<Node>) {
        // SAFETY: a claimed thread does not run before it is woken. So its node is valid, and its links, which no queue
        // uses any more, belong to this thread. The same holds for the last node.
        unsafe {
            node.as_ref().next.set(None);
            match self.last.replace(Some(node)) {
                Some(last) => last.as_ref().next.set(Some(node)),
                None => self.first.set(Some(node)),
            }
        }
    }
}

impl Drop for Wakes {
    #[inline]
    fn drop(&mut self) {
        let mut next = self.first.get();
        while let Some(node) = next {
            // SAFETY: the waiter is claimed and not yet woken, so its node is valid. It is a thread. The node is not used
            // after the waiter is woken.
            unsafe {
                next = node.as_ref().next.get();
                Wake::wake_thread(node.as_ref().waiter);
            }
        }
    }
}

impl<S: Default, P, const QUEUES: usize> Default for WaitList<S, P, QUEUES> {
    fn default() -> WaitList<S, P, QUEUES> {
        WaitList::new(S::default())
    }
}

impl<S, P, const QUEUES: usize> fmt::Debug for WaitList<S, P, QUEUES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitList").finish_non_exhaustive()
    }
}
