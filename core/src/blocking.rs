//! The blocking pool: OS threads for calls that would hold up a worker.
//!
//! A blocking task (`BlockingTask`) is on the stack of the green thread that waits for it, so it may borrow. A cancel or
//! a time-out takes a task out of the queue, and its caller unwinds. When a thread has taken the task, its caller is
//! shielded: it must not leave its frame before the task is done. The lock of the pool decides which comes first.
//! Threads are started on demand up to a bound, and end when they have been idle for a while.
//!
//! | a blocking task is | its caller | may be run by |
//! |---|---|---|
//! | in `queue` | parks, or is about to | the pool's threads; its caller, after removing it from the queue |
//! | taken out of the queue by its caller, after a cancel or a time-out | unwinds | no thread |
//! | out of the queue, not done | parks | the thread that took it out |
//! | done | takes the output | no thread |
//!
//! A thread that the OS has started may never call `serve`. `std` prepares the thread first, and if there is no memory
//! for that, the thread can end up waiting in `std`, or abort the process, which kahn cannot prevent. So a caller that
//! may depend on a thread that has not come yet waits for it with a limit, and then runs the task itself.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::exits::Exits;
use crate::os_threads;
use crate::primitives::now;
use crate::wait::{Kind, Reason, WaitError, WaitList, WaitOptions, Waiter, current, shield};

/// How long an idle thread of the pool waits for work before it ends.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How often a caller looks whether a thread that was started for its task has ended without taking it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The stack size of a thread of the pool, in bytes.
const STACK_SIZE: usize = 2 << 20;

/// The pool of one runtime.
pub(crate) struct Pool {
    name: String,
    max: usize,
    state: Mutex<State>,
    /// Notified when the queue gets a task, when threads are dismissed, and when the pool is closed.
    work: Condvar,
    /// Starts a thread that calls [`serve`](Self::serve).
    start: fn(&Arc<Pool>) -> io::Result<JoinHandle<()>>,
    exits: Arc<Exits>,
}

#[derive(Default)]
struct State {
    /// The tasks that no thread has taken, by their tickets. The oldest has the smallest.
    queue: BTreeMap<u64, BlockingTask>,
    next_ticket: u64,
    closed: bool,
    threads: Vec<PoolThread>,
    /// Threads that were started and have not left `serve`. Those that end before they call `serve` count until
    /// `forget_stillborn`.
    live: usize,
    idle: usize,
    /// How many of the idle threads are to end at once.
    dismissed: usize,
    /// Blocking tasks submitted and not done.
    active: usize,
}

/// What a caller knows of its task in the queue.
struct Submitted {
    ticket: u64,
    /// When to look whether a thread that was started for the task has ended without taking it.
    look_at: Option<Instant>,
}

/// A thread of the pool.
struct PoolThread {
    handle: JoinHandle<()>,
    /// Set when the thread has called `serve`.
    has_come: bool,
}

impl State {
    /// Returns whether a thread has been started and has not called `serve`.
    fn is_one_coming(&self) -> bool {
        self.threads.iter().any(|thread| !thread.has_come)
    }

    /// Forgets the threads that have ended without calling `serve`. `std` may find no memory for a thread that the
    /// system has started.
    fn forget_stillborn(&mut self) {
        let before = self.threads.len();
        self.threads.retain(|thread| thread.has_come || !thread.handle.is_finished());
        self.live -= before - self.threads.len();
    }
}

/// A blocking task, on the stack of the green thread that waits for it.
struct BlockingTask {
    run: unsafe fn(*const ()),
    task: *const (),
    /// The waiter of the green thread.
    caller: Option<NonNull<Waiter>>,
}

// SAFETY: `task` points to a `Task<F, T>` with `F: Send` and `T: Send`, see `call`. `caller` is shared, and a
// `Waiter` is `Sync`.
unsafe impl Send for BlockingTask {}

struct Task<F, T> {
    work: UnsafeCell<Option<F>>,
    output: UnsafeCell<Option<thread::Result<T>>>,
    done: Signal,
}

impl Pool {
    pub(crate) fn new(name: String, max: usize) -> Pool {
        Pool {
            name,
            max,
            state: Mutex::default(),
            work: Condvar::new(),
            start: Pool::start,
            exits: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether a blocking task is queued or runs.
    pub(crate) fn is_busy(&self) -> bool {
        self.state().active > 0
    }

    /// Ends the idle threads before their time, so that the destructors of their thread-locals run now. Returns
    /// whether there are any.
    pub(crate) fn dismiss_idle(&self) -> bool {
        let mut state = self.state();
        state.dismissed = state.idle;
        let any = state.idle > 0;
        drop(state);
        self.work.notify_all();
        any
    }

    /// Runs `f` on a thread of the pool, and parks the caller until it is done.
    #[track_caller]
    pub(crate) fn call<T: Send, F: FnOnce() -> T + Send>(self: &Arc<Self>, f: F) -> T {
        let reason = Reason::new::<()>(Kind::Blocking, core::ptr::null());
        let task =
            Task { work: UnsafeCell::new(Some(f)), output: UnsafeCell::new(None), done: Signal::default() };
        let place: *const () = (&raw const task).cast();
        let mine = match self.submit(BlockingTask {
            run: run_task::<F, T>,
            task: place,
            caller: current::green(),
        }) {
            Ok(submitted) => self.wait(&task.done, reason, submitted),
            // No thread can be started, or the pool is closed.
            Err(task) => Some(task),
        };
        if let Some(task) = mine {
            // The caller runs it, and blocks its worker.
            //
            // SAFETY: `task` is in this frame. Its task was never queued, or was taken out of the queue, so no other
            // thread runs it.
            unsafe { task.run() };
        }
        match task.output.into_inner().expect("done, so there is an output") {
            Ok(value) => value,
            Err(payload) => resume_unwind(payload),
        }
    }

    /// Parks the caller until its task is done. Returns the task if the caller has to run it. Unwinds, after a cancel or
    /// a time-out, if no thread has taken the task.
    fn wait(&self, done: &Signal, reason: Reason, submitted: Submitted) -> Option<BlockingTask> {
        let Submitted { ticket, mut look_at } = submitted;
        loop {
            let Err(error) = done.wait(reason, look_at) else { return None };
            if error.is_deadline() {
                match self.take_back(ticket) {
                    Ok(task) => return Some(task),
                    Err(next) => look_at = next,
                }
            } else if self.withdraw(ticket) {
                let _ = error.raise();
            } else {
                break;
            }
        }
        // A thread has taken the task. The values that it borrows must stay until it is done.
        shield(|| while done.wait(reason, None).is_err() {});
        None
    }

    /// Takes a blocking task that is not to run out of the queue. Returns false if a thread has taken it.
    fn withdraw(&self, ticket: u64) -> bool {
        let mut state = self.state();
        let is_queued = state.queue.remove(&ticket).is_some();
        state.active -= usize::from(is_queued);
        is_queued
    }

    fn start(self: &Arc<Self>) -> io::Result<JoinHandle<()>> {
        let pool = Arc::clone(self);
        let name = format!("{}-blocking", self.name);
        let ticket = self.exits.ticket(&name);
        thread::Builder::new().name(name).stack_size(STACK_SIZE).spawn(move || {
            ticket.keep();
            pool.serve();
        })
    }

    /// Queues a blocking task.
    ///
    /// # Errors
    ///
    /// Returns the task if no thread can be started, or if the pool is closed.
    fn submit(self: &Arc<Self>, task: BlockingTask) -> Result<Submitted, BlockingTask> {
        let mut state = self.state();
        if state.closed {
            return Err(task);
        }
        if state.idle <= state.queue.len() && state.live < self.max {
            match (self.start)(self) {
                Ok(thread) => {
                    state.forget_stillborn();
                    state.threads.retain(|thread| !thread.handle.is_finished());
                    state.threads.push(PoolThread { handle: thread, has_come: false });
                    state.live += 1;
                }
                Err(_) if state.live > 0 => {}
                Err(_) => return Err(task),
            }
        }
        state.active += 1;
        state.dismissed = 0;
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.queue.insert(ticket, task);
        let look_at = next_look(&state);
        drop(state);
        self.work.notify_one();
        Ok(Submitted { ticket, look_at })
    }

    /// Takes a blocking task out of the queue, if no thread is left that could run it.
    ///
    /// # Errors
    ///
    /// If a thread may still take it, or has. The error is the time of the next look, if one is needed.
    #[cold]
    fn take_back(&self, ticket: u64) -> Result<BlockingTask, Option<Instant>> {
        let mut state = self.state();
        state.forget_stillborn();
        let taken = if state.live == 0 { state.queue.remove(&ticket) } else { None };
        let Some(taken) = taken else { return Err(next_look(&state)) };
        state.active -= 1;
        Ok(taken)
    }

    /// The main loop of a thread of the pool.
    fn serve(&self) {
        let mut state = self.state();
        let me = thread::current().id();
        if let Some(thread) = state.threads.iter_mut().find(|thread| thread.handle.thread().id() == me) {
            thread.has_come = true;
        }
        loop {
            if let Some((_, task)) = state.queue.pop_first() {
                drop(state);
                // SAFETY: the submitter waits until the task is done. It is out of the queue, so only this thread runs
                // it.
                unsafe { task.run_here() };
                state = self.state();
                state.active -= 1;
                continue;
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let idle = os_threads::Idle::new();
            let waited = self.work.wait_timeout(state, KEEP_ALIVE);
            drop(idle);
            let (awake, time) = waited.unwrap_or_else(PoisonError::into_inner);
            state = awake;
            state.idle -= 1;
            if state.queue.is_empty() {
                if state.dismissed > 0 {
                    state.dismissed -= 1;
                    break;
                }
                if time.timed_out() {
                    break;
                }
            }
        }
        state.live -= 1;
    }

    /// Ends the pool's threads, and waits for that until `deadline`. Returns the names of the threads that are left:
    /// they run a blocking task, or the destructors of their thread-locals.
    pub(crate) fn close(&self, deadline: Option<Instant>) -> Vec<String> {
        self.state().closed = true;
        self.work.notify_all();
        let left = self.exits.wait(deadline);
        if left.is_empty() {
            // The threads run no more code of kahn or of the program, so a `join` returns at once.
            let threads = std::mem::take(&mut self.state().threads);
            threads.into_iter().for_each(|thread| drop(thread.handle.join()));
        }
        left
    }
}

/// Returns when a caller is to look again, if a thread has been started that may end without serving.
fn next_look(state: &State) -> Option<Instant> {
    state.is_one_coming().then(now).and_then(|now| now.checked_add(LOOK_EVERY))
}

impl BlockingTask {
    /// # Safety
    ///
    /// The caller of the task waits for it, and no other thread runs it.
    unsafe fn run(self) {
        // SAFETY: the caller of the task waits, so the task stays in its frame until it is done.
        unsafe { (self.run)(self.task) };
    }

    /// Runs the task on a thread of the pool.
    ///
    /// # Safety
    ///
    /// As for [`run`](Self::run).
    unsafe fn run_here(self) {
        // SAFETY: `run_task` marks the task as done after the closure has ended, and calls no user code afterwards
        // but the waker of the caller's own wait. The closure uses `caller` only while it runs, and the green thread
        // waits until then, so its waiter stays in place.
        unsafe { current::on_behalf_of(self.caller, || self.run()) };
    }
}

/// Whether a blocking task is done. The waiter is its caller.
#[derive(Default)]
struct Signal(WaitList<bool>);

impl Signal {
    /// Waits until the task is done.
    ///
    /// # Errors
    ///
    /// If the deadline passes before, or if a cancel or a time-out ends the wait.
    fn wait(&self, reason: Reason, deadline: Option<Instant>) -> Result<(), WaitError> {
        self.0.wait(WaitOptions::new(reason).until(deadline), |done| done.then_some(())).map(drop)
    }
}

/// # Safety
///
/// `task` points to a `Task<F, T>` that has not been run, and that stays until it is marked as done.
unsafe fn run_task<F: FnOnce() -> T, T>(task: *const ()) {
    // SAFETY: the task stays until it is marked as done, and until then only this call accesses its cells.
    unsafe {
        let task = &*task.cast::<Task<F, T>>();
        let work = (*task.work.get()).take().expect("run once");
        *task.output.get() = Some(catch_unwind(AssertUnwindSafe(work)));
        // The task may be gone as soon as the list is unlocked. It is not accessed after that.
        task.done.0.update(|done, [caller]| {
            *done = true;
            caller.claim_next();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Runtime;

    fn pool(start: fn(&Arc<Pool>) -> io::Result<JoinHandle<()>>) -> Arc<Pool> {
        Arc::new(Pool { start, ..Pool::new("test".to_owned(), 2) })
    }

    /// Starts a thread that ends without calling `serve`, as one might for which `std` finds no memory.
    fn stillborn(_: &Arc<Pool>) -> io::Result<JoinHandle<()>> {
        thread::Builder::new().spawn(|| ())
    }

    #[test]
    fn blocking_task_does_not_rely_on_a_thread_that_never_comes() {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        let pool = pool(stillborn);
        for _ in 0..2 {
            assert_eq!(runtime.run(|| pool.call(|| 7)), 7);
            assert!(!pool.is_busy() && pool.state().queue.is_empty());
        }
        assert!(pool.close(Some(now())).is_empty());
    }

    /// A thread that takes longer to come than a caller waits until it looks.
    #[test]
    fn caller_waits_for_a_thread_that_comes_late() {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        let pool = pool(|pool| {
            let pool = Arc::clone(pool);
            thread::Builder::new().spawn(move || {
                thread::sleep(LOOK_EVERY + LOOK_EVERY / 2);
                pool.serve();
            })
        });
        let is_green = runtime.run(|| pool.call(crate::thread::is_green));
        assert!(!is_green, "the caller did not wait for the thread, and ran the task itself");
        // The thread leaves the task after it has marked it as done.
        while pool.is_busy() {
            thread::yield_now();
        }
        let _ = pool.close(Some(now()));
    }

    #[test]
    fn caller_runs_the_task_if_no_thread_is_available() {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        let pool = pool(|_| Err(io::ErrorKind::OutOfMemory.into()));
        assert_eq!(runtime.run(|| pool.call(|| 7)), 7);
        assert!(!pool.is_busy());
    }
}
