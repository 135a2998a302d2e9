//! Cancelled waits leave every lock as if the waiter had never come.
#![cfg(not(any(kahn_loom, kahn_threads, miri)))]

mod sync_support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use kahn_core::Runtime;
use kahn_core::sync::{Arc, Barrier, Condvar, Mutex, Once, OnceLock, RwLock, Semaphore, WaitGroup};
use kahn_core::time::timeout;
use kahn_core::wait::{CurrentWaiter, Waiter, is_internal_unwind, shield};
use sync_support::{Mode, Random, each_mode, eventually, settle, size, yield_now};

/// Threads that another thread may cancel. They wait at the end until no reference to their waiter is left.
struct Victim {
    waiter: Arc<AtomicUsize>,
    let_go: Arc<AtomicBool>,
    thread: sync_support::Handle<bool>,
}

impl Victim {
    /// Runs `f` on a thread of its own, which can be cancelled.
    fn run(mode: Mode, f: impl FnOnce() + Send + 'static) -> Victim {
        let waiter = Arc::new(AtomicUsize::new(0));
        let let_go = Arc::new(AtomicBool::new(false));
        let (address, go) = (waiter.clone(), let_go.clone());
        let thread = mode.spawn(move || {
            let me = CurrentWaiter::current();
            address.store(me.waiter().as_ptr().expose_provenance(), SeqCst);
            let outcome = catch_unwind(AssertUnwindSafe(f));
            // Shielded: cancelled already, it would not come to the end.
            shield(|| {
                while !go.load(SeqCst) {
                    kahn_core::thread::sleep(std::time::Duration::from_micros(50));
                }
            });
            match outcome {
                Ok(()) => false,
                Err(payload) => {
                    assert!(is_internal_unwind(&*payload), "panicked instead of being cancelled");
                    true
                }
            }
        });
        eventually(|| waiter.load(SeqCst) != 0);
        Victim { waiter, let_go, thread }
    }

    /// Cancels the thread, and returns whether that ended `f`.
    fn cancel(self) -> bool {
        let waiter = std::ptr::with_exposed_provenance_mut::<Waiter>(self.waiter.load(SeqCst));
        let waiter = std::ptr::NonNull::new(waiter).unwrap();
        // SAFETY: the thread stays alive, and with it its waiter, until it is let go below.
        drop(unsafe { Waiter::cancel(waiter) });
        self.let_go.store(true, SeqCst);
        self.thread.join().unwrap()
    }
}

#[test]
fn cancelled_lock_takes_nothing() {
    each_mode(a_cancelled_lock_takes_nothing_in);
}

fn a_cancelled_lock_takes_nothing_in(mode: Mode) {
    let lock = Arc::new(Mutex::new(0));
    let guard = lock.lock().unwrap();
    let victim = {
        let lock = lock.clone();
        Victim::run(mode, move || *lock.lock().unwrap() += 1)
    };
    settle();
    assert!(victim.cancel());
    drop(guard);
    assert_eq!(*lock.try_lock().unwrap(), 0);
    assert!(!lock.is_poisoned());
}

/// Cancels race with hand-overs among others that use the lock in earnest: it stays usable, and every increment counts.
#[test]
fn cancels_race_with_hand_overs() {
    each_mode(cancels_race_with_hand_overs_in);
}

fn cancels_race_with_hand_overs_in(mode: Mode) {
    let mut random = Random(1);
    for _ in 0..size(150, 3) {
        let lock = Arc::new(Mutex::new(0_usize));
        let counted = Arc::new(AtomicUsize::new(0));
        let users: Vec<_> = (0..2)
            .map(|_| {
                let (lock, counted) = (lock.clone(), counted.clone());
                mode.spawn(move || {
                    for _ in 0..20 {
                        let mut value = lock.lock().unwrap();
                        kahn_core::thread::yield_now();
                        *value += 1;
                        counted.fetch_add(1, SeqCst);
                    }
                })
            })
            .collect();
        let victims: Vec<_> = (0..2)
            .map(|_| {
                let (lock, counted) = (lock.clone(), counted.clone());
                Victim::run(mode, move || {
                    for _ in 0..20 {
                        let mut value = lock.lock().unwrap();
                        *value += 1;
                        counted.fetch_add(1, SeqCst);
                    }
                })
            })
            .collect();
        for _ in 0..random.below(200) {
            std::hint::spin_loop();
        }
        for victim in victims {
            victim.cancel();
        }
        users.into_iter().for_each(|user| user.join().unwrap());
        assert_eq!(*lock.try_lock().unwrap(), counted.load(SeqCst));
    }
}

/// The guard was handed over, so nothing is poisoned, and no waiter loses its turn.
#[test]
fn cancelled_condvar_wait_leaves_the_lock_free_and_whole() {
    each_mode(a_cancelled_condvar_wait_leaves_the_lock_free_and_whole_in);
}

fn a_cancelled_condvar_wait_leaves_the_lock_free_and_whole_in(mode: Mode) {
    let shared = Arc::new((Mutex::new(false), Condvar::new()));
    let victim = {
        let shared = shared.clone();
        Victim::run(mode, move || drop(shared.1.wait_while(shared.0.lock().unwrap(), |ready| !*ready)))
    };
    settle();
    let bystander = {
        let shared = shared.clone();
        mode.spawn(move || drop(shared.1.wait_while(shared.0.lock().unwrap(), |ready| !*ready)))
    };
    settle();
    assert!(victim.cancel());
    *shared.0.try_lock().expect("free and not poisoned") = true;
    shared.1.notify_one();
    bystander.join().unwrap();
}

#[test]
fn cancelled_writer_lets_waiting_readers_in() {
    each_mode(a_cancelled_writer_lets_the_readers_in_that_it_held_back_in);
}

fn a_cancelled_writer_lets_the_readers_in_that_it_held_back_in(mode: Mode) {
    let lock = Arc::new(RwLock::new(()));
    let reader = lock.read().unwrap();
    let writer = {
        let lock = lock.clone();
        Victim::run(mode, move || drop(lock.write()))
    };
    eventually(|| lock.try_read().is_err());
    let held_back = {
        let lock = lock.clone();
        mode.spawn(move || drop(lock.read()))
    };
    settle();
    assert!(!held_back.is_finished());
    assert!(writer.cancel());
    held_back.join().unwrap();
    drop(reader);
    assert!(lock.try_write().is_ok());
}

#[test]
fn cancelled_reader_takes_nothing() {
    each_mode(a_cancelled_reader_takes_nothing_in);
}

fn a_cancelled_reader_takes_nothing_in(mode: Mode) {
    let lock = Arc::new(RwLock::new(()));
    let writer = lock.write().unwrap();
    let reader = {
        let lock = lock.clone();
        Victim::run(mode, move || drop(lock.read()))
    };
    settle();
    assert!(reader.cancel());
    drop(writer);
    assert!(lock.try_write().is_ok());
}

/// Readers and writers, some cancelled at any moment: at the end the lock is free and clean.
#[test]
fn cancels_race_with_turns_of_readers_and_writers() {
    each_mode(cancels_race_with_turns_of_readers_and_writers_in);
}

fn cancels_race_with_turns_of_readers_and_writers_in(mode: Mode) {
    let mut random = Random(2);
    for _ in 0..size(150, 3) {
        let lock = Arc::new(RwLock::new(0_usize));
        let user = |writes: bool| {
            let lock = lock.clone();
            move || {
                for round in 0..20 {
                    if writes == (round % 3 > 0) {
                        *lock.write().unwrap() += 1;
                    } else {
                        let _value = lock.read().unwrap();
                        kahn_core::thread::yield_now();
                    }
                }
            }
        };
        let users: Vec<_> = [true, false].map(|writes| mode.spawn(user(writes))).into();
        let victims: Vec<_> = [true, false].map(|writes| Victim::run(mode, user(writes))).into();
        for _ in 0..random.below(200) {
            std::hint::spin_loop();
        }
        for victim in victims {
            victim.cancel();
        }
        users.into_iter().for_each(|user| user.join().unwrap());
        drop(lock.try_write().expect("free and not poisoned"));
        drop(lock.try_read().expect("no waiter is left"));
    }
}

#[test]
fn cancelled_acquire_lets_later_waiters_pass() {
    each_mode(a_cancelled_acquire_lets_those_behind_pass_in);
}

fn a_cancelled_acquire_lets_those_behind_pass_in(mode: Mode) {
    let semaphore = Arc::new(Semaphore::new(1));
    let greedy = {
        let semaphore = semaphore.clone();
        Victim::run(mode, move || drop(semaphore.acquire_many(2)))
    };
    eventually(|| semaphore.try_acquire().is_none());
    let modest = {
        let semaphore = semaphore.clone();
        mode.spawn(move || drop(semaphore.acquire()))
    };
    settle();
    assert!(greedy.cancel());
    modest.join().unwrap();
    assert_eq!(semaphore.available_permits(), 1);
}

#[test]
fn cancelled_barrier_wait_does_not_count() {
    each_mode(a_cancelled_barrier_wait_does_not_count_in);
}

fn a_cancelled_barrier_wait_does_not_count_in(mode: Mode) {
    let barrier = Arc::new(Barrier::new(2));
    let victim = {
        let barrier = barrier.clone();
        Victim::run(mode, move || _ = barrier.wait())
    };
    settle();
    assert!(victim.cancel());
    let other = {
        let barrier = barrier.clone();
        mode.spawn(move || barrier.wait().is_leader())
    };
    settle();
    assert!(!other.is_finished(), "the cancelled one was counted");
    let leads = barrier.wait().is_leader();
    assert_ne!(leads, other.join().unwrap());
}

#[test]
fn cancelled_waits_for_an_initialiser_and_a_group() {
    each_mode(cancelled_waits_for_an_initialiser_and_a_group_in);
}

fn cancelled_waits_for_an_initialiser_and_a_group_in(mode: Mode) {
    let (once, cell, group) = (Arc::new(Once::new()), Arc::new(OnceLock::<i32>::new()), WaitGroup::new());
    let victims = [
        Victim::run(mode, {
            let once = once.clone();
            move || once.wait()
        }),
        Victim::run(mode, {
            let cell = cell.clone();
            move || _ = cell.wait()
        }),
        Victim::run(mode, {
            let member = group.clone();
            move || member.wait()
        }),
    ];
    settle();
    for victim in victims {
        assert!(victim.cancel());
    }
    once.call_once(|| {});
    assert_eq!(cell.set(1), Ok(()));
    group.wait();
}

/// A cancelled initializer: the cell stays empty, and a waiting caller initializes it.
#[test]
fn cancelled_initialiser_is_taken_over() {
    each_mode(a_cancelled_initialiser_is_taken_over_in);
}

fn a_cancelled_initialiser_is_taken_over_in(mode: Mode) {
    let (cell, never) = (Arc::new(OnceLock::new()), Arc::new(Semaphore::new(0)));
    let victim = {
        let (cell, never) = (cell.clone(), never.clone());
        Victim::run(mode, move || {
            cell.get_or_init(|| never.acquire().permits());
        })
    };
    settle();
    let heir = {
        let cell = cell.clone();
        mode.spawn(move || *cell.get_or_init(|| 7))
    };
    settle();
    assert!(victim.cancel());
    assert_eq!(heir.join().unwrap(), 7);
}

/// Keeps the only worker of a runtime busy until it is told to stop.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn new(runtime: &Runtime) -> Busy {
        let (started, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (starts, stops) = (started.clone(), stop.clone());
        runtime.spawn(move || {
            starts.store(true, SeqCst);
            while !stops.load(SeqCst) {
                std::hint::spin_loop();
            }
        });
        eventually(|| started.load(SeqCst));
        Busy(stop)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// One waits, of a kind, on a worker of its own, and is cancelled; then its worker is kept busy, so that it does not
/// run.
fn cancelled_and_not_run<T: Send + 'static, O>(
    wait: impl FnOnce() -> T + Send + 'static,
    others: impl FnOnce() -> O,
    and_then: impl FnOnce(O),
) {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let coming = Arc::new(AtomicBool::new(false));
    let comes = coming.clone();
    let doomed = runtime.spawn(move || {
        comes.store(true, SeqCst);
        wait()
    });
    eventually(|| coming.load(SeqCst));
    // It has parked when the worker runs another.
    let busy = Busy::new(&runtime);
    let others = others();
    doomed.cancel();
    and_then(others);
    drop(busy);
    assert!(doomed.join().is_err_and(|error| error.is_cancelled()));
}

#[test]
fn cancelled_semaphore_waiter_holds_up_no_other_before_it_runs() {
    each_mode(|mode| {
        let semaphore = Arc::new(Semaphore::new(2));
        let (first, acquire) = (semaphore.clone(), semaphore.clone());
        cancelled_and_not_run(
            move || first.acquire_many(5).forget(),
            || {
                let behind = [semaphore.clone(), semaphore.clone()]
                    .map(|semaphore| mode.spawn(move || semaphore.acquire().forget()));
                settle();
                assert!(acquire.try_acquire().is_none(), "it holds them up as long as it waits");
                behind
            },
            |behind| behind.into_iter().for_each(|thread| thread.join().unwrap()),
        );
        assert_eq!(semaphore.available_permits(), 0);
    });
}

#[test]
fn newcomers_pass_a_cancelled_semaphore_waiter_before_it_runs() {
    let semaphore = Arc::new(Semaphore::new(2));
    let first = semaphore.clone();
    cancelled_and_not_run(
        move || first.acquire_many(5).forget(),
        || {},
        |()| drop((semaphore.try_acquire().unwrap(), semaphore.acquire())),
    );
}

#[test]
fn cancelled_writer_holds_no_reader_up_before_it_runs() {
    each_mode(|mode| {
        let lock = Arc::new(RwLock::new(0));
        let held = lock.read().unwrap();
        let writer = lock.clone();
        cancelled_and_not_run(
            move || drop(writer.write()),
            || {
                let reading = lock.clone();
                let behind = mode.spawn(move || drop(reading.read().unwrap()));
                settle();
                assert!(lock.try_read().is_err(), "it holds them up as long as it waits");
                behind
            },
            |behind| {
                behind.join().unwrap();
                assert_eq!(*lock.try_read().unwrap(), 0);
            },
        );
        drop(held);
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn cancelled_reader_leaves_the_lock_to_later_waiters_before_it_runs() {
    each_mode(|mode| {
        let lock = Arc::new(RwLock::new(0));
        let held = lock.write().unwrap();
        let reader = lock.clone();
        cancelled_and_not_run(
            move || drop(reader.read()),
            || {},
            |()| {
                drop(held);
                let writer = lock.clone();
                mode.spawn(move || *writer.write().unwrap() += 1).join().unwrap();
                assert_eq!(*lock.try_read().unwrap(), 1);
            },
        );
    });
}

#[test]
fn mutex_passes_a_cancelled_waiter_over_before_it_runs() {
    each_mode(|mode| {
        let lock = Arc::new(Mutex::new(0));
        let held = lock.lock().unwrap();
        let waiter = lock.clone();
        cancelled_and_not_run(
            move || drop(waiter.lock()),
            || {
                let lock = lock.clone();
                let behind = mode.spawn(move || *lock.lock().unwrap() += 1);
                settle();
                behind
            },
            |behind| {
                drop(held);
                behind.join().unwrap();
            },
        );
        assert_eq!(*lock.lock().unwrap(), 1);
    });
}

#[test]
fn notification_passes_a_cancelled_waiter_over_before_it_runs() {
    each_mode(|mode| {
        let shared = Arc::new((Mutex::new(0), Condvar::new()));
        let waiter = shared.clone();
        cancelled_and_not_run(
            move || drop(waiter.1.wait(waiter.0.lock().unwrap())),
            || {
                let shared = shared.clone();
                let waiting = Arc::new(AtomicBool::new(false));
                let waits = waiting.clone();
                let behind = mode.spawn(move || {
                    let guard = shared.0.lock().unwrap();
                    waits.store(true, SeqCst);
                    drop(shared.1.wait_while(guard, |n| *n == 0));
                });
                eventually(|| waiting.load(SeqCst));
                behind
            },
            |behind| {
                // With the lock: a thread that has announced its wait has released it.
                *shared.0.lock().unwrap() = 1;
                shared.1.notify_one();
                behind.join().unwrap();
            },
        );
    });
}

/// Three that live have to come. If the cancelled one counted, two would pass, and the third would wait for ever.
#[test]
fn barrier_does_not_count_a_cancelled_waiter() {
    each_mode(|mode| {
        let barrier = Arc::new(Barrier::new(3));
        let first = barrier.clone();
        cancelled_and_not_run(
            move || first.wait(),
            || {},
            |()| {
                let waiting: Vec<_> = (0..3)
                    .map(|_| {
                        let barrier = barrier.clone();
                        mode.spawn(move || barrier.wait().is_leader())
                    })
                    .collect();
                let leaders = waiting.into_iter().map(|thread| thread.join().unwrap());
                assert_eq!(leaders.filter(|leads| *leads).count(), 1);
            },
        );
    });
}

#[test]
fn barrier_does_not_count_a_timed_out_waiter() {
    each_mode(|mode| {
        let barrier = Arc::new(Barrier::new(3));
        let alone = timeout(Duration::from_millis(1), || barrier.wait());
        assert!(alone.is_err());
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let barrier = barrier.clone();
                mode.spawn(move || barrier.wait().is_leader())
            })
            .collect();
        let leaders: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(leaders.iter().filter(|leads| **leads).count(), 1);
    });
}

/// Cancels that race with the last to come: each meeting has as many as it needs, and one leader.
#[test]
fn barrier_is_exact_while_waiters_are_cancelled() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    each_mode(|mode| {
        for round in 0..size(300, 3) {
            let barrier = Arc::new(Barrier::new(4));
            let doomed: Vec<_> = (0..2)
                .map(|_| {
                    let barrier = barrier.clone();
                    runtime.spawn(move || barrier.wait().is_leader())
                })
                .collect();
            let come = || {
                let barrier = barrier.clone();
                mode.spawn(move || barrier.wait().is_leader())
            };
            let mut live: Vec<_> = (0..4).map(|_| come()).collect();
            if round % 2 == 0 {
                yield_now();
            }
            doomed.iter().for_each(|thread| thread.cancel());
            let passed: Vec<_> = doomed.into_iter().filter_map(|thread| thread.join().ok()).collect();
            // Those that were let through have taken others' places in the first meeting: as many have to come.
            let missing = (4 - passed.len()) * usize::from(!passed.is_empty());
            live.extend((0..missing).map(|_| come()));
            let meetings = (live.len() + passed.len()) / 4;
            let leaders = live.into_iter().map(|thread| thread.join().unwrap()).chain(passed);
            assert_eq!(leaders.filter(|leads| *leads).count(), meetings);
        }
    });
}
