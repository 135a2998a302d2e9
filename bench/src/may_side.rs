//! The workloads on may that it can run.
//!
//! All channels of may are unbounded. A send never waits, which is less work than a send on a bounded channel.

use crate::answers::{self, seed, xorshift};
use crate::workloads::*;
use may::coroutine::{self, JoinHandle};
use may::sync::{Mutex, mpmc, mpsc};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The number of tasks of `idle`. A stack of may takes two memory mappings, and Linux limits a process to 65,530 of
/// them.
pub const MOST_TASKS: u64 = 30_000;

const TOO_MANY: &str =
    "crashes near 32,000 live tasks: each has two memory mappings, and the limit of a process is 65,530";

/// Returns why may cannot run this workload, if it cannot.
pub fn cannot(workload: Workload) -> Option<&'static str> {
    match workload {
        Workload::Spawn | Workload::Skynet | Workload::Sleep => Some(TOO_MANY),
        Workload::Select => Some("has no select over channels"),
        Workload::Sieve => Some("has no bounded channels to limit the source"),
        _ => None,
    }
}

/// Runs one workload and returns the total in nanoseconds or bytes.
pub fn run(workload: Workload, size: u64, workers: usize) -> f64 {
    may::config().set_workers(workers);
    go(move || measure(workload, size)).join().expect("the workload finishes")
}

fn measure(workload: Workload, size: u64) -> f64 {
    let time = match workload {
        Workload::Yield => yielding(size),
        Workload::Pingpong => pairs(1, size),
        Workload::Pairs => pairs(PAIRS, size),
        Workload::Ring => ring(size),
        Workload::Spsc => stream(1, size),
        Workload::Mpsc => stream(MPSC_SENDERS, size),
        Workload::Mpmc => shared_stream(size),
        Workload::Pool => pool(size),
        Workload::Pipeline => pipeline(size),
        Workload::Mutex => mutex(size),
        Workload::Idle => return idle(size) as f64,
        Workload::Actor(_) => panic!("may has no actors"),
        Workload::Server(_) => unreachable!("`servers` runs it"),
        Workload::Spawn | Workload::Select | Workload::Skynet | Workload::Sieve | Workload::Sleep => {
            unreachable!("`cannot` excludes it")
        }
    };
    time.as_nanos() as f64
}

fn go<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    // SAFETY: The workloads use no thread-local of their own and stay far below may's 32 KiB of stack.
    unsafe { coroutine::spawn(f) }
}

fn yielding(yields: u64) -> Duration {
    let begun = Instant::now();
    let yielder = |_| {
        go(move || {
            for _ in 0..yields / YIELDERS {
                coroutine::yield_now();
            }
            yields / YIELDERS
        })
    };
    let tasks: Vec<_> = (0..YIELDERS).map(yielder).collect();
    let done: u64 = tasks.into_iter().map(|task| task.join().expect("a yielder finishes")).sum();
    let time = begun.elapsed();
    assert_eq!(done, yields);
    time
}

fn pairs(pairs: u64, trips: u64) -> Duration {
    let begun = Instant::now();
    let players: Vec<_> = (0..pairs).flat_map(|_| pair(trips / pairs)).collect();
    let seen: u64 = players.into_iter().map(|player| player.join().expect("a player finishes")).sum();
    let time = begun.elapsed();
    assert_eq!(seen, 2 * trips);
    time
}

fn pair(trips: u64) -> [JoinHandle<u64>; 2] {
    let (there, arrived) = mpsc::channel();
    let (back, returned) = mpsc::channel();
    let ping = go(move || {
        for i in 0..trips {
            there.send(i).unwrap();
            assert_eq!(returned.recv(), Ok(i + 1));
        }
        trips
    });
    let pong = go(move || {
        let mut seen = 0;
        for i in arrived {
            seen += 1;
            back.send(i + 1).unwrap();
        }
        seen
    });
    [ping, pong]
}

fn ring(hops: u64) -> Duration {
    let (mut onward, inward): (Vec<_>, Vec<_>) = (0..RING_TASKS).map(|_| mpsc::channel()).unzip();
    let first = onward[0].clone();
    onward.rotate_left(1);
    let (done, winner) = mpsc::channel();
    for (i, (next, mine)) in onward.into_iter().zip(inward).enumerate() {
        let done = done.clone();
        go(move || {
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

fn stream(senders: u64, messages: u64) -> Duration {
    let begun = Instant::now();
    let (tx, rx) = mpsc::channel();
    let share = messages / senders;
    for i in 0..senders {
        let tx = tx.clone();
        go(move || {
            for word in i * share..(i + 1) * share {
                tx.send(word).unwrap();
            }
        });
    }
    drop(tx);
    let sum = go(move || rx.iter().sum::<u64>()).join().expect("the receiver finishes");
    let time = begun.elapsed();
    assert_eq!(sum, answers::sum(messages));
    time
}

fn shared_stream(messages: u64) -> Duration {
    let begun = Instant::now();
    let (tx, rx) = mpmc::channel();
    let share = messages / MPMC_ENDS;
    for i in 0..MPMC_ENDS {
        let tx = tx.clone();
        go(move || {
            for word in i * share..(i + 1) * share {
                tx.send(word).unwrap();
            }
        });
    }
    drop(tx);
    let receiver = |_| {
        let rx = rx.clone();
        go(move || rx.iter().sum::<u64>())
    };
    let sums: Vec<_> = (0..MPMC_ENDS).map(receiver).collect();
    let sum: u64 = sums.into_iter().map(|task| task.join().expect("a receiver finishes")).sum();
    let time = begun.elapsed();
    assert_eq!(sum, answers::sum(messages));
    time
}

fn pool(jobs: u64) -> Duration {
    let (tx, rx) = mpmc::channel();
    let worker = |_| {
        let rx = rx.clone();
        go(move || rx.iter().fold(0, |all, job| all ^ xorshift(job, POOL_STEPS)))
    };
    let tasks: Vec<_> = (0..POOL_TASKS).map(worker).collect();
    coroutine::sleep(IDLE_BEFORE);
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

fn pipeline(items: u64) -> Duration {
    let (source, mut rx) = mpsc::channel();
    for _ in 0..PIPELINE_STAGES {
        let (tx, after) = mpsc::channel();
        let before = std::mem::replace(&mut rx, after);
        go(move || {
            for item in before {
                tx.send(xorshift(item, PIPELINE_STEPS)).unwrap();
            }
        });
    }
    coroutine::sleep(IDLE_BEFORE);
    let begun = Instant::now();
    go(move || {
        for i in 0..items {
            source.send(seed(i)).unwrap();
        }
    });
    let (count, all) = rx.iter().fold((0, 0), |(count, all), item| (count + 1, all ^ item));
    let time = begun.elapsed();
    assert_eq!((count, all), (items, answers::pipeline(items)));
    time
}

fn mutex(increments: u64) -> Duration {
    let counter = Arc::new(Mutex::new(0_u64));
    let begun = Instant::now();
    let locker = |_| {
        let counter = counter.clone();
        go(move || {
            for _ in 0..increments / LOCKERS {
                *counter.lock().unwrap() += 1;
            }
        })
    };
    let tasks: Vec<_> = (0..LOCKERS).map(locker).collect();
    tasks.into_iter().for_each(|task| task.join().expect("a locker finishes"));
    let time = begun.elapsed();
    assert_eq!(*counter.lock().unwrap(), increments);
    time
}

/// All tasks wait on one channel, whose sender is dropped at the end.
fn idle(tasks: u64) -> u64 {
    let (tx, rx) = mpmc::channel::<u64>();
    let parking = Arc::new(AtomicU64::new(tasks));
    let before = answers::resident();
    let parked = |_| {
        let (rx, parking) = (rx.clone(), parking.clone());
        go(move || {
            parking.fetch_sub(1, Ordering::AcqRel);
            rx.recv().expect_err("no task sends");
        })
    };
    let handles: Vec<_> = (0..tasks).map(parked).collect();
    while parking.load(Ordering::Acquire) != 0 {
        coroutine::sleep(Duration::from_millis(1));
    }
    coroutine::sleep(SETTLE);
    let after = answers::resident();
    drop(tx);
    handles.into_iter().for_each(|handle| handle.join().expect("a parked task finishes"));
    after.saturating_sub(before)
}
