//! TCP and UDP sockets, with the names and the meaning of [`std::net`].
//!
//! An operation that has to wait parks the green thread that calls it. Its worker runs others meanwhile. On an OS thread
//! outside any runtime, it blocks that thread. To port a program, replace `std::net` with `kahn::net`. The sockets do
//! more than those of `std` in these respects:
//!
//! - A cancel of the green thread, and an enclosing [`timeout`](kahn_core::time::timeout), end every wait.
//! - [`close`](TcpStream::close) ends the operations of all threads on a socket.
//! - Several threads that read from one socket, or accept from one listener, are served in the order in which they came.
//! - [`serve`] handles each connection in a green thread.
//!
//! # Time-outs
//!
//! [`set_read_timeout`](TcpStream::set_read_timeout) and [`set_write_timeout`](TcpStream::set_write_timeout) bound each
//! call from its beginning, whatever happens in between. When the time-out has passed, the call returns
//! [`WouldBlock`](std::io::ErrorKind::WouldBlock), as with `std` on Unix.
//!
//! # Clones
//!
//! `try_clone` duplicates the descriptor. The clones are one socket: they share its time-outs, its mode and the effect
//! of `close`.
//!
//! # Sockets that other code uses, too
//!
//! The mode of a descriptor, blocking or not, belongs to all its duplicates. If one of them is set to blocking mode, an
//! operation of kahn on another one may block its worker. That happens when one of two clones is converted into a socket
//! of `std`, and when a program changes the mode through `as_raw_fd`.
//!
//! # Examples
//!
//! ```
//! use std::io::{Read, Write};
//!
//! use kahn::net::{TcpListener, TcpStream};
//!
//! kahn::run(|| {
//!     let listener = TcpListener::bind("127.0.0.1:0")?;
//!     let address = listener.local_addr()?;
//!     kahn::spawn(move || {
//!         for stream in listener.incoming() {
//!             let stream = stream.unwrap();
//!             // A green thread for each connection, which sends back what it receives.
//!             kahn::spawn(move || std::io::copy(&mut &stream, &mut &stream));
//!         }
//!     });
//!     let mut stream = TcpStream::connect(address)?;
//!     stream.write_all(b"hello")?;
//!     let mut reply = [0; 5];
//!     stream.read_exact(&mut reply)?;
//!     assert_eq!(&reply, b"hello");
//!     Ok::<(), std::io::Error>(())
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod accept;
mod address;
pub(crate) mod connect;
mod listener;
mod serve;
mod stream;
mod udp;

pub use std::net::{
    AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6,
};

pub(crate) use self::accept::Accept;
pub use self::accept::Listener;
pub use self::address::ToSocketAddrs;
pub use self::listener::{Incoming, TcpListener};
pub use self::serve::{Served, Server, serve};
pub use self::stream::TcpStream;
pub use self::udp::UdpSocket;
