//! Why a waiter waits. The reason is kept on the stack of the waiting call for as long as the call waits.

use core::fmt;
use core::panic::Location;

/// The kind of resource that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Space in a channel, or a receiver on a rendezvous channel.
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
    /// The other members of a barrier.
    Barrier,
    /// A wait group's last member, or a one-time initialisation.
    WaitGroup,
    /// Another green thread to finish.
    Join,
    /// The green threads of a scope to finish.
    Scope,
    /// A point in time.
    Sleep,
    /// [`Thread::unpark`](crate::thread::Thread::unpark).
    Park,
    /// A task on the blocking pool.
    Blocking,
    /// A future's waker.
    Future,
    /// A message for an actor, or the reply of an actor.
    Actor,
    /// Data from a descriptor, such as a socket. The resource is the descriptor's number.
    Readable,
    /// Space for data in a descriptor, such as a socket. The resource is the descriptor's number.
    Writable,
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
            Kind::Readable => "readable",
            Kind::Writable => "writable",
        })
    }
}

/// Why a waiter waits: the kind of resource, which resource, and the source line that waits.
#[derive(Clone, Copy, Debug)]
pub struct Reason {
    /// The kind of resource that is waited for.
    pub kind: Kind,
    /// The resource: its address, or another number that all waits for one resource share. Zero if there is none.
    pub resource: usize,
    /// The source line of the user's code that waits.
    pub location: &'static Location<'static>,
}

impl Reason {
    /// Creates a reason of this `kind` for the resource at `resource`. The location is the caller's.
    #[track_caller]
    #[inline]
    pub fn new<T: ?Sized>(kind: Kind, resource: *const T) -> Reason {
        Reason::at(kind, resource, Location::caller())
    }

    /// Like [`new`](Self::new), with the given location.
    #[inline]
    pub fn at<T: ?Sized>(kind: Kind, resource: *const T, location: &'static Location<'static>) -> Reason {
        Reason { kind, resource: resource.cast::<()>().addr(), location }
    }
}
