//! Addresses of Unix sockets, and connecting.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use kahn_core::sleep;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use crate::net::connect::{socket, start};
use crate::socket::Pause;

/// Returns the address for a path, with the errors of `std`.
pub(super) fn address_of(path: &Path) -> io::Result<SocketAddr> {
    SocketAddr::from_pathname(path)
}

/// Converts an address of `std`.
fn converted(address: &SocketAddr) -> io::Result<SocketAddrUnix> {
    if let Some(path) = address.as_pathname() {
        return Ok(SocketAddrUnix::new(path)?);
    }
    #[cfg(target_os = "linux")]
    {
        use std::os::linux::net::SocketAddrExt;
        if let Some(name) = address.as_abstract_name() {
            return Ok(SocketAddrUnix::new_abstract_name(name)?);
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "an address without a name cannot be connected to"))
}

/// Connects a new socket.
#[track_caller]
pub(super) fn connect(kind: SocketType, address: &SocketAddr) -> io::Result<OwnedFd> {
    let address = converted(address)?;
    let socket = socket(AddressFamily::UNIX, kind)?;
    let mut pause = Pause::default();
    loop {
        match start(&socket, &address) {
            // Too many connections wait to be accepted.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(pause.next()),
            Err(error) => return Err(error),
            // A Unix socket connects at once, or not at all.
            Ok(_) => return Ok(socket),
        }
    }
}
