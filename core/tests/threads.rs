//! Green threads: spawning, joining, cancelling, parking, scopes, locals, timers.
#![cfg(not(any(kahn_loom, kahn_threads, miri)))]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kahn_core::{Runtime, thread};

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

#[test]
fn run_returns_the_value() {
    for workers in [1, 2, 5] {
        assert_eq!(runtime(workers).run(|| 6 * 7), 42);
    }
}

#[test]
fn many_green_threads_finish() {
    let runtime = runtime(2);
    let count = AtomicUsize::new(0);
    let counter = &count;
    runtime.run(|| {
        kahn_core::scope(|s| {
            for _ in 0..100_000 {
                s.spawn(|| counter.fetch_add(1, Ordering::Relaxed));
            }
        });
    });
    assert_eq!(count.into_inner(), 100_000);
}

#[test]
fn yield_lets_others_run() {
    let runtime = runtime(1);
    runtime.run(|| {
        let turns = Arc::new(AtomicUsize::new(0));
        let handles: Vec<_> = (0..4)
            .map(|_| {
                let turns = turns.clone();
                kahn_core::spawn(move || {
                    for _ in 0..1000 {
                        turns.fetch_add(1, Ordering::Relaxed);
                        thread::yield_now();
                    }
                })
            })
            .collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
        assert_eq!(turns.load(Ordering::Relaxed), 4000);
    });
}

#[test]
fn join_returns_the_panic() {
    let runtime = runtime(2);
    runtime.run(|| {
        let error = kahn_core::spawn(|| std::panic::panic_any(7_u32)).join().map(|()| 0).unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled());
        assert_eq!(*error.into_panic().downcast::<u32>().unwrap(), 7);
    });
}

#[test]
fn panic_of_the_main_green_thread_continues_in_the_caller() {
    let caught = std::panic::catch_unwind(|| runtime(1).run(|| std::panic::panic_any("main")));
    assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "main");
}

#[test]
fn park_consumes_the_token_of_unpark() {
    let runtime = runtime(2);
    runtime.run(|| {
        for _ in 0..1000 {
            let main = thread::current();
            let child = kahn_core::spawn(move || main.unpark());
            thread::park();
            child.join().unwrap();
        }
    });
}

#[test]
fn sleep_lasts_at_least_its_time() {
    let runtime = runtime(2);
    runtime.run(|| {
        let start = Instant::now();
        let handles: Vec<_> = (0..100_u64)
            .map(|i| {
                kahn_core::spawn(move || {
                    let start = Instant::now();
                    kahn_core::sleep(Duration::from_millis(i % 10));
                    assert!(start.elapsed() >= Duration::from_millis(i % 10));
                })
            })
            .collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
        assert!(start.elapsed() >= Duration::from_millis(9));
    });
}

#[test]
fn cancel_unwinds_from_a_park_and_drops_the_values_on_the_stack() {
    struct Dropped(Arc<AtomicUsize>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            // Parks while it unwinds.
            kahn_core::sleep(Duration::from_millis(1));
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let runtime = runtime(2);
    let drops = Arc::new(AtomicUsize::new(0));
    runtime.run(|| {
        for round in 0..200 {
            let dropped = Dropped(drops.clone());
            let handle = kahn_core::spawn(move || {
                let _dropped = dropped;
                kahn_core::sleep(Duration::MAX);
            });
            if round % 2 == 0 {
                thread::yield_now();
            }
            handle.cancel();
            handle.cancel();
            assert!(handle.join().unwrap_err().is_cancelled());
        }
    });
    assert_eq!(drops.load(Ordering::Relaxed), 200);
}

#[test]
fn shutdown_unwinds_parked_green_threads() {
    struct Dropped(Arc<AtomicUsize>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    for workers in [1, 2, 3] {
        let runtime = runtime(workers);
        let drops = Arc::new(AtomicUsize::new(0));
        for _ in 0..1000 {
            let dropped = Dropped(drops.clone());
            runtime.spawn(move || {
                let _dropped = dropped;
                thread::park();
            });
        }
        runtime.shutdown(Duration::from_secs(3)).unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 1000);
    }
}

#[test]
fn shutdown_reports_leaked_green_threads() {
    let runtime = runtime(2);
    let (started, is_started) = std::sync::mpsc::channel();
    let (finish, is_finished) = std::sync::mpsc::channel::<()>();
    let finished = std::sync::Mutex::new(is_finished);
    let handle = runtime.spawn(move || {
        started.send(()).unwrap();
        let _ = finished.lock().unwrap().recv();
    });
    is_started.recv().unwrap();
    let error = runtime.shutdown(Duration::from_millis(10)).unwrap_err();
    assert_eq!(error.count(), 1);
    finish.send(()).unwrap();
    handle.join().unwrap();
}

#[test]
fn each_green_thread_has_its_own_locals() {
    kahn_core::local! {
        static NUMBER: Cell<usize> = Cell::new(0);
    }
    let runtime = runtime(2);
    runtime.run(|| {
        let handles: Vec<_> = (0..100)
            .map(|i| {
                kahn_core::spawn(move || {
                    assert_eq!(NUMBER.get(), 0);
                    NUMBER.set(i);
                    for _ in 0..10 {
                        thread::yield_now();
                        assert_eq!(NUMBER.get(), i);
                    }
                })
            })
            .collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
    });
}

#[test]
fn green_thread_stays_on_its_os_thread() {
    let runtime = runtime(3);
    runtime.run(|| {
        let handles: Vec<_> = (0..200)
            .map(|_| {
                kahn_core::spawn(|| {
                    let local = Rc::new(RefCell::new(Vec::new()));
                    let home = std::thread::current().id();
                    for i in 0..20 {
                        let other = local.clone();
                        match i % 3 {
                            0 => thread::yield_now(),
                            1 => kahn_core::sleep(Duration::from_micros(100)),
                            _ => drop(kahn_core::spawn(|| ()).join()),
                        }
                        other.borrow_mut().push(i);
                        assert_eq!(std::thread::current().id(), home);
                    }
                    assert_eq!(Rc::strong_count(&local), 1);
                })
            })
            .collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
    });
}

#[test]
fn timeout_bounds_every_park() {
    use kahn_core::time::timeout;
    let runtime = runtime(2);
    let check = || {
        let short = Duration::from_millis(2);
        assert!(timeout(short, || kahn_core::sleep(Duration::MAX)).is_err());
        assert_eq!(timeout(Duration::MAX, || 7), Ok(7));
        // The outer one ends first, and the inner one lets it pass.
        let outer = timeout(short, || timeout(Duration::from_secs(100), || kahn_core::sleep(Duration::MAX)));
        assert!(outer.is_err());
        // The inner one ends first.
        let inner = timeout(Duration::from_secs(100), || timeout(short, || kahn_core::sleep(Duration::MAX)));
        assert!(inner.unwrap().is_err());
    };
    runtime.run(check);
    check();
}

#[test]
fn blocking_borrows_from_its_caller() {
    let runtime = runtime(1);
    runtime.run(|| {
        let text = String::from("borrowed");
        assert_eq!(kahn_core::blocking(|| text.len()), 8);
        let caught = std::panic::catch_unwind(|| kahn_core::blocking(|| std::panic::panic_any(3_u8)));
        assert_eq!(*caught.unwrap_err().downcast::<u8>().unwrap(), 3);
        let workers: Vec<_> =
            (0..50_u64).map(|i| kahn_core::spawn(move || kahn_core::blocking(move || i * i))).collect();
        let sum: u64 = workers.into_iter().map(|handle| handle.join().unwrap()).sum();
        assert_eq!(sum, (0..50).map(|i| i * i).sum());
    });
}

/// The OS thread's own waiter, which is a thread-local too, is destroyed before the destructor runs.
#[test]
fn timeout_bounds_a_wait_in_the_destructor_of_a_thread_local_of_an_os_thread() {
    use std::sync::mpsc;

    struct Waits(mpsc::Sender<bool>);
    impl Drop for Waits {
        fn drop(&mut self) {
            let timeout = |f: fn()| kahn_core::time::timeout(Duration::from_millis(1), f).is_err();
            let hour = || kahn_core::sleep(Duration::from_secs(3600));
            let nested = kahn_core::time::timeout(Duration::from_millis(2), || {
                assert!(kahn_core::time::timeout(Duration::from_millis(1), hour).is_err());
                hour();
            });
            self.0.send(timeout(hour) && timeout(hour) && nested.is_err()).unwrap();
        }
    }
    thread_local!(static WAITS: std::cell::RefCell<Option<Waits>> = const { std::cell::RefCell::new(None) });

    for _ in 0..20 {
        let (ended, ends) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            WAITS.set(Some(Waits(ended)));
            kahn_core::sleep(Duration::from_micros(1));
        });
        assert_eq!(ends.recv_timeout(Duration::from_secs(60)), Ok(true));
        thread.join().unwrap();
    }
}
