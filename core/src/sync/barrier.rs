//! The barrier: a fixed number of threads wait for one another.

use core::cell::Cell;
use core::fmt;
use core::ptr::NonNull;
use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::primitives::{Lock, LockGuard, maybe_const};
use crate::sync::chain::{Chain, Slot};
use crate::wait::{Claimed, Kind, Node, Reason, Wait, WaitQueue, operation};

/// Makes `n` threads wait until all of them have arrived. It can be used repeatedly. Works like
/// [`std::sync::Barrier`].
///
/// # Examples
///
/// ```
/// use kahn::sync::{Arc, Barrier};
///
/// let barrier = Arc::new(Barrier::new(3));
/// let others: Vec<_> = (0..2)
///     .map(|_| {
///         let barrier = barrier.clone();
///         std::thread::spawn(move || barrier.wait().is_leader())
///     })
///     .collect();
/// let mut leaders = usize::from(barrier.wait().is_leader());
/// leaders += others.into_iter().map(|other| usize::from(other.join().unwrap())).sum::<usize>();
/// assert_eq!(leaders, 1);
/// ```
pub struct Barrier {
    n: usize,
    meeting: Lock<Meeting>,
}

/// The state of the current generation.
///
/// A waiter whose wait was ended by a cancel or a timeout no longer counts, although its node stays in the queue
/// until it runs. So the last thread to arrive claims all others, and opens the barrier only if it has claimed enough
/// of them. It counts them first. If some waits end between the count and the claims, the claimed waiters wait again.
#[derive(Debug)]
struct Meeting {
    /// The payload of each node is its `Arrival`.
    queue: WaitQueue,
    /// The number of nodes in the queue, including those of cancelled waiters.
    queued: usize,
    /// The number of waiters that were claimed and will wait again. Nothing can end their wait before they do, so
    /// they count as arrived.
    coming: usize,
    /// The number of the current generation.
    number: usize,
}

// No user code runs while the state is changed, so an unwind never leaves it half changed.
impl UnwindSafe for Barrier {}
impl RefUnwindSafe for Barrier {}

/// The record of a waiter, on its stack. It is accessed under the lock until the waiter is claimed, and then by the
/// claimer alone.
#[repr(C)]
struct Arrival {
    slot: Slot,
    /// Set when the waiter was claimed but the barrier did not open, so that it waits again.
    again: Cell<bool>,
}

/// The result of [`Barrier::wait`]. Works like [`std::sync::BarrierWaitResult`].
///
/// # Examples
///
/// ```
/// let result: kahn::sync::BarrierWaitResult = kahn::sync::Barrier::new(1).wait();
/// assert!(result.is_leader());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Returns true for exactly one of the `n` threads: the last to arrive.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::sync::Barrier;
    ///
    /// let barrier = Barrier::new(2);
    /// let leaders = kahn::scope(|s| {
    ///     let other = s.spawn(|| barrier.wait().is_leader());
    ///     [barrier.wait().is_leader(), other.join().unwrap()]
    /// });
    /// // Exactly one of the two is the leader.
    /// assert_ne!(leaders[0], leaders[1]);
    /// ```
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl Barrier {
    maybe_const! {
        /// Creates a barrier for `n` threads. With zero or one, `wait` returns at once.
        ///
        /// # Examples
        ///
        /// ```
        /// static START: kahn::sync::Barrier = kahn::sync::Barrier::new(1);
        /// START.wait();
        /// ```
        pub const fn new(n: usize) -> Barrier {
            let meeting = Meeting { queue: WaitQueue::new(), queued: 0, coming: 0, number: 0 };
            Barrier { n, meeting: Lock::new(meeting) }
        }
    }

    /// Waits until `n` threads have arrived.
    ///
    /// # Parks
    ///
    /// Parks unless the caller is the last to arrive. If the caller is cancelled or its timeout passes, this unwinds
    /// and the caller no longer counts as arrived, so another thread has to arrive.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::sync::Barrier;
    ///
    /// let (parts, barrier) = ([1, 2, 3], Barrier::new(3));
    /// kahn::scope(|s| {
    ///     for part in &parts {
    ///         s.spawn(|| {
    ///             // … the first half, with this part …
    ///             let _ = part;
    ///             barrier.wait();
    ///             // … the second half, when all threads have done the first …
    ///         });
    ///     }
    /// });
    /// ```
    #[track_caller]
    pub fn wait(&self) -> BarrierWaitResult {
        operation();
        let reason = Reason::new(Kind::Barrier, self);
        let others = self.n.saturating_sub(1);
        let mut meeting = self.meeting.lock();
        loop {
            let number = meeting.number;
            if let Some(claimed) = meeting.claim_others(others) {
                let is_complete = claimed.len() + meeting.coming >= others;
                if is_complete {
                    meeting.coming = 0;
                    meeting.number = number.wrapping_add(1);
                } else {
                    meeting.coming += claimed.len();
                    claimed.each(|slot| {
                        // SAFETY: the slot is the first field of an `Arrival`, whose waiter was claimed and is not
                        // yet woken.
                        unsafe { slot.cast::<Arrival>().as_ref() }.again.set(true);
                    });
                }
                drop(meeting);
                drop(claimed);
                if is_complete {
                    return BarrierWaitResult(true);
                }
                meeting = self.meeting.lock();
                continue;
            }
            if !self.wait_for_others(meeting, reason) {
                return BarrierWaitResult(false);
            }
            meeting = self.meeting.lock();
            if meeting.number != number {
                // The barrier opened after this waiter was claimed, and has counted it.
                return BarrierWaitResult(false);
            }
            meeting.coming -= 1;
        }
    }

    /// Queues and parks. Returns whether the caller has to wait again; if not, the barrier has opened.
    fn wait_for_others(&self, mut meeting: LockGuard<'_, Meeting>, reason: Reason) -> bool {
        let arrival = Arrival { slot: Slot::new(), again: Cell::new(false) };
        let wait = Wait::new();
        let node = Node::new(wait.waiter(), 0, (&raw const arrival).cast_mut().cast());
        // SAFETY: the node is new, `Wait::new` has opened its wait, and it does not move. It leaves the queue before
        // this function returns: its claimer removes it, or the code below does.
        unsafe { meeting.queue.push((&node).into()) };
        meeting.queued += 1;
        drop(meeting);
        match wait.park(reason, None) {
            Ok(_) => arrival.again.get(),
            Err(error) => {
                let mut meeting = self.meeting.lock();
                // SAFETY: the node is in this queue or in none.
                let stood = unsafe { meeting.queue.remove((&node).into()) };
                meeting.queued -= usize::from(stood);
                drop(meeting);
                drop(wait);
                error.raise();
                unreachable!("a barrier has no deadline of its own")
            }
        }
    }
}

impl Meeting {
    /// Claims all waiters if they and the coming ones are at least `wanted`. Returns `None` otherwise. May claim
    /// fewer, because some waits may end at the same moment.
    fn claim_others(&mut self, wanted: usize) -> Option<Chain> {
        // The first comparison is for speed: its cost does not depend on the number of waiters.
        if self.queued + self.coming < wanted || self.queue.waiting() + self.coming < wanted {
            return None;
        }
        let mut others = Chain::new();
        while let Some(Claimed { payload, wake }) = self.queue.claim_next() {
            let arrival = NonNull::new(payload.cast::<Arrival>()).expect("the address of a local");
            // SAFETY: the waiter was just claimed, and the slot is the first field of its `Arrival`.
            unsafe { others.push(arrival.cast::<Slot>(), wake) };
        }
        self.queued = 0;
        Some(others)
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("n", &self.n).finish_non_exhaustive()
    }
}
