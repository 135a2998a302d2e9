//! UDP sockets.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use kahn_core::source::Interest;
use kahn_core::wait::operation;

use super::ToSocketAddrs;
use super::address::each_address;
use crate::socket::{Socket, implement_descriptor_traits};

/// A UDP socket, with the names and the meaning of [`std::net::UdpSocket`].
///
/// Sending and receiving park the green thread while they wait. One green thread can send while another one receives.
///
/// # Examples
///
/// ```
/// use kahn::net::UdpSocket;
///
/// let socket = UdpSocket::bind("127.0.0.1:0")?;
/// let address = socket.local_addr()?;
/// let echo = kahn::spawn(move || {
///     let mut buffer = [0; 64];
///     let (len, peer) = socket.recv_from(&mut buffer)?;
///     socket.send_to(&buffer[..len], peer)
/// });
/// let socket = UdpSocket::bind("127.0.0.1:0")?;
/// socket.connect(address)?;
/// socket.send(b"hello")?;
/// let mut buffer = [0; 64];
/// let len = socket.recv(&mut buffer)?;
/// assert_eq!(&buffer[..len], b"hello");
/// echo.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UdpSocket(Socket<std::net::UdpSocket>);

impl UdpSocket {
    /// Binds to an address. Tries all addresses of a name until one can be bound. Port 0 stands for any free port.
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
    pub fn bind<A: ToSocketAddrs>(address: A) -> io::Result<UdpSocket> {
        each_address(address, |address| Socket::new(std::net::UdpSocket::bind(address)?).map(UdpSocket))
    }

    /// Sets the peer: [`send`](Self::send) sends to it, and only its messages are received. Tries all addresses of a
    /// name.
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
    pub fn connect<A: ToSocketAddrs>(&self, address: A) -> io::Result<()> {
        each_address(address, |address| self.0.get().connect(address))
    }

    /// Receives a message from the connected peer. Returns its length. What does not fit into the buffer is dropped.
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

    /// Like [`recv`](Self::recv), but leaves the message in the socket.
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
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(|socket| socket.peek(buffer))
    }

    /// Like [`recv_from`](Self::recv_from), but leaves the message in the socket.
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
    pub fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.read(|socket| socket.peek_from(buffer))
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

    /// Sends a message to an address. Of several addresses, the first one is taken. Returns the length of the message.
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
    pub fn send_to<A: ToSocketAddrs>(&self, message: &[u8], address: A) -> io::Result<usize> {
        match address.to_socket_addrs()?.next() {
            Some(address) => self.0.write(|socket| socket.send_to(message, address)),
            None => {
                operation();
                Err(io::Error::new(io::ErrorKind::InvalidInput, "no addresses to send data to"))
            }
        }
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
    pub fn try_clone(&self) -> io::Result<UdpSocket> {
        self.0.try_clone(std::net::UdpSocket::try_clone).map(UdpSocket)
    }

    /// Ends all operations on the socket and on its clones, now and later, with
    /// [`NotConnected`](io::ErrorKind::NotConnected). The address is free when the socket is dropped.
    pub fn close(&self) {
        self.0.close();
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

    /// Sets whether messages may be sent to a broadcast address (`SO_BROADCAST`).
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn set_broadcast(&self, value: bool) -> io::Result<()> {
        self.0.get().set_broadcast(value)
    }

    /// Returns whether messages may be sent to a broadcast address (`SO_BROADCAST`).
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.0.get().broadcast()
    }

    /// Sets whether multicast messages come back to this machine (`IP_MULTICAST_LOOP`).
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn set_multicast_loop_v4(&self, value: bool) -> io::Result<()> {
        self.0.get().set_multicast_loop_v4(value)
    }

    /// Returns whether multicast messages come back to this machine (`IP_MULTICAST_LOOP`).
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.0.get().multicast_loop_v4()
    }

    /// Sets the time to live of multicast messages (`IP_MULTICAST_TTL`).
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn set_multicast_ttl_v4(&self, value: u32) -> io::Result<()> {
        self.0.get().set_multicast_ttl_v4(value)
    }

    /// Returns the time to live of multicast messages (`IP_MULTICAST_TTL`).
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.0.get().multicast_ttl_v4()
    }

    /// Sets whether multicast messages come back to this machine (`IPV6_MULTICAST_LOOP`).
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn set_multicast_loop_v6(&self, value: bool) -> io::Result<()> {
        self.0.get().set_multicast_loop_v6(value)
    }

    /// Returns whether multicast messages come back to this machine (`IPV6_MULTICAST_LOOP`).
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.0.get().multicast_loop_v6()
    }

    /// Sets the time to live of messages (`IP_TTL`).
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn set_ttl(&self, value: u32) -> io::Result<()> {
        self.0.get().set_ttl(value)
    }

    /// Returns the time to live of messages (`IP_TTL`).
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn ttl(&self) -> io::Result<u32> {
        self.0.get().ttl()
    }

    /// Joins a multicast group, on the interface with this address.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn join_multicast_v4(&self, multicast: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.0.get().join_multicast_v4(multicast, interface)
    }

    /// Leaves a multicast group, on the interface with this address.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn leave_multicast_v4(&self, multicast: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.0.get().leave_multicast_v4(multicast, interface)
    }

    /// Joins a multicast group, on the interface with this index.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn join_multicast_v6(&self, multicast: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.0.get().join_multicast_v6(multicast, interface)
    }

    /// Leaves a multicast group, on the interface with this index.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn leave_multicast_v6(&self, multicast: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.0.get().leave_multicast_v6(multicast, interface)
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

implement_descriptor_traits!(UdpSocket, std::net::UdpSocket);
