//! How a green thread parks, and how a waker queues it: the waiter functions of green threads.

use core::ptr::{self, NonNull};
use core::time::Duration;

use crate::fiber::{Fiber, Suspend};
use crate::primitives::deadline_about;
use crate::scheduler::here::{here, remote_here, with_worker};
use crate::scheduler::remote;
use crate::scheduler::shared_home::SharedHome;
use crate::task::{Runnable, Task};
use crate::timer::{self, pending::Due, wheel::Entry};
use crate::wait::{Deadline, Waiter, WaiterVtable};

/// The waiter functions of green threads.
pub(crate) static GREEN: WaiterVtable = WaiterVtable {
    wake: wake::<false>,
    wake_last: Some(wake::<true>),
    suspend,
    retain: None,
    is_task: false,
};

/// Queues a claimed green thread on its home worker, or, if it may move, on the waker's worker. With `LAST`, the green
/// thread goes to the end of its queue.
unsafe fn wake<const LAST: bool>(waiter: NonNull<Waiter>) {
    // SAFETY: only waiters in tasks have these functions. The caller has claimed the task, so it is alive, and the
    // caller's to queue.
    let task = unsafe { Runnable::new(Task::of_waiter(waiter)) };
    if let Some(home) = task.shared_home() {
        return wake_member(home, task, LAST);
    }
    // SAFETY: a task that has parked and is in no shared home has run on a worker, whose record is never freed.
    let home = unsafe { &*task.worker() };
    let mut task = Some(task);
    let turn = with_worker(|worker| {
        // A migratory task runs beside its waker, which has just written the data that the task is woken for.
        let is_here = ptr::eq(worker.remote, home)
            || task.as_deref().is_some_and(may_move) && worker.remote.is_in_runtime_of(home);
        if is_here && let Some(task) = task.take() {
            if LAST { worker.queue_woken(task) } else { worker.wake_here(task) }
        }
        &worker.remote.turn
    });
    if let Some(task) = task {
        home.deliver(task, turn);
    }
}

/// Queues a claimed green thread of a home that travels. If no worker carries the home, the waker's worker runs it next, or the
/// worker that carried it last if the waker is not on a worker of the runtime.
fn wake_member(home: &'static SharedHome, task: Runnable, last: bool) {
    let mut task = Some(task);
    let _ = with_worker(|worker| {
        if worker.remote.is_in_runtime_of(home.last())
            && let Some(task) = task.take()
        {
            worker.wake_member(home, task, last);
        }
    });
    if let Some(task) = task {
        send_to(home, task);
    }
}

/// Queues a woken stackless task that is bound to a home.
pub(super) fn wake_local(home: &'static SharedHome, task: Runnable) {
    wake_member(home, task, true);
}

/// Sends a task to its home from outside of the runtime.
fn send_to(home: &'static SharedHome, task: Runnable) {
    let last = home.last();
    if home.mail.push(task) {
        // To a queue that thieves see: any worker may carry the home if the last one is stuck.
        //
        // SAFETY: the home was at rest, and the push has changed that.
        last.ready.push(unsafe { home.unit() });
        last.unpark();
    }
}

/// Returns whether a parked task may be resumed by another worker than the one on which it parked.
#[inline]
fn may_move(task: &Task) -> bool {
    task.options.migratory && task.is_at_rest()
}

/// Parks the running green thread until it has been claimed and woken.
unsafe fn suspend(waiter: NonNull<Waiter>, deadline: Deadline) {
    // SAFETY: the owner of the waiter calls this, so its task is the one that runs here.
    let task = unsafe { Task::of_waiter(waiter).as_ref() };
    // SAFETY: a running task has a fiber.
    let fiber = unsafe { &*task.fiber() };
    match deadline {
        // SAFETY: the caller runs on this fiber.
        Deadline::Never => unsafe { fiber.suspend(Suspend::Parked) },
        Deadline::At(moment) => suspend_until(waiter, task, fiber, Due::At(moment)),
        Deadline::After(time) => suspend_until(waiter, task, fiber, Due::AfterNs(time.0)),
    }
}

#[inline(never)]
fn suspend_until(waiter: NonNull<Waiter>, task: &Task, fiber: &Fiber, due: Due) {
    let entry = Entry::new(waiter.as_ptr().cast_const().cast());
    let place = NonNull::from(&entry);
    // Where homes travel, another worker may find that the deadline has passed.
    let travels = with_worker(|worker| worker.shared.homes.travel()) == Some(true);
    if task.options.migratory || task.shared_home().is_some() || travels {
        return suspend_in_wheel(place, fiber, due);
    }
    // SAFETY: a task runs on a worker, and a task that is not migratory comes back to the same one.
    let worker = unsafe { &*here() };
    // SAFETY: the entry stays in this frame until the same OS thread removes it below.
    unsafe { worker.pending_timers.push(place, due) };
    // SAFETY: the caller runs on this fiber.
    unsafe { fiber.suspend(Suspend::Parked) };
    // SAFETY: the entry was pushed to this list, by this OS thread.
    if unsafe { worker.pending_timers.remove(place) } {
        forget(place, worker.remote);
    }
}

/// As `suspend_until`, for a task that may resume on another worker.
#[inline(never)]
fn suspend_in_wheel(place: NonNull<Entry>, fiber: &Fiber, due: Due) {
    let remote = remote_here().expect("a task runs on a worker");
    let deadline_ns = match due {
        Due::At(moment) => timer::to_ns(moment),
        Due::AfterNs(ns) => deadline_about(Duration::from_nanos(ns)).map_or(u64::MAX, timer::to_ns),
    };
    if let Some(wheel) = remote.wheel.lock().as_mut() {
        // The worker looks at its wheel before it sleeps, so an earlier deadline needs no wake-up.
        //
        // SAFETY: the entry stays at its address until it is removed below, under the wheel's lock.
        let _ = unsafe { wheel.insert(place, deadline_ns) };
    }
    // SAFETY: the caller runs on this fiber.
    unsafe { fiber.suspend(Suspend::Parked) };
    // `remote` has the wheel that the entry was put into. The task may be on another worker by now.
    forget(place, remote);
}

/// Removes an entry from the wheel of `remote`, if it is still linked.
fn forget(entry: NonNull<Entry>, remote: &remote::Remote) {
    let mut wheel = remote.wheel.lock();
    if let Some(wheel) = wheel.as_mut()
        // SAFETY: the entry is in the caller's frame.
        && unsafe { entry.as_ref() }.is_linked()
    {
        // SAFETY: the entry is linked, and it was only ever put into this wheel, which is locked.
        unsafe { wheel.remove(entry) };
    }
}

/// Returns the waiter whose deadline an entry holds.
///
/// # Safety
///
/// The entry was made by `suspend_until`, or for another waiter that follows the same rule, is linked or was popped just now, and the lock of its wheel is held.
pub(super) unsafe fn waiter_of(entry: NonNull<Entry>) -> NonNull<Waiter> {
    // SAFETY: the sleeper takes the wheel's lock before it drops its entry, or runs on the worker that is calling. So
    // the entry is alive.
    let data = unsafe { entry.as_ref() }.data();
    NonNull::new(data.cast_mut().cast()).expect("an entry holds a waiter")
}
