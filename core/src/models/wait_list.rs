//! Models of futures that wait in a `WaitList`: each claim reaches one waiter, which is woken or has the claim passed on.

use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake as TaskWake;

use super::Checked;
use crate::primitives::explore::{Arc, orders, thread};
use crate::wait::{CurrentWaiter, Kind, MixedWaitList, Queue, Reason, WaitOptions, Waited, Waiter};

/// A task that counts how often it was woken, unseen by the model.
struct Task(AtomicUsize);

impl TaskWake for Task {
    fn wake(self: StdArc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Task {
    fn new() -> (StdArc<Task>, Waker) {
        let task = StdArc::new(Task(AtomicUsize::new(0)));
        (task.clone(), Waker::from(task))
    }

    fn wakes(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A list whose claimer writes into the payload of the waiter. The model fails if two threads use a payload at once.
#[derive(Clone)]
struct List(Arc<MixedWaitList<(), Checked>>);

fn give(payload: &mut Checked) {
    payload.set(payload.get() + 1);
}

fn take(payload: &mut Checked) -> Option<()> {
    (payload.get() > 0).then(|| payload.set(payload.get() - 1))
}

impl List {
    fn new() -> List {
        List(Arc::new(MixedWaitList::new(())))
    }

    /// Gives to the first waiter. Returns whether there was one.
    fn give_one(&self) -> bool {
        self.0.update(|(), [queue]| queue.claim_next().map(give).is_some())
    }

    /// Starts a thread that gives once, and returns whether there was a waiter.
    fn giver(&self) -> thread::JoinHandle<bool> {
        let list = self.clone();
        thread::spawn(move || list.give_one())
    }

    /// Waits to be given to. If the future is dropped after that, the next waiter is given to.
    fn future(&self) -> impl Future<Output = ()> + '_ {
        let look = |(): &mut (), _: &mut [Queue<'_, Checked>; 1], payload: &mut Checked| take(payload);
        self.0.wait_async(0, Checked::new(0), look, |(), [queue], payload| {
            if take(payload).is_some() {
                queue.claim_next().map(give);
            }
        })
    }
}

fn poll(future: Pin<&mut impl Future<Output = ()>>, waker: &Waker) -> Poll<()> {
    future.poll(&mut Context::from_waker(waker))
}

/// Two futures wait, and one is given to while the first is dropped. The second has it, and is woken once.
#[test]
fn claim_races_with_the_drop_of_the_future() {
    orders(3, || {
        let list = List::new();
        let (task, waker) = Task::new();
        let mut first = Box::pin(list.future());
        assert!(poll(first.as_mut(), Waker::noop()).is_pending());
        let mut second = pin!(list.future());
        assert!(poll(second.as_mut(), &waker).is_pending());
        let giver = list.giver();
        drop(first);
        assert!(giver.join().unwrap());
        assert_eq!(task.wakes(), 1, "given to, directly or by the first");
        assert_eq!(poll(second.as_mut(), &waker), Poll::Ready(()));
    });
}

/// A future moves to another task while it is given to. Either the poll sees that, or the new task is woken.
#[test]
fn claim_races_with_a_poll_by_another_task() {
    orders(3, || {
        let list = List::new();
        let ((before, first), (after, second)) = (Task::new(), Task::new());
        let mut future = pin!(list.future());
        assert!(poll(future.as_mut(), &first).is_pending());
        let giver = list.giver();
        let polled = poll(future.as_mut(), &second);
        assert!(giver.join().unwrap());
        let expected = if polled.is_ready() { (1, 0) } else { (0, 1) };
        assert_eq!((before.wakes(), after.wakes()), expected);
        if polled.is_pending() {
            assert_eq!(poll(future.as_mut(), &second), Poll::Ready(()));
        }
    });
}

/// A thread and a future are in one queue, and the thread is cancelled while one of the two is given to.
#[test]
fn claim_races_with_a_cancel_of_a_thread_beside_a_future() {
    orders(2, || {
        let list = List::new();
        let me = match CurrentWaiter::current() {
            CurrentWaiter::Thread(waiter) => waiter,
            _ => unreachable!("a model has only OS threads"),
        };
        let canceller = thread::spawn(move || {
            // SAFETY: the `Arc` keeps the waiter.
            drop(unsafe { Waiter::cancel(crate::wait::ThreadWaiter::waiter(&me)) });
        });
        let giver = {
            let list = list.clone();
            thread::spawn(move || {
                let (task, waker) = Task::new();
                let mut future = pin!(list.future());
                assert!(poll(future.as_mut(), &waker).is_pending());
                assert!(list.give_one());
                let polled = poll(future.as_mut(), &waker);
                assert_eq!(task.wakes(), usize::from(polled.is_ready()));
                polled.is_ready()
            })
        };
        let options = WaitOptions::new(Reason::new(Kind::Park, &list)).with(Checked::new(0));
        let waited = list.0.wait(options, |()| None::<()>);
        let task_has = giver.join().unwrap();
        canceller.join().unwrap();
        match waited {
            Ok(Waited::Woken(mut payload)) => assert!(take(&mut payload).is_some() && !task_has),
            Ok(Waited::Found(())) => unreachable!("it does not look"),
            Err(_) => assert!(task_has),
        }
        assert!(list.0.update(|(), [queue]| queue.is_empty()));
    });
}
