//! The join state of a task (`JoinState`): the rarely used part, for the waiters for its end, and for its own `park`.
//!
//! It is behind a lock, and reached through a pointer in the header. A closure or a future that is spawned to be
//! joined has it in its own cell. A process gets it when it is first needed, because there may be a million processes
//! that are never joined.

use core::panic::Location;
use core::ptr::NonNull;
use std::time::Instant;

use crate::primitives::{Lock, Ordering};
use crate::task::Task;
use crate::wait::{Kind, Node, Reason, Wait, WaitError, WaitQueue};

/// The rarely used part: the queue of the joiners, and the token of `park`.
#[derive(Default)]
pub(super) struct JoinState {
    joiners: WaitQueue,
    parked: WaitQueue,
    token: bool,
}

impl Task {
    /// Sets the pointer to the join state. Called before any other thread has the task.
    pub(super) fn set_join_state(&self, join_state: *mut Lock<JoinState>) {
        // Relaxed: other threads get the task only after this, by an operation that publishes everything before it.
        self.join_state.store(join_state, Ordering::Relaxed);
    }

    fn join_state(&self) -> &Lock<JoinState> {
        // Acquire: pairs with the exchange in `make_join_state`.
        let join_state = self.join_state.load(Ordering::Acquire);
        let join_state = if join_state.is_null() { self.make_join_state() } else { join_state };
        // SAFETY: the join state lives as long as the task: it is in the same cell, or in a box that is freed with it.
        unsafe { &*join_state }
    }

    #[cold]
    fn make_join_state(&self) -> *mut Lock<JoinState> {
        let made = Box::into_raw(Box::new(Lock::new(JoinState::default())));
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
            // SAFETY: the join state is not in the task's cell, so it is a box from `make_join_state`. The caller frees the
            // task, so no other thread uses it.
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
        let wait = Wait::new();
        let node = Node::new(wait.waiter(), 0, core::ptr::null_mut());
        let place = NonNull::from(&node);
        {
            let mut join_state = self.join_state().lock();
            if !self.state.wait_for_end() {
                return Ok(());
            }
            // SAFETY: the node stays in this frame until the wait is over. It is removed below unless it was claimed.
            unsafe { join_state.joiners.push(place) };
        }
        wait.park(reason, deadline).map(drop).inspect_err(|_| {
            // SAFETY: the node is in this queue or in none.
            unsafe { self.join_state().lock().joiners.remove(place) };
        })
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
        if core::mem::take(&mut self.join_state().lock().token) {
            return Ok(());
        }
        let wait = Wait::new();
        let node = Node::new(wait.waiter(), 0, core::ptr::null_mut());
        let place = NonNull::from(&node);
        let mut join_state = self.join_state().lock();
        if core::mem::take(&mut join_state.token) {
            drop(join_state);
            return Ok(());
        }
        // SAFETY: the node stays in this frame until the wait is over. It is removed below unless it was claimed.
        unsafe { join_state.parked.push(place) };
        drop(join_state);
        let reason = Reason::at(Kind::Park, self, location);
        wait.park(reason, deadline).map(drop).inspect_err(|_| {
            // SAFETY: the node is in this queue or in none.
            unsafe { self.join_state().lock().parked.remove(place) };
        })
    }

    /// Wakes the thread that waits in [`park`](Self::park), or leaves the token for its next call.
    pub(crate) fn unpark(&self) {
        let claimed = {
            let mut join_state = self.join_state().lock();
            let claimed = join_state.parked.claim_next();
            join_state.token = claimed.is_none();
            claimed
        };
        if let Some(claimed) = claimed {
            claimed.wake.wake();
        }
    }

    /// Wakes all waiters for the end.
    #[cold]
    pub(super) fn wake_joiners(&self) {
        loop {
            let claimed = self.join_state().lock().joiners.claim_next();
            let Some(claimed) = claimed else { return };
            claimed.wake.wake();
        }
    }
}

// A process saves this much: it has only a pointer where other tasks have the join state in their own cell.
const _: () = assert!(size_of::<Lock<JoinState>>() > size_of::<usize>());
