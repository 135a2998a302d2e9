//! The workloads for channels.

use super::Start;
use crate::answers;
use crate::workloads::{RING_TASKS, SELECT_CAPACITY, SELECT_SENDERS, STREAM_CAPACITY};
use kahn::channel::{bounded, select};
use kahn::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Does `trips` round trips in all, with `pairs` pairs of tasks at the same time.
pub fn pairs(start: Start, pairs: u64, trips: u64) -> Duration {
    let begun = Instant::now();
    let players: Vec<_> = (0..pairs).flat_map(|_| pair(start, trips / pairs)).collect();
    let seen: u64 = players.into_iter().map(|player| player.join().expect("a player finishes")).sum();
    let time = begun.elapsed();
    assert_eq!(seen, 2 * trips);
    time
}

/// Starts a pair of tasks. Each returns how many words it has received.
fn pair(start: Start, trips: u64) -> [JoinHandle<u64>; 2] {
    let (there, arrived) = bounded(0);
    let (back, returned) = bounded(0);
    let ping = start.task(move || {
        for i in 0..trips {
            there.send(i).unwrap();
            assert_eq!(returned.recv(), Ok(i + 1));
        }
        trips
    });
    let pong = start.task(move || {
        let mut seen = 0;
        for i in arrived {
            seen += 1;
            back.send(i + 1).unwrap();
        }
        seen
    });
    [ping, pong]
}

/// A task receives the token, decrements it and sends it on. The task that receives 0 reports its number.
pub fn ring(start: Start, hops: u64) -> Duration {
    let (mut onward, inward): (Vec<_>, Vec<_>) = (0..RING_TASKS).map(|_| bounded(0)).unzip();
    let first = onward[0].clone();
    onward.rotate_left(1);
    let (done, winner) = bounded(1);
    for (i, (next, mine)) in onward.into_iter().zip(inward).enumerate() {
        let done = done.clone();
        start.task(move || {
            for left in mine {
                if left == 0 {
                    done.send(i).unwrap();
                    break;
                }
                next.send(left - 1).unwrap();
            }
        });
    }
    let begun = Instant::now();
    first.send(hops).unwrap();
    drop(first);
    let winner = winner.recv().unwrap();
    let time = begun.elapsed();
    assert_eq!(winner as u64, hops % RING_TASKS as u64);
    time
}

/// Sends `messages` words in all over one channel.
pub fn stream(start: Start, senders: u64, receivers: u64, messages: u64) -> Duration {
    let begun = Instant::now();
    let (tx, rx) = bounded(STREAM_CAPACITY);
    let share = messages / senders;
    for i in 0..senders {
        let tx = tx.clone();
        start.task(move || {
            for word in i * share..(i + 1) * share {
                tx.send(word).unwrap();
            }
        });
    }
    drop(tx);
    let sums: Vec<_> = (0..receivers)
        .map(|_| {
            let rx = rx.clone();
            start.task(move || rx.iter().sum::<u64>())
        })
        .collect();
    let sum: u64 = sums.into_iter().map(|task| task.join().expect("a receiver finishes")).sum();
    let time = begun.elapsed();
    assert_eq!(sum, answers::sum(messages));
    time
}

pub fn select(start: Start, messages: u64) -> Duration {
    let begun = Instant::now();
    let share = messages / SELECT_SENDERS;
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..SELECT_SENDERS).map(|_| bounded::<u64>(SELECT_CAPACITY)).unzip();
    for (i, tx) in senders.iter().cloned().enumerate() {
        let i = i as u64;
        start.task(move || {
            for word in i * share..(i + 1) * share {
                tx.send(word).unwrap();
            }
        });
    }
    let selecting = start.task(move || {
        let [a, b, c, d] = &receivers[..] else { unreachable!("there are four senders") };
        let mut sum = 0;
        for _ in 0..messages {
            let word = select! {
                recv(a) -> word => word,
                recv(b) -> word => word,
                recv(c) -> word => word,
                recv(d) -> word => word,
            };
            sum += word.unwrap();
        }
        sum
    });
    let sum = selecting.join().expect("the selecting task finishes");
    let time = begun.elapsed();
    // The senders live until here. Otherwise a disconnected channel would always be ready, and `select!` would choose
    // it.
    drop(senders);
    assert_eq!(sum, answers::sum(messages));
    time
}
