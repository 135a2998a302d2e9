//! How a task runs on a fiber, and how it ends or goes idle.

use core::ptr::{self, NonNull};
use core::task::Waker;

use crate::fiber::{Suspend, Switch, locals};
use crate::scheduler::here::{running_fiber, with_worker};
use crate::scheduler::spawn;
use crate::scheduler::suspend::{self, GREEN};
use crate::task::{RunOutcome, Runnable, Schedule, SpawnOptions, Task, allocate};
use crate::wait::{WaiterVtable, run_shielded_catching};

/// The scheduler, as tasks know it.
#[derive(Debug)]
pub(crate) struct Scheduler;

impl Schedule for Scheduler {
    const WAITER: &'static WaiterVtable = &GREEN;

    unsafe fn schedule(task: NonNull<Task>) {
        // SAFETY: `State::wake` has returned true to the caller, which gives it the right to queue the task.
        let task = unsafe { Runnable::new(task) };
        // SAFETY: a stackless task that is woken has run before, on a worker, whose record is never freed.
        let home = unsafe { &*task.worker() };
        let is_local = task.options.local;
        if is_local && let Some(home) = task.shared_home() {
            return suspend::wake_local(home, task);
        }
        let mut task = Some(task);
        let turn = with_worker(|worker| {
            let runs_here =
                if is_local { ptr::eq(worker.remote, home) } else { worker.remote.is_in_runtime_of(home) };
            if runs_here && let Some(task) = task.take() {
                worker.queue_idle(task);
            }
            &worker.remote.turn
        });
        if let Some(task) = task {
            if is_local {
                return home.deliver(task, turn);
            }
            // The task goes to a queue that its home worker and thieves see. Any worker may run it if the home worker
            // is stuck.
            home.stackless.push_behind(task);
            home.unpark();
        }
    }

    fn clear_locals() {
        clear_locals();
    }

    unsafe fn retire(task: NonNull<Task>) {
        // SAFETY: the caller runs the task, which is alive until it has ended.
        let this = unsafe { task.as_ref() };
        // SAFETY: records of workers are never freed.
        if let Some(owner) = unsafe { this.owner().as_ref() } {
            // SAFETY: the task is in the list of this record.
            unsafe { owner.owned.lock().remove(task) };
            this.set_owner(ptr::null());
        }
        let _ = with_worker(|worker| worker.leave_stack(task));
    }
}

/// Runs a task on the fiber of which the caller is the loop. Returns `FreeAgain` if the task is stackless, has gone
/// idle, and was woken while it ran.
///
/// # Safety
///
/// `work` is a task that the worker has taken from a queue. `switch` is that of the fiber, or none.
pub(super) unsafe fn run_on_fiber(work: NonNull<()>, switch: Switch) -> Suspend {
    let task = work.cast::<Task>();
    // SAFETY: the worker has taken the task from a queue, so it is alive, and this thread's to run and to finish. A
    // task that goes idle is alive until `end_run`, which gives it up.
    unsafe {
        task.as_ref().as_waiter().set_switch(switch);
        match Task::run(task) {
            RunOutcome::Finished => {
                Task::finish::<Scheduler>(task);
                Suspend::Free
            }
            RunOutcome::Idle if go_idle(task) => Suspend::FreeAgain,
            RunOutcome::Idle => Suspend::Free,
        }
    }
}

/// Makes a stackless task idle. Returns true if it was woken meanwhile and has to be queued again. If this returns
/// false, the caller must not touch the task any more.
///
/// # Safety
///
/// The caller has just run the task, here.
unsafe fn go_idle(task: NonNull<Task>) -> bool {
    // Thread-local values belong to one turn: the next turn may be on another stack, and this stack may get another
    // task. Dropping the values may park.
    clear_locals();
    let _ = with_worker(|worker| {
        worker.leave_stack(task);
        worker.enlist_idle(task);
        // SAFETY: the caller owns the run of the task, which keeps it alive.
        if let Some(since_ns) = unsafe { task.as_ref() }.idle_since() {
            since_ns.set(worker.maintenance.looked_ns());
        }
    });
    // SAFETY: the caller owns the run of the task, which keeps it alive until `end_run` gives the run up.
    unsafe { task.as_ref() }.end_run()
}

/// Drops the thread-local values of the running task. Their destructors may park.
pub(crate) fn clear_locals() {
    if let Some(fiber) = running_fiber() {
        // SAFETY: the caller runs on this fiber, whose header outlives the call.
        locals::clear(unsafe { fiber.as_ref() });
    }
}

/// Calls a waker on a worker that is between two turns. The waker of a task of kahn only queues the task. Any other is user
/// code, which a green thread calls, because it may park.
pub(super) fn wake_outside(waker: Waker) {
    /// Wakes also if the green thread never starts, because its runtime ends.
    struct WakeOnDrop(Option<Waker>);
    impl Drop for WakeOnDrop {
        fn drop(&mut self) {
            if let Some(waker) = self.0.take() {
                run_shielded_catching(|| waker.wake());
            }
        }
    }
    if Task::is_waker(&waker) {
        return waker.wake();
    }
    let wake = WakeOnDrop(Some(waker));
    finish_by(move || drop(wake));
}

/// Spawns a green thread that does the remaining work of a task that has retired here.
pub(crate) fn finish_by(work: impl FnOnce() + Send + 'static) {
    // SAFETY: the closure is `Send` and `'static`.
    let task = unsafe { allocate::<Scheduler, _, _>(work, None, SpawnOptions::default()) };
    // SAFETY: the task has been made just now.
    if let Err(task) = spawn(unsafe { Runnable::new(task) }) {
        unreachable!("{task:?} has retired on no worker");
    }
    // SAFETY: gives up the reference that `allocate` made for a handle.
    unsafe { Task::drop_handle(task) };
}
