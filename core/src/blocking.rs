//! The blocking pool: OS threads for calls that would hold up a worker.
//!
//! An errand stands on the stack of the green thread that waits for it, which is shielded meanwhile, so it may borrow.
//! Threads are made on demand up to a bound, and leave when they have been idle for a while. The queue between is
//! crossbeam's.

use core::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::facade::Lock;
use crate::quiet;
use crate::wait::{Kind, Node, Reason, Wait, WaitQueue, shield};

/// How long an idle thread of the pool waits for work before it ends.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// The stack of a thread of the pool.
const STACK_SIZE: usize = 2 << 20;

/// The pool of one runtime.
pub(crate) struct Pool {
    name: String,
    max: usize,
    state: Mutex<State>,
    receiver: Receiver<Errand>,
}

struct State {
    /// `None` once the pool is closed.
    sender: Option<Sender<Errand>>,
    threads: Vec<JoinHandle<()>>,
    live: usize,
    idle: usize,
    /// Errands handed in and not yet done.
    active: usize,
}

/// Something to run, on the stack of somebody who waits for it.
struct Errand {
    run: unsafe fn(*const ()),
    task: *const (),
}

// SAFETY: `task` points to a `Task<F, T>` with `F: Send` and `T: Send`, see `call`.
unsafe impl Send for Errand {}

struct Task<F, T> {
    work: UnsafeCell<Option<F>>,
    output: UnsafeCell<Option<thread::Result<T>>>,
    done: Lock<Done>,
}

#[derive(Default)]
struct Done {
    done: bool,
    waiting: WaitQueue,
}

impl Pool {
    pub(crate) fn new(name: String, max: usize) -> Pool {
        let (sender, receiver) = crossbeam_channel::unbounded();
        let state = State { sender: Some(sender), threads: Vec::new(), live: 0, idle: 0, active: 0 };
        Pool { name, max, state: Mutex::new(state), receiver }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an errand is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.state().active > 0
    }

    /// Runs `f` on a thread of the pool, and parks the caller until it is done.
    #[track_caller]
    pub(crate) fn call<T: Send, F: FnOnce() -> T + Send>(self: &std::sync::Arc<Self>, f: F) -> T {
        let reason = Reason::new::<()>(Kind::Blocking, core::ptr::null());
        let task = Task {
            work: UnsafeCell::new(Some(f)),
            output: UnsafeCell::new(None),
            done: Lock::new(Done::default()),
        };
        let errand = Errand { run: run_task::<F, T>, task: (&raw const task).cast() };
        if let Err(errand) = self.submit(errand) {
            // No thread can be had, or the pool is closed: then the caller blocks its worker.
            // SAFETY: `task` is right here, and has not been run.
            unsafe { (errand.run)(errand.task) };
        }
        // What `f` borrows must stay until it has ended, so a cancel waits.
        shield(|| {
            let wait = Wait::new();
            let node = Node::new(wait.party(), 0, core::ptr::null_mut());
            {
                let mut done = task.done.lock();
                if done.done {
                    drop(done);
                    return;
                }
                // SAFETY: the node stays until it is claimed: the wait is shielded and has no deadline.
                unsafe { done.waiting.push((&node).into()) };
            }
            let claimed = wait.park(reason, None);
            debug_assert!(claimed.is_ok(), "a shielded wait without a deadline ends by a claim");
        });
        match task.output.into_inner().expect("done, so there is an output") {
            Ok(value) => value,
            Err(payload) => resume_unwind(payload),
        }
    }

    fn submit(self: &std::sync::Arc<Self>, errand: Errand) -> Result<(), Errand> {
        let mut state = self.state();
        let Some(sender) = state.sender.clone() else { return Err(errand) };
        if state.idle <= self.receiver.len() && state.live < self.max {
            let pool = std::sync::Arc::clone(self);
            let thread = thread::Builder::new()
                .name(format!("{}-blocking", self.name))
                .stack_size(STACK_SIZE)
                .spawn(move || pool.serve());
            match thread {
                Ok(thread) => {
                    state.threads.retain(|thread| !thread.is_finished());
                    state.threads.push(thread);
                    state.live += 1;
                }
                Err(_) if state.live > 0 => {}
                Err(_) => return Err(errand),
            }
        }
        state.active += 1;
        sender.send(errand).map_err(|error| error.into_inner())
    }

    /// The life of a thread of the pool.
    fn serve(&self) {
        loop {
            self.state().idle += 1;
            let errand = {
                let _harmless = quiet::Harmless::new();
                self.receiver.recv_timeout(KEEP_ALIVE)
            };
            let mut state = self.state();
            state.idle -= 1;
            match errand {
                Ok(errand) => {
                    drop(state);
                    // SAFETY: whoever submitted it waits until it is done.
                    unsafe { (errand.run)(errand.task) };
                    self.state().active -= 1;
                }
                // An errand may have come while we took the lock, counted on us as idle.
                Err(RecvTimeoutError::Timeout) if !self.receiver.is_empty() => {}
                Err(_) => {
                    state.live -= 1;
                    return;
                }
            }
        }
    }

    /// Ends the pool's threads, waiting until `deadline` for those at work. Answers how many are left.
    pub(crate) fn close(&self, deadline: Instant) -> usize {
        let threads = {
            let mut state = self.state();
            state.sender = None;
            std::mem::take(&mut state.threads)
        };
        let mut left = 0;
        for thread in threads {
            while !thread.is_finished() && self.is_busy() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(1));
            }
            if thread.is_finished() || !self.is_busy() {
                // Its queue has ended, so it leaves at once.
                let _ = thread.join();
            } else {
                left += 1;
            }
        }
        left
    }
}

/// # Safety
///
/// `task` points to a `Task<F, T>` that has not been run, and that stays until it says that it is done.
unsafe fn run_task<F: FnOnce() -> T, T>(task: *const ()) {
    // SAFETY: by the contract; until it is done it is ours alone.
    let claimed = unsafe {
        let task = &*task.cast::<Task<F, T>>();
        let work = (*task.work.get()).take().expect("run once");
        *task.output.get() = Some(catch_unwind(AssertUnwindSafe(work)));
        let mut done = task.done.lock();
        done.done = true;
        done.waiting.claim_next()
    };
    // If nobody waits yet, the task may be gone as soon as the lock was released: it is not touched any more.
    if let Some(claimed) = claimed {
        claimed.wake.wake();
    }
}
