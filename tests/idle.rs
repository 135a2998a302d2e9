//! A process in which all green threads wait makes no system calls but for its timers. A green thread that computes
//! keeps no idle worker busy.
#![cfg(target_os = "linux")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use support::{child, is_child, runtime, stderr};

/// How often the process has gone to sleep.
fn sleeps() -> i64 {
    // SAFETY: a record of integers, for which all zeros is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: a valid record.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) }, 0);
    usage.ru_nvcsw
}

/// In a process of its own, whose other threads sleep for good.
#[test]
fn sleep_wakes_no_other_worker() {
    let test = "sleep_wakes_no_other_worker";
    if !is_child(test) {
        let output = child(test, test);
        return assert!(output.status.success(), "{:?}: {}", output.status, stderr(&output));
    }
    for workers in [1, 2, 4] {
        let runtime = runtime(workers);
        runtime.run(|| {
            let far = kahn::spawn(|| kahn::sleep(Duration::from_secs(3600)));
            // The search for work, the watch, and the last look of each worker take less than this.
            kahn::sleep(Duration::from_millis(100));
            let before = sleeps();
            const ROUNDS: i64 = 10;
            for _ in 0..ROUNDS {
                kahn::sleep(Duration::from_millis(100));
            }
            let times = sleeps() - before;
            // One each time, and a few more where a worker that searches lets other threads of the machine run.
            assert!(times <= 2 * ROUNDS, "{workers} workers: {times} sleeps instead of {ROUNDS}");
            far.cancel();
            let _ = far.join();
        });
    }
}

/// In a process of its own, whose other threads sleep for good.
#[test]
fn computation_seldom_wakes_idle_workers() {
    let test = "computation_seldom_wakes_idle_workers";
    if !is_child(test) {
        let output = child(test, test);
        return assert!(output.status.success(), "{:?}: {}", output.status, stderr(&output));
    }
    const WARM_UP: Duration = Duration::from_millis(200);
    const TIME: Duration = Duration::from_secs(1);
    let compute = |time: Duration| {
        let start = Instant::now();
        while start.elapsed() < time {
            std::hint::spin_loop();
        }
    };
    for (workers, sleeper_ms) in [(2, None), (4, None), (2, Some(10))] {
        let runtime = runtime(workers);
        let looks = if runtime.homes() == kahn::runtime::Homes::Travelling { 100 } else { 0 };
        runtime.run(|| {
            let rounds = Arc::new(AtomicI64::new(0));
            let sleeper = sleeper_ms.map(|ms| {
                let rounds = rounds.clone();
                kahn::spawn(move || {
                    loop {
                        kahn::sleep(Duration::from_millis(ms));
                        rounds.fetch_add(1, Ordering::Relaxed);
                    }
                })
            });
            // An idle worker comes to help, and keeps watch for a while.
            compute(WARM_UP);
            let before = (sleeps(), rounds.load(Ordering::Relaxed));
            compute(TIME);
            let times = sleeps() - before.0;
            let rounds = rounds.load(Ordering::Relaxed) - before.1;
            if let Some(sleeper) = sleeper {
                sleeper.cancel();
                let _ = sleeper.join();
            }
            // Ten in a second, one for each round of the sleeper, and a few where a worker is interrupted.
            // Where homes travel, a hundred: another worker looks whether this one is stuck and holds up others.
            assert!(times <= 30 + looks + 2 * rounds, "{workers} workers, {rounds} rounds: {times} sleeps");
        });
    }
}
