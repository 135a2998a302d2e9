//! Channels: the assertions of Go's and crossbeam's test suites, as scenarios that run on every kind of thread.

mod support;

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use kahn_channels::{
    Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError, TrySendError,
    after, bounded,
};
use support::{World, everywhere, times, until};

fn conserved(world: &World, cap: usize, senders: usize, receivers: usize, each: usize) {
    let (tx, rx) = bounded::<Box<usize>>(cap);
    let senders: Vec<_> = (0..senders)
        .map(|part| {
            let tx = tx.clone();
            world.spawn(move || (0..each).for_each(|n| tx.send(Box::new(part * each + n)).unwrap()))
        })
        .collect();
    drop(tx);
    let receivers: Vec<_> = (0..receivers)
        .map(|_| {
            let rx = rx.clone();
            world.spawn(move || rx.iter().map(|n| *n).collect::<Vec<_>>())
        })
        .collect();
    let total = senders.len() * each;
    senders.into_iter().for_each(|sender| sender.join());
    let mut seen = HashSet::new();
    for receiver in receivers {
        for n in receiver.join() {
            assert!(seen.insert(n), "{n} came twice at capacity {cap}");
        }
    }
    assert_eq!(seen.len(), total, "capacity {cap}");
}

/// TestChan: 4 senders, 4 receivers, every small capacity.
#[test]
fn every_message_comes_once() {
    everywhere(|world| {
        for cap in [0, 1, 2, 3, 7, 64, 199] {
            conserved(world, cap, 4, 4, times(1000));
        }
    });
}

/// MultiConsumer.
#[test]
fn many_consumers_receive_every_message_once() {
    everywhere(|world| conserved(world, 23, 1, 23, times(271_828) / 10));
}

/// TestChan: an empty receive and a full send block, len and capacity.
#[test]
fn empty_and_full_channels_refuse_try_operations() {
    everywhere(|world| {
        for cap in 0..times(200) {
            let (tx, rx) = bounded(cap);
            assert_eq!((tx.capacity(), rx.capacity()), (Some(cap), Some(cap)));
            assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
            assert_eq!((tx.is_empty(), rx.is_empty()), (true, true));
            for n in 0..cap {
                assert_eq!(tx.len(), n);
                assert!(!tx.is_full());
                assert_eq!(tx.try_send(n), Ok(()));
            }
            assert_eq!((tx.is_full(), rx.is_full(), rx.len()), (true, true, cap));
            assert_eq!(tx.try_send(cap), Err(TrySendError::Full(cap)));
            for n in 0..cap {
                assert_eq!(rx.try_recv(), Ok(n));
            }
            assert!(rx.is_empty());
            drop(tx);
            assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
        }
        let (tx, rx) = bounded(1);
        let sent = Arc::new(AtomicUsize::new(0));
        let count = sent.clone();
        let sender = world.spawn(move || {
            for n in 0..3 {
                tx.send(n).unwrap();
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        until("the first send", || sent.load(Ordering::SeqCst) == 1);
        world.sleep(Duration::from_millis(5));
        assert_eq!(sent.load(Ordering::SeqCst), 1);
        assert_eq!(rx.iter().collect::<Vec<_>>(), [0, 1, 2]);
        sender.join();
    });
}

/// fifo: order kept, buffered and through a chain of rendezvous.
#[test]
fn messages_keep_their_order() {
    everywhere(|world| {
        let (tx, rx) = bounded(10);
        (0..10).for_each(|n| tx.send(n).unwrap());
        assert_eq!(rx.try_iter().collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());

        let (first, mut last) = bounded(0);
        let links: Vec<_> = (0..10)
            .map(|_| {
                let (tx, rx) = bounded(0);
                let before = std::mem::replace(&mut last, rx);
                world.spawn(move || before.iter().for_each(|n: usize| tx.send(n).unwrap()))
            })
            .collect();
        let count = times(1000);
        let source = world.spawn(move || (0..count).for_each(|n| first.send(n).unwrap()));
        assert!(last.iter().eq(0..count));
        source.join();
        links.into_iter().for_each(|link| link.join());
    });
}

/// sieve1: primes through a chain of filters.
#[test]
fn chain_of_filters_finds_primes() {
    everywhere(|world| {
        let (tx, mut numbers) = bounded(1);
        world.spawn(move || {
            let mut n = 2;
            while tx.send(n).is_ok() {
                n += 1;
            }
        });
        let mut primes = Vec::new();
        for _ in 0..(if cfg!(miri) { 5 } else { 30 }) {
            let prime = numbers.recv().unwrap();
            primes.push(prime);
            let (tx, rx) = bounded(1);
            let before = std::mem::replace(&mut numbers, rx);
            world.spawn(move || {
                for n in before.iter().filter(|n| n % prime != 0) {
                    if tx.send(n).is_err() {
                        break;
                    }
                }
            });
        }
        assert_eq!(primes[..5], [2, 3, 5, 7, 11]);
        assert!(primes.len() < 30 || primes[29] == 113);
    });
}

/// zerosize and nonblock, for several types.
#[test]
fn messages_of_all_sizes_are_received() {
    fn at<T: Clone + PartialEq + std::fmt::Debug + Send + 'static>(world: &World, msg: T) {
        for cap in [0, 1] {
            let (tx, rx) = bounded(cap);
            assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
            if cap == 0 {
                assert_eq!(tx.try_send(msg.clone()), Err(TrySendError::Full(msg.clone())));
                let (other, value) = (tx.clone(), msg.clone());
                let sender = world.spawn(move || other.send(value).unwrap());
                until("a receive without waiting", || match rx.try_recv() {
                    Ok(got) => {
                        assert_eq!(got, msg);
                        true
                    }
                    Err(_) => false,
                });
                sender.join();
                let receiver = world.spawn(move || rx.recv().unwrap());
                until("a send without waiting", || tx.try_send(msg.clone()).is_ok());
                assert_eq!(receiver.join(), msg);
            } else {
                assert_eq!(tx.try_send(msg.clone()), Ok(()));
                assert_eq!(tx.try_send(msg.clone()), Err(TrySendError::Full(msg.clone())));
                assert_eq!(rx.try_recv(), Ok(msg.clone()));
            }
        }
    }
    everywhere(|world| {
        at(world, ());
        at(world, 7_u8);
        at(world, "text".to_owned());
        at(world, [1_u64; 40]);
    });
}

/// close: the remaining messages are received, then the end. Waiting senders are woken, with their messages.
#[test]
fn close_from_either_side_drains_and_wakes_waiters() {
    everywhere(|world| {
        for by_receiver in [false, true] {
            let (tx, rx) = bounded(2);
            let end =
                |tx: &Sender<i32>, rx: &Receiver<i32>| if by_receiver { rx.close() } else { tx.close() };
            tx.send(1).unwrap();
            tx.send(2).unwrap();
            let other = tx.clone();
            let blocked = world.spawn(move || other.send(3));
            world.sleep(Duration::from_millis(2));
            end(&tx, &rx);
            end(&tx, &rx);
            let third = blocked.join();
            assert_eq!(third, Err(SendError(3)));
            assert_eq!(tx.send(4), Err(SendError(4)));
            assert_eq!(tx.try_send(4), Err(TrySendError::Disconnected(4)));
            assert_eq!(tx.send_timeout(4, Duration::MAX), Err(SendTimeoutError::Disconnected(4)));
            assert_eq!(tx.reserve().map(drop), Err(SendError(())));
            assert_eq!((rx.recv(), rx.try_recv()), (Ok(1), Ok(2)));
            assert_eq!(rx.recv(), Err(RecvError));
            assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
            assert_eq!(rx.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Disconnected));
            assert_eq!(rx.recv_many(&mut Vec::new(), 3), Err(RecvError));
            assert_eq!(rx.iter().count(), 0);

            let (tx, rx) = bounded::<i32>(0);
            let waiting: Vec<_> = (0..3)
                .map(|_| {
                    let rx = rx.clone();
                    world.spawn(move || rx.recv())
                })
                .collect();
            world.sleep(Duration::from_millis(2));
            end(&tx, &rx);
            waiting.into_iter().for_each(|receiver| assert_eq!(receiver.join(), Err(RecvError)));
        }
    });
}

/// The last endpoint of a side wakes the other.
#[test]
fn last_endpoint_of_a_side_wakes_the_other_side() {
    everywhere(|world| {
        for cap in [0, 1] {
            let (tx, rx) = bounded::<i32>(cap);
            let receiver = world.spawn(move || rx.recv());
            drop(tx.clone());
            drop(tx);
            assert_eq!(receiver.join(), Err(RecvError));

            let (tx, rx) = bounded(cap);
            (0..cap).for_each(|_| tx.send(0).unwrap());
            let sender = world.spawn(move || tx.send(5));
            drop(rx.clone());
            world.sleep(Duration::from_millis(1));
            drop(rx);
            assert_eq!(sender.join(), Err(SendError(5)));
        }
    });
}

/// Messages that count themselves.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(alive: &Arc<AtomicUsize>) -> Counted {
        alive.fetch_add(1, Ordering::SeqCst);
        Counted(alive.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert!(self.0.fetch_sub(1, Ordering::SeqCst) > 0, "dropped twice");
    }
}

/// Messages are dropped once, and as soon as the last receiver is gone.
#[test]
fn last_receiver_drops_remaining_messages() {
    let alive = Arc::new(AtomicUsize::new(0));
    let (tx, rx) = bounded(10);
    (0..7).for_each(|_| tx.send(Counted::new(&alive)).unwrap());
    drop(rx.clone());
    assert_eq!(alive.load(Ordering::SeqCst), 7);
    tx.close();
    assert_eq!(alive.load(Ordering::SeqCst), 7);
    drop(rx);
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    assert!(tx.send(Counted::new(&alive)).is_err());
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

/// Sender, receiver and close race; every message is dropped once.
#[test]
fn send_receive_and_close_races_drop_each_message_once() {
    everywhere(|world| {
        for round in 0..times(500) {
            let alive = Arc::new(AtomicUsize::new(0));
            let (tx, rx) = bounded(round % 3);
            let parts = [0, 1].map(|_| {
                let (tx, alive) = (tx.clone(), alive.clone());
                world.spawn(move || (0..5).for_each(|_| drop(tx.send(Counted::new(&alive)))))
            });
            let timed = {
                let (tx, alive) = (tx.clone(), alive.clone());
                world.spawn(move || {
                    let _ = tx.send_timeout(Counted::new(&alive), Duration::from_micros(10));
                })
            };
            let receiver = world.spawn(move || {
                let _ = rx.recv_timeout(Duration::from_micros(round as u64 % 50));
                let _ = rx.recv();
                if round % 2 == 0 {
                    rx.close();
                }
                let _ = rx.try_recv();
            });
            if round % 5 == 0 {
                tx.close();
            }
            parts.into_iter().for_each(|part| part.join());
            timed.join();
            receiver.join();
            assert_eq!(alive.load(Ordering::SeqCst), 0);
        }
    });
}

/// A panic in one message's drop does not lose the others, and leaves the channel sound.
#[test]
fn panic_in_a_message_drop_loses_no_other_message() {
    struct Bomb(#[allow(dead_code, reason = "dropped")] Counted, bool);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.1, "bomb");
        }
    }
    let alive = Arc::new(AtomicUsize::new(0));
    let (tx, rx) = bounded(10);
    (0..7).for_each(|n| tx.send(Bomb(Counted::new(&alive), n == 3)).map_err(|_| ()).unwrap());
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(rx)));
    assert!(dropped.is_err());
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    assert!(tx.send(Bomb(Counted::new(&alive), false)).is_err());
}

/// A message whose drop sends and receives, also on its own channel.
#[test]
fn message_drop_may_use_channels() {
    struct Chatty(Sender<Option<Chatty>>, Receiver<Option<Chatty>>, Sender<i32>);
    impl Drop for Chatty {
        fn drop(&mut self) {
            assert!(self.0.try_send(None).is_err() || self.1.try_recv().is_ok());
            self.2.send(1).unwrap();
        }
    }
    let (out, log) = bounded(10);
    let (tx, rx) = bounded(2);
    tx.send(Some(Chatty(tx.clone(), rx.clone(), out.clone()))).unwrap();
    drop(rx.recv());
    assert_eq!(log.try_iter().count(), 1);
    let (tx2, rx2) = bounded(2);
    tx2.send(Some(Chatty(tx, rx, out))).unwrap();
    drop(rx2);
    assert_eq!(log.try_iter().count(), 1);
}

/// Time: zero returns at once with the message, MAX is for ever, a deadline in the past has passed.
#[test]
fn timeouts_of_zero_and_forever_hold() {
    everywhere(|world| {
        for cap in [0, 1] {
            let (tx, rx) = bounded(cap);
            let start = Instant::now();
            assert_eq!(rx.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
            assert_eq!(rx.recv_deadline(start), Err(RecvTimeoutError::Timeout));
            assert_eq!(rx.recv_timeout(Duration::from_millis(10)), Err(RecvTimeoutError::Timeout));
            assert!(start.elapsed() >= Duration::from_millis(10));
            (0..cap).for_each(|n| tx.send(n).unwrap());
            assert_eq!(tx.send_timeout(9, Duration::ZERO), Err(SendTimeoutError::Timeout(9)));
            assert_eq!(tx.send_deadline(9, start), Err(SendTimeoutError::Timeout(9)));
            assert_eq!(tx.send_timeout(9, Duration::from_millis(5)), Err(SendTimeoutError::Timeout(9)));
            assert_eq!(rx.try_iter().count(), cap);
            let sender = world.spawn(move || tx.send_timeout(5, Duration::MAX));
            assert_eq!(rx.recv_timeout(Duration::MAX), Ok(5));
            assert_eq!(sender.join(), Ok(()));
        }
    });
}

/// A capacity that no machine has costs nothing.
#[test]
fn huge_capacity_costs_no_memory() {
    let (tx, rx) = bounded(usize::MAX);
    (0..1000).for_each(|n| tx.try_send(n).unwrap());
    assert!(rx.try_iter().eq(0..1000));
    let (tx, rx) = bounded::<()>(usize::MAX);
    (0..1000).for_each(|_| tx.try_send(()).unwrap());
    assert_eq!(rx.len(), 1000);
}

/// chanbarrier: what was written before a rendezvous is seen after it.
#[test]
fn rendezvous_orders_memory() {
    everywhere(|world| {
        let written = Arc::new(AtomicUsize::new(0));
        let (tx, rx) = bounded(0);
        let other = written.clone();
        let writer = world.spawn(move || {
            for n in 1..=times(1000) {
                // Relaxed: the channel alone orders it.
                other.store(n, Ordering::Relaxed);
                tx.send(n).unwrap();
            }
        });
        for n in rx.iter() {
            assert!(written.load(Ordering::Relaxed) >= n);
        }
        writer.join();
    });
}

/// reserve: the place is taken, its message comes later, a dropped permit gives it back.
#[test]
fn permit_keeps_room_until_used_or_dropped() {
    everywhere(|world| {
        let (tx, rx) = bounded(1);
        let permit = tx.reserve().unwrap();
        assert_eq!((tx.len(), tx.is_full()), (0, true));
        assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
        let other = tx.clone();
        let sender = world.spawn(move || other.send(2));
        world.sleep(Duration::from_millis(2));
        drop(permit);
        assert_eq!(sender.join(), Ok(()));
        assert_eq!(rx.recv(), Ok(2));
        let permit = tx.reserve().unwrap();
        tx.close();
        assert_eq!(permit.send(3), Err(SendError(3)));

        let (tx, rx) = bounded(0);
        let receiver = world.spawn(move || rx.recv());
        let permit = tx.reserve().unwrap();
        assert!(!receiver.is_finished());
        permit.send(5).unwrap();
        assert_eq!(receiver.join(), Ok(5));

        let (tx, rx) = bounded(0);
        let receiver = world.spawn(move || (rx.recv(), rx.recv()));
        drop(tx.reserve().unwrap());
        tx.reserve().unwrap().send(1).unwrap();
        tx.send(2).unwrap();
        assert_eq!(receiver.join(), (Ok(1), Ok(2)));
    });
}

/// All forms of send agree: the place of a permit is taken, whether a receiver waits or not.
#[test]
fn send_waits_while_a_permit_has_the_last_place() {
    everywhere(|_| {
        let (tx, rx) = bounded(1);
        let permit = tx.reserve().unwrap();
        let mut received = std::pin::pin!(rx.recv_async());
        let mut context = Context::from_waker(Waker::noop());
        assert!(received.as_mut().poll(&mut context).is_pending());
        assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
        assert_eq!(tx.send_deadline(2, Instant::now()), Err(SendTimeoutError::Timeout(2)));
        assert_eq!(tx.send_timeout(2, Duration::ZERO), Err(SendTimeoutError::Timeout(2)));
        permit.send(1).unwrap();
        assert_eq!(received.as_mut().poll(&mut context), Poll::Ready(Ok(1)));
    });
}

/// A message that passes from a permit to a waiting receiver leaves its place to a waiting sender.
#[test]
fn used_permit_leaves_its_room_to_a_waiting_sender() {
    everywhere(|world| {
        let (tx, rx) = bounded(1);
        let permit = tx.reserve().unwrap();
        let other = tx.clone();
        let sender = world.spawn(move || other.send(2));
        world.sleep(Duration::from_millis(2));
        let receiver = world.spawn(move || (rx.recv(), rx.recv()));
        world.sleep(Duration::from_millis(2));
        permit.send(1).unwrap();
        assert_eq!(sender.join(), Ok(()));
        assert_eq!(receiver.join(), (Ok(1), Ok(2)));
        drop(tx);
    });
}

/// recv_many takes what is there, and no more than asked.
#[test]
fn recv_many_takes_available_messages_up_to_its_limit() {
    everywhere(|world| {
        let (tx, rx) = bounded(4);
        let total = times(1000);
        let sender = world.spawn(move || (0..total).for_each(|n| tx.send(n).unwrap()));
        let mut all = Vec::new();
        while let Ok(count) = rx.recv_many(&mut all, 3) {
            assert!((1..=3).contains(&count));
        }
        assert!(all.into_iter().eq(0..total));
        assert_eq!(rx.recv_many(&mut Vec::new(), 0), Ok(0));
        sender.join();
    });
}

/// NonblockRecvRace: a message is there until the channel is closed, so a look never finds nothing.
#[test]
fn try_recv_sees_the_message_or_the_end() {
    everywhere(|world| {
        for _ in 0..times(2000) {
            let (tx, rx) = bounded(1);
            tx.send(1).unwrap();
            let other = rx.clone();
            let looker = world.spawn(move || other.try_recv());
            tx.close();
            let _ = rx.recv();
            assert_ne!(looker.join(), Err(TryRecvError::Empty));
        }
    });
}

/// Sends and receives while the thread's locals are being destroyed.
#[test]
fn channels_work_in_thread_local_destructors() {
    struct Late(Sender<i32>, Receiver<i32>);
    impl Drop for Late {
        fn drop(&mut self) {
            self.0.send(self.1.recv().unwrap() + 1).unwrap();
        }
    }
    thread_local!(static LATE: std::cell::RefCell<Option<Late>> = const { std::cell::RefCell::new(None) });
    let (tx1, rx1) = bounded(0);
    let (tx2, rx2) = bounded(0);
    let thread = std::thread::spawn(move || LATE.with(|late| *late.borrow_mut() = Some(Late(tx2, rx1))));
    tx1.send(1).unwrap();
    assert_eq!(rx2.recv(), Ok(2));
    thread.join().unwrap();
}

/// The soak: random operations of many threads; nothing is lost, nothing comes twice.
#[test]
fn random_operations_lose_and_duplicate_nothing() {
    everywhere(|world| {
        for cap in [0, 1, 5] {
            let (tx, rx) = bounded::<usize>(cap);
            let stop = Arc::new(AtomicBool::new(false));
            let parts: Vec<_> = (0..4_usize)
                .map(|part| {
                    let (tx, rx, stop) = (tx.clone(), rx.clone(), stop.clone());
                    world.spawn(move || {
                        let (mut sent, mut got) = (0_usize, 0_usize);
                        let mut random = part as u64 * 77 + 1;
                        for n in 1..=times(20_000) {
                            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                            let short = Duration::from_micros(random >> 60);
                            match (random >> 33) % 7 {
                                0 => sent += tx.try_send(n).map_or(0, |()| n),
                                1 => sent += tx.send_timeout(n, short).map_or(0, |()| n),
                                2 => got += rx.try_recv().unwrap_or(0),
                                3 => got += rx.recv_timeout(short).unwrap_or(0),
                                4 if cap > 0 => {
                                    let permit = kahn_channels::select! {
                                        send(tx, n) -> res => { res.unwrap(); n }
                                        default => 0,
                                    };
                                    sent += permit;
                                }
                                5 => {
                                    kahn_channels::select! {
                                        recv(rx) -> msg => got += msg.unwrap(),
                                        send(tx, n) -> res => { res.unwrap(); sent += n; }
                                        default(short) => {}
                                    }
                                }
                                _ => {
                                    kahn_channels::select! {
                                        recv(rx) -> msg => got += msg.unwrap(),
                                        default => {}
                                    }
                                }
                            }
                        }
                        stop.store(true, Ordering::SeqCst);
                        (sent, got)
                    })
                })
                .collect();
            let (sent, got) = parts
                .into_iter()
                .map(|part| part.join())
                .fold((0, 0), |all, part| (all.0 + part.0, all.1 + part.1));
            let rest: usize = rx.try_iter().sum();
            assert_eq!(sent, got + rest, "capacity {cap}");
        }
    });
}

#[test]
fn try_reserve_takes_room_if_there_is_some() {
    everywhere(|world| {
        let (tx, rx) = bounded(2);
        let (one, two) = (tx.try_reserve().unwrap(), tx.try_reserve().unwrap());
        assert_eq!(tx.try_reserve().unwrap_err(), TrySendError::Full(()));
        assert_eq!(tx.try_send(0), Err(TrySendError::Full(0)));
        drop(one);
        tx.send(1).unwrap();
        two.send(2).unwrap();
        assert_eq!((rx.recv(), rx.recv()), (Ok(1), Ok(2)));
        let late = tx.try_reserve().unwrap();
        assert!(!tx.is_closed() && !rx.is_closed());
        rx.close();
        assert!(tx.is_closed() && rx.is_closed());
        assert_eq!(tx.try_reserve().unwrap_err(), TrySendError::Disconnected(()));
        assert_eq!(late.send(3).unwrap_err().into_inner(), 3);

        // With capacity 0 the place is a receiver.
        let (tx, rx) = bounded(0);
        assert_eq!(tx.try_reserve().unwrap_err(), TrySendError::Full(()));
        let receiver = world.spawn(move || rx.recv());
        let mut permit = None;
        until("the receiver waits", || {
            permit = tx.try_reserve().ok();
            permit.is_some()
        });
        permit.unwrap().send(5).unwrap();
        assert_eq!(receiver.join(), Ok(5));
        until("the receiver is gone", || tx.is_closed());
        assert!(!after(Duration::ZERO).is_closed());
    });
}
