//! Models of a task: its end against joiners, against a handle that is dropped, and against wakers; `park` and
//! `unpark`.

use core::mem::MaybeUninit;
use core::panic::Location;
use core::task::{Context, Poll, Waker};
use std::sync::Arc as Counted;
use std::task::Wake;
use std::time::Instant;

use super::{ALL, Checked, Spawned, spawn};
use crate::primitives::explore::{Arc, orders, thread};
use crate::primitives::{AtomicBool, AtomicUsize, Lock, Ordering, Parker, Unparker, now};
use crate::scheduler::Scheduler;
use crate::task::{Output, SpawnOptions, State, Task, allocate_future};
use crate::wait::{Kind, Reason};

/// A task's output. The model fails if it is dropped twice or never, and if its dropper does not see how it was made.
struct Made(Arc<Checked>);

impl Drop for Made {
    fn drop(&mut self) {
        assert_eq!(self.0.get(), 7, "dropped before it was made, or twice");
        self.0.set(0);
    }
}

fn maker() -> (Spawned, Arc<Checked>) {
    let place = Arc::new(Checked::new(0));
    let inner = place.clone();
    let task = spawn(move || {
        inner.set(7);
        Made(inner)
    });
    (task, place)
}

fn reason() -> Reason {
    Reason::new(Kind::Join, &raw const *Location::caller())
}

/// As `JoinHandle::join`, without the handle.
fn join(task: Spawned) -> Made {
    task.task().wait_for_end(reason(), None).unwrap();
    let mut output = MaybeUninit::<Output<Made>>::uninit();
    // SAFETY: the task is done, and its one handle takes the output.
    unsafe {
        Task::take_output(task.0, output.as_mut_ptr().cast());
        Task::release(task.0);
        output.assume_init().unwrap()
    }
}

#[test]
fn end_races_with_a_join() {
    orders(ALL, || {
        let (task, place) = maker();
        let runner = thread::spawn(move || task.run());
        let made = join(task);
        assert_eq!(made.0.get(), 7);
        drop(made);
        runner.join().unwrap();
        assert_eq!(place.get(), 0);
    });
}

/// As `JoinHandle::join`, for a task that may be abandoned.
fn join_or_not(task: Spawned) -> Option<Made> {
    task.task().wait_for_end(reason(), None).unwrap();
    assert!(task.task().state.is_over());
    if task.task().state.is_done() {
        return Some(join(task));
    }
    task.drop_handle();
    None
}

/// The joiner is woken by the end or by the abandonment, and the output is dropped once, by its owner.
#[test]
fn end_races_with_abandonment_and_a_join() {
    orders(2, || {
        let (task, place) = maker();
        task.retain();
        let runner = thread::spawn(move || task.run());
        let abandoner = thread::spawn(move || {
            // SAFETY: `task` is a reference.
            assert!(unsafe { Task::abandon(task.0) }.is_none());
            task.release();
        });
        if let Some(made) = join_or_not(task) {
            assert_eq!(made.0.get(), 7);
        }
        runner.join().unwrap();
        abandoner.join().unwrap();
        assert_eq!(place.get(), 0, "the output was not dropped");
    });
}

/// A task that never ends. Its cell stays.
#[test]
fn abandonment_races_with_a_join() {
    orders(ALL, || {
        let (task, place) = maker();
        task.retain();
        let joiner = thread::spawn(move || join_or_not(task).is_none());
        // SAFETY: `task` is a reference.
        assert!(unsafe { Task::abandon(task.0) }.is_none());
        assert!(joiner.join().unwrap());
        // Ends the task, so that the model leaks nothing: the runtime's reference and the model's are left.
        task.run();
        assert_eq!(place.get(), 0, "the output was not dropped");
        task.release();
    });
}

/// The executor of a task that polls a handle: its wakers unpark the thread that polls.
struct Executor(Parker);

struct Signal {
    woken: AtomicBool,
    unparker: Unparker,
}

impl Wake for Signal {
    fn wake(self: Counted<Self>) {
        // Relaxed: the state word of the task publishes its end.
        self.woken.store(true, Ordering::Relaxed);
        self.unparker.unpark();
    }
}

impl Executor {
    fn signal(&self) -> Counted<Signal> {
        Counted::new(Signal { woken: AtomicBool::new(false), unparker: self.0.unparker() })
    }

    /// As the poll of a `JoinHandle`.
    fn poll(task: Spawned, signal: &Counted<Signal>) -> Poll<()> {
        let waker = Waker::from(signal.clone());
        task.task().poll_end(&Context::from_waker(&waker))
    }

    fn until_woken(&self, signal: &Signal) {
        while !signal.woken.load(Ordering::Relaxed) {
            self.0.park();
        }
    }
}

/// The handle is polled with one waker, and then with another, which the end has to wake.
#[test]
fn end_races_with_a_poll_with_a_new_waker() {
    orders(3, || {
        let executor = Executor(Parker::new());
        let (first, second) = (executor.signal(), executor.signal());
        let (task, place) = maker();
        let runner = thread::spawn(move || task.run());
        if Executor::poll(task, &first).is_pending() && Executor::poll(task, &second).is_pending() {
            executor.until_woken(&second);
            assert!(Executor::poll(task, &second).is_ready());
        }
        drop(join(task));
        runner.join().unwrap();
        assert_eq!(place.get(), 0);
        assert_eq!((Counted::strong_count(&first), Counted::strong_count(&second)), (1, 1));
    });
}

/// A handle that was polled is dropped, with its waker.
#[test]
fn end_races_with_drop_of_a_polled_handle() {
    orders(3, || {
        let executor = Executor(Parker::new());
        let signal = executor.signal();
        let (task, place) = maker();
        let runner = thread::spawn(move || task.run());
        let _ = Executor::poll(task, &signal);
        task.drop_handle();
        runner.join().unwrap();
        assert_eq!(place.get(), 0, "the output was not dropped");
        assert_eq!(Counted::strong_count(&signal), 1, "the waker was not dropped");
    });
}

/// The task that polls the handle is woken by the end or by the abandonment.
#[test]
fn end_races_with_abandonment_and_a_poll() {
    orders(2, || {
        let executor = Executor(Parker::new());
        let signal = executor.signal();
        let (task, place) = maker();
        task.retain();
        let runner = thread::spawn(move || task.run());
        let abandoner = thread::spawn(move || {
            // SAFETY: `task` is a reference.
            if let Some(leftover) = unsafe { Task::abandon(task.0) } {
                leftover();
            }
            task.release();
        });
        if Executor::poll(task, &signal).is_pending() {
            executor.until_woken(&signal);
            assert!(Executor::poll(task, &signal).is_ready());
        }
        task.drop_handle();
        runner.join().unwrap();
        abandoner.join().unwrap();
        assert_eq!(place.get(), 0, "the output was not dropped");
        assert_eq!(Counted::strong_count(&signal), 1, "the waker was not dropped");
    });
}

#[test]
fn end_races_with_drop_of_the_handle() {
    orders(ALL, || {
        let (task, place) = maker();
        let runner = thread::spawn(move || task.run());
        task.drop_handle();
        runner.join().unwrap();
        assert_eq!(place.get(), 0, "the output was not dropped");
    });
}

/// As `JoinHandle::is_finished`: a thread that sees the end sees what the task did.
#[test]
fn joiner_sees_what_the_task_did() {
    orders(ALL, || {
        let (task, place) = maker();
        let runner = thread::spawn(move || task.run());
        for _ in 0..2 {
            if task.task().state.is_done() {
                assert_eq!(place.get(), 7);
            }
            // Loom's pruning passes over orders in which a lone load comes late. The yield makes such an order.
            thread::yield_now();
        }
        task.drop_handle();
        runner.join().unwrap();
        assert_eq!(place.get(), 0);
    });
}

/// As `JoinHandle::join_timeout`; then the handle is dropped.
#[test]
fn end_races_with_a_join_that_times_out() {
    orders(3, || {
        let (task, place) = maker();
        let runner = thread::spawn(move || task.run());
        match task.task().wait_for_end(reason(), Some(now())) {
            Ok(()) => drop(join(task)),
            Err(_) => task.drop_handle(),
        }
        runner.join().unwrap();
        assert_eq!(place.get(), 0);
    });
}

/// A `Thread` handle waits beside the join handle. Both are woken.
#[test]
fn end_wakes_two_joiners() {
    orders(2, || {
        let (task, place) = maker();
        task.retain();
        let runner = thread::spawn(move || task.run());
        let other = thread::spawn(move || {
            task.task().wait_for_end(reason(), None).unwrap();
            assert!(task.task().state.is_done());
            task.release();
        });
        drop(join(task));
        runner.join().unwrap();
        other.join().unwrap();
        assert_eq!(place.get(), 0);
    });
}

/// Three holders release at once. One frees the task, and all have finished with it by then.
#[test]
fn last_reference_frees_the_task() {
    orders(ALL, || {
        struct Header {
            state: State,
            used: [Checked; 3],
            freed: AtomicUsize,
        }
        let header = Arc::new(Header {
            state: State::new(),
            used: [0; 3].map(Checked::new),
            freed: AtomicUsize::new(0),
        });
        let free = |header: &Header| {
            assert_eq!(header.freed.fetch_add(1, Ordering::Relaxed), 0, "freed twice");
            header.used.each_ref().map(|used| used.set(2))
        };
        // A third reference. The runtime has the first, and the handle the second.
        header.state.retain();
        let runtime = thread::spawn({
            let header = header.clone();
            move || {
                header.used[0].set(1);
                let _ = header.state.end();
                if header.state.release() {
                    free(&header);
                }
            }
        });
        let handle = thread::spawn({
            let header = header.clone();
            move || {
                header.used[1].set(1);
                match header.state.drop_handle() {
                    Some(last) if last => drop(free(&header)),
                    Some(_) => {}
                    None if header.state.release() => drop(free(&header)),
                    None => {}
                }
            }
        });
        header.used[2].set(1);
        if header.state.release() {
            free(&header);
        }
        runtime.join().unwrap();
        handle.join().unwrap();
        assert_eq!(header.freed.load(Ordering::Relaxed), 1, "never freed");
    });
}

/// A stackless task, two wakers, and a worker that runs it. Each wake-up is followed by a run that sees what came
/// before the wake-up, and the task is in one queue at a time.
#[test]
fn woken_stackless_task_runs_again() {
    struct Task {
        state: State,
        queued: AtomicBool,
        /// Stands for the queue that the task is in.
        queue: Lock<()>,
        events: [AtomicBool; 2],
        running: Checked,
    }
    orders(3, || {
        let parker = Parker::new();
        let task = Arc::new(Task {
            state: State::new(),
            queued: AtomicBool::new(true),
            queue: Lock::new(()),
            events: [AtomicBool::new(false), AtomicBool::new(false)],
            running: Checked::new(0),
        });
        task.state.mark_woken();
        fn enqueue(task: &Task) {
            let _queue = task.queue.lock();
            assert!(!task.queued.swap(true, Ordering::Relaxed), "queued twice");
        }
        let wakers = [0, 1].map(|i| {
            let (task, unparker) = (task.clone(), parker.unparker());
            thread::spawn(move || {
                // Relaxed: the wake-up publishes it.
                task.events[i].store(true, Ordering::Relaxed);
                if task.state.wake() {
                    enqueue(&task);
                    unparker.unpark();
                }
            })
        });
        let mut seen = 0;
        while seen < 2 {
            let is_queued = {
                let _queue = task.queue.lock();
                task.queued.swap(false, Ordering::Relaxed)
            };
            if !is_queued {
                parker.park();
                continue;
            }
            task.state.begin_run();
            task.running.set(1);
            seen = task.events.iter().filter(|event| event.load(Ordering::Relaxed)).count();
            if task.state.end_run() {
                enqueue(&task);
            }
        }
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
    });
}

/// A stackless task that is ready at once. Its output is handled like any other's.
#[test]
fn output_of_a_stackless_task_is_handled() {
    fn future(made: Arc<Checked>) -> Spawned {
        let future = async move {
            made.set(7);
            Made(made)
        };
        // SAFETY: the future and its output are `Send` and `'static`.
        Spawned(unsafe {
            allocate_future::<Scheduler, _>(future, None, SpawnOptions::default(), Location::caller())
        })
    }
    orders(3, || {
        let place = Arc::new(Checked::new(0));
        let task = future(place.clone());
        let runner = thread::spawn(move || task.run());
        drop(join(task));
        runner.join().unwrap();
        assert_eq!(place.get(), 0);
        let task = future(place.clone());
        task.run();
        task.drop_handle();
        assert_eq!(place.get(), 0);
    });
}

/// As `thread::park`, called by a green thread for itself.
fn park(task: Spawned, deadline: Option<Instant>) -> bool {
    task.task().park(Location::caller(), deadline).is_ok()
}

fn ended(task: Spawned) {
    task.run();
    task.drop_handle();
}

#[test]
fn park_races_with_unpark() {
    orders(ALL, || {
        let task = spawn(|| ());
        let written = Arc::new(Checked::new(0));
        let waker = {
            let written = written.clone();
            thread::spawn(move || {
                written.set(1);
                task.task().unpark();
            })
        };
        assert!(park(task, None));
        assert_eq!(written.get(), 1);
        waker.join().unwrap();
        ended(task);
    });
}

/// Two wake-ups are one or two tokens, never none. A park that times out does not lose a token.
#[test]
fn timed_park_races_with_two_unparks() {
    orders(2, || {
        let task = spawn(|| ());
        let wakers = [0, 1].map(|_| thread::spawn(move || task.task().unpark()));
        let woken = park(task, Some(now()));
        if !woken {
            assert!(park(task, None));
        }
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
        ended(task);
    });
}

#[test]
fn two_parks_race_with_two_unparks() {
    orders(2, || {
        let task = spawn(|| ());
        let turn = Arc::new(AtomicUsize::new(0));
        let waker = {
            let turn = turn.clone();
            thread::spawn(move || {
                for n in 1..3 {
                    // Relaxed: the token publishes it.
                    turn.store(n, Ordering::Relaxed);
                    task.task().unpark();
                }
            })
        };
        while turn.load(Ordering::Relaxed) < 2 {
            assert!(park(task, None));
        }
        waker.join().unwrap();
        ended(task);
    });
}
