//! Models of small correct programs. The same text compiles and passes without `--cfg kahn_loom`, where each program runs
//! once. `ci/loom.sh` explores them.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::hash::Hash;
use std::sync::{Arc as StdArc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use kahn::channel::{after, bounded, broadcast, oneshot, select, watch};
use kahn::sync::{Arc, Barrier, Condvar, Mutex, Once, OnceLock, RwLock, Semaphore, WaitGroup};

const SHORT: Duration = Duration::from_millis(1);

/// What the executions of a model have come to, unseen by the model.
#[derive(Clone, Default)]
struct Seen<T>(StdArc<StdMutex<BTreeSet<T>>>);

impl<T: Ord + Hash + Clone> Seen<T> {
    fn add(&self, value: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(value);
    }

    /// Checks that all of these were seen. A program that runs once comes to one of them.
    fn expect_all(&self, all: impl IntoIterator<Item = T>) {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let all = BTreeSet::from_iter(all);
        if cfg!(kahn_loom) {
            assert!(seen == all, "{} of {} outcomes", seen.len(), all.len());
        } else {
            assert!(!seen.is_empty() && seen.is_subset(&all));
        }
    }
}

#[test]
fn mutex_keeps_both_updates() {
    kahn::model(|| {
        let sum = Arc::new(Mutex::new(0));
        let adder = kahn::spawn({
            let sum = Arc::clone(&sum);
            move || *sum.lock().unwrap() += 1
        });
        *sum.lock().unwrap() += 2;
        adder.join().unwrap();
        assert_eq!(*sum.lock().unwrap(), 3);
    });
}

#[test]
fn locks_in_one_order_do_not_deadlock() {
    kahn::model(|| {
        let locks = Arc::new((Mutex::new(1), Mutex::new(2)));
        let other = kahn::spawn({
            let locks = Arc::clone(&locks);
            move || *locks.0.lock().unwrap() + *locks.1.lock().unwrap()
        });
        let first = locks.0.lock().unwrap();
        assert_eq!(*first + *locks.1.lock().unwrap(), 3);
        drop(first);
        assert_eq!(other.join().unwrap(), 3);
    });
}

#[test]
fn messages_arrive_in_order() {
    for capacity in [0, 1] {
        kahn::model(move || {
            let (tx, rx) = bounded(capacity);
            let sender = kahn::spawn(move || (0..2).for_each(|n| tx.send(n).unwrap()));
            assert_eq!(rx.iter().collect::<Vec<_>>(), [0, 1]);
            sender.join().unwrap();
        });
    }
}

#[test]
fn select_takes_either_case() {
    let seen = Seen::default();
    let found = seen.clone();
    kahn::model(move || {
        let (tx, numbers) = bounded(1);
        let (quit, stopped) = bounded::<()>(1);
        tx.send(1).unwrap();
        quit.send(()).unwrap();
        found.add(select! {
            recv(numbers) -> _ => "number",
            recv(stopped) -> _ => "stop",
        });
    });
    seen.expect_all(["number", "stop"]);
}

#[test]
fn timer_fires_before_or_after_a_message() {
    let seen = Seen::default();
    let found = seen.clone();
    kahn::model(move || {
        let (tx, rx) = bounded(1);
        let sender = kahn::spawn(move || tx.send(()));
        found.add(select! {
            recv(rx) -> message => if message.is_ok() { "message" } else { "end" },
            recv(after(SHORT)) -> _ => "timer",
        });
        let _ = sender.join().unwrap();
    });
    seen.expect_all(["message", "timer"]);
}

#[test]
fn time_out_is_a_choice() {
    let seen = Seen::default();
    let found = seen.clone();
    kahn::model(move || {
        let (tx, rx) = bounded(0);
        let sender = kahn::spawn(move || tx.send_timeout(1, SHORT).is_ok());
        let got = kahn::time::timeout(SHORT, || rx.recv().is_ok());
        drop(rx);
        assert_eq!(sender.join().unwrap(), got == Ok(true));
        found.add(got.is_ok_and(|got| got));
    });
    seen.expect_all([false, true]);
}

#[test]
fn clock_passes_with_the_deadlines() {
    kahn::model(|| {
        let start = kahn::time::now();
        let sleeper = kahn::spawn(|| kahn::sleep(SHORT));
        kahn::sleep(2 * SHORT);
        sleeper.join().unwrap();
        assert!(kahn::time::now() >= start + 2 * SHORT);
        assert!(kahn::time::timeout(SHORT, || kahn::thread::park()).is_err());
    });
}

#[test]
fn scope_lends_to_its_children() {
    kahn::model(|| {
        let mut counts = [0, 0];
        let (left, right) = counts.split_at_mut(1);
        kahn::scope(|s| {
            s.spawn(|| left[0] = 1);
            let right = s.spawn(|| right[0] = 2);
            right.join().unwrap();
        });
        assert_eq!(counts, [1, 2]);
    });
}

#[test]
fn park_takes_the_token() {
    kahn::model(|| {
        let parked = kahn::thread::Builder::new().name("parked".into());
        let parked = parked.spawn(kahn::thread::park).unwrap();
        assert_eq!(parked.thread().name(), Some("parked"));
        parked.thread().unpark();
        parked.join().unwrap();
    });
}

#[test]
fn cancel_ends_a_wait() {
    kahn::model(|| {
        let (_tx, rx) = bounded::<()>(1);
        let waits = kahn::spawn(move || rx.recv());
        waits.cancel();
        assert!(waits.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn joined_panic_is_a_result() {
    kahn::model(|| {
        let fails = kahn::spawn(|| {
            if true {
                panic!("on purpose")
            }
        });
        assert!(fails.join().unwrap_err().is_panic());
    });
}

#[test]
fn detached_green_threads_end_with_the_program() {
    kahn::model(|| {
        let (tx, rx) = bounded::<()>(0);
        kahn::spawn(move || rx.recv());
        kahn::spawn(kahn::thread::park);
        drop(tx);
    });
}

#[test]
fn condvar_is_notified() {
    kahn::model(|| {
        let pair = Arc::new((Mutex::new(false), Condvar::new()));
        let other = kahn::spawn({
            let pair = Arc::clone(&pair);
            move || {
                *pair.0.lock().unwrap() = true;
                pair.1.notify_one();
            }
        });
        let ready = pair.1.wait_while(pair.0.lock().unwrap(), |ready| !*ready).unwrap();
        assert!(*ready);
        drop(ready);
        other.join().unwrap();
    });
}

#[test]
fn reader_sees_whole_writes() {
    kahn::model(|| {
        let pair = Arc::new(RwLock::new((0, 0)));
        let writer = kahn::spawn({
            let pair = Arc::clone(&pair);
            move || {
                let mut pair = pair.write().unwrap();
                pair.0 += 1;
                pair.1 += 1;
            }
        });
        let seen = *pair.read().unwrap();
        assert_eq!(seen.0, seen.1);
        writer.join().unwrap();
    });
}

#[test]
fn semaphore_barrier_once_and_wait_group_meet() {
    kahn::model(|| {
        let shared = Arc::new((Semaphore::new(1), Once::new(), OnceLock::new()));
        let other = kahn::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let _permit = shared.0.acquire();
                shared.1.call_once(|| ());
                *shared.2.get_or_init(|| 1)
            }
        });
        drop(shared.0.acquire());
        shared.1.call_once(|| ());
        assert_eq!(*shared.2.get_or_init(|| 1), other.join().unwrap());
    });
    kahn::model(|| {
        let barrier = Arc::new(Barrier::new(2));
        let group = WaitGroup::new();
        let other = kahn::spawn({
            let (barrier, group) = (Arc::clone(&barrier), group.clone());
            move || {
                drop(group);
                barrier.wait().is_leader()
            }
        });
        let leads = barrier.wait().is_leader();
        assert_ne!(leads, other.join().unwrap());
        group.wait();
    });
}

#[test]
fn other_channels_deliver() {
    kahn::model(|| {
        let (tx, rx) = oneshot();
        let sender = kahn::spawn(move || tx.send(1).unwrap());
        assert_eq!(rx.recv(), Ok(1));
        sender.join().unwrap();
    });
    kahn::model(|| {
        let (tx, rx) = watch(0);
        let sender = kahn::spawn(move || tx.send(1).unwrap());
        rx.changed().unwrap();
        assert_eq!(rx.get(), 1);
        sender.join().unwrap();
    });
    kahn::model(|| {
        let (tx, rx) = broadcast(1);
        let sender = kahn::spawn(move || tx.send(1).unwrap());
        assert_eq!(rx.recv(), Ok(1));
        sender.join().unwrap();
    });
}

#[test]
fn server_handles_its_messages() {
    kahn::model(|| {
        let (tx, rx) = bounded(1);
        let (squares, results) = bounded(1);
        let server = kahn::serve(rx, move |n: u32| squares.send(n * n).unwrap());
        tx.send(3).unwrap();
        assert_eq!(results.recv(), Ok(9));
        drop(tx);
        server.join().unwrap();
    });
}

#[test]
fn task_and_block_on() {
    kahn::model(|| {
        let (tx, rx) = bounded(1);
        let task = kahn::task::spawn(async move { rx.recv_async().await.unwrap() });
        kahn::block_on(tx.send_async(4)).unwrap();
        assert_eq!(task.join().unwrap(), 4);
    });
}

#[test]
fn async_time_out_is_a_choice() {
    let seen = Seen::default();
    let found = seen.clone();
    kahn::model(move || {
        let (tx, rx) = bounded(1);
        let task = kahn::task::spawn(kahn::time::timeout_async(SHORT, async move { rx.recv_async().await }));
        let _ = tx.send(5);
        found.add(task.join().unwrap().is_ok());
    });
    seen.expect_all([false, true]);
}

#[test]
fn local_values_belong_to_one_green_thread() {
    kahn::thread::local! { static COUNT: Cell<u32> = const { Cell::new(0) } }

    kahn::model(|| {
        COUNT.set(1);
        let other = kahn::spawn(|| {
            kahn::yield_now();
            COUNT.set(COUNT.get() + 5);
            COUNT.get()
        });
        kahn::yield_now();
        assert_eq!(COUNT.get(), 1);
        assert_eq!(other.join().unwrap(), 5);
        assert_eq!(COUNT.get(), 1);
    });
}

#[test]
fn blocking_call_returns_its_value() {
    kahn::model(|| {
        assert_eq!(kahn::blocking(|| 7), 7);
        assert!(kahn::thread::is_green());
        assert!(kahn::thread::available_parallelism().unwrap().get() > 0);
    });
}
