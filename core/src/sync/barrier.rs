//! The barrier: a fixed number of threads wait for one another.

use core::fmt;

use crate::primitives::maybe_const;
use crate::wait::{Kind, Queue, Reason, WaitList, WaitOptions, Waited, operation};

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
    /// The payload of a waiter is whether it waits again, because it was claimed but the barrier did not open.
    meeting: WaitList<Meeting, bool>,
}

/// The state of the current generation.
///
/// A waiter whose wait was ended by a cancel or a timeout no longer counts, although its node stays in the queue
/// until it runs. So the last thread to arrive claims all others, and opens the barrier only if it has claimed enough
/// of them. It counts them first. If some waits end between the count and the claims, the claimed waiters wait again.
#[derive(Debug)]
struct Meeting {
    /// The number of waiters in the queue, including those that were cancelled.
    queued: usize,
    /// The number of waiters that were claimed and will wait again. Nothing can end their wait before they do, so
    /// they count as arrived.
    coming: usize,
    /// The number of the current generation.
    number: usize,
}

/// How a wait may end without parking.
enum Arrived {
    /// The caller is the last to arrive.
    Last,
    /// The barrier opened after the caller was claimed, and has counted it.
    AfterOpening,
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
            Barrier { n, meeting: WaitList::new(Meeting { queued: 0, coming: 0, number: 0 }) }
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
        let options = WaitOptions::new(Reason::new(Kind::Barrier, self)).with(false);
        let others = self.n.saturating_sub(1);
        // While the caller waits again, the number of the generation that it belongs to.
        let mut again = None;
        loop {
            let arrive = |meeting: &mut Meeting, [waiters]: &mut [Queue<'_, bool>; 1]| {
                if again.is_some_and(|number| meeting.number != number) {
                    return Some(Arrived::AfterOpening);
                }
                meeting.coming -= usize::from(again.is_some());
                again = Some(meeting.number);
                if meeting.opens(others, waiters) {
                    return Some(Arrived::Last);
                }
                meeting.queued += 1;
                None
            };
            match self.meeting.wait_or(options, arrive, |meeting, _| meeting.queued -= 1) {
                Ok(Waited::Woken(true)) => {}
                Ok(Waited::Woken(false) | Waited::Found(Arrived::AfterOpening)) => {
                    return BarrierWaitResult(false);
                }
                Ok(Waited::Found(Arrived::Last)) => return BarrierWaitResult(true),
                Err(error) => {
                    error.raise();
                    unreachable!("a barrier has no deadline of its own")
                }
            }
        }
    }
}

impl Meeting {
    /// Opens the barrier if `wanted` others have arrived, and returns whether it has. Otherwise a waiter that was
    /// claimed waits again.
    fn opens(&mut self, wanted: usize, waiters: &mut Queue<'_, bool>) -> bool {
        // The first comparison is for speed: its cost does not depend on the number of waiters.
        if self.queued + self.coming < wanted || waiters.waiting() + self.coming < wanted {
            return false;
        }
        let claimed = waiters.claim_all();
        self.queued = 0;
        if claimed.count() + self.coming < wanted {
            // Some waits have ended since they were counted.
            self.coming += claimed.count();
            claimed.for_each(|again| *again = true);
            return false;
        }
        self.coming = 0;
        self.number = self.number.wrapping_add(1);
        true
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("n", &self.n).finish_non_exhaustive()
    }
}
