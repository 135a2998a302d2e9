//! The workloads for tasks: starting, yielding, sleeping, locking, and memory.

use super::Start;
use crate::answers;
use crate::workloads::{LOCKERS, SETTLE, YIELDERS, nap};
use kahn::channel::{Receiver, Sender, bounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Waits for many tasks without a handle for each. It is leaked, because a reference count per task is not part of what
/// is measured.
pub struct Countdown {
    left: AtomicU64,
    done: (Sender<()>, Receiver<()>),
}

impl Countdown {
    pub fn from(tasks: u64) -> &'static Countdown {
        Box::leak(Box::new(Countdown { left: AtomicU64::new(tasks), done: bounded(1) }))
    }

    pub fn decrement(&self) {
        // AcqRel: the last task to decrement sees all that the other tasks did before they decremented.
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.0.send(()).expect("the countdown is never dropped");
        }
    }

    pub fn wait(&self) {
        self.done.1.recv().expect("the countdown is never dropped");
        assert_eq!(self.left.load(Ordering::Acquire), 0);
    }
}

pub fn spawn(tasks: u64) -> Duration {
    let finished = Countdown::from(tasks);
    let begun = Instant::now();
    for _ in 0..tasks {
        kahn::spawn(|| finished.decrement());
    }
    finished.wait();
    begun.elapsed()
}

pub fn yielding(start: Start, yields: u64) -> Duration {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..YIELDERS)
        .map(|_| {
            start.task(move || {
                for _ in 0..yields / YIELDERS {
                    kahn::yield_now();
                }
                yields / YIELDERS
            })
        })
        .collect();
    let done: u64 = tasks.into_iter().map(|task| task.join().expect("a yielder finishes")).sum();
    let time = begun.elapsed();
    assert_eq!(done, yields);
    time
}

pub fn sleep(tasks: u64) -> Duration {
    let awake = Countdown::from(tasks);
    let begun = Instant::now();
    for i in 0..tasks {
        kahn::spawn(move || {
            kahn::sleep(nap(i));
            awake.decrement();
        });
    }
    awake.wait();
    let time = begun.elapsed();
    assert!(time >= nap(99), "the last task woke too early, after {time:?}");
    time
}

pub fn mutex(start: Start, increments: u64) -> Duration {
    let counter = Arc::new(kahn::sync::Mutex::new(0_u64));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..LOCKERS)
        .map(|_| {
            let counter = counter.clone();
            start.task(move || {
                for _ in 0..increments / LOCKERS {
                    *counter.lock().unwrap() += 1;
                }
            })
        })
        .collect();
    tasks.into_iter().for_each(|task| task.join().expect("a locker finishes"));
    let time = begun.elapsed();
    assert_eq!(*counter.lock().unwrap(), increments);
    time
}

/// All tasks wait on one channel of capacity 0. No task sends on it, and it is closed at the end.
pub fn idle(tasks: u64) -> u64 {
    let nothing: &'static (Sender<u64>, Receiver<u64>) = Box::leak(Box::new(bounded(0)));
    let (parking, finished) = (Countdown::from(tasks), Countdown::from(tasks));
    let before = answers::resident();
    for _ in 0..tasks {
        kahn::spawn(|| {
            parking.decrement();
            nothing.1.recv().expect_err("no task sends");
            finished.decrement();
        });
    }
    parking.wait();
    kahn::sleep(SETTLE);
    let after = answers::resident();
    nothing.0.close();
    finished.wait();
    after.saturating_sub(before)
}
