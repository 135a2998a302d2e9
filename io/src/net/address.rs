//! Addresses, and the look-up of names.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use std::{iter, option, slice, vec};

use kahn_core::thread::{blocking, is_green, spawn};
use kahn_core::wait::operation;

/// A value that can be resolved to socket addresses, with the meaning of [`std::net::ToSocketAddrs`].
///
/// It is implemented for the types for which `std` implements its trait. If the address has to be looked up by its name,
/// the look-up runs on the blocking pool.
///
/// # Examples
///
/// ```
/// use kahn::net::ToSocketAddrs;
///
/// let mut addresses = "127.0.0.1:80".to_socket_addrs()?;
/// assert!(addresses.next().unwrap().is_ipv4());
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait ToSocketAddrs {
    /// The iterator over the addresses.
    type Iter: Iterator<Item = SocketAddr>;

    /// Resolves the addresses.
    ///
    /// # Parks
    ///
    /// Parks while a name is looked up. A literal address is not looked up. If the wait is ended by a cancel or a
    /// timeout, the look-up goes on, and its result is dropped.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidInput`](io::ErrorKind::InvalidInput) if the text is no address, and the errors of the look-up.
    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;
}

/// Calls `std`, which does not wait for this type.
macro_rules! literal {
    ($($address:ty),*) => { $(
        impl ToSocketAddrs for $address {
            type Iter = option::IntoIter<SocketAddr>;

            fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
                std::net::ToSocketAddrs::to_socket_addrs(self)
            }
        }
    )* };
}

literal!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl ToSocketAddrs for (&str, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let (host, port) = *self;
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)].into_iter());
        }
        let host = host.to_owned();
        look_up(move || std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), port)))
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        ToSocketAddrs::to_socket_addrs(&(self.0.as_str(), self.1))
    }
}

impl ToSocketAddrs for str {
    type Iter = vec::IntoIter<SocketAddr>;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        if let Ok(address) = self.parse::<SocketAddr>() {
            return Ok(vec![address].into_iter());
        }
        let text = self.to_owned();
        look_up(move || std::net::ToSocketAddrs::to_socket_addrs(text.as_str()))
    }
}

impl ToSocketAddrs for String {
    type Iter = vec::IntoIter<SocketAddr>;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        ToSocketAddrs::to_socket_addrs(self.as_str())
    }
}

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = iter::Copied<slice::Iter<'a, SocketAddr>>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.iter().copied())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    type Iter = T::Iter;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }
}

type Addresses = vec::IntoIter<SocketAddr>;

/// Runs a look-up on the blocking pool. A green thread of its own waits for the pool, because that wait cannot be ended.
/// The caller waits for this green thread, and that wait can.
#[track_caller]
fn look_up(f: impl FnOnce() -> io::Result<Addresses> + Send + 'static) -> io::Result<Addresses> {
    if !is_green() {
        return f();
    }
    match spawn(move || blocking(f)).join() {
        Ok(addresses) => addresses,
        // The runtime ends.
        Err(error) if error.is_cancelled() => {
            Err(io::Error::new(io::ErrorKind::Interrupted, "the look-up was cancelled"))
        }
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Returns the error of a name without addresses.
pub(super) fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "could not resolve to any addresses")
}

/// Calls `f`, which does not wait, with each address until one call succeeds. Pays for one operation.
///
/// # Errors
///
/// Returns the last error, and [`InvalidInput`](io::ErrorKind::InvalidInput) if there is no address.
#[track_caller]
pub(crate) fn each_address<T>(
    addresses: impl ToSocketAddrs,
    mut f: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    operation();
    let mut last = no_address();
    for address in addresses.to_socket_addrs()? {
        match f(address) {
            Ok(value) => return Ok(value),
            Err(error) => last = error,
        }
    }
    Err(last)
}
