//! Why a party waits. It is written down for as long as it waits, on the stack of the call that waits.

use core::fmt;
use core::panic::Location;

/// What kind of thing is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Room in a channel, or a receiver to meet.
    Send,
    /// A message.
    Recv,
    /// One of several channel operations.
    Select,
    /// A mutex or a reader-writer lock.
    Lock,
    /// A condition variable.
    Condvar,
    /// A semaphore's permits.
    Semaphore,
    /// The other parties of a barrier.
    Barrier,
    /// A wait group's last member, or a one-time initialisation.
    WaitGroup,
    /// The end of another green thread.
    Join,
    /// The green threads of a scope.
    Scope,
    /// A moment in time.
    Sleep,
    /// [`Thread::unpark`](crate::thread::Thread::unpark).
    Park,
    /// A job on the blocking pool.
    Blocking,
    /// A future's waker.
    Future,
    /// A message for an actor, or its answer.
    Actor,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Send => "send",
            Kind::Recv => "receive",
            Kind::Select => "select",
            Kind::Lock => "lock",
            Kind::Condvar => "condition",
            Kind::Semaphore => "semaphore",
            Kind::Barrier => "barrier",
            Kind::WaitGroup => "wait group",
            Kind::Join => "join",
            Kind::Scope => "scope",
            Kind::Sleep => "sleep",
            Kind::Park => "park",
            Kind::Blocking => "blocking call",
            Kind::Future => "future",
            Kind::Actor => "actor",
        })
    }
}

/// Why a party waits: for what kind of thing, for which one, and at which line.
#[derive(Clone, Copy, Debug)]
pub struct Reason {
    /// What kind of thing is waited for.
    pub kind: Kind,
    /// Which one: its address, or another number that two waits on one thing share. Zero where there is none.
    pub resource: usize,
    /// The line of the caller's program that waits.
    pub location: &'static Location<'static>,
}

impl Reason {
    /// A wait of this `kind` for the thing at `resource`, at the caller's line.
    #[track_caller]
    #[inline]
    pub fn new<T: ?Sized>(kind: Kind, resource: *const T) -> Reason {
        Reason::at(kind, resource, Location::caller())
    }

    /// The same, at a line that the caller was told.
    #[inline]
    pub fn at<T: ?Sized>(kind: Kind, resource: *const T, location: &'static Location<'static>) -> Reason {
        Reason { kind, resource: resource.cast::<()>().addr(), location }
    }
}
