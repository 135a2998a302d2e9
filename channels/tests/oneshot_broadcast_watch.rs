//! Oneshot, broadcast, watch, and the async ends.

mod support;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_core::Stream;
use kahn_channels::{
    RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError, after, bounded, broadcast, oneshot,
    select, watch,
};
use support::{everywhere, times};

/// A waker that counts.
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn counter() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count(AtomicUsize::new(0)));
    (count.clone(), Waker::from(count))
}

/// Runs a future: on an OS thread with a waker of the test's own.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    #[cfg(not(any(kahn_threads, miri)))]
    if kahn_core::thread::is_green() {
        return kahn_core::block_on(future);
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn next<S: Stream>(mut stream: Pin<&mut S>) -> impl Future<Output = Option<S::Item>> + '_ {
    std::future::poll_fn(move |context| stream.as_mut().poll_next(context))
}

fn is_send<T: Send>(value: T) -> T {
    value
}

#[test]
fn async_and_blocking_ends_exchange_messages() {
    everywhere(|world| {
        for cap in [0, 1, 5] {
            let total = times(2000);
            let (tx, rx) = bounded(cap);
            let (back_tx, back) = bounded(cap);
            let task = world.spawn(move || {
                block_on(is_send(async move {
                    let mut sum = 0;
                    for n in 0..total {
                        tx.send_async(n).await.unwrap();
                        sum += back.recv_async().await.unwrap();
                    }
                    sum
                }))
            });
            for n in 0..total {
                if n % 2 == 0 {
                    assert_eq!(rx.recv(), Ok(n));
                    back_tx.send(1).unwrap();
                } else {
                    select! { recv(rx) -> msg => assert_eq!(msg, Ok(n)) }
                    select! { send(back_tx, 1) -> res => res.unwrap() }
                }
            }
            assert_eq!(task.join(), total);
        }
    });
}

#[test]
fn async_ends_and_streams_exchange_messages() {
    everywhere(|world| {
        for cap in [0, 3] {
            let total = times(2000);
            let (tx, rx) = bounded(cap);
            let sender = world.spawn(move || {
                block_on(async move {
                    for n in 0..total {
                        tx.send_async(n).await.unwrap();
                    }
                })
            });
            let sum = block_on(async {
                let mut messages = pin!(rx.into_stream());
                let mut sum = 0;
                while let Some(n) = next(messages.as_mut()).await {
                    sum += n;
                }
                sum
            });
            assert_eq!(sum, total * (total - 1) / 2);
            sender.join();
        }
        assert!(block_on(after(Duration::from_millis(5)).recv_async()).is_ok());
    });
}

/// A receive that is dropped after it was handed a message gives it to the next, or puts it back in front.
#[test]
fn dropped_receive_future_loses_no_message() {
    let (count, waker) = counter();
    let mut context = Context::from_waker(&waker);
    let (tx, rx) = bounded(2);
    {
        let mut first = Box::pin(rx.recv_async());
        let mut second = Box::pin(rx.recv_async());
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        tx.send(1).unwrap();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        drop(first);
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
        tx.send(2).unwrap();
        assert_eq!(second.as_mut().poll(&mut context), Poll::Ready(Ok(1)));
        let mut third = Box::pin(rx.recv_async());
        assert_eq!(third.as_mut().poll(&mut context), Poll::Ready(Ok(2)));
        assert!(third.as_mut().poll(&mut context).is_pending());
        tx.send(3).unwrap();
        tx.send(4).unwrap();
    }
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [3, 4]);

    // With capacity 0 too.
    let (tx, rx) = bounded(0);
    let mut receive = Box::pin(rx.recv_async());
    assert!(receive.as_mut().poll(&mut context).is_pending());
    assert_eq!(tx.try_send(1), Ok(()));
    drop(receive);
    assert_eq!(rx.try_recv(), Ok(1));
    // Met by a permit, then given up by either.
    let mut receive = Box::pin(rx.recv_async());
    assert!(receive.as_mut().poll(&mut context).is_pending());
    let permit = tx.reserve().unwrap();
    assert!(receive.as_mut().poll(&mut context).is_pending());
    drop(permit);
    assert!(receive.as_mut().poll(&mut context).is_pending());
    let permit = tx.reserve().unwrap();
    drop(receive);
    permit.send(2).unwrap();
    assert_eq!(rx.try_recv(), Ok(2));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
}

/// A send that is dropped leaves the queue, with its message; one that was taken has been sent.
#[test]
fn dropped_send_future_leaves_the_queue_with_its_message() {
    let (_, waker) = counter();
    let mut context = Context::from_waker(&waker);
    let (tx, rx) = bounded(1);
    let alive = Arc::new(());
    tx.send(alive.clone()).unwrap();
    let mut first = Box::pin(tx.send_async(alive.clone()));
    let mut second = Box::pin(tx.send_async(alive.clone()));
    let never_polled = tx.send_async(alive.clone());
    assert!(first.as_mut().poll(&mut context).is_pending());
    assert!(second.as_mut().poll(&mut context).is_pending());
    assert_eq!(Arc::strong_count(&alive), 5);
    drop((first, never_polled));
    assert_eq!(Arc::strong_count(&alive), 3);
    drop(rx.recv());
    drop(second);
    assert_eq!(rx.len(), 1);
    drop(rx);
    assert_eq!(Arc::strong_count(&alive), 1);
    assert!(block_on(tx.send_async(alive.clone())).is_err());
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[test]
fn close_wakes_tasks() {
    let (count, waker) = counter();
    let mut context = Context::from_waker(&waker);
    let (tx, rx) = bounded(0);
    let mut send = Box::pin(tx.send_async(1));
    assert!(send.as_mut().poll(&mut context).is_pending());
    rx.close();
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert_eq!(send.as_mut().poll(&mut context), Poll::Ready(Err(SendError(1))));
    assert_eq!(block_on(rx.recv_async()), Err(RecvError));
}

#[test]
fn oneshot_delivers_one_message_and_reports_its_ends() {
    everywhere(|world| {
        for _ in 0..times(200) {
            let (tx, rx) = oneshot();
            let sender = world.spawn(move || tx.send(Box::new(5)));
            let receiver = world.spawn(move || rx.recv());
            assert!(sender.join().is_ok());
            assert_eq!(receiver.join(), Ok(Box::new(5)));

            let (tx, rx) = oneshot();
            let sender = world.spawn(move || tx.send(Arc::new(())));
            let dropper = world.spawn(move || drop(rx));
            let _ = sender.join();
            dropper.join();

            let (tx, rx) = oneshot();
            let task = world.spawn(move || block_on(rx));
            tx.send(6).unwrap();
            assert_eq!(task.join(), Ok(6));
        }
        let (tx, rx) = oneshot::<i32>();
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(rx.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
        assert!(!rx.is_closed() && !tx.is_closed());
        drop(tx);
        assert!(rx.is_closed());
        assert_eq!(rx.recv(), Err(RecvError));
        let (tx, rx) = oneshot();
        let waiting = world.spawn(move || {
            tx.closed();
            tx.send(1)
        });
        rx.close();
        assert_eq!(waiting.join(), Err(SendError(1)));
    });
}

#[test]
fn broadcast_delivers_every_message_to_every_subscriber() {
    everywhere(|world| {
        let total = times(1000);
        let (tx, first) = broadcast(4);
        let rest: Vec<_> = (0..3).map(|_| tx.subscribe()).collect();
        let parts: Vec<_> = rest
            .into_iter()
            .chain([first])
            .map(|rx| world.spawn(move || assert!(rx.iter().eq((0..2 * total).map(|n| n % total)))))
            .collect();
        let other = tx.clone();
        world.spawn(move || (0..total).for_each(|n| other.send(n).unwrap())).join();
        (0..total).for_each(|n| tx.send(n).unwrap());
        drop(tx);
        parts.into_iter().for_each(|part| part.join());

        let alive = Arc::new(());
        let (tx, slow) = broadcast(2);
        let fast = tx.subscribe();
        tx.send(alive.clone()).unwrap();
        tx.send(alive.clone()).unwrap();
        assert!(matches!(tx.try_send(alive.clone()), Err(TrySendError::Full(_))));
        assert_eq!((fast.recv().is_ok(), fast.len(), slow.len()), (true, 1, 2));
        assert!(tx.try_send(alive.clone()).unwrap_err().is_full());
        let late = slow.clone();
        assert_eq!(late.len(), 2);
        let blocked = {
            let (tx, alive) = (tx.clone(), alive.clone());
            world.spawn(move || tx.send(alive).is_ok())
        };
        drop((slow, late));
        assert!(blocked.join());
        assert_eq!(fast.len(), 2);
        drop(fast);
        assert_eq!(Arc::strong_count(&alive), 1);
        assert!(tx.send(alive.clone()).is_err());
        let again = tx.subscribe();
        tx.close();
        assert_eq!(again.recv().map(drop), Err(RecvError));
        assert!(std::panic::catch_unwind(|| broadcast::<i32>(0)).is_err());
    });
}

/// On one worker a sender that has said that it is about to send has parked when the others run again.
#[cfg(not(any(kahn_threads, miri)))]
#[test]
fn broadcast_serves_waiting_senders_in_order() {
    support::World::Green1.run(|world| {
        let (tx, rx) = broadcast(2);
        let second = tx.subscribe();
        let here = Arc::new(AtomicUsize::new(0));
        tx.send(0).unwrap();
        tx.send(1).unwrap();
        let waiting: Vec<_> = (2..10)
            .map(|n| {
                let (tx, comes) = (tx.clone(), here.clone());
                let sender = world.spawn(move || {
                    comes.fetch_add(1, Ordering::SeqCst);
                    tx.send(n).unwrap();
                });
                support::until("it waits", || here.load(Ordering::SeqCst) == n - 1);
                sender
            })
            .collect();
        // A newcomer finds the place taken that a receiver makes, although the sender has not run yet.
        assert_eq!((rx.recv(), second.recv()), (Ok(0), Ok(0)));
        assert!(tx.try_send(10).unwrap_err().is_full());
        drop(second);
        drop(tx);
        assert!(rx.iter().eq(1..10));
        waiting.into_iter().for_each(|sender| sender.join());
    });
}

#[test]
fn broadcast_returns_messages_of_senders_that_give_up() {
    everywhere(|world| {
        let (tx, rx) = broadcast(1);
        let second = tx.subscribe();
        let senders: Vec<_> = (0..4)
            .map(|_| {
                let tx = tx.clone();
                world.spawn(move || {
                    let send = |n| tx.send_timeout(n, Duration::from_micros(50));
                    (0..times(300)).filter(|&n| send(n).is_ok()).count()
                })
            })
            .collect();
        let count = |rx: broadcast::Receiver<usize>| move || rx.iter().count();
        let receivers = [world.spawn(count(rx)), world.spawn(count(second))];
        drop(tx);
        let sent: usize = senders.into_iter().map(|sender| sender.join()).sum();
        assert_eq!(receivers.map(|receiver| receiver.join()), [sent; 2]);
    });
}

#[test]
fn dropping_the_last_subscriber_ends_waiting_senders() {
    everywhere(|world| {
        for _ in 0..times(300) {
            let (tx, rx) = broadcast(1);
            tx.send(0).unwrap();
            let senders: Vec<_> = (1..3)
                .map(|n| {
                    let tx = tx.clone();
                    world.spawn(move || tx.send(n))
                })
                .collect();
            drop(rx);
            for (n, sender) in (1..).zip(senders) {
                assert_eq!(sender.join(), Err(SendError(n)));
            }
        }
    });
}

#[test]
fn oneshot_ends_every_waiting_receiver() {
    everywhere(|world| {
        for round in 0..times(300) {
            let (tx, rx) = oneshot();
            let rx = Arc::new(rx);
            let receivers: Vec<_> = (0..3)
                .map(|_| {
                    let rx = rx.clone();
                    world.spawn(move || rx.recv())
                })
                .collect();
            if round % 2 == 0 {
                world.yield_now();
            }
            let sends = round % 3 > 0;
            let sender = world.spawn(move || if sends { tx.send(round).unwrap() } else { drop(tx) });
            let got: Vec<_> = receivers.into_iter().filter_map(|receiver| receiver.join().ok()).collect();
            sender.join();
            assert_eq!(got, if sends { vec![round] } else { vec![] });
        }
    });
}

#[test]
fn oneshot_ends_waiting_threads_and_the_waiting_future() {
    everywhere(|world| {
        for round in 0..times(300) {
            let (tx, mut rx) = oneshot();
            let (count, waker) = counter();
            let mut context = Context::from_waker(&waker);
            assert!(Pin::new(&mut rx).poll(&mut context).is_pending());
            let rx = Arc::new(rx);
            let receivers: Vec<_> = (0..2)
                .map(|_| {
                    let rx = rx.clone();
                    world.spawn(move || rx.recv())
                })
                .collect();
            let sender = world.spawn(move || tx.send(round).unwrap());
            let mut got: Vec<_> = receivers.into_iter().map(|receiver| receiver.join()).collect();
            sender.join();
            assert_eq!(count.0.load(Ordering::SeqCst), 1, "the task is woken");
            let mut rx = Arc::into_inner(rx).expect("the others are gone");
            got.extend(match Pin::new(&mut rx).poll(&mut context) {
                Poll::Ready(received) => Some(received),
                Poll::Pending => None,
            });
            assert_eq!(got.len(), 3);
            assert_eq!(got.into_iter().filter_map(Result::ok).collect::<Vec<_>>(), [round]);
        }
    });
}

#[test]
fn watch_shows_the_latest_value_and_its_changes() {
    everywhere(|world| {
        let (tx, rx) = watch(0);
        assert_eq!((rx.get(), rx.has_changed()), (0, false));
        let total = times(1000);
        let watcher = {
            let rx = rx.clone();
            world.spawn(move || {
                let mut last = 0;
                while rx.changed().is_ok() {
                    let now = rx.get();
                    assert!(now >= last);
                    last = now;
                }
                last
            })
        };
        let task = {
            let rx = rx.clone();
            world.spawn(move || {
                block_on(is_send(async move {
                    while rx.changed_async().await.is_ok() {}
                    rx.get()
                }))
            })
        };
        let parts: Vec<_> = (0..2)
            .map(|_| {
                let tx = tx.clone();
                world.spawn(move || (0..total).for_each(|_| tx.modify(|n| *n += 1).unwrap()))
            })
            .collect();
        parts.into_iter().for_each(|part| part.join());
        assert!(rx.has_changed());
        assert_eq!(*rx.borrow(), 2 * total);
        assert!(!rx.has_changed());
        assert_eq!(rx.changed_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
        drop(tx);
        assert_eq!((watcher.join(), task.join()), (2 * total, 2 * total));
        assert_eq!(rx.changed(), Err(RecvError));
    });
}

#[test]
fn broadcast_can_be_iterated_and_awaited() {
    everywhere(|world| {
        let total = times(500);
        let (tx, rx) = broadcast(4);
        let (all, some, other) = (rx.clone(), rx.clone(), rx.clone());
        let parts = [
            world.spawn(move || all.into_iter().sum::<usize>()),
            world.spawn(move || (&some).into_iter().sum()),
            world.spawn(move || {
                block_on(is_send(async move {
                    let mut sum = 0;
                    while let Ok(n) = other.recv_async().await {
                        sum += n;
                    }
                    sum
                }))
            }),
            world.spawn(move || {
                let mut sum = 0;
                while let Ok(first) = rx.recv() {
                    sum += first + rx.try_iter().sum::<usize>();
                }
                sum
            }),
        ];
        (0..total).for_each(|n| tx.send(n).unwrap());
        drop(tx);
        for part in parts {
            assert_eq!(part.join(), total * (total - 1) / 2);
        }
    });
}

/// An iterator that is dropped is no subscriber any more, and a future that is dropped has seen nothing.
#[test]
fn dropped_broadcast_iterator_holds_up_no_sender() {
    let (tx, rx) = broadcast(1);
    let other = rx.clone();
    tx.send(1).unwrap();
    let mut messages = other.into_iter();
    assert_eq!((messages.next(), tx.subscribers()), (Some(1), 2));
    drop(messages);
    assert_eq!((rx.try_iter().collect::<Vec<_>>(), tx.subscribers()), (vec![1], 1));
    let mut received = Box::pin(rx.recv_async());
    assert!(received.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    tx.send(2).unwrap();
    drop(received);
    assert_eq!(rx.recv(), Ok(2));
}

#[test]
fn watched_value_that_panics_when_it_is_dropped_leaks_no_clone_of_it() {
    use std::cell::RefCell;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;

    thread_local! {
        static SENDER: RefCell<Option<watch::Sender<Bomb>>> = const { RefCell::new(None) };
    }

    struct Bomb(Arc<()>, bool);

    impl Clone for Bomb {
        fn clone(&self) -> Bomb {
            // Replaces the value meanwhile, so that the receiver has the last reference to it.
            if let Some(sender) = SENDER.take() {
                assert!(sender.send(Bomb(self.0.clone(), false)).is_ok());
            }
            Bomb(self.0.clone(), false)
        }
    }

    impl Drop for Bomb {
        fn drop(&mut self) {
            if self.1 {
                panic!("the value's destructor");
            }
        }
    }

    let alive = Arc::new(());
    let (tx, rx) = kahn_channels::watch(Bomb(alive.clone(), true));
    SENDER.set(Some(tx.clone()));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(rx.get()))).is_err());
    drop((tx, rx));
    assert_eq!(Arc::strong_count(&alive), 1);
}
