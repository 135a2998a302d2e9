//! The workloads on stackless tasks of kahn (`kahn::task`): starting, yielding, sleeping, passing a word, and memory.

use super::tasks::Countdown;
use crate::answers;
use crate::workloads::{SETTLE, YIELDERS, nap};
use kahn::channel::{Receiver, Sender, bounded};
use kahn::task;
use std::time::{Duration, Instant};

pub fn spawn(tasks: u64) -> Duration {
    let finished = Countdown::from(tasks);
    let begun = Instant::now();
    for _ in 0..tasks {
        drop(task::spawn(async { finished.decrement() }));
    }
    finished.wait();
    begun.elapsed()
}

pub fn yielding(yields: u64) -> Duration {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..YIELDERS)
        .map(|_| {
            task::spawn(async move {
                for _ in 0..yields / YIELDERS {
                    task::yield_now().await;
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
        drop(task::spawn(async move {
            kahn::time::sleep_async(nap(i)).await;
            awake.decrement();
        }));
    }
    awake.wait();
    let time = begun.elapsed();
    assert!(time >= nap(99), "the last task woke too early, after {time:?}");
    time
}

pub fn pingpong(round_trips: u64) -> Duration {
    let ((to, at), (back, home)) = (bounded(0), bounded(0));
    let begun = Instant::now();
    let ponger = task::spawn(async move {
        while let Ok(n) = at.recv_async().await {
            if back.send_async(n).await.is_err() {
                break;
            }
        }
    });
    let pinger = task::spawn(async move {
        for n in 0..round_trips {
            to.send_async(n).await.expect("the other task receives");
            assert_eq!(home.recv_async().await, Ok(n));
        }
    });
    pinger.join().expect("the pinger finishes");
    ponger.join().expect("the ponger finishes");
    begun.elapsed()
}

/// All tasks wait on one channel of capacity 0. No task sends on it, and it is closed at the end.
pub fn idle(tasks: u64) -> u64 {
    let nothing: &'static (Sender<u64>, Receiver<u64>) = Box::leak(Box::new(bounded(0)));
    let (parking, finished) = (Countdown::from(tasks), Countdown::from(tasks));
    let before = answers::resident();
    for _ in 0..tasks {
        drop(task::spawn(async {
            parking.decrement();
            nothing.1.recv_async().await.expect_err("no task sends");
            finished.decrement();
        }));
    }
    parking.wait();
    kahn::sleep(SETTLE);
    let after = answers::resident();
    nothing.0.close();
    finished.wait();
    after.saturating_sub(before)
}
