//! Unix datagram sockets.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use kahn_core::source::Interest;
use kahn_core::wait::operation;

use super::address::address_of;
use crate::socket::{Socket, implement_descriptor_traits};

/// A Unix datagram socket, with the names and the meaning of [`std::os::unix::net::UnixDatagram`].
///
/// Sending and receiving park the green thread while they wait. One green thread can send while another one receives.
///
/// # Examples
///
/// ```
/// use kahn::os::unix::net::UnixDatagram;
///
/// let (ours, theirs) = UnixDatagram::pair()?;
/// kahn::spawn(move || theirs.send(b"hello"));
/// let mut buffer = [0; 64];
/// let len = ours.recv(&mut buffer)?;
/// assert_eq!(&buffer[..len], b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixDatagram(Socket<std::os::unix::net::UnixDatagram>);

impl UnixDatagram {
    /// Makes a socket at this path, which must not exist.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system, and [`InvalidInput`](io::ErrorKind::InvalidInput) if the path is too
    /// long.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        operation();
        Socket::new(std::os::unix::net::UnixDatagram::bind(path)?).map(UnixDatagram)
    }

    /// Makes a socket with this address.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixDatagram> {
        operation();
        Socket::new(std::os::unix::net::UnixDatagram::bind_addr(address)?).map(UnixDatagram)
    }

    /// Makes a socket without an address.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn unbound() -> io::Result<UnixDatagram> {
        Socket::new(std::os::unix::net::UnixDatagram::unbound()?).map(UnixDatagram)
    }

    /// Makes two sockets that are connected with each other.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = std::os::unix::net::UnixDatagram::pair()?;
        Ok((UnixDatagram(Socket::new(one)?), UnixDatagram(Socket::new(other)?)))
    }

    /// Sets the peer: [`send`](Self::send) sends to it, and only its messages are received.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system, and [`InvalidInput`](io::ErrorKind::InvalidInput) if the path is too
    /// long.
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.0.get().connect(path)
    }

    /// Like [`connect`](Self::connect), with an address.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn connect_addr(&self, address: &SocketAddr) -> io::Result<()> {
        self.0.get().connect_addr(address)
    }

    /// Receives a message. Returns its length. What does not fit into the buffer is dropped.
    ///
    /// # Parks
    ///
    /// Parks while there is no message, and while another thread receives.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system, [`WouldBlock`](io::ErrorKind::WouldBlock) when the time-out has passed
    /// or in non-blocking mode, and [`NotConnected`](io::ErrorKind::NotConnected) after [`close`](Self::close).
    #[track_caller]
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(|socket| socket.recv(buffer))
    }

    /// Receives a message. Returns its length and the address of its sender.
    ///
    /// # Parks
    ///
    /// Parks while there is no message, and while another thread receives.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system, [`WouldBlock`](io::ErrorKind::WouldBlock) when the time-out has passed
    /// or in non-blocking mode, and [`NotConnected`](io::ErrorKind::NotConnected) after [`close`](Self::close).
    #[track_caller]
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.read(|socket| socket.recv_from(buffer))
    }

    /// Sends a message to the connected peer. Returns its length.
    ///
    /// # Parks
    ///
    /// Parks while there is no room, and while another thread sends.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system, [`WouldBlock`](io::ErrorKind::WouldBlock) when the time-out has passed
    /// or in non-blocking mode, and [`NotConnected`](io::ErrorKind::NotConnected) after [`close`](Self::close).
    #[track_caller]
    pub fn send(&self, message: &[u8]) -> io::Result<usize> {
        self.0.write(|socket| socket.send(message))
    }

    /// Sends a message to the socket at this path. Returns its length. If that socket has no room, the attempt is
    /// repeated after a while, because the operating system does not report that it has room again.
    ///
    /// # Parks
    ///
    /// Parks while there is no room, and while another thread sends.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system, [`WouldBlock`](io::ErrorKind::WouldBlock) when the time-out has passed
    /// or in non-blocking mode, and [`NotConnected`](io::ErrorKind::NotConnected) after [`close`](Self::close).
    #[track_caller]
    pub fn send_to<P: AsRef<Path>>(&self, message: &[u8], path: P) -> io::Result<usize> {
        self.send_to_addr(message, &address_of(path.as_ref())?)
    }

    /// Like [`send_to`](Self::send_to), with an address.
    ///
    /// # Parks
    ///
    /// Parks while there is no room, and while another thread sends.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system, [`WouldBlock`](io::ErrorKind::WouldBlock) when the time-out has passed
    /// or in non-blocking mode, and [`NotConnected`](io::ErrorKind::NotConnected) after [`close`](Self::close).
    #[track_caller]
    pub fn send_to_addr(&self, message: &[u8], address: &SocketAddr) -> io::Result<usize> {
        self.0.write_repeating(|socket| socket.send_to_addr(message, address))
    }

    /// Shuts down receiving, sending or both.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.get().shutdown(how)
    }

    /// Ends all operations on the socket and on its clones, now and later, with
    /// [`NotConnected`](io::ErrorKind::NotConnected). Later messages to it are refused.
    pub fn close(&self) {
        self.0.close();
        // It cannot fail for a socket.
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
    pub fn try_clone(&self) -> io::Result<UnixDatagram> {
        self.0.try_clone(std::os::unix::net::UnixDatagram::try_clone).map(UnixDatagram)
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

implement_descriptor_traits!(UnixDatagram, std::os::unix::net::UnixDatagram);
