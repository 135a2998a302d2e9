//! `epoll` of Linux.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use super::{EVENTS, Event, INTERRUPT, Limit};

/// The flags of an event after which a read or a write does not wait.
const READABLE: EventFlags = EventFlags::IN
    .union(EventFlags::PRI)
    .union(EventFlags::RDHUP)
    .union(EventFlags::HUP)
    .union(EventFlags::ERR);
const WRITABLE: EventFlags = EventFlags::OUT.union(EventFlags::HUP).union(EventFlags::ERR);
/// The flags after which a read of fewer bytes than asked for does not mean that the stream is empty. A read ends at
/// urgent data (`PRI`) although there are bytes behind it.
const ENDS: EventFlags =
    EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR).union(EventFlags::PRI);
/// The flags with which descriptors are added.
const WANTED: EventFlags = EventFlags::IN
    .union(EventFlags::PRI)
    .union(EventFlags::RDHUP)
    .union(EventFlags::OUT)
    .union(EventFlags::ET);

/// An instance of `epoll`, and a descriptor that interrupts its waits.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    interrupt: OwnedFd,
}

/// The events of one wait.
pub(crate) struct Events(Vec<epoll::Event>);

impl Events {
    pub(crate) fn new() -> Events {
        Events(Vec::new())
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
        self.0.drain(..).filter_map(|event| {
            let (flags, data) = (event.flags, event.data);
            // The keys are `usize`, so the conversion loses nothing.
            let key = data.u64() as usize;
            (key != INTERRUPT).then(|| Event {
                key,
                readable: flags.intersects(READABLE),
                writable: flags.intersects(WRITABLE),
                ends: flags.intersects(ENDS),
            })
        })
    }
}

impl Poller {
    pub(crate) fn new() -> io::Result<Poller> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let interrupt = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        // Edge-triggered: each write is an event, so the counter is never read.
        epoll::add(
            &epoll,
            &interrupt,
            EventData::new_u64(INTERRUPT as u64),
            EventFlags::IN | EventFlags::ET,
        )?;
        Ok(Poller { epoll, interrupt })
    }

    /// Adds a descriptor. Its current state is reported as the first event.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        let data = EventData::new_u64(key as u64);
        match epoll::add(&self.epoll, fd, data, WANTED) {
            // A worker that has ended has left it here, and another one uses its poller. The change reports the
            // current state, too.
            Err(Errno::EXIST) => epoll::modify(&self.epoll, fd, data, WANTED)?,
            added => added?,
        }
        Ok(())
    }

    /// Removes a descriptor.
    pub(crate) fn delete(&self, fd: BorrowedFd<'_>) {
        // It fails only if the descriptor is not there.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Waits for events, and puts them into `events`, which is empty. May return early.
    pub(crate) fn wait(&self, events: &mut Events, limit: Limit) {
        events.0.reserve(EVENTS);
        loop {
            let left = limit.left();
            // `epoll_wait` counts in milliseconds, and `epoll_pwait2` needs Linux 5.11. So another call waits for the
            // last millisecond.
            let is_last = left.is_some_and(|left| left < Duration::from_millis(1));
            if let Some(left) = left.filter(|left| is_last && !left.is_zero()) {
                let timeout = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
                let _ = poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], Some(&timeout));
            }
            let whole = left.map(|left| {
                Duration::from_secs(left.as_secs()) + Duration::from_millis(left.subsec_millis().into())
            });
            let timeout = whole.and_then(|whole| Timespec::try_from(whole).ok());
            // The only error is the arrival of a signal, on which the wait ends early.
            match epoll::wait(&self.epoll, spare_capacity(&mut events.0), timeout.as_ref()) {
                Ok(0) if !is_last => {}
                _ => return,
            }
        }
    }

    /// Ends the current wait, or the next one if there is none now. Any thread calls it.
    pub(crate) fn interrupt(&self) {
        // It fails only if the counter is about to overflow, and then the write before has not been noticed yet.
        let _ = rustix::io::write(&self.interrupt, &1_u64.to_ne_bytes());
    }
}
