//! Workloads about tasks as such: starting, yielding, sleeping, locking, being there.

use super::Start;
use crate::answers;
use crate::workloads::{LOCKERS, SETTLE, YIELDERS, nap};
use kahn::channel::{Receiver, Sender, bounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Counts a million tasks down without a handle for each. Leaked, as a garbage collector's would be for as long
/// as the process lives: a reference count per task is no part of what is measured.
struct Countdown {
    left: AtomicU64,
    over: (Sender<()>, Receiver<()>),
}

impl Countdown {
    fn from(tasks: u64) -> &'static Countdown {
        Box::leak(Box::new(Countdown { left: AtomicU64::new(tasks), over: bounded(1) }))
    }

    fn one_less(&self) {
        // AcqRel: the last to end has seen what all the others did before they ended.
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.over.0.send(()).expect("the countdown is never dropped");
        }
    }

    fn wait(&self) {
        self.over.1.recv().expect("the countdown is never dropped");
        assert_eq!(self.left.load(Ordering::Acquire), 0);
    }
}

pub fn spawn(tasks: u64) -> Duration {
    let ended = Countdown::from(tasks);
    let begun = Instant::now();
    for _ in 0..tasks {
        kahn::spawn(|| ended.one_less());
    }
    ended.wait();
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
    let done: u64 = tasks.into_iter().map(|task| task.join().expect("a yielder ends")).sum();
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
            awake.one_less();
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
    tasks.into_iter().for_each(|task| task.join().expect("a locker ends"));
    let time = begun.elapsed();
    assert_eq!(*counter.lock().unwrap(), increments);
    time
}

/// Every task waits on one channel of capacity 0, which nobody sends to and which is closed at the end.
pub fn idle(tasks: u64) -> u64 {
    let nothing: &'static (Sender<u64>, Receiver<u64>) = Box::leak(Box::new(bounded(0)));
    let (parking, ended) = (Countdown::from(tasks), Countdown::from(tasks));
    let before = answers::resident();
    for _ in 0..tasks {
        kahn::spawn(|| {
            parking.one_less();
            nothing.1.recv().expect_err("nobody sends");
            ended.one_less();
        });
    }
    parking.wait();
    kahn::sleep(SETTLE);
    let after = answers::resident();
    nothing.0.close();
    ended.wait();
    after.saturating_sub(before)
}
