//! What a server needs of a listener, and which errors it survives.

use std::io;
use std::sync::{Arc, Weak};

use rustix::io::Errno;

/// A listener that [`serve`](super::serve) accepts connections from: a [`TcpListener`](super::TcpListener), a
/// [`UnixListener`](crate::os::unix::net::UnixListener), a reference to one, or an `Arc`. It cannot be implemented
/// outside of kahn.
pub trait Listener: Accept {}

impl<L: Accept> Listener for L {}

/// The methods of a [`Listener`].
pub trait Accept: Send + Sync {
    /// A connection.
    type Stream: Send;

    /// Waits for a connection, whatever the mode of the listener.
    ///
    /// # Errors
    ///
    /// Returns the errors of `accept`.
    fn accept_stream(&self) -> io::Result<Self::Stream>;

    /// Lets `close` of the listener or of a clone call `tell`.
    ///
    /// # Errors
    ///
    /// Returns an error if the listener has been closed.
    fn on_close(&self, tell: Weak<dyn Fn() + Send + Sync>) -> io::Result<()>;
}

impl<L: Accept + ?Sized> Accept for &L {
    type Stream = L::Stream;

    #[track_caller]
    fn accept_stream(&self) -> io::Result<L::Stream> {
        (**self).accept_stream()
    }

    fn on_close(&self, tell: Weak<dyn Fn() + Send + Sync>) -> io::Result<()> {
        (**self).on_close(tell)
    }
}

impl<L: Accept + ?Sized> Accept for Arc<L> {
    type Stream = L::Stream;

    #[track_caller]
    fn accept_stream(&self) -> io::Result<L::Stream> {
        (**self).accept_stream()
    }

    fn on_close(&self, tell: Weak<dyn Fn() + Send + Sync>) -> io::Result<()> {
        (**self).on_close(tell)
    }
}

/// What an error of `accept` means for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// One connection has failed, and is gone. The next one can be accepted.
    Connection,
    /// The process or the system is short of descriptors or of memory. The connection still waits.
    Shortage,
    /// The program has closed the listener.
    Closed,
    /// The listener is of no more use.
    Listener,
}

/// Returns the number of the operating system's error that has caused this one.
fn errno(error: &io::Error) -> Option<Errno> {
    Errno::from_io_error(error)
        .or_else(|| Errno::from_io_error(error.get_ref()?.source()?.downcast_ref::<io::Error>()?))
}

impl Failure {
    pub(super) fn of(error: &io::Error) -> Failure {
        match errno(error) {
            // Linux reports errors of the network that concern a new connection as errors of `accept`.
            Some(
                Errno::CONNABORTED
                | Errno::CONNRESET
                | Errno::INTR
                | Errno::PERM
                | Errno::PROTO
                | Errno::NOPROTOOPT
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::TIMEDOUT,
            ) => Failure::Connection,
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => Failure::Shortage,
            None if error.kind() == io::ErrorKind::NotConnected => Failure::Closed,
            _ => Failure::Listener,
        }
    }
}
