//! Combinators of a library that knows no runtime (`futures-util`), on tasks of kahn: they poll kahn's futures with
//! wakers of their own, several at once, and drop those that lose.

mod support;

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, FutureExt, join_all, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use kahn::channel::{bounded, oneshot, watch};
use kahn::sync::{Arc, Semaphore};
use kahn::task;
use kahn::time::{sleep_async, timeout_async};
use support::{rounds, runtime, with_each_size, within};

const FEW: [usize; 3] = [1, 2, 4];

/// `FuturesUnordered` has a waker of its own for each future.
#[test]
fn handles_are_awaited_in_the_order_of_their_ends() {
    for workers in FEW {
        within(&format!("{workers} workers"), || {
            runtime(workers).run(|| {
                let count = rounds(500);
                let all = task::spawn(async move {
                    let mut handles: FuturesUnordered<_> = (0..count)
                        .map(|n| match n % 3 {
                            0 => kahn::spawn(move || n),
                            1 => task::spawn(async move { n }),
                            _ => task::spawn(async move {
                                sleep_async(Duration::from_micros(n as u64 % 7 * 100)).await;
                                n
                            }),
                        })
                        .collect();
                    let mut sum = 0;
                    while let Some(n) = handles.next().await {
                        sum += n.unwrap();
                    }
                    sum
                });
                assert_eq!(all.join().unwrap(), count * (count - 1) / 2);
            });
        });
    }
}

/// Sleeps that are polled with the wakers of a combinator, and with that of the task.
#[test]
fn sleeps_end_in_combinators() {
    with_each_size(|| {
        let naps = || (0..50).map(|n| sleep_async(Duration::from_micros(n % 10 * 200)));
        let many = task::spawn(async move { naps().collect::<FuturesUnordered<_>>().count().await });
        let few = task::spawn(async move { join_all(naps().take(8)).await.len() });
        assert_eq!((many.join().unwrap(), few.join().unwrap()), (50, 8));
    });
}

/// A message that the losing future of a `select` was handed is not lost.
#[test]
fn select_loses_no_message() {
    for workers in FEW {
        within(&format!("{workers} workers"), || {
            runtime(workers).run(|| {
                let count = rounds(2000);
                let ((left, from_left), (right, from_right)) = (bounded(1), bounded(1));
                let senders = [left, right].map(|tx| {
                    task::spawn(async move {
                        for n in 0..count {
                            tx.send_async(n).await.unwrap();
                        }
                    })
                });
                let received = task::spawn(async move {
                    let mut received = [0, 0];
                    loop {
                        // The futures are dropped here. One that was handed a message keeps others from it.
                        let (side, message) = {
                            let (one, other) = (pin!(from_left.recv_async()), pin!(from_right.recv_async()));
                            match select(one, other).await {
                                Either::Left((message, _)) => (0, message),
                                Either::Right((message, _)) => (1, message),
                            }
                        };
                        if message.is_err() {
                            // One side has ended. What the other has left follows.
                            while from_left.recv_async().await.is_ok() {
                                received[0] += 1;
                            }
                            while from_right.recv_async().await.is_ok() {
                                received[1] += 1;
                            }
                            return received;
                        }
                        received[side] += 1;
                    }
                });
                assert_eq!(received.join().unwrap(), [count, count]);
                senders.into_iter().for_each(|sender| sender.join().unwrap());
            });
        });
    }
}

/// A stream of messages is handled by several futures at once, in one task.
#[test]
fn stream_is_handled_concurrently() {
    with_each_size(|| {
        let (tx, rx) = bounded(4);
        let limit = Arc::new(Semaphore::new(3));
        let handled = task::spawn(async move {
            let mut sum = 0;
            let mut results = pin!(
                rx.into_stream()
                    .map(|n: u64| {
                        let limit = limit.clone();
                        async move {
                            let _permit = limit.acquire_async().await;
                            task::yield_now().await;
                            n
                        }
                    })
                    .buffer_unordered(8)
            );
            while let Some(n) = results.next().await {
                sum += n;
            }
            sum
        });
        kahn::spawn(move || (1..=100).for_each(|n| tx.send(n).unwrap())).join().unwrap();
        assert_eq!(handled.join().unwrap(), 5050);
    });
}

/// Several tasks on different workers wait for one future. Any of them may poll it.
#[test]
fn shared_future_is_polled_by_many_tasks() {
    for workers in FEW {
        within(&format!("{workers} workers"), || {
            runtime(workers).run(|| {
                for round in 0..rounds(100) {
                    let (tx, rx) = oneshot();
                    let (ready, is_ready) = watch(0);
                    let shared = async move {
                        while is_ready.get() < 3 {
                            let _ = is_ready.changed_async().await;
                        }
                        sleep_async(Duration::from_micros(100)).await;
                        rx.await.unwrap()
                    }
                    .boxed()
                    .shared();
                    let ready = Arc::new(ready);
                    let tasks: Vec<_> = (0..3)
                        .map(|n| {
                            let (shared, ready) = (shared.clone(), ready.clone());
                            task::spawn(async move {
                                ready.modify(|count| *count += 1).unwrap();
                                if n == 0 {
                                    // Gives up, maybe as the one that polls.
                                    let _ = timeout_async(Duration::from_micros(50), shared.clone()).await;
                                }
                                shared.await
                            })
                        })
                        .collect();
                    tx.send(round).unwrap();
                    tasks.into_iter().for_each(|task| assert_eq!(task.join().unwrap(), round));
                }
            });
        });
    }
}
