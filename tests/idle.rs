//! A process in which all green threads wait makes no system calls but for its timers.
#![cfg(target_os = "linux")]

mod support;

use std::time::Duration;

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
fn a_sleep_wakes_no_other_worker() {
    let test = "a_sleep_wakes_no_other_worker";
    if !is_child(test) {
        let output = child(test, test);
        return assert!(output.status.success(), "{:?}: {}", output.status, stderr(&output));
    }
    for workers in [1, 2, 4] {
        let runtime = runtime(workers);
        runtime.run(|| {
            let far = kahn::spawn(|| kahn::sleep(Duration::from_secs(3600)));
            // The search for work, the naps on watch, and the last look of each worker take less than this.
            kahn::sleep(Duration::from_millis(100));
            let before = sleeps();
            const ROUNDS: i64 = 10;
            for _ in 0..ROUNDS {
                kahn::sleep(Duration::from_millis(100));
            }
            let times = sleeps() - before;
            // One each time, and a few more where a worker is interrupted while it searches or keeps watch.
            assert!(times <= 4 * ROUNDS, "{workers} workers: {times} sleeps instead of {ROUNDS}");
            far.cancel();
            let _ = far.join();
        });
    }
}
