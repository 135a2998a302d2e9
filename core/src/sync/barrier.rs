//! Meeting of a fixed number.

use core::cell::Cell;
use core::fmt;
use core::ptr::NonNull;
use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::facade::{Lock, LockGuard, maybe_const};
use crate::sync::chain::{Chain, Slot};
use crate::wait::{Claimed, Kind, Node, Reason, Wait, WaitQueue, operation};

/// Lets `n` wait until all of them are there, again and again. As [`std::sync::Barrier`].
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

/// A party that was cancelled or timed out is not present from that moment on, although it stands in the queue until it runs.
/// So the last to come claims all others, and opens the barrier only if it gets enough of them. It counts them first. If some
/// are lost between the count and the claims, those that it has claimed come again.
#[derive(Debug)]
struct Meeting {
    /// The payload of each is its `Arrival`.
    queue: WaitQueue,
    /// How many nodes stand in the queue, those of parties that were cancelled included.
    queued: usize,
    /// How many were claimed and are to come again. Nothing can end their wait until then, so they are present.
    coming: usize,
    /// Which meeting this is.
    number: usize,
}

// No user's code runs while the meeting is changed, so an unwind never leaves it half changed.
impl UnwindSafe for Barrier {}
impl RefUnwindSafe for Barrier {}

/// A waiter, on its stack. Under the lock before it is claimed, the claimer's after.
#[repr(C)]
struct Arrival {
    slot: Slot,
    /// It was claimed in vain, and comes again.
    again: Cell<bool>,
}

/// What [`Barrier::wait`] answers. As [`std::sync::BarrierWaitResult`].
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
    /// True for one of the `n`: the last to come.
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
    /// // One of the two, and be it to tidy up.
    /// assert_ne!(leaders[0], leaders[1]);
    /// ```
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl Barrier {
    maybe_const! {
        /// A barrier for `n`. With zero or one, nobody ever waits.
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

    /// Waits until `n` are there.
    ///
    /// # Parks
    ///
    /// Unless the caller is the last. Cancelled or timed out, it unwinds and is no longer there: another has to come.
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
    ///             // … the second half, when everybody has done the first …
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
                        // SAFETY: the slot is the first field of an arrival, whose party was claimed and not yet woken.
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
                // It was complete while we were coming, and counted us.
                return BarrierWaitResult(false);
            }
            meeting.coming -= 1;
        }
    }

    /// Queues and parks. Returns whether the caller is to come again: if not, the barrier is open.
    fn wait_for_others(&self, mut meeting: LockGuard<'_, Meeting>, reason: Reason) -> bool {
        let arrival = Arrival { slot: Slot::new(), again: Cell::new(false) };
        let wait = Wait::new();
        let node = Node::new(wait.party(), 0, (&raw const arrival).cast_mut().cast());
        // SAFETY: the node is new, its party prepared by `Wait::new`, and it is taken out before this function returns: by
        // its claimer, or below.
        unsafe { meeting.queue.push((&node).into()) };
        meeting.queued += 1;
        drop(meeting);
        match wait.park(reason, None) {
            Ok(_) => arrival.again.get(),
            Err(missed) => {
                let mut meeting = self.meeting.lock();
                // SAFETY: the node stands in this queue or in none.
                let stood = unsafe { meeting.queue.remove((&node).into()) };
                meeting.queued -= usize::from(stood);
                drop(meeting);
                drop(wait);
                missed.raise();
                unreachable!("a barrier has no deadline of its own")
            }
        }
    }
}

impl Meeting {
    /// Claims all that wait, if with those that are coming they are `wanted` or more. May get fewer than that: the wait of some
    /// may be ended at the same moment.
    fn claim_others(&mut self, wanted: usize) -> Option<Chain> {
        // The first look is for speed: it costs the same however many wait.
        if self.queued + self.coming < wanted || self.queue.waiting() + self.coming < wanted {
            return None;
        }
        let mut others = Chain::new();
        while let Some(Claimed { payload, wake }) = self.queue.claim_next() {
            let arrival = NonNull::new(payload.cast::<Arrival>()).expect("the address of a local");
            // SAFETY: claimed in the line above; the slot is the first field.
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
