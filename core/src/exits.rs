//! Which of a runtime's OS threads have ended, the destructors of their thread-locals included.
//!
//! `JoinHandle::is_finished` of std says that a thread's function has returned; the destructors of its thread-locals run
//! after that, and a `join` waits for them without a limit. So each thread keeps a [`Ticket`] in a thread-local of its
//! own, which it sets first. Destructors run in the reverse order of the first uses, so this one comes last. (std does
//! not promise the order. Should it change, a shutdown may say that a thread has ended whose destructors still run.)

use core::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::facade::now;

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

/// One thread that has not ended. Made by its starter, kept by itself.
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

    /// A ticket for a thread that is about to be started under this name.
    pub(crate) fn ticket(self: &Arc<Self>, name: &str) -> Ticket {
        let mut alive = self.alive();
        alive.next += 1;
        let number = alive.next;
        alive.names.insert(number, name.to_owned());
        Ticket { exits: Arc::clone(self), number }
    }

    /// Waits until all threads have ended, or until the deadline. Returns the names of those that have not.
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

impl Ticket {
    /// Keeps the ticket until the calling thread ends. Its first act.
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
