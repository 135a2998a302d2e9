//! Deadlocks: when nothing can wake any green thread, `run` ends with a report of the waiting threads.
//!
//! Whether anything can wake a green thread depends on the whole process, so each test runs in a process of its
//! own.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use kahn::Runtime;
use kahn::channel::{bounded, never};
use kahn::sync::{Barrier, Condvar, Mutex, RwLock, Semaphore, WaitGroup};
use support::{Counter, OnDrop, WORKERS, child, child_command, is_child, runtime, stderr};

/// Runs `part` in a process of its own, where nothing else goes on, and checks that it ends well.
#[track_caller]
fn alone(test: &str, part: fn()) {
    if is_child(test) {
        return part();
    }
    let output = child(test, test);
    assert!(output.status.success(), "{:?}: {}", output.status, stderr(&output));
}

/// The report with which `run` panics.
#[track_caller]
fn report(runtime: &Runtime, f: impl FnOnce() + Send) -> String {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let caught = catch_unwind(AssertUnwindSafe(|| runtime.run(f)));
    std::panic::set_hook(hook);
    *caught.expect_err("it must not end by itself").downcast::<String>().expect("a panic with the report")
}

/// The line of the report for the green thread with this name.
#[track_caller]
fn line<'a>(report: &'a str, name: &str) -> &'a str {
    let mut lines = report.lines().filter(|line| line.split_whitespace().nth(1) == Some(name));
    let found = lines.next().unwrap_or_else(|| panic!("{name} is missing in\n{report}"));
    assert_eq!(lines.next(), None, "twice in\n{report}");
    found
}

fn named(name: &str, f: impl FnOnce() + Send + 'static) {
    let _detached = kahn::thread::Builder::new().name(name.to_owned()).spawn(f).unwrap();
}

#[test]
fn report_names_every_waiter_with_kind_and_line() {
    alone("report_names_every_waiter_with_kind_and_line", || {
        for workers in WORKERS {
            let runtime = runtime(workers);
            let report = report(&runtime, || {
                let (tx, rx) = bounded::<u32>(0);
                let (other_tx, other_rx) = (tx.clone(), never::<u32>());
                let (lock, write) = (Arc::new(Mutex::new(0)), Arc::new(RwLock::new(0)));
                let (condvar, barrier) = (Arc::new(Condvar::new()), Arc::new(Barrier::new(2)));
                let (semaphore, group) = (Arc::new(Semaphore::new(0)), WaitGroup::new());
                std::mem::forget((rx.clone(), lock.lock().unwrap(), write.read().unwrap(), group.clone()));
                drop(rx);
                named("sends", move || tx.send(1).unwrap());
                named("receives", move || _ = other_rx.recv());
                named("selects", move || {
                    kahn::channel::select! {
                        send(other_tx, 1) -> _ => {},
                        recv(never::<()>()) -> _ => {},
                    }
                });
                named("locks", move || drop(lock.lock()));
                named("writes", move || drop(write.write()));
                named("conditions", move || {
                    let mutex = Mutex::new(());
                    drop(condvar.wait(mutex.lock().unwrap()));
                });
                named("barriers", move || _ = barrier.wait());
                named("acquires", move || drop(semaphore.acquire()));
                named("groups", move || group.wait());
                named("parks", || {
                    loop {
                        kahn::thread::park();
                    }
                });
                named("futures", || kahn::block_on(std::future::pending::<()>()));
                named("sleeps", || kahn::sleep(std::time::Duration::MAX));
                named("scopes", || {
                    kahn::scope(|s| {
                        s.spawn(|| kahn::thread::park());
                    });
                });
                kahn::spawn(kahn::thread::park).join().unwrap();
            });
            assert!(report.starts_with("all green threads are asleep"), "{report}");
            for (name, kind) in [
                ("main", "join"),
                ("sends", "send"),
                ("receives", "receive"),
                ("selects", "select"),
                ("locks", "lock"),
                ("writes", "lock"),
                ("conditions", "condition"),
                ("barriers", "barrier"),
                ("acquires", "semaphore"),
                ("groups", "wait group"),
                ("parks", "park"),
                ("futures", "future"),
                ("sleeps", "sleep"),
                ("scopes", "scope"),
            ] {
                let line = line(&report, name);
                assert!(line.contains(&format!(" {kind} ")), "{kind} in {line}");
                assert!(line.contains("tests/deadlock.rs:"), "its line in {line}");
                assert!(line.contains(" ms "), "since when in {line}");
            }
        }
    });
}

/// A task is shown with what it waits for and the line of its spawn; one that is parked, with the line that parks. A server
/// is a task.
#[test]
fn report_names_every_task_with_kind_and_line() {
    alone("report_names_every_task_with_kind_and_line", || {
        for workers in WORKERS {
            let report = report(&runtime(workers), || {
                fn task(name: &str, future: impl Future<Output = ()> + Send + 'static) -> u32 {
                    let line = line!() + 1;
                    drop(kahn::task::Builder::new().name(name.to_owned()).spawn(future).unwrap());
                    line
                }
                let ((tx, rx), (full, _kept)) = (bounded::<u32>(1), bounded::<u32>(0));
                let received = rx.clone();
                task("receives", async move { _ = received.recv_async().await });
                task("sends", async move { _ = full.send_async(1).await });
                task("joins", async { _ = kahn::task::spawn(std::future::pending::<()>()).await });
                let none = Arc::new(Semaphore::new(0));
                task("acquires", async move { drop(none.acquire_async().await) });
                let group = WaitGroup::new();
                std::mem::forget(group.clone());
                task("groups", group.wait_async());
                let (first, once) = kahn::channel::oneshot::<u32>();
                task("once", async move { _ = once.await });
                let (second, casts) = kahn::channel::broadcast::<u32>(1);
                task("casts", async move { _ = casts.recv_async().await });
                let (third, watches) = kahn::channel::watch(0);
                task("watches", async move { _ = watches.changed_async().await });
                let _open = (first, second, third);
                task("futures", std::future::pending());
                task("sleeps", kahn::time::sleep_async(std::time::Duration::MAX));
                task("bounded", async {
                    _ = kahn::time::timeout_async(std::time::Duration::MAX, never::<()>().recv_async()).await;
                });
                task("again", async {
                    // It waits for the last of these, as far as kahn knows.
                    kahn::task::spawn(async {}).await.unwrap();
                    std::future::pending().await
                });
                task("parks", async { kahn::thread::park() });
                let line = task("yields", async {
                    kahn::task::yield_now().await;
                    std::future::pending().await
                });
                let server = kahn::serve(rx, |_| ());
                kahn::thread::Builder::new()
                    .name("line".to_owned() + &line.to_string())
                    .spawn(kahn::thread::park)
                    .unwrap();
                server.join().unwrap();
                drop((tx, _kept));
            });
            let spawn_line = report.split("line").nth(1).unwrap().split_whitespace().next().unwrap();
            for (name, kind) in [
                ("receives", "receive"),
                ("sends", "send"),
                ("joins", "join"),
                ("futures", "future"),
                ("once", "receive"),
                ("casts", "receive"),
                ("watches", "receive"),
                ("acquires", "semaphore"),
                ("groups", "wait group"),
                ("sleeps", "sleep"),
                ("bounded", "receive"),
                ("again", "future"),
                ("yields", "future"),
            ] {
                let line = line(&report, name);
                assert!(line.contains(&format!(" {kind} ")), "{kind} in {line}");
                assert!(line.contains(&format!("tests/deadlock.rs:{spawn_line}:")), "{spawn_line} in {line}");
                assert!(line.contains(" ms "), "since when in {line}");
            }
            let parks = line(&report, "parks");
            assert!(parks.contains(" park ") && !parks.contains(&format!(":{spawn_line}:")), "{parks}");
            // The server and the task that receives wait for the same channel.
            let resource = line(&report, "receives").split_whitespace().nth(3).unwrap().to_owned();
            assert_eq!(report.matches(&resource).count(), 2, "{report}");
        }
    });
}

/// Two that wait for each other's lock are seen to wait for two things; two that wait for one, for the same.
#[test]
fn report_tells_resources_apart() {
    alone("report_tells_resources_apart", || {
        let report = report(&runtime(2), || {
            let locks = Arc::new((Mutex::new(0), Mutex::new(0)));
            let (met, meet) = (Arc::new(Barrier::new(2)), locks.clone());
            let (other, met_too) = (locks.clone(), met.clone());
            named("left", move || {
                let _first = other.0.lock().unwrap();
                met_too.wait();
                let _second = other.1.lock();
            });
            named("right", move || {
                let _first = meet.1.lock().unwrap();
                met.wait();
                let _second = meet.0.lock();
            });
            let _third = kahn::spawn(move || {
                kahn::sleep(std::time::Duration::from_millis(20));
                let _ = locks.0.lock();
            })
            .join();
        });
        let resource = |name| line(&report, name).split_whitespace().nth(3).unwrap().to_owned();
        assert_ne!(resource("left"), resource("right"), "{report}");
        assert_eq!(report.matches(&resource("right")).count(), 2, "{report}");
    });
}

/// What waited unwinds, and the runtime can be used again, and deadlock again.
#[test]
fn deadlocked_threads_unwind_and_the_runtime_is_usable() {
    alone("deadlocked_threads_unwind_and_the_runtime_is_usable", || {
        for workers in WORKERS {
            let runtime = runtime(workers);
            let counter = Counter::new();
            for round in 0..5 {
                let count = counter.clone();
                report(&runtime, move || {
                    for _ in 0..round {
                        let counted = count.make();
                        kahn::spawn(move || {
                            let _counted = counted;
                            kahn::thread::park();
                        });
                    }
                    let _counted = count.make();
                    kahn::sync::WaitGroup::new().clone().wait();
                    let _ = never::<()>().recv();
                });
                support::until("all have unwound", || counter.alive() == 0);
                assert_eq!(runtime.run(|| kahn::spawn(|| 7).join().unwrap()), 7);
            }
        }
    });
}

#[test]
fn handler_is_called_instead_of_the_panic() {
    alone("handler_is_called_instead_of_the_panic", || {
        for workers in WORKERS {
            let calls = Arc::new(AtomicUsize::new(0));
            let (tx, rx) = bounded(1);
            let called = calls.clone();
            let runtime = Runtime::builder()
                .workers(workers)
                .on_deadlock(move |report| {
                    called.fetch_add(1, SeqCst);
                    assert_eq!(report.waiting().len(), 2);
                    assert!(report.waiting().iter().any(|waiting| waiting.name.as_deref() == Some("main")));
                    assert!(report.to_string().contains("tests/deadlock.rs"));
                    // The handler may wake a waiting thread.
                    tx.send(7).unwrap();
                })
                .build()
                .unwrap();
            let value = runtime.run(move || {
                kahn::spawn(|| kahn::thread::park());
                rx.recv().unwrap()
            });
            assert_eq!((value, calls.load(SeqCst)), (7, 1));
        }
    });
}

/// Its panic ends each `run`, and not the process; the next `run` has its guard again.
#[test]
fn panic_in_the_handler_continues_in_the_caller() {
    alone("panic_in_the_handler_continues_in_the_caller", || {
        for workers in WORKERS {
            let runtime = Runtime::builder()
                .workers(workers)
                .on_deadlock(|_| std::panic::resume_unwind(Box::new(7_u8)))
                .build()
                .unwrap();
            let counter = Counter::new();
            let stuck = || {
                let counted = counter.make();
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    runtime.run(move || {
                        let _counted = counted;
                        kahn::spawn(kahn::thread::park).join()
                    })
                }));
                counter.assert_all_gone();
                caught.expect_err("it must not end by itself").downcast::<u8>().map(|payload| *payload)
            };
            for _ in 0..3 {
                assert_eq!(stuck().ok(), Some(7));
            }
            assert_eq!(runtime.run(|| kahn::spawn(|| 7).join().unwrap()), 7);
            // Of several one at least has the payload.
            let both = std::thread::scope(|s| {
                let other =
                    s.spawn(|| catch_unwind(AssertUnwindSafe(|| runtime.run(|| never::<()>().recv()))));
                let this = catch_unwind(AssertUnwindSafe(|| runtime.run(|| never::<()>().recv())));
                [this.unwrap_err(), other.join().unwrap().unwrap_err()]
            });
            assert!(both.iter().all(|payload| payload.is::<u8>() || payload.is::<&str>()), "{workers}");
            assert!(both.iter().any(|payload| payload.is::<u8>()), "{workers}");
        }
    });
}

/// `kahn::run` as such.
#[test]
fn report_comes_whatever_the_main_green_thread_makes_of_its_cancel() {
    alone("report_comes_whatever_the_main_green_thread_makes_of_its_cancel", || {
        let is_report = |report: &str| report.starts_with("all green threads are asleep: deadlock");
        for workers in WORKERS {
            let runtime = runtime(workers);
            let stuck = || catch_unwind(AssertUnwindSafe(kahn::thread::park));
            assert!(is_report(&report(&runtime, || assert!(stuck().is_err()))), "it returns");
            assert!(is_report(&report(&runtime, || stuck().unwrap_or_else(|_| panic!("so")))), "it panics");
            assert!(
                is_report(&report(&runtime, || kahn::scope(|s| drop(s.spawn(stuck))))),
                "a child catches it"
            );
            let hook = std::panic::take_hook();
            std::panic::set_hook(Box::new(|_| {}));
            let dropped = catch_unwind(AssertUnwindSafe(|| {
                runtime.run(|| {
                    let _ = stuck();
                    OnDrop(|| panic!("the value"))
                })
            }));
            std::panic::set_hook(hook);
            assert!(is_report(dropped.err().unwrap().downcast_ref::<String>().unwrap()), "its value panics");
            // A later call has its own result.
            assert_eq!(runtime.run(|| 7), 7);
        }
    });
}

#[test]
fn run_panics_with_the_report() {
    alone("run_panics_with_the_report", || {
        let caught = catch_unwind(|| kahn::run(|| bounded::<()>(0).1.clone().recv().is_ok() || kahn_stuck()));
        let report = *caught.unwrap_err().downcast::<String>().unwrap();
        assert!(report.starts_with("all green threads are asleep"), "{report}");
    });
}

fn kahn_stuck() -> bool {
    kahn::thread::park();
    true
}

/// Two runtimes that wait for each other: nothing can wake either, and both end.
#[test]
fn two_runtimes_may_be_deadlocked_together() {
    alone("two_runtimes_may_be_deadlocked_together", || {
        let (to_one, one) = bounded::<()>(0);
        let (to_other, other) = bounded::<()>(0);
        let left = std::thread::spawn(move || {
            catch_unwind(AssertUnwindSafe(|| {
                runtime(2).run(|| {
                    let _ = one.recv();
                    let _ = to_other.send(());
                })
            }))
        });
        let right = catch_unwind(AssertUnwindSafe(|| {
            runtime(1).run(|| {
                let _ = other.recv();
                let _ = to_one.send(());
            })
        }));
        // The first to be ended drops its ends, which may let the other go.
        let ended = usize::from(left.join().unwrap().is_err()) + usize::from(right.is_err());
        assert!(ended >= 1);
    });
}

/// A green thread waits for an OS thread that waits for the green thread.
#[test]
fn waiting_os_threads_are_part_of_a_deadlock() {
    alone("waiting_os_threads_are_part_of_a_deadlock", || {
        let (tx, rx) = bounded::<()>(0);
        let (never_tx, never_rx) = std::sync::mpsc::channel::<()>();
        let outsider = std::thread::spawn(move || {
            let _ = never_rx.recv();
            drop(tx);
        });
        let report = report(&runtime(2), move || {
            let _ = rx.recv();
        });
        assert!(report.contains(" receive "), "{report}");
        drop(never_tx);
        outsider.join().unwrap();
    });
}

/// Idle threads of the blocking pool wait with a limit, and are no hope.
#[test]
fn idle_blocking_pool_does_not_prevent_the_report() {
    alone("idle_blocking_pool_does_not_prevent_the_report", || {
        let report = report(&runtime(2), || {
            assert_eq!(kahn::blocking(|| 7), 7);
            kahn::thread::park();
        });
        assert!(report.contains(" park "), "{report}");
    });
}

/// All are cancelled at once: no green thread gets what it waits for from the destructors of those that were
/// cancelled before.
#[test]
fn unwinding_threads_wake_no_other_deadlocked_thread() {
    alone("unwinding_threads_wake_no_other_deadlocked_thread", || {
        for _ in 0..5 {
            let text = report(&runtime(2), || {
                let (tx, rx) = bounded::<u32>(0);
                for i in 0..10_000 {
                    // Many, so that some of them run while others have yet to be told.
                    let closes = (i % 100 == 99).then(|| tx.clone()).map(|tx| OnDrop(move || tx.close()));
                    kahn::spawn(move || {
                        let _closes = closes;
                        loop {
                            kahn::thread::park();
                        }
                    });
                }
                assert!(rx.recv().is_err());
            });
            assert!(text.contains("all green threads are asleep"), "{text}");
        }
    });
}

/// A program that starts no runtime of its own has no caller of `run`. The report is printed, and the process exits.
#[test]
fn default_runtime_prints_the_report_and_ends_the_process() {
    const TEST: &str = "default_runtime_prints_the_report_and_ends_the_process";
    type Scenario = (&'static str, fn(), &'static [&'static str]);
    let scenarios: [Scenario; 4] = [
        (
            "receive",
            || {
                let (tx, rx) = bounded::<u32>(0);
                named("holder", move || {
                    let _tx = tx;
                    kahn::thread::park();
                });
                let _ = rx.recv();
            },
            &["(OS thread)", " receive ", "holder", " park "],
        ),
        ("join", || drop(kahn::spawn(kahn::thread::park).join()), &["(OS thread)", " join ", " park "]),
        (
            "several",
            || {
                let (tx, rx) = bounded::<u32>(0);
                let (gate, opens) = bounded::<()>(0);
                kahn::spawn(move || {
                    let _gate = gate;
                    kahn::blocking(|| ());
                    never::<()>().recv()
                });
                let other = std::thread::Builder::new().name("other".into());
                let other = other.spawn(move || drop((opens.recv(), tx))).unwrap();
                let _ = rx.recv();
                other.join().unwrap();
            },
            &["other (OS thread)", " receive "],
        ),
        (
            "lock",
            || {
                let lock = Arc::new(Mutex::new(()));
                let (locked, is_locked) = bounded(0);
                let held = lock.clone();
                named("holds", move || {
                    let _held = held.lock().unwrap();
                    locked.send(()).unwrap();
                    kahn::thread::park();
                });
                is_locked.recv().unwrap();
                drop(lock.lock());
            },
            &["(OS thread)", " lock ", "holds", " park "],
        ),
    ];
    if let Some((_, scenario, _)) = scenarios.iter().find(|(part, ..)| is_child(part)) {
        scenario();
        unreachable!("it must not end by itself");
    }
    for (part, _, says) in scenarios {
        for workers in WORKERS {
            let mut command = child_command(TEST, part);
            command.env("KAHN_WORKERS", workers.to_string());
            let output = support::output_of(command);
            let text = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{part}, {workers} workers: {text}");
            assert!(text.contains("all green threads are asleep"), "{part}: {text}");
            assert_eq!(text.matches("all green threads").count(), 1, "{part}: {text}");
            for piece in says {
                assert!(text.contains(piece), "{part}: {piece} in {text}");
            }
            assert!(text.contains("tests/deadlock.rs:"), "{part}: {text}");
        }
    }
}

/// Main and a child wait for each other, and so do their destructors when the deadlock's cancel unwinds them. `run` cannot
/// return, because it may have lent data to main.
#[test]
fn destructors_that_deadlock_end_the_process_with_both_reports() {
    let name = "destructors_that_deadlock_end_the_process_with_both_reports";
    if is_child(name) {
        for workers in WORKERS {
            runtime(workers).run(|| {
                let (tx, _rx) = bounded::<()>(0);
                let mut child = Some(kahn::spawn(move || {
                    let _send = OnDrop(|| tx.send(()).unwrap());
                    kahn::thread::park();
                }));
                let _join = OnDrop(|| drop(child.take().map(|child| child.join())));
                kahn::thread::park();
            });
        }
        unreachable!("it never returns");
    }
    let output = child(name, name);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let text = stderr(&output);
    assert_eq!(text.matches("all green threads are asleep: deadlock").count(), 2, "{text}");
    assert!(text.contains("their destructors wait for ever"), "{text}");
}

#[test]
fn green_threads_with_a_home_of_their_own_are_part_of_a_deadlock() {
    alone("green_threads_with_a_home_of_their_own_are_part_of_a_deadlock", || {
        let runtime = runtime(2);
        let report = report(&runtime, || {
            let (_keep, never) = bounded::<()>(0);
            let waits = kahn::thread::Builder::new().exclusive_home(true).name("waits".into());
            match waits.spawn(move || never.recv()) {
                Ok(waits) => drop(waits.join()),
                // This system has no homes that travel.
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::Unsupported),
            }
        });
        line(&report, "waits");
    });
}
