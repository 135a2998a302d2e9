//! RwLock: readers share, writers are alone, and neither starves the other.
#![cfg(not(kahn_loom))]

mod sync_support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::TryLockError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use kahn_core::sync::{Arc, RwLock, RwLockWriteGuard};
use sync_support::{Random, each_mode, eventually, settle, size};

/// Both halves of the value change together, so a reader that meets a writer sees them differ.
#[test]
fn writer_is_alone_and_no_write_is_lost() {
    each_mode(|mode| {
        let each = size(5_000, 20);
        let lock = Arc::new(RwLock::new((0_usize, 0_usize)));
        let inside = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..4_u64)
            .map(|number| {
                let (lock, inside) = (lock.clone(), inside.clone());
                mode.spawn(move || {
                    let mut random = Random(number + 1);
                    let mut writes = 0;
                    for _ in 0..each {
                        if random.below(4) == 0 {
                            let mut value = lock.write().unwrap();
                            assert_eq!(inside.fetch_add(1 << 16, SeqCst), 0, "a writer is not alone");
                            value.0 += 1;
                            if random.below(16) == 0 {
                                sync_support::yield_now();
                            }
                            value.1 += 1;
                            writes += 1;
                            inside.fetch_sub(1 << 16, SeqCst);
                            if random.below(8) == 0 {
                                let value = RwLockWriteGuard::downgrade(value);
                                assert!(inside.fetch_add(1, SeqCst) < 1 << 16);
                                assert_eq!(value.0, value.1);
                                inside.fetch_sub(1, SeqCst);
                            }
                        } else {
                            let value = lock.read().unwrap();
                            assert!(inside.fetch_add(1, SeqCst) < 1 << 16, "a reader beside a writer");
                            if random.below(16) == 0 {
                                sync_support::yield_now();
                            }
                            assert_eq!(value.0, value.1);
                            inside.fetch_sub(1, SeqCst);
                        }
                    }
                    writes
                })
            })
            .collect();
        let writes: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(*lock.try_write().unwrap(), (writes, writes));
    });
}

#[test]
fn readers_share_the_lock() {
    each_mode(|mode| {
        let lock = Arc::new(RwLock::new(()));
        let together = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (lock, together) = (lock.clone(), together.clone());
                mode.spawn(move || {
                    let _guard = lock.read().unwrap();
                    together.fetch_add(1, SeqCst);
                    eventually(|| together.load(SeqCst) == 3);
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// Readers that overlap keep the lock held to read for ever, if a writer that waits does not hold back the next.
#[test]
fn overlapping_readers_cannot_starve_a_writer() {
    each_mode(|mode| {
        let lock = Arc::new(RwLock::new(()));
        let done = Arc::new(AtomicBool::new(false));
        let inside = Arc::new(AtomicUsize::new(0));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (lock, done, inside) = (lock.clone(), done.clone(), inside.clone());
                mode.spawn(move || {
                    while !done.load(SeqCst) {
                        let _guard = lock.read().unwrap();
                        inside.fetch_add(1, SeqCst);
                        // Goes only when the other has come, or cannot.
                        for _ in 0..200 {
                            if inside.load(SeqCst) > 1 || done.load(SeqCst) {
                                break;
                            }
                            sync_support::sleep(Duration::from_micros(20));
                        }
                        inside.fetch_sub(1, SeqCst);
                    }
                })
            })
            .collect();
        settle();
        for _ in 0..size(10, 2) {
            drop(lock.write().unwrap());
        }
        done.store(true, SeqCst);
        readers.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// Writers that come again at once: a reader is let in as soon as the one that has the lock gives it back.
#[test]
fn writers_cannot_starve_a_reader() {
    each_mode(|mode| {
        let lock = Arc::new(RwLock::new(0_usize));
        let done = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..2)
            .map(|_| {
                let (lock, done) = (lock.clone(), done.clone());
                mode.spawn(move || {
                    while !done.load(SeqCst) {
                        let mut writes = lock.write().unwrap();
                        *writes += 1;
                        sync_support::sleep(Duration::from_micros(100));
                    }
                })
            })
            .collect();
        settle();
        let rounds = size(30, 3);
        let before = *lock.read().unwrap();
        for _ in 0..rounds {
            drop(lock.read().unwrap());
        }
        let writes = *lock.read().unwrap() - before;
        done.store(true, SeqCst);
        writers.into_iter().for_each(|thread| thread.join().unwrap());
        // Two at most by the algorithm; the rest is for the reader's own delays between its reads on a loaded machine.
        assert!(writes <= rounds * 20 + 100, "{writes} writes during {rounds} reads");
    });
}

/// A hog that writes, and a light writer: by the hog's rounds, as in the mutex.
#[test]
fn writer_cannot_starve_another() {
    each_mode(|mode| {
        let wanted = size(30, 3);
        let lock = Arc::new(RwLock::new(()));
        let done = Arc::new(AtomicBool::new(false));
        let hog = {
            let (lock, done) = (lock.clone(), done.clone());
            mode.spawn(move || {
                let mut rounds = 0_usize;
                while !done.load(SeqCst) {
                    let _guard = lock.write().unwrap();
                    sync_support::sleep(Duration::from_micros(200));
                    rounds += 1;
                }
                rounds
            })
        };
        for _ in 0..wanted {
            drop(lock.write().unwrap());
        }
        done.store(true, SeqCst);
        let rounds = hog.join().unwrap();
        assert!(rounds <= wanted * 40 + 100, "{rounds} rounds of the hog for {wanted} of the light user");
    });
}

#[test]
fn try_locks_fail_exactly_when_they_must() {
    each_mode(|mode| {
        let lock = Arc::new(RwLock::new(1));
        let reader = lock.try_read().unwrap();
        assert_eq!(*lock.try_read().unwrap(), 1);
        assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
        // A writer that waits holds back new readers.
        let writer = {
            let lock = lock.clone();
            mode.spawn(move || *lock.write().unwrap() += 1)
        };
        eventually(|| lock.try_read().is_err());
        drop(reader);
        writer.join().unwrap();
        let writer = lock.try_write().unwrap();
        assert_eq!(*writer, 2);
        assert!(lock.try_read().is_err() && lock.try_write().is_err());
        drop(writer);
        assert!(lock.try_read().is_ok() && lock.try_write().is_ok());
    });
}

/// A writer that becomes a reader lets in the readers that wait, and not the writers.
#[test]
fn downgraded_writer_lets_readers_in() {
    each_mode(|mode| {
        let lock = Arc::new(RwLock::new(0));
        let mut writer = lock.write().unwrap();
        *writer = 1;
        let reader = {
            let lock = lock.clone();
            mode.spawn(move || *lock.read().unwrap())
        };
        settle();
        let mine = RwLockWriteGuard::downgrade(writer);
        assert_eq!(reader.join().unwrap(), 1);
        assert!(lock.try_write().is_err());
        drop(mine);
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn unwinding_writer_poisons_and_reader_does_not() {
    let lock = RwLock::new(0);
    let unwound = |write: bool| {
        catch_unwind(AssertUnwindSafe(|| {
            let _guards =
                if write { (Some(lock.write().unwrap()), None) } else { (None, Some(lock.read().unwrap())) };
            std::panic::resume_unwind(Box::new(()));
        }))
        .is_err()
    };
    assert!(unwound(false) && !lock.is_poisoned());
    assert!(unwound(true) && lock.is_poisoned());
    assert!(lock.read().is_err() && lock.write().is_err());
    assert!(matches!(lock.try_read(), Err(TryLockError::Poisoned(_))));
    assert!(matches!(lock.try_write(), Err(TryLockError::Poisoned(_))));
    lock.clear_poison();
    assert!(lock.read().is_ok() && lock.into_inner().is_ok());
}

#[test]
fn rwlock_has_the_traits_of_std() {
    static IN_A_STATIC: RwLock<Vec<i32>> = RwLock::new(Vec::new());
    IN_A_STATIC.write().unwrap().push(1);
    let mut lock: RwLock<i32> = 3.into();
    *lock.get_mut().unwrap() += 1;
    assert_eq!(format!("{lock:?}"), "RwLock { data: 4, poisoned: false, .. }");
    let guard = lock.write().unwrap();
    assert_eq!(format!("{guard:?} {guard} {lock:?}"), "4 4 RwLock { data: <locked>, poisoned: false, .. }");
    drop(guard);
    assert_eq!(format!("{:?}", lock.read().unwrap()), "4");
    assert_eq!(*RwLock::<i32>::default().read().unwrap(), 0);
    let unsized_value: Arc<RwLock<[i32]>> = Arc::new(RwLock::new([1, 2]));
    assert_eq!(unsized_value.read().unwrap().len(), 2);
}
