//! Mutex: mutual exclusion, no starvation, poisoning as in std.
#![cfg(not(kahn_loom))]

mod sync_support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::TryLockError;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst};

use kahn_core::sync::{Arc, Mutex};
use kahn_core::wait::{CurrentWaiter, Waiter};
use sync_support::{Mode, each_mode, eventually, settle, size};

#[test]
fn concurrent_increments_are_all_counted() {
    each_mode(|mode| {
        let each = size(100_000, 50);
        let total = Arc::new(Mutex::new(0_usize));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let total = total.clone();
                mode.spawn(move || {
                    for _ in 0..each {
                        *total.lock().unwrap() += 1;
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*total.lock().unwrap(), 4 * each);
    });
}

/// Holders that let others run see no other holder, and waiters that park are woken.
#[test]
fn holder_is_alone_while_it_parks() {
    each_mode(|mode| {
        let inside = Arc::new(AtomicUsize::new(0));
        let lock = Arc::new(Mutex::new(()));
        let threads: Vec<_> = (0..6)
            .map(|number| {
                let (inside, lock) = (inside.clone(), lock.clone());
                mode.spawn(move || {
                    for round in 0..size(300, 5) {
                        let _guard = lock.lock().unwrap();
                        assert_eq!(inside.fetch_add(1, SeqCst), 0, "two holders");
                        if (round + number) % 3 == 0 {
                            sync_support::yield_now();
                        } else if (round + number) % 16 == 0 {
                            sync_support::sleep(std::time::Duration::from_micros(50));
                        }
                        inside.fetch_sub(1, SeqCst);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// The hog keeps the lock all the time but for an instant. What a light user gets done is counted in the hog's rounds,
/// not in time: it is handed the lock after a few of them.
#[test]
fn frequent_locker_cannot_starve_a_rare_one() {
    each_mode(|mode| {
        let wanted = size(50, 3);
        let lock = Arc::new(Mutex::new(()));
        let done = Arc::new(AtomicBool::new(false));
        let hog = {
            let (lock, done) = (lock.clone(), done.clone());
            mode.spawn(move || {
                let mut rounds = 0_usize;
                while !done.load(SeqCst) {
                    let _guard = lock.lock().unwrap();
                    // Long enough for a light user that was woken to come and find it held.
                    sync_support::sleep(std::time::Duration::from_micros(200));
                    rounds += 1;
                }
                rounds
            })
        };
        let light = mode.spawn(move || {
            for _ in 0..wanted {
                drop(lock.lock().unwrap());
            }
            done.store(true, SeqCst);
        });
        light.join().unwrap();
        let rounds = hog.join().unwrap();
        // Six at most by the algorithm; the rest is for wake-ups that a loaded machine delays by several rounds.
        assert!(rounds <= wanted * 40 + 100, "{rounds} rounds of the hog for {wanted} of the light user");
    });
}

/// Waiters that have all queued before the lock is given back get it in the order of their coming.
#[test]
fn waiters_are_served_in_order() {
    each_mode(|mode| {
        let order = Arc::new(Mutex::new(Vec::new()));
        let lock = Arc::new(Mutex::new(()));
        let guard = lock.lock().unwrap();
        let threads: Vec<_> = (0..5)
            .map(|number| {
                let (order, lock) = (order.clone(), lock.clone());
                let waiter = Arc::new(AtomicPtr::new(std::ptr::null_mut::<Waiter>()));
                let published = waiter.clone();
                let thread = mode.spawn(move || {
                    let me = CurrentWaiter::current();
                    published.store(me.waiter().as_ptr(), SeqCst);
                    let _guard = lock.lock().unwrap();
                    order.lock().unwrap().push(number);
                });
                // A wait is opened with the queue locked. So the thread is in the queue before any later thread is.
                eventually(|| {
                    // SAFETY: the thread has stored its waiter, and runs until it gets the lock, which is held.
                    unsafe { waiter.load(SeqCst).as_ref() }.is_some_and(Waiter::is_waiting)
                });
                thread
            })
            .collect();
        drop(guard);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
    });
}

#[test]
fn try_lock_fails_exactly_while_held() {
    let lock = Mutex::new(1);
    let guard = lock.try_lock().unwrap();
    assert!(matches!(lock.try_lock(), Err(TryLockError::WouldBlock)));
    drop(guard);
    assert_eq!(*lock.try_lock().unwrap(), 1);
}

/// `try_lock` succeeds again after waiters have come and gone: no bit of theirs is left behind.
#[test]
fn lock_has_no_flags_left_after_waiters() {
    each_mode(|mode| {
        let lock = Arc::new(Mutex::new(()));
        for _ in 0..size(50, 3) {
            let guard = lock.lock().unwrap();
            let waiting = Arc::new(AtomicBool::new(false));
            let thread = {
                let (lock, waiting) = (lock.clone(), waiting.clone());
                mode.spawn(move || {
                    waiting.store(true, SeqCst);
                    drop(lock.lock().unwrap());
                })
            };
            eventually(|| waiting.load(SeqCst));
            drop(guard);
            thread.join().unwrap();
            drop(lock.try_lock().unwrap());
        }
    });
}

fn poison(mode: Mode, lock: &Arc<Mutex<i32>>) {
    let lock = lock.clone();
    let result = mode
        .spawn(move || {
            let mut guard = lock.lock().unwrap();
            *guard += 1;
            std::panic::resume_unwind(Box::new("half way"));
        })
        .join();
    assert!(result.is_err());
}

#[test]
fn unwinding_holder_poisons() {
    each_mode(|mode| {
        let lock = Arc::new(Mutex::new(0));
        poison(mode, &lock);
        assert!(lock.is_poisoned());
        assert_eq!(*lock.lock().unwrap_err().into_inner(), 1);
        assert!(matches!(lock.try_lock(), Err(TryLockError::Poisoned(guard)) if **guard.get_ref() == 1));
        lock.clear_poison();
        assert!(!lock.is_poisoned());
        assert_eq!(*lock.lock().unwrap(), 1);
        poison(mode, &lock);
        let mut lock = Arc::into_inner(lock).unwrap();
        assert_eq!(*lock.get_mut().unwrap_err().into_inner(), 2);
        assert_eq!(lock.into_inner().unwrap_err().into_inner(), 2);
    });
}

/// A waiter that is parked as the holder unwinds gets the lock, and is told.
#[test]
fn parked_waiter_is_told_of_poison() {
    each_mode(|mode| {
        let lock = Arc::new(Mutex::new(0));
        let guard = lock.lock().unwrap();
        let waiter = {
            let lock = lock.clone();
            mode.spawn(move || lock.lock().is_err())
        };
        settle();
        let unwound = catch_unwind(AssertUnwindSafe(move || {
            let _guard = guard;
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(unwound.is_err());
        assert!(waiter.join().unwrap());
    });
}

/// A destructor that locks and unlocks while its thread unwinds has changed the value as it should.
#[test]
fn guard_taken_while_unwinding_does_not_poison() {
    struct Touch<'a>(&'a Mutex<i32>);
    impl Drop for Touch<'_> {
        fn drop(&mut self) {
            *self.0.lock().unwrap() += 1;
        }
    }
    let lock = Mutex::new(0);
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _touch = Touch(&lock);
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(unwound.is_err());
    assert_eq!(*lock.lock().unwrap(), 1);
}

#[test]
fn mutex_has_the_traits_of_std() {
    static IN_A_STATIC: Mutex<Vec<i32>> = Mutex::new(Vec::new());
    IN_A_STATIC.lock().unwrap().push(1);
    let lock: Mutex<i32> = 3.into();
    assert_eq!(format!("{lock:?}"), "Mutex { data: 3, poisoned: false, .. }");
    let guard = lock.lock().unwrap();
    assert_eq!(format!("{guard:?} {guard} {lock:?}"), "3 3 Mutex { data: <locked>, poisoned: false, .. }");
    assert_eq!(*Mutex::<i32>::default().lock().unwrap(), 0);
    let unsized_value: Arc<Mutex<[i32]>> = Arc::new(Mutex::new([1, 2]));
    assert_eq!(unsized_value.lock().unwrap().len(), 2);
}
