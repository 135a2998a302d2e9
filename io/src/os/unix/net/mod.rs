//! Unix sockets, with the names and the meaning of [`std::os::unix::net`].
//!
//! What [`net`](crate::net) says of parking, time-outs, clones and `close` holds for these sockets, too.

mod address;
mod datagram;
mod listener;
mod stream;

pub use std::os::unix::net::SocketAddr;

pub use self::datagram::UnixDatagram;
pub use self::listener::{Incoming, UnixListener};
pub use self::stream::UnixStream;
