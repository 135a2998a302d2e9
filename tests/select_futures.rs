//! `select!` over futures: handles, oneshots, watches, broadcasts, sockets, beside channels.

use std::cell::Cell;
use std::future::{pending, poll_fn, ready};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use kahn::channel::{bounded, broadcast, oneshot, select, select_biased, watch};
use kahn::io::Source;

const LONG: Duration = Duration::from_secs(60);

#[kahn::test]
fn join_handle_stands_beside_a_channel() {
    let (stop, stopped) = bounded::<()>(0);
    let mut sum = kahn::spawn(|| (1..=10).sum::<u32>());
    select! {
        wait(&mut sum) -> result => assert_eq!(result.unwrap(), 55),
        recv(stopped) -> _ => unreachable!(),
    }
    let mut sleeper = kahn::spawn(|| kahn::sleep(LONG));
    kahn::spawn(move || drop(stop));
    select! {
        wait(&mut sleeper) -> _ => unreachable!(),
        recv(stopped) -> message => assert!(message.is_err()),
    }
    sleeper.cancel();
    assert!(sleeper.join().unwrap_err().is_cancelled());
}

#[kahn::test]
fn oneshot_watch_and_broadcast_are_selected() {
    let (answer, mut question) = oneshot();
    let (latest, changes) = watch(0);
    let (news, reader) = broadcast(4);
    let (mut answers, mut changed, mut read) = (0, 0, 0);
    let other = kahn::spawn(move || {
        answer.send(7).unwrap();
        latest.send(1).unwrap();
        news.send("x").unwrap();
        (latest, news)
    });
    while answers + changed + read < 3 {
        select! {
            wait(async { if answers == 0 { (&mut question).await } else { pending().await } }) -> answer => {
                assert_eq!(answer, Ok(7));
                answers += 1;
            }
            wait(changes.changed_async()) -> result => {
                result.unwrap();
                changed += 1;
            }
            wait(reader.recv_async()) -> message => {
                assert_eq!(message, Ok("x"));
                read += 1;
            }
            default(LONG) => panic!("nothing came"),
        }
    }
    other.join().unwrap();
    assert_eq!((answers, changed, read), (1, 1, 1));
}

#[kahn::test]
fn socket_stands_beside_a_channel() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let ours = Source::new(ours).unwrap();
    let (tx, rx) = bounded(0);
    kahn::spawn(move || tx.send(1));
    select! {
        wait(ours.readable_async()) -> _ => unreachable!(),
        recv(rx) -> message => assert_eq!(message, Ok(1)),
    }
    let (_stop, stopped) = bounded::<()>(0);
    theirs.write_all(b"x").unwrap();
    select! {
        wait(ours.readable_async()) -> result => result.unwrap(),
        recv(stopped) -> _ => unreachable!(),
    }
}

#[kahn::test]
fn several_selects_wait_for_one_socket() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let ours = Arc::new(Source::new(ours).unwrap());
    let (_stop, stopped) = bounded::<()>(0);
    let all = (0..10).map(|_| {
        let (ours, stopped) = (Arc::clone(&ours), stopped.clone());
        kahn::spawn(move || {
            select! {
                wait(ours.readable_async()) -> result => result.unwrap(),
                recv(stopped) -> _ => unreachable!(),
            }
        })
    });
    let all = all.collect::<Vec<_>>();
    kahn::yield_now();
    theirs.write_all(b"x").unwrap();
    all.into_iter().for_each(|handle| handle.join().unwrap());
}

#[kahn::test]
fn ready_arms_are_chosen_at_random_or_in_order() {
    let mut counts = [0; 2];
    for _ in 0..1000 {
        select! {
            wait(ready(0)) -> n => counts[n] += 1,
            wait(ready(1)) -> n => counts[n] += 1,
        }
        select_biased! {
            wait(ready(())) -> () => {}
            wait(ready(())) -> () => unreachable!(),
        }
    }
    assert!(counts.iter().all(|&count| count > 350), "{counts:?}");
}

/// A future that has waited in a queue may have been given a message. When it is dropped, the message goes on.
#[kahn::test]
fn future_that_is_not_chosen_takes_no_message() {
    for capacity in [0, 1, 3] {
        let (left, left_rx) = bounded(capacity);
        let (right, right_rx) = bounded(capacity);
        let send =
            |tx: kahn::channel::Sender<u32>| kahn::spawn(move || (0..2000).try_for_each(|n| tx.send(n)));
        let senders = [send(left), send(right)];
        let receivers = [(); 2].map(|()| {
            let (left, right) = (left_rx.clone(), right_rx.clone());
            kahn::spawn(move || {
                let (mut count, mut open) = (0, true);
                while open {
                    select! {
                        wait(left.recv_async()) -> message => match message {
                            Ok(_) => count += 1,
                            Err(_) => open = false,
                        },
                        wait(right.recv_async()) -> message => match message {
                            Ok(_) => count += 1,
                            Err(_) => open = false,
                        },
                    }
                }
                // The other channel may still have some.
                count + left.iter().count() + right.iter().count()
            })
        });
        drop((left_rx, right_rx));
        senders.into_iter().for_each(|sender| sender.join().unwrap().unwrap());
        let counts = receivers.map(|receiver| receiver.join().unwrap());
        assert_eq!(counts.iter().sum::<usize>(), 4000, "capacity {capacity}");
    }
}

#[kahn::test]
fn default_is_not_chosen_while_a_future_is_ready() {
    let (tx, rx) = bounded(1);
    let other = kahn::spawn(|| (0..1000).for_each(|_| kahn::yield_now()));
    // More often than the budget lasts, beside a green thread to which this one yields.
    for n in 0..2000 {
        tx.send(n).unwrap();
        select! {
            wait(rx.recv_async()) -> message => assert_eq!(message, Ok(n)),
            default => panic!("the message was there"),
        }
        select! {
            wait(rx.recv_async()) -> _ => unreachable!(),
            default => {}
        }
    }
    other.join().unwrap();
}

#[kahn::test]
fn default_after_a_time_ends_the_wait() {
    select! {
        wait(pending::<()>()) -> () => unreachable!(),
        default(Duration::from_millis(1)) => {}
    }
    let late = kahn::time::timeout(Duration::from_millis(1), || {
        select! { wait(pending::<()>()) -> () => {} }
    });
    assert!(late.is_err());
}

/// Counts its drops.
struct Counter<'a>(&'a Cell<u32>);

impl Drop for Counter<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[kahn::test]
fn futures_are_dropped_before_the_body_runs() {
    let drops = Cell::new(0);
    let future = |value: Option<u32>| {
        let counter = Counter(&drops);
        async move {
            let _counter = counter;
            match value {
                Some(value) => value,
                None => pending().await,
            }
        }
    };
    select! {
        wait(future(None)) -> _ => unreachable!(),
        wait(future(Some(3))) -> n => assert_eq!((n, drops.get()), (3, 2)),
    }
    select! {
        wait(future(None)) -> _ => unreachable!(),
        default => assert_eq!(drops.get(), 3),
    }
}

#[kahn::test]
fn panic_of_a_future_is_a_panic_of_the_select() {
    let (tx, rx) = bounded::<u32>(1);
    let panics = catch_unwind(AssertUnwindSafe(|| {
        select! {
            wait(poll_fn(|_| -> Poll<()> { panic!("in the poll") })) -> () => {}
            recv(rx) -> _ => {}
        }
    }));
    assert!(panics.is_err());
    tx.send(1).unwrap();
    assert_eq!(rx.recv(), Ok(1));
}

/// A future whose destructor panics.
struct Bad;

impl Drop for Bad {
    fn drop(&mut self) {
        panic!("in the destructor of a future");
    }
}

#[kahn::test]
fn panic_in_the_destructor_of_a_future_loses_no_message() {
    let (tx, rx) = bounded(1);
    tx.send(5).unwrap();
    let bad = async {
        let _bad = Bad;
        pending::<()>().await;
    };
    select! {
        wait(bad) -> () => unreachable!(),
        recv(rx) -> message => assert_eq!(message, Ok(5)),
    }
}

#[kahn::test]
fn cancel_ends_a_select_over_futures() {
    let selecting = kahn::spawn(|| select! { wait(pending::<()>()) -> () => {} });
    kahn::yield_now();
    selecting.cancel();
    assert!(selecting.join().unwrap_err().is_cancelled());
}

#[kahn::test]
fn late_and_repeated_wake_ups_are_harmless() {
    let kept = Arc::new(std::sync::Mutex::new(None::<Waker>));
    let polls = Arc::new(AtomicUsize::new(0));
    let future = {
        let (kept, polls) = (Arc::clone(&kept), Arc::clone(&polls));
        poll_fn(move |context| {
            *kept.lock().unwrap() = Some(context.waker().clone());
            if polls.fetch_add(1, Ordering::Relaxed) < 100 { Poll::Pending } else { Poll::Ready(9) }
        })
    };
    let waking = {
        let (kept, polls) = (Arc::clone(&kept), Arc::clone(&polls));
        std::thread::spawn(move || {
            while polls.load(Ordering::Relaxed) <= 100 {
                if let Some(waker) = &*kept.lock().unwrap() {
                    waker.wake_by_ref();
                }
                std::thread::yield_now();
            }
        })
    };
    select! { wait(future) -> n => assert_eq!(n, 9) }
    waking.join().unwrap();
    kept.lock().unwrap().take().unwrap().wake();
}

#[test]
fn os_thread_selects_over_futures() {
    let (tx, rx) = oneshot();
    let sender = std::thread::spawn(move || tx.send(1));
    select! {
        wait(rx) -> message => assert_eq!(message, Ok(1)),
        default(LONG) => panic!("nothing came"),
    }
    sender.join().unwrap().unwrap();
}

/// Several green threads hand numbers round, each by a select over a future and a channel.
#[kahn::test]
fn selects_over_futures_lose_no_wake_up() {
    let pairs = (0..8).map(|_| {
        let (ping, pinged) = bounded(0);
        let (pong, ponged) = bounded(1);
        let (_never, never) = bounded::<u32>(0);
        let never_too = never.clone();
        let echo = kahn::spawn(move || {
            loop {
                let n = select! {
                    wait(pinged.recv_async()) -> n => n,
                    recv(never) -> _ => continue,
                };
                let Ok(n) = n else { return };
                pong.send(n).unwrap();
            }
        });
        kahn::spawn(move || {
            let _never = _never;
            for n in 0..500_u32 {
                ping.send(n).unwrap();
                select! {
                    recv(never_too) -> _ => unreachable!(),
                    wait(ponged.recv_async()) -> got => assert_eq!(got, Ok(n)),
                }
            }
            drop(ping);
            echo.join().unwrap();
        })
    });
    pairs.collect::<Vec<_>>().into_iter().for_each(|pair| pair.join().unwrap());
}
