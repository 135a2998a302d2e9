//! Models of the locks: every order of the steps of two or three threads. `ci/loom.sh` runs them.
#![cfg(kahn_loom)]

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use kahn_core::primitives::Arc as WaiterArc;
use kahn_core::sync::{Barrier, Condvar, Mutex, OnceLock, RwLock, RwLockWriteGuard, Semaphore, WaitGroup};
use kahn_core::wait::{CurrentWaiter, ThreadWaiter, TimeoutFrame, TimeoutUnwind, Waiter, is_internal_unwind};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

/// A value. The model fails unless each use of it is ordered after the previous one.
struct Checked(UnsafeCell<usize>);

// SAFETY: the model fails when two threads use it at once.
unsafe impl Sync for Checked {}
// SAFETY: the model fails if two threads use the value at once.
unsafe impl Send for Checked {}

impl Checked {
    fn new() -> Checked {
        Checked(UnsafeCell::new(0))
    }

    fn add(&self) -> usize {
        self.0.with_mut(|value| {
            // SAFETY: the model fails if two threads use the value at once.
            unsafe {
                *value += 1;
                *value
            }
        })
    }

    fn get(&self) -> usize {
        // SAFETY: the model fails if two threads use the value at once.
        self.0.with(|value| unsafe { *value })
    }
}

/// A thread of the model, whose waits another thread can end.
#[derive(Clone)]
struct Victim(WaiterArc<ThreadWaiter>);

impl Victim {
    /// The calling thread.
    fn current() -> Victim {
        match CurrentWaiter::current() {
            CurrentWaiter::Thread(waiter) => Victim(waiter),
            _ => unreachable!("a model has only OS threads"),
        }
    }

    fn waiter(&self) -> &Waiter {
        // SAFETY: the `Arc` keeps the waiter for as long as `self` is borrowed.
        unsafe { ThreadWaiter::waiter(&self.0).as_ref() }
    }

    /// Cancels the thread. Returns whether this has ended a wait. If so, the thread has been withdrawn from a strict
    /// queue, but may not have run yet.
    fn cancel(&self) -> bool {
        // SAFETY: the `Arc` keeps the waiter.
        let wake = unsafe { Waiter::cancel(ThreadWaiter::waiter(&self.0)) };
        wake.is_some()
    }

    /// Ends a wait of the thread, as its timer does. Returns whether this has ended one.
    fn time_out(&self) -> bool {
        // SAFETY: the `Arc` keeps the waiter.
        let wake = unsafe { Waiter::time_out(ThreadWaiter::waiter(&self.0)) };
        wake.is_some()
    }

    /// Runs `f` on this thread, the caller. Returns `None` if a cancel has ended it. Later waits are not cancelled.
    fn run<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        let result = catch_unwind(AssertUnwindSafe(f));
        self.waiter().clear_cancel();
        result.map_err(|payload| assert!(is_internal_unwind(&*payload), "{}", text(&*payload))).ok()
    }

    /// Runs `f` on this thread, the caller, as `time::timeout` does. Returns `None` if the timeout has ended it. In a
    /// model, a deadline may pass at any moment.
    fn run_in_timeout<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        let number = Cell::new(None);
        let mut frame =
            TimeoutFrame { deadline: Instant::now(), owner: std::ptr::null(), shields: 0, number };
        frame.owner = &raw const frame;
        self.waiter().set_timeout_frame(&raw const frame);
        let result = catch_unwind(AssertUnwindSafe(f));
        self.waiter().set_timeout_frame(std::ptr::null());
        result
            .map_err(|payload| match payload.downcast::<TimeoutUnwind>() {
                Ok(unwind) => assert!(unwind.is_for(&frame)),
                Err(payload) => panic!("{}", text(&*payload)),
            })
            .ok()
    }
}

/// Returns the message of a panic, to fail with.
fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
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

/// A notification between a waiter's look and its park is not lost.
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

/// A timeout races with a notification. One of the two ends the wait, and the lock is taken again.
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

/// A writer is on its way while another waits.
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

/// A permit gives access to the value. A timeout that races with a release loses no permit.
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

/// A waiter that has timed out holds up no other, although nothing is released.
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

/// An initializer that unwinds is followed by that of a waiter, and the other waiter is told of its end.
///
/// One unwinds at most. While one does, the others panic as well for std and loom, because the threads of a model are
/// coroutines of one OS thread.
///
/// Fails if the end of an unwound attempt wakes no waiter.
#[test]
fn once_lock_waiter_follows_an_unwound_initializer() {
    model(2, || {
        let shared = Arc::new((OnceLock::new(), AtomicUsize::new(0)));
        let call = |shared: &(OnceLock<usize>, AtomicUsize)| {
            let init = || match shared.1.fetch_add(1, Ordering::Relaxed) {
                0 => resume_unwind(Box::new("on purpose")),
                number => number,
            };
            catch_unwind(AssertUnwindSafe(|| *shared.0.get_or_init(init))).ok()
        };
        let others: Vec<_> = (0..2)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || call(&shared))
            })
            .collect();
        let mine = call(&shared);
        let results = others.into_iter().map(|other| other.join().unwrap()).chain([mine]);
        assert_eq!(results.flatten().collect::<Vec<_>>(), [1, 1]);
    });
}

/// Fails if a waiter that is woken to initialize does nothing because it was cancelled.
#[test]
fn once_lock_cancelled_waiter_holds_up_no_other() {
    model(2, || {
        let cell = Arc::new(OnceLock::new());
        let (told, victim) = (Arc::new(loom::sync::Mutex::new(None)), Victim::current());
        *told.lock().unwrap() = Some(victim.clone());
        let first = {
            let cell = cell.clone();
            thread::spawn(move || {
                let init = || {
                    if let Some(victim) = told.lock().unwrap().take() {
                        victim.cancel();
                    }
                    resume_unwind(Box::new("on purpose"))
                };
                catch_unwind(AssertUnwindSafe(|| *cell.get_or_init(init))).ok()
            })
        };
        let other = {
            let cell = cell.clone();
            thread::spawn(move || *cell.get_or_init(|| 1))
        };
        let mine = victim.run(|| *cell.get_or_init(|| 1));
        assert_eq!(other.join().unwrap(), 1);
        assert!(mine.is_none_or(|mine| mine == 1));
        assert!(first.join().unwrap().is_none_or(|first| first == 1));
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

// The waits of the following models are ended by a cancel or by an enclosing timeout. The comment of each names a line
// whose change makes it fail.

/// A cancelled wait does not count: the barrier opens when the cancelled thread has come again.
///
/// Fails if `Meeting::opens` does not compare the number of claimed waiters with the wanted number.
#[test]
fn barrier_does_not_count_a_cancelled_wait() {
    model(3, || {
        let shared = Arc::new((Barrier::new(2), Checked::new()));
        let me = Victim::current();
        let canceller = {
            let me = me.clone();
            thread::spawn(move || _ = me.cancel())
        };
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                let leads = shared.0.wait().is_leader();
                // Ordered after `add` below, which comes before the second arrival.
                (usize::from(leads), shared.1.get())
            })
        };
        let first = me.run(|| shared.0.wait().is_leader());
        canceller.join().unwrap();
        me.waiter().clear_cancel();
        let (mine, written) = match first {
            Some(leads) => (leads, 0),
            None => (shared.1.add() == 1 && shared.0.wait().is_leader(), 1),
        };
        assert_eq!(other.join().unwrap(), (usize::from(!mine), written));
    });
}

/// A thread that was claimed for a meeting that did not take place waits again, and counts for the next arrival.
///
/// Fails if `Meeting::opens` does not tell the claimed waiters to wait again, or does not count them as coming.
#[test]
fn barrier_keeps_those_that_a_cancelled_wait_has_failed() {
    model(2, || {
        let shared = Arc::new((Barrier::new(3), Checked::new()));
        let me = Victim::current();
        let canceller = {
            let me = me.clone();
            thread::spawn(move || _ = me.cancel())
        };
        let others = [0, 1].map(|_| {
            let shared = shared.clone();
            thread::spawn(move || {
                let leads = shared.0.wait().is_leader();
                // Ordered after `add` below, which comes before the second arrival.
                (usize::from(leads), shared.1.get())
            })
        });
        let first = me.run(|| shared.0.wait().is_leader());
        canceller.join().unwrap();
        me.waiter().clear_cancel();
        let (mine, written) = match first {
            Some(leads) => (leads, 0),
            None => (shared.1.add() == 1 && shared.0.wait().is_leader(), 1),
        };
        let [(left, seen), (right, also_seen)] = others.map(|other| other.join().unwrap());
        assert_eq!((seen, also_seen, left + right + usize::from(mine)), (written, written, 1));
    });
}

/// A cancelled waiter leaves the queue before its canceller goes on, and those behind it are served.
///
/// Fails if the semaphore serves no waiter when one has left.
#[test]
fn semaphore_serves_those_behind_a_cancelled_wait() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::new(2));
        let held = semaphore.acquire();
        let me = Victim::current();
        let behind = {
            let semaphore = semaphore.clone();
            thread::spawn(move || drop(semaphore.acquire()))
        };
        let canceller = {
            let (me, semaphore) = (me.clone(), semaphore.clone());
            thread::spawn(move || {
                let has_ended = me.cancel();
                // One permit is free, or the thread behind has it.
                assert!(!has_ended || semaphore.acquire().permits() == 1);
            })
        };
        assert!(me.run(|| drop(semaphore.acquire_many(2))).is_none());
        behind.join().unwrap();
        canceller.join().unwrap();
        drop(held);
        assert_eq!(semaphore.available_permits(), 2);
    });
}

/// A waiter that a timer or a canceller has ended is out of the queue at once, before it runs.
///
/// Fails if `EndedWake` does not apply the withdrawal.
#[test]
fn semaphore_waiter_is_withdrawn_before_it_is_woken() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::new(2));
        let held = semaphore.acquire();
        let me = Victim::current();
        let ender = {
            let (me, semaphore) = (me.clone(), semaphore.clone());
            thread::spawn(move || {
                let has_ended = me.time_out() || me.cancel();
                assert!(!has_ended || semaphore.try_acquire().is_some());
            })
        };
        let waited = me.run(|| semaphore.acquire_many_timeout(2, Duration::from_secs(1)).is_none());
        assert_ne!(waited, Some(false));
        ender.join().unwrap();
        drop(held);
        assert_eq!(semaphore.available_permits(), 2);
    });
}

/// Fails if the semaphore serves no waiter when one has left.
#[test]
fn semaphore_serves_those_behind_a_wait_that_a_timeout_frame_ends() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::new(2));
        let held = semaphore.acquire();
        let behind = {
            let semaphore = semaphore.clone();
            thread::spawn(move || drop(semaphore.acquire()))
        };
        assert!(Victim::current().run_in_timeout(|| drop(semaphore.acquire_many(2))).is_none());
        behind.join().unwrap();
        drop(held);
        assert_eq!(semaphore.available_permits(), 2);
    });
}

/// A cancelled writer lets the readers in that it has held back, before its canceller goes on.
///
/// Fails if `EndedWake` does not apply the withdrawal, or if a writer that leaves does not call `uncover` or
/// `let_readers_in`.
#[test]
fn rwlock_lets_readers_in_behind_a_cancelled_writer() {
    model(3, || {
        let lock = Arc::new(RwLock::new(Checked::new()));
        let held = lock.read().unwrap();
        let me = Victim::current();
        let behind = {
            let lock = lock.clone();
            thread::spawn(move || assert_eq!(lock.read().unwrap().get(), 0))
        };
        let canceller = {
            let (me, lock) = (me.clone(), lock.clone());
            thread::spawn(move || {
                let has_ended = me.cancel();
                assert!(!has_ended || lock.try_read().is_ok());
            })
        };
        assert!(me.run(|| drop(lock.write())).is_none());
        behind.join().unwrap();
        canceller.join().unwrap();
        drop(held);
        assert_eq!(lock.try_write().unwrap().add(), 1);
    });
}

/// Fails if a writer that leaves does not call `uncover` or `let_readers_in`.
#[test]
fn rwlock_lets_readers_in_behind_a_writer_that_a_timeout_frame_ends() {
    model(3, || {
        let lock = Arc::new(RwLock::new(Checked::new()));
        let held = lock.read().unwrap();
        let behind = {
            let lock = lock.clone();
            thread::spawn(move || assert_eq!(lock.read().unwrap().get(), 0))
        };
        assert!(Victim::current().run_in_timeout(|| drop(lock.write())).is_none());
        behind.join().unwrap();
        drop(held);
        assert_eq!(lock.try_write().unwrap().add(), 1);
    });
}

/// A cancelled waiter leaves no mark: the lock can be taken when its holder has released it. The waiter may have lost
/// before, and may have claimed the next hand-over (`HANDOFF`).
///
/// Fails if `pass_on_locked` does not clear the flags when the waits of all waiters have ended.
#[test]
fn mutex_is_free_after_a_cancelled_wait() {
    model(4, || {
        let lock = Arc::new(Mutex::new(Checked::new()));
        let me = Victim::current();
        let holder = {
            let lock = lock.clone();
            thread::spawn(move || {
                for _ in 0..3 {
                    lock.lock().unwrap().add();
                }
            })
        };
        let canceller = {
            let me = me.clone();
            thread::spawn(move || _ = me.cancel())
        };
        let mine = me.run(|| lock.lock().unwrap().add()).is_some();
        canceller.join().unwrap();
        holder.join().unwrap();
        assert_eq!(lock.try_lock().unwrap().get(), 3 + usize::from(mine));
    });
}

/// A cancelled waiter takes no notification, and holds no lock.
///
/// Fails if `notify_one` claims only the waiter at the front, whose wait may have ended.
#[test]
fn condvar_notifies_the_waiter_behind_a_cancelled_one() {
    model(2, || {
        let shared = Arc::new((Mutex::new(false), Condvar::new()));
        let me = Victim::current();
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                drop(shared.1.wait_while(shared.0.lock().unwrap(), |ready| !*ready).unwrap());
            })
        };
        let canceller = {
            let me = me.clone();
            thread::spawn(move || _ = me.cancel())
        };
        let notifier = {
            let shared = shared.clone();
            thread::spawn(move || {
                *shared.0.lock().unwrap() = true;
                shared.1.notify_one();
            })
        };
        let notified = me.run(|| {
            drop(shared.1.wait_while(shared.0.lock().unwrap(), |ready| !*ready).unwrap());
        });
        if notified.is_some() {
            // It may have taken the notification that the other thread waits for.
            shared.1.notify_one();
        }
        canceller.join().unwrap();
        notifier.join().unwrap();
        other.join().unwrap();
        assert!(*shared.0.try_lock().unwrap());
    });
}
