//! Tests of the reactor without a worker: they poll and dispatch by themselves.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::panic::Location;
use std::sync::Arc;

use super::{Events, Reactor, Readiness, Registration, Wanted};
use crate::primitives::now;
use crate::wait::{Kind, Reason};

fn reactor() -> &'static Reactor {
    Box::leak(Box::new(Reactor::new()))
}

/// A stream in non-blocking mode, and what the reactor knows of it.
struct Watched {
    stream: UnixStream,
    registration: Arc<Registration>,
}

impl Watched {
    fn new(stream: UnixStream) -> Watched {
        stream.set_nonblocking(true).unwrap();
        Watched { stream, registration: Arc::default() }
    }

    fn register(&self, reactor: &'static Reactor) {
        self.registration.ensure(self.stream.as_fd(), || reactor, Vec::new).map(drop).unwrap();
    }

    /// Reads until a deadline that has passed. Calls `during` after the first try has failed. Returns how often the read
    /// was tried: twice if an event has come after the first try.
    fn tries(&self, mut during: impl FnMut()) -> usize {
        let reason = Reason::at(Kind::Readable, self, Location::caller());
        let mut tries = 0;
        let result = self.registration.read.run(
            Wanted { reason, deadline: Some(now()) },
            || Ok(super::Counted::new(self.home(), true)),
            || {
                tries += 1;
                let result = (&self.stream).read(&mut [0; 64]);
                if tries == 1 {
                    during();
                }
                Ok((result?, Readiness::Maybe))
            },
        );
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
        tries
    }

    fn home(&self) -> &'static Reactor {
        self.registration.ensure(self.stream.as_fd(), || unreachable!(), Vec::new).unwrap()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.registration.deregister(self.stream.as_fd());
    }
}

fn entries(reactor: &Reactor) -> (usize, usize) {
    let table = reactor.table();
    (table.entries.len(), table.entries.capacity())
}

/// An event has been taken from the poller when its descriptor is dropped. The next descriptor has the same number and
/// the same place in the table before the event is dispatched.
#[test]
fn event_of_a_descriptor_that_was_dropped_wakes_no_waiter_of_the_next_one() {
    let reactor = reactor();
    let mut reused = 0;
    for _ in 0..100 {
        let (old, old_peer) = UnixStream::pair().unwrap();
        let old = Watched::new(old);
        old.register(reactor);
        (&old_peer).write_all(b"stale").unwrap();
        let mut events = Events::new();
        while events.is_empty() {
            reactor.poll(&mut events);
        }
        let number = old.stream.as_raw_fd();
        drop(old);
        let (one, other) = UnixStream::pair().unwrap();
        let has_number = |stream: &UnixStream| stream.as_raw_fd() == number;
        let (new, _peer) = if has_number(&other) { (other, one) } else { (one, other) };
        reused += usize::from(has_number(&new));
        let new = Watched::new(new);
        new.register(reactor);
        let tries = new.tries(|| _ = reactor.dispatch(&mut events));
        assert_eq!(tries, 1, "the event of the old descriptor has reached the new one");
    }
    assert!(reused > 0, "no number was used again");
}

#[test]
fn event_of_a_descriptor_reaches_its_waiter() {
    let reactor = reactor();
    let (one, other) = UnixStream::pair().unwrap();
    let watched = Watched::new(one);
    watched.register(reactor);
    let mut events = Events::new();
    (&other).write_all(b"x").unwrap();
    while events.is_empty() {
        reactor.poll(&mut events);
    }
    (&watched.stream).read_exact(&mut [0]).unwrap();
    assert_eq!(watched.tries(|| _ = reactor.dispatch(&mut events)), 2);
    assert_eq!(watched.tries(|| ()), 1);
}

#[test]
fn registrations_that_end_leave_the_table_as_small_as_it_was() {
    let reactor = reactor();
    let kept: Vec<_> = (0..10).map(|_| UnixStream::pair().unwrap()).collect();
    let kept: Vec<_> = kept.into_iter().map(|(one, other)| (Watched::new(one), other)).collect();
    kept.iter().for_each(|(watched, _)| watched.register(reactor));
    let before = entries(reactor);
    for round in 0..100_000 {
        let (_, peer) = &kept[round % kept.len()];
        let watched = Watched::new(peer.try_clone().unwrap());
        watched.register(reactor);
        if round % 100 == 0 {
            let _ = watched.tries(|| ());
        }
    }
    assert_eq!((before.0, entries(reactor).0), (10, 10));
    assert!(entries(reactor).1 <= before.1 * 2, "{:?} has become {:?}", before, entries(reactor));
    // Events of those that are gone reach none.
    let mut events = Events::new();
    reactor.poll(&mut events);
    reactor.dispatch(&mut events);
    drop(kept);
    assert_eq!(entries(reactor).0, 0);
    assert!(!reactor.has_waiting());
}
