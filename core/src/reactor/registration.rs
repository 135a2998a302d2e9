//! A descriptor: where it is registered, and its waiters.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::direction::Direction;
use super::poller::Event;
use super::{Key, Reactor};

/// What the reactor knows of a descriptor.
#[derive(Default)]
pub(crate) struct Registration {
    home: Mutex<Option<Place>>,
    pub(crate) read: Direction,
    pub(crate) write: Direction,
}

/// Where a descriptor is registered.
#[derive(Clone, Copy)]
struct Place {
    reactor: &'static Reactor,
    key: Key,
}

impl Registration {
    fn home(&self) -> MutexGuard<'_, Option<Place>> {
        self.home.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers the descriptor, unless that has been done. Returns the reactor with which it is registered. `choose`
    /// selects the reactor for a new registration.
    ///
    /// # Errors
    ///
    /// Returns the errors of the operating system.
    pub(crate) fn ensure(
        self: &Arc<Self>,
        fd: BorrowedFd<'_>,
        mut choose: impl FnMut() -> &'static Reactor,
    ) -> io::Result<&'static Reactor> {
        let mut home = self.home();
        if let Some(home) = *home {
            return Ok(home.reactor);
        }
        loop {
            let reactor = choose();
            match reactor.register(self, fd) {
                Ok(key) => {
                    *home = Some(Place { reactor, key });
                    return Ok(reactor);
                }
                // The worker has just ended.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes the registration, before the descriptor is closed. No thread waits for the descriptor any more. A task
    /// that has polled and was dropped may have left its waker.
    pub(crate) fn deregister(&self, fd: BorrowedFd<'_>) {
        self.read.forget_all();
        self.write.forget_all();
        // The lock is held, so that the descriptor is not registered anew in the meantime.
        let mut home = self.home();
        if let Some(Place { reactor, key }) = home.take() {
            reactor.deregister(key, fd);
        }
    }

    /// Forgets the registration with a reactor that polls no more. The waiters wake, and register elsewhere.
    pub(super) fn forget(&self, reactor: &Reactor, key: Key) {
        {
            let mut home = self.home();
            if home.is_some_and(|home| std::ptr::eq(home.reactor, reactor) && home.key == key) {
                *home = None;
            }
        }
        self.read.notify(true);
        self.write.notify(true);
    }

    /// Wakes the threads and tasks that wait for this event.
    pub(super) fn notify(&self, event: &Event) {
        if event.readable {
            self.read.notify(event.ends);
        }
        if event.writable {
            self.write.notify(event.ends);
        }
    }

    /// Returns whether [`close`](Self::close) has closed both directions.
    pub(crate) fn is_closed(&self) -> bool {
        // `close` closes the writing direction last.
        self.write.is_closed()
    }

    /// Ends all waits for the descriptor, now and later.
    pub(crate) fn close(&self) {
        self.read.close();
        self.write.close();
    }
}
