//! Once, OnceLock, LazyLock and WaitGroup: initialization happens once, also when an initializer fails.
#![cfg(not(kahn_loom))]

mod sync_support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use kahn_core::sync::{Arc, LazyLock, Once, OnceLock, WaitGroup};
use sync_support::{each_mode, eventually, settle, size};

fn unwinds(f: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

fn unwind() {
    std::panic::resume_unwind(Box::new("on purpose"))
}

#[test]
fn once_runs_once_and_all_callers_see_it_done() {
    each_mode(|mode| {
        for _ in 0..size(300, 3) {
            let shared = Arc::new((Once::new(), AtomicUsize::new(0)));
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let shared = shared.clone();
                    mode.spawn(move || {
                        shared.0.call_once(|| {
                            sync_support::yield_now();
                            shared.1.fetch_add(1, SeqCst);
                        });
                        assert_eq!(shared.1.load(SeqCst), 1);
                    })
                })
                .collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert!(shared.0.is_completed());
        }
    });
}

#[test]
fn once_is_poisoned_by_an_unwind_until_forced() {
    let once = Once::new();
    assert!(unwinds(|| once.call_once(unwind)));
    assert!(!once.is_completed());
    assert!(unwinds(|| once.call_once(|| {})));
    assert!(unwinds(|| once.wait()));
    let mut told = false;
    once.call_once_force(|state| told = state.is_poisoned());
    assert!(told && once.is_completed());
    once.call_once(unwind);
    once.wait();
}

/// Threads that are parked when the initializer unwinds are told, one by one, and `wait_force` waits on.
#[test]
fn parked_callers_are_told_of_poison() {
    each_mode(|mode| {
        let once = Arc::new(Once::new());
        let started = Arc::new(AtomicUsize::new(0));
        let first = {
            let (once, started) = (once.clone(), started.clone());
            mode.spawn(move || {
                once.call_once(|| {
                    started.fetch_add(1, SeqCst);
                    eventually(|| started.load(SeqCst) == 4);
                    settle();
                    unwind();
                });
            })
        };
        eventually(|| started.load(SeqCst) == 1);
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let (once, started) = (once.clone(), started.clone());
                mode.spawn(move || {
                    started.fetch_add(1, SeqCst);
                    unwinds(|| once.call_once(|| {}))
                })
            })
            .collect();
        let patient = {
            let (once, started) = (once.clone(), started.clone());
            mode.spawn(move || {
                started.fetch_add(1, SeqCst);
                once.wait_force();
                once.is_completed()
            })
        };
        assert!(first.join().is_err());
        callers.into_iter().for_each(|caller| assert!(caller.join().unwrap()));
        assert!(!patient.is_finished());
        once.call_once_force(|_| {});
        assert!(patient.join().unwrap());
    });
}

#[test]
fn once_lock_has_one_winner() {
    each_mode(|mode| {
        for _ in 0..size(300, 3) {
            let cell = Arc::new(OnceLock::new());
            let waiter = {
                let cell = cell.clone();
                mode.spawn(move || *cell.wait())
            };
            let threads: Vec<_> = (0..4)
                .map(|number| {
                    let cell = cell.clone();
                    mode.spawn(move || (cell.set(number).is_ok(), *cell.get().unwrap()))
                })
                .collect();
            let results: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            assert_eq!(results.iter().filter(|(won, _)| *won).count(), 1);
            let winner = results.iter().position(|(won, _)| *won).unwrap();
            assert!(results.iter().all(|(_, value)| *value == winner));
            assert_eq!(waiter.join().unwrap(), winner);
        }
    });
}

/// After an initializer has unwound, the next caller initializes. It may be parked already.
#[test]
fn once_lock_is_initialized_by_the_next_caller_after_an_unwind() {
    each_mode(|mode| {
        let cell = Arc::new(OnceLock::new());
        let others = Arc::new(AtomicUsize::new(0));
        let first = {
            let (cell, others) = (cell.clone(), others.clone());
            mode.spawn(move || {
                cell.get_or_init(|| {
                    others.fetch_add(1, SeqCst);
                    eventually(|| others.load(SeqCst) == 4);
                    settle();
                    unwind();
                    0
                });
            })
        };
        eventually(|| others.load(SeqCst) == 1);
        let calls = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (cell, others, calls) = (cell.clone(), others.clone(), calls.clone());
                mode.spawn(move || {
                    others.fetch_add(1, SeqCst);
                    *cell.get_or_init(|| {
                        calls.fetch_add(1, SeqCst);
                        7
                    })
                })
            })
            .collect();
        assert!(first.join().is_err());
        threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), 7));
        assert_eq!(calls.load(SeqCst), 1);
    });
}

/// Counts its drops.
#[derive(Clone)]
struct Counted(Arc<AtomicUsize>);
impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn once_lock_drops_its_value_once() {
    let drops = Arc::new(AtomicUsize::new(0));
    let mut cell = OnceLock::from(Counted(drops.clone()));
    assert!(cell.set(Counted(drops.clone())).is_err());
    assert_eq!(drops.load(SeqCst), 1, "the value handed back");
    drop(cell.take());
    assert_eq!(drops.load(SeqCst), 2);
    assert!(cell.get().is_none() && cell.get_mut().is_none());
    assert!(cell.set(Counted(drops.clone())).is_ok());
    drop(cell.clone().into_inner());
    assert_eq!(drops.load(SeqCst), 3);
    drop(cell);
    drop(OnceLock::<Counted>::new());
    assert_eq!(drops.load(SeqCst), 4);
}

#[test]
fn once_lock_has_the_traits_of_std() {
    let (empty, full) = (OnceLock::<i32>::default(), OnceLock::from(1));
    assert_eq!(format!("{empty:?} {full:?}"), "OnceLock(<uninit>) OnceLock(1)");
    assert!(empty != full && full == full.clone());
    assert_eq!(full.into_inner(), Some(1));
}

#[test]
fn lazy_lock_is_made_once_and_stays_poisoned() {
    each_mode(|mode| {
        let made = Arc::new(AtomicUsize::new(0));
        let lazy = {
            let made = made.clone();
            Arc::new(LazyLock::new(move || made.fetch_add(1, SeqCst) + 1))
        };
        assert_eq!(format!("{lazy:?}"), "LazyLock(<uninit>)");
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let lazy = lazy.clone();
                mode.spawn(move || **lazy)
            })
            .collect();
        threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), 1));
        assert_eq!(format!("{lazy:?}"), "LazyLock(1)");
    });
    let broken: LazyLock<i32, _> = LazyLock::new(|| {
        unwind();
        0
    });
    assert!(unwinds(|| _ = *broken) && unwinds(|| _ = *broken));
}

#[test]
fn wait_group_waits_for_all() {
    each_mode(|mode| {
        for _ in 0..size(300, 3) {
            let group = WaitGroup::new();
            let done = Arc::new(AtomicUsize::new(0));
            for _ in 0..4 {
                let (member, done) = (group.clone(), done.clone());
                mode.spawn(move || {
                    done.fetch_add(1, SeqCst);
                    drop(member);
                });
            }
            // Several may wait.
            let (also, seen) = (group.clone(), done.clone());
            let other = mode.spawn(move || {
                also.wait();
                seen.load(SeqCst)
            });
            group.wait();
            assert_eq!(done.load(SeqCst), 4);
            assert_eq!(other.join().unwrap(), 4);
        }
    });
    WaitGroup::new().wait();
}
