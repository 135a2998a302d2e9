//! The part of a worker that other threads access.
//!
//! A waker finds the worker of a parked task through `Task::home`, pushes the task to that worker's inbox, and may then
//! have to unpark the worker. By that time the task may have run, ended, and been the last of its runtime. So these
//! records are never freed: they go back to a list, and the next runtime uses them again. A late unpark then wakes a
//! worker for nothing.

use core::cell::Cell;
use core::ptr::{self, NonNull};
use std::sync::{Mutex, PoisonError};

use crossbeam_utils::CachePadded;

use crate::primitives::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Lock, Ordering};
use crate::reactor::Reactor;
use crate::scheduler::inbox::Inbox;
use crate::scheduler::run_queue::{SharedQueue, Slot};
use crate::scheduler::turn::{LastNotifier, Turn};
use crate::task::{Leftover, Runnable, Task};
use crate::timer::wheel::Wheel;

/// A worker as other threads see it. Aligned to two cache lines, apart from its neighbours.
#[repr(align(128))]
pub(crate) struct Remote {
    pub(crate) inbox: CachePadded<Inbox>,
    /// Records the worker that put mail into the inbox last.
    pub(crate) sender: LastNotifier,
    pub(crate) turn: Turn,
    /// The number of the runtime whose worker this is, or was last.
    runtime: AtomicU64,
    /// Tasks without a stack.
    pub(crate) stackless: SharedQueue,
    /// Woken migratory tasks.
    pub(crate) ready: SharedQueue,
    /// The migratory task woken last.
    pub(crate) next: CachePadded<Slot>,
    /// Deadlines of the green threads that have parked here.
    pub(crate) wheel: Lock<Option<Wheel>>,
    /// The tasks that have parked here, and those with a name that run here for the first time, for reports and for the
    /// shutdown.
    pub(crate) owned: Lock<OwnedTasks>,
    /// The task that the worker runs, or ran last. Null when it sleeps or has left its loop. It is only compared with
    /// others, because the task may have been freed. Written by the worker alone.
    runs: AtomicPtr<Task>,
    /// The number of occupied stacks here. Written by the worker alone.
    parked_count: AtomicUsize,
    /// The number of tasks that were handed over to this worker and have not started.
    handed_over: AtomicUsize,
    /// Set when the tasks that wait to be started here wait beside parked tasks that communicate.
    communicating: AtomicBool,
    /// Counts how often the worker went to sleep, so that "asleep all the while" can be told from "asleep again".
    pub(crate) naps: AtomicU64,
    /// The task that the worker runs now, if the runtime warns of stuck workers.
    #[cfg(feature = "tracing")]
    pub(crate) running: Lock<Option<Running>>,
    /// What the worker sleeps on, and the descriptors that are registered with it.
    pub(crate) reactor: Reactor,
}

const _: () = {
    const fn is_sync<T: Send + Sync>() {}
    is_sync::<Remote>();
};

static UNUSED: Mutex<Vec<&'static Remote>> = Mutex::new(Vec::new());

impl Remote {
    /// Takes an unused record, or makes one.
    pub(crate) fn obtain(runtime: u64) -> &'static Remote {
        let unused = UNUSED.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let remote = unused.unwrap_or_else(|| {
            Box::leak(Box::new(Remote {
                inbox: CachePadded::new(Inbox::new()),
                sender: LastNotifier::new(),
                turn: Turn::new(),
                runtime: AtomicU64::new(runtime),
                stackless: SharedQueue::new(),
                ready: SharedQueue::new(),
                next: CachePadded::new(Slot::new()),
                wheel: Lock::new(None),
                owned: Lock::new(OwnedTasks::new()),
                runs: AtomicPtr::new(ptr::null_mut()),
                parked_count: AtomicUsize::new(0),
                handed_over: AtomicUsize::new(0),
                communicating: AtomicBool::new(false),
                naps: AtomicU64::new(0),
                #[cfg(feature = "tracing")]
                running: Lock::new(None),
                reactor: Reactor::new(),
            }))
        });
        // Relaxed: a thread that compares the number has the record from a task of this runtime, or from a task of a
        // runtime that has ended since, and then the numbers differ.
        remote.runtime.store(runtime, Ordering::Relaxed);
        *remote.wheel.lock() = Some(Wheel::new(crate::timer::now_ns()));
        remote.reactor.open();
        remote
    }

    /// Returns a record to the list. Its worker has ended, and nothing is left on it.
    pub(crate) fn give_back(&'static self) {
        if let Some(mut wheel) = self.wheel.lock().take() {
            // An entry that is still linked must not find itself linked in the wheel of the runtime that gets this
            // record next.
            wheel.unlink_all();
        }
        debug_assert_eq!(
            (self.parked_count(), self.handed_over()),
            (0, 0),
            "a worker ended with occupied stacks"
        );
        UNUSED.lock().unwrap_or_else(PoisonError::into_inner).push(self);
    }

    /// Returns whether the two are workers of one runtime.
    #[inline]
    pub(crate) fn is_in_runtime_of(&self, other: &Remote) -> bool {
        self.runtime.load(Ordering::Relaxed) == other.runtime.load(Ordering::Relaxed)
    }

    /// Returns whether the worker, if it sleeps, wakes by itself: it has a timer, or a thread waits for a descriptor that
    /// is registered with it.
    pub(crate) fn wakes_by_itself(&self) -> bool {
        self.reactor.has_waiting()
            || self.wheel.lock().as_ref().is_some_and(|wheel| wheel.next_deadline_ns().is_some())
    }

    /// Wakes the worker if it sleeps.
    pub(crate) fn unpark(&self) {
        self.reactor.unpark();
    }

    /// Sends a task to the worker, from any thread. `from` is the turn counter of the sending worker, if the sender is
    /// one.
    pub(crate) fn deliver(&self, task: Runnable, from: Option<&'static Turn>) {
        self.sender.note(from);
        if self.inbox.push(task) {
            self.unpark();
        }
    }

    /// Asks the worker to look around before its next turn.
    pub(crate) fn ask_to_look(&self) {
        if self.inbox.ask_to_look() {
            self.unpark();
        }
    }

    /// Returns references to the tasks that are listed here now.
    pub(crate) fn listed(&self) -> Vec<TaskRef> {
        let mut tasks = Vec::new();
        // SAFETY: a task is removed from this list before it is freed, and the lock is held.
        self.owned.lock().each(|task| tasks.push(unsafe { TaskRef::new(task) }));
        tasks
    }

    /// Gives up, at the end of the runtime, on the tasks that are parked and listed here, and on all listed tasks
    /// whose home is `left`, a worker that has left its loop.
    pub(crate) fn abandon_parked(&self, left: Option<&Remote>) -> Vec<Leftover> {
        let is_left = |task: &Task| left.is_some_and(|left| ptr::eq(left, task.worker()));
        let tasks = self.listed();
        let given_up = tasks.iter().filter(|task| task.is_resting() || is_left(task));
        // SAFETY: each of `tasks` holds a reference.
        given_up.filter_map(|task| unsafe { Task::abandon(task.pointer()) }).collect()
    }

    /// Records the task that the worker is about to run, or null. Called by the worker alone.
    #[inline]
    pub(crate) fn set_runs(&self, task: *mut Task) {
        // Relaxed: the pointer is only compared. A shutdown reads it from a worker that has not written it for long, or
        // that has left its loop and then reported that under a lock.
        self.runs.store(task, Ordering::Relaxed);
    }

    /// Returns the task that the worker runs, or ran last, unless the worker sleeps or has left its loop. It may have
    /// been freed.
    pub(crate) fn runs(&self) -> Option<NonNull<Task>> {
        NonNull::new(self.runs.load(Ordering::Relaxed))
    }

    /// Returns how many parked tasks the worker has.
    #[inline]
    pub(crate) fn parked_count(&self) -> usize {
        // Relaxed (here, and in the six functions that follow): the numbers are only compared, and nothing depends on
        // their order.
        self.parked_count.load(Ordering::Relaxed)
    }

    /// Adds an occupied stack. Called by the worker alone.
    #[inline]
    pub(crate) fn add_parked(&self) {
        self.parked_count.store(self.parked_count() + 1, Ordering::Relaxed);
    }

    /// Removes an occupied stack. Called by the worker alone.
    #[inline]
    pub(crate) fn remove_parked(&self) {
        self.parked_count.store(self.parked_count() - 1, Ordering::Relaxed);
    }

    /// Returns whether the tasks that wait to be started here wait beside parked tasks that communicate.
    #[inline]
    pub(crate) fn is_communicating(&self) -> bool {
        self.communicating.load(Ordering::Relaxed)
    }

    /// Called by the worker alone.
    pub(crate) fn set_communicating(&self, communicating: bool) {
        if self.is_communicating() != communicating {
            self.communicating.store(communicating, Ordering::Relaxed);
        }
    }

    /// Returns how many tasks have been handed over to the worker and have not started.
    pub(crate) fn handed_over(&self) -> usize {
        self.handed_over.load(Ordering::Relaxed)
    }

    pub(crate) fn add_handed_over(&self, count: usize) {
        self.handed_over.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn start_handed_over(&self) {
        self.handed_over.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An owned reference to a task.
#[derive(Debug)]
pub(crate) struct TaskRef(NonNull<Task>);

impl TaskRef {
    /// # Safety
    ///
    /// The task is alive.
    unsafe fn new(task: NonNull<Task>) -> TaskRef {
        // SAFETY: the caller guarantees that the task is alive.
        unsafe { task.as_ref() }.state.retain();
        TaskRef(task)
    }

    /// Returns the task. The caller does not get the reference.
    pub(crate) fn pointer(&self) -> NonNull<Task> {
        self.0
    }
}

impl core::ops::Deref for TaskRef {
    type Target = Task;

    fn deref(&self) -> &Task {
        // SAFETY: the reference keeps the task alive.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for TaskRef {
    fn drop(&mut self) {
        // SAFETY: this value owns the reference, and gives it up once.
        unsafe { Task::release(self.0) };
    }
}

#[cfg(feature = "tracing")]
/// The task that a worker runs now.
pub(crate) struct Running {
    pub(crate) task: String,
    pub(crate) since: std::time::Instant,
    /// Set when a warning has been given.
    pub(crate) warned: bool,
}

/// The tasks that have parked, yielded or gone idle on a worker and have not ended, and those with a name that run for
/// the first time, in no order.
#[derive(Debug)]
pub(crate) struct OwnedTasks {
    first: Cell<*const Task>,
    len: usize,
}

// SAFETY: the links are accessed only with the list's lock held.
unsafe impl Send for OwnedTasks {}

const PREVIOUS: usize = 0;
const NEXT: usize = 1;

impl OwnedTasks {
    fn new() -> OwnedTasks {
        OwnedTasks { first: Cell::new(ptr::null()), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Lists a task.
    ///
    /// # Safety
    ///
    /// The task is in no list of parked tasks, and is removed from this one before it is freed.
    pub(crate) unsafe fn insert(&mut self, task: NonNull<Task>) {
        let first = self.first.get();
        // SAFETY: listed tasks are alive, and only the holder of the list's lock, which `&mut self` stands for,
        // accesses their links.
        unsafe {
            task.as_ref().neighbours.set([ptr::null(), first]);
            set_neighbour(first, PREVIOUS, task.as_ptr());
        }
        self.first.set(task.as_ptr());
        self.len += 1;
    }

    /// Removes a task.
    ///
    /// # Safety
    ///
    /// The task is in this list.
    pub(crate) unsafe fn remove(&mut self, task: NonNull<Task>) {
        // SAFETY: listed tasks are alive, and only the holder of the list's lock, which `&mut self` stands for,
        // accesses their links.
        unsafe {
            let [previous, next] = task.as_ref().neighbours.get();
            if previous.is_null() {
                self.first.set(next);
            }
            set_neighbour(previous, NEXT, next);
            set_neighbour(next, PREVIOUS, previous);
        }
        self.len -= 1;
    }

    /// Calls `f` with every listed task.
    pub(crate) fn each(&self, mut f: impl FnMut(NonNull<Task>)) {
        let mut next = self.first.get();
        while let Some(task) = NonNull::new(next.cast_mut()) {
            // SAFETY: listed tasks are alive, and only the holder of the list's lock, which `&self` stands for,
            // accesses their links.
            next = unsafe { task.as_ref() }.neighbours.get()[NEXT];
            f(task);
        }
    }
}

/// # Safety
///
/// `task` is null, or in a list of parked tasks whose lock is held.
unsafe fn set_neighbour(task: *const Task, side: usize, to: *const Task) {
    // SAFETY: `task` is null or listed, so alive, and the lock protects its links.
    if let Some(task) = unsafe { task.as_ref() } {
        let mut neighbours = task.neighbours.get();
        neighbours[side] = to;
        task.neighbours.set(neighbours);
    }
}
