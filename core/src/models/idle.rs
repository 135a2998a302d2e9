//! Models of idle workers: work for any worker against going to sleep. Either the pusher sees the sleeper, or the
//! sleeper sees the work in its last look. Also stealing: each task comes to one worker.

use super::{ALL, Checked, Spawned, letter};
use crate::primitives::explore::{Arc, orders, thread};
use crate::primitives::{AtomicBool, AtomicUsize, Ordering, Parker, Unparker};
use crate::scheduler::idle::Idle;
use crate::scheduler::run_queue::{End, LocalQueue, SharedQueue};

/// The fields that `Shared` of the scheduler has.
struct Shared {
    idle: Idle,
    injector: SharedQueue,
    unparkers: Vec<Unparker>,
    left: AtomicUsize,
    terminated: AtomicBool,
}

impl Shared {
    fn new(workers: usize, tasks: usize) -> (Arc<Shared>, Vec<Parker>) {
        let parkers: Vec<_> = (0..workers).map(|_| Parker::new()).collect();
        let shared = Shared {
            idle: Idle::new(workers),
            injector: SharedQueue::new(),
            unparkers: parkers.iter().map(Parker::unparker).collect(),
            left: AtomicUsize::new(tasks),
            terminated: AtomicBool::new(false),
        };
        (Arc::new(shared), parkers)
    }

    /// As `Shared::inject`.
    fn inject(&self, task: Spawned) {
        self.injector.push(task.runnable());
        self.wake_one();
    }

    fn wake_one(&self) {
        if self.idle.wants_waking() {
            if let Some(i) = self.idle.pick() {
                self.unparkers[i].unpark();
            }
        }
    }

    /// As `Worker::search` and `Worker::sleep`, until all tasks have been run.
    fn work(&self, i: usize, parker: &Parker) {
        // Acquire: as in `Shared::is_terminated`.
        while !self.terminated.load(Ordering::Acquire) {
            if self.idle.start_search() {
                let found = self.injector.pop(End::Oldest);
                let last = self.idle.stop_search();
                if let Some(task) = found {
                    if last && self.injector.len() > 1 {
                        self.wake_one();
                    }
                    self.run(Spawned::of(task));
                    continue;
                }
            }
            self.idle.announce(i);
            let stay = !self.injector.is_empty_for_sure() || self.terminated.load(Ordering::Acquire);
            if stay {
                // Another worker searches, and will find the work. Let it run.
                thread::yield_now();
            } else {
                parker.park();
            }
            // The worker ignores whether it was picked, because it looks everywhere in any case.
            let _picked = self.idle.retract(i);
        }
    }

    fn run(&self, task: Spawned) {
        task.run();
        task.drop_handle();
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.terminated.store(true, Ordering::Release);
            self.unparkers.iter().for_each(Unparker::unpark);
        }
    }
}

#[test]
fn push_races_with_one_sleeping_worker() {
    orders(3, || {
        let (shared, parkers) = Shared::new(1, 2);
        let pusher = {
            let shared = shared.clone();
            thread::spawn(move || (1..3).for_each(|n| shared.inject(letter(n))))
        };
        shared.work(0, &parkers[0]);
        pusher.join().unwrap();
    });
}

#[test]
fn push_races_with_two_sleeping_workers() {
    orders(2, || {
        let (shared, parkers) = Shared::new(2, 1);
        let workers: Vec<_> = parkers
            .into_iter()
            .enumerate()
            .map(|(i, parker)| {
                let shared = shared.clone();
                thread::spawn(move || shared.work(i, &parker))
            })
            .collect();
        shared.inject(letter(1));
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}

/// The pusher relies on a searcher that has looked already and is about to give up.
#[test]
fn push_races_with_the_end_of_a_search() {
    orders(ALL, || {
        let (shared, parkers) = Shared::new(1, 1);
        assert!(shared.idle.start_search());
        let pusher = {
            let shared = shared.clone();
            thread::spawn(move || shared.inject(letter(1)))
        };
        let _ = shared.idle.stop_search();
        shared.work(0, &parkers[0]);
        pusher.join().unwrap();
    });
}

/// Each announcement is taken by one picker, or retracted.
#[test]
fn sleeper_is_picked_once() {
    orders(3, || {
        let idle = Arc::new(Idle::new(2));
        idle.announce(1);
        let picker = || {
            let idle = idle.clone();
            thread::spawn(move || idle.pick())
        };
        let pickers = [picker(), picker()];
        idle.announce(0);
        let mut picked: Vec<_> = pickers.into_iter().filter_map(|picker| picker.join().unwrap()).collect();
        for i in [0, 1] {
            assert_eq!(idle.is_picked(i), picked.contains(&i));
        }
        picked.extend(idle.pick());
        picked.extend(idle.pick());
        picked.sort_unstable();
        assert_eq!(picked, [0, 1]);
    });
}

#[test]
fn pick_races_with_retract() {
    orders(ALL, || {
        let idle = Arc::new(Idle::new(1));
        let picker = {
            let idle = idle.clone();
            thread::spawn(move || idle.pick().is_some() as usize + idle.pick().is_some() as usize)
        };
        idle.announce(0);
        let picked = idle.retract(0);
        let times = picker.join().unwrap();
        assert_eq!(
            times,
            usize::from(picked),
            "an announcement is picked once at most, and its worker is told"
        );
        assert!(!idle.any_asleep() && idle.pick().is_none());
    });
}

/// All sleep only if all have announced it, and the reader sees what they did before.
#[test]
fn all_asleep_is_seen_by_the_last_sleeper() {
    orders(ALL, || {
        let idle = Arc::new(Idle::new(2));
        let done = [Arc::new(Checked::new(0)), Arc::new(Checked::new(0))];
        let workers = [0, 1].map(|i| {
            let (idle, done) = (idle.clone(), done[i].clone());
            thread::spawn(move || {
                done.set(1);
                idle.announce(i);
            })
        });
        if idle.all_asleep() {
            assert_eq!((done[0].get(), done[1].get()), (1, 1));
        }
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert!(idle.all_asleep());
    });
}

/// The owner pushes and pops while a thief takes the older half and another thief takes one task.
#[test]
fn stolen_tasks_come_to_one_worker() {
    orders(3, || {
        let queue = Arc::new(SharedQueue::new());
        let first = letter(1);
        queue.push(first.runnable());
        let thief = {
            let queue = queue.clone();
            thread::spawn(move || {
                let mut taken = Vec::new();
                queue.take_oldest(queue.len().div_ceil(2), |task| taken.push(Spawned::of(task)));
                taken.iter().for_each(|task| task.run());
                taken
            })
        };
        let other = {
            let queue = queue.clone();
            thread::spawn(move || {
                let task = queue.oldest().and_then(|_| queue.pop(End::Oldest)).map(Spawned::of);
                task.inspect(|task| task.run())
            })
        };
        let mut mine = vec![letter(2), letter(3)];
        mine.iter().for_each(|task| queue.push(task.runnable()));
        let expected = [first, mine[0], mine[1]];
        mine.clear();
        while let Some(task) = queue.pop(if mine.is_empty() { End::Newest } else { End::Oldest }) {
            let task = Spawned::of(task);
            task.run();
            mine.push(task);
        }
        mine.extend(thief.join().unwrap());
        mine.extend(other.join().unwrap());
        assert!(queue.is_empty_for_sure() && queue.len() == 0);
        assert_eq!(mine.len(), expected.len(), "a task was run twice, or never");
        for task in expected {
            assert!(mine.contains(&task));
            task.drop_handle();
        }
    });
}

/// No threads: the worker's own queue keeps its order and its ends.
#[test]
fn local_queue_is_first_in_first_out() {
    orders(1, || {
        let queue = LocalQueue::new();
        let tasks = [letter(1), letter(2), letter(3)];
        for _ in 0..2 {
            assert!(queue.is_empty() && queue.pop().is_none());
            tasks.iter().for_each(|task| queue.push(task.runnable()));
            for task in tasks {
                assert!(!queue.is_empty());
                assert_eq!(queue.pop().map(Spawned::of), Some(task));
            }
        }
        for task in tasks {
            task.run();
            task.drop_handle();
        }
    });
}
