//! Wakes async tasks that wait for a timer.
//!
//! Parked green threads and OS threads have deadlines of their own. A task in another library's executor has none, so
//! one OS thread keeps the time for all of these tasks. The thread is started when a task needs it, and ends shortly
//! after the last task has been served.
//!
//! Each future has at most one entry here: the waker of its last poll, until it is woken or the future is dropped. No
//! waker is cloned, dropped or woken with the lock held, because that may run user code.

use core::cell::Cell;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use crate::primitives::now;
use crate::wait::task::OwnedWaker;

/// How long the thread stays when no task waits. Tasks often wait again at once, and then need no new thread.
const LINGER: Duration = Duration::from_millis(100);

/// The instant, and a number that tells entries of the same instant apart.
type Key = (Instant, u64);

/// The wakers, in the order of their instants.
struct TimerQueue {
    count: u64,
    wakers: BTreeMap<Key, OwnedWaker>,
    /// Whether the thread runs.
    kept: bool,
    /// Until when the thread sleeps, if it does.
    sleeps_until: Option<Instant>,
}

static ALARMS: Mutex<TimerQueue> =
    Mutex::new(TimerQueue { count: 0, wakers: BTreeMap::new(), kept: false, sleeps_until: None });
static CHANGED: Condvar = Condvar::new();

fn timer_queue() -> MutexGuard<'static, TimerQueue> {
    // No user code runs with the lock held, so the state is consistent even if the lock is poisoned.
    ALARMS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The entry of a future that waits for a timer.
#[derive(Debug)]
pub struct TaskTimer(Cell<Option<Key>>);

impl TaskTimer {
    /// Creates an entry without a deadline.
    #[expect(clippy::new_without_default, reason = "a timer that is not set is no useful value")]
    pub fn new() -> TaskTimer {
        TaskTimer(Cell::new(None))
    }

    /// Wakes `waker` at `when`. This replaces the instant and the waker that were set before.
    pub fn set(&self, when: Instant, waker: &Waker) {
        let known = self.0.get().filter(|key| key.0 == when);
        // Usually the same task polls again. `will_wake` compares two pointers and calls no user code.
        if known.is_some_and(|key| timer_queue().wakers.get(&key).is_some_and(|old| old.will_wake(waker))) {
            return;
        }
        let waker = OwnedWaker::new(waker);
        let mut timers = timer_queue();
        let old = self.0.take().and_then(|key| timers.wakers.remove(&key));
        timers.count += 1;
        let key = (when, timers.count);
        timers.wakers.insert(key, waker);
        self.0.set(Some(key));
        let is_kept = core::mem::replace(&mut timers.kept, true);
        let is_early = timers.sleeps_until.is_some_and(|until| when < until);
        drop(timers);
        if !is_kept {
            start();
        } else if is_early {
            CHANGED.notify_one();
        }
        drop(old);
    }

    /// Removes the entry. The waker is not woken.
    pub fn unset(&self) {
        let Some(key) = self.0.take() else { return };
        let mut timers = timer_queue();
        let old = timers.wakers.remove(&key);
        // Wakes a thread that sleeps long although no task waits, so that it can end. This happens at most once per
        // `LINGER`, because the thread then lingers for that time.
        let ends = timers.wakers.is_empty()
            && timers.sleeps_until.is_some_and(|until| until.saturating_duration_since(now()) > LINGER);
        if ends {
            timers.sleeps_until = None;
        }
        drop(timers);
        if ends {
            CHANGED.notify_one();
        }
        drop(old);
    }
}

impl Drop for TaskTimer {
    fn drop(&mut self) {
        self.unset();
    }
}

fn start() {
    let thread = std::thread::Builder::new().name("kahn-timer".to_owned());
    if let Err(error) = thread.spawn(keep_time) {
        // The next task that waits tries again.
        timer_queue().kept = false;
        panic!("an OS thread for timers in async code: {error}");
    }
}

fn keep_time() {
    let mut locked = timer_queue();
    let mut lingers = false;
    loop {
        let now = now();
        let first = locked.wakers.first_entry();
        let left = match first {
            Some(first) if first.key().0 <= now => {
                let waker = first.remove();
                drop(locked);
                // A panic of a waker must not end the thread, which other tasks need.
                waker.wake();
                locked = timer_queue();
                continue;
            }
            Some(first) => {
                lingers = false;
                first.key().0 - now
            }
            None if lingers => {
                locked.kept = false;
                return;
            }
            None => {
                lingers = true;
                LINGER
            }
        };
        locked.sleeps_until = now.checked_add(left);
        locked = CHANGED.wait_timeout(locked, left).unwrap_or_else(PoisonError::into_inner).0;
        locked.sleeps_until = None;
    }
}
