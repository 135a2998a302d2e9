//! Records which of a runtime's OS threads have ended, including the destructors of their thread-locals.
//!
//! `JoinHandle::is_finished` of std returns true once a thread's function has returned. The destructors of its
//! thread-locals run after that, and a `join` waits for them without a limit. So each thread keeps a [`Ticket`] in a
//! thread-local of its own, which it sets first. Destructors run in the reverse order of the first uses, so that of
//! the ticket runs last. (std does not promise the order. If it changes, a shutdown may report that a thread has ended
//! while its destructors still run.)

use core::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::primitives::now;

/// The OS threads that have been started and have not ended.
#[derive(Default)]
pub(crate) struct Exits {
    alive: Mutex<Alive>,
    changed: Condvar,
}

#[derive(Default)]
struct Alive {
    next: u64,
    names: BTreeMap<u64, String>,
}

/// A thread that has not ended. The starter makes the ticket, and the thread keeps it.
pub(crate) struct Ticket {
    exits: Arc<Exits>,
    number: u64,
}

thread_local! {
    static TICKET: RefCell<Option<Ticket>> = const { RefCell::new(None) };
}

impl Exits {
    fn alive(&self) -> MutexGuard<'_, Alive> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a ticket for a thread that is about to be started under this name.
    pub(crate) fn ticket(self: &Arc<Self>, name: &str) -> Ticket {
        let mut alive = self.alive();
        alive.next += 1;
        let number = alive.next;
        alive.names.insert(number, name.to_owned());
        Ticket { exits: Arc::clone(self), number }
    }

    /// Waits until all threads have ended, or until the deadline. Returns the names of the threads that have not.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Vec<String> {
        let mut alive = self.alive();
        while !alive.names.is_empty() {
            alive = match deadline.map(|deadline| deadline.saturating_duration_since(now())) {
                None => self.changed.wait(alive).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => break,
                Some(left) => {
                    self.changed.wait_timeout(alive, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        alive.names.values().cloned().collect()
    }
}

impl Exits {
    /// Returns whether the calling thread is one of those that have not ended.
    pub(crate) fn include_caller(&self) -> bool {
        let is_here = |ticket: &RefCell<Option<Ticket>>| {
            ticket.borrow().as_ref().is_some_and(|ticket| std::ptr::eq(&raw const *ticket.exits, self))
        };
        TICKET.try_with(is_here).unwrap_or(false)
    }
}

impl Ticket {
    /// Keeps the ticket until the calling thread ends. The thread must call this first.
    pub(crate) fn keep(self) {
        TICKET.set(Some(self));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.exits.alive().names.remove(&self.number);
        self.exits.changed.notify_all();
    }
}
