//! Join, drop and cancel of a handle race with the end of the green thread. Its closure and its output are dropped
//! once.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use support::{Counted, Counter, Random, dawdle, rounds, runtime, until, with_each_size, within};

/// What a green thread of a round does.
fn body(kind: u64, captured: Counted, output: Counted) -> Counted {
    let _captured = captured;
    match kind {
        0 => {}
        1 => kahn::yield_now(),
        2 => kahn::sleep(Duration::from_micros(20)),
        3 => std::panic::resume_unwind(Box::new(output_box(&output))),
        _ => kahn::thread::park(),
    }
    output
}

fn output_box(_: &Counted) -> u8 {
    7
}

#[test]
fn closure_and_output_are_dropped_exactly_once() {
    for seed in 0..4 {
        with_each_size(|| {
            let counter = Counter::new();
            let mut random = Random::new(seed);
            for _ in 0..rounds(400) {
                let (captured, output) = (counter.make(), counter.make());
                let kind = random.below(5);
                let handle = kahn::spawn(move || body(kind, captured, output));
                dawdle(&mut random);
                if kind == 4 {
                    handle.thread().unpark();
                }
                match random.below(5) {
                    0 => drop(handle),
                    1 => handle.cancel(),
                    2 => drop(handle.join()),
                    3 => {
                        handle.cancel();
                        dawdle(&mut random);
                        drop(handle.join());
                    }
                    _ => {
                        let keep = handle.thread().clone();
                        drop(handle);
                        dawdle(&mut random);
                        drop(keep);
                    }
                }
            }
            until("all have ended", || counter.alive() == 0);
        });
    }
}

/// The same, with OS threads and other green threads that join, cancel and drop.
#[test]
fn handles_can_be_used_on_other_threads() {
    for workers in support::WORKERS {
        within(&format!("{workers} workers"), || {
            let runtime = runtime(workers);
            let counter = Counter::new();
            let outsiders: Vec<_> = (0..2)
                .map(|seed| {
                    let (tx, rx) = std::sync::mpsc::sync_channel::<kahn::thread::JoinHandle<Counted>>(4);
                    let outsider = std::thread::spawn(move || {
                        let mut random = Random::new(seed);
                        for handle in rx {
                            for _ in 0..random.below(500) {
                                std::hint::spin_loop();
                            }
                            match random.below(3) {
                                0 => drop(handle),
                                1 => drop(handle.join()),
                                _ => {
                                    handle.cancel();
                                    drop(handle.join());
                                }
                            }
                        }
                    });
                    (tx, outsider)
                })
                .collect();
            let mut random = Random::new(99);
            for i in 0..rounds(2000) {
                let (captured, output) = (counter.make(), counter.make());
                let kind = random.below(4);
                let handle = runtime.spawn(move || body(kind, captured, output));
                outsiders[i % 2].0.send(handle).unwrap();
            }
            for (tx, outsider) in outsiders {
                drop(tx);
                outsider.join().unwrap();
            }
            until("all have ended", || counter.alive() == 0);
        });
    }
}

#[test]
fn thread_cancelled_before_its_start_never_starts() {
    within("one worker", || {
        runtime(1).run(|| {
            let counter = Counter::new();
            let started = Arc::new(AtomicUsize::new(0));
            let handles: Vec<_> = (0..100)
                .map(|_| {
                    let (counted, started) = (counter.make(), started.clone());
                    let handle = kahn::spawn(move || {
                        let _counted = counted;
                        started.fetch_add(1, SeqCst);
                    });
                    handle.cancel();
                    handle
                })
                .collect();
            let begun = started.load(SeqCst);
            for handle in handles {
                let ended = handle.join();
                assert!(ended.is_ok() || ended.unwrap_err().is_cancelled());
            }
            // A spawn may let others run, so a few may have started before their cancel; none after it.
            assert_eq!(started.load(SeqCst), begun);
            counter.assert_all_gone();
        });
    });
}

/// A join that is itself cancelled loses nothing: the green thread runs on, and its output is dropped once.
#[test]
fn cancelled_join_lets_the_joined_thread_run_on() {
    with_each_size(|| {
        let counter = Counter::new();
        let mut random = Random::new(5);
        for _ in 0..rounds(300) {
            let ended = Arc::new(AtomicUsize::new(0));
            let (output, end) = (counter.make(), ended.clone());
            let worker = kahn::spawn(move || {
                kahn::sleep(Duration::from_micros(30));
                end.fetch_add(1, SeqCst);
                output
            });
            let joiner = kahn::spawn(move || drop(worker.join().unwrap()));
            dawdle(&mut random);
            joiner.cancel();
            drop(joiner.join());
            until("the joined one ends", || ended.load(SeqCst) == 1);
        }
        until("all are gone", || counter.alive() == 0);
    });
}

#[test]
fn thread_handle_outlives_its_green_thread() {
    with_each_size(|| {
        let handle = kahn::thread::Builder::new().name("gone".into()).spawn(|| ()).unwrap();
        let thread = handle.thread().clone();
        let id = thread.id();
        handle.join().unwrap();
        for _ in 0..100 {
            thread.unpark();
            drop(thread.clone());
        }
        assert_eq!((thread.name(), thread.id()), (Some("gone"), id));
    });
}

/// Cancels from many sides at once, of a green thread that parks in a loop: it ends once, as cancelled.
#[test]
fn concurrent_cancels_end_a_thread_once() {
    for workers in support::WORKERS {
        within(&format!("{workers} workers"), || {
            let runtime = runtime(workers);
            for _ in 0..rounds(200) {
                let handle = runtime.spawn(|| {
                    loop {
                        kahn::thread::park();
                    }
                });
                let thread = handle.thread().clone();
                std::thread::scope(|s| {
                    for _ in 0..2 {
                        s.spawn(|| handle.cancel());
                        s.spawn(|| thread.unpark());
                    }
                });
                assert!(handle.join().unwrap_err().is_cancelled());
            }
        });
    }
}
