//! The wait list, with async tasks beside threads. (Its models are in `src/models`. The locks test it with threads.)
#![cfg(not(kahn_loom))]

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use kahn_core::wait::{Kind, MixedWaitList, Queue, Reason, WaitOptions, Waited};

/// A list whose claimer writes a number into the payload.
type List = MixedWaitList<(), usize>;

/// Calls a function when it is woken.
struct Task<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Task<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

fn waker(f: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Task(f)))
}

/// Waits for a number other than zero. If the future is dropped with one, gives it to the next waiter.
fn number(list: &List) -> impl Future<Output = usize> + '_ {
    let look =
        |(): &mut (), _: &mut [Queue<'_, usize>; 1], number: &mut usize| (*number > 0).then_some(*number);
    list.wait_async(0, 0, look, |(), [queue], &mut number| {
        if let Some(next) = queue.claim_next() {
            *next = number;
        }
    })
}

fn poll<T>(future: Pin<&mut impl Future<Output = T>>, waker: &Waker) -> Poll<T> {
    future.poll(&mut Context::from_waker(waker))
}

/// Waits as a thread, and returns the number.
fn wait(list: &List) -> usize {
    let options = WaitOptions::new(Reason::new(Kind::Park, list)).with(0);
    match list.wait(options, |()| None::<()>) {
        Ok(Waited::Woken(number)) => number,
        _ => unreachable!("it is not cancelled, and has no deadline"),
    }
}

fn waiting(list: &List) -> usize {
    list.update(|(), [queue]| queue.waiting())
}

/// Waits until `n` waiters are in the list.
fn until_waiting(list: &List, n: usize) {
    while waiting(list) < n {
        thread::yield_now();
    }
}

fn give(list: &List, number: usize) {
    list.update(|(), [queue]| *queue.claim_next().expect("there is a waiter") = number);
}

#[test]
fn tasks_and_threads_are_served_in_the_order_of_their_arrival() {
    let list = List::new(());
    let mut first = pin!(number(&list));
    let mut third = pin!(number(&list));
    assert!(poll(first.as_mut(), Waker::noop()).is_pending());
    thread::scope(|scope| {
        let second = scope.spawn(|| wait(&list));
        until_waiting(&list, 2);
        assert!(poll(third.as_mut(), Waker::noop()).is_pending());
        // A poll does not change the order.
        assert!(poll(first.as_mut(), Waker::noop()).is_pending());
        (1..=3).for_each(|number| give(&list, number));
        assert_eq!(poll(third.as_mut(), Waker::noop()), Poll::Ready(3));
        assert_eq!(second.join().unwrap(), 2);
        assert_eq!(poll(first.as_mut(), Waker::noop()), Poll::Ready(1));
    });
}

#[test]
fn claim_of_all_wakes_tasks_and_threads_in_order() {
    let list = List::new(());
    let log = Arc::new(Mutex::new(Vec::new()));
    let logging = |n: usize| {
        let log = log.clone();
        waker(move || log.lock().unwrap().push(n))
    };
    let mut futures: Vec<_> = (0..4).map(|_| Box::pin(number(&list))).collect();
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for (n, future) in futures.iter_mut().enumerate() {
            assert!(poll(future.as_mut(), &logging(n)).is_pending());
            // Threads stand after the first future and after the third.
            if n % 2 == 0 {
                threads.push(scope.spawn(|| wait(&list)));
                until_waiting(&list, n + 1 + threads.len());
            }
        }
        let mut numbers = 1..;
        list.update(|(), [queue]| {
            let all = queue.claim_all();
            assert_eq!(all.count(), 6);
            all.for_each(|number| *number = numbers.next().unwrap());
        });
        assert_eq!(threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>(), [2, 5]);
    });
    assert_eq!(*log.lock().unwrap(), [0, 1, 2, 3]);
    let got = futures.iter_mut().map(|future| poll(future.as_mut(), Waker::noop()));
    assert_eq!(got.collect::<Vec<_>>(), [1, 3, 4, 6].map(Poll::Ready));
}

#[test]
fn task_is_woken_after_unlocking() {
    let list = Arc::new(List::new(()));
    let seen = Arc::new(AtomicUsize::new(0));
    let waker = {
        let (list, seen) = (list.clone(), seen.clone());
        waker(move || _ = seen.fetch_add(1 + waiting(&list), Ordering::Relaxed))
    };
    let mut future = pin!(number(&list));
    assert!(poll(future.as_mut(), &waker).is_pending());
    give(&list, 1);
    assert_eq!(seen.load(Ordering::Relaxed), 1);
}

#[test]
fn panic_of_a_waker_ends_with_the_waker() {
    let list = List::new(());
    let woken = Arc::new(AtomicUsize::new(0));
    let counting = {
        let woken = woken.clone();
        waker(move || _ = woken.fetch_add(1, Ordering::Relaxed))
    };
    let mut first = pin!(number(&list));
    let mut second = pin!(number(&list));
    assert!(poll(first.as_mut(), &waker(|| panic!("on purpose"))).is_pending());
    assert!(poll(second.as_mut(), &counting).is_pending());
    list.update(|(), [queue]| queue.claim_all().for_each(|number| *number = 7));
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    assert_eq!(poll(first.as_mut(), Waker::noop()), Poll::Ready(7));
    assert_eq!(poll(second.as_mut(), Waker::noop()), Poll::Ready(7));
}

#[test]
fn dropped_future_leaves_its_queue() {
    let list = List::new(());
    let mut stays = pin!(number(&list));
    {
        let mut goes = pin!(number(&list));
        assert!(poll(goes.as_mut(), Waker::noop()).is_pending());
        assert!(poll(stays.as_mut(), Waker::noop()).is_pending());
        assert_eq!(waiting(&list), 2);
    }
    assert_eq!(waiting(&list), 1);
    give(&list, 5);
    assert_eq!(poll(stays.as_mut(), Waker::noop()), Poll::Ready(5));
}

#[test]
fn dropped_future_passes_on_what_it_was_given() {
    let list = List::new(());
    let mut goes = Box::pin(number(&list));
    assert!(poll(goes.as_mut(), Waker::noop()).is_pending());
    thread::scope(|scope| {
        let next = scope.spawn(|| wait(&list));
        until_waiting(&list, 2);
        give(&list, 9);
        drop(goes);
        assert_eq!(next.join().unwrap(), 9);
    });
}

/// The waker could wait, while the wait of the thread that calls it is open.
#[test]
fn thread_that_has_claimed_a_task_does_not_wait() {
    let list = List::new(());
    let mut future = pin!(number(&list));
    assert!(poll(future.as_mut(), Waker::noop()).is_pending());
    let options = WaitOptions::new(Reason::new(Kind::Park, &list)).with(0);
    let look = |(): &mut (), [queue]: &mut [Queue<'_, usize>; 1], _: &mut usize| {
        *queue.claim_next()? = 3;
        None::<()>
    };
    let waited = catch_unwind(AssertUnwindSafe(|| list.wait_with(options, look).is_ok()));
    assert!(waited.is_err());
    // The claim holds, and the list can be used.
    assert_eq!(poll(future.as_mut(), Waker::noop()), Poll::Ready(3));
    assert_eq!(waiting(&list), 0);
}
