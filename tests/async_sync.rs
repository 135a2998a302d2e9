//! Semaphores and wait groups in async code, beside threads.

mod support;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use kahn::sync::{OwnedPermit, Permit, Semaphore, WaitGroup};
use kahn::task;
use kahn::time::timeout_async;
use support::{Random, dawdle, rounds, runtime, with_each_size, within};

const FEW: [usize; 3] = [1, 2, 4];

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

type Acquiring<'a> = Pin<Box<dyn Future<Output = Permit<'a>> + Send + 'a>>;

/// Polls with a waker whose copies and wake-ups can be counted.
fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>, wakes: &Arc<Wakes>) -> Poll<F::Output> {
    let waker = Waker::from(wakes.clone());
    future.as_mut().poll(&mut Context::from_waker(&waker))
}

/// Tasks, green threads and OS threads take and return permits, by all forms of acquire, and give up waiting.
#[test]
fn permits_are_conserved_among_tasks_and_threads() {
    const PERMITS: usize = 5;
    for workers in FEW {
        within(&format!("{workers} workers"), || {
            let (semaphore, out) = (Arc::new(Semaphore::new(PERMITS)), Arc::new(AtomicUsize::new(0)));
            let used = move |n: usize, out: &AtomicUsize| {
                assert!(out.fetch_add(n, SeqCst) + n <= PERMITS, "more permits than there are");
            };
            runtime(workers).run(|| {
                let tasks = (0..6).map(|number| {
                    let (semaphore, out) = (semaphore.clone(), out.clone());
                    task::spawn(async move {
                        let mut random = Random::new(number);
                        for _ in 0..rounds(300) {
                            let n = random.below(PERMITS as u64 + 1) as usize;
                            let time = Duration::from_micros(random.below(200));
                            match random.below(4) {
                                0 => {
                                    let acquired = timeout_async(time, semaphore.acquire_many_async(n)).await;
                                    let Ok(_permit) = acquired else { continue };
                                    used(n, &out);
                                    task::yield_now().await;
                                    out.fetch_sub(n, SeqCst);
                                }
                                1 => {
                                    let _permit = semaphore.clone().acquire_owned_async().await;
                                    used(1, &out);
                                    out.fetch_sub(1, SeqCst);
                                }
                                2 => {
                                    let _permit = semaphore.acquire_many(n);
                                    used(n, &out);
                                    out.fetch_sub(n, SeqCst);
                                }
                                _ => {
                                    let _permit = semaphore.acquire_many_async(n).await;
                                    used(n, &out);
                                    task::yield_now().await;
                                    out.fetch_sub(n, SeqCst);
                                }
                            }
                        }
                    })
                });
                let mut handles: Vec<_> = tasks.collect();
                for number in 0..3 {
                    let (semaphore, out) = (semaphore.clone(), out.clone());
                    handles.push(kahn::spawn(move || {
                        let mut random = Random::new(100 + number);
                        for _ in 0..rounds(300) {
                            let n = random.below(PERMITS as u64 + 1) as usize;
                            let time = Duration::from_micros(random.below(100));
                            let Some(_permit) = semaphore.acquire_many_timeout(n, time) else { continue };
                            used(n, &out);
                            dawdle(&mut random);
                            out.fetch_sub(n, SeqCst);
                        }
                    }));
                }
                handles.into_iter().for_each(|handle| handle.join().unwrap());
            });
            assert_eq!(semaphore.available_permits(), PERMITS);
            assert!(semaphore.try_acquire_many(PERMITS).is_some(), "a waiter is left");
        });
    }
}

/// A task that is cancelled as it is given its permits passes them on.
#[test]
fn cancel_races_with_a_permit() {
    for workers in FEW {
        within(&format!("{workers} workers"), || {
            runtime(workers).run(|| {
                let semaphore = Arc::new(Semaphore::new(1));
                let mut random = Random::new(workers as u64);
                for _ in 0..rounds(1000) {
                    let held = semaphore.acquire();
                    let [first, second] = [0, 1].map(|_| {
                        let semaphore = semaphore.clone();
                        task::spawn(async move { drop(semaphore.acquire_async().await) })
                    });
                    dawdle(&mut random);
                    let canceller = kahn::spawn(move || {
                        first.cancel();
                        let result = first.join();
                        assert!(result.is_ok() || result.unwrap_err().is_cancelled());
                    });
                    dawdle(&mut random);
                    drop(held);
                    second.join().unwrap();
                    canceller.join().unwrap();
                }
                assert_eq!(semaphore.available_permits(), 1);
            });
        });
    }
}

/// Tasks and threads wait in one queue.
#[test]
fn tasks_and_threads_are_served_first_come_first_served() {
    let semaphore = Semaphore::new(0);
    let wakes: [Arc<Wakes>; 3] = Default::default();
    let mut two: Acquiring = Box::pin(semaphore.acquire_many_async(2));
    let mut one: Acquiring = Box::pin(semaphore.acquire_async());
    assert!(poll(&mut two, &wakes[0]).is_pending());
    assert!(poll(&mut one, &wakes[1]).is_pending());
    // One permit is not enough for the first, and the second does not overtake it. Neither does a newcomer.
    semaphore.add_permits(1);
    assert_eq!((wakes[0].0.load(SeqCst), wakes[1].0.load(SeqCst)), (0, 0));
    assert!(semaphore.try_acquire().is_none());
    semaphore.add_permits(2);
    assert_eq!((wakes[0].0.load(SeqCst), wakes[1].0.load(SeqCst)), (1, 1));
    let (Poll::Ready(first), Poll::Ready(second)) = (poll(&mut two, &wakes[0]), poll(&mut one, &wakes[1]))
    else {
        panic!("both were given their permits");
    };
    assert_eq!((first.permits(), second.permits(), semaphore.available_permits()), (2, 1, 0));
}

#[test]
fn dropped_acquire_holds_up_no_waiter_and_keeps_no_waker() {
    let semaphore = Semaphore::new(1);
    let wakes: [Arc<Wakes>; 3] = Default::default();
    let mut many: Acquiring = Box::pin(semaphore.acquire_many_async(5));
    let mut one: Acquiring = Box::pin(semaphore.acquire_async());
    assert!(poll(&mut many, &wakes[0]).is_pending());
    assert!(poll(&mut one, &wakes[1]).is_pending());
    drop(many);
    assert_eq!((wakes[0].0.load(SeqCst), wakes[1].0.load(SeqCst)), (0, 1));
    assert_eq!(Arc::strong_count(&wakes[0]), 1);
    // It has been given the permit, and is dropped without having looked.
    drop(one);
    assert_eq!((semaphore.available_permits(), Arc::strong_count(&wakes[1])), (1, 1));
    // The waker of the last poll is kept.
    let held = semaphore.acquire();
    let mut one: Acquiring = Box::pin(semaphore.acquire_async());
    assert!(poll(&mut one, &wakes[1]).is_pending());
    assert!(poll(&mut one, &wakes[2]).is_pending());
    drop(held);
    assert_eq!((wakes[1].0.load(SeqCst), wakes[2].0.load(SeqCst)), (1, 1));
    assert!(poll(&mut one, &wakes[2]).is_ready());
}

#[test]
fn owned_permit_is_returned_where_it_is_dropped() {
    with_each_size(|| {
        let semaphore = Arc::new(Semaphore::new(1));
        let permit: OwnedPermit = semaphore.clone().acquire_owned();
        assert!(Arc::ptr_eq(permit.semaphore(), &semaphore));
        assert!(semaphore.clone().try_acquire_owned().is_none());
        let waits = task::spawn(semaphore.clone().acquire_owned_async());
        std::thread::spawn(move || drop(permit)).join().unwrap();
        drop(waits.join().unwrap());
        assert!(semaphore.clone().try_acquire_owned().is_some());
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn wait_group_is_awaited_by_tasks_and_threads() {
    for workers in FEW {
        within(&format!("{workers} workers"), || {
            runtime(workers).run(|| {
                for round in 0..rounds(300) {
                    let (group, left) = (WaitGroup::new(), Arc::new(AtomicUsize::new(0)));
                    let members: Vec<_> = (0..4)
                        .map(|_| {
                            let (member, left) = (group.clone(), left.clone());
                            task::spawn(async move {
                                task::yield_now().await;
                                left.fetch_add(1, SeqCst);
                                drop(member);
                            })
                        })
                        .collect();
                    let (waits, sees) = (group.clone(), left.clone());
                    let waits = task::spawn(async move {
                        waits.wait_async().await;
                        assert_eq!(sees.load(SeqCst), 4);
                    });
                    if round % 3 == 0 {
                        waits.cancel();
                    }
                    group.wait();
                    assert_eq!(left.load(SeqCst), 4);
                    assert!(waits.join().map_or_else(|error| error.is_cancelled(), |()| true));
                    members.into_iter().for_each(|member| member.join().unwrap());
                }
            });
        });
    }
    // A future that was not polled has left the group when it is dropped. Dropped while it waits, it keeps no waker.
    let (group, wakes) = (WaitGroup::new(), Arc::<Wakes>::default());
    drop(group.clone().wait_async());
    let member = group.clone();
    let mut waits = Box::pin(group.wait_async());
    assert!(poll(&mut waits, &wakes).is_pending());
    drop(waits);
    assert_eq!(Arc::strong_count(&wakes), 1);
    drop(member);
}

/// A waker of another executor is user code, which may park. A worker that ends the wait of a green thread, because its
/// deadline has passed, may have to wake the task behind it, and is between two turns then.
#[test]
fn waker_that_a_worker_calls_at_a_deadline_may_park() {
    struct Locks(kahn::sync::Mutex<()>, AtomicUsize);
    impl Wake for Locks {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock());
            self.1.fetch_add(1, SeqCst);
        }
    }
    with_each_size(|| {
        let locks = Arc::new(Locks(kahn::sync::Mutex::new(()), AtomicUsize::new(0)));
        let semaphore = Semaphore::new(1);
        kahn::scope(|s| {
            let front =
                s.spawn_local(|| semaphore.acquire_many_timeout(2, Duration::from_millis(5)).is_none());
            kahn::yield_now();
            let mut behind: Acquiring = Box::pin(semaphore.acquire_async());
            let waker = Waker::from(locks.clone());
            let mut context = Context::from_waker(&waker);
            assert!(behind.as_mut().poll(&mut context).is_pending());
            // The lock is held until the worker has ended the wait in front.
            let guard = locks.0.lock().unwrap();
            assert!(front.join().unwrap());
            kahn::sleep(Duration::from_millis(1));
            assert_eq!(locks.1.load(SeqCst), 0);
            drop(guard);
            support::until("the task is woken", || locks.1.load(SeqCst) == 1);
            assert!(behind.as_mut().poll(&mut context).is_ready());
        });
    });
}
