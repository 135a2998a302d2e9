//! Panics, wherever user code runs: they end the green thread that panics, and nothing else.

mod support;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use kahn::channel::bounded;
use kahn::sync::Mutex;
use kahn::time::timeout;
use support::{Counter, OnDrop, rounds, runtime, until, with_each_size, within};

/// A panic that the hook does not print.
fn throw(payload: &'static str) -> ! {
    resume_unwind(Box::new(payload))
}

#[test]
fn join_returns_a_panic_after_a_park() {
    with_each_size(|| {
        let counter = Counter::new();
        for _ in 0..rounds(200) {
            let counted = counter.make();
            let handle = kahn::spawn(move || {
                let _counted = counted;
                kahn::yield_now();
                if true {
                    throw("late");
                }
            });
            let error = handle.join().unwrap_err();
            assert!(error.is_panic());
            assert_eq!(*error.into_panic().downcast::<&str>().unwrap(), "late");
        }
        counter.assert_all_gone();
    });
}

/// A catch on the stack survives parks on both sides of the panic.
#[test]
fn panic_is_caught_by_its_own_catch() {
    with_each_size(|| {
        let handles: Vec<_> = (0..20)
            .map(|i| {
                kahn::spawn(move || {
                    for _ in 0..rounds(50) {
                        let caught = catch_unwind(|| {
                            let _park_on_the_way = OnDrop(kahn::yield_now);
                            kahn::yield_now();
                            panic_any_quietly(i);
                        });
                        kahn::yield_now();
                        assert_eq!(*caught.unwrap_err().downcast::<usize>().unwrap(), i);
                    }
                })
            })
            .collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
    });
}

fn panic_any_quietly(value: usize) {
    resume_unwind(Box::new(value));
}

/// Destructors may park while their green thread unwinds, and wait for other green threads, which run meanwhile.
#[test]
fn destructors_may_park_during_an_unwind() {
    with_each_size(|| {
        for _ in 0..rounds(50) {
            let (tx, rx) = bounded::<usize>(0);
            let handle = kahn::spawn(move || {
                let _farewell = OnDrop(|| {
                    for i in 0..3 {
                        tx.send(i).unwrap();
                    }
                });
                throw("unwinds");
            });
            assert_eq!(rx.iter().collect::<Vec<_>>(), [0, 1, 2]);
            assert!(handle.join().unwrap_err().is_panic());
        }
    });
}

/// Starts a green thread that unwinds and is parked meanwhile, until told to go on.
fn parked_in_its_unwinding() -> (kahn::thread::JoinHandle<()>, kahn::channel::Sender<()>) {
    let (go_on, gate) = bounded::<()>(0);
    let (arrived, arrival) = bounded::<()>(1);
    let handle = kahn::spawn_local(move || {
        let _parks = OnDrop(|| {
            arrived.send(()).unwrap();
            let _ = gate.recv();
        });
        throw("unwinds, parked");
    });
    arrival.recv().unwrap();
    (handle, go_on)
}

/// One green thread unwinds and is parked meanwhile; another of the same OS thread is not panicking.
#[test]
fn thread_parked_during_an_unwind_does_not_make_others_panicking() {
    within("one worker", || {
        runtime(1).run(|| {
            let (unwinding, go_on) = parked_in_its_unwinding();
            assert!(!std::thread::panicking());
            kahn::spawn_local(|| assert!(!std::thread::panicking())).join().unwrap();
            drop(go_on);
            assert!(unwinding.join().unwrap_err().is_panic());
            assert!(!std::thread::panicking());
        });
    });
}

#[test]
fn locks_held_by_others_during_an_unwind_are_not_poisoned() {
    within("one worker", || {
        runtime(1).run(|| {
            let (ours, stds) = (Mutex::new(1), std::sync::Mutex::new(1));
            let (one, other) = (ours.lock().unwrap(), stds.lock().unwrap());
            let (unwinding, go_on) = parked_in_its_unwinding();
            drop((one, other));
            drop(go_on);
            assert!(unwinding.join().is_err());
            assert!(!ours.is_poisoned() && !stds.is_poisoned());
        });
    });
}

/// And a panic meanwhile poisons as ever.
#[test]
fn locks_are_poisoned_by_threads_that_panic_meanwhile() {
    within("one worker", || {
        runtime(1).run(|| {
            let (unwinding, go_on) = parked_in_its_unwinding();
            let lock = Arc::new(Mutex::new(1));
            let other = lock.clone();
            let panics = kahn::spawn_local(move || {
                let _guard = other.lock().unwrap();
                throw("holding a lock");
            });
            assert!(panics.join().is_err());
            assert!(lock.is_poisoned());
            drop(go_on);
            assert!(unwinding.join().is_err());
        });
    });
}

#[test]
fn cancels_and_timeouts_take_effect_while_another_thread_unwinds() {
    within("one worker", || {
        runtime(1).run(|| {
            let (unwinding, go_on) = parked_in_its_unwinding();
            let sleeper = kahn::spawn_local(|| kahn::sleep(Duration::MAX));
            kahn::yield_now();
            sleeper.cancel();
            assert!(sleeper.join().unwrap_err().is_cancelled());
            assert!(timeout(Duration::from_millis(1), || kahn::sleep(Duration::MAX)).is_err());
            drop(go_on);
            assert!(unwinding.join().is_err());
        });
    });
}

/// Many unwind at once, each parks several times on its way, in catches within destructors, too.
#[test]
fn many_threads_unwind_and_park_at_once() {
    with_each_size(|| {
        let handles: Vec<_> = (0..rounds(100))
            .map(|i| {
                kahn::spawn(move || {
                    let _outer = OnDrop(|| {
                        assert!(std::thread::panicking());
                        kahn::yield_now();
                        let inner = catch_unwind(|| {
                            let _deeper = OnDrop(|| {
                                kahn::sleep(Duration::from_micros(100));
                                assert!(std::thread::panicking());
                            });
                            throw("inner");
                        });
                        assert!(inner.is_err());
                        assert!(std::thread::panicking());
                        kahn::yield_now();
                        assert!(std::thread::panicking());
                    });
                    for _ in 0..i % 5 {
                        kahn::yield_now();
                        assert!(!std::thread::panicking());
                    }
                    throw("outer");
                })
            })
            .collect();
        for handle in handles {
            let error = handle.join().unwrap_err();
            assert_eq!(*error.into_panic().downcast::<&str>().unwrap(), "outer");
            assert!(!std::thread::panicking());
        }
    });
}

#[test]
fn panicking_message_is_dropped_once_and_the_channel_lives() {
    struct Bomb(#[expect(dead_code, reason = "only to be dropped")] support::Counted, Arc<AtomicBool>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            if self.1.load(SeqCst) {
                throw("the message's drop");
            }
        }
    }
    with_each_size(|| {
        for cap in [1, 4] {
            let (counter, armed) = (Counter::new(), Arc::new(AtomicBool::new(false)));
            let (tx, rx) = bounded(cap);
            for _ in 0..cap {
                tx.send(Bomb(counter.make(), armed.clone())).unwrap();
            }
            armed.store(true, SeqCst);
            // The last receiver drops what is left: the first panics, and goes on; the rest goes, too, or aborts.
            let dropped = catch_unwind(AssertUnwindSafe(|| {
                let first = rx.recv();
                let _ = catch_unwind(AssertUnwindSafe(|| drop(first)));
                armed.store(false, SeqCst);
                drop(rx);
            }));
            assert!(dropped.is_ok());
            let refused = tx.send(Bomb(counter.make(), armed.clone()));
            assert!(refused.is_err());
            drop(refused);
            drop(tx);
            counter.assert_all_gone();
        }
    });
}

/// A closure, an output, a panic's payload whose destructors panic: the worker goes on.
#[test]
fn panics_in_destructors_of_owned_values_end_there() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                throw("a bomb");
            }
        }
    }
    with_each_size(|| {
        for i in 0..rounds(100) {
            match i % 5 {
                // The closure's capture, cancelled before it started.
                0 => {
                    let bomb = Bomb;
                    let handle = kahn::spawn(move || drop(bomb));
                    handle.cancel();
                    drop(handle.join());
                }
                // The output, which no thread takes.
                1 => drop(kahn::spawn(|| Bomb)),
                // The same, after it ended.
                2 => {
                    let handle = kahn::spawn(|| Bomb);
                    until("it ends", || handle.is_finished());
                    let _ = catch_unwind(AssertUnwindSafe(|| drop(handle)));
                }
                // The payload.
                3 => drop(kahn::spawn(|| resume_unwind(Box::new(Bomb)))),
                // On the stack.
                _ => drop(kahn::spawn(|| drop(Bomb)).join()),
            }
        }
        assert_eq!(kahn::spawn(|| 7).join().unwrap(), 7);
    });
}

#[test]
fn child_that_panics_fails_its_scope() {
    with_each_size(|| {
        let caught = catch_unwind(|| {
            kahn::scope(|s| {
                s.spawn(|| throw("a child"));
            })
        });
        assert!(caught.is_err());
    });
}

/// As in std: if a handle is dropped without a join, the scope panics, also if the child had ended before.
#[test]
fn child_that_panicked_before_its_handle_was_dropped_fails_its_scope() {
    with_each_size(|| {
        let caught = catch_unwind(|| {
            kahn::scope(|s| {
                let handle = s.spawn(|| throw("a child"));
                until("it ends", || handle.is_finished());
                drop(handle);
            })
        });
        assert!(caught.is_err());
        // Joined, it is the joiner's.
        kahn::scope(|s| assert!(s.spawn(|| throw("a child")).join().is_err()));
    });
}

#[test]
fn panic_of_a_blocking_call_continues_in_its_caller() {
    with_each_size(|| {
        for i in 0..20_usize {
            let caught = catch_unwind(|| kahn::blocking(|| panic_any_quietly(i)));
            assert_eq!(*caught.unwrap_err().downcast::<usize>().unwrap(), i);
        }
    });
}

/// Locals whose destructors panic, park, use other keys and themselves.
#[test]
fn destructors_of_locals_may_park_and_panic() {
    struct Noisy(Counter, #[expect(dead_code, reason = "only to be dropped")] support::Counted, u32);
    impl Drop for Noisy {
        fn drop(&mut self) {
            kahn::sleep(Duration::from_micros(10));
            OTHER.with(|other| other.set(other.get() + 1));
            if self.2 > 0 {
                let (counter, again) = (self.0.clone(), self.2 - 1);
                KEEP.with(|keep| keep.set(Some(Noisy(counter.clone(), counter.make(), again))));
            }
            kahn::spawn(|| ()).join().unwrap();
            if !std::thread::panicking() {
                throw("a local's destructor");
            }
        }
    }
    kahn::thread::local! {
        static KEEP: Cell<Option<Noisy>> = Cell::new(None);
        static OTHER: Cell<u32> = Cell::new(0);
    }
    with_each_size(|| {
        let counter = Counter::new();
        let handles: Vec<_> = (0..rounds(50))
            .map(|i| {
                let counter = counter.clone();
                kahn::spawn(move || {
                    KEEP.with(|keep| keep.set(Some(Noisy(counter.clone(), counter.make(), 2))));
                    kahn::yield_now();
                    if i % 2 == 0 {
                        throw("with locals");
                    }
                })
            })
            .collect();
        for (i, handle) in handles.into_iter().enumerate() {
            assert_eq!(handle.join().is_err(), i % 2 == 0);
        }
        counter.assert_all_gone();
    });
}

/// A payload of the user's own, through `run`.
#[test]
fn panic_of_the_main_green_thread_continues_in_its_caller() {
    for workers in support::WORKERS {
        let runtime = runtime(workers);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            runtime.run(|| {
                kahn::yield_now();
                let hook = std::panic::take_hook();
                std::panic::set_hook(Box::new(|_| {}));
                let caught = catch_unwind(|| panic_any(42_u8));
                std::panic::set_hook(hook);
                resume_unwind(caught.unwrap_err());
            })
        }));
        assert_eq!(*caught.unwrap_err().downcast::<u8>().unwrap(), 42);
        assert_eq!(runtime.run(|| 1), 1);
    }
}
