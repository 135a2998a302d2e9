//! Tasks: futures on the workers of a runtime. Spawning, joining, awaiting, cancelling, and the end of the runtime.

mod support;

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::panic::catch_unwind;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use kahn::channel::bounded;
use kahn::task;
use support::{Counter, Random, dawdle, rounds, runtime, until, with_each_size, within};

/// Numbers of workers for races.
const FEW: [usize; 3] = [1, 2, 4];

/// A waker that counts its wake-ups, and whose copies can be counted.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

fn poll<F: Future + Unpin>(future: &mut F, wakes: &Arc<Wakes>) -> Poll<F::Output> {
    let waker = Waker::from(wakes.clone());
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

#[test]
fn join_and_await_return_the_value() {
    // From an OS thread, in the default runtime.
    assert_eq!(task::spawn(async { 6 * 7 }).join().unwrap(), 42);
    assert_eq!(kahn::block_on(task::spawn(async { 6 * 7 })).unwrap(), 42);
    with_each_size(|| {
        assert_eq!(task::spawn(async { 6 * 7 }).join().unwrap(), 42);
        let sum = task::spawn(async {
            let green = kahn::spawn(|| 1);
            let task = task::spawn(async {
                task::yield_now().await;
                2
            });
            let server = kahn::serve(bounded::<()>(1).1, |()| ());
            server.await.unwrap();
            green.await.unwrap() + task.await.unwrap()
        });
        assert_eq!(sum.join().unwrap(), 3);
    });
}

#[test]
fn panic_of_a_task_is_returned() {
    with_each_size(|| {
        let fails = || {
            task::spawn(async {
                task::yield_now().await;
                if true {
                    std::panic::panic_any("on purpose");
                }
            })
        };
        let error = fails().join().unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled());
        assert_eq!(error.into_panic().downcast_ref(), Some(&"on purpose"));
        let error = kahn::block_on(fails()).unwrap_err();
        assert_eq!(error.into_panic().downcast_ref(), Some(&"on purpose"));
    });
}

#[test]
fn cancel_drops_the_future_of_a_task_that_is_never_woken() {
    with_each_size(|| {
        let counter = Counter::new();
        let held = counter.make();
        let (started, is_started) = bounded(1);
        let task = task::spawn(async move {
            let _held = held;
            started.send_async(()).await.unwrap();
            pending::<()>().await;
        });
        is_started.recv().unwrap();
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        counter.assert_all_gone();
    });
}

#[test]
fn cancelled_task_that_has_not_started_never_starts() {
    with_each_size(|| {
        let counter = Counter::new();
        let held = counter.make();
        // A local task waits for this worker, so it does not start before the join.
        let task = task::spawn_local(async move {
            let _held = held;
            unreachable!("it must not start");
        });
        task.cancel();
        let result: Result<(), _> = task.join();
        assert!(result.unwrap_err().is_cancelled());
        counter.assert_all_gone();
    });
}

/// A message that the task was handed as it was cancelled is returned by the task, or is still in the channel.
#[test]
fn cancel_races_with_a_message() {
    for workers in FEW {
        within(&format!("{workers} workers"), || {
            runtime(workers).run(|| {
                let mut random = Random::new(workers as u64);
                for round in 0..rounds(2000) {
                    let (tx, rx) = bounded(1);
                    let receiver = rx.clone();
                    let task = task::spawn(async move { receiver.recv_async().await });
                    dawdle(&mut random);
                    let sender = kahn::spawn(move || tx.send(round).unwrap());
                    dawdle(&mut random);
                    task.cancel();
                    match task.join() {
                        Ok(message) => assert_eq!(message, Ok(round)),
                        Err(error) => {
                            assert!(error.is_cancelled());
                            assert_eq!(rx.recv(), Ok(round));
                        }
                    }
                    sender.join().unwrap();
                }
            });
        });
    }
}

/// The handle is joined, awaited in a task or on a thread, polled and dropped, or dropped, as the task ends.
#[test]
fn end_races_with_each_use_of_the_handle() {
    for workers in FEW {
        within(&format!("{workers} workers"), || {
            let counter = Counter::new();
            runtime(workers).run(|| {
                let mut random = Random::new(workers as u64);
                for round in 0..rounds(3000) {
                    let value = counter.make();
                    let yields = random.below(3);
                    let handle = task::spawn(async move {
                        for _ in 0..yields {
                            task::yield_now().await;
                        }
                        value
                    });
                    dawdle(&mut random);
                    match round % 5 {
                        0 => drop(handle.join().unwrap()),
                        1 => drop(kahn::block_on(handle).unwrap()),
                        2 => task::spawn(async { drop(handle.await.unwrap()) }).join().unwrap(),
                        3 => {
                            let (mut handle, wakes) = (handle, Arc::<Wakes>::default());
                            drop(poll(&mut handle, &wakes));
                            dawdle(&mut random);
                            drop(handle);
                            // A wake-up that is under way holds the waker for a moment longer.
                            until("no waker is left", || Arc::strong_count(&wakes) == 1);
                        }
                        _ => drop(handle),
                    }
                }
            });
            until("all values are dropped", || counter.alive() == 0);
        });
    }
}

#[test]
fn dropped_handle_keeps_no_waker() {
    with_each_size(|| {
        let wakes = Arc::<Wakes>::default();
        let (tx, rx) = bounded::<()>(1);
        let mut handle = task::spawn(async move { rx.recv_async().await });
        assert!(poll(&mut handle, &wakes).is_pending());
        assert_eq!(Arc::strong_count(&wakes), 2);
        drop(handle);
        assert_eq!(Arc::strong_count(&wakes), 1);
        drop(tx);
        assert_eq!(wakes.count(), 0);
    });
}

#[test]
fn handle_keeps_the_waker_of_its_last_poll() {
    with_each_size(|| {
        let (first, second) = (Arc::<Wakes>::default(), Arc::<Wakes>::default());
        let (tx, rx) = bounded(1);
        let mut handle = task::spawn(async move { rx.recv_async().await.unwrap() });
        assert!(poll(&mut handle, &first).is_pending());
        assert!(poll(&mut handle, &second).is_pending());
        assert_eq!((Arc::strong_count(&first), Arc::strong_count(&second)), (1, 2));
        tx.send(7).unwrap();
        until("it is woken", || second.count() == 1);
        until("it has ended", || handle.is_finished());
        assert_eq!(first.count(), 0);
        assert!(matches!(poll(&mut handle, &first), Poll::Ready(Ok(7))));
        assert_eq!(Arc::strong_count(&first), 1);
    });
}

#[test]
fn handle_returns_its_value_once() {
    let value = Counter::new();
    let made = value.make();
    let mut handle = kahn::spawn(move || made);
    drop(kahn::block_on(&mut handle).unwrap());
    value.assert_all_gone();
    let mut handle = std::panic::AssertUnwindSafe(handle);
    assert!(catch_unwind(std::panic::AssertUnwindSafe(|| poll(&mut *handle, &Arc::default()))).is_err());
    assert!(catch_unwind(move || { handle }.0.join()).is_err());
    value.assert_all_gone();
}

#[test]
fn scoped_handle_can_be_awaited() {
    with_each_size(|| {
        let words = ["to", "be", "or"];
        let letters = kahn::scope(|s| {
            let counts = words.each_ref().map(|word| s.spawn(move || word.len()));
            kahn::block_on(async {
                let mut sum = 0;
                for count in counts {
                    sum += count.await.unwrap();
                }
                let failed = s
                    .spawn(|| {
                        if true {
                            panic!("on purpose")
                        }
                    })
                    .await
                    .unwrap_err();
                assert!(failed.is_panic());
                sum
            })
        });
        assert_eq!(letters, 6);
    });
}

#[test]
fn local_task_stays_on_its_worker() {
    for workers in FEW {
        within(&format!("{workers} workers"), || {
            runtime(workers).run(|| {
                let here = std::thread::current().id();
                let seen = Rc::new(Cell::new(0));
                let (tx, rx) = bounded(1);
                let task = task::spawn_local({
                    let seen = seen.clone();
                    async move {
                        while let Ok(n) = rx.recv_async().await {
                            assert_eq!(std::thread::current().id(), here);
                            seen.set(seen.get() + n);
                            task::yield_now().await;
                            assert_eq!(std::thread::current().id(), here);
                        }
                        seen
                    }
                });
                // Woken by an OS thread, by green threads of all workers, and by this one.
                let outside = tx.clone();
                let outside = std::thread::spawn(move || (0..200).for_each(|_| outside.send(1).unwrap()));
                let others: Vec<_> = (0..workers)
                    .map(|_| {
                        let tx = tx.clone();
                        kahn::spawn(move || (0..200).for_each(|_| tx.send(1).unwrap()))
                    })
                    .collect();
                (0..200).for_each(|_| tx.send(1).unwrap());
                others.into_iter().for_each(|other| other.join().unwrap());
                kahn::blocking(|| outside.join().unwrap());
                drop(tx);
                assert_eq!(task.join().unwrap().get(), 200 * (workers + 2));
                assert_eq!(Rc::strong_count(&seen), 1);
            });
        });
    }
}

#[test]
fn local_task_is_cancelled_and_dropped_on_its_worker() {
    for workers in FEW {
        within(&format!("{workers} workers"), || {
            struct DropsAt(Rc<Cell<bool>>, std::thread::ThreadId);
            impl Drop for DropsAt {
                fn drop(&mut self) {
                    assert_eq!(std::thread::current().id(), self.1);
                    self.0.set(true);
                }
            }
            runtime(workers).run(|| {
                for _ in 0..rounds(200) {
                    let dropped = Rc::new(Cell::new(false));
                    let held = DropsAt(dropped.clone(), std::thread::current().id());
                    let handle = task::spawn_local(async move {
                        let _held = held;
                        pending::<()>().await;
                    });
                    task::spawn_local(task::yield_now()).join().unwrap();
                    // A handle without a value may be sent to another worker, which cancels the task there.
                    kahn::spawn(move || {
                        handle.cancel();
                        assert!(handle.join().unwrap_err().is_cancelled());
                    })
                    .join()
                    .unwrap();
                    assert!(dropped.get());
                }
            });
        });
    }
}

#[test]
#[should_panic(expected = "spawn_local: the caller is not a green thread")]
fn local_task_needs_a_worker() {
    drop(task::spawn_local(async {}));
}

/// A task that parks in a poll keeps its stack, and others run meanwhile.
#[test]
fn task_may_park_in_a_poll() {
    with_each_size(|| {
        let (tx, rx) = bounded(0);
        let lock = Arc::new(kahn::sync::Mutex::new(0));
        let guard = lock.lock().unwrap();
        let parks = task::spawn({
            let lock = lock.clone();
            async move {
                *lock.lock().unwrap() += 1;
                let received = rx.recv().unwrap();
                task::yield_now().await;
                kahn::sleep(Duration::from_micros(10));
                received + kahn::blocking(|| 1)
            }
        });
        task::spawn(async {}).join().unwrap();
        drop(guard);
        tx.send(41).unwrap();
        assert_eq!(parks.join().unwrap(), 42);
        assert_eq!(*lock.lock().unwrap(), 1);
        // A cancel ends such a park as it ends that of a green thread.
        let (_tx, rx) = bounded::<()>(1);
        let parks = task::spawn(async move { rx.recv() });
        task::spawn(async {}).join().unwrap();
        parks.cancel();
        assert!(parks.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn current_thread_of_a_task_is_the_task() {
    with_each_size(|| {
        let builder = task::Builder::new().name("named".to_owned()).stack_size(64 << 10);
        let handle = builder
            .spawn(async {
                let before = kahn::thread::current().id();
                task::yield_now().await;
                kahn::thread::park();
                let current = kahn::thread::current();
                assert_eq!(current.id(), before);
                (current.id(), current.name().map(str::to_owned))
            })
            .unwrap();
        let id = handle.thread().id();
        handle.thread().unpark();
        assert_eq!(handle.join().unwrap(), (id, Some("named".to_owned())));
        let error = task::Builder::new().stack_size(1).spawn(async {}).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    });
}

/// A future that is woken by OS threads, several at once. Each wake-up is followed by a poll that sees what came before.
#[test]
fn wakes_from_foreign_threads_are_not_lost() {
    #[derive(Default)]
    struct Shared {
        tokens: AtomicUsize,
        waker: Mutex<Option<Waker>>,
    }
    const THREADS: usize = 4;
    for workers in FEW {
        within(&format!("{workers} workers"), || {
            let runtime = runtime(workers);
            let per_thread = rounds(3000);
            let shared = Arc::new(Shared::default());
            let task = runtime.run(|| {
                let (shared, mut taken) = (shared.clone(), 0);
                task::spawn(poll_fn(move |context| {
                    *shared.waker.lock().unwrap() = Some(context.waker().clone());
                    taken += shared.tokens.swap(0, SeqCst);
                    if taken == THREADS * per_thread { Poll::Ready(()) } else { Poll::Pending }
                }))
            });
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    let shared = shared.clone();
                    std::thread::spawn(move || {
                        for _ in 0..per_thread {
                            shared.tokens.fetch_add(1, SeqCst);
                            let waker = shared.waker.lock().unwrap().take();
                            if let Some(waker) = waker {
                                waker.wake();
                            }
                        }
                    })
                })
                .collect();
            task.join().unwrap();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }
}

#[test]
fn thousands_of_tasks_pass_messages_along() {
    for workers in FEW {
        within(&format!("{workers} workers"), || {
            runtime(workers).run(|| {
                let (first, mut last) = bounded(1);
                let tasks: Vec<_> = (0..rounds(3000))
                    .map(|_| {
                        let (tx, rx) = bounded(1);
                        let from = std::mem::replace(&mut last, rx);
                        task::spawn(async move {
                            while let Ok(n) = from.recv_async().await {
                                tx.send_async(n + 1).await.unwrap();
                            }
                        })
                    })
                    .collect();
                let count = tasks.len();
                for n in 0..3 {
                    first.send(n).unwrap();
                    assert_eq!(last.recv(), Ok(n + count));
                }
                drop(first);
                tasks.into_iter().for_each(|task| task.join().unwrap());
            });
        });
    }
}

#[test]
fn shutdown_drops_pending_tasks() {
    for workers in FEW {
        within(&format!("{workers} workers"), || {
            let counter = Counter::new();
            let runtime = runtime(workers);
            let handles: Vec<_> = runtime.run(|| {
                (0..rounds(1000))
                    .map(|n| {
                        let held = counter.make();
                        task::spawn(async move {
                            let _held = held;
                            match n % 3 {
                                0 => pending::<()>().await,
                                1 => loop {
                                    task::yield_now().await;
                                },
                                _ => kahn::thread::park(),
                            }
                        })
                    })
                    .collect()
            });
            runtime.shutdown(Duration::from_secs(60)).unwrap();
            counter.assert_all_gone();
            for (n, handle) in handles.into_iter().enumerate() {
                assert!(handle.is_finished());
                let result = if n % 2 == 0 { handle.join() } else { kahn::block_on(handle) };
                // `park` may return without a reason.
                assert!(result.map_or_else(|error| error.is_cancelled(), |()| n % 3 == 2));
            }
        });
    }
}

/// Tasks of a runtime that has ended: their wakers do nothing, whether the future was dropped or leaked.
#[test]
fn wakers_after_the_end_of_the_runtime_are_harmless() {
    for workers in FEW {
        for (leaks, is_local) in [(false, false), (false, true), (true, false), (true, true)] {
            within(&format!("{workers} workers, leaks: {leaks}, local: {is_local}"), || {
                let wakers = Arc::<Mutex<Vec<Waker>>>::default();
                let (release, is_released) = mpsc::channel::<()>();
                let runtime = runtime(workers);
                let keep = wakers.clone();
                let stores = async move {
                    poll_fn(|context| {
                        keep.lock().unwrap().push(context.waker().clone());
                        Poll::<()>::Pending
                    })
                    .await;
                };
                let handle = runtime
                    .run(move || if is_local { task::spawn_local(stores) } else { task::spawn(stores) });
                until("the task waits", || !wakers.lock().unwrap().is_empty());
                let blocker =
                    leaks.then(|| runtime.spawn(move || kahn::blocking(move || is_released.recv())));
                if let Some(blocker) = &blocker {
                    until("it runs", || !blocker.is_finished());
                }
                let ended = runtime.shutdown(Duration::from_millis(if leaks { 20 } else { 60_000 }));
                assert!(leaks || ended.is_ok(), "{ended:?}");
                assert!(handle.join().unwrap_err().is_cancelled());
                for waker in wakers.lock().unwrap().drain(..) {
                    waker.wake_by_ref();
                    drop(waker.clone());
                    waker.wake();
                }
                drop(release);
                if let Some(blocker) = blocker {
                    drop(blocker.join());
                }
            });
        }
    }
}

/// A task that does not suspend is left by the shutdown, which counts and names it. An `.await` of its handle returns,
/// whether it began before the shutdown or not.
#[test]
fn shutdown_names_the_task_that_it_leaves() {
    for workers in FEW {
        within(&format!("{workers} workers"), || {
            let (open, is_open) = mpsc::channel::<()>();
            let runtime = runtime(workers);
            let (started, is_started) = mpsc::channel();
            let (spawned, is_spawned) = mpsc::channel();
            runtime.spawn(move || {
                let builder = task::Builder::new().name("stubborn".to_owned());
                let stubborn = builder.spawn(async move {
                    // A destructor that parks is allowed to finish.
                    struct Waits(Option<mpsc::Receiver<()>>);
                    impl Drop for Waits {
                        fn drop(&mut self) {
                            let is_open = self.0.take().unwrap();
                            kahn::blocking(move || _ = is_open.recv());
                        }
                    }
                    let _waits = Waits(Some(is_open));
                    started.send(()).unwrap();
                    pending::<()>().await;
                });
                spawned.send(stubborn.unwrap()).unwrap();
            });
            let mut stubborn = is_spawned.recv().unwrap();
            is_started.recv().unwrap();
            let wakes = Arc::<Wakes>::default();
            assert!(poll(&mut stubborn, &wakes).is_pending());
            let error = runtime.shutdown(Duration::from_millis(20)).unwrap_err();
            assert_eq!((error.count(), error.names()), (1, &["stubborn".to_owned()][..]));
            until("the task that awaits it is woken", || wakes.count() == 1);
            assert!(matches!(poll(&mut stubborn, &wakes), Poll::Ready(Err(error)) if error.is_cancelled()));
            assert!(kahn::block_on(stubborn).unwrap_err().is_cancelled());
            drop(open);
        });
    }
}

/// A named task that never suspends, in its first poll.
#[test]
fn shutdown_names_the_task_that_never_suspends() {
    for workers in FEW {
        within(&format!("{workers} workers"), || {
            let stop = Arc::new(AtomicBool::new(false));
            let runtime = runtime(workers);
            let (started, is_started) = mpsc::channel();
            let handle = runtime.run(|| {
                let stop = stop.clone();
                let builder = task::Builder::new().name("spins".to_owned());
                let spins = builder.spawn(async move {
                    started.send(()).unwrap();
                    while !stop.load(SeqCst) {
                        std::thread::sleep(Duration::from_micros(100));
                    }
                });
                spins.unwrap()
            });
            is_started.recv().unwrap();
            let error = runtime.shutdown(Duration::from_millis(20)).unwrap_err();
            assert_eq!((error.count(), error.names()), (1, &["spins".to_owned()][..]));
            stop.store(true, SeqCst);
            handle.join().unwrap();
        });
    }
}

/// A waker of another executor may park, or panic, as the end of a task wakes it. The end completes.
#[test]
fn end_of_a_task_completes_although_the_waker_parks_or_panics() {
    struct Parks(AtomicUsize);
    impl Wake for Parks {
        fn wake(self: Arc<Self>) {
            kahn::sleep(Duration::from_micros(50));
            self.0.fetch_add(1, SeqCst);
            std::panic::panic_any("on purpose");
        }
    }
    for workers in FEW {
        within(&format!("{workers} workers"), || {
            let runtime = runtime(workers);
            for is_task in [true, false] {
                let parks = Arc::new(Parks(AtomicUsize::new(0)));
                let waker = Waker::from(parks.clone());
                runtime.run(|| {
                    let (tx, rx) = bounded(1);
                    let mut handle = if is_task {
                        task::spawn(async move { rx.recv_async().await })
                    } else {
                        kahn::spawn(move || rx.recv())
                    };
                    let mut context = Context::from_waker(&waker);
                    assert!(Pin::new(&mut handle).poll(&mut context).is_pending());
                    tx.send(1).unwrap();
                    until("it is woken", || parks.0.load(SeqCst) == 1);
                    assert_eq!(handle.join().unwrap(), Ok(1));
                });
            }
            runtime.shutdown(Duration::from_secs(60)).unwrap();
        });
    }
}
