//! Green threads with a home of their own: a thread identity that travels with them.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use kahn::channel::{Receiver, Sender, bounded};
use kahn::thread::Builder;
use kahn::{Runtime, time};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static SHARED: RefCell<Option<Rc<Cell<u64>>>> = const { RefCell::new(None) };
}

fn exclusive() -> Builder {
    Builder::new().exclusive_home(true)
}

/// Returns the kernel's number of the thread that runs the caller.
#[inline(never)]
fn kernel_thread() -> i32 {
    // SAFETY: the call has no preconditions.
    unsafe { libc::gettid() }
}

/// Runs `turn` with numbers that count up, on two green threads with a home that hand a token to each other, while one more
/// keeps a worker busy. So the two change their workers. Returns how many kernel threads the first has run on.
fn travel(rounds: u64, turn: impl Fn(u64) + Send + Sync) -> usize {
    fn side(
        from: Receiver<u64>,
        to: Sender<u64>,
        rounds: u64,
        turn: impl Fn(u64),
    ) -> std::collections::BTreeSet<i32> {
        let mut seen = std::collections::BTreeSet::new();
        for n in 0..rounds {
            let Ok(token) = from.recv() else { break };
            seen.insert(kernel_thread());
            turn(n);
            if to.send(token + 1).is_err() {
                break;
            }
        }
        seen
    }
    let stop = AtomicBool::new(false);
    kahn::scope(|s| {
        let (to_a, from_b) = bounded(1);
        let (to_b, from_a) = bounded(1);
        to_a.send(0).unwrap();
        let (turn, stop) = (&turn, &stop);
        let a = s.spawn_with(exclusive(), move || side(from_b, to_b, rounds, turn)).unwrap();
        let b = s.spawn_with(exclusive(), move || side(from_a, to_a, rounds, turn)).unwrap();
        let busy = s.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                (0..2_000).for_each(|_| std::hint::spin_loop());
                kahn::yield_now();
            }
        });
        let seen = a.join().unwrap();
        b.join().unwrap();
        stop.store(true, Ordering::Relaxed);
        busy.join().unwrap();
        seen.len()
    })
}

/// Repeats `travel` until a green thread was seen on two kernel threads, if there are two workers.
fn until_travelled(rounds: u64, turn: impl Fn(u64) + Send + Sync) {
    let runtime = Runtime::builder().workers(4).build().unwrap();
    let expected = runtime.workers().min(2);
    runtime.run(|| while travel(rounds, &turn) < expected {});
}

#[test]
fn thread_locals_are_shared_with_no_other_green_thread() {
    kahn::run(|| {
        let count = || {
            for _ in 0..100 {
                COUNT.set(COUNT.get() + 1);
                kahn::yield_now();
            }
            COUNT.get()
        };
        let all: Vec<_> = (0..20).map(|_| exclusive().spawn(count).unwrap()).collect();
        all.into_iter().for_each(|one| assert_eq!(one.join().unwrap(), 100));
    });
}

#[test]
fn borrowed_thread_locals_stay_valid_while_the_green_thread_changes_its_worker() {
    until_travelled(2_000, |n| {
        let id = std::thread::current().id();
        COUNT.with(|count| {
            let address = std::ptr::from_ref(count);
            let before = count.get();
            assert!(before >= n, "this identity has counted its own rounds");
            kahn::yield_now();
            count.set(count.get() + 1);
            assert_eq!(count.get(), before + 1);
            COUNT.with(|again| assert!(std::ptr::eq(address, again)));
        });
        assert_eq!(std::thread::current().id(), id);
    });
}

#[test]
fn values_that_are_not_send_may_be_on_its_stack_and_in_its_thread_locals() {
    until_travelled(2_000, |_| {
        let rc = SHARED.with_borrow_mut(|shared| Rc::clone(shared.get_or_insert_default()));
        let strong = Rc::strong_count(&rc);
        kahn::yield_now();
        rc.set(rc.get() + 1);
        assert_eq!(Rc::strong_count(&rc), strong);
    });
}

#[test]
fn guards_of_reentrant_and_std_locks_may_be_held_over_a_park() {
    static LOCK: std::sync::Mutex<u64> = std::sync::Mutex::new(0);
    until_travelled(500, |_| {
        let out = std::io::stderr().lock();
        // Another green thread that waits for a lock of std would hold up its worker. The token keeps the two apart.
        let mut lock = LOCK.lock().unwrap();
        *lock += 1;
        kahn::yield_now();
        // The lock knows its owner: this does not block.
        drop(std::io::stderr().lock());
        drop((out, lock));
    });
}

#[test]
fn it_panics_and_catches_panics_on_any_worker() {
    struct Parks;
    impl Drop for Parks {
        fn drop(&mut self) {
            assert!(std::thread::panicking());
            kahn::sleep(Duration::from_micros(1));
            assert!(std::thread::panicking());
        }
    }
    until_travelled(300, |n| {
        assert!(!std::thread::panicking());
        let caught = std::panic::catch_unwind(|| {
            let _parks = Parks;
            std::panic::resume_unwind(Box::new(n));
        });
        assert_eq!(*caught.unwrap_err().downcast::<u64>().unwrap(), n);
        assert!(!std::thread::panicking());
    });
}

#[test]
fn a_panic_ends_it_and_is_in_the_error_of_its_join() {
    kahn::run(|| {
        let error =
            exclusive().spawn(|| std::panic::resume_unwind(Box::new(7_u8))).unwrap().join().unwrap_err();
        assert_eq!(*error.into_panic().downcast::<u8>().unwrap(), 7);
        assert!(!std::thread::panicking());
        assert_eq!(kahn::spawn(|| 1).join().unwrap(), 1);
    });
}

#[test]
fn a_cancel_ends_it_at_any_time() {
    kahn::run(|| {
        for n in 0..200_u64 {
            let one = exclusive().spawn(|| kahn::sleep(Duration::MAX)).unwrap();
            (0..n % 7).for_each(|_| kahn::yield_now());
            if n % 3 == 0 {
                kahn::sleep(Duration::from_micros(n));
            }
            one.cancel();
            assert!(one.join().unwrap_err().is_cancelled());
        }
    });
}

#[test]
fn waits_of_all_kinds_work_in_it() {
    kahn::run(|| {
        let worker = exclusive().spawn(|| {
            assert!(kahn::thread::is_green());
            assert!(time::timeout(Duration::from_millis(1), || kahn::sleep(Duration::MAX)).is_err());
            let local = 3;
            let sum = kahn::scope(|s| s.spawn(|| local + 1).join().unwrap());
            let (tx, rx) = bounded(0);
            let sender = kahn::spawn(move || tx.send(sum).unwrap());
            let got = rx.recv().unwrap();
            sender.join().unwrap();
            let blocked = kahn::blocking(|| got + 1);
            // Calls of std that sleep are allowed. They hold up the worker.
            let (tx, rx) = mpsc::channel();
            let thread = std::thread::spawn(move || tx.send(blocked).unwrap());
            let end = rx.recv().unwrap();
            thread.join().unwrap();
            let mut sum = 0;
            std::thread::scope(|s| {
                s.spawn(|| sum = end);
            });
            sum
        });
        assert_eq!(worker.unwrap().join().unwrap(), 5);
    });
}

#[test]
fn std_knows_it_by_its_name() {
    kahn::run(|| {
        let named = exclusive().name("parser".into()).spawn(|| {
            kahn::yield_now();
            (
                std::thread::current().name().map(str::to_owned),
                kahn::thread::current().name().map(str::to_owned),
            )
        });
        let parser = Some("parser".to_owned());
        assert_eq!(named.unwrap().join().unwrap(), (parser.clone(), parser));
    });
}

#[test]
fn values_of_its_thread_locals_are_dropped_before_the_runtime_has_ended() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Counts;
    impl Drop for Counts {
        fn drop(&mut self) {
            // It runs on an OS thread, where waits block.
            kahn::sleep(Duration::from_millis(1));
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    thread_local! { static KEPT: RefCell<Option<Counts>> = const { RefCell::new(None) } }
    let runtime = Runtime::builder().workers(2).build().unwrap();
    runtime.run(|| {
        let all: Vec<_> = (0..10).map(|_| exclusive().spawn(|| KEPT.set(Some(Counts))).unwrap()).collect();
        all.into_iter().for_each(|one| one.join().unwrap());
    });
    runtime.shutdown(Duration::from_secs(60)).unwrap();
    assert_eq!(DROPPED.load(Ordering::SeqCst), 10);
}

#[test]
fn locals_of_kahn_are_dropped_under_its_identity() {
    struct Checks(Rc<Cell<u64>>);
    impl Drop for Checks {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            SHARED.with_borrow(|shared| assert!(Rc::ptr_eq(shared.as_ref().unwrap(), &self.0)));
        }
    }
    kahn::thread::local! { static LOCAL: RefCell<Option<Checks>> = RefCell::new(None) }
    kahn::run(|| {
        exclusive()
            .spawn(|| {
                let rc = SHARED.with_borrow_mut(|shared| Rc::clone(shared.get_or_insert_default()));
                LOCAL.with(|local| *local.borrow_mut() = Some(Checks(rc)));
            })
            .unwrap()
            .join()
            .unwrap();
    });
}

#[test]
fn local_children_are_refused() {
    kahn::run(|| {
        exclusive()
            .spawn(|| {
                let refused = std::panic::catch_unwind(|| kahn::spawn_local(|| ()));
                let message = *refused.unwrap_err().downcast::<&str>().unwrap();
                assert!(message.contains("home of its own"), "{message}");
                assert!(std::panic::catch_unwind(|| kahn::task::spawn_local(async {})).is_err());
            })
            .unwrap()
            .join()
            .unwrap();
    });
}

#[test]
fn an_unwound_scope_and_a_shutdown_end_it() {
    let ended = Arc::new(AtomicUsize::new(0));
    struct Counts(Arc<AtomicUsize>);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let runtime = Runtime::builder().workers(2).build().unwrap();
    for _ in 0..8 {
        let counts = Counts(Arc::clone(&ended));
        runtime.run(|| {
            drop(exclusive().spawn(move || {
                let _counts = counts;
                kahn::sleep(Duration::MAX);
            }));
        });
    }
    runtime.shutdown(Duration::from_secs(60)).unwrap();
    assert_eq!(ended.load(Ordering::SeqCst), 8);
}

/// Parks again and again when it is dropped, and checks that the identity stays the same.
struct ParksInItsDrop;

impl Drop for ParksInItsDrop {
    fn drop(&mut self) {
        let address = || COUNT.with(|count| std::ptr::from_ref(count).addr());
        let (id, place) = (std::thread::current().id(), address());
        for _ in 0..20 {
            kahn::yield_now();
            assert_eq!((std::thread::current().id(), address()), (id, place));
        }
    }
}

/// Those of its captures, and of an output and of a panic that no join takes.
#[test]
fn destructors_at_its_end_run_under_its_identity() {
    let runtime = Runtime::builder().workers(4).build().unwrap();
    runtime.run(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let busy = kahn::spawn({
            let stop = Arc::clone(&stop);
            move || {
                while !stop.load(Ordering::Relaxed) {
                    (0..2_000).for_each(|_| std::hint::spin_loop());
                    kahn::yield_now();
                }
            }
        });
        for _ in 0..50 {
            drop(exclusive().spawn(|| ParksInItsDrop).unwrap());
            drop(exclusive().spawn(|| std::panic::resume_unwind(Box::new(ParksInItsDrop))).unwrap());
            let captured = ParksInItsDrop;
            exclusive().spawn(move || drop(captured)).unwrap().cancel();
        }
        stop.store(true, Ordering::Relaxed);
        busy.join().unwrap();
    });
    runtime.shutdown(Duration::from_secs(60)).unwrap();
}
