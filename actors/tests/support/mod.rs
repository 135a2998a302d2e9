//! Shared helpers: the kinds of thread on which each scenario runs, and a watch against hangs.
#![allow(dead_code, reason = "each test file uses a part")]

pub mod family;

use std::io::Write;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use kahn_core::Runtime;

/// Longer than anything here takes, even with all cores busy with something else.
const HANGS: Duration = Duration::from_secs(120);

/// Runs `f`, which is to end. If it does not, says so, and aborts: what hangs cannot be joined.
#[track_caller]
pub fn within<T>(f: impl FnOnce() -> T) -> T {
    let place = std::panic::Location::caller();
    let (ended, is_ended) = mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        if is_ended.recv_timeout(HANGS) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = writeln!(std::io::stderr(), "HANGS: {place}");
            std::process::abort();
        }
    });
    let value = f();
    drop(ended);
    watch.join().unwrap();
    value
}

/// Runs a scenario on green threads of runtimes of several sizes, and on an OS thread.
#[track_caller]
pub fn everywhere(scenario: impl Fn() + Sync) {
    for workers in [1, 2, 3] {
        within(|| Runtime::builder().workers(workers).build().unwrap().run(&scenario));
    }
    within(&scenario);
}

/// Waits until a condition holds that another thread brings about.
#[track_caller]
pub fn until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < HANGS, "waited in vain");
        if kahn_core::thread::is_green() {
            kahn_core::yield_now();
        } else {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

/// `full` rounds, times `KAHN_TEST_ROUNDS` (1 if it is not set), which a hunt for cold races sets high.
pub fn rounds(full: usize) -> usize {
    let factor = std::env::var("KAHN_TEST_ROUNDS").map_or(1.0, |text| text.parse::<f64>().expect("a number"));
    ((full as f64 * factor) as usize).max(1)
}
