//! Children that wait for their next start: for how long, and for whom.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use kahn_actors::{Backoff, Supervisor};
use support::everywhere;
use support::family::{Log, Order, faulty, kid, order, patient, sync};

const SHORT: Duration = Duration::from_micros(100);

fn exponential(max: Duration) -> Backoff {
    Backoff::exponential(SHORT, max).jitter(0.0)
}

/// The delays before the restarts of a child, as reported.
fn delays(log: &Log) -> Vec<String> {
    let text = "a is started again in ";
    log.take().iter().filter_map(|entry| entry.strip_prefix(text).map(str::to_owned)).collect()
}

#[test]
fn delays_grow_with_each_failure_after_a_short_life() {
    everywhere(|| {
        let log = Log::default();
        let supervisor = patient(Supervisor::default())
            .child(kid("a", &log).backoff(exponential(Duration::from_secs(1000))))
            .on_event(log.events())
            .spawn();
        for delay in ["100µs", "200µs", "400µs", "800µs", "1.6ms"] {
            order(&supervisor, "a", Order::Panic);
            log.wait(&format!("a is started again in {delay}"), 1);
            sync(&supervisor, "a");
        }
        supervisor.stop();
    });
}

#[test]
fn delays_begin_anew_after_a_long_life() {
    everywhere(|| {
        let log = Log::default();
        // Every life is long.
        let backoff = exponential(Duration::from_secs(1000)).reset_after(Duration::ZERO);
        let supervisor = patient(Supervisor::default())
            .child(kid("a", &log).backoff(backoff))
            .on_event(log.events())
            .spawn();
        for life in 1..5 {
            order(&supervisor, "a", Order::Panic);
            log.wait("a is started again in 100µs", life);
            sync(&supervisor, "a");
        }
        assert_eq!(delays(&log), ["100µs"; 4]);
        supervisor.stop();
    });
}

/// Neither the wait before a start nor the start itself is part of a life, however long they take.
#[test]
fn delays_grow_with_each_start_that_fails() {
    everywhere(|| {
        let max = Duration::from_millis(5);
        for reset in [Duration::ZERO, max, Duration::MAX] {
            let (log, fails) = (Log::default(), Arc::new(AtomicBool::new(false)));
            let supervisor = patient(Supervisor::default())
                .child(faulty("a", &log, &fails).backoff(exponential(max).reset_after(reset)))
                .on_event(log.events())
                .spawn();
            fails.store(true, SeqCst);
            order(&supervisor, "a", Order::Panic);
            log.wait("a is started again in 5ms", 4);
            supervisor.stop();
            let expected = ["100µs", "200µs", "400µs", "800µs", "1.6ms", "3.2ms", "5ms", "5ms", "5ms", "5ms"];
            assert_eq!(delays(&log)[..10], expected);
        }
    });
}

/// Who starts a child by hand has mended something.
#[test]
fn delays_begin_anew_after_a_start_by_hand() {
    everywhere(|| {
        let log = Log::default();
        let supervisor = patient(Supervisor::default())
            .child(kid("a", &log).backoff(exponential(Duration::from_secs(1000))))
            .on_event(log.events())
            .spawn();
        for _ in 0..2 {
            for _ in 0..3 {
                let before = log.count("+a");
                order(&supervisor, "a", Order::Panic);
                log.wait("+a", before + 1);
            }
            supervisor.terminate_child("a").unwrap();
            assert_eq!(delays(&log), ["100µs", "200µs", "400µs"]);
            supervisor.restart_child("a").unwrap();
        }
        supervisor.stop();
    });
}
