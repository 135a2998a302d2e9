//! What the tests of this crate share, on top of what the root package's tests share.
#![allow(dead_code, reason = "each test file uses a part")]

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use kahn::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use kahn::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

#[path = "../../../tests/support/mod.rs"]
mod root;

pub use root::*;

/// A folder that is removed when the value is dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("kahn-io-{}-{}", std::process::id(), NEXT.fetch_add(1, SeqCst));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

pub fn tcp_pair() -> (TcpStream, TcpStream) {
    let (listener, address) = listener();
    let ours = TcpStream::connect(address).unwrap();
    (ours, listener.accept().unwrap().0)
}

/// An operation on a socket that waits for ever.
#[derive(Clone)]
pub struct Waiting {
    pub name: &'static str,
    pub operation: Arc<dyn Fn() -> io::Result<()> + Send + Sync>,
    /// Closes the socket.
    pub close: Arc<dyn Fn() + Send + Sync>,
}

impl Waiting {
    /// `close` closes a clone if there is one.
    fn new<S: Send + Sync + 'static, T>(
        name: &'static str,
        socket: S,
        operation: impl Fn(&S) -> io::Result<T> + Send + Sync + 'static,
        close: impl Fn(&S) + Send + Sync + 'static,
    ) -> Waiting {
        let socket = Arc::new(socket);
        let closed = Arc::clone(&socket);
        Waiting {
            name,
            operation: Arc::new(move || operation(&socket).map(drop)),
            close: Arc::new(move || close(&closed)),
        }
    }
}

/// Fills what a stream can hold, and returns it.
fn filled<S>(stream: S, set_nonblocking: fn(&S, bool) -> io::Result<()>) -> S
where
    for<'a> &'a S: Write,
{
    set_nonblocking(&stream, true).unwrap();
    while (&stream).write(&[0; 1 << 16]).is_ok() {}
    set_nonblocking(&stream, false).unwrap();
    stream
}

/// Repeats an operation. The system may make room in a full socket later.
fn endlessly(mut operation: impl FnMut() -> io::Result<usize>) -> io::Result<()> {
    loop {
        operation()?;
    }
}

/// All operations of sockets that wait, except those that connect.
pub fn waiting() -> Vec<Waiting> {
    fn tcp(
        name: &'static str,
        operation: impl Fn(&TcpStream) -> io::Result<usize> + Send + Sync + 'static,
    ) -> Waiting {
        // The peer is kept open.
        Waiting::new(name, tcp_pair(), move |(stream, _)| operation(stream), |(stream, _)| stream.close())
    }
    fn udp(
        name: &'static str,
        operation: impl Fn(&UdpSocket) -> io::Result<usize> + Send + Sync + 'static,
    ) -> Waiting {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        Waiting::new(name, socket, operation, UdpSocket::close)
    }
    let unix = || UnixStream::pair().unwrap();
    let datagram = || UnixDatagram::pair().unwrap();
    let folder = Folder::new();
    let path = folder.path("datagram");
    let receiver = UnixDatagram::bind(&path).unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    sender.set_nonblocking(true).unwrap();
    while sender.send_to(b"x", &path).is_ok() {}
    sender.set_nonblocking(false).unwrap();
    let (full, other) = datagram();
    full.set_nonblocking(true).unwrap();
    while full.send(&[0; 1000]).is_ok() {}
    full.set_nonblocking(false).unwrap();
    let unix_folder = Folder::new();
    let unix_listener = UnixListener::bind(unix_folder.path("listener")).unwrap();
    vec![
        Waiting::new("accept", listener().0, TcpListener::accept, TcpListener::close),
        tcp("read", |mut stream| stream.read(&mut [0; 8])),
        tcp("read after a short read", |mut stream| stream.read(&mut [0; 8])),
        tcp("read into several buffers", |mut stream| {
            stream.read_vectored(&mut [io::IoSliceMut::new(&mut [0; 8])])
        }),
        tcp("peek", |stream| stream.peek(&mut [0; 8])),
        Waiting::new(
            "write",
            {
                let (ours, theirs) = tcp_pair();
                (filled(ours, TcpStream::set_nonblocking), theirs)
            },
            |(stream, _)| endlessly(|| { stream }.write(&[0; 1 << 20])),
            |(stream, _)| stream.close(),
        ),
        Waiting::new(
            "read of a clone",
            {
                let (ours, theirs) = tcp_pair();
                (ours.try_clone().unwrap(), ours, theirs)
            },
            |(clone, _, _)| { clone }.read(&mut [0; 8]),
            |(_, stream, _)| stream.close(),
        ),
        Waiting::new(
            "accept of a clone",
            {
                let listener = listener().0;
                (listener.try_clone().unwrap(), listener)
            },
            |(clone, _)| clone.accept(),
            |(_, listener)| listener.close(),
        ),
        udp("receive", |socket| socket.recv(&mut [0; 8])),
        udp("receive from", |socket| socket.recv_from(&mut [0; 8]).map(|(len, _)| len)),
        udp("peek at a message", |socket| socket.peek(&mut [0; 8])),
        udp("peek at a message from", |socket| socket.peek_from(&mut [0; 8]).map(|(len, _)| len)),
        Waiting::new(
            "Unix accept",
            (unix_listener, unix_folder),
            |(listener, _)| listener.accept(),
            |(listener, _)| listener.close(),
        ),
        Waiting::new(
            "Unix read",
            unix(),
            |(stream, _)| { stream }.read(&mut [0]),
            |(stream, _)| stream.close(),
        ),
        Waiting::new(
            "Unix write",
            {
                let (ours, theirs) = unix();
                (filled(ours, UnixStream::set_nonblocking), theirs)
            },
            |(stream, _)| endlessly(|| { stream }.write(&[0; 1 << 20])),
            |(stream, _)| stream.close(),
        ),
        Waiting::new(
            "Unix receive",
            datagram(),
            |(socket, _)| socket.recv(&mut [0; 8]),
            |(socket, _)| socket.close(),
        ),
        Waiting::new(
            "Unix send",
            (full, other),
            |(socket, _)| endlessly(|| socket.send(&[0; 1000])),
            |(socket, _)| socket.close(),
        ),
        Waiting::new(
            "Unix send to",
            (sender, receiver, folder),
            move |(socket, _, _)| endlessly(|| socket.send_to(b"x", &path)),
            |(socket, _, _)| socket.close(),
        ),
    ]
}

/// An address at which connections are neither accepted nor refused, and what keeps it so.
pub fn deaf() -> (SocketAddr, impl Sized) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // SAFETY: the descriptor is a socket, and is open.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let mut full = Vec::new();
    // The system drops attempts to connect when the queue is full.
    while let Ok(stream) =
        std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_millis(50))
    {
        full.push(stream);
    }
    (address, (listener, full))
}

/// A path at which connections are neither accepted nor refused, and what keeps it so.
pub fn deaf_path() -> (PathBuf, impl Sized) {
    let folder = Folder::new();
    let path = folder.path("deaf");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    // SAFETY: the descriptor is a socket, and is open.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let only = std::os::unix::net::UnixStream::connect(&path).unwrap();
    (path, (folder, listener, only))
}

/// Reads to the end, and returns how many bytes came.
pub fn count(mut stream: &TcpStream) -> io::Result<usize> {
    let mut buffer = [0; 4096];
    let mut count = 0;
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(count),
            n => count += n,
        }
    }
}

/// Writes, and shuts the writing direction down.
pub fn send_all(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    stream.shutdown(Shutdown::Write)
}
