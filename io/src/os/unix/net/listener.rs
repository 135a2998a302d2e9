//! Unix listeners.

use std::io;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::sync::Weak;

use kahn_core::wait::operation;

use super::UnixStream;
use crate::net::Accept;
use crate::socket::{Socket, Watcher, implement_descriptor_traits};

/// A Unix socket that accepts connections, with the names and the meaning of [`std::os::unix::net::UnixListener`].
///
/// Several threads can accept from one listener. They get connections in the order in which they came.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
///
/// use kahn::os::unix::net::{UnixListener, UnixStream};
///
/// # let folder = std::env::temp_dir().join(format!("kahn-listener-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let path = folder.join("socket");
/// let listener = UnixListener::bind(&path)?;
/// kahn::spawn(move || listener.accept()?.0.write_all(b"welcome"));
/// let mut text = String::new();
/// UnixStream::connect(&path)?.read_to_string(&mut text)?;
/// assert_eq!(text, "welcome");
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixListener(pub(super) Socket<std::os::unix::net::UnixListener>);

impl UnixListener {
    /// Makes a socket at this path, and listens. The path must not exist. It is not removed when the listener is
    /// dropped.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system, and [`InvalidInput`](io::ErrorKind::InvalidInput) if the path is too
    /// long.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        operation();
        Socket::new(std::os::unix::net::UnixListener::bind(path)?).map(UnixListener)
    }

    /// Makes a socket with this address, and listens.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixListener> {
        operation();
        Socket::new(std::os::unix::net::UnixListener::bind_addr(address)?).map(UnixListener)
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
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) in non-blocking mode, and the error of the operating system.
    #[track_caller]
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (stream, address) = self.0.read(|listener| listener.accept())?;
        Ok((UnixStream(Socket::new(stream)?), address))
    }

    /// Returns an iterator over the connections, which never ends. After [`close`](Self::close) it returns errors.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// Ends all operations on the listener and on its clones, now and later, with
    /// [`NotConnected`](io::ErrorKind::NotConnected). Connections that have not been accepted are closed, and new ones
    /// are refused.
    ///
    /// On systems other than Linux, new connections are refused only when the listener is dropped.
    pub fn close(&self) {
        self.0.close();
        // Linux refuses connections then. Elsewhere it fails.
        let _ = rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both);
        // Those that were there before stay until they are accepted. The loop ends because no new ones come; where they
        // do come, it ends after as many as Linux lets wait.
        let listener = self.0.get();
        let _ = (0..BACKLOG).take_while(|_| listener.accept().is_ok()).count();
    }

    /// Returns the address of this side.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.get().local_addr()
    }

    /// Returns another handle of the same socket. Both share the mode and the effect of
    /// [`close`](Self::close).
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system, such as too many open files, and
    /// [`NotConnected`](io::ErrorKind::NotConnected) after `close`.
    pub fn try_clone(&self) -> io::Result<UnixListener> {
        self.0.try_clone(std::os::unix::net::UnixListener::try_clone).map(UnixListener)
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

impl Accept for UnixListener {
    type Stream = UnixStream;

    #[track_caller]
    fn accept_stream(&self) -> io::Result<UnixStream> {
        let (stream, _) = self.0.read_waiting(|listener| listener.accept())?;
        Ok(UnixStream(Socket::new(stream)?))
    }

    fn on_close(&self, tell: Weak<dyn Fn() + Send + Sync>) -> io::Result<()> {
        self.0.watch(Watcher::Server(tell))
    }
}

/// The most connections that wait to be accepted.
const BACKLOG: usize = 1 << 16;

/// The connections of a [`UnixListener`]; see [`UnixListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a UnixListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<UnixStream>;

    /// Waits for a connection.
    ///
    /// # Parks
    ///
    /// Parks as [`UnixListener::accept`] does.
    #[track_caller]
    fn next(&mut self) -> Option<io::Result<UnixStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl<'a> IntoIterator for &'a UnixListener {
    type Item = io::Result<UnixStream>;
    type IntoIter = Incoming<'a>;

    fn into_iter(self) -> Incoming<'a> {
        self.incoming()
    }
}

implement_descriptor_traits!(UnixListener, std::os::unix::net::UnixListener);
