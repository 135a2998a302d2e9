//! Wakers of futures. A future keeps only the waker of its last poll, and a dropped future keeps none. Wakers are
//! user code, so no lock is held while one runs.

mod support;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};
use std::time::{Duration, Instant};

use kahn_channels::{
    Receiver, RecvTimeoutError, Select, Sender, TryRecvError, after, bounded, broadcast, oneshot, tick, watch,
};
use support::{everywhere, times, until};

const HOUR: Duration = Duration::from_secs(3600);

/// A waker that counts.
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A waker, and a look at whether it lives.
fn waker() -> (Waker, Weak<Count>) {
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let weak = Arc::downgrade(&count);
    (Waker::from(count), weak)
}

type Waiting = Pin<Box<dyn Future<Output = ()>>>;

/// Brings what a future waits for.
type Bring = Box<dyn FnOnce()>;

/// Makes a future that waits for ever, or until its event is triggered. No thread triggers a deadline.
type Kind = (&'static str, fn() -> (Waiting, Option<Bring>));

fn kinds() -> Vec<Kind> {
    vec![
        ("receive", || {
            let (tx, rx) = bounded(1);
            let future = async move { assert_eq!(rx.recv_async().await, Ok(1)) };
            (Box::pin(future), Some(Box::new(move || tx.send(1).unwrap())))
        }),
        ("send", || {
            let (tx, rx) = bounded(0);
            let future = async move { tx.send_async(1).await.unwrap() };
            (Box::pin(future), Some(Box::new(move || assert_eq!(rx.recv(), Ok(1)))))
        }),
        ("receive once", || {
            let (tx, rx) = oneshot();
            let future = async move { assert_eq!(rx.await, Ok(1)) };
            (Box::pin(future), Some(Box::new(move || tx.send(1).unwrap())))
        }),
        ("receive what is broadcast", || {
            let (tx, rx) = broadcast(1);
            let future = async move { assert_eq!(rx.recv_async().await, Ok(1)) };
            (Box::pin(future), Some(Box::new(move || tx.send(1).unwrap())))
        }),
        ("watch", || {
            let (tx, rx) = watch(0);
            let future = async move { rx.changed_async().await.unwrap() };
            (Box::pin(future), Some(Box::new(move || tx.send(1).unwrap())))
        }),
        ("wait for a moment", || (moment(after(HOUR)), None)),
        ("wait for a tick", || (moment(tick(HOUR)), None)),
    ]
}

fn moment(timer: Receiver<Instant>) -> Waiting {
    Box::pin(async move { assert!(timer.recv_async().await.is_ok()) })
}

fn poll(future: &mut Waiting, waker: &Waker) -> Poll<()> {
    future.as_mut().poll(&mut Context::from_waker(waker))
}

#[test]
fn future_keeps_only_the_waker_of_its_last_poll() {
    for (name, make) in kinds() {
        let (mut future, bring) = make();
        let (first, first_alive) = waker();
        let (last, last_alive) = waker();
        assert!(poll(&mut future, &first).is_pending(), "{name}");
        drop(first);
        // A receiver of a timer has two clones: one for the timer's thread, and one for the timer's queue.
        let clones = first_alive.strong_count();
        assert!((1..=2).contains(&clones), "{name}: it will be woken");
        for _ in 0..times(100) {
            assert!(poll(&mut future, &last).is_pending(), "{name}");
            let counts = (first_alive.strong_count(), last_alive.strong_count());
            assert_eq!(counts, (0, clones + 1), "{name}");
        }
        let Some(bring) = bring else { continue };
        bring();
        until(name, || last_alive.upgrade().is_some_and(|count| count.0.load(Ordering::SeqCst) == 1));
        assert!(poll(&mut future, &last).is_ready(), "{name}");
        drop((future, last));
        assert_eq!(last_alive.strong_count(), 0, "{name}");
    }
}

/// A waker that waits until it is let go on.
struct Waits(Receiver<()>);

impl Wake for Waits {
    fn wake(self: Arc<Self>) {
        self.0.recv().unwrap();
    }
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Wakes a task that waits for it.
type Wakes = Box<dyn FnOnce() + Send>;

/// An operation that wakes a task, by name.
type Waking = (&'static str, fn() -> (Task, Wakes));

fn wakings() -> Vec<Waking> {
    fn receiving(cap: usize, wakes: fn(kahn_channels::Sender<u32>)) -> (Task, Wakes) {
        let (tx, rx) = bounded(cap);
        (
            Box::pin(async move {
                let _ = rx.recv_async().await;
            }),
            Box::new(move || wakes(tx)),
        )
    }
    fn sending(cap: usize, wakes: fn(Receiver<u32>)) -> (Task, Wakes) {
        let (tx, rx) = bounded(cap);
        (0..cap).for_each(|_| tx.try_send(0).unwrap());
        (
            Box::pin(async move {
                let _ = tx.send_async(1).await;
            }),
            Box::new(move || wakes(rx)),
        )
    }
    vec![
        ("send", || receiving(1, |tx| tx.send(1).unwrap())),
        ("send, without room", || receiving(0, |tx| tx.send(1).unwrap())),
        ("try to send", || receiving(0, |tx| tx.try_send(1).unwrap())),
        ("send for a time", || receiving(0, |tx| tx.send_timeout(1, HOUR).unwrap())),
        ("reserve", || receiving(0, |tx| tx.reserve().unwrap().send(1).unwrap())),
        ("try to reserve", || receiving(0, |tx| tx.try_reserve().unwrap().send(1).unwrap())),
        ("reserve and give up", || receiving(0, |tx| drop(tx.reserve().unwrap()))),
        ("select a send", || {
            receiving(0, |tx| kahn_channels::select! { send(tx, 1) -> sent => sent.unwrap() })
        }),
        ("select a send, among others", || {
            receiving(0, |tx| {
                let (_open, rx) = bounded::<u32>(1);
                kahn_channels::select! { recv(rx) -> _ => unreachable!(), send(tx, 1) -> sent => sent.unwrap() }
            })
        }),
        ("drop the sender", || receiving(0, drop)),
        ("close", || receiving(1, |tx| tx.close())),
        ("receive", || sending(1, |rx| assert_eq!(rx.recv(), Ok(0)))),
        ("receive, without room", || sending(0, |rx| assert_eq!(rx.recv(), Ok(1)))),
        ("try to receive", || sending(0, |rx| assert_eq!(rx.try_recv(), Ok(1)))),
        ("receive many", || sending(2, |rx| assert!(rx.recv_many(&mut Vec::new(), 5).is_ok()))),
        ("select a receive", || {
            sending(0, |rx| kahn_channels::select! { recv(rx) -> msg => assert_eq!(msg, Ok(1)) })
        }),
        ("drop the receiver", || sending(1, drop)),
        ("send once", || {
            let (tx, rx) = oneshot();
            (
                Box::pin(async move {
                    let _ = rx.await;
                }),
                Box::new(move || tx.send(1).unwrap()),
            )
        }),
        ("broadcast", || {
            let (tx, rx) = broadcast(1);
            (
                Box::pin(async move {
                    let _ = rx.recv_async().await;
                }),
                Box::new(move || tx.send(1).unwrap()),
            )
        }),
        ("change what is watched", || {
            let (tx, rx) = watch(0);
            (
                Box::pin(async move {
                    let _ = rx.changed_async().await;
                }),
                Box::new(move || tx.send(1).unwrap()),
            )
        }),
    ]
}

#[test]
fn waker_may_wait_in_every_operation_that_calls_it() {
    everywhere(|world| {
        for (name, make) in wakings() {
            eprintln!("{name}");
            let (mut task, wakes) = make();
            let (go, waits) = bounded(0);
            let mut context_waker = Waker::from(Arc::new(Waits(waits)));
            assert!(task.as_mut().poll(&mut Context::from_waker(&context_waker)).is_pending(), "{name}");
            let waking = world.spawn(wakes);
            go.send(()).unwrap();
            // What is polled from now on wakes a waker that does not wait.
            context_waker = Waker::noop().clone();
            until(name, || {
                task.as_mut().poll(&mut Context::from_waker(&context_waker)).is_ready()
                    || waking.is_finished()
            });
            waking.join();
        }
    });
}

#[test]
fn future_that_is_dropped_leaves_no_waker() {
    for (name, make) in kinds() {
        let (mut future, bring) = make();
        let (waker, alive) = waker();
        assert!(poll(&mut future, &waker).is_pending(), "{name}");
        drop(waker);
        assert_ne!(alive.strong_count(), 0, "{name}");
        drop(future);
        assert_eq!(alive.strong_count(), 0, "{name}");
        drop(bring);
    }
}

/// Five futures wait for one event, and three of them are dropped. They take no wake-up of the others.
#[test]
fn dropped_futures_take_no_wake_up_from_others() {
    fn two_of_five(mut make: impl FnMut() -> Waiting, waker: &Waker) -> Option<Vec<Waiting>> {
        let mut futures: Vec<Waiting> = (0..5).map(|_| make()).collect();
        let all_wait = futures.iter_mut().all(|future| poll(future, waker).is_pending());
        drop((futures.remove(0), futures.remove(1), futures.remove(2)));
        all_wait.then_some(futures)
    }
    let (tx, rx) = watch(0);
    let (changed, alive) = waker();
    let make = || {
        let rx = rx.clone();
        Box::pin(async move { rx.changed_async().await.unwrap() }) as Waiting
    };
    let mut futures = two_of_five(make, &changed).expect("nothing was sent");
    tx.send(1).unwrap();
    assert_eq!(alive.upgrade().unwrap().0.load(Ordering::SeqCst), 2);
    assert!(futures.iter_mut().all(|future| poll(future, &changed).is_ready()));

    // A moment that comes before all wait is tried again, later.
    for wait_ms in (0..).map(|doublings| 5 << doublings) {
        let (come, alive) = waker();
        let timer = after(Duration::from_millis(wait_ms));
        let woken = || alive.upgrade().unwrap().0.load(Ordering::SeqCst);
        if let Some(mut futures) = two_of_five(|| moment(timer.clone()), &come) {
            until("both are woken", || woken() == 2);
            // One of them gets the message.
            let ready = futures.iter_mut().map(|future| usize::from(poll(future, &come).is_ready()));
            assert_eq!(ready.sum::<usize>(), 1);
            break;
        }
    }
}

/// The receiver looks at the channel that it waits for, whenever its waker is cloned, dropped or woken.
#[test]
fn waker_may_use_the_channel_that_its_future_waits_for() {
    type Look = Box<dyn Fn() + Send + Sync>;
    const TABLE: RawWakerVTable = {
        unsafe fn call(data: *const ()) {
            // SAFETY: the pointer is from an `Arc` of a closure, of which each waker holds a reference.
            unsafe { (*data.cast::<Look>())() };
        }
        unsafe fn clone(data: *const ()) -> RawWaker {
            // SAFETY: as above.
            unsafe {
                call(data);
                Arc::increment_strong_count(data.cast::<Look>());
            }
            RawWaker::new(data, &TABLE)
        }
        unsafe fn release(data: *const ()) {
            // SAFETY: as above.
            unsafe {
                call(data);
                Arc::decrement_strong_count(data.cast::<Look>());
            }
        }
        RawWakerVTable::new(clone, release, call, release)
    };
    let waker_of = |look: Look| {
        let look = Arc::into_raw(Arc::new(look));
        // SAFETY: the table is made for it.
        unsafe { Waker::from_raw(RawWaker::new(look.cast(), &TABLE)) }
    };
    let (tx, rx) = watch(0);
    let looks = rx.clone();
    let watched: [Waker; 2] = [0, 1].map(|_| {
        let looks = looks.clone();
        waker_of(Box::new(move || assert!(looks.get() < 3)))
    });
    let mut future: Waiting = Box::pin(async move { while rx.changed_async().await.is_ok() {} });
    for n in 0..3 {
        assert!(watched.iter().all(|waker| poll(&mut future, waker).is_pending()));
        tx.send(n).unwrap();
    }
    assert!(poll(&mut future, &watched[0]).is_pending());
    drop(future);

    // Another timer is set, and unset.
    let timed: [Waker; 2] = [0, 1].map(|_| {
        waker_of(Box::new(|| {
            let mut future: Waiting = moment(after(HOUR));
            assert!(poll(&mut future, Waker::noop()).is_pending());
        }))
    });
    let mut future: Waiting = moment(after(HOUR));
    assert!(timed.iter().all(|waker| poll(&mut future, waker).is_pending()));
    drop((future, timed));
}

/// The timer thread ends when all waiting futures have been dropped, however long they would have waited.
#[cfg(all(target_os = "linux", not(miri)))]
#[test]
fn timer_thread_ends_when_no_future_waits() {
    let is_kept = || {
        std::fs::read_dir("/proc/self/task").unwrap().flatten().any(|task| {
            std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "kahn-timer")
        })
    };
    let mut future: Waiting = moment(after(HOUR));
    assert!(poll(&mut future, Waker::noop()).is_pending());
    until("the thread is there", is_kept);
    drop(future);
    until("the thread is gone", || !is_kept());
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker");
    }
}

#[test]
fn operation_that_wakes_a_task_does_not_unwind_if_the_waker_panics() {
    everywhere(|world| {
        for (name, make) in wakings() {
            let (mut task, wakes) = make();
            let waker = Waker::from(Arc::new(Panics));
            assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending(), "{name}");
            world
                .spawn(move || {
                    let woken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(wakes));
                    assert!(woken.is_ok(), "{name}");
                })
                .join();
            until(name, || task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
        }
    });
}

#[test]
fn operation_that_wakes_a_task_does_not_unwind_if_the_waker_parks_after_a_cancel() {
    struct Parks(AtomicUsize);
    impl Wake for Parks {
        fn wake(self: Arc<Self>) {
            kahn_core::yield_now();
            kahn_core::sleep(Duration::from_millis(1));
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    for (name, make) in wakings() {
        let (mut task, wakes) = make();
        let parks = Arc::new(Parks(AtomicUsize::new(0)));
        let waker = Waker::from(parks.clone());
        assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending(), "{name}");
        let (returned, returns) = std::sync::mpsc::channel();
        let (go, waits) = std::sync::mpsc::channel::<()>();
        let (started, starts) = std::sync::mpsc::channel();
        let sends = kahn_core::spawn(move || {
            started.send(()).unwrap();
            waits.recv().unwrap();
            // The cancel has come, and takes effect at the first park.
            wakes();
            returned.send(()).unwrap();
            kahn_core::yield_now();
        });
        starts.recv().unwrap();
        sends.cancel();
        go.send(()).unwrap();
        assert!(sends.join().unwrap_err().is_cancelled(), "{name}");
        assert_eq!(returns.recv(), Ok(()), "{name}");
        assert_eq!(parks.0.load(Ordering::SeqCst), 1, "{name}");
        drop(task);
    }
}

/// A message that a future was handed counts as present, because the future can be dropped.
#[test]
fn receivers_are_told_of_the_end_after_a_future_has_taken_or_put_back_its_message() {
    fn receive(rx: &Receiver<u32>) -> Pin<Box<dyn Future<Output = Option<u32>> + '_>> {
        Box::pin(async { rx.recv_async().await.ok() })
    }
    let mut context = Context::from_waker(Waker::noop());
    for cap in [0, 1] {
        let (tx, rx) = bounded(cap);
        let mut first = receive(&rx);
        assert!(first.as_mut().poll(&mut context).is_pending());
        tx.try_send(7).unwrap();
        let mut early = receive(&rx);
        assert!(early.as_mut().poll(&mut context).is_pending());
        drop(tx);
        let mut late = receive(&rx);
        assert!(early.as_mut().poll(&mut context).is_pending());
        assert!(late.as_mut().poll(&mut context).is_pending());
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(rx.recv_timeout(Duration::from_millis(1)), Err(RecvTimeoutError::Timeout));
        let ready = kahn_channels::select! { recv(rx) -> _ => true, default => false };
        assert!(!ready);
        drop(first);
        assert_eq!(early.as_mut().poll(&mut context), Poll::Ready(Some(7)));
        assert_eq!(late.as_mut().poll(&mut context), Poll::Ready(None));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
        let ready = kahn_channels::select! { recv(rx) -> msg => msg.is_err(), default => false };
        assert!(ready);
    }
    // Threads, and a select, that wait for the end.
    everywhere(|world| {
        let (tx, rx) = bounded(1);
        let mut first = receive(&rx);
        assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        tx.send(7).unwrap();
        let (other, selects) = (rx.clone(), rx.clone());
        drop(tx);
        let other = world.spawn(move || other.recv().is_err());
        let selects = world.spawn(move || {
            kahn_channels::select! { recv(selects) -> msg => msg.is_err(), recv(kahn_channels::never::<()>()) -> _ => false }
        });
        kahn_core::sleep(Duration::from_millis(2));
        assert!(!other.is_finished() && !selects.is_finished());
        assert_eq!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Some(7)));
        assert!(other.join() && selects.join());
    });
}

/// A message that a select has selected, or that a future waits for, counts as present, because it can be given up.
#[test]
fn receivers_are_told_of_the_end_after_a_reservation_was_used_or_given_up() {
    fn receive(rx: &Receiver<u32>) -> Pin<Box<dyn Future<Output = Option<u32>> + '_>> {
        Box::pin(async { rx.recv_async().await.ok() })
    }
    /// Closes the channel, whose only message has a receiver, and lets that receiver `end`: it `uses` the message or
    /// not.
    fn check(tx: &Sender<u32>, rx: &Receiver<u32>, uses: bool, end: impl FnOnce()) {
        let mut context = Context::from_waker(Waker::noop());
        let mut early = receive(rx);
        assert!(early.as_mut().poll(&mut context).is_pending());
        tx.close();
        let mut late = receive(rx);
        assert!(early.as_mut().poll(&mut context).is_pending());
        assert!(late.as_mut().poll(&mut context).is_pending());
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(rx.recv_timeout(Duration::from_millis(1)), Err(RecvTimeoutError::Timeout));
        assert!(!kahn_channels::select! { recv(rx) -> _ => true, default => false });
        end();
        assert_eq!(early.as_mut().poll(&mut context), Poll::Ready((!uses).then_some(7)));
        assert_eq!(late.as_mut().poll(&mut context), Poll::Ready(None));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
        assert!(kahn_channels::select! { recv(rx) -> msg => msg.is_err(), default => false });
    }
    let mut context = Context::from_waker(Waker::noop());
    for uses in [true, false] {
        for (cap, closes_first) in [(0, false), (1, false), (1, true)] {
            let (tx, rx) = bounded(cap);
            let mut send = Box::pin(tx.send_async(7));
            assert_eq!(send.as_mut().poll(&mut context).is_pending(), cap == 0);
            if closes_first {
                tx.close();
            }
            let mut select = Select::new();
            select.recv(&rx);
            let selected = select.select();
            check(&tx, &rx, uses, || {
                if uses {
                    assert_eq!(selected.recv(&rx), Ok(7));
                } else {
                    let unwound = catch_unwind(AssertUnwindSafe(|| {
                        let _chosen = selected;
                        resume_unwind(Box::new(()))
                    }));
                    unwound.unwrap_err();
                }
            });
        }
        let (tx, rx) = bounded(0);
        let mut awaiting = receive(&rx);
        assert!(awaiting.as_mut().poll(&mut context).is_pending());
        tx.try_reserve().unwrap().send(7).unwrap();
        check(&tx, &rx, uses, || {
            if uses {
                assert_eq!(awaiting.as_mut().poll(&mut context), Poll::Ready(Some(7)));
            } else {
                drop(awaiting);
            }
        });
    }
    // Threads, and a select, that wait for the end.
    everywhere(|world| {
        let (tx, rx) = bounded(1);
        tx.send(7).unwrap();
        let mut select = Select::new();
        select.recv(&rx);
        let selected = select.select();
        let (other, selects) = (rx.clone(), rx.clone());
        drop(tx);
        let other = world.spawn(move || other.recv().is_err());
        let selects = world.spawn(move || {
            kahn_channels::select! { recv(selects) -> msg => msg.is_err(), recv(kahn_channels::never::<()>()) -> _ => false }
        });
        kahn_core::sleep(Duration::from_millis(2));
        assert!(!other.is_finished() && !selects.is_finished());
        assert_eq!(selected.recv(&rx), Ok(7));
        assert!(other.join() && selects.join());
    });
}

/// A permit without a receiver is not a message to come, once the channel is closed.
#[test]
fn select_on_a_closed_rendezvous_waits_for_a_message_in_hand_beside_a_permit() {
    everywhere(|_| {
        let mut context = Context::from_waker(Waker::noop());
        let (tx, rx) = bounded(0);
        let mut awaiting = Box::pin(rx.recv_async());
        assert!(awaiting.as_mut().poll(&mut context).is_pending());
        let mut holds = Box::pin(rx.recv_async());
        assert!(holds.as_mut().poll(&mut context).is_pending());
        let permit = tx.try_reserve().unwrap();
        tx.try_send(7).unwrap();
        drop(awaiting);
        tx.close();
        let received = kahn_channels::select! {
            recv(rx) -> msg => Some(msg),
            default(Duration::from_millis(1)) => None,
        };
        assert_eq!(received, None);
        assert_eq!(holds.as_mut().poll(&mut context), Poll::Ready(Ok(7)));
        drop(permit);
    });
}

/// A waker whose clone, and it alone, panics when it is dropped.
fn armed() -> Waker {
    fn clone(_: *const ()) -> RawWaker {
        static CLONE: RawWakerVTable =
            RawWakerVTable::new(clone, |_| {}, |_| {}, |_| panic!("the waker's destructor"));
        RawWaker::new(std::ptr::null(), &CLONE)
    }
    static ORIGINAL: RawWakerVTable = RawWakerVTable::new(clone, |_| {}, |_| {}, |_| {});
    // SAFETY: no function uses the data pointer, and all may be called on any thread.
    unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &ORIGINAL)) }
}

fn poll_armed<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&armed()))
}

#[test]
fn wakers_destructor_that_panics_loses_no_result() {
    let message = Arc::new(());
    let is_whole = |name: &str| assert_eq!(Arc::strong_count(&message), 1, "{name}: the message leaks");
    for waits in [false, true] {
        // Waits first, so that the future's own waker is dropped as well.
        let wait = |pending: bool| assert!(pending == waits);
        let (tx, rx) = bounded(1);
        let mut received = std::pin::pin!(rx.recv_async());
        wait(waits && poll_armed(received.as_mut()).is_pending());
        tx.send(message.clone()).unwrap();
        assert!(matches!(poll_armed(received.as_mut()), Poll::Ready(Ok(_))));
        is_whole("receive");

        let (tx, rx) = bounded(0);
        let mut sent = Box::pin(tx.send_async(message.clone()));
        wait(waits && poll_armed(sent.as_mut()).is_pending());
        rx.close();
        assert!(matches!(poll_armed(sent.as_mut()), Poll::Ready(Err(_))));
        drop(sent);
        is_whole("send");

        let (tx, rx) = bounded(0);
        let mut sent = Box::pin(tx.send_async(message.clone()));
        if waits {
            assert!(poll_armed(sent.as_mut()).is_pending());
        }
        drop(sent);
        drop(rx);
        is_whole("send, dropped");

        let (tx, rx) = oneshot();
        let mut received = Box::pin(rx);
        wait(waits && poll_armed(received.as_mut()).is_pending());
        tx.send(message.clone()).unwrap();
        assert!(matches!(poll_armed(received.as_mut()), Poll::Ready(Ok(_))));
        drop(received);
        is_whole("receive once");

        let (tx, rx) = broadcast(1);
        let mut received = Box::pin(rx.recv_async());
        wait(waits && poll_armed(received.as_mut()).is_pending());
        tx.send(message.clone()).unwrap();
        assert!(matches!(poll_armed(received.as_mut()), Poll::Ready(Ok(_))));
        drop(received);
        is_whole("receive what is broadcast");

        let (tx, rx) = watch(0);
        let mut changed = Box::pin(rx.changed_async());
        wait(waits && poll_armed(changed.as_mut()).is_pending());
        tx.send(1).unwrap();
        assert!(matches!(poll_armed(changed.as_mut()), Poll::Ready(Ok(()))));

        let timer = after(Duration::ZERO);
        let mut received = Box::pin(timer.recv_async());
        until("the timer", || poll_armed(received.as_mut()).is_ready());
    }
}
