//! A process: a task without a stack between its turns, behind counted references, like an `Arc`'s content. Actors are
//! built on it.
//!
//! ```text
//!   Task │ the header
//!   H    │ the head: the part that all holders of a reference share, at the same place whatever the body's type
//!   B    │ the body: takes the turns, and belongs to the thread that runs the task
//! ```
//!
//! [`Process::wake`] wakes it, at most once for each turn to come, and the turn sees what the waker did before. The
//! body is dropped after its last turn, the head when the last reference is gone.

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::NonNull;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::scheduler::{self, Scheduler};
use crate::task::{Leftover, RunOutcome, Schedule, SpawnOptions, Task, TaskId, TaskVtable};
use crate::wait::{EndedWake, current, run_catching};

/// The code that takes a process's turns.
pub trait Body<H>: Send + 'static {
    /// Takes a turn, on a stack on which it may park, and returns whether it was the last. The next turn comes when
    /// the process is woken, which may be during this turn. A panic ends only the process, which does not report it.
    fn turn(&mut self, process: &Process<H>) -> bool;

    /// Called when the runtime, at its end, gives up on the process. The process may never take another turn, nor end
    /// its present one. It may also do both. This tells the waiters outside of the runtime, and returns work that runs
    /// user code, which the caller runs where it may park.
    fn abandoned(_process: &Process<H>) -> Option<Leftover> {
        None
    }

    /// Returns whether the head of a process without references holds no user data any more.
    fn is_bare(_head: &H) -> bool {
        false
    }
}

#[repr(C)]
struct Cell<H, B> {
    task: Task,
    head: H,
    body: UnsafeCell<Option<B>>,
}

impl<H: Send + Sync + 'static, B: Body<H>> Cell<H, B> {
    const VTABLE: TaskVtable = TaskVtable {
        run: run::<H, B>,
        drop_output: |_| {},
        take_output: |_, _| unreachable!("a process has no output"),
        free: free::<H, B>,
        abandon: abandon::<H, B>,
        idle_since: |_| None,
        schedule: Scheduler::schedule,
        is_stackless: true,
        is_process: true,
    };
}

unsafe fn run<H: Send + Sync + 'static, B: Body<H>>(task: NonNull<Task>) -> RunOutcome {
    let process = ManuallyDrop::new(Process::<H> { task, _head: PhantomData });
    // SAFETY: the scheduler runs a process from `Process::new::<B>` on one thread at a time (`State::wake` queues it
    // once), and the body belongs to that thread.
    unsafe {
        let cell = task.cast::<Cell<H, B>>().as_ptr();
        (*cell).task.begin_run();
        let body = (*cell).body.get();
        let turn = catch_unwind(AssertUnwindSafe(|| {
            (*body).as_mut().expect("a process takes no turn after its last").turn(&process)
        }));
        if let Ok(false) = turn {
            return RunOutcome::Idle;
        }
        run_catching(|| drop(turn));
        run_catching(|| crate::wait::shield(|| *body = None));
    }
    RunOutcome::Finished
}

/// # Safety
///
/// The task is a process from `Process::new::<B>`, and the caller holds a reference.
unsafe fn abandon<H: Send + Sync + 'static, B: Body<H>>(task: NonNull<Task>) -> Option<Leftover> {
    // Borrows the caller's reference.
    let process = ManuallyDrop::new(Process::<H> { task, _head: PhantomData });
    B::abandoned(&process)
}

/// Frees a process whose last reference is gone. The head may hold user data, whose destructor may park, or ask for
/// the current thread. So it runs on a live green thread, or on an OS thread that is not a worker.
unsafe fn free<H: Send + Sync + 'static, B: Body<H>>(task: NonNull<Task>) {
    struct Free<H, B: Body<H>>(NonNull<Task>, PhantomData<(H, B)>);
    // SAFETY: the value owns the cell, and head and body are `Send`.
    unsafe impl<H: Send, B: Body<H>> Send for Free<H, B> {}
    impl<H, B: Body<H>> Drop for Free<H, B> {
        fn drop(&mut self) {
            // SAFETY: the last reference is gone, and this runs once. If a body is still there, its runtime was shut
            // down, and the body is dropped here. A process makes its join state when it is needed, so it is not in the
            // cell.
            unsafe {
                self.0.as_ref().free_join_state();
                drop(Box::from_raw(self.0.cast::<Cell<H, B>>().as_ptr()));
            }
        }
    }
    let owner = Free::<H, B>(task, PhantomData);
    // SAFETY: the last reference is gone, so only this thread uses the cell.
    let is_bare = B::is_bare(unsafe { &(*task.cast::<Cell<H, B>>().as_ptr()).head });
    // Set if the caller is a process that has retired, or a worker between two tasks.
    let is_nobody = current::green().is_none_or(|me| me == Task::waiter(task)) && scheduler::is_on_worker();
    if is_nobody && !is_bare {
        scheduler::finish_by(move || drop(owner));
    } else {
        drop(owner);
    }
}

/// A reference to a process. Dereferences to its head.
pub struct Process<H> {
    task: NonNull<Task>,
    _head: PhantomData<H>,
}

// SAFETY: a reference shares the head, and the last one drops it, so `H` has to be `Send` and `Sync`. The header is
// `Sync`, and a body is `Send`.
unsafe impl<H: Send + Sync> Send for Process<H> {}
// SAFETY: a reference shares the head, and `H` is `Sync`. The header is `Sync`, and the body is not accessed through a
// reference.
unsafe impl<H: Send + Sync> Sync for Process<H> {}

impl<H: Send + Sync + 'static> Process<H> {
    const HEAD: usize = {
        // So that the head is right behind the header, whatever the body's alignment.
        assert!(align_of::<H>() <= align_of::<Task>());
        size_of::<Task>()
    };

    /// Makes a process that has not been started: see [`start`](crate::process::start).
    pub(super) fn new<B: Body<H>>(head: H, body: B, name: Option<Box<str>>, migratory: bool) -> Process<H> {
        let options = SpawnOptions { migratory, ..SpawnOptions::default() };
        let task = Task::process_header(Scheduler::WAITER, const { &Cell::<H, B>::VTABLE }, name, options);
        let cell = Box::new(Cell { task, head, body: UnsafeCell::new(Some(body)) });
        Process { task: NonNull::from(Box::leak(cell)).cast(), _head: PhantomData }
    }

    pub(crate) fn task(&self) -> NonNull<Task> {
        self.task
    }

    fn header(&self) -> &Task {
        // SAFETY: `self` is a counted reference, which keeps the task alive.
        unsafe { self.task.as_ref() }
    }

    /// Makes it take a turn, unless a turn that begins after this call is due already.
    #[inline]
    pub fn wake(&self) {
        // SAFETY: `self` is a counted reference.
        unsafe { Task::wake(self.task) };
    }

    /// Returns whether it was woken since its turn began or last [looked again](Self::look_again). Called in its own
    /// turn.
    #[inline]
    pub fn is_woken(&self) -> bool {
        self.header().state.is_woken()
    }

    /// Marks that its turn looks again at all there is to do, so that earlier wake-ups ask for no further turn. Called
    /// in its own turn.
    #[inline]
    pub fn look_again(&self) {
        self.header().state.begin_run();
    }

    /// Returns the flag that its turns have noted last. Called in its own turn.
    #[inline]
    pub fn noted(&self) -> bool {
        self.header().noted()
    }

    /// Stores a flag for its next turns. Called in its own turn.
    #[inline]
    pub fn note(&self, note: bool) {
        self.header().note(note);
    }

    /// Returns whether it takes a turn, or is about to. A hint: it may change at any moment.
    pub fn is_busy(&self) -> bool {
        self.header().state.is_busy()
    }

    /// As [`wake`](Self::wake), for a caller that is about to park, to wait for the process.
    #[inline]
    pub fn wake_next(&self) {
        // SAFETY: `self` is a counted reference.
        unsafe { scheduler::wake_task_next(self.task) };
    }

    /// Asks it to unwind from its present park or its next, until [`clear_cancel`](Self::clear_cancel) is called.
    /// Returns a wake-up if the process was parked. An idle process is not woken.
    pub fn cancel(&self) -> Option<EndedWake> {
        // SAFETY: `self` is a counted reference. A claimed task is alive until it has been woken.
        unsafe { crate::wait::Waiter::cancel(Task::waiter(self.task)) }
    }

    /// Clears the cancels until now. Called only in its own turn.
    pub fn clear_cancel(&self) {
        self.header().as_waiter().clear_cancel();
        if scheduler::closing_here() {
            // One of them may have been the runtime's, which cancels each task only once.
            drop(self.cancel());
        }
    }

    /// Returns whether it has been cancelled.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.header().as_waiter().is_cancelled()
    }

    /// Returns its id.
    pub fn id(&self) -> TaskId {
        self.header().id()
    }

    /// Returns its name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.header().name()
    }

    /// Returns whether the two refer to one process.
    pub fn is<G>(&self, other: &Process<G>) -> bool {
        self.task == other.task
    }

    /// Returns a number that only this process has while it is alive.
    pub fn address(&self) -> usize {
        self.task.as_ptr().addr()
    }

    /// Adds a reference without a `Process` value. The head's own count records that it is held.
    pub fn retain(&self) {
        self.header().state.retain();
    }

    /// Releases a reference that [`retain`](Self::retain) added.
    ///
    /// # Safety
    ///
    /// Balances a `retain`. `self` is another reference.
    pub unsafe fn release(&self) {
        // SAFETY: `self` is a counted reference.
        let last = unsafe { self.task.as_ref() }.state.release();
        debug_assert!(!last, "self is a reference, too");
    }

    /// Returns the same reference with only the first part of the head as its type.
    ///
    /// # Safety
    ///
    /// `H` is `repr(C)`, and its first field is a `G`.
    pub unsafe fn by_first<G>(&self) -> &Process<G> {
        // SAFETY: both types are a pointer to the task. The head is at the same place, and begins with a `G`.
        unsafe { &*core::ptr::from_ref(self).cast::<Process<G>>() }
    }

    /// Calls `f` with the process in whose turn the caller is, if there is one. A blocking task of a turn counts as
    /// part of the turn, which waits for it.
    ///
    /// # Safety
    ///
    /// All processes of this program have heads that begin, in `repr(C)`, with an `H`.
    pub unsafe fn with_current<R>(f: impl FnOnce(&Process<H>) -> R) -> Option<R> {
        // SAFETY: the waiter of a green thread is in a task.
        let task = current::green_or_caller().map(|waiter| unsafe { Task::of_waiter(waiter) })?;
        // SAFETY: the task runs, or waits for the blocking task in which the caller is. So it is alive.
        let is_process = unsafe { task.as_ref() }.is_process();
        is_process.then(|| f(&ManuallyDrop::new(Process { task, _head: PhantomData })))
    }
}

impl<H: Send + Sync + 'static> Deref for Process<H> {
    type Target = H;

    #[inline]
    fn deref(&self) -> &H {
        // SAFETY: `self` is a counted reference to a cell with an `H` right behind its header (`HEAD`).
        unsafe { self.task.byte_add(Self::HEAD).cast::<H>().as_ref() }
    }
}

impl<H> Clone for Process<H> {
    fn clone(&self) -> Process<H> {
        // SAFETY: `self` is a counted reference.
        unsafe { self.task.as_ref() }.state.retain();
        Process { task: self.task, _head: PhantomData }
    }
}

impl<H> Drop for Process<H> {
    fn drop(&mut self) {
        // SAFETY: the reference is given up, once. If the body is still there, any thread may drop it, because it is
        // `Send`.
        unsafe { Task::release(self.task) };
    }
}

impl<H> fmt::Debug for Process<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: `self` is a counted reference.
        unsafe { self.task.as_ref() }.fmt(f)
    }
}
