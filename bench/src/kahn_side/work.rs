//! The workloads that resemble programs: a tree, a chain of filters, a pool, a pipeline.

use super::Start;
use crate::answers::{self, seed, xorshift};
use crate::workloads::{
    IDLE_BEFORE, PIPELINE_CAPACITY, PIPELINE_STAGES, PIPELINE_STEPS, POOL_CAPACITY, POOL_STEPS, POOL_TASKS,
    SKYNET_ARITY,
};
use kahn::channel::{Sender, bounded};
use std::time::{Duration, Instant};

pub fn skynet(leaves: u64) -> Duration {
    let begun = Instant::now();
    let (tx, rx) = bounded(0);
    kahn::spawn(move || node(tx, 0, leaves));
    let sum = rx.recv().unwrap();
    let time = begun.elapsed();
    assert_eq!(sum, answers::sum(leaves));
    time
}

/// Sends the sum of the leaves `first..first + leaves` to `up`.
fn node(up: Sender<u64>, first: u64, leaves: u64) {
    if leaves == 1 {
        return up.send(first).unwrap();
    }
    let (tx, rx) = bounded(0);
    let below = leaves / SKYNET_ARITY;
    for i in 0..SKYNET_ARITY {
        let tx = tx.clone();
        kahn::spawn(move || node(tx, first + i * below, below));
    }
    up.send((0..SKYNET_ARITY).map(|_| rx.recv().unwrap()).sum()).unwrap();
}

/// The main green thread collects the primes. A filter finishes when the filter after it has finished.
pub fn sieve(start: Start, primes: u64) -> Duration {
    let begun = Instant::now();
    let (tx, mut rx) = bounded::<u64>(0);
    start.task(move || (2..).take_while(|&i| tx.send(i).is_ok()).for_each(drop));
    let mut prime = 0;
    for _ in 0..primes {
        prime = rx.recv().unwrap();
        let (tx, filtered) = bounded(0);
        let all = std::mem::replace(&mut rx, filtered);
        start.task(move || {
            for i in all {
                if i % prime != 0 && tx.send(i).is_err() {
                    break;
                }
            }
        });
    }
    let time = begun.elapsed();
    assert_eq!(prime, answers::prime(primes));
    time
}

pub fn pool(jobs: u64) -> Duration {
    let (tx, rx) = bounded(POOL_CAPACITY);
    let tasks: Vec<_> = (0..POOL_TASKS)
        .map(|_| {
            let rx = rx.clone();
            kahn::spawn(move || rx.iter().fold(0, |all, job| all ^ xorshift(job, POOL_STEPS)))
        })
        .collect();
    kahn::sleep(IDLE_BEFORE);
    let begun = Instant::now();
    for i in 0..jobs {
        tx.send(seed(i)).unwrap();
    }
    drop(tx);
    let all = tasks.into_iter().fold(0, |all, task| all ^ task.join().expect("a pool task finishes"));
    let time = begun.elapsed();
    assert_eq!(all, answers::pool(jobs));
    time
}

/// The source is a task. The main green thread receives the results.
pub fn pipeline(items: u64) -> Duration {
    let (source, mut rx) = bounded(PIPELINE_CAPACITY);
    for _ in 0..PIPELINE_STAGES {
        let (tx, after) = bounded(PIPELINE_CAPACITY);
        let before = std::mem::replace(&mut rx, after);
        kahn::spawn(move || {
            for item in before {
                tx.send(xorshift(item, PIPELINE_STEPS)).unwrap();
            }
        });
    }
    kahn::sleep(IDLE_BEFORE);
    let begun = Instant::now();
    kahn::spawn(move || {
        for i in 0..items {
            source.send(seed(i)).unwrap();
        }
    });
    let (count, all) = rx.iter().fold((0, 0), |(count, all), item| (count + 1, all ^ item));
    let time = begun.elapsed();
    assert_eq!((count, all), (items, answers::pipeline(items)));
    time
}
