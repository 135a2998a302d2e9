//! Runtimes start and end without leaving an OS thread, memory, a mapping or a value behind.
//!
//! The tests count resources of the process, so each runs in a process of its own.

#![cfg(target_os = "linux")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use kahn::channel::bounded;
use support::{Counter, child, is_child, runtime, stderr, until};

fn alone(test: &str, part: fn()) {
    if is_child(test) {
        return part();
    }
    let output = child(test, test);
    assert!(output.status.success(), "{:?}: {}", output.status, stderr(&output));
}

fn os_threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Returns how many OS threads lend their identity as a home that travels.
fn os_threads_of_homes() -> usize {
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.contains("-home-"))
        .count()
}

fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

fn resident_kb() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A bit of everything, part of it unfinished at the end.
fn live_and_leave(workers: usize, counter: &Counter) {
    let runtime = runtime(workers);
    runtime.run(|| {
        let (tx, rx) = bounded(1);
        let handles: Vec<_> = (0..200)
            .map(|i| {
                let (counted, tx) = (counter.make(), tx.clone());
                kahn::spawn(move || {
                    if i % 20 == 0 {
                        kahn::blocking(|| ());
                    }
                    kahn::sleep(Duration::from_micros(i * 5));
                    tx.send(counted).unwrap();
                    if i % 10 == 0 {
                        std::panic::resume_unwind(Box::new("on purpose"));
                    }
                })
            })
            .collect();
        drop(tx);
        assert_eq!(rx.iter().count(), 200);
        handles.into_iter().for_each(|handle| drop(handle.join()));
        // Left parked, running on a timer, and never started.
        for i in 0..300 {
            let counted = counter.make();
            drop(kahn::spawn(move || {
                let _counted = counted;
                match i % 3 {
                    0 => kahn::thread::park(),
                    1 => kahn::sleep(Duration::from_secs(3600)),
                    _ => drop(kahn::channel::never::<()>().recv().is_ok()),
                }
            }));
        }
    });
    if workers.is_multiple_of(2) {
        runtime.shutdown(Duration::from_secs(60)).unwrap();
    } else {
        drop(runtime);
    }
}

#[test]
fn hundred_runtimes_leave_nothing() {
    alone("hundred_runtimes_leave_nothing", || {
        let counter = Counter::new();
        let (mut threads, mut maps, mut kb) = (0, 0, 0);
        for i in 0..150 {
            live_and_leave(1 + i % 4, &counter);
            counter.assert_all_gone();
            if i < 50 {
                // The most that there was after any.
                (threads, maps, kb) =
                    (threads.max(os_threads()), maps.max(mappings()), kb.max(resident_kb()));
            }
        }
        // An OS thread that was joined may be listed for a moment longer.
        until("no more OS threads than before", || os_threads() <= threads);
        // A hundred more: one mapping, or 64 KiB, for each would be a leak. The C library keeps some stacks and arenas.
        assert!(mappings() <= maps + 50, "mappings: {maps}, and now {}", mappings());
        assert!(resident_kb() <= kb + 6400, "resident KiB: {kb}, and now {}", resident_kb());
    });
}

#[test]
fn no_os_thread_outlives_its_runtime() {
    alone("no_os_thread_outlives_its_runtime", || {
        let before = os_threads();
        for workers in support::WORKERS {
            let runtime = runtime(workers);
            runtime.run(|| {
                kahn::scope(|s| {
                    for _ in 0..20 {
                        s.spawn(|| kahn::blocking(|| std::thread::sleep(Duration::from_millis(1))));
                    }
                });
            });
            assert!(os_threads() > before + workers, "the blocking pool had threads");
            runtime.shutdown(Duration::from_secs(60)).unwrap();
            // An OS thread that was joined may be listed for a moment longer.
            until("they are gone", || os_threads() == before);
        }
    });
}

/// Each worker's thread-locals, of std's, are dropped at the end of its runtime.
#[test]
fn thread_locals_of_workers_are_dropped() {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    static MADE: AtomicUsize = AtomicUsize::new(0);
    struct Local;
    impl Local {
        fn new() -> Local {
            ALIVE.fetch_add(1, SeqCst);
            MADE.fetch_add(1, SeqCst);
            Local
        }
    }
    impl Drop for Local {
        fn drop(&mut self) {
            // What can be used here still works.
            kahn::yield_now();
            let (tx, rx) = bounded(1);
            tx.send(7).unwrap();
            assert_eq!(rx.recv(), Ok(7));
            ALIVE.fetch_sub(1, SeqCst);
        }
    }
    thread_local!(static LOCAL: Local = Local::new());
    for workers in support::WORKERS {
        let runtime = runtime(workers);
        runtime.run(|| {
            kahn::scope(|s| {
                for _ in 0..50 {
                    s.spawn(|| {
                        kahn::yield_now();
                        LOCAL.with(|_| ());
                        kahn::sleep(Duration::from_micros(100));
                    });
                }
            });
        });
        assert!(ALIVE.load(SeqCst) > 0);
        runtime.shutdown(Duration::from_secs(60)).unwrap();
        assert_eq!(ALIVE.load(SeqCst), 0, "of {}", MADE.load(SeqCst));
    }
}

/// A runtime that lives long and does much keeps no memory for what has ended, but for stacks to be used again: at
/// most as many on each of its workers as were ever parked at once, if now the one and now the other had them all.
#[test]
fn waves_of_green_threads_leave_a_plateau() {
    const WAVE: usize = 3000;
    const WORKERS: usize = 2;
    /// A page, and what its page table takes, and the cell.
    const STACK_KB: usize = 5;
    alone("waves_of_green_threads_leave_a_plateau", || {
        let runtime = runtime(WORKERS);
        let counter = Counter::new();
        let (mut kb, mut maps) = (0, 0);
        for wave in 0..100 {
            runtime.run(|| {
                let (open, gate) = bounded::<()>(0);
                for _ in 0..WAVE {
                    let (gate, counted) = (gate.clone(), counter.make());
                    drop(kahn::spawn(move || {
                        let _counted = counted;
                        let _ = gate.recv();
                    }));
                }
                kahn::yield_now();
                drop(open);
                until("the wave is over", || counter.alive() == 0);
            });
            if wave == 0 {
                (kb, maps) = (resident_kb(), mappings());
            }
        }
        // A tenth of the stacks lost in each wave would be five times as much.
        let most = kb + WORKERS * WAVE * STACK_KB;
        assert!(resident_kb() <= most, "resident KiB: {kb}, and now {}", resident_kb());
        // A home that travels is started when it is needed, with a stack, its guard, and perhaps an arena of the allocator.
        let homes = if runtime.homes() == kahn::runtime::Homes::Travelling { 8 * WORKERS } else { 0 };
        assert!(mappings() <= maps + 8 + 4 * homes, "mappings: {maps}, and now {}", mappings());
    });
}

/// What was spawned and never started is dropped at the shutdown, wherever it was queued.
#[test]
fn captures_of_unstarted_threads_are_dropped() {
    for workers in support::WORKERS {
        for _ in 0..support::rounds(20) {
            let counter = Counter::new();
            let runtime = runtime(workers);
            for _ in 0..200 {
                let counted = counter.make();
                drop(runtime.spawn(move || {
                    let inner = kahn::spawn(move || drop(counted));
                    drop(inner);
                    kahn::thread::park();
                }));
            }
            runtime.shutdown(Duration::from_secs(60)).unwrap();
            counter.assert_all_gone();
        }
    }
}

/// The OS gives some of the worker threads and refuses the next: those that were started end, at once.
#[test]
fn failed_start_leaves_no_os_thread() {
    const TEST: &str = "failed_start_leaves_no_os_thread";
    if !is_child(TEST) {
        let mut command = support::child_command(TEST, TEST);
        // So much address space for the stack of a thread that is refused is left for everything else.
        command.env("RUST_MIN_STACK", (256_usize << 20).to_string());
        let output = support::output_of(command);
        assert!(output.status.success(), "{:?}: {}", output.status, stderr(&output));
        return;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find(|line| line.starts_with("VmSize:")).unwrap();
    let size_kb: u64 = size.split_whitespace().nth(1).unwrap().parse().unwrap();
    let limit = libc::rlimit { rlim_cur: (size_kb << 10) + (1 << 30), rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the limit is a valid structure.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    let before = os_threads();
    let start = std::time::Instant::now();
    for _ in 0..20 {
        let error = kahn::Runtime::builder().workers(64).build().unwrap_err();
        assert_ne!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert_eq!(os_threads(), before);
    }
    // Not two seconds each, after which a shutdown gives up.
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(support::runtime(1).run(|| kahn::spawn(|| 7).join().unwrap()), 7);
}

/// Green threads that park while they unwind, many more at once than their bookkeeping has room for: it stays as it
/// is, and takes one OS thread in all.
#[test]
fn many_threads_parked_in_an_unwind_leave_nothing() {
    alone("many_threads_parked_in_an_unwind_leave_nothing", || {
        const MANY: usize = 5_000;
        /// What the tokens take, and room for what the allocator does. A stack each would be four times as much.
        const ROOM_KB: usize = 10 << 10;
        let wave = |runtime: &kahn::Runtime, unwinds: bool| {
            static PARKED: AtomicUsize = AtomicUsize::new(0);
            PARKED.store(0, SeqCst);
            let (open, gate) = bounded::<()>(0);
            let handles: Vec<_> = (0..MANY)
                .map(|_| {
                    let gate = gate.clone();
                    runtime.spawn(move || {
                        let _parks = support::OnDrop(|| {
                            assert_eq!(std::thread::panicking(), unwinds);
                            PARKED.fetch_add(1, SeqCst);
                            let _ = gate.recv();
                            assert_eq!(std::thread::panicking(), unwinds);
                        });
                        if unwinds {
                            std::panic::resume_unwind(Box::new(()));
                        }
                    })
                })
                .collect();
            until("all are parked", || PARKED.load(SeqCst) == MANY);
            // Homes that travel are started as they are needed.
            let threads = os_threads() - os_threads_of_homes();
            drop(open);
            handles.into_iter().for_each(|handle| assert_eq!(handle.join().is_err(), unwinds));
            threads
        };
        let runtime = runtime(2);
        let threads = wave(&runtime, false);
        let kb = resident_kb();
        for _ in 0..3 {
            assert!(wave(&runtime, true) <= threads + 1);
        }
        assert!(resident_kb() <= kb + ROOM_KB, "resident KiB: {kb}, and now {}", resident_kb());
    });
}
