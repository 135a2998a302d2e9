//! Time: sleeping, intervals, and bounds on waiting.

use core::cell::Cell;
use core::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
#[doc(no_inline)]
pub use std::time::{Duration, Instant, SystemTime, SystemTimeError, UNIX_EPOCH};

pub use crate::facade::now;
use crate::fiber::panic_count;
pub use crate::thread::{sleep, sleep_until};
use crate::wait::{Limit, LimitUnwind, Me, operation, shield};

/// The time given to [`timeout`] was over.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use kahn::time::{Elapsed, timeout};
///
/// let late: Result<(), Elapsed> = timeout(Duration::from_millis(1), || kahn::sleep(Duration::MAX));
/// assert_eq!(std::io::Error::from(late.unwrap_err()).kind(), std::io::ErrorKind::TimedOut);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time is over")
    }
}

impl core::error::Error for Elapsed {}

impl From<Elapsed> for std::io::Error {
    fn from(elapsed: Elapsed) -> std::io::Error {
        std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed)
    }
}

/// Runs `f`, and bounds everything that it parks on, in whatever library, by `duration` from now: when the time is over,
/// the park that `f` is in, or its next, unwinds to here, running the destructors on the way.
///
/// What never parks is not bounded. Nested bounds work: the earlier one ends first. In a destructor that runs while the
/// caller unwinds, what is cancelled or late is let finish; but a bound that the destructor itself sets holds.
///
/// # Errors
///
/// [`Elapsed`] if a park in `f` was ended, or not begun, because the time was over. If `f` returns all the same, its value
/// counts, however late it is: `timeout(Duration::ZERO, || 1)` is `Ok(1)`.
///
/// # Parks
///
/// Never by itself.
///
/// # Panics
///
/// If `f` panics. Who catches the unwind to here inside of `f` may resume it there; resumed elsewhere, it is a panic.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// kahn::run(|| {
///     let late = kahn::time::timeout(Duration::from_millis(1), || kahn::sleep(Duration::MAX));
///     assert!(late.is_err());
/// });
/// ```
pub fn timeout<T>(duration: Duration, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    // Paid for within the bound: a yield for the budget ends with it, too.
    let f = || {
        operation();
        f()
    };
    let Some(deadline) = now().checked_add(duration) else { return Ok(f()) };
    if std::thread::panicking() { unwinding(deadline, f) } else { bounded(deadline, f) }
}

/// In a destructor of an unwinding: that one is set aside, so that the one that `f` may begin is told from it and ends
/// here; what has begun it is held off.
#[cold]
fn unwinding<T>(deadline: Instant, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    let aside = panic_count::set_aside();
    let result = catch_unwind(AssertUnwindSafe(|| shield(|| bounded(deadline, f))));
    aside.put_back();
    result.unwrap_or_else(|payload| resume_unwind(payload))
}

fn bounded<T>(deadline: Instant, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    let me = Me::current();
    // SAFETY: the caller's own party, which lives as long as it runs.
    let party = unsafe { me.party().as_ref() };
    let outer = party.limit();
    let shields = party.shields();
    let mut limit = Limit { deadline, owner: core::ptr::null(), shields, number: Cell::new(None) };
    match party.limit_in_force().filter(|outer| outer.deadline <= deadline) {
        Some(earlier) => (limit.deadline, limit.owner) = (earlier.deadline, earlier.owner),
        None => limit.owner = &raw const limit,
    }
    party.set_limit(&raw const limit);
    let result = catch_unwind(AssertUnwindSafe(f));
    party.set_limit(outer);
    match result {
        Ok(value) => Ok(value),
        Err(payload) => match payload.downcast::<LimitUnwind>() {
            Ok(unwind) if unwind.is_for(&limit) => Err(Elapsed(())),
            Ok(unwind) => resume_unwind(unwind),
            Err(payload) => resume_unwind(payload),
        },
    }
}

/// Moments that are `period` apart; see [`interval`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use kahn::time::{Interval, interval};
///
/// fn beats(mut beat: Interval, times: u32) -> u32 {
///     (0..times).map(|_| beat.tick()).count() as u32
/// }
/// assert_eq!(beats(interval(Duration::from_micros(100)), 3), 3);
/// ```
#[derive(Debug)]
pub struct Interval {
    next: Option<Instant>,
    period: Duration,
}

/// Moments that are `period` apart, the first of them now. One that is missed is not made up for: the next is in the
/// future again.
///
/// # Panics
///
/// If `period` is zero.
///
/// # Examples
///
/// ```
/// let mut beat = kahn::time::interval(std::time::Duration::from_millis(1));
/// let first = beat.tick();
/// assert!(beat.tick() > first);
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval must be longer than zero");
    Interval { next: Some(now()), period }
}

impl Interval {
    /// Waits for the next moment, and answers it.
    ///
    /// # Parks
    ///
    /// Until then.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let mut beat = kahn::time::interval(Duration::from_millis(1));
    /// let moments = [beat.tick(), beat.tick(), beat.tick()];
    /// assert!(moments.is_sorted());
    /// ```
    #[track_caller]
    pub fn tick(&mut self) -> Instant {
        operation();
        let Some(due) = self.next else {
            crate::thread::sleep(Duration::MAX);
            unreachable!("an endless sleep ends by a cancel alone");
        };
        if due > now() {
            crate::thread::sleep_until(due);
        }
        let now = now();
        // Moments that are past are skipped, keeping the beat.
        let behind = now.saturating_duration_since(due).as_nanos();
        let periods = behind / self.period.as_nanos() + 1;
        let step = u64::try_from(periods.saturating_mul(self.period.as_nanos())).ok();
        self.next = step.and_then(|step| due.checked_add(Duration::from_nanos(step)));
        due
    }

    /// The time between two moments.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let beat = kahn::time::interval(Duration::from_secs(1));
    /// assert_eq!(beat.period(), Duration::from_secs(1));
    /// ```
    pub fn period(&self) -> Duration {
        self.period
    }
}
