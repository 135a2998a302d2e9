//! The join state of a task (`Corner`): the rarely used part, for the waiters for its end, and for its own `park`.
//!
//! It is behind a lock, and reached through a pointer in the header. A closure or a future that is spawned to be
//! joined has it in its own cell. A process gets it when it is first needed, because there may be a million processes
//! that are never joined.

use core::panic::Location;
use core::ptr::NonNull;
use std::time::Instant;

use crate::facade::{Lock, Ordering};
use crate::job::Job;
use crate::wait::{Kind, Missed, Node, Reason, Wait, WaitQueue};

/// The rarely used part: the queue of the joiners, and the token of `park`.
#[derive(Default)]
pub(super) struct Corner {
    joiners: WaitQueue,
    parked: WaitQueue,
    token: bool,
}

impl Job {
    /// Sets the pointer to the corner. Called before any other thread has the task.
    pub(super) fn set_corner(&self, corner: *mut Lock<Corner>) {
        // Relaxed: other threads get the task only after this, by an operation that publishes everything before it.
        self.corner.store(corner, Ordering::Relaxed);
    }

    fn corner(&self) -> &Lock<Corner> {
        // Acquire: pairs with the exchange in `make_corner`.
        let corner = self.corner.load(Ordering::Acquire);
        let corner = if corner.is_null() { self.make_corner() } else { corner };
        // SAFETY: the corner lives as long as the task: it is in the same cell, or in a box that is freed with it.
        unsafe { &*corner }
    }

    #[cold]
    fn make_corner(&self) -> *mut Lock<Corner> {
        let made = Box::into_raw(Box::new(Lock::new(Corner::default())));
        let null = core::ptr::null_mut();
        // Release: a thread that finds the pointer finds an initialised corner. Acquire: pairs with the exchange of
        // the other thread that made one.
        match self.corner.compare_exchange(null, made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => made,
            Err(other) => {
                // SAFETY: the box was made above, and no other thread has seen it.
                drop(unsafe { Box::from_raw(made) });
                other
            }
        }
    }

    /// Frees a corner that was made when it was needed.
    ///
    /// # Safety
    ///
    /// The caller frees the task, and the corner is not in the task's own cell.
    pub(super) unsafe fn free_corner(&self) {
        let corner = self.corner.load(Ordering::Acquire);
        if !corner.is_null() {
            // SAFETY: the corner is not in the task's cell, so it is a box from `make_corner`. The caller frees the
            // task, so no other thread uses it.
            drop(unsafe { Box::from_raw(corner) });
        }
    }

    /// Waits until the task has ended, or has been abandoned.
    ///
    /// # Errors
    ///
    /// As `Wait::park`. Nothing is lost: the task can be joined again.
    pub(crate) fn wait_for_end(&self, reason: Reason, deadline: Option<Instant>) -> Result<(), Missed> {
        if self.state.is_over() {
            return Ok(());
        }
        let wait = Wait::new();
        let node = Node::new(wait.party(), 0, core::ptr::null_mut());
        let place = NonNull::from(&node);
        {
            let mut corner = self.corner().lock();
            if !self.state.wait_for_end() {
                return Ok(());
            }
            // SAFETY: the node stays in this frame until the wait is over. It is removed below unless it was claimed.
            unsafe { corner.joiners.push(place) };
        }
        wait.park(reason, deadline).map(drop).inspect_err(|_| {
            // SAFETY: the node is in this queue or in none.
            unsafe { self.corner().lock().joiners.remove(place) };
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
    ) -> Result<(), Missed> {
        if core::mem::take(&mut self.corner().lock().token) {
            return Ok(());
        }
        let wait = Wait::new();
        let node = Node::new(wait.party(), 0, core::ptr::null_mut());
        let place = NonNull::from(&node);
        let mut corner = self.corner().lock();
        if core::mem::take(&mut corner.token) {
            drop(corner);
            return Ok(());
        }
        // SAFETY: the node stays in this frame until the wait is over. It is removed below unless it was claimed.
        unsafe { corner.parked.push(place) };
        drop(corner);
        let reason = Reason::at(Kind::Park, self, location);
        wait.park(reason, deadline).map(drop).inspect_err(|_| {
            // SAFETY: the node is in this queue or in none.
            unsafe { self.corner().lock().parked.remove(place) };
        })
    }

    /// Wakes the thread that waits in [`park`](Self::park), or leaves the token for its next call.
    pub(crate) fn unpark(&self) {
        let claimed = {
            let mut corner = self.corner().lock();
            let claimed = corner.parked.claim_next();
            corner.token = claimed.is_none();
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
            let claimed = self.corner().lock().joiners.claim_next();
            let Some(claimed) = claimed else { return };
            claimed.wake.wake();
        }
    }
}
