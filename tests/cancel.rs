//! Cancels and time-outs at every kind of park. They end the park, run the destructors, and leave nothing behind.

mod support;
#[path = "support/parks.rs"]
mod parks;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use kahn::channel::bounded;
use kahn::time::timeout;
use parks::parks;
use support::{Counter, OnDrop, Random, WORKERS, dawdle, rounds, runtime, until, with_each_size, within};

/// Spawned beside a caller that is alone on its worker: when it has started, and the caller runs again, it is parked.
fn parked(park: fn(), counter: &Counter) -> kahn::thread::JoinHandle<()> {
    let started = Arc::new(AtomicBool::new(false));
    let (counted, start) = (counter.make(), started.clone());
    let handle = kahn::spawn_local(move || {
        let _counted = counted;
        start.store(true, SeqCst);
        park();
    });
    until("it starts", || started.load(SeqCst));
    handle
}

#[test]
fn cancel_ends_every_park() {
    for workers in [1, 2] {
        runtime(workers).run(|| {
            for (name, park) in parks() {
                within(name, || {
                    let counter = Counter::new();
                    let handle = parked(park, &counter);
                    // What "join" and "scope" have started parks, too.
                    for _ in 0..5 {
                        kahn::yield_now();
                    }
                    assert!(!handle.is_finished(), "{name}: it does not park");
                    handle.cancel();
                    let ended = handle.join();
                    assert!(ended.is_err_and(|error| error.is_cancelled()), "{name}");
                    counter.assert_all_gone();
                });
            }
        });
    }
}

#[test]
fn cancel_before_or_at_any_moment_ends_every_park() {
    for seed in 0..3 {
        with_each_size(|| {
            let mut random = Random::new(seed);
            let counter = Counter::new();
            for _ in 0..rounds(20) {
                for (name, park) in parks() {
                    let counted = counter.make();
                    let handle = kahn::spawn(move || {
                        let _counted = counted;
                        park();
                    });
                    dawdle(&mut random);
                    handle.cancel();
                    assert!(handle.join().is_err_and(|error| error.is_cancelled()), "{name}");
                }
            }
            counter.assert_all_gone();
        });
    }
}

#[test]
fn timeout_ends_every_park() {
    with_each_size(|| {
        for (name, park) in parks() {
            let counter = Counter::new();
            let start = Instant::now();
            let ended = timeout(Duration::from_millis(2), || {
                let _counted = counter.make();
                park();
            });
            assert!(ended.is_err(), "{name}");
            assert!(start.elapsed() >= Duration::from_millis(2), "{name}: too early");
            counter.assert_all_gone();
        }
    });
}

#[test]
fn timeout_ends_every_park_of_an_os_thread() {
    for (name, park) in parks() {
        within(name, || assert!(timeout(Duration::from_millis(2), park).is_err(), "{name}"));
    }
}

#[test]
fn shutdown_ends_every_park() {
    for workers in support::WORKERS {
        within(&format!("{workers} workers"), || {
            for _ in 0..rounds(5) {
                let runtime = runtime(workers);
                let counter = Counter::new();
                let started = Arc::new(AtomicUsize::new(0));
                let all = parks();
                let count = all.len() * 5;
                for (_, park) in all.into_iter().cycle().take(count) {
                    let (counted, start) = (counter.make(), started.clone());
                    drop(runtime.spawn(move || {
                        let _counted = counted;
                        start.fetch_add(1, SeqCst);
                        park();
                    }));
                }
                until("all have started", || started.load(SeqCst) == count);
                runtime.shutdown(Duration::from_secs(60)).unwrap();
                counter.assert_all_gone();
            }
        });
    }
}

/// A green thread that catches the unwind of a cancel is unwound again at its next park, of whatever kind.
#[test]
fn caught_cancel_is_raised_again_at_the_next_park() {
    runtime(2).run(|| {
        for (name, park) in parks() {
            within(name, || {
                let counter = Counter::new();
                let caught = Arc::new(AtomicUsize::new(0));
                let catches = caught.clone();
                let counted = counter.make();
                let handle = kahn::spawn(move || {
                    let _counted = counted;
                    for _ in 0..3 {
                        if catch_unwind(AssertUnwindSafe(park)).is_err() {
                            catches.fetch_add(1, SeqCst);
                        }
                    }
                    park();
                });
                kahn::yield_now();
                handle.cancel();
                assert!(handle.join().is_err_and(|error| error.is_cancelled()), "{name}");
                assert_eq!(caught.load(SeqCst) % 3, 0, "{name}");
                counter.assert_all_gone();
            });
        }
    });
}

/// The same with a time-out, up to where the bound ends.
#[test]
fn caught_time_out_is_raised_again_within_its_timeout() {
    with_each_size(|| {
        for (name, park) in parks() {
            let mut caught = 0;
            let ended = timeout(Duration::from_millis(1), || {
                for _ in 0..3 {
                    caught += usize::from(catch_unwind(AssertUnwindSafe(park)).is_err());
                }
                park();
            });
            assert_eq!((ended.is_err(), caught), (true, 3), "{name}");
            // And no further.
            kahn::sleep(Duration::from_micros(1));
        }
    });
}

/// The unwind of a cancel that was caught in the green thread that was cancelled, and handed to another.
fn caught_cancel() -> Box<dyn Any + Send> {
    let (tx, rx) = kahn::channel::bounded(1);
    let started = Arc::new(AtomicBool::new(false));
    let starts = started.clone();
    let cancelled = kahn::spawn(move || {
        starts.store(true, SeqCst);
        tx.try_send(catch_unwind(|| kahn::sleep(Duration::MAX)).unwrap_err()).unwrap();
    });
    until("it has started", || started.load(SeqCst));
    cancelled.cancel();
    rx.recv().unwrap()
}

/// A caught payload as a message.
struct Unwind(Box<dyn Any + Send>);

/// Resumed in a green thread that was not cancelled, it is a panic, which says so.
#[test]
fn caught_cancel_resumed_elsewhere_is_a_panic() {
    with_each_size(|| {
        let payload = caught_cancel();
        let error = kahn::spawn(move || resume_unwind(payload)).join().unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled(), "{error:?}");
        assert!(error.to_string().contains("in another that was not"), "{error}");
        // In a scope it is a child's failure.
        let payload = caught_cancel();
        let unjoined = catch_unwind(AssertUnwindSafe(|| {
            kahn::scope(|s| {
                s.spawn(move || resume_unwind(payload));
            });
        }));
        assert!(unjoined.is_err(), "the child has failed");
        // In a handler of messages, which has no stack while it waits.
        let (tx, rx) = kahn::channel::bounded(1);
        let server = kahn::serve(rx, |payload: Box<dyn Any + Send>| resume_unwind(payload));
        tx.send(caught_cancel()).unwrap();
        assert!(server.join().unwrap_err().is_panic());
        // In an actor it is a panic of that actor.
        let actor = kahn::actor::Builder::new().spawn_loop(|mailbox: &mut kahn::actor::Mailbox<Unwind>| {
            let Ok(Unwind(payload)) = mailbox.recv() else { return Ok(()) };
            resume_unwind(payload)
        });
        actor.tell(Unwind(caught_cancel())).unwrap();
        let reason = actor.join();
        assert!(matches!(reason, kahn::actor::ExitReason::Panicked { .. }), "{reason:?}");
        // One that was cancelled ends as such, whatever it resumes.
        let payload = caught_cancel();
        let own = kahn::spawn(move || {
            let _ = catch_unwind(|| kahn::sleep(Duration::MAX));
            resume_unwind(payload)
        });
        own.cancel();
        assert!(own.join().unwrap_err().is_cancelled());
    });
}

/// The unwind of a time-out that was caught, and is kept.
fn caught_time_out() -> Box<dyn Any + Send> {
    bounded_by(Duration::from_millis(1), || catch_unwind(|| kahn::sleep(Duration::MAX))).unwrap().unwrap_err()
}

/// One place that opens bounds, so that those which come one after the other stand at one address.
#[inline(never)]
fn bounded_by<T>(bound: Duration, f: impl FnOnce() -> T) -> Result<T, kahn::time::Elapsed> {
    timeout(bound, f)
}

/// Resumed outside of its bound it is a panic, which says so, and not the end of another bound.
#[test]
fn caught_time_out_resumed_elsewhere_ends_no_other_timeout() {
    with_each_size(|| {
        let stray = |payload: &(dyn Any + Send)| {
            payload.downcast_ref::<&str>().is_some_and(|text| text.contains("outside of that `timeout`"))
        };
        // At the top of a green thread, and of a scope's.
        let payload = caught_time_out();
        let error = kahn::spawn(move || resume_unwind(payload)).join().unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled(), "{error:?}");
        assert!(error.to_string().contains("outside of that `timeout`"), "{error}");
        assert!(stray(&*error.into_panic()));
        let payload = caught_time_out();
        kahn::scope(|s| assert!(s.spawn(move || resume_unwind(payload)).join().unwrap_err().is_panic()));
        let payload = caught_time_out();
        let unjoined = catch_unwind(AssertUnwindSafe(|| {
            kahn::scope(|s| {
                s.spawn(move || resume_unwind(payload));
            });
        }));
        assert!(unjoined.is_err(), "the child has failed");
        // In a later bound, at the same address or at another one.
        let mut payload = caught_time_out();
        for depth in 0..3 {
            let later = catch_unwind(AssertUnwindSafe(|| {
                let resume = || -> () { resume_unwind(payload) };
                let hour = Duration::from_secs(3600);
                match depth {
                    0 => bounded_by(hour, resume),
                    1 => timeout(hour, resume),
                    _ => timeout(hour, || timeout(hour, resume)).and_then(|inner| inner),
                }
            }));
            payload = later.expect_err("it goes through");
        }
        // In its own it may be resumed, as often as it is caught.
        let own = timeout(Duration::from_millis(1), || -> () {
            let mut caught = catch_unwind(|| kahn::sleep(Duration::MAX)).unwrap_err();
            for _ in 0..3 {
                caught = catch_unwind(AssertUnwindSafe(|| resume_unwind(caught))).unwrap_err();
            }
            resume_unwind(caught)
        });
        assert!(own.is_err());
    });
    // At the top of all.
    let runtime = runtime(1);
    let main = catch_unwind(AssertUnwindSafe(|| runtime.run(|| -> () { resume_unwind(caught_time_out()) })));
    assert!(main.unwrap_err().is::<&str>());
}

/// Destructors that run in a cancel's unwinding park as they like, every kind that comes to an end.
#[test]
fn destructors_of_cancelled_threads_may_park_and_finish() {
    with_each_size(|| {
        for _ in 0..rounds(50) {
            let finished = Arc::new(AtomicUsize::new(0));
            let finish = finished.clone();
            let (started, is_started) = bounded(1);
            let handle = kahn::spawn(move || {
                let _parks = OnDrop(move || {
                    let (tx, rx) = bounded(0);
                    kahn::spawn(move || tx.send(7).unwrap());
                    assert_eq!(rx.recv(), Ok(7));
                    kahn::sleep(Duration::from_micros(50));
                    kahn::blocking(|| ());
                    kahn::yield_now();
                    kahn::scope(|s| {
                        s.spawn(kahn::yield_now);
                    });
                    finish.fetch_add(1, SeqCst);
                });
                started.send(()).unwrap();
                kahn::sleep(Duration::MAX);
            });
            is_started.recv().unwrap();
            handle.cancel();
            handle.cancel();
            assert!(handle.join().unwrap_err().is_cancelled());
            assert_eq!(finished.load(SeqCst), 1);
        }
    });
}

#[test]
fn cancelled_blocking_call_is_waited_for() {
    with_each_size(|| {
        let (finish, is_finished) = std::sync::mpsc::channel::<()>();
        let (started, is_started) = std::sync::mpsc::channel();
        let handle = kahn::spawn(move || {
            kahn::blocking(move || {
                started.send(()).unwrap();
                is_finished.recv().unwrap();
            });
            kahn::sleep(Duration::MAX);
        });
        kahn::blocking(move || is_started.recv().unwrap());
        handle.cancel();
        for _ in 0..20 {
            kahn::sleep(Duration::from_micros(100));
            assert!(!handle.is_finished(), "the call borrows from a stack that must not unwind yet");
        }
        finish.send(()).unwrap();
        assert!(handle.join().unwrap_err().is_cancelled());
    });
}

/// As any park: what comes too late to start does not, be it by a cancel or by a bound, on either kind of thread.
/// What has started is waited for, and its value is had.
/// A runtime with one thread for blocking calls, which is busy until the sender is dropped.
fn with_a_busy_pool(workers: usize, f: impl FnOnce(kahn::channel::Sender<()>) + Send) {
    within("the calls", || {
        let runtime = kahn::Runtime::builder().workers(workers).blocking_threads(1).build().unwrap();
        runtime.run(|| {
            let (release, released) = bounded::<()>(0);
            let (begins, has_begun) = bounded(1);
            let occupies = kahn::spawn_local(move || {
                kahn::blocking(move || {
                    begins.send(()).unwrap();
                    let _ = released.recv();
                });
            });
            has_begun.recv().unwrap();
            f(release);
            occupies.join().unwrap();
        });
    });
}

#[test]
fn blocking_call_that_waits_for_a_thread_ends_by_a_cancel() {
    for workers in WORKERS {
        with_a_busy_pool(workers, |release| {
            let counter = Counter::new();
            let ran = Arc::new(AtomicUsize::new(0));
            let called = Arc::new(AtomicUsize::new(0));
            let callers: Vec<_> = (0..3)
                .map(|_| {
                    let (ran, called, captured) = (ran.clone(), called.clone(), counter.make());
                    kahn::spawn_local(move || {
                        called.fetch_add(1, SeqCst);
                        kahn::blocking(move || {
                            let _captured = captured;
                            ran.fetch_add(1, SeqCst);
                        });
                    })
                })
                .collect();
            // Each calls in the turn in which it counts itself.
            until("all wait", || called.load(SeqCst) == 3);
            let [first, second, third] = <[_; 3]>::try_from(callers).unwrap();
            second.cancel();
            assert!(second.join().is_err_and(|error| error.is_cancelled()));
            assert_eq!(counter.dropped(), 1);
            third.cancel();
            assert!(third.join().is_err_and(|error| error.is_cancelled()));
            assert_eq!((ran.load(SeqCst), counter.dropped()), (0, 2));
            drop(release);
            first.join().unwrap();
            assert_eq!(ran.load(SeqCst), 1);
            counter.assert_all_gone();
        });
    }
}

#[test]
fn blocking_call_that_waits_for_a_thread_ends_by_a_timeout() {
    with_a_busy_pool(1, |release| {
        let mut ran = false;
        assert!(timeout(Duration::from_millis(1), || kahn::blocking(|| ran = true)).is_err());
        drop(release);
        assert!(!ran);
        kahn::blocking(|| ran = true);
        assert!(ran);
    });
}

#[test]
fn shutdown_ends_blocking_calls_that_wait_for_a_thread() {
    within("the shutdown", || {
        let runtime = kahn::Runtime::builder().workers(1).blocking_threads(1).build().unwrap();
        let (begins, has_begun) = bounded(1);
        let (release, released) = bounded::<()>(0);
        let occupies = runtime.spawn(move || {
            kahn::blocking(move || {
                begins.send(()).unwrap();
                let _ = released.recv();
            });
        });
        has_begun.recv().unwrap();
        let (calls, has_called) = bounded(1);
        let waits = runtime.spawn(move || {
            calls.send(()).unwrap();
            kahn::blocking(|| ());
        });
        has_called.recv().unwrap();
        let releases = std::thread::spawn(move || {
            assert!(waits.join().is_err_and(|error| error.is_cancelled()));
            drop(release);
        });
        runtime.shutdown(Duration::from_secs(60)).unwrap();
        releases.join().unwrap();
        let _ = occupies.join();
    });
}

/// A call is cancelled while a thread takes it. It has run, or it has unwound before.
#[test]
fn blocking_call_cancelled_while_a_thread_takes_it_runs_or_unwinds() {
    for workers in WORKERS {
        for round in 0..rounds(50) {
            with_a_busy_pool(workers, |release| {
                let counter = Counter::new();
                let callers: Vec<_> = (0..4)
                    .map(|_| {
                        let ran = Arc::new(AtomicUsize::new(0));
                        let (runs, captured) = (ran.clone(), counter.make());
                        let caller = kahn::spawn(move || {
                            let call = move || {
                                let _captured = captured;
                                runs.fetch_add(1, SeqCst);
                            };
                            kahn::blocking(call);
                            // A cancel that came later takes effect here.
                            kahn::yield_now();
                        });
                        (caller, ran)
                    })
                    .collect();
                if round % 2 == 0 {
                    kahn::yield_now();
                }
                let releases = kahn::spawn(move || drop(release));
                callers.iter().for_each(|(caller, _)| caller.cancel());
                for (caller, ran) in callers {
                    let is_ok = caller.join().map_err(|error| assert!(error.is_cancelled())).is_ok();
                    assert!(ran.load(SeqCst) == 1 || !is_ok && ran.load(SeqCst) == 0);
                }
                releases.join().unwrap();
                counter.assert_all_gone();
            });
        }
    }
}

#[test]
fn blocking_call_does_not_start_after_its_timeout() {
    let check = || {
        let mut started = false;
        assert!(timeout(Duration::ZERO, || kahn::blocking(|| started = true)).is_err());
        assert!(!started);
        let mut ended = false;
        let late = timeout(Duration::from_millis(10), || {
            kahn::blocking(|| {
                std::thread::sleep(Duration::from_millis(20));
                ended = true;
            });
        });
        // A machine that is busy for so long may be too late to start it.
        assert_eq!(late.is_ok(), ended);
    };
    with_each_size(check);
    within("an OS thread", check);
    with_each_size(|| {
        let (started, (go, has_to)) = (Arc::new(AtomicBool::new(false)), bounded::<()>(1));
        let start = started.clone();
        let handle = kahn::spawn_local(move || {
            let _ = catch_unwind(AssertUnwindSafe(|| has_to.recv()));
            kahn::blocking(|| start.store(true, SeqCst));
        });
        kahn::yield_now();
        handle.cancel();
        drop(go);
        assert!(handle.join().unwrap_err().is_cancelled() && !started.load(SeqCst));
    });
}

#[test]
fn nested_time_outs_end_at_the_earliest() {
    let (short, long) = (Duration::from_millis(2), Duration::from_secs(3600));
    with_each_size(|| {
        let endless = || kahn::sleep(Duration::MAX);
        for depth in 0..6 {
            // The outermost of several is the short one: the inner ones let it pass.
            let mut inner_ended = false;
            let ended = timeout(short, || {
                fn nest(depth: u32, long: Duration, f: &dyn Fn()) -> bool {
                    if depth == 0 {
                        f();
                        return false;
                    }
                    timeout(long, || nest(depth - 1, long, f)).is_err()
                }
                inner_ended = nest(depth, long, &endless);
            });
            assert!(ended.is_err() && !inner_ended);
            // The innermost is.
            let ended = timeout(long, || timeout(long, || timeout(short, endless)));
            assert!(ended.unwrap().unwrap().is_err());
        }
        // A bound of nothing lets pass what does not park.
        assert_eq!(timeout(Duration::ZERO, || 7), Ok(7));
        assert!(timeout(Duration::ZERO, endless).is_err());
        // One bound for many parks.
        let start = Instant::now();
        let ended = timeout(short, || {
            loop {
                kahn::sleep(Duration::from_micros(100));
            }
        });
        assert!(ended.is_err() && start.elapsed() >= short);
        // A panic inside goes through.
        let caught = catch_unwind(|| timeout(long, || resume_unwind(Box::new(7_u8))));
        assert_eq!(*caught.unwrap_err().downcast::<u8>().unwrap(), 7);
    });
}

/// A cancel beats the bound, and goes through it.
#[test]
fn cancel_unwinds_through_a_timeout() {
    with_each_size(|| {
        for _ in 0..rounds(100) {
            let handle = kahn::spawn(|| timeout(Duration::from_secs(3600), || kahn::sleep(Duration::MAX)));
            kahn::yield_now();
            handle.cancel();
            assert!(handle.join().unwrap_err().is_cancelled());
        }
    });
}

/// Ways in which a destructor comes to run that must be let finish: in the unwinding of a panic, of a cancel, of a
/// bound; and, shielded, as a green thread's local, and as what was captured by one that is cancelled before it has
/// started.
fn in_a_destructor_that_is_let_finish(act: impl Fn() + Clone + Send + 'static) {
    let endless = || kahn::sleep(Duration::MAX);
    let guard = || OnDrop(act.clone());
    // A panic.
    let guarded = guard();
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        let _guard = guarded;
        resume_unwind(Box::new(7_u8));
    }));
    assert!(panicked.is_err());
    // A bound, nested in one that is over, too.
    let guarded = guard();
    let ended = timeout(Duration::ZERO, || {
        timeout(Duration::ZERO, move || {
            let _guard = guarded;
            endless();
        })
    });
    assert!(ended.is_err());
    // A cancel.
    let (guarded, (started, is_started)) = (guard(), bounded(1));
    let handle = kahn::spawn(move || {
        let _guard = guarded;
        started.send(()).unwrap();
        endless();
    });
    is_started.recv().unwrap();
    handle.cancel();
    assert!(handle.join().unwrap_err().is_cancelled());
    // A local of one that was cancelled, and has unwound.
    kahn::thread::local! { static GUARD: std::cell::RefCell<Option<Box<dyn std::any::Any>>> = std::cell::RefCell::new(None); }
    let (guarded, (started, is_started)) = (guard(), bounded(1));
    let handle = kahn::spawn(move || {
        GUARD.with(|local| *local.borrow_mut() = Some(Box::new(guarded)));
        started.send(()).unwrap();
        endless();
    });
    is_started.recv().unwrap();
    handle.cancel();
    assert!(handle.join().unwrap_err().is_cancelled());
    // What one had captured that never starts, or is cut off at once.
    let guarded = guard();
    let handle = kahn::spawn(move || {
        let _guard = guarded;
        endless();
    });
    handle.cancel();
    assert!(handle.join().unwrap_err().is_cancelled());
}

/// A bound that such a destructor sets holds: for every kind of park, and nested. One from outside does not.
#[test]
fn timeout_in_a_destructor_holds() {
    with_each_size(|| {
        let (soon, long) = (Duration::from_millis(1), Duration::from_secs(3600));
        let done = Arc::new(AtomicUsize::new(0));
        let count = done.clone();
        in_a_destructor_that_is_let_finish(move || {
            let unwinding = std::thread::panicking();
            for (name, park) in parks() {
                assert!(timeout(soon, park).is_err(), "{name} has returned");
            }
            assert!(timeout(soon, || timeout(long, || kahn::sleep(Duration::MAX))).is_err());
            assert!(timeout(long, || timeout(soon, || kahn::sleep(Duration::MAX))).unwrap().is_err());
            // What is bounded may unwind by itself, and what runs in that is let finish again, or sets bounds.
            let panicked = timeout(soon, || {
                catch_unwind(AssertUnwindSafe(|| {
                    let _parks = OnDrop(move || {
                        kahn::sleep(2 * soon);
                        assert!(timeout(soon, || kahn::sleep(Duration::MAX)).is_err());
                    });
                    resume_unwind(Box::new(7_u8));
                }))
                .is_err()
            });
            assert_eq!(panicked, Ok(true));
            // Outside of a bound there is none.
            kahn::sleep(2 * soon);
            assert_eq!(std::thread::panicking(), unwinding);
            count.fetch_add(1, SeqCst);
        });
        assert_eq!(done.load(SeqCst), 5);
    });
}

#[test]
fn timeout_in_a_destructor_of_an_os_thread_holds() {
    within("an OS thread", || {
        let done = Arc::new(AtomicUsize::new(0));
        let count = done.clone();
        let unwound = catch_unwind(AssertUnwindSafe(move || {
            let _late = OnDrop(move || {
                for (name, park) in parks() {
                    assert!(timeout(Duration::from_millis(1), park).is_err(), "{name} has returned");
                }
                assert!(std::thread::panicking());
                count.fetch_add(1, SeqCst);
            });
            resume_unwind(Box::new(7_u8));
        }));
        assert!(unwound.is_err() && done.load(SeqCst) == 1);
    });
}

/// A yield is a park.
#[test]
fn timeout_ends_a_loop_of_yields() {
    let ended = || {
        timeout(Duration::from_millis(1), || {
            loop {
                kahn::yield_now();
            }
        })
        .is_err()
    };
    with_each_size(|| assert!(ended()));
    within("an OS thread", || assert!(ended()));
    with_each_size(|| {
        // One that the budget asks for.
        let (_tx, rx) = bounded::<()>(1);
        let polls = timeout(Duration::from_millis(1), || while rx.try_recv().is_err() {});
        assert!(polls.is_err());
    });
}
