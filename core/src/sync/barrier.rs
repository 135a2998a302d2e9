//! Meeting of a fixed number.

use core::cell::Cell;
use core::fmt;

use crate::facade::maybe_const;
use crate::sync::gate::{Gate, Look};
use crate::wait::{Kind, Reason};

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
    gate: Gate<Meeting>,
}

#[derive(Debug)]
struct Meeting {
    /// How many are there.
    present: usize,
    /// Which meeting this is: who gives up must know whether its own was still to come about.
    number: usize,
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
            Barrier { n, gate: Gate::new(Meeting { present: 0, number: 0 }) }
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
        let reason = Reason::new(Kind::Barrier, self);
        let mut leads = false;
        let number = Cell::new(0);
        let _no_deadline = self.gate.wait(
            reason,
            None,
            |meeting| {
                number.set(meeting.number);
                if meeting.present + 1 < self.n {
                    meeting.present += 1;
                    return Look::Park;
                }
                meeting.present = 0;
                meeting.number = meeting.number.wrapping_add(1);
                leads = true;
                Look::Open
            },
            || {},
            |meeting| {
                if meeting.number == number.get() {
                    meeting.present -= 1;
                }
            },
        );
        BarrierWaitResult(leads)
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("n", &self.n).finish_non_exhaustive()
    }
}
