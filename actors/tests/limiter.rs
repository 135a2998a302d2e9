//! The rate limiter grants no more than its rate allows, and no less than it promises.

mod support;

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use kahn_actors::{Builder, Limiter, Mailbox};
use support::{everywhere, rounds, within};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn full_bucket_lets_a_burst_through_and_no_more() {
    everywhere(|| {
        let limiter = Limiter::new(10, HOUR).burst(3);
        assert_eq!(limiter.available(), 3);
        assert!(limiter.try_acquire(2) && !limiter.try_acquire(2) && limiter.try_acquire(1));
        assert!(!limiter.clone().try_acquire(1));
        assert_eq!(limiter.available(), 0);
        assert!(limiter.try_acquire(0));
    });
}

#[test]
fn wait_that_would_be_too_long_is_refused_at_once_and_takes_nothing() {
    everywhere(|| {
        let limiter = Limiter::new(2, HOUR);
        limiter.acquire(2);
        let start = Instant::now();
        let late = limiter.acquire_timeout(1, HOUR / 4).unwrap_err();
        assert!(start.elapsed() < HOUR / 100);
        assert!(late.wait() > HOUR / 3 && late.wait() <= HOUR / 2, "{late}");
        // As before: nothing was taken.
        assert!(limiter.acquire_timeout(1, HOUR / 4).unwrap_err().wait() <= late.wait());
    });
}

#[test]
fn waiting_keeps_to_the_rate() {
    everywhere(|| {
        let limiter = Limiter::new(1000, Duration::from_secs(1)).burst(5);
        let start = Instant::now();
        for _ in 0..25 {
            limiter.acquire(1);
        }
        limiter.acquire(5);
        assert!(start.elapsed() >= Duration::from_millis(25));
    });
}

/// However many ask, and however they ask, in any time no more come through than the burst and what that time brings.
#[test]
fn many_together_get_no_more_than_the_rate_allows() {
    within(|| {
        let limiter = Limiter::new(3000, Duration::from_secs(1)).burst(7);
        let taken = AtomicU32::new(0);
        let start = Instant::now();
        let length = Duration::from_millis(rounds(100) as u64);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (limiter, taken) = (limiter.clone(), &taken);
                scope.spawn(move || {
                    while start.elapsed() < length {
                        let tokens = 1 + thread % 2;
                        if thread < 2 {
                            limiter.acquire(tokens);
                            taken.fetch_add(tokens, SeqCst);
                        } else if limiter.try_acquire(tokens) {
                            taken.fetch_add(tokens, SeqCst);
                        }
                    }
                });
            }
        });
        let (taken, elapsed) = (f64::from(taken.into_inner()), start.elapsed().as_secs_f64());
        assert!(taken <= 7.0 + 3000.0 * elapsed, "{taken} in {elapsed} s");
    });
}

#[test]
fn tokens_are_available_after_their_time() {
    everywhere(|| {
        let limiter = Limiter::new(3000, Duration::from_secs(1)).burst(60);
        for _ in 0..3 {
            while limiter.try_acquire(1) {}
            kahn_core::sleep(Duration::from_millis(10));
            assert!(limiter.try_acquire(30));
        }
        kahn_core::sleep(Duration::from_millis(20));
        assert_eq!(limiter.available(), 60, "full, and not more than that");
    });
}

#[test]
fn wait_that_is_cut_short_gives_its_tokens_back() {
    everywhere(|| {
        let limiter = Limiter::new(1, HOUR);
        limiter.acquire(1);
        let waiting = kahn_core::spawn({
            let limiter = limiter.clone();
            move || limiter.acquire(1)
        });
        // Two hours: one for the one that waits.
        support::until(|| limiter.acquire_timeout(1, Duration::ZERO).unwrap_err().wait() > HOUR);
        waiting.cancel();
        assert!(waiting.join().unwrap_err().is_cancelled());
        assert!(limiter.acquire_timeout(1, Duration::ZERO).unwrap_err().wait() <= HOUR);
    });
}

#[test]
fn actor_that_waits_lets_its_mailbox_wait() {
    everywhere(|| {
        let limiter = Limiter::new(1000, Duration::from_secs(1)).burst(1);
        let start = Instant::now();
        let polite = Builder::new().mailbox(2).spawn_loop(move |mailbox: &mut Mailbox<()>| {
            while mailbox.recv().is_ok() {
                limiter.acquire(1);
            }
            Ok(())
        });
        for _ in 0..20 {
            polite.tell(()).unwrap();
        }
        // Three are in the mailbox or in hand, one came at once.
        assert!(start.elapsed() >= Duration::from_millis(16));
    });
}

#[test]
fn rates_from_one_a_year_to_a_billion_a_second_are_exact() {
    let slow = Limiter::new(1, 24 * 365 * HOUR).burst(2);
    assert!(slow.try_acquire(2));
    let wait = slow.acquire_timeout(1, Duration::ZERO).unwrap_err().wait();
    assert!(wait > 24 * 364 * HOUR && wait <= 24 * 365 * HOUR);

    // 1.43 ns each: rounding to whole nanoseconds would let through half as many again.
    let fast = Limiter::new(700_000_000, Duration::from_secs(1)).burst(1_000_000);
    let (start, mut taken) = (Instant::now(), 0.0);
    while start.elapsed() < Duration::from_millis(20) {
        taken += f64::from(u8::from(fast.try_acquire(10_000))) * 1e4;
    }
    let allowed = 1e6 + 7e8 * start.elapsed().as_secs_f64();
    assert!(taken <= allowed, "{taken} of {allowed}");
}

#[test]
#[should_panic = "the bucket never holds 3 tokens; its burst is 2"]
fn more_than_the_bucket_holds_is_a_mistake() {
    Limiter::new(2, HOUR).try_acquire(3);
}
