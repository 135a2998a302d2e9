//! One execution of a model of a user's program: its green threads, and which of them sleep.
//!
//! A green thread, a task and an actor each have a thread of the model for themselves, as long as they live. So a model has
//! no workers, and no queues. All threads of a model run on one OS thread, one at a time, so the state here is in plain
//! cells. Loom does not see it. It is determined by the order of the threads' steps, and changes no order:
//!
//! 1. A thread falls asleep in [`Green::sleep`] alone. It is woken by [`Green::wake`] alone, which unparks it.
//! 2. Between the note that a thread sleeps and its `park` there is no step of loom. So a thread that is noted as asleep is
//!    parked.
//! 3. If all threads are asleep, the last of them lets the earliest deadline pass. If there is none, this is a deadlock,
//!    which is reported before loom sees it.

use core::cell::{Cell, RefCell};
use core::ptr::NonNull;
use std::rc::Rc;

use crate::fiber::Fiber;
use crate::primitives::explorer::{self, Thread};
use crate::scheduler::report;
use crate::task::Task;
use crate::wait::current;

/// Why a green thread sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sleep {
    /// It does not.
    Awake,
    /// It waits for something, as its waiter says.
    Parked,
    /// It is a task or an actor between two turns.
    Idle,
    /// It is the main green thread, which has ended, and waits for the others to end.
    Ended,
}

/// A green thread of the execution. The record lives until the end of the execution.
pub(crate) struct Green {
    pub(super) fiber: Fiber,
    /// `None` when the task has ended.
    pub(super) task: Cell<Option<NonNull<Task>>>,
    pub(super) thread: RefCell<Option<Thread>>,
    pub(super) asleep: Cell<Sleep>,
    /// Whether its wait was ended by a waker.
    pub(super) notified: Cell<bool>,
    /// Whether the deadline of its wait has passed.
    pub(super) timed_out: Cell<bool>,
    /// Whether another turn of a task or an actor is to come.
    pub(super) scheduled: Cell<bool>,
}

/// An execution. It begins with the main green thread.
#[derive(Default)]
pub(crate) struct Execution {
    pub(super) greens: RefCell<Vec<Rc<Green>>>,
    /// The most green threads.
    pub(super) max_threads: usize,
    /// How many threads have not ended.
    live: Cell<usize>,
    /// How many of them sleep.
    asleep: Cell<usize>,
    /// Set when the main green thread has ended.
    pub(super) closing: Cell<bool>,
    /// The payloads of panics that no thread has joined yet, by address, with what is known about them.
    pub(super) panics: RefCell<Vec<(usize, String)>>,
}

std::thread_local! {
    static EXECUTION: RefCell<Option<Rc<Execution>>> = const { RefCell::new(None) };
}

/// Begins an execution, or ends it.
pub(super) fn set(execution: Option<Rc<Execution>>) {
    EXECUTION.set(execution);
}

/// Returns the execution that the caller is in.
pub(super) fn here() -> Option<Rc<Execution>> {
    EXECUTION.with_borrow(Option::clone)
}

/// Returns whether the caller is in an execution of a user's model.
pub(crate) fn is_here() -> bool {
    EXECUTION.with_borrow(Option::is_some)
}

/// Returns the record of a task of a user's model, or `None` if the task is not of one, or has ended.
pub(super) fn green_of(task: NonNull<Task>) -> Option<Rc<Green>> {
    let execution = here()?;
    let greens = execution.greens.borrow();
    greens.iter().rev().find(|green| green.task.get() == Some(task)).cloned()
}

/// Returns the record of the calling green thread.
pub(super) fn running() -> Option<Rc<Green>> {
    // SAFETY: the waiter of a green thread is in a task.
    current::green().and_then(|waiter| green_of(unsafe { Task::of_waiter(waiter) }))
}

impl Execution {
    pub(super) fn new(max_threads: usize) -> Execution {
        Execution { max_threads, ..Execution::default() }
    }

    /// Adds a green thread. The caller starts it.
    pub(super) fn add(&self, task: NonNull<Task>) -> Rc<Green> {
        let mut greens = self.greens.borrow_mut();
        if greens.len() == self.max_threads {
            drop(greens);
            report::too_many_threads(self);
        }
        let green = Rc::new(Green {
            fiber: Fiber::default(),
            task: Cell::new(Some(task)),
            thread: RefCell::new(None),
            asleep: Cell::new(Sleep::Awake),
            notified: Cell::new(false),
            timed_out: Cell::new(false),
            scheduled: Cell::new(false),
        });
        greens.push(Rc::clone(&green));
        self.live.set(self.live.get() + 1);
        green
    }

    /// Notes that a thread has ended. The last of all threads but the main one wakes the main one.
    pub(super) fn thread_ended(&self) {
        self.live.set(self.live.get() - 1);
        if self.closing.get() && self.live.get() == 1 {
            let main = Rc::clone(&self.greens.borrow()[0]);
            if main.asleep.get() == Sleep::Ended {
                main.wake(self);
            }
        }
        while self.live.get() > 0 && self.asleep.get() == self.live.get() {
            self.let_something_happen();
        }
    }

    /// Returns whether only the caller has not ended.
    pub(super) fn is_alone(&self) -> bool {
        self.live.get() == 1
    }

    /// Called when all threads sleep: lets the earliest deadline pass. Does not return if there is none.
    fn let_something_happen(&self) {
        if !explorer::fire_earliest_timer() {
            report::deadlock(self);
        }
    }
}

impl Green {
    /// Sets the thread that runs it.
    pub(super) fn set_thread(&self, thread: Thread) {
        *self.thread.borrow_mut() = Some(thread);
    }

    /// Sleeps until it is woken. Called by the green thread itself.
    pub(super) fn sleep(&self, execution: &Execution, why: Sleep) {
        self.asleep.set(why);
        execution.asleep.set(execution.asleep.get() + 1);
        while self.asleep.get() != Sleep::Awake {
            if execution.asleep.get() == execution.live.get() {
                execution.let_something_happen();
            } else {
                explorer::park();
            }
        }
    }

    /// Wakes it, if it sleeps. It sees all that the caller did before, in any case.
    pub(super) fn wake(&self, execution: &Execution) {
        if self.asleep.replace(Sleep::Awake) != Sleep::Awake {
            execution.asleep.set(execution.asleep.get() - 1);
        }
        // `None` while its parent is starting it.
        if let Some(thread) = &*self.thread.borrow() {
            thread.unpark();
        }
    }
}
