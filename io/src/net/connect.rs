//! Sockets that connect without blocking.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::addr::SocketAddrArg;
use rustix::net::{AddressFamily, SocketType};

/// Makes a socket in non-blocking mode, which child processes do not inherit.
#[cfg(not(target_vendor = "apple"))]
pub(crate) fn socket(family: AddressFamily, kind: SocketType) -> io::Result<OwnedFd> {
    use rustix::net::{SocketFlags, socket_with};
    Ok(socket_with(family, kind, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?)
}

/// Makes a socket in non-blocking mode, which child processes do not inherit, and whose writes raise no signal.
#[cfg(target_vendor = "apple")]
pub(crate) fn socket(family: AddressFamily, kind: SocketType) -> io::Result<OwnedFd> {
    use rustix::io::{FdFlags, fcntl_setfd, ioctl_fionbio};
    use rustix::net::sockopt::set_socket_nosigpipe;
    let socket = rustix::net::socket(family, kind, None)?;
    fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    set_socket_nosigpipe(&socket, true)?;
    ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// Starts to connect. Returns whether the connection is established already.
pub(crate) fn start(socket: &OwnedFd, address: &impl SocketAddrArg) -> io::Result<bool> {
    match rustix::net::connect(socket, address) {
        Ok(()) => Ok(true),
        // A signal does not end an attempt to connect.
        Err(Errno::INPROGRESS | Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
