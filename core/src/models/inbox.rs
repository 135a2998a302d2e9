//! Models of the inbox: mail against going to sleep. No mail is lost, the order of each sender is kept, and the worker
//! does not sleep while there is mail.

use super::{ALL, Spawned, letter};
use crate::primitives::explore::{Arc, orders, thread};
use crate::primitives::{AtomicBool, Ordering, Parker, Unparker};
use crate::scheduler::inbox::Inbox;

/// The fields that `Remote` of the scheduler has.
struct Worker {
    inbox: Inbox,
    unparker: Unparker,
}

impl Worker {
    fn new() -> (Arc<Worker>, Parker) {
        let parker = Parker::new();
        let unparker = parker.unparker();
        (Arc::new(Worker { inbox: Inbox::new(), unparker }), parker)
    }

    /// As `Remote::deliver`.
    fn deliver(&self, task: Spawned) {
        if self.inbox.push(task.runnable()) {
            self.unparker.unpark();
        }
    }

    /// Takes and runs mail until `count` tasks came, and sleeps whenever there is none.
    fn work(&self, parker: &Parker, count: usize) -> Vec<Spawned> {
        let mut got = Vec::new();
        loop {
            for task in self.inbox.take().map(Spawned::of) {
                task.run();
                got.push(task);
            }
            if got.len() >= count {
                return got;
            }
            if self.inbox.sleep() {
                parker.park();
            }
            self.inbox.awake();
        }
    }
}

#[test]
fn sender_races_with_sleep() {
    orders(ALL, || {
        let (worker, parker) = Worker::new();
        let tasks = [letter(1), letter(2)];
        let sender = {
            let worker = worker.clone();
            thread::spawn(move || tasks.into_iter().for_each(|task| worker.deliver(task)))
        };
        assert_eq!(worker.work(&parker, 2), tasks);
        sender.join().unwrap();
        tasks.into_iter().for_each(Spawned::drop_handle);
    });
}

#[test]
fn two_senders_race_with_sleep() {
    orders(3, || {
        let (worker, parker) = Worker::new();
        let pair = [letter(1), letter(2)];
        let single = letter(3);
        let senders = [
            thread::spawn({
                let worker = worker.clone();
                move || pair.into_iter().for_each(|task| worker.deliver(task))
            }),
            thread::spawn({
                let worker = worker.clone();
                move || worker.deliver(single)
            }),
        ];
        let got = worker.work(&parker, 3);
        let place = |task| got.iter().position(|&other: &Spawned| other == task).unwrap();
        assert_eq!(got.len(), 3);
        assert!(place(pair[0]) < place(pair[1]), "the order of one sender is kept");
        let _ = place(single);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        got.into_iter().for_each(Spawned::drop_handle);
    });
}

/// The worker sleeps and wakes for other reasons meanwhile. Each time that a sender finds it asleep, a wake-up is due.
#[test]
fn own_wake_up_races_with_a_sender() {
    orders(ALL, || {
        let (worker, parker) = Worker::new();
        let task = letter(1);
        let sender = {
            let worker = worker.clone();
            thread::spawn(move || worker.deliver(task))
        };
        for _ in 0..2 {
            let _ = worker.inbox.sleep();
            worker.inbox.awake();
        }
        assert_eq!(worker.work(&parker, 1), [task]);
        sender.join().unwrap();
        assert!(!worker.inbox.has_mail());
        task.drop_handle();
    });
}

/// One sender, and a thread that asks the worker to look: the worker runs the task, and looks after the thread has
/// asked, because it finds the mark, or because it was asleep and is woken.
#[test]
fn mark_and_sender_race_with_sleep() {
    orders(3, || {
        let (worker, parker) = Worker::new();
        let there = Arc::new(AtomicBool::new(false));
        let task = letter(1);
        let asker = {
            let (worker, there) = (worker.clone(), there.clone());
            thread::spawn(move || {
                // Relaxed: published by the mark, or by the unpark.
                there.store(true, Ordering::Relaxed);
                if worker.inbox.ask_to_look() {
                    worker.unparker.unpark();
                }
            })
        };
        let sender = {
            let worker = worker.clone();
            thread::spawn(move || worker.deliver(task))
        };
        let (mut got, mut looked) = (0, false);
        while got == 0 || !looked {
            let mut mail = worker.inbox.take();
            let look = mail.look;
            if look {
                // Relaxed: published by the mark.
                assert!(there.load(Ordering::Relaxed), "a mark comes after what it is for");
                looked = true;
            }
            let first = mail.next().map(Spawned::of);
            if let Some(first) = first {
                assert_eq!(first, task);
                task.run();
                got += 1;
            }
            if first.is_none() && !look && worker.inbox.sleep() {
                parker.park();
                // Relaxed: published by the unpark.
                looked |= there.load(Ordering::Relaxed);
            }
            worker.inbox.awake();
        }
        assert_eq!(got, 1);
        [asker, sender].into_iter().for_each(|thread| thread.join().unwrap());
        task.drop_handle();
    });
}
