//! Servers and the detection of deadlocks. A deadlock depends on the whole process, so these tests have one of
//! their own.
#![cfg(not(any(kahn_loom, kahn_threads, miri)))]

use std::time::Duration;

use kahn_channels::{after, bounded, serve};
use kahn_core::Runtime;
use kahn_core::runtime::entry;

/// As in `#[kahn::test]`: the first thread of the harness is known to wake no other thread.
fn run(f: impl FnOnce() + Send) {
    entry::test(Runtime::builder(), f);
}

/// Only a timer can end it, after more time than the detection of a deadlock takes.
#[test]
fn waiting_for_a_timer_is_no_deadlock() {
    run(|| {
        let (tx, rx) = bounded(1);
        let server = serve(after(Duration::from_millis(300)), move |_| tx.send(()).unwrap());
        rx.recv().unwrap();
        server.cancel();
    });
}

#[test]
fn server_that_waits_for_itself_is_a_deadlock() {
    let deadlock = std::panic::catch_unwind(|| {
        run(|| {
            let (tx, rx) = bounded::<u8>(1);
            serve(rx, |_| ()).join().unwrap();
            drop(tx);
        });
    });
    let report = deadlock.unwrap_err().downcast::<String>().unwrap();
    assert!(report.contains("all green threads are asleep"), "{report}");
}
