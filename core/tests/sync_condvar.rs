//! Condvar and Barrier: no wake-up is lost, and no thread passes early.
#![cfg(not(kahn_loom))]

mod sync_support;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use kahn_core::sync::{Arc, Barrier, Condvar, Mutex};
use sync_support::{each_mode, eventually, settle, size};

/// A queue of one place, passed to and fro by several on both sides: every `notify_one` counts, or it hangs.
#[test]
fn producers_and_consumers_exchange_everything() {
    each_mode(|mode| {
        let each = size(5_000, 10);
        let shared = Arc::new((Mutex::new(None), Condvar::new(), Condvar::new()));
        let producers: Vec<_> = (0..3)
            .map(|number| {
                let shared = shared.clone();
                mode.spawn(move || {
                    let (slot, filled, emptied) = &*shared;
                    for message in 0..each {
                        let mut slot = slot.lock().unwrap();
                        while slot.is_some() {
                            slot = emptied.wait(slot).unwrap();
                        }
                        *slot = Some(number * each + message);
                        filled.notify_one();
                    }
                })
            })
            .collect();
        let consumers: Vec<_> = (0..3)
            .map(|_| {
                let shared = shared.clone();
                mode.spawn(move || {
                    let (slot, filled, emptied) = &*shared;
                    let mut sum = 0;
                    for _ in 0..each {
                        let mut slot =
                            filled.wait_while(slot.lock().unwrap(), |slot| slot.is_none()).unwrap();
                        sum += slot.take().unwrap();
                        emptied.notify_one();
                    }
                    sum
                })
            })
            .collect();
        producers.into_iter().for_each(|thread| thread.join().unwrap());
        let sum: usize = consumers.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(sum, (0..3 * each).sum());
    });
}

#[test]
fn notify_one_wakes_one_and_notify_all_the_rest() {
    each_mode(|mode| {
        let shared = Arc::new((Mutex::new(0), Condvar::new()));
        let waiting = Arc::new(AtomicUsize::new(0));
        let awake = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (shared, waiting, awake) = (shared.clone(), waiting.clone(), awake.clone());
                mode.spawn(move || {
                    let guard = shared.0.lock().unwrap();
                    waiting.fetch_add(1, SeqCst);
                    drop(shared.1.wait(guard).unwrap());
                    awake.fetch_add(1, SeqCst);
                })
            })
            .collect();
        eventually(|| waiting.load(SeqCst) == 4);
        // Taking the lock once: the last has given it back, so all stand in the queue.
        drop(shared.0.lock().unwrap());
        shared.1.notify_one();
        eventually(|| awake.load(SeqCst) == 1);
        settle();
        assert_eq!(awake.load(SeqCst), 1, "one notification, one wake-up");
        shared.1.notify_all();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// A notification without a waiter is not remembered.
#[test]
fn timed_out_wait_holds_the_lock_again() {
    let (lock, condition) = (Mutex::new(0), Condvar::new());
    condition.notify_one();
    let start = Instant::now();
    let (mut guard, result) = condition.wait_timeout(lock.lock().unwrap(), Duration::from_millis(5)).unwrap();
    assert!(result.timed_out() && start.elapsed() >= Duration::from_millis(5));
    *guard += 1;
    assert!(lock.try_lock().is_err());
    let (guard, result) = condition.wait_timeout(guard, Duration::ZERO).unwrap();
    assert!(result.timed_out());
    drop(guard);
    assert_eq!(*lock.try_lock().unwrap(), 1);
}

#[test]
fn wait_timeout_while_reports_a_timeout_only_if_the_condition_holds() {
    each_mode(|mode| {
        let shared = Arc::new((Mutex::new(false), Condvar::new()));
        let guard = shared.0.lock().unwrap();
        let short = Duration::from_millis(2);
        let (guard, result) = shared.1.wait_timeout_while(guard, short, |ready| !*ready).unwrap();
        assert!(result.timed_out() && !*guard);
        drop(guard);
        let setter = {
            let shared = shared.clone();
            mode.spawn(move || {
                settle();
                *shared.0.lock().unwrap() = true;
                shared.1.notify_all();
            })
        };
        let guard = shared.0.lock().unwrap();
        let (guard, result) = shared.1.wait_timeout_while(guard, Duration::MAX, |ready| !*ready).unwrap();
        assert!(!result.timed_out() && *guard);
        drop(guard);
        setter.join().unwrap();
    });
}

/// Time-outs race with notifications: a notification goes to a waiter that then returns as notified. So a token is
/// passed on as often as it was given.
#[test]
fn notification_is_never_lost_in_a_time_out() {
    each_mode(|mode| {
        let rounds = size(2_000, 5);
        let shared = Arc::new((Mutex::new(0_usize), Condvar::new()));
        let takers: Vec<_> = (0..2)
            .map(|_| {
                let shared = shared.clone();
                mode.spawn(move || {
                    let mut taken = 0;
                    while taken < rounds {
                        let mut tokens = shared.0.lock().unwrap();
                        while *tokens == 0 {
                            // One only is notified of each token, and the other may time out at that very moment.
                            let wait = Duration::from_micros(30 + (taken as u64 * 7) % 60);
                            tokens = shared.1.wait_timeout(tokens, wait).unwrap().0;
                        }
                        *tokens -= 1;
                        taken += 1;
                    }
                })
            })
            .collect();
        for _ in 0..2 * rounds {
            *shared.0.lock().unwrap() += 1;
            shared.1.notify_one();
        }
        takers.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*shared.0.lock().unwrap(), 0);
    });
}

#[test]
fn waiter_is_told_of_poison() {
    each_mode(|mode| {
        let shared = Arc::new((Mutex::new(false), Condvar::new()));
        let waiter = {
            let shared = shared.clone();
            mode.spawn(move || shared.1.wait_while(shared.0.lock().unwrap(), |ready| !*ready).is_err())
        };
        settle();
        let poisoner = {
            let shared = shared.clone();
            mode.spawn(move || {
                let mut ready = shared.0.lock().unwrap_or_else(|error| error.into_inner());
                *ready = true;
                shared.1.notify_all();
                std::panic::resume_unwind(Box::new(()));
            })
        };
        assert!(poisoner.join().is_err());
        // Either it waited and was told, or it came later and could not even lock.
        assert!(waiter.join().unwrap_or(true));
    });
}

/// No thread is more than one round ahead of another, and each round has one leader.
#[test]
fn barrier_can_be_reused() {
    each_mode(|mode| {
        let (n, rounds) = (4, size(2_000, 5));
        let barrier = Arc::new(Barrier::new(n));
        let arrived = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..n)
            .map(|_| {
                let (barrier, arrived) = (barrier.clone(), arrived.clone());
                mode.spawn(move || {
                    let mut led = 0;
                    for round in 1..=rounds {
                        arrived.fetch_add(1, SeqCst);
                        led += usize::from(barrier.wait().is_leader());
                        let there = arrived.load(SeqCst);
                        assert!((round * n..=(round + 1) * n).contains(&there), "{there} in round {round}");
                        assert!(there < (round + 1) * n, "all in the next round, and we are not");
                    }
                    led
                })
            })
            .collect();
        let led: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(led, rounds);
    });
}

#[test]
fn barrier_of_zero_or_one_never_waits() {
    for n in [0, 1] {
        let barrier = Barrier::new(n);
        assert!(barrier.wait().is_leader() && barrier.wait().is_leader());
    }
}
