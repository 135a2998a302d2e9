//! The workloads on tokio, with its multi-threaded scheduler. All tasks are started inside a task.
//!
//! tokio has no channel of capacity 0, so capacity 1 replaces it. It has no channel whose receivers share the messages,
//! so `mpmc` and `pool` use async-channel.

mod channels;
mod tasks;
mod work;

use crate::workloads::{MPSC_SENDERS, PAIRS, Workload};
use tokio::task::JoinHandle;

/// The smallest capacity of tokio's channels, in place of a rendezvous.
const RENDEZVOUS: usize = 1;

/// Runs one workload in a new runtime and returns the total in nanoseconds or bytes.
pub fn run(workload: Workload, size: u64, workers: usize) -> f64 {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_time()
        .build()
        .expect("the runtime starts");
    // `block_on` runs its future on the calling thread, which is no worker. So the workload runs in a task.
    let total = runtime
        .block_on(async move { tokio::spawn(measure(workload, size)).await.expect("the workload finishes") });
    runtime.shutdown_background();
    total
}

async fn measure(workload: Workload, size: u64) -> f64 {
    let time = match workload {
        Workload::Spawn => tasks::spawn(size).await,
        Workload::Yield => tasks::yielding(size).await,
        Workload::Pingpong => channels::pairs(1, size).await,
        Workload::Pairs => channels::pairs(PAIRS, size).await,
        Workload::Ring => channels::ring(size).await,
        Workload::Spsc => channels::stream(1, size).await,
        Workload::Mpsc => channels::stream(MPSC_SENDERS, size).await,
        Workload::Mpmc => channels::mpmc(size).await,
        Workload::Select => channels::select(size).await,
        Workload::Skynet => work::skynet(size).await,
        Workload::Sieve => work::sieve(size).await,
        Workload::Pool => work::pool(size).await,
        Workload::Pipeline => work::pipeline(size).await,
        Workload::Sleep => tasks::sleep(size).await,
        Workload::Mutex => tasks::mutex(size).await,
        Workload::Idle => return tasks::idle(size).await as f64,
        Workload::Actor(_) => panic!("tokio has no actors"),
        Workload::Server(_) => unreachable!("`servers` runs it"),
    };
    time.as_nanos() as f64
}

async fn total(tasks: Vec<JoinHandle<u64>>) -> u64 {
    let mut sum = 0;
    for task in tasks {
        sum += task.await.expect("a task finishes");
    }
    sum
}
