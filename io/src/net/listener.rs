//! TCP listeners.

use std::io;
use std::net::SocketAddr;
use std::sync::Weak;

use super::accept::Accept;
use super::address::each_address;
use super::{TcpStream, ToSocketAddrs};
use crate::socket::{Socket, Watcher, implement_descriptor_traits};

/// The number of connections that wait to be accepted. The system has a limit of its own, which is lower.
const BACKLOG: i32 = 1 << 16;

/// A TCP socket that accepts connections, with the names and the meaning of [`std::net::TcpListener`].
///
/// Several threads can accept from one listener. They get connections in the order in which they came.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
///
/// use kahn::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// let server = kahn::spawn(move || {
///     let (mut stream, _peer) = listener.accept()?;
///     stream.write_all(b"welcome")
/// });
/// let mut text = String::new();
/// TcpStream::connect(address)?.read_to_string(&mut text)?;
/// assert_eq!(text, "welcome");
/// server.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpListener(Socket<std::net::TcpListener>);

impl TcpListener {
    /// Binds to an address, and listens. Tries all addresses of a name until one can be bound. Port 0 stands for any
    /// free port.
    ///
    /// # Parks
    ///
    /// Parks while the name is looked up.
    ///
    /// # Errors
    ///
    /// Returns the error of the last address, the error of the look-up, and
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if there is no address.
    #[track_caller]
    pub fn bind<A: ToSocketAddrs>(address: A) -> io::Result<TcpListener> {
        each_address(address, |address| {
            let listener = std::net::TcpListener::bind(address)?;
            // `std` lets 128 connections wait. When they are too many, clients try again only after a second.
            rustix::net::listen(&listener, BACKLOG)?;
            Socket::new(listener).map(TcpListener)
        })
    }

    /// Returns the address that the listener is bound to.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.get().local_addr()
    }

    /// Returns another handle of the same listener. Both share the mode and the effect of [`close`](Self::close).
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system, such as too many open files, and
    /// [`NotConnected`](io::ErrorKind::NotConnected) after `close`.
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        self.0.try_clone(std::net::TcpListener::try_clone).map(TcpListener)
    }

    /// Waits for a connection, and returns it with the address of the peer.
    ///
    /// # Parks
    ///
    /// Parks while there is no connection, and while another thread accepts.
    ///
    /// # Errors
    ///
    /// Returns [`NotConnected`](io::ErrorKind::NotConnected) after [`close`](Self::close),
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) in non-blocking mode, and the error of the operating system. If that is
    /// about one connection, such as [`ConnectionAborted`](io::ErrorKind::ConnectionAborted), or about too many open
    /// files, the caller can go on. [`serve`](super::serve) does.
    #[track_caller]
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, address) = self.0.read(accept)?;
        Ok((TcpStream(Socket::from_nonblocking(stream)), address))
    }

    /// Returns an iterator over the connections, which never ends. After [`close`](Self::close) it returns errors.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// Ends all operations on the listener and on its clones, now and later, with
    /// [`NotConnected`](io::ErrorKind::NotConnected). Connections that have not been accepted are reset, and new ones
    /// are refused. The address is free when the listener is dropped.
    ///
    /// On systems other than Linux, new connections are refused only when the listener is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::net::{TcpListener, TcpStream};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// kahn::scope(|s| {
    ///     let acceptor = s.spawn(|| listener.accept());
    ///     listener.close();
    ///     assert!(acceptor.join().unwrap().is_err());
    /// });
    /// assert!(TcpStream::connect(listener.local_addr()?).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn close(&self) {
        self.0.close();
        // Linux stops listening then. Elsewhere it fails.
        let _ = rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both);
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

    /// Sets whether [`accept`](Self::accept) returns [`WouldBlock`](io::ErrorKind::WouldBlock) when it would wait.
    ///
    /// # Errors
    ///
    /// Never fails. It has the signature of `std`.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.set_nonblocking(nonblocking);
        Ok(())
    }
}

/// Accepts a connection, which is in non-blocking mode.
#[cfg(target_os = "linux")]
fn accept(listener: &std::net::TcpListener) -> io::Result<(std::net::TcpStream, SocketAddr)> {
    use rustix::net::{SocketFlags, acceptfrom_with};
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (stream, address) = rustix::io::retry_on_intr(|| acceptfrom_with(listener, flags))?;
    let stream = std::net::TcpStream::from(stream);
    let address = match address.map(SocketAddr::try_from) {
        Some(Ok(address)) => address,
        _ => stream.peer_addr()?,
    };
    Ok((stream, address))
}

/// Accepts a connection, which is in non-blocking mode.
#[cfg(not(target_os = "linux"))]
fn accept(listener: &std::net::TcpListener) -> io::Result<(std::net::TcpStream, SocketAddr)> {
    let (stream, address) = listener.accept()?;
    stream.set_nonblocking(true)?;
    Ok((stream, address))
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    #[track_caller]
    fn accept_stream(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.0.read_waiting(accept)?;
        Ok(TcpStream(Socket::from_nonblocking(stream)))
    }

    fn on_close(&self, tell: Weak<dyn Fn() + Send + Sync>) -> io::Result<()> {
        self.0.watch(Watcher::Server(tell))
    }
}

/// The connections of a [`TcpListener`]; see [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    /// Waits for a connection.
    ///
    /// # Parks
    ///
    /// Parks as [`TcpListener::accept`] does.
    #[track_caller]
    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl std::iter::FusedIterator for Incoming<'_> {}

implement_descriptor_traits!(TcpListener, std::net::TcpListener);
