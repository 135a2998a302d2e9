//! Sleeping in async code.
//!
//! A future that sleeps has one of two timers:
//!
//! | polled by | timer |
//! |---|---|
//! | a task of kahn, with the task's own waker | an entry in the wheel of the worker that polls, as a green thread has one |
//! | any other executor, and `block_on` | the OS thread of `wait::timer_thread` |
//!
//! Only the wakers of kahn's tasks come into a wheel, because a worker calls them between two turns, where no user code
//! may run.
//!
//! The entry takes part in the waiting protocol: the wheel's lock is the lock of the queue that the future's waiter is in.
//!
//! 1. `set_in` is the record in whose wheel the entry was linked last. Records of workers are never freed.
//! 2. The entry is linked and unlinked only under the lock of the wheel of `set_in`. A record whose runtime has ended
//!    unlinks every entry of its wheel before the next runtime gets the record (`Remote::give_back`). So an entry that is
//!    linked is in the wheel that the record has now.
//! 3. The worker that pops the entry claims the waiter under the same lock. The future that finds the claim is ready.

use core::cell::{Cell, OnceCell};
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::ptr::{self, NonNull};
use core::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use crate::primitives::now;
use crate::scheduler::{self, remote::Remote};
use crate::task::Task;
use crate::timer::{self, wheel::Entry};
use crate::wait::{Kind, OwnedWaker, TaskTimer, TaskWaiter, note_pending, poll_operation};

/// Waits in async code for at least `duration` from now. Waits forever if the clock cannot express the deadline. A future
/// whose deadline has passed is ready at its first poll.
///
/// # Parks
///
/// Never parks the thread. The task waits.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let sleeps = kahn::task::spawn(kahn::time::sleep_async(Duration::from_millis(5)));
/// sleeps.join().unwrap();
/// assert!(start.elapsed() >= Duration::from_millis(5));
/// ```
pub fn sleep_async(duration: Duration) -> SleepFuture {
    SleepFuture::new(now().checked_add(duration))
}

/// Waits in async code until `deadline`, as [`sleep_async`] does.
///
/// # Parks
///
/// Never parks the thread. The task waits.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let deadline = Instant::now() + Duration::from_millis(2);
/// kahn::block_on(kahn::time::sleep_until_async(deadline));
/// assert!(Instant::now() >= deadline);
/// ```
pub fn sleep_until_async(deadline: Instant) -> SleepFuture {
    SleepFuture::new(Some(deadline))
}

/// The future of [`sleep_async`] and [`sleep_until_async`]. It can be dropped at any time, and keeps the waker of its last
/// poll until then.
///
/// # Examples
///
/// See [`sleep_async`].
#[must_use = "futures do nothing unless polled"]
pub struct SleepFuture {
    /// `None` if the clock cannot express it.
    deadline: Option<Instant>,
    waiter: TaskWaiter,
    /// Made when the future first enters a wheel. It is pinned then, so the address of the waiter is final.
    entry: OnceCell<Entry>,
    /// Rule 1 above. Null if the entry was never linked, or the wait in the wheel is over.
    set_in: Cell<*const Remote>,
    /// Made when the future is first polled by another executor. It holds at most one deadline, and none while the
    /// future has an entry in a wheel.
    task_timer: OnceCell<Box<TaskTimer>>,
}

// SAFETY: workers touch only the waiter and the entry, and only under the lock of the wheel that the entry is in. The
// other fields are touched only by the owner, through a pinned mutable reference or in `drop`.
unsafe impl Send for SleepFuture {}
// SAFETY: a shared reference gives access to the deadline alone, which is immutable.
unsafe impl Sync for SleepFuture {}

impl SleepFuture {
    pub(super) fn new(deadline: Option<Instant>) -> SleepFuture {
        SleepFuture {
            deadline,
            waiter: TaskWaiter::new(),
            entry: OnceCell::new(),
            set_in: Cell::new(ptr::null()),
            task_timer: OnceCell::new(),
        }
    }

    /// Polls without noting what the task waits for.
    pub(super) fn poll_quietly(self: Pin<&mut Self>, context: &Context<'_>) -> Poll<()> {
        ready!(poll_operation(context));
        let this = self.into_ref().get_ref();
        let Some(deadline) = this.deadline else { return Poll::Pending };
        let home = wheel_for(context.waker());
        // SAFETY: records of workers are never freed.
        if let Some(set_in) = unsafe { this.set_in.get().as_ref() }
            && let Some(polled) = this.poll_wheel(set_in, context.waker())
        {
            return polled;
        }
        if deadline <= now() {
            this.unset_task_timer();
            return Poll::Ready(());
        }
        match home {
            Some(home) => {
                this.unset_task_timer();
                // SAFETY: the future is pinned, and its entry is in no wheel: it was never in one, or `poll_wheel` has
                // unlinked it.
                unsafe { this.enter_wheel(home, deadline, context.waker()) };
            }
            None => {
                this.task_timer.get_or_init(|| Box::new(TaskTimer::new())).set(deadline, context.waker());
            }
        }
        Poll::Pending
    }

    /// Polls a future that has an entry in the wheel of `set_in`. Returns `None` if it has to set its timer again, with
    /// the entry unlinked: another task polls it, or the runtime of the wheel has ended.
    fn poll_wheel(&self, set_in: &Remote, waker: &Waker) -> Option<Poll<()>> {
        let waiter = TaskWaiter::waiter(NonNull::from(&self.waiter));
        let mut wheel = set_in.wheel.lock();
        // SAFETY: the waiter lives as long as `self`.
        if unsafe { waiter.as_ref() }.outcome().is_some() {
            drop(wheel);
            self.close();
            return Some(Poll::Ready(()));
        }
        let entry = self.entry.get().expect("made when it was linked");
        // SAFETY: the lock of the wheel that the entry is in is held.
        if entry.is_linked() && unsafe { self.waiter.will_wake(waker) } {
            return Some(Poll::Pending);
        }
        if let Some(wheel) = wheel.as_mut()
            && entry.is_linked()
        {
            // SAFETY: the entry is linked, and so in this wheel (rule 2).
            unsafe { wheel.remove(NonNull::from(entry)) };
        }
        // SAFETY: the lock of the wheel that the entry was in is held.
        let old = unsafe { self.waiter.set_waker(OwnedWaker::none()) };
        drop(wheel);
        drop(old);
        self.close();
        None
    }

    /// Closes the wait in the wheel. The entry is unlinked.
    fn close(&self) {
        // SAFETY: the waiter lives as long as `self`.
        unsafe { TaskWaiter::waiter(NonNull::from(&self.waiter)).as_ref() }.finish();
        self.set_in.set(ptr::null());
    }

    /// Links the entry in the wheel of `home`, the worker that the caller runs on.
    ///
    /// # Safety
    ///
    /// The future is pinned, and its entry is in no wheel.
    unsafe fn enter_wheel(&self, home: &'static Remote, deadline: Instant, waker: &Waker) {
        let waiter = TaskWaiter::waiter(NonNull::from(&self.waiter));
        let entry = self.entry.get_or_init(|| Entry::new(waiter.as_ptr().cast_const().cast()));
        let waker = OwnedWaker::new(waker);
        // SAFETY: the waiter lives as long as `self`.
        unsafe { waiter.as_ref() }.prepare(false);
        let mut wheel = home.wheel.lock();
        let wheel = wheel.as_mut().expect("the wheel of a worker that runs a task");
        // SAFETY: the wheel's lock is held. The waiter had no waker before, so none is dropped here. The entry is in no
        // wheel, and the future is pinned, so it stays at its address until `poll_wheel` or `drop` unlinks it, or until
        // the record's runtime has ended and unlinked it.
        // A worker looks at its wheel before it sleeps, so it needs no wake-up.
        let _ = unsafe {
            drop(self.waiter.set_waker(waker));
            wheel.insert(NonNull::from(entry), timer::to_ns(deadline))
        };
        self.set_in.set(home);
    }

    fn unset_task_timer(&self) {
        if let Some(task_timer) = self.task_timer.get() {
            task_timer.unset();
        }
    }
}

/// Returns the record of the worker that the caller runs on, if the caller is a task of kahn, and the waker is its own.
fn wheel_for(waker: &Waker) -> Option<&'static Remote> {
    let task = scheduler::running_task()?;
    if Task::is_waker_of(task, waker) { scheduler::remote_here() } else { None }
}

impl Future for SleepFuture {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let slept = self.poll_quietly(context);
        if slept.is_pending() {
            note_pending(Kind::Sleep, ptr::null::<()>());
        }
        slept
    }
}

impl Drop for SleepFuture {
    fn drop(&mut self) {
        // SAFETY: records of workers are never freed.
        let Some(set_in) = (unsafe { self.set_in.get().as_ref() }) else { return };
        let mut wheel = set_in.wheel.lock();
        if let Some(wheel) = wheel.as_mut()
            && let Some(entry) = self.entry.get()
            && entry.is_linked()
        {
            // SAFETY: the entry is linked, and so in this wheel (rule 2), whose lock is held.
            unsafe { wheel.remove(NonNull::from(entry)) };
        }
        // The waker, if there is one, is dropped after unlocking, with the waiter.
        drop(wheel);
    }
}

impl fmt::Debug for SleepFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SleepFuture").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
