//! TCP connections.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use kahn_core::primitives::now;
use kahn_core::source::Interest;
use kahn_core::wait::operation;
use rustix::net::{AddressFamily, SocketType};

use super::ToSocketAddrs;
use super::address::no_address;
use super::connect;
use crate::socket::{Socket, implement_descriptor_traits, implement_stream_traits};

/// A TCP connection, with the names and the meaning of [`std::net::TcpStream`].
///
/// The connection is shut down when the stream and its clones are dropped. Reading, writing and connecting park the
/// green thread while they wait. `Read` and `Write` are implemented for references too, so one green thread can read
/// while another one writes.
///
/// # Examples
///
/// ```no_run
/// use std::io::{Read, Write};
///
/// let mut stream = kahn::net::TcpStream::connect("example.org:80")?;
/// stream.write_all(b"GET / HTTP/1.0\r\nHost: example.org\r\n\r\n")?;
/// let mut page = String::new();
/// stream.read_to_string(&mut page)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpStream(pub(crate) Socket<std::net::TcpStream>);

impl TcpStream {
    /// Connects to an address. Tries all addresses of a name until one connects.
    ///
    /// # Parks
    ///
    /// Parks while the name is looked up, and until the connection is established.
    ///
    /// # Errors
    ///
    /// Returns the error of the last address, the error of the look-up, and
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if there is no address.
    #[track_caller]
    pub fn connect<A: ToSocketAddrs>(address: A) -> io::Result<TcpStream> {
        operation();
        let mut last = no_address();
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_until(&address, None) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Connects to one address, and waits no longer than the time-out.
    ///
    /// # Parks
    ///
    /// Parks until the connection is established.
    ///
    /// # Errors
    ///
    /// Returns [`TimedOut`](io::ErrorKind::TimedOut) when the time-out has passed,
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a time-out of zero, and the error of the operating system.
    #[track_caller]
    pub fn connect_timeout(address: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        if timeout.is_zero() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a time-out of zero is not possible"));
        }
        operation();
        TcpStream::connect_until(address, now().checked_add(timeout))
    }

    #[track_caller]
    fn connect_until(address: &SocketAddr, deadline: Option<Instant>) -> io::Result<TcpStream> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = connect::socket(family, SocketType::STREAM)?;
        let is_connected = connect::start(&socket, address)?;
        let stream = TcpStream(Socket::from_nonblocking(socket.into()));
        if !is_connected {
            stream.0.connected(deadline)?;
        }
        Ok(stream)
    }

    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// Returns [`NotConnected`](io::ErrorKind::NotConnected) if the connection has ended.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.get().peer_addr()
    }

    /// Returns the address of this side.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.get().local_addr()
    }

    /// Shuts down reading, writing or both. Operations of other threads that wait for that direction end at once: reads
    /// return 0, writes fail.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system, such as [`NotConnected`](io::ErrorKind::NotConnected).
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.get().shutdown(how)
    }

    /// Shuts the connection down, and ends all operations on it and on its clones, now and later, with
    /// [`NotConnected`](io::ErrorKind::NotConnected). The peer reads the end of the stream at once. An operation that
    /// another thread is just doing may still succeed.
    ///
    /// The descriptor itself is closed when the stream is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::{ErrorKind, Read};
    ///
    /// use kahn::net::{TcpListener, TcpStream};
    ///
    /// kahn::run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0")?;
    ///     let stream = TcpStream::connect(listener.local_addr()?)?;
    ///     kahn::scope(|s| {
    ///         let reader = s.spawn(|| (&stream).read(&mut [0; 8]));
    ///         stream.close();
    ///         assert_eq!(reader.join().unwrap().unwrap_err().kind(), ErrorKind::NotConnected);
    ///     });
    ///     let (mut peer, _) = listener.accept()?;
    ///     assert_eq!(peer.read(&mut [0; 8])?, 0);
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn close(&self) {
        self.0.close();
        // It fails if the connection has ended.
        let _ = self.0.get().shutdown(Shutdown::Both);
    }

    /// Returns another handle of the same connection. Both share the time-outs, the mode and the effect of
    /// [`close`](Self::close).
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system, such as too many open files, and
    /// [`NotConnected`](io::ErrorKind::NotConnected) after `close`.
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        self.0.try_clone(std::net::TcpStream::try_clone).map(TcpStream)
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

    /// Reads without removing what is read from the stream.
    ///
    /// # Parks
    ///
    /// Parks while there is nothing to read, and while another thread reads.
    ///
    /// # Errors
    ///
    /// Returns the errors of a read.
    #[track_caller]
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(|stream| stream.peek(buffer))
    }

    /// Sets whether small writes are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.0.get().set_nodelay(nodelay)
    }

    /// Returns whether small writes are sent at once.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.0.get().nodelay()
    }

    /// Sets the time to live of packets (`IP_TTL`).
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.0.get().set_ttl(ttl)
    }

    /// Returns the time to live of packets.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn ttl(&self) -> io::Result<u32> {
        self.0.get().ttl()
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

implement_descriptor_traits!(TcpStream, std::net::TcpStream);
implement_stream_traits!(TcpStream, read_stream);
