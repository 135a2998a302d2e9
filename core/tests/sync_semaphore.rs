//! Semaphore: permits are conserved, and waiters are served in order.
#![cfg(not(kahn_loom))]

mod sync_support;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use kahn_core::sync::{Arc, Mutex, Semaphore};
use sync_support::{Random, each_mode, eventually, settle, size};

#[test]
fn permits_are_conserved_under_load() {
    each_mode(|mode| {
        const PERMITS: usize = 5;
        let semaphore = Arc::new(Semaphore::new(PERMITS));
        let out = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..4_u64)
            .map(|number| {
                let (semaphore, out) = (semaphore.clone(), out.clone());
                mode.spawn(move || {
                    let mut random = Random(number + 1);
                    for _ in 0..size(3_000, 15) {
                        let n = random.below(PERMITS as u64 + 1) as usize;
                        let permit = match random.below(4) {
                            0 => semaphore.try_acquire_many(n),
                            1 => semaphore.acquire_many_timeout(n, Duration::from_micros(random.below(100))),
                            _ => Some(semaphore.acquire_many(n)),
                        };
                        let Some(permit) = permit else { continue };
                        assert_eq!(permit.permits(), n);
                        assert!(out.fetch_add(n, SeqCst) + n <= PERMITS, "more permits than there are");
                        if random.below(16) == 0 {
                            sync_support::yield_now();
                        }
                        out.fetch_sub(n, SeqCst);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(semaphore.available_permits(), PERMITS);
        assert!(semaphore.try_acquire_many(PERMITS).is_some(), "a waiter is left");
    });
}

/// A waiter for many permits that came first is served first, although there are always enough for those behind it.
#[test]
fn waiters_are_served_first_come_first_served() {
    each_mode(|mode| {
        let semaphore = Arc::new(Semaphore::new(2));
        let order = Arc::new(Mutex::new(Vec::new()));
        let one = semaphore.acquire();
        let threads: Vec<_> = [2, 1, 1]
            .into_iter()
            .enumerate()
            .map(|(number, n)| {
                let (waiter, order) = (semaphore.clone(), order.clone());
                let thread = mode.spawn(move || {
                    let _permit = waiter.acquire_many(n);
                    order.lock().unwrap().push(number);
                    settle();
                });
                if number == 0 {
                    eventually(|| semaphore.try_acquire().is_none());
                }
                settle();
                thread
            })
            .collect();
        assert_eq!(semaphore.available_permits(), 1);
        assert!(semaphore.try_acquire().is_none(), "no thread overtakes a waiter");
        assert!(order.lock().unwrap().is_empty());
        drop(one);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(order.lock().unwrap()[0], 0);
        assert_eq!(semaphore.available_permits(), 2);
    });
}

/// A waiter that gives up no longer holds up those behind it.
#[test]
fn timed_out_waiter_lets_later_waiters_pass() {
    each_mode(|mode| {
        let semaphore = Arc::new(Semaphore::new(1));
        let greedy = {
            let semaphore = semaphore.clone();
            mode.spawn(move || semaphore.acquire_many_timeout(2, Duration::from_millis(30)).is_none())
        };
        eventually(|| semaphore.try_acquire().is_none());
        let start = Instant::now();
        drop(semaphore.acquire());
        assert!(start.elapsed() < Duration::from_secs(20));
        assert!(greedy.join().unwrap());
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn permits_are_added_and_forgotten() {
    each_mode(|mode| {
        let semaphore = Arc::new(Semaphore::new(0));
        let waiters: Vec<_> = (1..=3)
            .map(|n| {
                let semaphore = semaphore.clone();
                mode.spawn(move || semaphore.acquire_many(n).forget())
            })
            .collect();
        semaphore.add_permits(6);
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert_eq!(semaphore.available_permits(), 0);
        semaphore.add_permits(usize::MAX);
        assert!(std::panic::catch_unwind(|| semaphore.add_permits(1)).is_err());
        assert_eq!(semaphore.available_permits(), usize::MAX);
        assert_eq!(semaphore.acquire_many(usize::MAX).permits(), usize::MAX);
    });
}

#[test]
fn timed_out_waiter_takes_no_permit() {
    let semaphore = Semaphore::new(0);
    let start = Instant::now();
    assert!(semaphore.acquire_timeout(Duration::from_millis(5)).is_none());
    assert!(start.elapsed() >= Duration::from_millis(5));
    assert!(semaphore.acquire_timeout(Duration::ZERO).is_none());
    semaphore.add_permits(1);
    assert!(semaphore.acquire_timeout(Duration::ZERO).is_some());
    assert!(semaphore.acquire_timeout(Duration::MAX).is_some());
}
