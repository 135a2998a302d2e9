//! A job's corner: the rarely used part of it, for those who wait for its end, and for its own `park`.
//!
//! It is behind a lock, reached through a pointer in the header. What was spawned to be joined, a closure or a future, has
//! it in its own cell; a process, of which there may be a million that nobody joins, gets it when it is first needed.

use core::panic::Location;
use core::ptr::NonNull;
use std::time::Instant;

use crate::facade::{Lock, Ordering};
use crate::job::Job;
use crate::wait::{Kind, Missed, Node, Reason, Wait, WaitQueue};

/// The rarely used part: who joins, and the token of `park`.
#[derive(Default)]
pub(super) struct Corner {
    joiners: WaitQueue,
    parked: WaitQueue,
    token: bool,
}

impl Job {
    /// Says where the corner is. Before anybody else has the job.
    pub(super) fn set_corner(&self, corner: *mut Lock<Corner>) {
        // Relaxed: who gets the job afterwards gets it with all that was done before.
        self.corner.store(corner, Ordering::Relaxed);
    }

    fn corner(&self) -> &Lock<Corner> {
        // Acquire: pairs with the exchange in `make_corner`.
        let corner = self.corner.load(Ordering::Acquire);
        let corner = if corner.is_null() { self.make_corner() } else { corner };
        // SAFETY: it lives as long as the job: in the same cell, or in a box that is freed with it.
        unsafe { &*corner }
    }

    #[cold]
    fn make_corner(&self) -> *mut Lock<Corner> {
        let made = Box::into_raw(Box::new(Lock::new(Corner::default())));
        let null = core::ptr::null_mut();
        // Release: whoever finds it finds it made. Acquire: as in `corner`.
        match self.corner.compare_exchange(null, made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => made,
            Err(other) => {
                // SAFETY: made above, and nobody has seen it.
                drop(unsafe { Box::from_raw(made) });
                other
            }
        }
    }

    /// Frees a corner that was made at need.
    ///
    /// # Safety
    ///
    /// The caller frees the job, whose corner does not stand in its own cell.
    pub(super) unsafe fn free_corner(&self) {
        let corner = self.corner.load(Ordering::Acquire);
        if !corner.is_null() {
            // SAFETY: from `make_corner`, by the contract, and nobody has the job any more.
            drop(unsafe { Box::from_raw(corner) });
        }
    }

    /// Waits until the job has ended, or has been abandoned.
    ///
    /// # Errors
    ///
    /// As `Wait::park`. Nothing is lost: the job can be joined again.
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
            // SAFETY: the node stays here until the wait is over; it is removed below unless it was claimed.
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
        // SAFETY: the node stays here until the wait is over; it is removed below unless it was claimed.
        unsafe { corner.parked.push(place) };
        drop(corner);
        let reason = Reason::at(Kind::Park, self, location);
        wait.park(reason, deadline).map(drop).inspect_err(|_| {
            // SAFETY: the node is in this queue or in none.
            unsafe { self.corner().lock().parked.remove(place) };
        })
    }

    /// Leaves the token that [`park`](Self::park) takes, or wakes who is parked there.
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

    /// Wakes all who wait for the end.
    #[cold]
    pub(super) fn wake_joiners(&self) {
        loop {
            let claimed = self.corner().lock().joiners.claim_next();
            let Some(claimed) = claimed else { return };
            claimed.wake.wake();
        }
    }
}
