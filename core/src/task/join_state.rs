//! The join state of a task (`JoinState`): the rarely used part, for the waiters for its end, and for its own `park`.
//!
//! Threads wait for the end in a queue. A task that polls the handle leaves its waker. There is one handle, and a handle
//! is polled by one task at a time, so there is one waker at most. It is the waker of the last poll.
//!
//! It is behind a lock, and reached through a pointer in the header. A closure or a future that is spawned to be
//! joined has it in its own cell. A process gets it when it is first needed, because there may be a million processes
//! that are never joined.

use core::panic::Location;
use core::task::{Context, Poll, ready};
use std::time::Instant;

use crate::primitives::Ordering;
use crate::task::Task;
use crate::wait::{Kind, OwnedWaker, Reason, WaitError, WaitList, WaitOptions, note_pending, poll_operation};

/// The rarely used part: the joiners, the task itself while it waits in `park`, and their data.
pub(super) type JoinState = WaitList<JoinData, (), 2>;

#[derive(Default)]
pub(super) struct JoinData {
    /// Whether `unpark` was called, and `park` has not returned since.
    token: bool,
    /// The waker of the task that polls the handle.
    awaiter: OwnedWaker,
}

const JOINERS: usize = 0;
const PARKED: usize = 1;

impl Task {
    /// Sets the pointer to the join state. Called before any other thread has the task.
    pub(super) fn set_join_state(&self, join_state: *mut JoinState) {
        // Relaxed: other threads get the task only after this, by an operation that publishes everything before it.
        self.join_state.store(join_state, Ordering::Relaxed);
    }

    fn join_state(&self) -> &JoinState {
        // Acquire: pairs with the exchange in `make_join_state`.
        let join_state = self.join_state.load(Ordering::Acquire);
        let join_state = if join_state.is_null() { self.make_join_state() } else { join_state };
        // SAFETY: the join state lives as long as the task: it is in the same cell, or in a box that is freed with it.
        unsafe { &*join_state }
    }

    #[cold]
    fn make_join_state(&self) -> *mut JoinState {
        let made = Box::into_raw(Box::new(JoinState::default()));
        let null = core::ptr::null_mut();
        // Release: a thread that finds the pointer finds an initialised join state. Acquire: pairs with the exchange of
        // the other thread that made one.
        match self.join_state.compare_exchange(null, made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => made,
            Err(other) => {
                // SAFETY: the box was made above, and no other thread has seen it.
                drop(unsafe { Box::from_raw(made) });
                other
            }
        }
    }

    /// Frees a join state that was made when it was needed.
    ///
    /// # Safety
    ///
    /// The caller frees the task, and the join state is not in the task's own cell.
    pub(crate) unsafe fn free_join_state(&self) {
        let join_state = self.join_state.load(Ordering::Acquire);
        if !join_state.is_null() {
            // SAFETY: the join state is not in the task's cell, so it is a box from `make_join_state`. The caller
            // frees the task, so no other thread uses it.
            drop(unsafe { Box::from_raw(join_state) });
        }
    }

    /// Waits until the task has ended, or has been abandoned.
    ///
    /// # Errors
    ///
    /// As `Wait::park`. Nothing is lost: the task can be joined again.
    pub(crate) fn wait_for_end(&self, reason: Reason, deadline: Option<Instant>) -> Result<(), WaitError> {
        if self.state.is_over() {
            return Ok(());
        }
        // A new joiner waits, unless the task ended or was abandoned just now.
        let look = |_: &mut JoinData| (!self.state.wait_for_end()).then_some(());
        self.join_state().wait(WaitOptions::new(reason).until(deadline).in_queue(JOINERS), look).map(drop)
    }

    /// Waits for the token of [`unpark`](Self::unpark), and takes it.
    ///
    /// # Errors
    ///
    /// As `Wait::park`.
    pub(crate) fn park(
        &self,
        location: &'static Location<'static>,
        deadline: Option<Instant>,
    ) -> Result<(), WaitError> {
        let reason = Reason::at(Kind::Park, self, location);
        let look = |data: &mut JoinData| core::mem::take(&mut data.token).then_some(());
        self.join_state().wait(WaitOptions::new(reason).until(deadline).in_queue(PARKED), look).map(drop)
    }

    /// Wakes the thread that waits in [`park`](Self::park), or leaves the token for its next call.
    pub(crate) fn unpark(&self) {
        self.join_state().update(|data, queues| data.token = queues[PARKED].claim_next().is_none());
    }

    /// Polls for the end of the task, or its abandonment, on behalf of its handle.
    pub(crate) fn poll_end(&self, context: &Context<'_>) -> Poll<()> {
        ready!(poll_operation(context));
        if self.state.is_over() {
            return Poll::Ready(());
        }
        // The waker is cloned before and dropped after the lock is held, because both run user code.
        let mut waker = OwnedWaker::new(context.waker());
        let (is_over, old) = self.join_state().update(|data, _| {
            if self.state.await_end() {
                (false, data.awaiter.replace(waker.take()))
            } else {
                (true, data.awaiter.take())
            }
        });
        drop((old, waker));
        if is_over {
            return Poll::Ready(());
        }
        note_pending(Kind::Join, self);
        Poll::Pending
    }

    /// Takes the waker of the task that polls the handle, if there is one.
    #[cold]
    pub(super) fn take_awaiter(&self) -> OwnedWaker {
        self.join_state().update(|data, _| data.awaiter.take())
    }

    /// Wakes all threads that wait for the end.
    #[cold]
    pub(super) fn wake_joiners(&self) {
        self.join_state().update(|_, queues| _ = queues[JOINERS].claim_all());
    }
}

// A process saves this much: it has only a pointer where other tasks have the join state in their own cell.
const _: () = assert!(size_of::<JoinState>() > size_of::<usize>());
