//! How the green threads, tasks and actors of a user's model run, wait and are woken.

use core::ptr::NonNull;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Instant;

use crate::primitives::explorer::{self, Thread};
use crate::primitives::now;
use crate::scheduler::execution::{self, Execution, Green, Sleep};
use crate::scheduler::{Scheduler, report};
use crate::task::{RunOutcome, Runnable, Task};
use crate::wait::deadline::Nanos;
use crate::wait::{Deadline, Waiter, WaiterVtable, current};

/// The waiter functions of green threads.
pub(crate) static GREEN: WaiterVtable =
    WaiterVtable { wake, wake_last: None, suspend, retain: None, is_task: false };

/// Wakes a claimed green thread.
unsafe fn wake(waiter: NonNull<Waiter>) {
    // SAFETY: only waiters in tasks have these functions.
    let task = unsafe { Task::of_waiter(waiter) };
    let Some((execution, green)) = execution::here().zip(execution::green_of(task)) else {
        unreachable!("a green thread that waits is in the execution of its waker")
    };
    green.notified.set(true);
    green.wake(&execution);
}

/// Parks the running green thread until it has been claimed and woken, or until its deadline.
unsafe fn suspend(waiter: NonNull<Waiter>, deadline: Deadline) {
    // SAFETY: only waiters in tasks have these functions.
    let task = unsafe { Task::of_waiter(waiter) };
    let Some((execution, green)) = execution::here().zip(execution::green_of(task)) else {
        unreachable!("a green thread waits in its execution")
    };
    let (deadline, may_be_early) = match deadline {
        Deadline::Never => (None, false),
        Deadline::At(moment) => (Some(moment), true),
        Deadline::After(Nanos(ns)) => (now().checked_add(std::time::Duration::from_nanos(ns)), false),
    };
    if let Some(deadline) = deadline {
        // SAFETY: the owner makes this call, and keeps the waiter in place.
        if unsafe { wait_until(&execution, &green, waiter.as_ref(), deadline, may_be_early) } {
            return;
        }
    }
    while !green.notified.replace(false) {
        green.sleep(&execution, Sleep::Parked);
    }
}

/// Waits until a waker or the deadline ends the wait. Returns true if it was the deadline. Returns false if a waker has
/// claimed the waiter, and may not have woken it yet.
///
/// The deadline passes when nothing else can happen. Or it passes early: other threads may take steps, and then it passes.
/// One exploration chooses the first, and another the second.
fn wait_until(
    execution: &Rc<Execution>,
    green: &Rc<Green>,
    waiter: &Waiter,
    deadline: Instant,
    may_be_early: bool,
) -> bool {
    if deadline > now() {
        if may_be_early && explorer::choose(2) == 1 {
            explorer::yield_now();
        } else {
            let timer = set_wake_up(execution, green, deadline);
            while !green.notified.get() && !green.timed_out.replace(false) {
                green.sleep(execution, Sleep::Parked);
            }
            explorer::unset_timer(timer);
            green.timed_out.set(false);
        }
    }
    if green.notified.get() {
        return false;
    }
    explorer::pass_time(deadline);
    waiter.claim_timeout()
}

fn set_wake_up(execution: &Rc<Execution>, green: &Rc<Green>, deadline: Instant) -> u64 {
    let (weak, green) = (Rc::downgrade(execution), Rc::clone(green));
    explorer::set_timer(
        deadline,
        Rc::new(move || {
            if let Some(execution) = weak.upgrade() {
                green.timed_out.set(true);
                green.wake(&execution);
            }
        }),
    )
}

/// Starts a thread for a new task. Returns the task to a caller that is in no execution.
pub(crate) fn spawn(task: Runnable) -> Result<(), Runnable> {
    let Some(execution) = execution::here() else { return Err(task) };
    let green = execution.add(task.pointer());
    let task = task.into_pointer();
    let mine = Rc::clone(&green);
    let thread = Thread::spawn(move || {
        // SAFETY: the spawn has handed the right to run the task over to this thread.
        unsafe { run(&execution, &mine, task) };
        execution.thread_ended();
    });
    green.set_thread(thread);
    Ok(())
}

/// Runs a task until it has ended.
///
/// # Safety
///
/// The caller has the right to run the task. `green` is its record.
pub(super) unsafe fn run(execution: &Execution, green: &Green, task: NonNull<Task>) {
    let enter = || {
        // SAFETY: each thread of the model has a record of its own, which is used in this call alone.
        unsafe { current::of_this_thread() }.enter(Task::waiter(task));
    };
    loop {
        enter();
        // Only loom unwinds from here, and that fails the model.
        // SAFETY: the caller has the right to run the task. It was woken, if this is a later turn.
        let outcome = catch_unwind(AssertUnwindSafe(|| unsafe { Task::run(task) }));
        report::check(execution);
        match outcome.unwrap_or_else(|payload| resume_unwind(payload)) {
            // SAFETY: the task has ended just now, here.
            RunOutcome::Finished => unsafe { Task::finish::<Scheduler>(task) },
            RunOutcome::Idle => {
                crate::scheduler::clear_locals();
                // SAFETY: the task is alive until `end_run` gives it up, and while it is not woken it stays so: its
                // runtime's reference is given up in its last turn alone.
                if unsafe { task.as_ref() }.end_run() {
                    continue;
                }
                while !green.scheduled.replace(false) {
                    green.sleep(execution, Sleep::Idle);
                }
                continue;
            }
        }
        break;
    }
    report::check(execution);
    // SAFETY: as in `enter`.
    unsafe { current::of_this_thread() }.leave();
}

/// Lets a task that is idle take another turn.
pub(crate) fn schedule(task: NonNull<Task>) {
    if let Some((execution, green)) = execution::here().zip(execution::green_of(task)) {
        green.scheduled.set(true);
        green.wake(&execution);
    }
}

/// Runs the main green thread, whose `task` has not run, and then ends all others. Returns when all have ended.
///
/// # Safety
///
/// The caller has the right to run the task.
pub(crate) unsafe fn run_main(task: NonNull<Task>, max_threads: usize) {
    let execution = Rc::new(Execution::new(max_threads));
    execution::set(Some(Rc::clone(&execution)));
    let green = execution.add(task);
    green.set_thread(Thread::current());
    // SAFETY: the caller guarantees it.
    unsafe { run(&execution, &green, task) };
}

/// Ends all green threads, as the end of a runtime does: cancels them, and waits for their ends.
pub(crate) fn close() {
    let Some(execution) = execution::here() else { return };
    execution.closing.set(true);
    // A green thread that is cancelled may start others meanwhile.
    let mut next = 0;
    loop {
        let green = execution.greens.borrow().get(next).cloned();
        let Some(green) = green else { break };
        explorer::without_switches(|| {
            if let Some(task) = green.task.get() {
                // SAFETY: a task that has not ended is alive, and no other thread takes a step during this call. If the call
                // waits for a lock, it has claimed the task, which cannot end until it has been woken.
                unsafe { crate::scheduler::cancel(task) };
            }
        });
        next += 1;
    }
    let main = Rc::clone(&execution.greens.borrow()[0]);
    while !execution.is_alone() {
        main.sleep(&execution, Sleep::Ended);
    }
    explorer::clear_timers();
    report::check_panics(&execution);
    execution::set(None);
}
