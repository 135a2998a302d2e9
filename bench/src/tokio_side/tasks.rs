//! Workloads about tasks as such: starting, yielding, sleeping, locking, being there.

use super::total;
use crate::answers;
use crate::workloads::{LOCKERS, SETTLE, YIELDERS, nap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, Notify, Semaphore};

/// As kahn's: leaked, one atomic, one wake-up by the last.
struct Countdown {
    left: AtomicU64,
    over: Notify,
}

impl Countdown {
    fn from(tasks: u64) -> &'static Countdown {
        Box::leak(Box::new(Countdown { left: AtomicU64::new(tasks), over: Notify::new() }))
    }

    fn one_less(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.over.notify_one();
        }
    }

    async fn wait(&self) {
        self.over.notified().await;
        assert_eq!(self.left.load(Ordering::Acquire), 0);
    }
}

pub async fn spawn(tasks: u64) -> Duration {
    let ended = Countdown::from(tasks);
    let begun = Instant::now();
    for _ in 0..tasks {
        tokio::spawn(async { ended.one_less() });
    }
    ended.wait().await;
    begun.elapsed()
}

pub async fn yielding(yields: u64) -> Duration {
    let begun = Instant::now();
    let yielder = |_| {
        tokio::spawn(async move {
            for _ in 0..yields / YIELDERS {
                tokio::task::yield_now().await;
            }
            yields / YIELDERS
        })
    };
    let done = total((0..YIELDERS).map(yielder).collect()).await;
    let time = begun.elapsed();
    assert_eq!(done, yields);
    time
}

pub async fn sleep(tasks: u64) -> Duration {
    let awake = Countdown::from(tasks);
    let begun = Instant::now();
    for i in 0..tasks {
        tokio::spawn(async move {
            tokio::time::sleep(nap(i)).await;
            awake.one_less();
        });
    }
    awake.wait().await;
    let time = begun.elapsed();
    assert!(time >= nap(99), "the last task woke too early, after {time:?}");
    time
}

pub async fn mutex(increments: u64) -> Duration {
    let counter = Arc::new(Mutex::new(0_u64));
    let begun = Instant::now();
    let locker = |_| {
        let counter = counter.clone();
        tokio::spawn(async move {
            for _ in 0..increments / LOCKERS {
                *counter.lock().await += 1;
            }
            increments / LOCKERS
        })
    };
    total((0..LOCKERS).map(locker).collect()).await;
    let time = begun.elapsed();
    assert_eq!(*counter.lock().await, increments);
    time
}

/// On a semaphore without permits, closed at the end: the least that a tokio task can wait on and be ended by.
pub async fn idle(tasks: u64) -> u64 {
    let nothing: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
    let (parking, ended) = (Countdown::from(tasks), Countdown::from(tasks));
    let before = answers::resident();
    for _ in 0..tasks {
        tokio::spawn(async {
            parking.one_less();
            nothing.acquire().await.expect_err("there are no permits");
            ended.one_less();
        });
    }
    parking.wait().await;
    tokio::time::sleep(SETTLE).await;
    let after = answers::resident();
    nothing.close();
    ended.wait().await;
    after.saturating_sub(before)
}
