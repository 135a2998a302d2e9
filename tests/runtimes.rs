//! Many runtimes in one process, and runtimes that end in unusual places.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use kahn::Runtime;
use kahn::channel::bounded;
use kahn::runtime::Homes;
use support::{Counted, Counter, rounds, runtime, until, within};

/// A ring through several runtimes and an OS thread in between.
#[test]
fn ring_through_many_runtimes() {
    within("the ring", || {
        let runtimes: Vec<_> = support::WORKERS.iter().map(|&workers| runtime(workers)).collect();
        for cap in [0, 1, 5] {
            let (first, mut last) = bounded::<usize>(cap);
            let mut handles = Vec::new();
            for i in 0..12 {
                let (tx, rx) = bounded(cap);
                let before = std::mem::replace(&mut last, rx);
                handles
                    .push(runtimes[i % 4].spawn(move || before.iter().for_each(|n| tx.send(n + 1).unwrap())));
            }
            let count = rounds(500);
            let feeder = std::thread::spawn(move || (0..count).for_each(|n| first.send(n).unwrap()));
            for n in 0..count {
                assert_eq!(last.recv(), Ok(n + 12));
            }
            feeder.join().unwrap();
            handles.into_iter().for_each(|handle| handle.join().unwrap());
        }
    });
}

#[test]
fn runtimes_start_and_end_at_once() {
    within("the starts and ends", || {
        let threads: Vec<_> = (0..4_usize)
            .map(|seed| {
                std::thread::spawn(move || {
                    for i in 0..rounds(30) {
                        let runtime = runtime(1 + (seed + i) % 3);
                        let sum = runtime.run(|| {
                            let handles: Vec<_> = (0..20).map(|n| kahn::spawn(move || n)).collect();
                            handles.into_iter().map(|handle| handle.join().unwrap()).sum::<usize>()
                        });
                        assert_eq!(sum, 190);
                        if i % 2 == 0 {
                            runtime.shutdown(Duration::from_secs(60)).unwrap();
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn runtime_can_be_dropped_inside_its_own_green_thread() {
    for workers in support::WORKERS {
        within(&format!("{workers} workers"), || {
            for _ in 0..rounds(20) {
                let counter = Counter::new();
                let runtime = runtime(workers);
                let (give, get) = std::sync::mpsc::channel::<Runtime>();
                let (ended, is_ended) = std::sync::mpsc::channel();
                let (counted, other) = (counter.make(), counter.make());
                drop(runtime.spawn(move || {
                    let _other = other;
                    kahn::thread::park();
                }));
                let handle = runtime.spawn(move || {
                    let _counted = counted;
                    let own = get.recv().unwrap();
                    drop(own);
                    ended.send(()).unwrap();
                    // From here on every park unwinds.
                    kahn::thread::park();
                });
                give.send(runtime).unwrap();
                is_ended.recv().unwrap();
                assert!(handle.join().unwrap_err().is_cancelled());
                until("all are gone", || counter.alive() == 0);
            }
        });
    }
}

#[test]
fn runtime_can_be_dropped_inside_another_runtime() {
    for workers in support::WORKERS {
        within(&format!("{workers} workers"), || {
            let outer = runtime(workers);
            for _ in 0..rounds(10) {
                let counter = Counter::new();
                let inner = runtime(2);
                for _ in 0..20 {
                    let counted = counter.make();
                    drop(inner.spawn(move || {
                        let _counted = counted;
                        kahn::thread::park();
                    }));
                }
                outer.run(move || drop(inner));
                counter.assert_all_gone();
            }
        });
    }
}

#[test]
fn runtime_can_be_dropped_in_a_destructor_of_a_thread_local() {
    thread_local! {
        static KEPT: std::cell::RefCell<Option<Runtime>> = const { std::cell::RefCell::new(None) };
    }
    within("an OS thread", || {
        let counter = Counter::new();
        let kept = counter.clone();
        let keeper = std::thread::spawn(move || {
            let runtime = runtime(2);
            let counted = kept.make();
            drop(runtime.spawn(move || {
                let _counted = counted;
                kahn::thread::park();
            }));
            KEPT.set(Some(runtime));
        });
        keeper.join().unwrap();
        counter.assert_all_gone();
    });
    within("a worker of another", || {
        let counter = Counter::new();
        let outer = runtime(1);
        let inner = runtime(2);
        let counted = counter.make();
        drop(inner.spawn(move || {
            let _counted = counted;
            kahn::thread::park();
        }));
        outer.run(|| KEPT.set(Some(inner)));
        outer.shutdown(Duration::from_secs(60)).unwrap();
        counter.assert_all_gone();
    });
}

/// `run` may borrow from its caller, and several may run at once in one runtime.
#[test]
fn run_can_be_called_from_many_os_threads_at_once() {
    for workers in support::WORKERS {
        within(&format!("{workers} workers"), || {
            let runtime = runtime(workers);
            let total = AtomicUsize::new(0);
            std::thread::scope(|s| {
                for i in 0..4 {
                    let (runtime, total) = (&runtime, &total);
                    s.spawn(move || {
                        for _ in 0..rounds(100) {
                            let own = [i; 3];
                            let sum: usize = runtime.run(|| {
                                let (tx, rx) = bounded(0);
                                kahn::scope(|s| {
                                    s.spawn(|| own.iter().for_each(|n| tx.send(*n).unwrap()));
                                    (0..3).map(|_| rx.recv().unwrap()).sum()
                                })
                            });
                            total.fetch_add(sum, SeqCst);
                        }
                    });
                }
            });
            assert_eq!(total.into_inner(), rounds(100) * 3 * 6);
        });
    }
}

/// Wake-ups of green threads that end, by OS threads that know nothing of it, while their runtime shuts down.
#[test]
fn shutdown_races_with_wake_ups() {
    within("the shutdowns", || {
        for i in 0..rounds(150) {
            let counter = Counter::new();
            let runtime = runtime(1 + i % 3);
            let (tx, rx) = bounded::<usize>(i % 2);
            let parked: Vec<_> = (0..10)
                .map(|_| {
                    let (rx, counted) = (rx.clone(), counter.make());
                    runtime.spawn(move || {
                        let _counted = counted;
                        while rx.recv().is_ok() {}
                        kahn::thread::park();
                    })
                })
                .collect();
            drop(rx);
            let threads: Vec<_> = parked.iter().map(|handle| handle.thread().clone()).collect();
            let waker = std::thread::spawn(move || {
                for n in 0.. {
                    threads[n % 10].unpark();
                    if tx.send(n).is_err() {
                        break;
                    }
                }
            });
            runtime.shutdown(Duration::from_secs(60)).unwrap();
            waker.join().unwrap();
            for handle in parked {
                let ended = handle.join();
                assert!(ended.is_ok() || ended.unwrap_err().is_cancelled());
            }
            counter.assert_all_gone();
        }
    });
}

/// A shutdown names the green threads that were left. They end later, if they can.
#[test]
fn shutdown_names_leaked_green_threads() {
    within("the shutdown", || {
        let runtime = runtime(1);
        let (go_on, gate) = std::sync::mpsc::channel::<()>();
        let (arrived, arrival) = std::sync::mpsc::channel();
        let handle = runtime.run(move || {
            kahn::thread::Builder::new()
                .name("stubborn".into())
                .spawn(move || {
                    kahn::yield_now();
                    arrived.send(()).unwrap();
                    let _ = gate.recv();
                })
                .unwrap()
        });
        arrival.recv().unwrap();
        let error = runtime.shutdown(Duration::from_millis(5)).unwrap_err();
        assert_eq!((error.count(), error.names()), (1, &["stubborn".to_owned()][..]));
        assert!(error.to_string().contains("stubborn"), "{error}");
        go_on.send(()).unwrap();
        handle.join().unwrap();
    });
}

/// Returns the name of the OS thread that runs the caller. In a home that travels, `std` has the name of the home.
fn kernel_thread_name() -> String {
    std::fs::read_to_string("/proc/thread-self/comm").map_or_else(
        |_| std::thread::current().name().expect("a worker has a name").to_owned(),
        |name| name.trim_end().to_owned(),
    )
}

/// Also those that run and have never parked, whether they have a name or not.
#[test]
fn shutdown_counts_and_names_green_threads_that_never_park() {
    within("the shutdown", || {
        let runtime = runtime(2);
        let stop = Arc::new(AtomicBool::new(false));
        let (arrived, arrival) = std::sync::mpsc::channel();
        let spin = || {
            let (arrived, stop) = (arrived.clone(), stop.clone());
            move || {
                arrived.send(kernel_thread_name()).unwrap();
                while !stop.load(SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        };
        let mut handles = Vec::new();
        runtime.run(|| {
            handles.push(kahn::thread::Builder::new().name("spins".into()).spawn(spin()).unwrap());
        });
        handles.extend((1..runtime.workers()).map(|_| runtime.spawn(spin())));
        // Each has a worker for itself.
        let mut busy: Vec<_> = handles.iter().map(|_| arrival.recv().unwrap()).collect();
        let error = runtime.shutdown(Duration::from_millis(5)).unwrap_err();
        busy.sort();
        let mut threads = error.threads().to_vec();
        threads.sort();
        stop.store(true, SeqCst);
        assert_eq!((error.names(), threads), (&["spins".to_owned()][..], busy), "{error}");
        assert_eq!(error.count(), handles.len(), "{error}");
        handles.into_iter().for_each(|handle| handle.join().unwrap());
    });
}

/// The default runtime, which serves OS threads that are in none.
#[test]
fn default_runtime_serves_all_os_threads() {
    within("the default runtime", || {
        let sum = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..4)
            .map(|i| {
                let sum = sum.clone();
                std::thread::spawn(move || {
                    for _ in 0..rounds(50) {
                        let add = sum.clone();
                        kahn::spawn(move || {
                            assert!(kahn::thread::is_green());
                            kahn::yield_now();
                            add.fetch_add(i, SeqCst);
                        })
                        .join()
                        .unwrap();
                    }
                    assert!(std::panic::catch_unwind(|| kahn::spawn_local(|| ())).is_err(), "documented");
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(sum.load(SeqCst), rounds(50) * 6);
    });
}

/// How many green threads can run at once, asked inside a runtime, outside of any, and of a runtime.
#[test]
fn number_of_workers_is_as_set() {
    let here = || kahn::thread::available_parallelism().unwrap().get();
    for workers in support::WORKERS {
        let runtime = runtime(workers);
        // `KAHN_WORKERS` overrides what was asked for.
        let count = std::env::var("KAHN_WORKERS").map_or(workers, |text| text.parse().unwrap());
        assert_eq!((runtime.workers(), runtime.run(here)), (count, count));
        assert_eq!(runtime.run(|| kahn::spawn(here).join().unwrap()), count);
    }
    let outside = here();
    kahn::spawn(|| ()).join().unwrap();
    assert_eq!(outside, kahn::spawn(here).join().unwrap(), "before and after the default runtime is started");
    assert_eq!(here(), outside);
}

/// Destructors of thread-locals may take any time. A shutdown does not wait for them for longer than it was told, and
/// says whose they are.
#[test]
fn shutdown_names_the_os_threads_that_are_left() {
    struct WaitsAtTheEnd {
        until: std::sync::mpsc::Receiver<()>,
        _counted: Counted,
    }
    impl Drop for WaitsAtTheEnd {
        fn drop(&mut self) {
            let _ = self.until.recv();
        }
    }
    thread_local! {
        static AT_THE_END: std::cell::RefCell<Option<WaitsAtTheEnd>> = const { std::cell::RefCell::new(None) };
    }
    within("the shutdowns", || {
        for (where_to, named) in [("worker", "slow-worker-"), ("pool", "slow-blocking")] {
            let counter = Counter::new();
            let (let_go, waits) = std::sync::mpsc::channel();
            let runtime = Runtime::builder().workers(1).name("slow").build().unwrap();
            let homes = runtime.homes();
            let value = WaitsAtTheEnd { until: waits, _counted: counter.make() };
            let thread = runtime.run(move || {
                let keep = move || {
                    AT_THE_END.set(Some(value));
                    std::thread::current().name().map(str::to_owned)
                };
                if where_to == "worker" { keep() } else { kahn::blocking(keep) }
            });
            let error = runtime.shutdown(Duration::from_millis(20)).unwrap_err();
            assert_eq!((error.count(), error.names().len()), (0, 0));
            let thread = thread.expect("workers and threads of the pool have a name");
            let named = match (named, homes) {
                ("slow-worker-", Homes::Travelling) => "slow-home-",
                _ => named,
            };
            assert!(thread.starts_with(named), "{thread}");
            assert!(error.to_string().contains(&thread), "{error}");
            assert_eq!(error.threads(), [thread]);
            drop(let_go);
            until("the destructor has run", || counter.alive() == 0);
        }
    });
}

/// Returns how many OS threads of this process have a name that begins so.
#[cfg(target_os = "linux")]
fn os_threads_named(prefix: &str) -> usize {
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|comm| comm.starts_with(prefix))
        .count()
}

/// The shutdown goes on in the background. What belongs to the runtime is given back once: later runtimes do not share it.
#[test]
#[cfg(target_os = "linux")]
fn runtime_that_is_shut_down_on_its_own_worker_ends_once() {
    within("the shutdowns", || {
        for _ in 0..rounds(20) {
            let ended: Vec<_> = (0..4)
                .map(|_| {
                    let runtime = Runtime::builder().workers(2).name("own").build().unwrap();
                    let (give, take) = bounded::<Runtime>(1);
                    let ender = runtime.spawn(move || take.recv().unwrap().shutdown(Duration::from_secs(60)));
                    give.send(runtime).unwrap();
                    ender
                })
                .collect();
            ended.into_iter().for_each(|ender| ender.join().unwrap().unwrap());
            until("the shutdowns are over", || os_threads_named("own-") == 0);
            std::thread::scope(|s| {
                for id in 0..4 {
                    s.spawn(move || {
                        let runtime = runtime(2);
                        let sum: u64 = runtime.run(|| {
                            let tasks: Vec<_> = (0..100)
                                .map(|n| {
                                    kahn::spawn(move || {
                                        kahn::sleep(Duration::from_micros(n % 7));
                                        n * id
                                    })
                                })
                                .collect();
                            tasks.into_iter().map(|task| task.join().unwrap()).sum()
                        });
                        assert_eq!(sum, 4950 * id);
                        runtime.shutdown(Duration::from_secs(60)).unwrap();
                    });
                }
            });
        }
    });
}

/// A thread cannot wait for its own end.
#[test]
#[cfg(target_os = "linux")]
fn runtime_may_be_shut_down_by_a_thread_local_of_its_own_threads() {
    struct Ends(std::sync::mpsc::Receiver<Runtime>);
    impl Drop for Ends {
        fn drop(&mut self) {
            let runtime = self.0.recv().unwrap();
            runtime.shutdown(Duration::from_secs(3600)).unwrap();
        }
    }
    thread_local! {
        static LAST: std::cell::RefCell<Option<Ends>> = const { std::cell::RefCell::new(None) };
    }
    within("the shutdown", || {
        for _ in 0..rounds(5) {
            let runtime = Runtime::builder().workers(2).name("late").build().unwrap();
            let (give, take) = std::sync::mpsc::channel();
            // The home of its own ends, and drops the value, while the runtime is alive.
            let keep = kahn::thread::Builder::new().exclusive_home(true);
            let kept = runtime.run(move || match keep.spawn(move || LAST.set(Some(Ends(take)))) {
                Ok(keeper) => keeper.join().is_ok(),
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
                    false
                }
            });
            if kept {
                give.send(runtime).unwrap();
            }
            until("all threads have ended", || os_threads_named("late-") == 0);
        }
    });
}
