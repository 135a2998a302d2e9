//! The workloads for actors on libraries of actors. The files of the peers differ in how they define an actor, tell and
//! ask. The workloads in this file are the same for all peers, and the same as kahn's.

mod actix;
mod kameo;
mod ractor;

use crate::answers;
use crate::workloads::{ActorWork, SETTLE, TELLERS};
use std::future::Future;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Kameo,
    Ractor,
    Actix,
}

/// The number of actors of `idle_actors`. It is smaller than kahn's and large enough for a figure per actor.
pub const MOST_ACTORS: u64 = 200_000;

/// A reference to an actor that adds up the numbers that it is told, and replies with the sum when it is asked.
trait Sum: Clone + Send + Sync + 'static {
    fn start(sum: u64) -> impl Future<Output = Self>;
    fn add(&self, n: u64) -> impl Future<Output = ()> + Send;
    fn get(&self) -> impl Future<Output = u64> + Send;
}

/// Runs one workload in a new runtime and returns the total in nanoseconds or bytes.
pub fn run(peer: Peer, work: ActorWork, size: u64, workers: usize) -> f64 {
    match peer {
        Peer::Kameo => on_tokio(workers, measure::<kameo::Ref>(work, size)),
        Peer::Ractor => on_tokio(workers, measure::<ractor::Ref>(work, size)),
        Peer::Actix => ::actix::System::new().block_on(measure::<actix::Ref>(work, size)),
    }
}

/// Runs the workload in a task, because `block_on` runs its future on the calling thread, which is no worker.
fn on_tokio(workers: usize, measure: impl Future<Output = f64> + Send + 'static) -> f64 {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_time()
        .build()
        .expect("the runtime starts");
    let total = runtime.block_on(async move { tokio::spawn(measure).await.expect("the workload finishes") });
    runtime.shutdown_background();
    total
}

async fn measure<S: Sum>(work: ActorWork, size: u64) -> f64 {
    let time = match work {
        ActorWork::Tell => tell::<S>(1, size).await,
        ActorWork::Tell8 => tell::<S>(TELLERS, size).await,
        ActorWork::Ask => ask::<S>(size).await,
        ActorWork::Idle => return idle::<S>(size).await as f64,
    };
    time.as_nanos() as f64
}

async fn add_all(actor: &impl Sum, messages: u64) {
    for n in 0..messages {
        actor.add(n).await;
    }
}

async fn tell<S: Sum>(senders: u64, messages: u64) -> Duration {
    let actor = S::start(0).await;
    let begun = Instant::now();
    if senders == 1 {
        add_all(&actor, messages).await;
    } else {
        let sender = |_| {
            let actor = actor.clone();
            tokio::spawn(async move { add_all(&actor, messages / senders).await })
        };
        for sender in (0..senders).map(sender).collect::<Vec<_>>() {
            sender.await.expect("a sender finishes");
        }
    }
    let sum = actor.get().await;
    let time = begun.elapsed();
    assert_eq!(sum, senders * answers::sum(messages / senders));
    time
}

async fn ask<S: Sum>(asks: u64) -> Duration {
    let actor = S::start(1).await;
    let begun = Instant::now();
    let mut sum = 0;
    for _ in 0..asks {
        sum += actor.get().await;
    }
    let time = begun.elapsed();
    assert_eq!(sum, asks);
    time
}

async fn idle<S: Sum>(actors: u64) -> u64 {
    let before = answers::resident();
    let mut all = Vec::with_capacity(actors as usize);
    for n in 0..actors {
        all.push(S::start(n).await);
    }
    let mut sum = 0;
    for actor in &all {
        sum += actor.get().await;
    }
    tokio::time::sleep(SETTLE).await;
    let after = answers::resident();
    assert_eq!(sum, answers::sum(actors));
    after.saturating_sub(before)
}
