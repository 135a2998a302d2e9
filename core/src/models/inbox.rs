//! Models of the inbox: mail against going to sleep. No mail is lost, the order of each sender is kept, and the worker
//! does not sleep while there is mail.

use core::ptr::NonNull;

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

    /// As `Remote::deliver`, for a chain.
    fn deliver(&self, newest: Spawned, oldest: Spawned) {
        // SAFETY: the tasks are alive and in no queue.
        if unsafe { self.inbox.push(newest.0, oldest.0) } {
            self.unparker.unpark();
        }
    }

    /// Takes and runs mail until `count` tasks came, and sleeps whenever there is none.
    fn work(&self, parker: &Parker, count: usize) -> Vec<Spawned> {
        let mut got = Vec::new();
        loop {
            let mut next = self.inbox.take().oldest;
            while let Some(task) = NonNull::new(next) {
                // SAFETY: senders give tasks that are alive, and `take` gave this thread the whole chain. Relaxed: no
                // other thread uses the links now.
                next = unsafe { task.as_ref() }.link.load(Ordering::Relaxed);
                Spawned(task).run();
                got.push(Spawned(task));
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
fn a_sender_against_sleep() {
    orders(ALL, || {
        let (worker, parker) = Worker::new();
        let tasks = [letter(1), letter(2)];
        let sender = {
            let worker = worker.clone();
            thread::spawn(move || tasks.into_iter().for_each(|task| worker.deliver(task, task)))
        };
        assert_eq!(worker.work(&parker, 2), tasks);
        sender.join().unwrap();
        tasks.into_iter().for_each(Spawned::drop_handle);
    });
}

#[test]
fn two_senders_against_sleep() {
    orders(3, || {
        let (worker, parker) = Worker::new();
        let chain = [letter(1), letter(2)];
        let single = letter(3);
        let senders = [
            thread::spawn({
                let worker = worker.clone();
                move || {
                    let [oldest, newest] = chain;
                    // Relaxed: published by the push.
                    newest.task().link.store(oldest.0.as_ptr(), Ordering::Relaxed);
                    worker.deliver(newest, oldest);
                }
            }),
            thread::spawn({
                let worker = worker.clone();
                move || worker.deliver(single, single)
            }),
        ];
        let got = worker.work(&parker, 3);
        let place = |task| got.iter().position(|&other: &Spawned| other == task).unwrap();
        assert_eq!(got.len(), 3);
        assert_eq!(place(chain[1]), place(chain[0]) + 1, "a chain stays together, in its order");
        let _ = place(single);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        got.into_iter().for_each(Spawned::drop_handle);
    });
}

/// The worker sleeps and wakes for other reasons meanwhile. Each time that a sender finds it asleep, a wake-up is due.
#[test]
fn waking_by_itself_against_a_sender() {
    orders(ALL, || {
        let (worker, parker) = Worker::new();
        let task = letter(1);
        let sender = {
            let worker = worker.clone();
            thread::spawn(move || worker.deliver(task, task))
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
fn a_mark_and_a_sender_against_sleep() {
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
            thread::spawn(move || worker.deliver(task, task))
        };
        let (mut got, mut looked) = (0, false);
        while got == 0 || !looked {
            let mail = worker.inbox.take();
            if mail.look {
                // Relaxed: published by the mark.
                assert!(there.load(Ordering::Relaxed), "a mark comes after what it is for");
                looked = true;
            }
            if let Some(oldest) = NonNull::new(mail.oldest) {
                assert_eq!(Spawned(oldest), task);
                task.run();
                got += 1;
            }
            if mail.oldest.is_null() && !mail.look && worker.inbox.sleep() {
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
