//! Models of the locks: every order of the steps of two or three threads. `ci/loom.sh` runs them.
#![cfg(kahn_loom)]

use std::time::Duration;

use kahn_core::sync::{Barrier, Condvar, Mutex, OnceLock, RwLock, RwLockWriteGuard, Semaphore, WaitGroup};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

/// A value whose every use the model checks to be ordered after the last.
struct Checked(UnsafeCell<usize>);

// SAFETY: the model fails when two threads use it at once.
unsafe impl Sync for Checked {}
// SAFETY: as above.
unsafe impl Send for Checked {}

impl Checked {
    fn new() -> Checked {
        Checked(UnsafeCell::new(0))
    }

    fn add(&self) -> usize {
        self.0.with_mut(|value| {
            // SAFETY: as above.
            unsafe {
                *value += 1;
                *value
            }
        })
    }

    fn get(&self) -> usize {
        // SAFETY: as above.
        self.0.with(|value| unsafe { *value })
    }
}

fn model(preemptions: usize, f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(f);
}

#[test]
fn mutex_two_threads_thrice() {
    model(4, || {
        let lock = Arc::new(Mutex::new(Checked::new()));
        let other = {
            let lock = lock.clone();
            thread::spawn(move || {
                for _ in 0..3 {
                    lock.lock().unwrap().add();
                }
            })
        };
        for _ in 0..3 {
            lock.lock().unwrap().add();
        }
        other.join().unwrap();
        assert_eq!(lock.lock().unwrap().get(), 6);
    });
}

#[test]
fn mutex_three_threads() {
    model(3, || {
        let lock = Arc::new(Mutex::new(Checked::new()));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let lock = lock.clone();
                thread::spawn(move || {
                    lock.lock().unwrap().add();
                })
            })
            .collect();
        lock.lock().unwrap().add();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(lock.lock().unwrap().get(), 3);
    });
}

/// One waiter starves while another waits behind it. The hand-over does not lose the second.
#[test]
fn mutex_three_threads_again_and_again() {
    model(2, || {
        let lock = Arc::new(Mutex::new(Checked::new()));
        let others: Vec<_> = [2, 1]
            .into_iter()
            .map(|rounds| {
                let lock = lock.clone();
                thread::spawn(move || {
                    for _ in 0..rounds {
                        lock.lock().unwrap().add();
                    }
                })
            })
            .collect();
        for _ in 0..3 {
            lock.lock().unwrap().add();
        }
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(lock.lock().unwrap().get(), 6);
    });
}

#[test]
fn mutex_try_lock() {
    model(3, || {
        let lock = Arc::new(Mutex::new(Checked::new()));
        let other = {
            let lock = lock.clone();
            thread::spawn(move || lock.try_lock().map(|value| value.add()).is_ok())
        };
        lock.lock().unwrap().add();
        let tried = other.join().unwrap();
        assert_eq!(lock.lock().unwrap().get(), 1 + usize::from(tried));
    });
}

/// One waits for the other's word: a notification between its look and its park is not lost.
#[test]
fn condvar_notify_is_not_lost() {
    model(3, || {
        let shared = Arc::new((Mutex::new(false), Condvar::new()));
        let setter = {
            let shared = shared.clone();
            thread::spawn(move || {
                *shared.0.lock().unwrap() = true;
                shared.1.notify_one();
            })
        };
        let guard = shared.1.wait_while(shared.0.lock().unwrap(), |ready| !*ready).unwrap();
        assert!(*guard);
        drop(guard);
        setter.join().unwrap();
    });
}

#[test]
fn condvar_notify_all_wakes_both() {
    model(2, || {
        let shared = Arc::new((Mutex::new(false), Condvar::new()));
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || {
                    drop(shared.1.wait_while(shared.0.lock().unwrap(), |ready| !*ready).unwrap());
                })
            })
            .collect();
        *shared.0.lock().unwrap() = true;
        shared.1.notify_all();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    });
}

/// A time-out races with a notification: one of the two ends the wait, and the lock is taken again.
#[test]
fn condvar_time_out_races_with_notify() {
    model(3, || {
        let shared = Arc::new((Mutex::new(Checked::new()), Condvar::new()));
        let notifier = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.0.lock().unwrap().add();
                shared.1.notify_one();
            })
        };
        let guard = shared.0.lock().unwrap();
        let (guard, _) = shared.1.wait_timeout(guard, Duration::from_secs(1)).unwrap();
        guard.add();
        drop(guard);
        notifier.join().unwrap();
        assert_eq!(shared.0.lock().unwrap().get(), 2);
    });
}

#[test]
fn rwlock_writers_and_a_reader() {
    model(3, || {
        let lock = Arc::new(RwLock::new(Checked::new()));
        let writer = {
            let lock = lock.clone();
            thread::spawn(move || {
                lock.write().unwrap().add();
            })
        };
        let reader = {
            let lock = lock.clone();
            thread::spawn(move || assert!(lock.read().unwrap().get() <= 2))
        };
        lock.write().unwrap().add();
        writer.join().unwrap();
        reader.join().unwrap();
        assert_eq!(lock.read().unwrap().get(), 2);
    });
}

#[test]
fn rwlock_readers_and_a_writer() {
    model(3, || {
        let lock = Arc::new(RwLock::new(Checked::new()));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let lock = lock.clone();
                thread::spawn(move || assert!(lock.read().unwrap().get() <= 1))
            })
            .collect();
        lock.write().unwrap().add();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        assert_eq!(lock.try_write().unwrap().get(), 1);
    });
}

/// A writer that loses is handed the lock at its second return, in the model.
#[test]
fn rwlock_two_writers_again_and_again() {
    model(4, || {
        let lock = Arc::new(RwLock::new(Checked::new()));
        let other = {
            let lock = lock.clone();
            thread::spawn(move || {
                for _ in 0..3 {
                    lock.write().unwrap().add();
                }
            })
        };
        for _ in 0..3 {
            lock.write().unwrap().add();
        }
        other.join().unwrap();
        assert_eq!(lock.read().unwrap().get(), 6);
    });
}

/// One is on its way while another waits.
#[test]
fn rwlock_three_writers() {
    model(3, || {
        let lock = Arc::new(RwLock::new(Checked::new()));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let lock = lock.clone();
                thread::spawn(move || {
                    lock.write().unwrap().add();
                })
            })
            .collect();
        for _ in 0..2 {
            lock.write().unwrap().add();
        }
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(lock.try_write().unwrap().get(), 4);
    });
}

#[test]
fn rwlock_downgrade() {
    model(3, || {
        let lock = Arc::new(RwLock::new(Checked::new()));
        let reader = {
            let lock = lock.clone();
            thread::spawn(move || assert!(lock.read().unwrap().get() <= 2))
        };
        let writer = {
            let lock = lock.clone();
            thread::spawn(move || {
                lock.write().unwrap().add();
            })
        };
        let guard = lock.write().unwrap();
        let mine = guard.add();
        assert_eq!(RwLockWriteGuard::downgrade(guard).get(), mine);
        reader.join().unwrap();
        writer.join().unwrap();
        assert_eq!(lock.try_write().unwrap().get(), 2);
    });
}

#[test]
fn semaphore_two_of_three() {
    model(2, || {
        let semaphore = Arc::new(Semaphore::new(2));
        let others: Vec<_> = [2, 1]
            .into_iter()
            .map(|n| {
                let semaphore = semaphore.clone();
                thread::spawn(move || drop(semaphore.acquire_many(n)))
            })
            .collect();
        drop(semaphore.acquire_many(2));
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(semaphore.available_permits(), 2);
    });
}

/// A permit is the right to touch the value; and a time-out that races with its coming loses none.
#[test]
fn semaphore_time_out_races_with_release() {
    model(3, || {
        let shared = Arc::new((Semaphore::new(1), Checked::new()));
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                let _permit = shared.0.acquire();
                shared.1.add();
            })
        };
        if let Some(_permit) = shared.0.acquire_timeout(Duration::from_secs(1)) {
            shared.1.add();
        }
        other.join().unwrap();
        assert_eq!(shared.0.available_permits(), 1);
    });
}

/// A waiter that has timed out no longer keeps those behind it, although nothing is released.
#[test]
fn semaphore_serves_those_behind_a_wait_that_has_timed_out() {
    model(2, || {
        let semaphore = Arc::new(Semaphore::new(2));
        let held = semaphore.acquire();
        let first = {
            let semaphore = semaphore.clone();
            thread::spawn(move || {
                assert!(semaphore.acquire_many_timeout(2, Duration::from_secs(1)).is_none())
            })
        };
        let second = {
            let semaphore = semaphore.clone();
            thread::spawn(move || drop(semaphore.acquire()))
        };
        first.join().unwrap();
        second.join().unwrap();
        drop(held);
        assert_eq!(semaphore.available_permits(), 2);
    });
}

#[test]
fn barrier_of_two_meets_twice() {
    model(3, || {
        let barrier = Arc::new(Barrier::new(2));
        let other = {
            let barrier = barrier.clone();
            thread::spawn(move || (0..2).filter(|_| barrier.wait().is_leader()).count())
        };
        let mine = (0..2).filter(|_| barrier.wait().is_leader()).count();
        assert_eq!(other.join().unwrap() + mine, 2);
    });
}

#[test]
fn once_lock_race_and_wait() {
    model(2, || {
        let cell = Arc::new(OnceLock::new());
        let other = {
            let cell = cell.clone();
            thread::spawn(move || *cell.get_or_init(|| 1))
        };
        let waiter = {
            let cell = cell.clone();
            thread::spawn(move || *cell.wait())
        };
        let mine = *cell.get_or_init(|| 2);
        assert_eq!((other.join().unwrap(), waiter.join().unwrap()), (mine, mine));
    });
}

/// A thread that finds the value without waiting sees everything that the initializer wrote.
#[test]
fn once_lock_value_is_complete_when_seen() {
    model(3, || {
        let shared = Arc::new((OnceLock::new(), Checked::new()));
        let finder = {
            let shared = shared.clone();
            thread::spawn(move || {
                if let Some(value) = shared.0.get() {
                    assert_eq!((*value, shared.1.get()), (1, 1));
                }
            })
        };
        shared.0.set(shared.1.add()).unwrap();
        finder.join().unwrap();
    });
}

#[test]
fn wait_group_sees_what_members_did() {
    model(3, || {
        let shared = Arc::new((Checked::new(), Mutex::new(())));
        let group = WaitGroup::new();
        for _ in 0..2 {
            let (member, shared) = (group.clone(), shared.clone());
            thread::spawn(move || {
                let guard = shared.1.lock().unwrap();
                shared.0.add();
                drop(guard);
                drop(member);
            });
        }
        group.wait();
        assert_eq!(shared.0.get(), 2);
    });
}
