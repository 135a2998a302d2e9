//! Wakes async tasks that wait for a timer. Parked green threads and OS threads have their own deadlines; a task in
//! somebody else's executor has nobody, so one OS thread keeps the time for all of them. It
//! is started when there is a need, and ends when there is none.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, PoisonError};
use std::task::Waker;
use std::time::Instant;

use kahn_core::facade::now;

/// Who is to be woken when.
struct Alarms {
    /// Tells apart those of one moment.
    count: u64,
    wakers: BTreeMap<(Instant, u64), Waker>,
    /// Whether the thread runs.
    kept: bool,
}

static ALARMS: Mutex<Alarms> = Mutex::new(Alarms { count: 0, wakers: BTreeMap::new(), kept: false });
static CHANGED: Condvar = Condvar::new();

/// Wakes `waker` at `when`.
pub(crate) fn wake_at(when: Instant, waker: Waker) {
    // No user's code runs with the lock held, so a poisoned lock is sound.
    let mut alarms = ALARMS.lock().unwrap_or_else(PoisonError::into_inner);
    alarms.count += 1;
    let number = alarms.count;
    alarms.wakers.insert((when, number), waker);
    let start = !core::mem::replace(&mut alarms.kept, true);
    drop(alarms);
    if start {
        std::thread::Builder::new()
            .name("kahn-alarm".to_owned())
            .spawn(keep_time)
            .expect("an OS thread for timers in async code");
    } else {
        CHANGED.notify_one();
    }
}

fn keep_time() {
    let mut alarms = ALARMS.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let now = now();
        alarms = match alarms.wakers.first_entry() {
            None => {
                alarms.kept = false;
                return;
            }
            Some(first) if first.key().0 <= now => {
                let waker = first.remove();
                drop(alarms);
                // A waker that panics must not end the clock for all the others.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| waker.wake()));
                ALARMS.lock().unwrap_or_else(PoisonError::into_inner)
            }
            Some(first) => {
                let left = first.key().0 - now;
                CHANGED.wait_timeout(alarms, left).unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
}
