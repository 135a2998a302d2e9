//! The reactor: how threads wait for descriptors.
//!
//! Each worker has a reactor. There is no thread that only polls: an idle worker sleeps in its poller, and a busy
//! worker polls when it looks around.
//!
//! | file | holds |
//! |---|---|
//! | `poller` | the interface of the operating system: `epoll` on Linux, the crate `polling` elsewhere |
//! | `sleep` | how a worker sleeps, on its parker or in its poller, and is woken |
//! | `registration` | a descriptor: where it is registered, and its waiters |
//! | `direction` | the threads and tasks that wait for one direction of a descriptor |
//!
//! # How a wait goes
//!
//! ```text
//!   waiting thread (`Direction::run`)              worker that owns the reactor
//!   1. take the turn of this direction
//!   2. try the system call; done unless WouldBlock
//!   3. register, unless that has been done
//!   4. lock; has an event come since 1? Go to 2.   a. poll: the descriptor's state has changed
//!   5. enter the queue, unlock, park               b. find the registration by its key
//!   6. woken: go to 2                              c. lock; claim the waiter, or record the event; unlock; wake
//! ```
//!
//! A descriptor is registered once, with the reactor of the worker on which it is first waited for, and stays
//! registered until it is dropped or the runtime ends. Registrations are edge-triggered: each change of the
//! descriptor's state is one event. No event is lost. Step 1 forgets only events that came before step 2, whose system
//! call sees what they announced. Every later event is recorded in step c under the lock that step 4 takes. A new
//! registration reports the current state as its first event.
//!
//! An event carries a key: the place of the registration in a table, and a generation. A descriptor that has been
//! dropped is no longer in the table. If its place has been taken since, the generation differs. So a late event finds
//! nothing, also if the operating system has given the number of the descriptor to another one.
//!
//! # When a poller cannot be made
//!
//! A poller takes two descriptors, and a worker makes its own for the first descriptor that is waited for there. If there
//! are too many open files at that moment, the descriptor is registered with another worker of the runtime, which has
//! a poller. If no worker has one, the wait fails with [`NoPoller`].
//!
//! # When a worker sleeps in its poller
//!
//! Only if a thread or a task waits for a descriptor that is registered here. Otherwise it sleeps on its parker, where
//! a wake-up is cheaper, and where the deadlock detector sees that no event from outside can wake it.
//! [`Counted`] counts the waiters. The thread that raises the count from zero wakes the worker, which may
//! be asleep on its parker; then it looks at the count again.

mod direction;
mod poller;
mod registration;
mod sleep;
#[cfg(test)]
mod tests;

use core::fmt;
use std::error::Error;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use slab::Slab;

pub(crate) use self::direction::{Direction, PollId, Readiness, Wanted, closed};
pub(crate) use self::poller::Events;
use self::poller::{Event, Poller};
pub(crate) use self::registration::Registration;
use self::sleep::Sleeper;
use crate::primitives::{AtomicUsize, Ordering, Parker};

/// The reactor of one worker.
pub(crate) struct Reactor {
    sleeper: Sleeper,
    /// Made for the first descriptor, and kept as long as the worker's record.
    poller: OnceLock<Poller>,
    table: Mutex<Table>,
    /// The number of threads and tasks that wait for a descriptor that is registered here.
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Table {
    entries: Slab<Entry>,
    /// The generation of the newest entry.
    generation: u32,
    /// Set while no worker polls here.
    closed: bool,
}

struct Entry {
    generation: u32,
    registration: Arc<Registration>,
}

/// Why a descriptor was not registered.
enum RegisterError {
    /// No worker polls here any more.
    Closed,
    /// The worker has no poller, and none can be made.
    NoPoller(io::Error),
    /// The descriptor cannot be waited for, or its number exceeds a limit.
    Refused(io::Error),
}

/// The error of a wait for which no worker has a poller, and none can be made. Its source is the error of the operating
/// system.
#[derive(Debug)]
struct NoPoller(io::Error);

impl fmt::Display for NoPoller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: the first wait for a descriptor on a worker takes two descriptors more; raise the limit on open files, \
             or wait for a descriptor while there are few",
            self.0
        )
    }
}

impl Error for NoPoller {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

impl From<NoPoller> for io::Error {
    fn from(error: NoPoller) -> io::Error {
        io::Error::new(error.0.kind(), error)
    }
}

/// Counts a thread or a task as waiting for a descriptor that is registered with a reactor.
pub(crate) struct Counted(&'static Reactor);

impl Counted {
    /// `is_here` is set if the caller runs on the worker that polls there, and which so is awake.
    pub(crate) fn new(reactor: &'static Reactor, is_here: bool) -> Counted {
        reactor.add_waiting(is_here);
        Counted(reactor)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.remove_waiting();
    }
}

/// Identifies a registration. The upper half of its bits are the generation, the lower half the place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(usize);

impl Key {
    const HALF: u32 = usize::BITS / 2;
    const PLACES: usize = (1 << Key::HALF) - 1;

    fn new(place: usize, generation: u32) -> Key {
        Key(((generation as usize) << Key::HALF) | place)
    }

    fn place(self) -> usize {
        self.0 & Key::PLACES
    }

    fn is_of(self, entry: &Entry) -> bool {
        self == Key::new(self.place(), entry.generation)
    }
}

impl Reactor {
    pub(crate) fn new() -> Reactor {
        Reactor {
            sleeper: Sleeper::new(Parker::new()),
            poller: OnceLock::new(),
            table: Mutex::default(),
            waiting: AtomicUsize::new(0),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the worker if it sleeps, or lets its next sleep end at once.
    pub(crate) fn unpark(&self) {
        self.sleeper.unpark(|| self.interrupt());
    }

    fn interrupt(&self) {
        if let Some(poller) = self.poller.get() {
            poller.interrupt();
        }
    }

    /// Sleeps without polling, until the deadline at most. Called by the worker alone. May return early.
    pub(crate) fn park(&self, deadline: Option<Instant>) {
        self.sleeper.park(deadline);
    }

    /// Sleeps until there is an event, until the deadline, or until another thread wakes the worker. Called by the
    /// worker alone. May return early. The caller then [dispatches](Self::dispatch) the events.
    pub(crate) fn sleep(&self, deadline: Option<Instant>, events: &mut Events) {
        match self.poller.get() {
            // A waiter that is not seen here wakes the worker once it has been counted.
            Some(poller) if self.has_waiting() => self.sleeper.poll(|may_wait| {
                poller
                    .wait(events, if may_wait { poller::Limit::from(deadline) } else { poller::Limit::Now });
            }),
            _ => self.park(deadline),
        }
    }

    /// Takes the events that are there. Called by the worker alone. The caller then
    /// [dispatches](Self::dispatch) the events.
    #[cold]
    pub(crate) fn poll(&self, events: &mut Events) {
        if let Some(poller) = self.poller.get() {
            poller.wait(events, poller::Limit::Now);
        }
    }

    /// Wakes the threads and tasks that wait for the events. Returns whether the list of events was full, so that more
    /// events may be there.
    pub(crate) fn dispatch(&self, events: &mut Events) -> bool {
        let was_full = events.is_full();
        for event in events.drain() {
            if let Some(registration) = self.find(&event) {
                registration.notify(&event);
            }
        }
        was_full
    }

    fn find(&self, event: &Event) -> Option<Arc<Registration>> {
        let key = Key(event.key);
        let table = self.table();
        let entry = table.entries.get(key.place()).filter(|entry| key.is_of(entry))?;
        Some(Arc::clone(&entry.registration))
    }

    /// Returns whether a thread or a task waits for a descriptor here.
    #[inline]
    pub(crate) fn has_waiting(&self) -> bool {
        // Acquire: pairs with the Release in `add_waiting`. It is not needed to see the first waiter, which is followed
        // by a wake-up.
        self.waiting.load(Ordering::Acquire) != 0
    }

    /// Counts a waiter, and wakes the worker at the first one. See [`Counted`].
    fn add_waiting(&self, is_here: bool) {
        // Release: the worker that is woken by this sees the new count.
        if self.waiting.fetch_add(1, Ordering::AcqRel) == 0 && !is_here {
            self.unpark();
        }
    }

    fn remove_waiting(&self) {
        // Release: the waiter has left its queue before an examiner of the runtime sees the lower count.
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }

    /// Registers a descriptor.
    fn register(&self, registration: &Arc<Registration>, fd: BorrowedFd<'_>) -> Result<Key, RegisterError> {
        let poller = match self.poller.get() {
            Some(poller) => poller,
            None => {
                // Two threads may both get here. Then one of the two pollers is dropped.
                let poller = Poller::new().map_err(RegisterError::NoPoller)?;
                self.poller.get_or_init(|| poller)
            }
        };
        let mut table = self.table();
        if table.closed {
            return Err(RegisterError::Closed);
        }
        table.generation = table.generation.wrapping_add(1);
        let generation = table.generation;
        if table.entries.vacant_key() >= Key::PLACES - 1 {
            let error = io::Error::other("too many descriptors are registered with one worker");
            return Err(RegisterError::Refused(error));
        }
        let entry = Entry { generation, registration: Arc::clone(registration) };
        let key = Key::new(table.entries.insert(entry), generation);
        // The lock is held, so that an event that comes at once finds the entry.
        poller.add(fd, key.0).map_err(|error| {
            table.entries.remove(key.place());
            RegisterError::Refused(error)
        })?;
        Ok(key)
    }

    /// Returns whether descriptors can be registered without a new poller.
    fn has_poller(&self) -> bool {
        self.poller.get().is_some()
    }

    /// Removes a registration.
    fn deregister(&self, key: Key, fd: BorrowedFd<'_>) {
        let mut table = self.table();
        if let Some(poller) = self.poller.get() {
            poller.delete(fd);
        }
        if table.entries.get(key.place()).is_some_and(|entry| key.is_of(entry)) {
            let entry = table.entries.remove(key.place());
            drop(table);
            drop(entry);
        }
    }

    /// Takes the reactor into use, or into use again.
    pub(crate) fn open(&self) {
        self.table().closed = false;
    }

    /// Removes all registrations, because no worker polls here from now on. Those that wait for them wake, and register
    /// elsewhere.
    pub(crate) fn close(&self) {
        let entries = {
            let mut table = self.table();
            table.closed = true;
            std::mem::take(&mut table.entries)
        };
        for (place, entry) in entries {
            entry.registration.forget(self, Key::new(place, entry.generation));
        }
    }
}
