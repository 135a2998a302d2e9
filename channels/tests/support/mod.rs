//! Where the threads of a scenario run, and how long it may take. A scenario is a `fn(&World)`, so the same
//! scenario can run on OS threads, on green threads, and on both mixed.

#![allow(dead_code, reason = "each test file uses a part")]

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

#[cfg(not(any(kahn_threads, miri)))]
#[path = "green_and_os.rs"]
mod worlds;
#[cfg(any(kahn_threads, miri))]
#[path = "os_alone.rs"]
mod worlds;

#[allow(unused_imports, reason = "each test file uses a part")]
pub use worlds::{Handle, WORLDS, World};

/// Runs a scenario in every world. Fails if it does not end.
pub fn everywhere(scenario: fn(&World)) {
    for world in WORLDS {
        eprintln!("in the world of {world:?}");
        within_a_minute(move || world.run(scenario));
    }
}

fn within_a_minute(scenario: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let runner = thread::spawn(move || {
        scenario();
        let _ = done.send(());
    });
    match ended.recv_timeout(Duration::from_secs(if cfg!(miri) { 600 } else { 60 })) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the scenario hangs"),
        _ => runner.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

/// Waits until a condition holds that another thread brings about.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(30), "never happened: {what}");
        worlds::yield_now();
    }
}

/// How often to repeat: `full`, or a hundredth of it under Miri.
pub fn times(full: usize) -> usize {
    if cfg!(miri) { (full / 100).clamp(2, 30) } else { full }
}
