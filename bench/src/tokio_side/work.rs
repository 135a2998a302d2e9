//! The workloads that resemble programs: a tree, a chain of filters, a pool, a pipeline.

use super::RENDEZVOUS;
use crate::answers::{self, seed, xorshift};
use crate::workloads::{
    IDLE_BEFORE, PIPELINE_CAPACITY, PIPELINE_STAGES, PIPELINE_STEPS, POOL_CAPACITY, POOL_STEPS, POOL_TASKS,
    SKYNET_ARITY,
};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

pub async fn skynet(leaves: u64) -> Duration {
    let begun = Instant::now();
    let (tx, mut rx) = mpsc::channel(RENDEZVOUS);
    node(tx, 0, leaves);
    let sum = rx.recv().await.unwrap();
    let time = begun.elapsed();
    assert_eq!(sum, answers::sum(leaves));
    time
}

/// Starts a task that sends the sum of the leaves `first..first + leaves` to `up`. This is not an async function,
/// because a recursive one would need a boxed future.
fn node(up: mpsc::Sender<u64>, first: u64, leaves: u64) {
    if leaves == 1 {
        tokio::spawn(async move { up.send(first).await.unwrap() });
        return;
    }
    tokio::spawn(async move {
        let (tx, mut rx) = mpsc::channel(RENDEZVOUS);
        let below = leaves / SKYNET_ARITY;
        for i in 0..SKYNET_ARITY {
            node(tx.clone(), first + i * below, below);
        }
        let mut sum = 0;
        for _ in 0..SKYNET_ARITY {
            sum += rx.recv().await.unwrap();
        }
        up.send(sum).await.unwrap();
    });
}

pub async fn sieve(primes: u64) -> Duration {
    let begun = Instant::now();
    let (tx, mut rx) = mpsc::channel::<u64>(RENDEZVOUS);
    tokio::spawn(async move {
        let mut i = 2;
        while tx.send(i).await.is_ok() {
            i += 1;
        }
    });
    let mut prime = 0;
    for _ in 0..primes {
        prime = rx.recv().await.unwrap();
        let (tx, filtered) = mpsc::channel(RENDEZVOUS);
        let mut all = std::mem::replace(&mut rx, filtered);
        tokio::spawn(async move {
            while let Some(i) = all.recv().await {
                if i % prime != 0 && tx.send(i).await.is_err() {
                    break;
                }
            }
        });
    }
    let time = begun.elapsed();
    assert_eq!(prime, answers::prime(primes));
    time
}

pub async fn pool(jobs: u64) -> Duration {
    let (tx, rx) = async_channel::bounded(POOL_CAPACITY);
    let worker = |_| {
        let rx = rx.clone();
        tokio::spawn(async move {
            let mut all = 0;
            while let Ok(job) = rx.recv().await {
                all ^= xorshift(job, POOL_STEPS);
            }
            all
        })
    };
    let tasks: Vec<_> = (0..POOL_TASKS).map(worker).collect();
    tokio::time::sleep(IDLE_BEFORE).await;
    let begun = Instant::now();
    for i in 0..jobs {
        tx.send(seed(i)).await.unwrap();
    }
    drop(tx);
    let mut all = 0;
    for task in tasks {
        all ^= task.await.expect("a pool task finishes");
    }
    let time = begun.elapsed();
    assert_eq!(all, answers::pool(jobs));
    time
}

pub async fn pipeline(items: u64) -> Duration {
    let (source, mut rx) = mpsc::channel(PIPELINE_CAPACITY);
    for _ in 0..PIPELINE_STAGES {
        let (tx, after) = mpsc::channel(PIPELINE_CAPACITY);
        let mut before = std::mem::replace(&mut rx, after);
        tokio::spawn(async move {
            while let Some(item) = before.recv().await {
                tx.send(xorshift(item, PIPELINE_STEPS)).await.unwrap();
            }
        });
    }
    tokio::time::sleep(IDLE_BEFORE).await;
    let begun = Instant::now();
    tokio::spawn(async move {
        for i in 0..items {
            source.send(seed(i)).await.unwrap();
        }
    });
    let (mut count, mut all) = (0, 0);
    while let Some(item) = rx.recv().await {
        count += 1;
        all ^= item;
    }
    let time = begun.elapsed();
    assert_eq!((count, all), (items, answers::pipeline(items)));
    time
}
