//! Models of a worker that sleeps on its parker or in its poller: no wake-up is lost, whichever of the two it is in.

use super::ALL;
use crate::primitives::explore::{Arc, orders, thread};
use crate::primitives::{AtomicUsize, Ordering, Parker, Unparker};
use crate::reactor::sleep::Sleeper;

/// A worker's sleep. Another parker plays the poller: like it, that keeps an interruption until the next wait.
struct Worker {
    sleeper: Sleeper,
    poller: Unparker,
    mail: AtomicUsize,
}

impl Worker {
    fn new() -> (Arc<Worker>, Parker) {
        let poller = Parker::new();
        let worker = Worker {
            sleeper: Sleeper::new(Parker::new()),
            poller: poller.unparker(),
            mail: AtomicUsize::new(0),
        };
        (Arc::new(worker), poller)
    }

    /// Sleeps until `count` messages have come, in the poller and on the parker in turn.
    fn work(&self, poller: &Parker, mut polls: bool, count: usize) {
        while self.mail.load(Ordering::Acquire) < count {
            if polls {
                self.sleeper.poll(|may_wait| {
                    if may_wait {
                        poller.park();
                    }
                });
            } else {
                self.sleeper.park(None);
            }
            polls = !polls;
        }
    }

    fn send(&self) {
        self.mail.fetch_add(1, Ordering::Release);
        self.sleeper.unpark(|| self.poller.unpark());
    }
}

fn messages_wake_the_worker(polls_first: bool, senders: usize, preemptions: usize) {
    orders(preemptions, move || {
        let (worker, poller) = Worker::new();
        let senders: Vec<_> = (0..senders)
            .map(|_| {
                let worker = worker.clone();
                thread::spawn(move || worker.send())
            })
            .collect();
        worker.work(&poller, polls_first, senders.len());
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

#[test]
fn wake_up_races_with_entering_the_poller() {
    messages_wake_the_worker(true, 1, ALL);
}

#[test]
fn wake_up_races_with_parking() {
    messages_wake_the_worker(false, 1, ALL);
}

#[test]
fn second_wake_up_races_with_changing_from_poller_to_parker() {
    messages_wake_the_worker(true, 2, 3);
}

#[test]
fn second_wake_up_races_with_changing_from_parker_to_poller() {
    messages_wake_the_worker(false, 2, 3);
}
