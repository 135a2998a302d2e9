//! What all sockets have in common: a source, and the settings that a socket shares with its clones.
//!
//! | file | holds |
//! |---|---|
//! | `pause` | growing pauses between attempts, for what the operating system does not report |
//! | `poll` | reading and writing for async code |
//! | `shared` | the settings that clones share, and who is told of a close |
//! | `traits` | macros for the traits that all sockets implement |
//!
//! A socket of `std` is in the [`Source`]. Its methods make the system calls. This module decides whether a call waits,
//! and until when:
//!
//! | the socket | an operation that would block |
//! |---|---|
//! | was set to non-blocking mode by the program | returns `WouldBlock` |
//! | has a time-out | waits until the deadline, which is fixed when the operation begins, and returns `WouldBlock` then |
//! | neither | waits |

mod pause;
#[cfg(any(feature = "futures-io", feature = "hyper", feature = "tokio-io"))]
mod poll;
mod shared;
#[macro_use]
mod traits;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use kahn_core::primitives::now;
use kahn_core::source::{Interest, Source};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_timeout};

pub(crate) use self::pause::Pause;
use self::shared::Shared;
pub(crate) use self::shared::Watcher;
pub(crate) use self::traits::{implement_descriptor_traits, implement_stream_traits};

/// A socket. `T` is the socket of `std`.
pub(crate) struct Socket<T: AsFd> {
    source: Source<T>,
    /// Allocated for the first setting and the first clone.
    shared: OnceLock<Arc<Shared>>,
}

/// How an operation waits.
enum Mode {
    Never,
    Until(Option<Instant>),
}

/// Returns the error of an operation on a socket that the program has closed.
fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the socket was closed by `close`")
}

/// What an operation returns.
pub(crate) trait Outcome {
    /// Returns whether a socket that has been shut down may have caused this.
    fn may_be_end(&self) -> bool {
        false
    }
}

impl Outcome for usize {
    fn may_be_end(&self) -> bool {
        *self == 0
    }
}

/// A message with its sender, or a connection with its peer.
impl<T: Outcome, A> Outcome for (T, A) {
    fn may_be_end(&self) -> bool {
        self.0.may_be_end()
    }
}

impl Outcome for std::net::TcpStream {}
impl Outcome for std::os::unix::net::UnixStream {}

/// Converts the error of a deadline into the error that `std` returns when a time-out has passed.
fn timed_out(error: io::Error) -> io::Error {
    // A connection that the system has given up is also `TimedOut`, but has a number.
    let is_deadline = error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none();
    if is_deadline { Errno::AGAIN.into() } else { error }
}

impl<T: AsFd> Socket<T> {
    /// Wraps a new socket that is in non-blocking mode.
    pub(crate) fn from_nonblocking(io: T) -> Socket<T> {
        Socket { source: Source::from_nonblocking(io), shared: OnceLock::new() }
    }

    /// Wraps a new socket.
    pub(crate) fn new(io: T) -> io::Result<Socket<T>> {
        ioctl_fionbio(&io, true)?;
        Ok(Socket::from_nonblocking(io))
    }

    /// Wraps a socket that may have settings.
    ///
    /// # Panics
    ///
    /// Panics if the descriptor has no non-blocking mode.
    pub(crate) fn adopt(io: T) -> Socket<T> {
        let socket = Socket::new(io).expect("a socket has a non-blocking mode");
        for (interest, option) in [(Interest::Readable, Timeout::Recv), (Interest::Writable, Timeout::Send)] {
            // A descriptor that is not a socket has no time-out.
            if let Ok(timeout @ Some(_)) = socket_timeout(&socket, option) {
                socket.shared().set_timeout(interest, timeout);
            }
        }
        socket
    }

    /// Returns the socket of `std`.
    pub(crate) fn get(&self) -> &T {
        self.source.get_ref()
    }

    /// Returns the socket of `std`, in the mode that the program has chosen.
    pub(crate) fn into_std(self) -> T {
        let is_nonblocking = self.shared.get().is_some_and(|shared| shared.is_nonblocking());
        let io = self.source.into_inner();
        // A valid descriptor has this mode: it was set to the other one before.
        let _ = ioctl_fionbio(&io, is_nonblocking);
        io
    }

    fn shared(&self) -> &Arc<Shared> {
        self.shared.get_or_init(|| Arc::new(Shared::new(self.source.closer())))
    }

    /// Wraps a duplicate of this socket, which shares its settings.
    pub(crate) fn try_clone(&self, duplicate: impl FnOnce(&T) -> io::Result<T>) -> io::Result<Socket<T>> {
        let source = Source::from_nonblocking(duplicate(self.get())?);
        let shared = Arc::clone(self.shared());
        self.watch(Watcher::Clone(source.closer()))?;
        Ok(Socket { source, shared: OnceLock::from(shared) })
    }

    /// Adds a watcher, which is told when the socket or a clone of it is closed.
    ///
    /// # Errors
    ///
    /// Returns [`closed`] if that has happened already.
    pub(crate) fn watch(&self, watcher: Watcher) -> io::Result<()> {
        // `close` closes the source before it looks whether there are settings, and these exist now. So either it has
        // closed the source, or it finds the watcher.
        if self.shared().watch(watcher) && !self.source.is_closed() { Ok(()) } else { Err(closed()) }
    }

    /// Ends all operations on the socket and its clones, now and later.
    pub(crate) fn close(&self) {
        self.source.close();
        if let Some(shared) = self.shared.get() {
            shared.close();
        }
    }

    fn mode(&self, interest: Interest) -> Mode {
        let Some(shared) = self.shared.get() else { return Mode::Until(None) };
        if shared.is_nonblocking() {
            return Mode::Never;
        }
        Mode::Until(shared.timeout(interest).and_then(|timeout| now().checked_add(timeout)))
    }

    /// Calls `f` until it returns something else than `WouldBlock`, and waits in between as the mode says.
    #[track_caller]
    fn run<R: Outcome>(&self, interest: Interest, f: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.unless_closed(match self.mode(interest) {
            Mode::Never => self.source.try_io(f),
            Mode::Until(deadline) => self.source.io(interest, deadline, f).map_err(timed_out),
        })
    }

    /// Replaces an outcome that may be due to the shutdown that `close` makes while the operation goes on.
    fn unless_closed<R: Outcome>(&self, result: io::Result<R>) -> io::Result<R> {
        let may_be_end = result.as_ref().map_or(true, Outcome::may_be_end);
        if may_be_end && self.source.is_closed() { Err(closed()) } else { result }
    }

    /// Reads with `f`.
    #[track_caller]
    pub(crate) fn read<R: Outcome>(&self, f: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.run(Interest::Readable, f)
    }

    /// Reads with `f`, and waits whatever mode and time-out the program has set.
    #[track_caller]
    pub(crate) fn read_waiting<R: Outcome>(&self, f: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.unless_closed(self.source.read_with(f))
    }

    /// Writes with `f`.
    #[track_caller]
    pub(crate) fn write<R: Outcome>(&self, f: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.run(Interest::Writable, f)
    }

    /// Reads at most `len` bytes with `f`, from a stream in which a read of fewer bytes has emptied the stream.
    #[track_caller]
    pub(crate) fn read_stream(
        &self,
        len: usize,
        f: impl FnMut(&T) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.unless_closed(match self.mode(Interest::Readable) {
            Mode::Never => self.source.try_io(f),
            Mode::Until(deadline) => self.source.read_stream(len, deadline, f).map_err(timed_out),
        })
    }

    /// Reads at most `len` bytes from a stream with `f`, and waits until a deadline instead of the time-out.
    ///
    /// # Errors
    ///
    /// Returns `TimedOut` at the deadline, and what [`read_stream`](Self::read_stream) returns.
    #[cfg(feature = "ureq")]
    #[track_caller]
    pub(crate) fn read_stream_until(
        &self,
        len: usize,
        deadline: Option<Instant>,
        f: impl FnMut(&T) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.unless_closed(self.source.read_stream(len, deadline, f))
    }

    /// Writes with `f`, and waits until a deadline instead of the time-out.
    ///
    /// # Errors
    ///
    /// Returns `TimedOut` at the deadline, and what [`write`](Self::write) returns.
    #[cfg(feature = "ureq")]
    #[track_caller]
    pub(crate) fn write_until(
        &self,
        deadline: Option<Instant>,
        f: impl FnMut(&T) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.unless_closed(self.source.io(Interest::Writable, deadline, f))
    }

    /// Reads at most `len` bytes with `f`, from a stream in which a read of fewer bytes says nothing about the rest.
    #[track_caller]
    pub(crate) fn read_available(
        &self,
        _len: usize,
        f: impl FnMut(&T) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.run(Interest::Readable, f)
    }

    /// Writes with `f`, to a receiver of which the operating system does not report that it has room again. So `f` is
    /// called from time to time.
    #[track_caller]
    pub(crate) fn write_repeating<R: Outcome>(
        &self,
        mut f: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let deadline = match self.mode(Interest::Writable) {
            Mode::Never => return self.source.try_io(f),
            Mode::Until(deadline) => deadline,
        };
        let mut pause = Pause::default();
        loop {
            let next = now() + pause.next();
            let until = deadline.map_or(next, |deadline| deadline.min(next));
            match self.source.io(Interest::Writable, Some(until), &mut f).map_err(timed_out) {
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock
                        && deadline.is_none_or(|deadline| now() < deadline) => {}
                result => return self.unless_closed(result),
            }
        }
    }

    /// Waits until a connection is established or has failed.
    #[track_caller]
    pub(crate) fn connected(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.source.ready(Interest::Writable, deadline)?;
        match rustix::net::sockopt::socket_error(self)? {
            Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn set_nonblocking(&self, is_nonblocking: bool) {
        // A socket that has no settings waits.
        if is_nonblocking || self.shared.get().is_some() {
            self.shared().set_nonblocking(is_nonblocking);
        }
    }

    /// Sets the time-out of reads or of writes. The system knows it too, for descriptors that are shared otherwise.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` for a time-out of zero, and the error of the operating system.
    pub(crate) fn set_timeout(&self, interest: Interest, timeout: Option<Duration>) -> io::Result<()> {
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a time-out of zero is not possible"));
        }
        set_socket_timeout(self, option(interest), timeout)?;
        // A socket that has no settings has no time-out.
        if timeout.is_some() || self.shared.get().is_some() {
            self.shared().set_timeout(interest, timeout);
        }
        Ok(())
    }

    pub(crate) fn timeout(&self, interest: Interest) -> io::Result<Option<Duration>> {
        Ok(socket_timeout(self, option(interest))?)
    }
}

fn option(interest: Interest) -> Timeout {
    match interest {
        Interest::Readable => Timeout::Recv,
        Interest::Writable => Timeout::Send,
    }
}

impl<T: AsFd> AsFd for Socket<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}
