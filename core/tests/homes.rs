//! Homes that travel: thread identities that several green threads share, and that move between workers.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::ThreadId;
use std::time::Duration;

use kahn::channel::{Receiver, Sender, bounded};
use kahn::runtime::Homes;
use kahn::thread::JoinHandle;
use kahn::{Runtime, time};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static SHARED: RefCell<Option<Rc<Cell<u64>>>> = const { RefCell::new(None) };
}

/// Starts a runtime whose homes travel, unless the environment asks for another kind.
fn travelling(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).homes(Homes::Travelling).build().unwrap()
}

/// Returns whether the test can see what it is about: homes that travel, and workers between which they do.
fn is_travelling(runtime: &Runtime) -> bool {
    runtime.homes() == Homes::Travelling && runtime.workers() > 1
}

/// Returns the kernel's number of the thread that runs the caller.
#[inline(never)]
fn kernel_thread() -> i32 {
    // SAFETY: the call has no preconditions.
    unsafe { libc::gettid() }
}

/// Returns the identity under which the caller runs.
#[inline(never)]
fn identity() -> ThreadId {
    std::thread::current().id()
}

/// Passes `rounds` tokens between two green threads, one of which calls `turn` with each number. Returns the kernel threads on
/// which that one has run.
fn pass(rounds: u64, turn: impl Fn(u64) + Send + 'static) -> [JoinHandle<BTreeSet<i32>>; 2] {
    fn side(from: Receiver<u64>, to: Sender<u64>, rounds: u64, turn: impl Fn(u64)) -> BTreeSet<i32> {
        let mut seen = BTreeSet::new();
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
    let (to_a, from_b) = bounded(1);
    let (to_b, from_a) = bounded(1);
    to_a.send(0).unwrap();
    [
        kahn::spawn(move || side(from_b, to_b, rounds, turn)),
        kahn::spawn(move || side(from_a, to_a, rounds, |_| ())),
    ]
}

/// Runs many pairs that pass tokens while green threads compute in turns of many lengths, until some green thread was seen on two
/// kernel threads. `turn` is called by one of each pair.
fn until_travelled(turn: impl Fn(u64) + Send + Sync + 'static) {
    let runtime = travelling(4);
    let wanted = if is_travelling(&runtime) { 2 } else { 1 };
    let turn = Arc::new(turn);
    runtime.run(|| {
        let mut most = 0;
        while most < wanted {
            let stop = Arc::new(AtomicBool::new(false));
            let busy: Vec<_> = (1..=4)
                .map(|n| {
                    let stop = Arc::clone(&stop);
                    kahn::spawn(move || {
                        while !stop.load(Ordering::Relaxed) {
                            (0..n * 1_000).for_each(|_| std::hint::spin_loop());
                            kahn::yield_now();
                        }
                    })
                })
                .collect();
            let pairs: Vec<_> = (0..16)
                .map(|_| {
                    let turn = Arc::clone(&turn);
                    pass(500, move |n| turn(n))
                })
                .collect();
            for side in pairs.into_iter().flatten() {
                most = most.max(side.join().unwrap().len());
            }
            stop.store(true, Ordering::Relaxed);
            busy.into_iter().for_each(|busy| busy.join().unwrap());
        }
    });
}

#[test]
fn green_thread_keeps_its_thread_locals_while_it_changes_its_worker() {
    until_travelled(|_| {
        let id = identity();
        COUNT.with(|count| {
            let address = std::ptr::from_ref(count);
            kahn::yield_now();
            COUNT.with(|again| assert!(std::ptr::eq(address, again)));
        });
        assert_eq!(identity(), id);
    });
}

#[test]
fn green_threads_of_one_home_run_one_at_a_time() {
    // Each count is read and written by several green threads without any synchronisation but that of their home.
    let sums: Arc<Mutex<HashMap<ThreadId, u64>>> = Arc::default();
    let total = Arc::new(AtomicU64::new(0));
    {
        let (sums, total) = (Arc::clone(&sums), Arc::clone(&total));
        until_travelled(move |_| {
            let before = COUNT.get();
            (0..200).for_each(|_| std::hint::spin_loop());
            COUNT.set(before + 1);
            total.fetch_add(1, Ordering::Relaxed);
            sums.lock().unwrap().insert(identity(), before + 1);
        });
    }
    assert_eq!(sums.lock().unwrap().values().sum::<u64>(), total.load(Ordering::Relaxed));
}

#[test]
fn values_that_are_not_send_may_be_shared_through_thread_locals() {
    until_travelled(|_| {
        let rc = SHARED.with_borrow_mut(|shared| Rc::clone(shared.get_or_insert_default()));
        rc.set(rc.get() + 1);
        kahn::yield_now();
        drop(Rc::clone(&rc));
    });
}

#[test]
fn local_child_stays_in_the_home_of_its_parent() {
    until_travelled(|n| {
        if !n.is_multiple_of(50) {
            return;
        }
        let (id, sum) = (identity(), Rc::new(Cell::new(0)));
        let children: Vec<_> = (0..3)
            .map(|i| {
                let sum = Rc::clone(&sum);
                kahn::spawn_local(move || {
                    assert_eq!(identity(), id);
                    kahn::yield_now();
                    assert_eq!(identity(), id);
                    sum.set(sum.get() + i);
                })
            })
            .collect();
        children.into_iter().for_each(|child| child.join().unwrap());
        assert_eq!(sum.get(), 3);
    });
}

#[test]
fn local_task_stays_in_the_home_of_its_parent() {
    until_travelled(|n| {
        if !n.is_multiple_of(50) {
            return;
        }
        let id = identity();
        let (tx, rx) = bounded(0);
        let task = kahn::task::spawn_local(async move {
            let rc = Rc::new(1);
            let got: u64 = rx.recv_async().await.unwrap();
            assert_eq!(identity(), id);
            got + *rc
        });
        tx.send(6).unwrap();
        assert_eq!(task.join().unwrap(), 7);
    });
}

#[test]
fn green_threads_of_other_homes_go_on_while_a_worker_computes() {
    let runtime = travelling(2);
    if !is_travelling(&runtime) {
        return;
    }
    runtime.run(|| {
        // More than fit into one home. Each has parked once, so it is bound to its home.
        let members = 64;
        let here: Arc<Mutex<HashMap<ThreadId, usize>>> = Arc::default();
        let beat = Arc::new(AtomicUsize::new(0));
        let (quit, stop) = bounded::<()>(0);
        let (parked, all_parked) = bounded(members);
        let others: Vec<_> = (0..members)
            .map(|_| {
                let (here, beat, stop, parked) =
                    (Arc::clone(&here), Arc::clone(&beat), stop.clone(), parked.clone());
                kahn::spawn(move || {
                    kahn::yield_now();
                    *here.lock().unwrap().entry(identity()).or_default() += 1;
                    parked.send(()).unwrap();
                    while stop.recv_timeout(Duration::from_millis(1)).is_err_and(|error| error.is_timeout()) {
                        beat.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        (0..members).for_each(|_| all_parked.recv().unwrap());
        assert!(here.lock().unwrap().len() > 1, "they are in several homes");
        // Now this worker is held up, until green threads of other homes have had more turns than one worker could still owe them.
        let before = beat.load(Ordering::Relaxed);
        while beat.load(Ordering::Relaxed) < before + 10 * members {
            std::hint::spin_loop();
        }
        drop(quit);
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

#[test]
fn waker_outside_of_the_runtime_wakes_a_home_at_rest() {
    let runtime = travelling(2);
    let (to, from) = bounded(0);
    let (back, got) = mpsc::channel();
    let server = runtime.spawn(move || {
        let mut sum = 0;
        while let Ok(n) = from.recv() {
            sum += n;
            back.send(sum).unwrap();
        }
        sum
    });
    for n in 0..1_000_u64 {
        to.send(n).unwrap();
        assert_eq!(got.recv().unwrap(), n * (n + 1) / 2);
    }
    drop(to);
    assert_eq!(server.join().unwrap(), 499_500);
}

#[test]
fn green_threads_of_two_runtimes_wake_each_other() {
    let (a, b) = (travelling(2), travelling(2));
    let (to_b, from_a) = bounded::<u64>(0);
    let (to_a, from_b) = bounded::<u64>(0);
    let there = b.spawn(move || from_a.iter().for_each(|n| to_a.send(n + 1).unwrap()));
    let here = a.spawn(move || {
        (0..2_000).for_each(|n| {
            to_b.send(n).unwrap();
            assert_eq!(from_b.recv().unwrap(), n + 1);
        });
    });
    here.join().unwrap();
    there.join().unwrap();
}

#[test]
fn thread_locals_are_dropped_when_the_runtime_ends() {
    struct Noted(Arc<AtomicUsize>);
    impl Drop for Noted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    thread_local! {
        static NOTED: RefCell<Option<Noted>> = const { RefCell::new(None) };
    }
    let (made, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let runtime = travelling(4);
    runtime.run(|| {
        let all: Vec<_> = (0..200)
            .map(|_| {
                let (made, dropped) = (Arc::clone(&made), Arc::clone(&dropped));
                kahn::spawn(move || {
                    kahn::yield_now();
                    NOTED.with_borrow_mut(|noted| {
                        noted.get_or_insert_with(|| {
                            made.fetch_add(1, Ordering::Relaxed);
                            Noted(dropped)
                        });
                    });
                })
            })
            .collect();
        all.into_iter().for_each(|one| one.join().unwrap());
    });
    runtime.shutdown(Duration::from_secs(60)).unwrap();
    assert!(made.load(Ordering::Relaxed) > 0);
    assert_eq!(dropped.load(Ordering::Relaxed), made.load(Ordering::Relaxed));
}

#[test]
fn cancels_timeouts_and_panics_reach_green_threads_in_all_homes() {
    let runtime = travelling(4);
    runtime.run(|| {
        let (_keep, never) = bounded::<()>(0);
        let all: Vec<_> = (0..300)
            .map(|n| {
                let never = never.clone();
                kahn::spawn(move || match n % 3 {
                    0 => never.recv().unwrap_err().to_string(),
                    1 => time::timeout(Duration::from_micros(n), || never.recv()).unwrap_err().to_string(),
                    _ => {
                        kahn::yield_now();
                        std::panic::resume_unwind(Box::new("as expected"))
                    }
                })
            })
            .collect();
        for (n, one) in all.into_iter().enumerate() {
            match n % 3 {
                0 => {
                    one.cancel();
                    assert!(one.join().unwrap_err().is_cancelled());
                }
                1 => drop(one.join().unwrap()),
                _ => assert!(one.join().unwrap_err().is_panic()),
            }
        }
    });
}

#[test]
fn runtimes_that_come_and_go_leave_no_os_threads() {
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    travelling(2).run(|| kahn::spawn(|| ()).join().unwrap());
    let names = |name: &str| {
        std::fs::read_dir("/proc/self/task")
            .unwrap()
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
            .filter(|comm| comm.trim_end() == name)
            .count()
    };
    for _ in 0..50 {
        let runtime = Runtime::builder().workers(2).name("gone").homes(Homes::Travelling).build().unwrap();
        let wanted = if runtime.homes() == Homes::Travelling { 1 } else { 0 };
        assert!(names("gone-home-0") >= wanted, "of {} threads", threads());
        runtime.run(|| {
            let all: Vec<_> = (0..100).map(|_| kahn::spawn(kahn::yield_now)).collect();
            all.into_iter().for_each(|one| one.join().unwrap());
        });
        runtime.shutdown(Duration::from_secs(60)).unwrap();
        // A thread that was joined may be listed for a moment.
        while names("gone-home-0") > 0 {
            std::thread::yield_now();
        }
    }
}

#[test]
fn kind_of_homes_is_what_was_asked_for() {
    if std::env::var_os("KAHN_HOMES").is_some_and(|kind| !kind.is_empty()) {
        return;
    }
    for kind in [Homes::Travelling, Homes::KernelThreads] {
        let runtime = Runtime::builder().workers(1).homes(kind).max_homes(1).build().unwrap();
        assert_eq!(runtime.homes(), kind);
        let named = runtime.run(|| {
            kahn::yield_now();
            std::thread::current().name().map(str::to_owned)
        });
        let wanted = if kind == Homes::Travelling { "kahn-home-" } else { "kahn-worker-" };
        assert!(named.unwrap().starts_with(wanted));
    }
}
