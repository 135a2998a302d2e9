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

use kahn_core::facade::now;
use kahn_core::wait::quietly;

/// How long the thread stays when no task waits. Tasks often wait again at once, and then need no new thread.
const LINGER: Duration = Duration::from_millis(100);

/// The instant, and a number that tells entries of the same instant apart.
type Key = (Instant, u64);

/// The wakers, in the order of their instants.
struct Alarms {
    count: u64,
    wakers: BTreeMap<Key, Waker>,
    /// Whether the thread runs.
    kept: bool,
    /// Until when the thread sleeps, if it does.
    sleeps_until: Option<Instant>,
}

static ALARMS: Mutex<Alarms> =
    Mutex::new(Alarms { count: 0, wakers: BTreeMap::new(), kept: false, sleeps_until: None });
static CHANGED: Condvar = Condvar::new();

fn alarms() -> MutexGuard<'static, Alarms> {
    // No user code runs with the lock held, so the state is consistent even if the lock is poisoned.
    ALARMS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The entry of a future that waits for a timer.
pub(crate) struct Alarm(Cell<Option<Key>>);

impl Alarm {
    pub(crate) fn new() -> Alarm {
        Alarm(Cell::new(None))
    }

    /// Wakes `waker` at `when`. This replaces the instant and the waker that were set before.
    pub(crate) fn set(&self, when: Instant, waker: &Waker) {
        let known = self.0.get().filter(|key| key.0 == when);
        // Usually the same task polls again. `will_wake` compares two pointers and calls no user code.
        if known.is_some_and(|key| alarms().wakers.get(&key).is_some_and(|old| old.will_wake(waker))) {
            return;
        }
        let waker = waker.clone();
        let mut alarms = alarms();
        let old = self.0.take().and_then(|key| alarms.wakers.remove(&key));
        alarms.count += 1;
        let key = (when, alarms.count);
        alarms.wakers.insert(key, waker);
        self.0.set(Some(key));
        let is_kept = core::mem::replace(&mut alarms.kept, true);
        let is_early = alarms.sleeps_until.is_some_and(|until| when < until);
        drop(alarms);
        if !is_kept {
            start();
        } else if is_early {
            CHANGED.notify_one();
        }
        drop(old);
    }

    /// Removes the entry. The waker is not woken.
    pub(crate) fn unset(&self) {
        let Some(key) = self.0.take() else { return };
        let mut alarms = alarms();
        let old = alarms.wakers.remove(&key);
        // Wakes a thread that sleeps long although no task waits, so that it can end. This happens at most once per
        // `LINGER`, because the thread then lingers for that time.
        let ends = alarms.wakers.is_empty()
            && alarms.sleeps_until.is_some_and(|until| until.saturating_duration_since(now()) > LINGER);
        if ends {
            alarms.sleeps_until = None;
        }
        drop(alarms);
        if ends {
            CHANGED.notify_one();
        }
        drop(old);
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.unset();
    }
}

fn start() {
    let thread = std::thread::Builder::new().name("kahn-alarm".to_owned());
    if let Err(error) = thread.spawn(keep_time) {
        // The next task that waits tries again.
        alarms().kept = false;
        panic!("an OS thread for timers in async code: {error}");
    }
}

fn keep_time() {
    let mut locked = alarms();
    let mut lingers = false;
    loop {
        let now = now();
        let first = locked.wakers.first_entry();
        let left = match first {
            Some(first) if first.key().0 <= now => {
                let waker = first.remove();
                drop(locked);
                // A panic of a waker must not end the thread, which other tasks need.
                quietly(|| waker.wake());
                locked = alarms();
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
