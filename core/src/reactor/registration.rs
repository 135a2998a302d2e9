//! A descriptor: where it is registered, and its waiters.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::direction::Direction;
use super::poller::Event;
use super::{Key, NoPoller, Reactor, RegisterError};

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
    /// selects the reactor for a new registration. `others` returns reactors that can be used if that one has no poller
    /// and none can be made.
    ///
    /// # Errors
    ///
    /// Returns the errors of the operating system, and [`NoPoller`].
    pub(crate) fn ensure(
        self: &Arc<Self>,
        fd: BorrowedFd<'_>,
        mut choose: impl FnMut() -> &'static Reactor,
        others: impl Fn() -> Vec<&'static Reactor>,
    ) -> io::Result<&'static Reactor> {
        let mut home = self.home();
        if let Some(home) = *home {
            return Ok(home.reactor);
        }
        loop {
            let reactor = choose();
            let place = match reactor.register(self, fd) {
                Ok(key) => Place { reactor, key },
                // The worker has just ended.
                Err(RegisterError::Closed) => continue,
                Err(RegisterError::NoPoller(error)) => match self.register_with_poller(fd, others()) {
                    Some(place) => place,
                    None => return Err(NoPoller(error).into()),
                },
                Err(RegisterError::Refused(error)) => return Err(error),
            };
            *home = Some(place);
            return Ok(place.reactor);
        }
    }

    /// Registers the descriptor with the first of these reactors that has a poller and takes it.
    #[cold]
    fn register_with_poller(
        self: &Arc<Self>,
        fd: BorrowedFd<'_>,
        reactors: Vec<&'static Reactor>,
    ) -> Option<Place> {
        let with_poller = reactors.into_iter().filter(|reactor| reactor.has_poller());
        with_poller
            .map(|reactor| Some(Place { reactor, key: reactor.register(self, fd).ok()? }))
            .find_map(|place| place)
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
