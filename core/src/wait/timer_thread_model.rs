//! Deadlines of async code in a model: they pass when nothing else can happen, or early.

use core::cell::Cell;
use core::fmt;
use std::rc::Rc;
use std::task::Waker;
use std::time::Instant;

use crate::primitives::explorer;

/// A deadline of an async task.
pub struct TaskTimer(Cell<Option<(Instant, u64)>>);

impl TaskTimer {
    /// Creates an entry without a deadline.
    #[expect(clippy::new_without_default, reason = "a timer that is not set is no useful value")]
    pub fn new() -> TaskTimer {
        TaskTimer(Cell::new(None))
    }

    /// Wakes `waker` at `when`. This replaces the instant and the waker that were set before.
    ///
    /// One exploration chooses that nothing else can happen then, and another that it is now.
    pub fn set(&self, when: Instant, waker: &Waker) {
        let is_new = self.0.take().map(|(old, number)| (old, explorer::unset_timer(number)).0) != Some(when);
        if is_new && explorer::choose(2) == 1 {
            explorer::pass_time(when);
            waker.wake_by_ref();
            return;
        }
        let waker = waker.clone();
        let number = explorer::set_timer(when, Rc::new(move || waker.wake_by_ref()));
        self.0.set(Some((when, number)));
    }

    /// Removes the entry. The waker is not woken.
    pub fn unset(&self) {
        if let Some((_, number)) = self.0.take() {
            explorer::unset_timer(number);
        }
    }
}

impl Drop for TaskTimer {
    fn drop(&mut self) {
        self.unset();
    }
}

impl fmt::Debug for TaskTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TaskTimer").field(&self.0.get()).finish()
    }
}
