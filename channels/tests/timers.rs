//! Timer channels: a message that a select has taken and gives up goes to another receiver.

mod support;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use kahn_channels::{Receiver, Select, TryRecvError, after, at, never, select, tick};
use support::{everywhere, times, until};

/// Lets a select take the timer's message, calls `meanwhile`, and lets the select give the message up.
fn give_up_after<R>(timer: &Receiver<Instant>, meanwhile: impl FnOnce() -> R) -> R {
    let mut select = Select::new();
    select.recv(timer);
    let operation = select.select();
    let result = meanwhile();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(operation))).is_err());
    result
}

#[test]
fn message_that_a_select_gives_up_wakes_waiting_receivers() {
    type Receive = fn(&Receiver<Instant>) -> Instant;
    const RECEIVES: [Receive; 4] = [
        |timer| timer.recv().unwrap(),
        |timer| timer.recv_timeout(Duration::from_secs(3600)).unwrap(),
        |timer| {
            select! {
                recv(timer) -> message => message.unwrap(),
                recv(never::<()>()) -> _ => unreachable!(),
            }
        },
        |timer| {
            let mut select = Select::new();
            select.recv(timer);
            assert_eq!(select.ready(), 0);
            timer.try_recv().unwrap()
        },
    ];
    everywhere(|world| {
        for receive in RECEIVES {
            for _ in 0..times(10) {
                let when = Instant::now();
                let timer = at(when);
                let receiver = give_up_after(&timer, || {
                    let clone = timer.clone();
                    let started = Arc::new(AtomicBool::new(false));
                    let starts = started.clone();
                    let receiver = world.spawn(move || {
                        starts.store(true, Ordering::SeqCst);
                        receive(&clone)
                    });
                    until("the receiver starts", || started.load(Ordering::SeqCst));
                    // It waits by now, or soon. Both orders must work.
                    (0..20).for_each(|_| world.yield_now());
                    receiver
                });
                assert_eq!(receiver.join(), when);
                assert_eq!(timer.try_recv(), Err(TryRecvError::Empty));
            }
        }
    });
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Gives a message up while a future waits for it. Returns false if the next message was due before the future waited.
fn give_up_while_a_future_waits(timer: &Receiver<Instant>) -> bool {
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    let mut context = Context::from_waker(&waker);
    let mut received = pin!(timer.recv_async());
    let mut dropped = Box::pin(timer.recv_async());
    let waits = give_up_after(timer, || {
        let polls = (0..2).all(|_| {
            received.as_mut().poll(&mut context).is_pending()
                && dropped.as_mut().poll(&mut context).is_pending()
        });
        drop(dropped);
        polls
    });
    assert!(!waits || count.0.load(Ordering::SeqCst) > 0);
    assert!(!waits || received.as_mut().poll(&mut context).is_ready());
    waits
}

#[test]
fn message_that_a_select_gives_up_wakes_tasks() {
    assert!(give_up_while_a_future_waits(&after(Duration::ZERO)));
    // The next tick may come too soon on a busy machine. Then a longer period is tried.
    let mut periods = (0..).map(|doublings| Duration::from_millis(50 << doublings));
    assert!(periods.any(|period| give_up_while_a_future_waits(&tick(period))));
}
