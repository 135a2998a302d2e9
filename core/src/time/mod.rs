//! Time: sleeping, intervals, and timeouts.

#[cfg_attr(models, path = "sleep_model.rs")]
mod sleep;
mod timeout_async;

use core::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
#[doc(no_inline)]
pub use std::time::{Duration, Instant, SystemTime, SystemTimeError, UNIX_EPOCH};

use crate::fiber::panic_count;
pub use crate::primitives::now;
pub use crate::thread::{sleep, sleep_until};
pub use crate::wait::Elapsed;
use crate::wait::{CurrentWaiter, TimeoutFrame, TimeoutUnwind, operation, shield};
pub use sleep::{SleepFuture, sleep_async, sleep_until_async};
pub use timeout_async::{TimeoutFuture, timeout_async};

/// Runs `f` with a timeout: no park in `f`, in any library, lasts beyond `duration` from now. When the duration has
/// passed, the current park of `f`, or its next one, unwinds to this call and runs destructors on the way.
///
/// Code that never parks is not bounded. Timeouts can be nested; the earlier deadline ends first. If a destructor
/// calls this while the caller unwinds, cancels and outer timeouts do not end `f`, but the `duration` given here
/// does.
///
/// # Errors
///
/// Returns [`Elapsed`] if a park in `f` was ended, or not started, because the duration had passed. If `f` returns
/// nevertheless, its value is returned, however late it is: `timeout(Duration::ZERO, || 1)` is `Ok(1)`.
///
/// # Parks
///
/// Never parks by itself.
///
/// # Panics
///
/// Panics if `f` panics. Code in `f` that catches the unwind may resume it inside `f`. If it is resumed elsewhere, it
/// becomes a panic.
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
    // The budget is paid inside the frame, so that the timeout also ends a yield for the budget.
    let f = || {
        operation();
        f()
    };
    let Some(deadline) = now().checked_add(duration) else { return Ok(f()) };
    if std::thread::panicking() { unwinding(deadline, f) } else { bounded(deadline, f) }
}

/// Runs `f` in a destructor of an unwind. That unwind is suspended, so that an unwind that starts in `f` can be told
/// from it and ends here. A shield holds off cancels and outer timeouts, one of which may have started it.
#[cold]
fn unwinding<T>(deadline: Instant, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    let aside = panic_count::suspend_panics();
    let result = catch_unwind(AssertUnwindSafe(|| shield(|| bounded(deadline, f))));
    aside.put_back();
    result.unwrap_or_else(|payload| resume_unwind(payload))
}

fn bounded<T>(deadline: Instant, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    let me = CurrentWaiter::current();
    // SAFETY: this is the caller's own waiter, which lives as long as the caller runs.
    let waiter = unsafe { me.waiter().as_ref() };
    let outer = waiter.timeout_frame();
    let shields = waiter.shields();
    let mut frame = TimeoutFrame { deadline, owner: core::ptr::null(), shields, number: Cell::new(None) };
    match waiter.timeout_in_force().filter(|outer| outer.deadline <= deadline) {
        Some(earlier) => (frame.deadline, frame.owner) = (earlier.deadline, earlier.owner),
        None => frame.owner = &raw const frame,
    }
    waiter.set_timeout_frame(&raw const frame);
    let result = catch_unwind(AssertUnwindSafe(f));
    waiter.set_timeout_frame(outer);
    match result {
        Ok(value) => Ok(value),
        Err(payload) => match payload.downcast::<TimeoutUnwind>() {
            Ok(unwind) if unwind.is_for(&frame) => Err(Elapsed::new()),
            Ok(unwind) => resume_unwind(unwind),
            Err(payload) => resume_unwind(payload),
        },
    }
}

/// A sequence of instants that are `period` apart; see [`interval`].
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

/// Creates an interval that ticks every `period`. The first tick is now. Missed ticks are skipped: the next tick
/// is in the future again.
///
/// # Panics
///
/// Panics if `period` is zero.
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
    /// Waits for the next tick, and returns its instant.
    ///
    /// # Parks
    ///
    /// Parks until the next tick.
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
        self.ticked(due)
    }

    /// Waits for the next tick in async code, and returns its instant. If the future is dropped before it is ready, the
    /// tick is not lost.
    ///
    /// # Parks
    ///
    /// Never parks the thread. The task waits.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let mut beat = kahn::time::interval(Duration::from_millis(1));
    /// let moments = kahn::task::spawn(async move { [beat.tick_async().await, beat.tick_async().await] });
    /// assert!(moments.join().unwrap().is_sorted());
    /// ```
    pub async fn tick_async(&mut self) -> Instant {
        let due = self.next;
        SleepFuture::new(due).await;
        self.ticked(due.expect("an endless sleep does not end"))
    }

    /// Moves on from the tick at `due`, which the caller returns.
    fn ticked(&mut self, due: Instant) -> Instant {
        let now = now();
        // Skips ticks in the past, and keeps the phase.
        let behind = now.saturating_duration_since(due).as_nanos();
        let periods = behind / self.period.as_nanos() + 1;
        let step = u64::try_from(periods.saturating_mul(self.period.as_nanos())).ok();
        self.next = step.and_then(|step| due.checked_add(Duration::from_nanos(step)));
        due
    }

    /// Returns the time between two ticks.
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
