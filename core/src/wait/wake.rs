//! The wake-up that a claimer owes to the waiter that it has claimed.
//!
//! The claimer claims while it holds a lock, and wakes after unlocking. In between it holds a [`Wake`], which keeps
//! alive what the wake-up needs. For a thread this is the waiter itself. For a task it is the task's waker, which is
//! taken while the lock is still held.

use core::ptr::NonNull;
use core::task::Waker;

use crate::wait::current;
use crate::wait::task::TaskWaiter;
use crate::wait::waiter::{Waiter, WaiterVtable};
use crate::wait::withdrawal::{Ended, Withdrawal};

/// The wake-up of a waiter that the holder has claimed. It wakes the waiter when it is dropped. Drop it after
/// unlocking.
#[must_use = "wakes when dropped: hold it until the lock is released"]
#[derive(Debug)]
pub struct Wake {
    /// A green thread or an OS thread; null for a task.
    waiter: *const Waiter,
    /// A task's waker; `None` for a thread, and for a task that has no waker any more.
    task: Option<Waker>,
}

// SAFETY: any thread may wake a claimed waiter. The waiter stays alive until then: by rule 2 of `waiter`, or because
// `retain` was called.
unsafe impl Send for Wake {}

impl Wake {
    /// Returns the wake-up of a waiter that the caller has just claimed.
    ///
    /// # Safety
    ///
    /// The caller has won the claim and has not woken the waiter yet. If the waiter is a task's, the caller holds the
    /// lock that guards its waker.
    #[inline]
    pub unsafe fn owed(waiter: NonNull<Waiter>) -> Wake {
        // SAFETY: a claimed thread lives until it is woken. A claimed task lives as long as its lock is held.
        let kind = unsafe { waiter.as_ref() }.kind();
        if kind.is_plain() {
            return Wake { waiter: waiter.as_ptr(), task: None };
        }
        // SAFETY: the caller of `owed` has won the claim and, for a task, holds the lock. `owed_to_others` asks for
        // the same.
        unsafe { Wake::owed_to_others(waiter, kind) }
    }

    /// Handles waiters whose claim needs more than a later `wake`.
    ///
    /// # Safety
    ///
    /// The same rules hold as for [`owed`](Self::owed).
    #[cold]
    unsafe fn owed_to_others(waiter: NonNull<Waiter>, kind: &WaiterVtable) -> Wake {
        if kind.is_task {
            // SAFETY: `is_task` is set only for the first field of a `TaskWaiter`, and the caller holds its lock.
            return Wake { waiter: core::ptr::null(), task: unsafe { TaskWaiter::take_waker(waiter) } };
        }
        if let Some(retain) = kind.retain {
            // SAFETY: the waiter is alive. `wake`, which releases this reference, is called exactly once.
            unsafe { retain(waiter) };
        }
        Wake { waiter: waiter.as_ptr(), task: None }
    }

    /// Wakes a thread, as a `Wake` of it does.
    ///
    /// # Safety
    ///
    /// The caller has won the claim and has not woken the waiter yet. The waiter is a thread's.
    #[inline]
    pub(super) unsafe fn wake_thread(waiter: NonNull<Waiter>) {
        // SAFETY: a claimed thread lives until it is woken, and is woken here, once. `retain` keeps its waiter until
        // `wake` returns.
        unsafe {
            let kind = waiter.as_ref().kind();
            if let Some(retain) = kind.retain {
                retain(waiter);
            }
            (kind.wake)(waiter);
        }
    }

    /// Returns whether the waiter is a task's, and not a thread's.
    #[inline(always)]
    pub fn is_for_task(&self) -> bool {
        self.waiter.is_null()
    }

    /// Wakes the waiter.
    #[inline(always)]
    pub fn wake(self) {
        drop(self);
    }

    /// Like [`wake`](Self::wake), but a green thread goes behind those that can run on its worker now. For a waker that
    /// goes on serving others, and that the woken thread would keep from it.
    #[inline]
    pub fn wake_last(mut self) {
        if let Some(waiter) = NonNull::new(self.waiter.cast_mut())
            // SAFETY: `owed` requires that the waiter is claimed and not yet woken. So it is alive.
            && let Some(wake_last) = unsafe { waiter.as_ref() }.kind().wake_last
        {
            // Without a waiter, the drop wakes no thread.
            self.waiter = core::ptr::null();
            // SAFETY: the waiter is claimed, and is woken here only.
            unsafe { wake_last(waiter) };
        }
    }
}

impl Drop for Wake {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(waiter) = NonNull::new(self.waiter.cast_mut()) {
            // SAFETY: `owed` requires that the waiter is claimed and not yet woken, and a drop happens once.
            unsafe { (waiter.as_ref().kind().wake)(waiter) };
        } else if let Some(task) = self.task.take() {
            wake_task(task);
        }
    }
}

#[cold]
#[inline(never)]
pub(super) fn wake_task(task: Waker) {
    // If this thread had an open wait, a waker that waits would open a second wait of the same waiter, and close the
    // first.
    debug_assert!(!current::has_open_wait(), "a waker is called by a thread whose own wait is open");
    current::call_waker(task);
}

/// The wake-up of a waiter whose wait was ended by a cancel or a timer. If the wait has a `Withdrawal`, the waiter
/// is removed from its queue first.
#[must_use = "wakes when dropped: hold it until the lock is released"]
#[derive(Debug)]
pub struct EndedWake {
    withdrawal: Option<NonNull<Withdrawal>>,
    wake: Option<Wake>,
}

// SAFETY: a `Wake` may be sent. The withdrawal is applied only by the holder of this value, which has claimed the
// waiter.
unsafe impl Send for EndedWake {}

impl Drop for EndedWake {
    fn drop(&mut self) {
        if let Some(withdrawal) = self.withdrawal {
            // SAFETY: the withdrawal is on the stack of the waiter, which is claimed and not yet woken. So the
            // withdrawal is alive, and so is the resource, which that stack borrows. A thread that drops a wake-up
            // holds no lock.
            unsafe { withdrawal.as_ref().apply() };
        }
        drop(self.wake.take());
    }
}

impl EndedWake {
    /// Creates the wake-up of a wait that a cancel or a timer has ended.
    ///
    /// # Safety
    ///
    /// The caller has just claimed `waiter`, and the claim returned `ended`.
    unsafe fn owed(waiter: NonNull<Waiter>, ended: &Ended<'_>) -> EndedWake {
        // SAFETY: the caller has just claimed the waiter. Cancellers never claim a `TaskWaiter`. A timer claims that of
        // a `SleepFuture`, and holds the lock of the wheel, which is the queue that the waiter is in.
        let wake = unsafe { Wake::owed(waiter) };
        EndedWake { withdrawal: ended.withdrawal.map(NonNull::from), wake: Some(wake) }
    }
}

impl Waiter {
    /// Requests that the waiter unwind from its current or its next unshielded wait. Returns the wake-up that is owed
    /// if it waits now.
    ///
    /// # Safety
    ///
    /// `waiter` lives until the returned value has been dropped.
    pub unsafe fn cancel(waiter: NonNull<Waiter>) -> Option<EndedWake> {
        // SAFETY: the caller keeps the waiter alive.
        let ended = unsafe { waiter.as_ref() }.claim_cancelled()?;
        // SAFETY: this call has just claimed the waiter.
        Some(unsafe { EndedWake::owed(waiter, &ended) })
    }

    /// Ends the waiter's wait because its deadline has passed. Returns the wake-up that is owed if no other waker was
    /// faster.
    ///
    /// # Safety
    ///
    /// `waiter` lives until the returned value has been dropped. If it is a `TaskWaiter`, it need only live during the
    /// call, and the caller holds the lock of the queue that it is in.
    pub unsafe fn time_out(waiter: NonNull<Waiter>) -> Option<EndedWake> {
        // SAFETY: the caller keeps the waiter alive.
        let ended = unsafe { waiter.as_ref() }.claim_timed_out()?;
        // SAFETY: this call has just claimed the waiter.
        Some(unsafe { EndedWake::owed(waiter, &ended) })
    }
}
