//! Cancellation and timeouts unwind from a park. Two payloads carry these unwinds. They bypass the panic hook.

use core::any::Any;
use core::fmt;
use core::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::wait::waiter::TimeoutFrame;

/// The payload with which a cancelled green thread unwinds.
#[derive(Debug)]
pub struct CancelUnwind(());

impl CancelUnwind {
    /// Returns a new payload, to start an unwind or to report one.
    pub fn payload() -> Box<dyn Any + Send> {
        Box::new(CancelUnwind(()))
    }
}

/// The payload with which a park unwinds to the [`time::timeout`](crate::time::timeout) whose deadline has passed. It
/// holds the number of that timeout's frame. User code can catch the payload and keep it for longer than the frame
/// lasts, so the frame's address would not do.
#[derive(Debug)]
pub struct TimeoutUnwind(NonZeroU64);

impl TimeoutUnwind {
    /// Returns whether the payload is meant for the `timeout` with this frame.
    pub fn is_for(&self, frame: &TimeoutFrame) -> bool {
        frame.number.get() == Some(self.0)
    }
}

/// Returns whether a payload is an unwind that ends a green thread without a panic report.
///
/// A [`TimeoutUnwind`] is not one. It is always raised inside its `timeout`. It can be found outside only if user code
/// has caught it and resumed it elsewhere.
pub fn is_internal_unwind(payload: &(dyn Any + Send)) -> bool {
    payload.is::<CancelUnwind>()
}

/// Returns a payload as a joiner may receive it. Converts a [`TimeoutUnwind`] that escaped its frame into an ordinary
/// panic, and so reports it to the panic hook, which has not seen it before. The message of that panic describes the
/// mistake. The converted payload cannot reach another timeout.
pub fn reject_stray_unwind(payload: Box<dyn Any + Send>) -> Box<dyn Any + Send> {
    #[cold]
    fn stray() {
        panic!("the unwind of a `timeout` that is over was caught, and resumed outside of that `timeout`");
    }
    if payload.is::<TimeoutUnwind>() { catch_unwind(stray).expect_err("it panics") } else { payload }
}

/// A wait that ended by a deadline or a cancel. It has taken nothing, and nothing is lost.
#[must_use = "leave the queues, then raise it"]
#[derive(Debug)]
pub struct WaitError(Cause);

#[derive(Debug)]
enum Cause {
    Deadline,
    TimeoutFrame(*const TimeoutFrame),
    Cancelled,
}

/// The error of an operation whose time has passed.
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

impl Elapsed {
    pub(crate) fn new() -> Elapsed {
        Elapsed(())
    }
}

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

impl WaitError {
    pub(super) fn timed_out(frame: *const TimeoutFrame) -> WaitError {
        WaitError(if frame.is_null() { Cause::Deadline } else { Cause::TimeoutFrame(frame) })
    }

    pub(super) fn cancelled() -> WaitError {
        WaitError(Cause::Cancelled)
    }

    /// Returns whether the operation's own deadline has passed.
    #[cfg_attr(not(fibers), allow(dead_code, reason = "a model has no descriptors"))]
    pub(crate) fn is_deadline(&self) -> bool {
        matches!(self.0, Cause::Deadline)
    }

    /// Unwinds if the caller was cancelled, or if the deadline of an enclosing `timeout` has passed. Returns
    /// [`Elapsed`] if the operation's own deadline has passed. The caller has left all queues.
    #[cold]
    pub fn raise(self) -> Elapsed {
        match self.0 {
            Cause::Deadline => Elapsed::new(),
            Cause::TimeoutFrame(frame) => {
                // SAFETY: the frame of a `timeout` is on the stack of the thread that waits, in a call that encloses
                // this one.
                let number = unsafe { &*frame }.numbered();
                resume_unwind(Box::new(TimeoutUnwind(number)))
            }
            Cause::Cancelled => resume_unwind(CancelUnwind::payload()),
        }
    }
}

/// Runs user code and catches its panic, which the panic hook reports. Returns whether it panicked.
///
/// The payload is dropped. If its destructor panics too, the payload of that second panic is leaked.
pub fn run_catching(f: impl FnOnce()) -> bool {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else { return false };
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        core::mem::forget(second);
    }
    true
}

/// Drops every value that `next` returns, even if destructors panic. When all are dropped, the first panic is
/// resumed. The panic hook has reported the others, and they are discarded. If the caller is unwinding already, all
/// panics are discarded, because a second unwind would abort.
pub fn drop_all<T>(mut next: impl FnMut() -> Option<T>) {
    let mut first = None;
    loop {
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            while let Some(value) = next() {
                drop(value);
            }
        }));
        // Each panic has used up a value, so the loop is bounded by the number of values.
        match (dropped, &first) {
            (Ok(()), _) => break,
            (Err(payload), None) => first = Some(payload),
            (Err(payload), Some(_)) => _ = run_catching(|| drop(payload)),
        }
    }
    match first {
        Some(payload) if std::thread::panicking() => _ = run_catching(|| drop(payload)),
        Some(payload) => resume_unwind(payload),
        None => {}
    }
}

/// Calls `f` with `value`, drops `value`, and returns the result. Both are user code. If the destructor panics, the
/// result is dropped, and the panic goes on: a destructor that runs when a function's result is complete would leak
/// that result. If both panic, the first panic goes on.
pub fn use_and_drop<T, R>(value: T, f: impl FnOnce(&T) -> R) -> R {
    let used = catch_unwind(AssertUnwindSafe(|| f(&value)));
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(value)));
    match (used, dropped) {
        (Ok(result), Ok(())) => result,
        (Err(payload), Ok(())) => resume_unwind(payload),
        (Ok(result), Err(payload)) => {
            run_catching(|| drop(result));
            resume_unwind(payload)
        }
        (Err(first), Err(second)) => {
            run_catching(|| drop(second));
            resume_unwind(first)
        }
    }
}

/// A value whose destructor is user code, and which is dropped next to other values. It is dropped as by
/// [`drop_all`], so it does not panic during an unwind.
#[derive(Debug)]
pub struct Discarded<T>(Option<T>);

impl<T> Discarded<T> {
    /// Wraps `value`, which is dropped with this wrapper.
    pub fn new(value: T) -> Discarded<T> {
        Discarded(Some(value))
    }
}

impl<T> Drop for Discarded<T> {
    fn drop(&mut self) {
        if core::mem::needs_drop::<T>() {
            drop_all(|| self.0.take());
        }
    }
}

/// Returns the payload with which a green thread ends. A cancel's payload in a green thread that was never cancelled
/// (`was_cancelled` is false) was caught in another green thread and resumed in this one. It is converted into a
/// panic that describes the mistake.
pub fn reject_stray_unwind_at_end(payload: Box<dyn Any + Send>, was_cancelled: bool) -> Box<dyn Any + Send> {
    #[cold]
    fn stray() {
        panic!(
            "the unwind of a green thread that was cancelled was caught, and resumed in another that was not"
        );
    }
    if payload.is::<CancelUnwind>() && !was_cancelled {
        catch_unwind(stray).expect_err("it panics")
    } else {
        payload
    }
}
