//! Green threads that a shutdown leaks because they do not unwind in time. Joins of them return, at any time.
//! Values that are borrowed from their stacks stay in place.

mod support;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kahn::thread::JoinHandle;
use kahn::{Runtime, channel::bounded};
use support::{Counter, OnDrop, WORKERS, rounds, runtime, until, within};

const SOON: Duration = Duration::from_millis(5);

/// What holds up an OS thread, until it is let go.
struct Gate {
    arrived: mpsc::Receiver<()>,
    open: mpsc::Sender<()>,
}

impl Gate {
    /// The gate, and what passes through it.
    fn new() -> (Gate, impl FnOnce() + Send + 'static) {
        let ((arrive, arrived), (open, is_open)) = (mpsc::channel(), mpsc::channel());
        let pass = move || {
            arrive.send(()).unwrap();
            is_open.recv().unwrap();
        };
        (Gate { arrived, open }, pass)
    }

    fn until_reached(&self) {
        self.arrived.recv().unwrap();
    }

    fn open(self) {
        self.open.send(()).unwrap();
    }
}

#[track_caller]
fn assert_given_up<T: std::fmt::Debug>(handle: JoinHandle<T>) {
    assert!(handle.is_finished());
    assert!(handle.join().unwrap_err().is_cancelled());
}

/// In a blocking call; in a destructor that never comes to an end; in a scope that waits for such a child, which
/// does. The joiner comes later, or waits already: on an OS thread, and in another runtime.
#[test]
fn join_of_a_leaked_thread_returns() {
    for (workers, waits) in WORKERS.into_iter().flat_map(|workers| [(workers, false), (workers, true)]) {
        within(&format!("{workers} workers, waiting: {waits}"), || {
            let (ours, other) = (runtime(workers), runtime(1));
            let (gate, pass) = Gate::new();
            let (scope_gate, scope_pass) = Gate::new();
            let (started, is_started) = bounded(3);
            let blocked = ours.spawn(move || kahn::blocking(pass));
            let scoped = ours.spawn(move || kahn::scope(|s| _ = s.spawn(|| kahn::blocking(scope_pass))));
            let endless = ours.spawn(move || {
                let _endless = OnDrop(|| kahn::sleep(Duration::MAX));
                started.send(()).unwrap();
                kahn::sleep(Duration::MAX);
            });
            gate.until_reached();
            scope_gate.until_reached();
            is_started.recv().unwrap();
            let handles = [blocked, scoped, endless];
            if waits {
                let [blocked, scoped, endless] = handles;
                let joiners = (
                    std::thread::spawn(move || blocked.join().map_err(|error| error.is_cancelled())),
                    other.spawn(move || scoped.join().map_err(|error| error.is_cancelled())),
                    other.spawn(move || endless.join().map_err(|error| error.is_cancelled())),
                );
                // Mostly they wait by then; it is to be right in any case.
                dawdle();
                assert!(ours.shutdown(SOON).is_err());
                assert_eq!(joiners.0.join().unwrap(), Err(true));
                assert_eq!(joiners.1.join().unwrap(), Err(true));
                assert_eq!(joiners.2.join().unwrap(), Err(true));
            } else {
                assert!(ours.shutdown(SOON).unwrap_err().count() >= 3);
                handles.into_iter().for_each(assert_given_up);
            }
            gate.open();
            scope_gate.open();
        });
    }
}

fn dawdle() {
    std::thread::sleep(Duration::from_millis(1));
}

/// One that runs is not given up: its value comes. What it parks for later is.
#[test]
fn join_waits_for_a_thread_that_runs_on() {
    for workers in WORKERS {
        within(&format!("{workers} workers"), || {
            let runtime = runtime(workers);
            let ((gate, pass), (other_gate, other_pass)) = (Gate::new(), Gate::new());
            let runs = runtime.spawn(move || {
                kahn::yield_now();
                pass();
                7
            });
            let parks = (workers > 1).then(|| {
                runtime.spawn(move || {
                    kahn::yield_now();
                    other_pass();
                    // Unwinds, and does not come to an end in that.
                    let _endless = OnDrop(|| kahn::sleep(Duration::MAX));
                    kahn::sleep(Duration::MAX);
                })
            });
            gate.until_reached();
            parks.iter().for_each(|_| other_gate.until_reached());
            assert!(runtime.shutdown(SOON).is_err());
            assert!(!runs.is_finished() && parks.iter().all(|parks| !parks.is_finished()));
            gate.open();
            assert_eq!(runs.join().unwrap(), 7);
            if let Some(parks) = parks {
                other_gate.open();
                assert!(parks.join().unwrap_err().is_cancelled());
            }
        });
    }
}

/// All workers are stuck: what is parked there, what has not started, and what has no stack is given up at once. When
/// the workers go on, they unwind it, and drop what it has captured.
#[test]
fn threads_behind_a_stuck_worker_are_given_up() {
    for workers in WORKERS {
        within(&format!("{workers} workers"), || {
            let runtime = runtime(workers);
            let counter = Counter::new();
            let (started, is_started) = bounded(workers);
            let parked: Vec<_> = (0..workers)
                .map(|_| {
                    let (counted, started) = (counter.make(), started.clone());
                    runtime.spawn(move || {
                        let _counted = counted;
                        started.send(()).unwrap();
                        kahn::sleep(Duration::MAX);
                    })
                })
                .collect();
            is_started.iter().take(workers).for_each(drop);
            let (tx, rx) = bounded::<u32>(1);
            let served = runtime.run({
                let counted = counter.make();
                move || {
                    kahn::serve(rx, move |_| {
                        let _ = &counted;
                    })
                }
            });
            let gates: Vec<_> = (0..workers)
                .map(|_| {
                    let (gate, pass) = Gate::new();
                    drop(runtime.spawn(pass));
                    gate
                })
                .collect();
            gates.iter().for_each(Gate::until_reached);
            let fresh: Vec<_> = (0..3)
                .map(|_| {
                    let counted = counter.make();
                    runtime.spawn(move || drop(counted))
                })
                .collect();
            assert!(runtime.shutdown(SOON).is_err());
            parked.into_iter().chain([served]).chain(fresh).for_each(assert_given_up);
            drop(tx);
            gates.into_iter().for_each(Gate::open);
            until("all is dropped", || counter.alive() == 0);
        });
    }
}

/// The stack of one that was given up is borrowed from: by a child, and by a call on an OS thread. Both go on.
#[test]
fn values_borrowed_from_a_leaked_stack_stay() {
    for _ in 0..rounds(20) {
        within("the borrowers", || {
            let runtime = runtime(2);
            let ((gate, pass), (other_gate, other_pass)) = (Gate::new(), Gate::new());
            let (sums, sum) = mpsc::channel();
            let (child_sums, child_sum) = mpsc::channel();
            let handle = runtime.spawn(move || {
                let mut numbers = [1_u64; 1000];
                let child_numbers = [2_u64; 1000];
                kahn::scope(|s| {
                    s.spawn(|| {
                        kahn::blocking(|| {
                            other_pass();
                            child_sums.send(child_numbers.iter().sum::<u64>()).unwrap();
                        });
                    });
                    kahn::blocking(|| {
                        pass();
                        numbers.iter_mut().for_each(|n| *n += 2);
                        sums.send(numbers.iter().sum::<u64>()).unwrap();
                    });
                });
            });
            gate.until_reached();
            other_gate.until_reached();
            assert!(runtime.shutdown(SOON).is_err());
            assert_given_up(handle);
            // Stacks are made and used meanwhile.
            kahn::run(|| {
                let others: Vec<_> = (0..200)
                    .map(|_| {
                        kahn::spawn(|| {
                            let noise = [0xAA_u8; 10_000];
                            kahn::yield_now();
                            std::hint::black_box(&noise);
                        })
                    })
                    .collect();
                others.into_iter().for_each(|other| other.join().unwrap());
            });
            gate.open();
            other_gate.open();
            assert_eq!((sum.recv().unwrap(), child_sum.recv().unwrap()), (3000, 2000));
        });
    }
}

/// A shutdown gives up green threads while they end and are joined.
#[test]
fn giving_up_races_with_the_end() {
    for round in 0..rounds(300) {
        within("the races", || {
            let runtime = Runtime::builder().workers(1 + round % 3).build().unwrap();
            let (left, counter) = (Arc::new(AtomicBool::new(false)), Counter::new());
            let handles: Vec<_> = (0..4)
                .map(|i| {
                    let (left, counted) = (left.clone(), counter.make());
                    runtime.spawn(move || {
                        kahn::blocking(|| while !left.load(SeqCst) {});
                        (i, counted)
                    })
                })
                .collect();
            let joiner = std::thread::spawn(move || {
                for (i, handle) in handles.into_iter().enumerate() {
                    match handle.join() {
                        Ok((value, _)) => assert_eq!(value, i),
                        Err(error) => assert!(error.is_cancelled()),
                    }
                }
            });
            let opener = std::thread::spawn(move || left.store(true, SeqCst));
            let all = runtime.shutdown(Duration::from_micros(round as u64));
            joiner.join().unwrap();
            opener.join().unwrap();
            if all.is_ok() {
                assert!(counter.alive() == 0);
            }
        });
    }
}

/// A thread-local of a worker, lent to a blocking call, or to a scope's child on another worker: it is there as long
/// as they are.
#[test]
fn thread_locals_borrowed_from_a_worker_stay() {
    struct Value(AtomicBool, OnceLock<mpsc::Sender<()>>);
    impl Drop for Value {
        fn drop(&mut self) {
            self.0.store(false, SeqCst);
            let _ = self.1.get().unwrap().send(());
        }
    }
    thread_local! {
        static LENT: Value = const { Value(AtomicBool::new(true), OnceLock::new()) };
    }
    for in_scope in [false, true] {
        within(&format!("in a scope: {in_scope}"), || {
            let ours = runtime(2);
            let (gate, pass) = Gate::new();
            let (said, says) = mpsc::channel();
            let (dropped, drops) = mpsc::channel();
            let lend = move || {
                LENT.with(|value| {
                    value.1.set(dropped).unwrap();
                    let look = || {
                        pass();
                        said.send(value.0.load(SeqCst)).unwrap();
                    };
                    if in_scope {
                        kahn::scope(|s| _ = s.spawn(|| kahn::blocking(look)));
                    } else {
                        kahn::blocking(look);
                    }
                });
            };
            let lender = ours.spawn(lend);
            gate.until_reached();
            assert!(ours.shutdown(SOON).is_err());
            assert_given_up(lender);
            // The workers leave now. That one of them stays cannot be waited for, only that it does not go.
            assert_eq!(drops.recv_timeout(20 * SOON), Err(mpsc::RecvTimeoutError::Timeout));
            gate.open();
            assert!(says.recv().unwrap(), "the thread-local was dropped");
        });
    }
}
