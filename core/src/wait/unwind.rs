//! Cancellation is an unwind from a park: the two payloads that carry it, which no panic hook ever sees.

use core::any::Any;
use core::fmt;
use core::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::wait::party::Limit;

/// The payload with which a cancelled green thread unwinds.
#[derive(Debug)]
pub struct CancelUnwind(());

impl CancelUnwind {
    /// As the payload of an unwinding, or as what is left of one.
    pub fn payload() -> Box<dyn Any + Send> {
        Box::new(CancelUnwind(()))
    }
}

/// The payload with which a park unwinds to the [`time::timeout`](crate::time::timeout) whose time is over, by the number
/// of that one's frame. Who catches it can keep it for longer than the frame lasts, so an address would not do.
#[derive(Debug)]
pub struct LimitUnwind(NonZeroU64);

impl LimitUnwind {
    /// Whether it is meant for the `timeout` with this frame.
    pub fn is_for(&self, limit: &Limit) -> bool {
        limit.number.get() == Some(self.0)
    }
}

/// Whether a payload is an unwind that ends a green thread quietly, not a panic.
///
/// A [`LimitUnwind`] is none: every one is raised inside its `timeout`, so who finds one outside has it from code that has
/// caught it and has gone on with it elsewhere.
pub fn is_quiet_unwind(payload: &(dyn Any + Send)) -> bool {
    payload.is::<CancelUnwind>()
}

/// A payload as it is handed to who asks how a green thread has ended. One of ours that has gone astray becomes a panic, which
/// the panic hook sees, as it has seen no other: it says what was done wrong, and can go no further astray.
pub fn settled(payload: Box<dyn Any + Send>) -> Box<dyn Any + Send> {
    #[cold]
    fn stray() {
        panic!("the unwind of a `timeout` that is over was caught, and resumed outside of that `timeout`");
    }
    if payload.is::<LimitUnwind>() { catch_unwind(stray).expect_err("it panics") } else { payload }
}

/// A wait that ended without what was waited for. Nothing has been taken, nothing lost.
#[must_use = "leave the queues, then raise it"]
#[derive(Debug)]
pub struct Missed(Cause);

#[derive(Debug)]
enum Cause {
    Deadline,
    Limit(*const Limit),
    Cancelled,
}

/// The deadline of an operation has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline has passed")
    }
}

impl core::error::Error for TimedOut {}

impl Missed {
    pub(super) fn timed_out(limit: *const Limit) -> Missed {
        Missed(if limit.is_null() { Cause::Deadline } else { Cause::Limit(limit) })
    }

    pub(super) fn cancelled() -> Missed {
        Missed(Cause::Cancelled)
    }

    /// Unwinds if the caller was cancelled or an enclosing `timeout` is over; answers [`TimedOut`] if it was the
    /// operation's own deadline. The caller has left all queues.
    #[cold]
    pub fn raise(self) -> TimedOut {
        match self.0 {
            Cause::Deadline => TimedOut,
            Cause::Limit(limit) => {
                // SAFETY: frames of `timeout` stand on the stack of the thread that waits, below this call.
                let number = unsafe { &*limit }.numbered();
                resume_unwind(Box::new(LimitUnwind(number)))
            }
            Cause::Cancelled => resume_unwind(CancelUnwind::payload()),
        }
    }
}

/// Runs a user's code whose panic, which the panic hook reports, ends here. Answers whether it panicked.
///
/// The payload is dropped; one whose destructor panics, too, is leaked with what that panic carries.
pub fn quietly(f: impl FnOnce()) -> bool {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else { return false };
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        core::mem::forget(second);
    }
    true
}

/// Drops every value that `next` hands out, however many of the destructors panic. The first panic goes on when all are
/// dropped; the others have been reported by the panic hook, and end here. If the caller is unwinding already, all end here:
/// a second unwinding would abort.
pub fn drop_all<T>(mut next: impl FnMut() -> Option<T>) {
    let mut first = None;
    loop {
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            while let Some(value) = next() {
                drop(value);
            }
        }));
        // Each panic has used up a value, so this comes to an end.
        match (dropped, &first) {
            (Ok(()), _) => break,
            (Err(payload), None) => first = Some(payload),
            (Err(payload), Some(_)) => _ = quietly(|| drop(payload)),
        }
    }
    match first {
        Some(payload) if std::thread::panicking() => _ = quietly(|| drop(payload)),
        Some(payload) => resume_unwind(payload),
        None => {}
    }
}

/// A value whose destructor is a user's, dropped beside others: as by [`drop_all`], it does not panic into an unwinding.
#[derive(Debug)]
pub struct Discarded<T>(Option<T>);

impl<T> Discarded<T> {
    /// To be dropped.
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

/// A payload as a green thread leaves it. If it is that of a cancel, and the green thread `was_cancelled` at no time, it has
/// been caught in another, and resumed here: it becomes a panic, which says so.
pub fn settled_at_end(payload: Box<dyn Any + Send>, was_cancelled: bool) -> Box<dyn Any + Send> {
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
