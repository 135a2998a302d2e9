//! Models of homes that travel: the right to carry a home, between wakers, the queues and two workers.
//!
//! Each model has the mail of a home, its tasks, which only the carrier uses (the model fails if two threads use them at once, or if one
//! does not see what the last carrier has done), and a queue with the home's unit. No task is forgotten, and none runs twice.

use std::collections::VecDeque;

use super::{Checked, Spawned, letter};
use crate::primitives::explore::{Arc, orders, thread};
use crate::primitives::{AtomicUsize, Lock, Ordering};
use crate::scheduler::inbox::Inbox;

/// A home, and the queue that its unit is put into.
struct Home {
    mail: Inbox,
    /// Used by the carrier alone: how many of its tasks have run.
    ran: Checked,
    /// The units in the queue. More than one at a time would be a fault.
    queue: Lock<VecDeque<()>>,
    /// How many tasks have run, for the end of the model.
    done: AtomicUsize,
}

impl Home {
    /// Makes a home at rest.
    fn new() -> Arc<Home> {
        let home = Home {
            mail: Inbox::new(),
            ran: Checked::new(0),
            queue: Lock::new(VecDeque::new()),
            done: AtomicUsize::new(0),
        };
        assert!(home.mail.sleep());
        Arc::new(home)
    }

    fn queue_unit(&self) {
        let mut queue = self.queue.lock();
        queue.push_back(());
        assert_eq!(queue.len(), 1, "there is one unit");
    }

    fn take_unit(&self) -> bool {
        self.queue.lock().pop_front().is_some()
    }

    /// As `suspend::send_to`.
    fn wake(&self, task: Spawned) {
        if self.mail.push(task.runnable()) {
            self.queue_unit();
        }
    }

    /// As `Worker::turns_in`: runs what there is. As long as no mail comes meanwhile, that is all there is.
    fn carry(&self) {
        for task in self.mail.take().map(Spawned::of) {
            let ran = self.ran.get();
            task.run();
            self.ran.set(ran + 1);
            // Relaxed: only counted.
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// As `Worker::release`.
    fn release(&self) {
        if !self.mail.sleep() {
            self.queue_unit();
        }
    }

    /// A worker that carries the home whenever it finds the unit, until `count` tasks have run.
    fn work(&self, count: usize) {
        while self.done.load(Ordering::Relaxed) < count {
            if self.take_unit() {
                self.carry();
                self.release();
            } else {
                thread::yield_now();
            }
        }
    }
}

/// A home is handed over from one carrier to the next while its last task is woken: whoever of the two workers finds the unit runs it.
#[test]
fn wake_up_races_with_the_carriers_return() {
    orders(3, || {
        let home = Home::new();
        let tasks = [letter(1), letter(2)];
        home.wake(tasks[0]);
        let carrier = thread::spawn({
            let home = home.clone();
            move || {
                if home.take_unit() {
                    home.carry();
                    home.release();
                }
            }
        });
        home.wake(tasks[1]);
        carrier.join().unwrap();
        home.work(2);
        assert_eq!(home.ran.get(), 2);
        tasks.into_iter().for_each(Spawned::drop_handle);
    });
}

/// Two wakers find the home at rest: one of them queues the unit.
#[test]
fn wake_ups_of_a_home_at_rest_queue_it_once() {
    orders(3, || {
        let home = Home::new();
        let tasks = [letter(1), letter(2)];
        let other = thread::spawn({
            let home = home.clone();
            move || home.wake(tasks[1])
        });
        home.wake(tasks[0]);
        home.work(2);
        other.join().unwrap();
        assert_eq!((home.ran.get(), home.take_unit()), (2, false));
        tasks.into_iter().for_each(Spawned::drop_handle);
    });
}

/// A worker takes a home at rest for a new task, as `Worker::take_home` does, while a waker wakes one of its tasks.
#[test]
fn taking_a_home_at_rest_races_with_a_wake_up() {
    orders(3, || {
        let home = Home::new();
        let task = letter(1);
        let taker = thread::spawn({
            let home = home.clone();
            move || {
                let taken = home.mail.wake_up();
                if taken {
                    // The new task runs under the identity.
                    let ran = home.ran.get();
                    home.ran.set(ran + 10);
                    home.carry();
                    home.release();
                }
                taken
            }
        });
        home.wake(task);
        home.work(1);
        let taken = taker.join().unwrap();
        assert_eq!(home.ran.get(), if taken { 11 } else { 1 });
        task.drop_handle();
    });
}

/// Two workers look for the unit while its carrier returns it: one takes it.
#[test]
fn steal_races_with_the_carriers_return() {
    orders(2, || {
        let home = Home::new();
        let tasks = [letter(1), letter(2)];
        home.wake(tasks[0]);
        let thief = |home: &Arc<Home>| {
            let home = home.clone();
            thread::spawn(move || {
                if home.take_unit() {
                    home.carry();
                    home.release();
                }
            })
        };
        let thieves = [thief(&home), thief(&home)];
        home.wake(tasks[1]);
        thieves.into_iter().for_each(|thief| thief.join().unwrap());
        home.work(2);
        assert_eq!((home.ran.get(), home.take_unit()), (2, false));
        tasks.into_iter().for_each(Spawned::drop_handle);
    });
}
