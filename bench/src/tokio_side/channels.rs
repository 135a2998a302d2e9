//! The workloads for channels.

use super::{RENDEZVOUS, total};
use crate::answers;
use crate::workloads::{MPMC_ENDS, RING_TASKS, SELECT_CAPACITY, SELECT_SENDERS, STREAM_CAPACITY};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub async fn pairs(pairs: u64, trips: u64) -> Duration {
    let begun = Instant::now();
    let players = (0..pairs).flat_map(|_| pair(trips / pairs)).collect();
    let seen = total(players).await;
    let time = begun.elapsed();
    assert_eq!(seen, 2 * trips);
    time
}

fn pair(trips: u64) -> [JoinHandle<u64>; 2] {
    let (there, mut arrived) = mpsc::channel(RENDEZVOUS);
    let (back, mut returned) = mpsc::channel(RENDEZVOUS);
    let ping = tokio::spawn(async move {
        for i in 0..trips {
            there.send(i).await.unwrap();
            assert_eq!(returned.recv().await, Some(i + 1));
        }
        trips
    });
    let pong = tokio::spawn(async move {
        let mut seen = 0;
        while let Some(i) = arrived.recv().await {
            seen += 1;
            back.send(i + 1).await.unwrap();
        }
        seen
    });
    [ping, pong]
}

pub async fn ring(hops: u64) -> Duration {
    let (mut onward, inward): (Vec<_>, Vec<_>) = (0..RING_TASKS).map(|_| mpsc::channel(RENDEZVOUS)).unzip();
    let first = onward[0].clone();
    onward.rotate_left(1);
    let (done, mut winner) = mpsc::channel(1);
    for (i, (next, mut mine)) in onward.into_iter().zip(inward).enumerate() {
        let done = done.clone();
        tokio::spawn(async move {
            while let Some(left) = mine.recv().await {
                if left == 0 {
                    done.send(i).await.unwrap();
                    break;
                }
                next.send(left - 1).await.unwrap();
            }
        });
    }
    let begun = Instant::now();
    first.send(hops).await.unwrap();
    drop(first);
    let winner = winner.recv().await.unwrap();
    let time = begun.elapsed();
    assert_eq!(winner as u64, hops % RING_TASKS as u64);
    time
}

pub async fn stream(senders: u64, messages: u64) -> Duration {
    let begun = Instant::now();
    let (tx, mut rx) = mpsc::channel(STREAM_CAPACITY);
    let share = messages / senders;
    for i in 0..senders {
        let tx = tx.clone();
        tokio::spawn(async move {
            for word in i * share..(i + 1) * share {
                tx.send(word).await.unwrap();
            }
        });
    }
    drop(tx);
    let receiver = tokio::spawn(async move {
        let mut sum = 0;
        while let Some(word) = rx.recv().await {
            sum += word;
        }
        sum
    });
    let sum = receiver.await.expect("the receiver finishes");
    let time = begun.elapsed();
    assert_eq!(sum, answers::sum(messages));
    time
}

pub async fn mpmc(messages: u64) -> Duration {
    let begun = Instant::now();
    let (tx, rx) = async_channel::bounded(STREAM_CAPACITY);
    let share = messages / MPMC_ENDS;
    for i in 0..MPMC_ENDS {
        let tx = tx.clone();
        tokio::spawn(async move {
            for word in i * share..(i + 1) * share {
                tx.send(word).await.unwrap();
            }
        });
    }
    drop(tx);
    let receiver = |_| {
        let rx = rx.clone();
        tokio::spawn(async move {
            let mut sum = 0;
            while let Ok(word) = rx.recv().await {
                sum += word;
            }
            sum
        })
    };
    let sum = total((0..MPMC_ENDS).map(receiver).collect()).await;
    let time = begun.elapsed();
    assert_eq!(sum, answers::sum(messages));
    time
}

pub async fn select(messages: u64) -> Duration {
    let begun = Instant::now();
    let share = messages / SELECT_SENDERS;
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..SELECT_SENDERS).map(|_| mpsc::channel::<u64>(SELECT_CAPACITY)).unzip();
    for (i, tx) in senders.iter().cloned().enumerate() {
        let i = i as u64;
        tokio::spawn(async move {
            for word in i * share..(i + 1) * share {
                tx.send(word).await.unwrap();
            }
        });
    }
    let selecting = tokio::spawn(async move {
        let Ok([mut a, mut b, mut c, mut d]) = <[_; 4]>::try_from(receivers) else {
            unreachable!("there are four senders")
        };
        let mut sum = 0;
        for _ in 0..messages {
            let word = tokio::select! {
                word = a.recv() => word,
                word = b.recv() => word,
                word = c.recv() => word,
                word = d.recv() => word,
            };
            sum += word.unwrap();
        }
        sum
    });
    let sum = selecting.await.expect("the selecting task finishes");
    let time = begun.elapsed();
    drop(senders);
    assert_eq!(sum, answers::sum(messages));
    time
}
