//! The workloads for tasks: starting, yielding, sleeping, locking, and memory.

use super::total;
use crate::answers;
use crate::workloads::{LOCKERS, SETTLE, YIELDERS, nap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, Notify, Semaphore};

/// Waits for many tasks like the `Countdown` of `kahn_side`: leaked, with one atomic and one wake-up by the last task.
struct Countdown {
    left: AtomicU64,
    done: Notify,
}

impl Countdown {
    fn from(tasks: u64) -> &'static Countdown {
        Box::leak(Box::new(Countdown { left: AtomicU64::new(tasks), done: Notify::new() }))
    }

    fn decrement(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }

    async fn wait(&self) {
        self.done.notified().await;
        assert_eq!(self.left.load(Ordering::Acquire), 0);
    }
}

pub async fn spawn(tasks: u64) -> Duration {
    let finished = Countdown::from(tasks);
    let begun = Instant::now();
    for _ in 0..tasks {
        tokio::spawn(async { finished.decrement() });
    }
    finished.wait().await;
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
            awake.decrement();
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

/// All tasks wait on a semaphore without permits, which is closed at the end. It is the smallest thing that a tokio
/// task can wait on until it is closed.
pub async fn idle(tasks: u64) -> u64 {
    let nothing: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
    let (parking, finished) = (Countdown::from(tasks), Countdown::from(tasks));
    let before = answers::resident();
    for _ in 0..tasks {
        tokio::spawn(async {
            parking.decrement();
            nothing.acquire().await.expect_err("there are no permits");
            finished.decrement();
        });
    }
    parking.wait().await;
    tokio::time::sleep(SETTLE).await;
    let after = answers::resident();
    nothing.close();
    finished.wait().await;
    after.saturating_sub(before)
}
