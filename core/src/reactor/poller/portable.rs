//! The crate `polling`, for systems other than Linux.

use std::io;
use std::num::NonZero;
use std::os::fd::{AsRawFd, BorrowedFd};

use polling::PollMode;

use super::{EVENTS, Event, Limit};

/// A poller of the operating system.
#[derive(Debug)]
pub(crate) struct Poller(polling::Poller);

/// The events of one wait.
pub(crate) struct Events(polling::Events);

impl Events {
    pub(crate) fn new() -> Events {
        Events(polling::Events::with_capacity(NonZero::new(EVENTS).expect("it is positive")))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether the last wait has filled the list.
    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= EVENTS
    }

    /// Takes the events out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Event> + '_ {
        let events: Vec<_> = self.0.iter().collect();
        self.0.clear();
        events.into_iter().map(|event| Event {
            key: event.key,
            readable: event.readable,
            writable: event.writable,
            ends: false,
        })
    }
}

impl Poller {
    pub(crate) fn new() -> io::Result<Poller> {
        Ok(Poller(polling::Poller::new()?))
    }

    /// Adds a descriptor. Its current state is reported as the first event.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        let wanted = polling::Event::all(key);
        // SAFETY: the owner of the descriptor deletes it before it closes it (`Source`), unless this poller has been
        // given up. On the systems that are supported, a poller forgets a descriptor that is closed.
        match unsafe { self.0.add_with_mode(fd.as_raw_fd(), wanted, PollMode::Edge) } {
            // A worker that has ended has left it here, and another one uses its poller.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.0.modify_with_mode(fd, wanted, PollMode::Edge)
            }
            added => added,
        }
    }

    /// Removes a descriptor.
    pub(crate) fn delete(&self, fd: BorrowedFd<'_>) {
        // It fails only if the descriptor is not there.
        let _ = self.0.delete(fd);
    }

    /// Waits for events, and puts them into `events`, which is empty. May return early.
    pub(crate) fn wait(&self, events: &mut Events, limit: Limit) {
        // The only error is the arrival of a signal, on which the wait ends early.
        let _ = self.0.wait(&mut events.0, limit.left());
    }

    /// Ends the current wait, or the next one if there is none now. Any thread calls it.
    pub(crate) fn interrupt(&self) {
        let _ = self.0.notify();
    }
}
