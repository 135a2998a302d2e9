//! Every operation of sockets, pipes, children, files and signals that waits.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use kahn::io::{Interest, IoSlice, IoSliceMut, Read, Seek, Source, Write};
use kahn::net::{TcpListener, TcpStream, UdpSocket};
use kahn::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use kahn::process::{Child, Command};

use super::Park;

/// The path of this file in a report.
#[allow(dead_code, reason = "each test file uses a part")]
pub const FILE: &str = file!();

/// A wait, with a function that prepares it and returns what waits.
pub type Wait = (&'static str, fn() -> Box<dyn FnOnce()>);

/// Defines a list of waits, and the same list for those who prepare and wait in one call.
macro_rules! waits {
    ($parks:ident, $waits:ident: $($name:literal: $prepare:expr;)*) => {
        #[allow(dead_code, reason = "each test file uses a part")]
        pub fn $parks() -> Vec<Park> {
            vec![$(($name, || $prepare()())),*]
        }

        #[allow(dead_code, reason = "each test file uses a part")]
        pub fn $waits() -> Vec<Wait> {
            vec![$(($name, || Box::new($prepare()))),*]
        }
    };
}

pub fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

pub fn tcp() -> (TcpStream, TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (ours.into(), listener.accept().unwrap().0.into())
}

pub fn unix() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

/// A stream that takes no more bytes, and its peer.
fn full() -> (UnixStream, UnixStream) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    while (&ours).write(&[0; 1 << 16]).is_ok() {}
    ours.set_nonblocking(false).unwrap();
    (ours.into(), theirs.into())
}

pub fn source() -> (Source<std::os::unix::net::UnixStream>, std::os::unix::net::UnixStream) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    (Source::new(ours).unwrap(), theirs)
}

/// A path that no other call returns. The socket there is removed when the value is dropped.
pub struct Path(pub std::path::PathBuf);

impl Path {
    pub fn new() -> Path {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("kahn-{}-{}", std::process::id(), NEXT.fetch_add(1, SeqCst));
        Path(std::env::temp_dir().join(name))
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A path at which connections are neither accepted nor refused, and what keeps it so.
fn deaf() -> (Path, impl Sized) {
    use std::os::fd::AsRawFd;
    let path = Path::new();
    let listener = std::os::unix::net::UnixListener::bind(&path.0).unwrap();
    // SAFETY: the descriptor is a socket, and is open.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let only = std::os::unix::net::UnixStream::connect(&path.0).unwrap();
    (path, (listener, only))
}

/// An address at which connections are neither accepted nor refused, and what keeps it so.
fn deaf_address() -> (SocketAddr, impl Sized) {
    use std::os::fd::AsRawFd;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // SAFETY: the descriptor is a socket, and is open.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    // The system drops attempts to connect when the queue is full.
    let connect = || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50)).ok();
    (address, (std::iter::from_fn(connect).collect::<Vec<_>>(), listener))
}

/// A child that reads until its input ends. It ends with this process, which has the other end of the pipe.
fn child() -> Child {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command.spawn().unwrap()
}

waits! { parks, waits:
    "accept": || {
        let (listener, _) = listener();
        move || _ = listener.accept()
    };
    "iterate over connections": || {
        let (listener, _) = listener();
        move || _ = listener.incoming().next()
    };
    "serve": || {
        let (listener, _) = listener();
        move || _ = kahn::net::serve(&listener, 1, drop)
    };
    "read a socket": || {
        let (mut ours, theirs) = tcp();
        move || {
            let _ = ours.read(&mut [0; 8]);
            drop(theirs);
        }
    };
    "read a socket into several buffers": || {
        let (mut ours, theirs) = tcp();
        move || {
            let _ = ours.read_vectored(&mut [IoSliceMut::new(&mut [0; 8])]);
            drop(theirs);
        }
    };
    "read exactly so much of a socket": || {
        let (mut ours, theirs) = tcp();
        move || {
            let _ = ours.read_exact(&mut [0; 8]);
            drop(theirs);
        }
    };
    "read a socket to its end": || {
        let (mut ours, theirs) = tcp();
        move || {
            let _ = ours.read_to_end(&mut Vec::new());
            drop(theirs);
        }
    };
    "read the text of a socket": || {
        let (ours, theirs) = tcp();
        move || {
            let _ = { &ours }.read_to_string(&mut String::new());
            drop(theirs);
        }
    };
    "peek at a socket": || {
        let (ours, theirs) = tcp();
        move || {
            let _ = ours.peek(&mut [0; 8]);
            drop(theirs);
        }
    };
    "copy from a socket": || {
        let (mut ours, theirs) = tcp();
        move || {
            let _ = kahn::io::copy(&mut ours, &mut Vec::new());
            drop(theirs);
        }
    };
    "receive a datagram": || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        move || _ = socket.recv(&mut [0; 8])
    };
    "receive a datagram and its sender": || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        move || _ = socket.recv_from(&mut [0; 8])
    };
    "Unix accept": || {
        let path = Path::new();
        let listener = UnixListener::bind(&path.0).unwrap();
        move || {
            let _ = listener.accept();
            drop(path);
        }
    };
    "connect to a Unix socket": || {
        let (path, deaf) = deaf();
        move || {
            let _ = UnixStream::connect(&path.0);
            drop(deaf);
        }
    };
    "read a Unix socket": || {
        let (mut ours, theirs) = unix();
        move || {
            let _ = ours.read(&mut [0; 8]);
            drop(theirs);
        }
    };
    "write to a full socket": || {
        let (mut ours, theirs) = full();
        move || {
            let _ = ours.write(&[0; 8]);
            drop(theirs);
        }
    };
    "write several buffers to a full socket": || {
        let (mut ours, theirs) = full();
        move || {
            let _ = ours.write_vectored(&[IoSlice::new(&[0; 8])]);
            drop(theirs);
        }
    };
    "write all to a full socket": || {
        let (mut ours, theirs) = full();
        move || {
            let _ = ours.write_all(&[0; 8]);
            drop(theirs);
        }
    };
    "receive a Unix datagram": || {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        move || {
            let _ = ours.recv(&mut [0; 8]);
            drop(theirs);
        }
    };
    "send to a full Unix datagram socket": || {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        while ours.send(&[0; 1000]).is_ok() {}
        ours.set_nonblocking(false).unwrap();
        move || {
            let _ = ours.send(&[0; 1000]);
            drop(theirs);
        }
    };
    "read with a source": || {
        let (ours, theirs) = source();
        move || {
            let _ = ours.read_with(|mut stream| stream.read(&mut [0; 8]));
            drop(theirs);
        }
    };
    "write with a source": || {
        let (ours, theirs) = source();
        move || {
            let _ = ours.write_with(|mut stream| stream.write(&[0; 1 << 20]).and(Err::<(), _>(
                std::io::ErrorKind::WouldBlock.into(),
            )));
            drop(theirs);
        }
    };
    "wait until a source is readable": || {
        let (ours, theirs) = source();
        move || {
            let _ = ours.readable();
            drop(theirs);
        }
    };
    "wait until a moment for a source": || {
        let (ours, theirs) = source();
        move || {
            let _ = ours.ready(Interest::Readable, Instant::now().checked_add(Duration::from_secs(3600)));
            drop(theirs);
        }
    };
    "read a stream with a source": || {
        let (ours, theirs) = source();
        move || {
            let _ = ours.read_stream(8, None, |mut stream| stream.read(&mut [0; 8]));
            drop(theirs);
        }
    };
    "block on a source": || {
        let (ours, theirs) = source();
        move || {
            let _ = kahn::block_on(ours.readable_async());
            drop(theirs);
        }
    };
    "block on a poll of a source": || {
        let (ours, theirs) = source();
        move || {
            let _ = kahn::block_on(poll_fn(|context| {
                ours.poll_io(Interest::Readable, context, |mut stream| stream.read(&mut [0; 8]))
            }));
            drop(theirs);
        }
    };
    "select a source": || {
        let (ours, theirs) = source();
        move || {
            kahn::channel::select! {
                wait(ours.readable_async()) -> _ => {},
                recv(kahn::channel::never::<()>()) -> _ => {},
            }
            drop(theirs);
        }
    };
    "wait for a child": || {
        let mut child = child();
        // The pipe stays open, so the child does not end.
        let input = child.stdin.take();
        move || {
            let _ = child.wait();
            drop(input);
        }
    };
    "read a pipe": || {
        let child = child();
        move || {
            let mut child = child;
            let _ = child.stdout.as_mut().unwrap().read(&mut [0; 8]);
        }
    };
    "read a pipe to its end": || {
        let child = child();
        move || {
            let mut child = child;
            let _ = child.stdout.as_mut().unwrap().read_to_end(&mut Vec::new());
        }
    };
    "receive a signal": || {
        let signals = kahn::signal::listen(&[kahn::signal::Signal::USER_DEFINED2]).unwrap();
        move || _ = signals.recv()
    };
    "join a task": || || _ = kahn::task::spawn(std::future::pending::<()>()).join();
}

// Waits that take too long to prepare, that end by themselves, or that no cancel ends once they have begun.
waits! { short_parks, short_waits:
    "connect": || {
        let (address, deaf) = deaf_address();
        move || {
            let _ = TcpStream::connect(address);
            drop(deaf);
        }
    };
    "connect for a time": || {
        let (address, deaf) = deaf_address();
        move || {
            let _ = TcpStream::connect_timeout(&address, Duration::from_secs(3600));
            drop(deaf);
        }
    };
    "connect to a name": || {
        let (listener, address) = listener();
        move || {
            let _ = TcpStream::connect(("localhost", address.port()));
            drop(listener);
        }
    };
    "start a child": || || _ = Command::new("true").spawn();
    "run a child": || || _ = Command::new("true").status();
    "run a child for its output": || || _ = Command::new("true").output();
    "wait for the output of a child": || {
        let mut child = child();
        let input = child.stdin.take();
        move || {
            let _ = child.wait_with_output();
            drop(input);
        }
    };
    "write all to a pipe": || {
        let child = child();
        move || {
            let mut child = child;
            // It fills the pipe to the child, and that from the child.
            let _ = child.stdin.as_mut().unwrap().write_all(&[0; 1 << 20]);
        }
    };
    "open a file": || || _ = kahn::fs::File::open("Cargo.toml");
    "open a file with options": || || _ = kahn::fs::OpenOptions::new().read(true).open("Cargo.toml");
    "read a whole file": || || _ = kahn::fs::read("Cargo.toml");
    "read the text of a file": || || _ = kahn::fs::read_to_string("Cargo.toml");
    "ask for a file": || || _ = kahn::fs::exists("Cargo.toml");
    "ask for the metadata of a file": || || _ = kahn::fs::metadata("Cargo.toml");
    "read a folder": || || _ = kahn::fs::read_dir(".");
    "read an entry of a folder": || {
        let mut entries = kahn::fs::read_dir(".").unwrap();
        move || _ = entries.next()
    };
    "read at the end of a file": || {
        let mut file = kahn::fs::File::open("/dev/null").unwrap();
        move || _ = file.read(&mut [0; 8])
    };
    "read exactly so much at the end of a file": || {
        let mut file = kahn::fs::File::open("/dev/null").unwrap();
        move || _ = file.read_exact(&mut [0; 8])
    };
    "read a file to its end": || {
        let mut file = kahn::fs::File::open("Cargo.toml").unwrap();
        move || _ = file.read_to_end(&mut Vec::new())
    };
    "write to a file": || {
        let mut file = kahn::fs::File::create("/dev/null").unwrap();
        move || _ = file.write(&[0; 8])
    };
    "write all to a file": || {
        let mut file = kahn::fs::File::create("/dev/null").unwrap();
        move || _ = file.write_all(&[0; 8])
    };
    "write text to a file": || {
        let mut file = kahn::fs::File::create("/dev/null").unwrap();
        move || _ = write!(file, "{}", 1)
    };
    "seek in a file": || {
        let mut file = kahn::fs::File::open("Cargo.toml").unwrap();
        move || _ = file.rewind()
    };
    "ask for the position in a file": || {
        let mut file = kahn::fs::File::open("Cargo.toml").unwrap();
        move || _ = file.stream_position()
    };
    "save a file": || {
        let file = kahn::fs::File::create("/dev/null").unwrap();
        move || _ = file.sync_all()
    };
}
