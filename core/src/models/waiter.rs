//! Models of the end of a wait: by a waker, a canceller, a deadline or the owner. Exactly one of them ends it, and a
//! cancel is never missed.

use core::ptr::NonNull;
use std::time::Instant;

use super::{ALL, Checked};
use crate::primitives::explore::{Arc, orders, thread};
use crate::primitives::{Arc as WaiterArc, Lock, now};
use crate::wait::{CurrentWaiter, Deadline, Node, ThreadWaiter, WaitOutcome, WaitQueue, Waiter};

/// A waiter that may be cancelled: a green thread, played by an OS thread.
#[derive(Clone)]
struct ModelWaiter(WaiterArc<ThreadWaiter>);

impl ModelWaiter {
    fn new() -> ModelWaiter {
        ModelWaiter(ThreadWaiter::new())
    }

    fn waiter(&self) -> NonNull<Waiter> {
        ThreadWaiter::waiter(&self.0)
    }

    fn as_waiter(&self) -> &Waiter {
        // SAFETY: the `Arc` keeps the waiter as long as it is borrowed.
        unsafe { self.waiter().as_ref() }
    }

    /// As `Wait::park` of a green thread, with its node in `queue`.
    fn wait(&self, queue: &Queue, shielded: bool, deadline: Option<Instant>) -> WaitOutcome {
        let waiter = self.as_waiter();
        waiter.prepare(shielded);
        let node = Node::new(self.waiter(), 1, core::ptr::null_mut());
        let place = NonNull::from(&node);
        // SAFETY: the node stays in this frame until it is removed.
        unsafe { queue.0.lock().push(place) };
        if shielded || waiter.may_suspend() {
            // SAFETY: the owner of the waiter calls.
            unsafe { (waiter.kind().suspend)(self.waiter(), deadline.into()) };
        }
        let outcome = waiter.outcome().expect("resumed without a claim");
        // SAFETY: the node is in this queue or in none.
        unsafe { queue.0.lock().remove(place) };
        waiter.finish();
        outcome
    }

    fn cancel(&self) -> bool {
        // SAFETY: the `Arc` keeps the waiter, and `Wake::owed` retains it, too.
        let wake = unsafe { Waiter::cancel(self.waiter()) };
        let won = wake.is_some();
        drop(wake);
        won
    }

    /// Starts a thread that cancels the waiter, and returns whether that has ended a wait.
    fn canceller(&self) -> thread::JoinHandle<bool> {
        let waiter = self.clone();
        thread::spawn(move || waiter.cancel())
    }
}

#[derive(Clone)]
struct Queue(Arc<Lock<WaitQueue>>);

impl Queue {
    fn new() -> Queue {
        Queue(Arc::new(Lock::new(WaitQueue::new())))
    }

    fn wake_one(&self) -> bool {
        let claimed = self.0.lock().claim_next();
        claimed.map(|claimed| claimed.wake.wake()).is_some()
    }

    /// Starts a thread that looks once, and returns whether it has woken a waiter.
    fn waker(&self) -> thread::JoinHandle<bool> {
        let queue = self.clone();
        thread::spawn(move || queue.wake_one())
    }

    /// Starts a thread that looks until it has woken a waiter.
    fn patient_waker(&self) -> thread::JoinHandle<()> {
        let queue = self.clone();
        thread::spawn(move || {
            while !queue.wake_one() {
                thread::yield_now();
            }
        })
    }
}

#[test]
fn cancel_is_never_missed() {
    orders(ALL, || {
        let (waiter, queue) = (ModelWaiter::new(), Queue::new());
        let written = Arc::new(Checked::new(0));
        let canceller = {
            let (waiter, written) = (waiter.clone(), written.clone());
            thread::spawn(move || {
                written.set(1);
                waiter.cancel()
            })
        };
        assert_eq!(waiter.wait(&queue, false, None), WaitOutcome::Cancelled);
        let _ = canceller.join().unwrap();
        assert_eq!(written.get(), 1);
        assert!(queue.0.lock().is_empty());
    });
}

#[test]
fn cancel_races_with_a_waker() {
    orders(3, || {
        let (waiter, queue) = (ModelWaiter::new(), Queue::new());
        let canceller = waiter.canceller();
        let waker = queue.waker();
        let outcome = waiter.wait(&queue, false, None);
        let cancelled = canceller.join().unwrap();
        let woken = waker.join().unwrap();
        assert!(!(cancelled && woken), "claimed twice");
        assert_eq!(outcome == WaitOutcome::Token(1), woken);
        assert!(waiter.as_waiter().is_cancelled());
    });
}

/// A cancel that one wait has missed ends the next one.
#[test]
fn cancel_ends_one_of_two_waits() {
    orders(3, || {
        let (waiter, queue) = (ModelWaiter::new(), Queue::new());
        let canceller = waiter.canceller();
        let first = {
            let waker = queue.waker();
            // With a deadline, because the waker may come too early.
            let outcome = waiter.wait(&queue, false, Some(now()));
            assert_eq!(waker.join().unwrap(), outcome == WaitOutcome::Token(1));
            outcome
        };
        if first != WaitOutcome::Cancelled {
            assert_eq!(waiter.wait(&queue, false, None), WaitOutcome::Cancelled);
        }
        let _ = canceller.join().unwrap();
    });
}

#[test]
fn shielded_wait_ignores_a_cancel() {
    orders(3, || {
        let (waiter, queue) = (ModelWaiter::new(), Queue::new());
        let canceller = waiter.canceller();
        let waker = queue.patient_waker();
        assert_eq!(waiter.wait(&queue, true, None), WaitOutcome::Token(1));
        assert!(!canceller.join().unwrap());
        waker.join().unwrap();
    });
}

#[test]
fn deadline_races_with_a_waker() {
    orders(ALL, || {
        let (waiter, queue) = (ModelWaiter::new(), Queue::new());
        let waker = queue.waker();
        let outcome = waiter.wait(&queue, false, Some(now()));
        let woken = waker.join().unwrap();
        assert_eq!(outcome, if woken { WaitOutcome::Token(1) } else { WaitOutcome::TimedOut });
        assert!(queue.0.lock().is_empty());
    });
}

/// As the drop of `Wait`: a wait that was opened and not parked takes the wake-up of a cancel that came meanwhile, so
/// that it does not wake the next wait.
#[test]
fn close_of_a_wait_races_with_a_cancel() {
    orders(3, || {
        let (model, queue) = (ModelWaiter::new(), Queue::new());
        let canceller = model.canceller();
        let waiter = model.as_waiter();
        waiter.prepare(false);
        if !waiter.close() {
            // SAFETY: the owner calls, and the waiter was claimed.
            unsafe { (waiter.kind().suspend)(model.waiter(), Deadline::Never) };
        }
        waiter.finish();
        // Shielded: only its waker ends it, and no wake-up that was left over.
        let waker = queue.patient_waker();
        assert_eq!(model.wait(&queue, true, None), WaitOutcome::Token(1));
        waker.join().unwrap();
        assert_eq!(model.wait(&queue, false, None), WaitOutcome::Cancelled);
        let _ = canceller.join().unwrap();
    });
}

/// Two queues, two wakers, one wait: a select. One waker wins, and the owner leaves both queues.
#[test]
fn wait_in_two_queues_is_claimed_once() {
    orders(3, || {
        let (model, queues) = (ModelWaiter::new(), [Queue::new(), Queue::new()]);
        let waiter = model.as_waiter();
        waiter.prepare(false);
        let nodes = [0, 1].map(|token| Node::new(model.waiter(), token, core::ptr::null_mut()));
        for (node, queue) in nodes.iter().zip(&queues) {
            // SAFETY: the nodes stay in this frame until they are removed.
            unsafe { queue.0.lock().push(NonNull::from(node)) };
        }
        let wakers = queues.each_ref().map(Queue::waker);
        // SAFETY: the owner of the waiter calls.
        unsafe { (waiter.kind().suspend)(model.waiter(), Deadline::Never) };
        let outcome = waiter.outcome();
        for (node, queue) in nodes.iter().zip(&queues) {
            // SAFETY: the node is in this queue or in none.
            unsafe { queue.0.lock().remove(NonNull::from(node)) };
        }
        waiter.finish();
        let won = wakers.map(|waker| waker.join().unwrap());
        assert_ne!(won[0], won[1], "one of them wakes it");
        assert_eq!(outcome, Some(WaitOutcome::Token(usize::from(won[1]))));
    });
}

/// Not a model: the caller's own waiter is found again.
#[test]
fn current_waiter_waits_for_nothing() {
    orders(1, || {
        let me = CurrentWaiter::current();
        // SAFETY: the waiter is the caller's own, and `me` keeps it.
        assert!(unsafe { me.waiter().as_ref() }.outcome().is_none());
    });
}
