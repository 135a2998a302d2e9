//! The cost of very many parked green threads. Each costs little more than a page, their stacks take no mappings of
//! their own, and all of them finish.
//!
//! A million in a release build, fewer in a debug build. The test measures the process, so it has one of its own.

#![cfg(target_os = "linux")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use kahn::channel::bounded;
use support::{child, is_child, runtime, stderr, until};

const COUNT: usize = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
/// Bytes each, resident and in page tables. What a debug build has on its stacks may need a second page.
const EACH: usize = if cfg!(debug_assertions) { 9_000 } else { 4_900 };
/// Lines of `/proc/self/maps`, of which the kernel allows 65,530.
const MAPPINGS: usize = 5_000;

/// Kilobytes that `/proc/self/status` says of this.
fn status_kb(what: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn bytes() -> usize {
    (status_kb("VmRSS:") + status_kb("VmPTE:")) * 1024
}

fn park_them(workers: usize) {
    let runtime = runtime(workers);
    runtime.run(|| {
        let before = bytes();
        let (open, gate) = bounded::<()>(0);
        let (started, answers) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        for i in 0..COUNT {
            let (gate, started, answers) = (gate.clone(), started.clone(), answers.clone());
            drop(kahn::spawn(move || {
                started.fetch_add(1, SeqCst);
                assert!(gate.recv().is_err());
                answers.fetch_add(i, SeqCst);
            }));
        }
        until("all have started", || started.load(SeqCst) == COUNT);
        // They have started; the last of each worker parks at once.
        kahn::sleep(std::time::Duration::from_millis(50));
        let each = (bytes() - before) / COUNT;
        let mappings = std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
        eprintln!("{COUNT} parked on {workers} workers: {each} bytes each, {mappings} mappings");
        assert!(each <= EACH, "{each} bytes each");
        assert!(mappings < MAPPINGS, "{mappings} mappings");
        drop(open);
        until("all have answered", || answers.load(SeqCst) == COUNT * (COUNT - 1) / 2);
    });
}

#[test]
fn parked_green_threads_cost_little_more_than_a_page() {
    let test = "parked_green_threads_cost_little_more_than_a_page";
    if !is_child(test) {
        let output = child(test, test);
        assert!(output.status.success(), "{:?}: {}", output.status, stderr(&output));
        return eprint!("{}", stderr(&output));
    }
    park_them(2);
}
