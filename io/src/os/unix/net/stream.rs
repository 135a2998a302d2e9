//! Unix streams.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use kahn_core::source::Interest;
use kahn_core::wait::operation;
use rustix::net::SocketType;

use super::address::{address_of, connect};
use crate::socket::{Socket, implement_descriptor_traits, implement_stream_traits};

/// A connected Unix stream, with the names and the meaning of [`std::os::unix::net::UnixStream`].
///
/// Reading, writing and connecting park the green thread while they wait. `Read` and `Write` are implemented for
/// references too, so one green thread can read while another one writes.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
///
/// use kahn::os::unix::net::UnixStream;
///
/// let (mut ours, mut theirs) = UnixStream::pair()?;
/// kahn::spawn(move || theirs.write_all(b"hello"));
/// let mut text = String::new();
/// ours.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixStream(pub(crate) Socket<std::os::unix::net::UnixStream>);

impl UnixStream {
    /// Connects to the socket at this path.
    ///
    /// # Parks
    ///
    /// Parks while too many connections wait to be accepted. The operating system does not report that there is room
    /// again, so the attempt is repeated after a while.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system, and [`InvalidInput`](io::ErrorKind::InvalidInput) if the path is too
    /// long.
    #[track_caller]
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        UnixStream::connect_addr(&address_of(path.as_ref())?)
    }

    /// Connects to the socket with this address.
    ///
    /// # Parks
    ///
    /// Parks as [`connect`](Self::connect) does.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    #[track_caller]
    pub fn connect_addr(address: &SocketAddr) -> io::Result<UnixStream> {
        operation();
        Ok(UnixStream(Socket::from_nonblocking(connect(SocketType::STREAM, address)?.into())))
    }

    /// Makes two streams that are connected with each other.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = std::os::unix::net::UnixStream::pair()?;
        Ok((UnixStream(Socket::new(one)?), UnixStream(Socket::new(other)?)))
    }

    /// Shuts down reading, writing or both. Operations of other threads that wait for that direction end at once: reads
    /// return 0, writes fail.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.get().shutdown(how)
    }

    /// Shuts the connection down, and ends all operations on it and on its clones, now and later, with
    /// [`NotConnected`](io::ErrorKind::NotConnected). The peer reads the end of the stream at once. An operation that
    /// another thread is just doing may still succeed.
    ///
    /// The descriptor itself is closed when the stream is dropped.
    pub fn close(&self) {
        self.0.close();
        // It fails if the connection has ended.
        let _ = self.0.get().shutdown(Shutdown::Both);
    }

    /// Returns the address of this side.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.get().local_addr()
    }

    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// Returns [`NotConnected`](io::ErrorKind::NotConnected) if there is none.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.get().peer_addr()
    }

    /// Returns another handle of the same socket. Both share the time-outs, the mode and the effect of
    /// [`close`](Self::close).
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system, such as too many open files, and
    /// [`NotConnected`](io::ErrorKind::NotConnected) after `close`.
    pub fn try_clone(&self) -> io::Result<UnixStream> {
        self.0.try_clone(std::os::unix::net::UnixStream::try_clone).map(UnixStream)
    }

    /// Sets how long a read may last. `None` stands for no limit, which is the default.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidInput`](io::ErrorKind::InvalidInput) for a time-out of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_timeout(Interest::Readable, timeout)
    }

    /// Sets how long a write may last. `None` stands for no limit, which is the default.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidInput`](io::ErrorKind::InvalidInput) for a time-out of zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_timeout(Interest::Writable, timeout)
    }

    /// Returns the time-out of reads. The operating system may have rounded it.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        self.0.timeout(Interest::Readable)
    }

    /// Returns the time-out of writes. The operating system may have rounded it.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        self.0.timeout(Interest::Writable)
    }

    /// Takes the error that the socket has stored (`SO_ERROR`).
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.get().take_error()
    }

    /// Sets whether operations that would wait return [`WouldBlock`](io::ErrorKind::WouldBlock) instead.
    ///
    /// # Errors
    ///
    /// Never fails. It has the signature of `std`.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.set_nonblocking(nonblocking);
        Ok(())
    }
}

implement_descriptor_traits!(UnixStream, std::os::unix::net::UnixStream);
// A read of fewer bytes than asked for does not mean that the stream is empty: a read ends at bytes that were sent with
// descriptors or credentials.
implement_stream_traits!(UnixStream, read_available);
