//! Sleeping, time-outs and intervals in async code.
#![allow(clippy::async_yields_async, reason = "a task hands a future that it has polled to another")]

mod support;

use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use kahn::channel::bounded;
use kahn::task;
use kahn::time::{SleepFuture, interval, sleep_async, sleep_until_async, timeout_async};
use support::{Counter, Random, rounds, runtime, until, with_each_size, within};

const FEW: [usize; 3] = [1, 2, 4];
const MOMENT: Duration = Duration::from_millis(2);
const HOUR: Duration = Duration::from_secs(3600);

/// A waker of another executor: it counts its wake-ups.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(move |context| Poll::Ready(future.as_mut().poll(context))).await
}

#[test]
fn sleep_is_never_early() {
    let sleeps = || async {
        let start = Instant::now();
        sleep_async(MOMENT).await;
        assert!(start.elapsed() >= MOMENT);
        let deadline = Instant::now() + MOMENT;
        sleep_until_async(deadline).await;
        assert!(Instant::now() >= deadline);
        sleep_until_async(start).await;
    };
    // On an OS thread, in a task of the default runtime, on a green thread, in tasks of both kinds.
    kahn::block_on(sleeps());
    task::spawn(sleeps()).join().unwrap();
    with_each_size(|| {
        kahn::block_on(sleeps());
        let tasks = [task::spawn(sleeps()), task::spawn_local(sleeps())];
        tasks.into_iter().for_each(|task| task.join().unwrap());
    });
}

#[test]
fn thousands_of_tasks_sleep_at_once() {
    for workers in FEW {
        within(&format!("{workers} workers"), || {
            runtime(workers).run(|| {
                let mut random = Random::new(workers as u64);
                let tasks: Vec<_> = (0..rounds(5000))
                    .map(|_| {
                        let time = Duration::from_micros(random.below(5000));
                        task::spawn(async move {
                            let start = Instant::now();
                            sleep_async(time).await;
                            assert!(start.elapsed() >= time);
                        })
                    })
                    .collect();
                tasks.into_iter().for_each(|task| task.join().unwrap());
            });
        });
    }
}

/// The future is dropped, or its task is cancelled, as its time comes.
#[test]
fn end_of_a_sleep_races_with_its_drop() {
    for workers in FEW {
        within(&format!("{workers} workers"), || {
            runtime(workers).run(|| {
                let mut random = Random::new(workers as u64);
                for round in 0..rounds(300) {
                    let tasks: Vec<_> = (0..8)
                        .map(|_| {
                            let short = Duration::from_micros(random.below(300));
                            let other = Duration::from_micros(random.below(300));
                            task::spawn(async move {
                                let late = timeout_async(short, sleep_async(other)).await;
                                let sent = Box::pin(sleep_async(other));
                                (late, sent)
                            })
                        })
                        .collect();
                    kahn::sleep(Duration::from_micros(random.below(200)));
                    for task in tasks {
                        if round % 2 == 0 {
                            task.cancel();
                        }
                        if let Err(error) = task.join() {
                            assert!(error.is_cancelled());
                        }
                    }
                }
            });
        });
    }
}

/// A future that has an entry in a worker's wheel is polled by other executors, also after the end of the runtime.
#[test]
fn sleep_may_change_its_executor() {
    for workers in FEW {
        within(&format!("{workers} workers"), || {
            type Boxed = Pin<Box<SleepFuture>>;
            let begun = |time: Duration| async move {
                let mut sleep: Boxed = Box::pin(sleep_async(time));
                assert!(poll_once(sleep.as_mut()).await.is_pending());
                sleep
            };
            let runtime = runtime(workers);
            // By another task, and by a thread.
            runtime.run(|| {
                let sleep = task::spawn(begun(MOMENT)).join().unwrap();
                let other = task::spawn(async move {
                    let mut sleep = sleep;
                    let _ = poll_once(sleep.as_mut()).await;
                    sleep
                });
                kahn::block_on(other.join().unwrap());
                // And from a thread to a task.
                let mut sleep: Boxed = Box::pin(sleep_async(MOMENT));
                let _ = kahn::block_on(poll_once(sleep.as_mut()));
                task::spawn(sleep).join().unwrap();
            });
            let lasting = runtime.run(|| task::spawn(begun(50 * MOMENT)).join().unwrap());
            let forgotten = runtime.run(|| task::spawn(begun(HOUR)).join().unwrap());
            runtime.shutdown(Duration::from_secs(60)).unwrap();
            let (next, start) = (support::runtime(workers), Instant::now());
            next.run(|| task::spawn(lasting).join().unwrap());
            drop(forgotten);
            assert!(start.elapsed() < HOUR);
        });
    }
}

/// A combinator may poll with wakers of its own, which are user code. The worker's wheel does not call them.
#[test]
fn sleep_in_a_task_wakes_the_waker_of_a_combinator() {
    with_each_size(|| {
        let sleeps = task::spawn(async {
            let wakes = Arc::<Wakes>::default();
            let waker = Waker::from(wakes.clone());
            let mut sleep = pin!(sleep_async(MOMENT));
            let mut polls = 0;
            while sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                polls += 1;
                let seen = polls;
                while wakes.0.load(SeqCst) < seen {
                    task::yield_now().await;
                }
            }
            wakes.0.load(SeqCst)
        });
        assert!(sleeps.join().unwrap() <= 2);
    });
}

#[test]
fn dropped_sleep_keeps_no_waker() {
    let wakes = Arc::<Wakes>::default();
    let waker = Waker::from(wakes.clone());
    let mut sleep = Box::pin(sleep_async(HOUR));
    assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    assert_eq!(Arc::strong_count(&wakes), 2);
    drop(sleep);
    assert_eq!(Arc::strong_count(&wakes), 1);
}

#[test]
fn cancel_ends_a_sleep() {
    with_each_size(|| {
        let counter = Counter::new();
        for _ in 0..20 {
            let held = counter.make();
            let sleeps = task::spawn(async move {
                let _held = held;
                sleep_async(HOUR).await;
            });
            kahn::yield_now();
            sleeps.cancel();
            assert!(sleeps.join().unwrap_err().is_cancelled());
        }
        counter.assert_all_gone();
    });
}

#[test]
fn time_out_drops_the_future_and_loses_no_message() {
    with_each_size(|| {
        let (tx, rx) = bounded(1);
        let receiver = rx.clone();
        let late = task::spawn(async move { timeout_async(MOMENT, receiver.recv_async()).await });
        assert!(late.join().unwrap().is_err());
        tx.send(7).unwrap();
        assert_eq!(rx.recv(), Ok(7));
        let counter = Counter::new();
        let held = counter.make();
        let late = task::spawn(timeout_async(MOMENT, async move {
            let _held = held;
            pending::<()>().await;
        }));
        assert!(late.join().unwrap().is_err());
        counter.assert_all_gone();
        // A value that is there is returned, however late.
        assert_eq!(kahn::block_on(timeout_async(Duration::ZERO, async { 1 })), Ok(1));
        assert_eq!(kahn::block_on(timeout_async(Duration::MAX, async { 1 })), Ok(1));
        assert!(kahn::block_on(timeout_async(Duration::ZERO, pending::<()>())).is_err());
    });
}

/// A message that comes as the time passes is returned, or left.
#[test]
fn time_out_races_with_a_message() {
    for workers in FEW {
        within(&format!("{workers} workers"), || {
            runtime(workers).run(|| {
                let mut random = Random::new(workers as u64);
                for n in 0..rounds(500) {
                    let (tx, rx) = bounded(1);
                    let time = Duration::from_micros(random.below(200));
                    let receiver = rx.clone();
                    let task = task::spawn(async move { timeout_async(time, receiver.recv_async()).await });
                    kahn::sleep(Duration::from_micros(random.below(200)));
                    tx.send(n).unwrap();
                    match task.join().unwrap() {
                        Ok(message) => assert_eq!(message, Ok(n)),
                        Err(_) => assert_eq!(rx.recv(), Ok(n)),
                    }
                }
            });
        });
    }
}

#[test]
fn interval_ticks_in_async_code() {
    with_each_size(|| {
        let moments = task::spawn(async {
            let mut beat = interval(Duration::from_micros(500));
            let mut moments = vec![beat.tick_async().await];
            // A tick that is not awaited to its end is not lost.
            let _ = timeout_async(Duration::ZERO, beat.tick_async()).await;
            for _ in 0..3 {
                moments.push(beat.tick_async().await);
                assert!(Instant::now() >= *moments.last().unwrap());
            }
            moments
        });
        let moments = moments.join().unwrap();
        assert!(moments.windows(2).all(|pair| pair[0] < pair[1]), "{moments:?}");
    });
}

/// The runtime ends while tasks sleep, with timers of both kinds.
#[test]
fn shutdown_drops_sleeping_tasks() {
    for workers in FEW {
        within(&format!("{workers} workers"), || {
            let counter = Counter::new();
            let runtime = runtime(workers);
            let kept = Arc::<Mutex<Vec<Pin<Box<SleepFuture>>>>>::default();
            runtime.run(|| {
                for _ in 0..rounds(300) {
                    let (held, kept) = (counter.make(), kept.clone());
                    task::spawn(async move {
                        let _held = held;
                        let mut keeps = Box::pin(sleep_async(HOUR));
                        assert!(poll_once(keeps.as_mut()).await.is_pending());
                        kept.lock().unwrap().push(keeps);
                        sleep_async(HOUR).await;
                    });
                }
            });
            until("all sleep", || kept.lock().unwrap().len() == rounds(300));
            runtime.shutdown(Duration::from_secs(60)).unwrap();
            counter.assert_all_gone();
            // Their entries were in the wheels of the runtime that has ended.
            support::runtime(workers).run(|| drop(std::mem::take(&mut *kept.lock().unwrap())));
        });
    }
}
