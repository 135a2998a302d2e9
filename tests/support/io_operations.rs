//! Operations of sockets, pipes, children and files, for the tests of the budget.

use std::future::poll_fn;
use std::io::{Read, Seek, Write};
use std::net::Shutdown;
use std::process::Stdio;
use std::sync::Arc;

use kahn::io::{Interest, Source};
use kahn::net::{TcpListener, TcpStream, UdpSocket};
use kahn::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use kahn::process::Command;

use super::parks::io::{Path, listener, source, tcp, unix};
use super::{Case, MANY, Named, NamedRounds, Operation, act, rounds};

/// Fewer connections than a listener's queue holds.
const CONNECTIONS: usize = 100;

/// Operations whose number both sides can count.
pub fn cases() -> Vec<Named> {
    vec![
        ("write to a socket", || writing(|mut stream| stream.write(b"x").unwrap())),
        ("write all to a socket", || {
            writing(|mut stream| {
                stream.write_all(b"x").unwrap();
                1
            })
        }),
        ("read a socket", || reading(|mut stream| stream.read(&mut [0]).unwrap())),
        ("read exactly so much of a socket", || {
            reading(|mut stream| {
                stream.read_exact(&mut [0]).unwrap();
                1
            })
        }),
        ("accept", || accepting(|listener| usize::from(listener.accept().is_ok()))),
        ("accept as an iterator", || {
            accepting(|listener| listener.incoming().next().map_or(0, |stream| usize::from(stream.is_ok())))
        }),
        ("write with a source", || {
            // A TCP stream, which has room for many short writes.
            let (ours, theirs) = tcp();
            let ours = Source::new(std::net::TcpStream::from(ours)).unwrap();
            Case::new(
                move || ours.write_with(|mut stream| stream.write(b"x")).unwrap(),
                move || {
                    theirs.set_nonblocking(true).unwrap();
                    drain(&theirs)
                },
            )
        }),
    ]
}

/// Reads what is there without a wait. Returns how many bytes that is.
fn drain(mut stream: impl Read) -> usize {
    let mut buffer = [0; 1 << 16];
    std::iter::from_fn(|| stream.read(&mut buffer).ok().filter(|&n| n > 0)).sum()
}

fn writing(write: impl Fn(&TcpStream) -> usize + Send + 'static) -> Case {
    let (ours, theirs) = tcp();
    Case::new(
        move || write(&ours),
        move || {
            theirs.set_nonblocking(true).unwrap();
            drain(&theirs)
        },
    )
}

/// From a stream with many bytes. The stream goes on to exist when the reader has given up.
fn reading(read: impl Fn(&TcpStream) -> usize + Send + 'static) -> Case {
    let (ours, theirs) = tcp();
    (&theirs).write_all(&[b'x'; MANY]).unwrap();
    let ours = Arc::new(ours);
    let reader = Arc::clone(&ours);
    Case::new(
        move || {
            let _open = &theirs;
            read(&reader)
        },
        move || {
            ours.set_nonblocking(true).unwrap();
            MANY - drain(&*ours)
        },
    )
}

/// From a listener with some connections. Then `accept` takes none.
fn accepting(accept: impl Fn(&TcpListener) -> usize + Send + 'static) -> Case {
    let (listener, address) = listener();
    listener.set_nonblocking(true).unwrap();
    let peers: Vec<_> = (0..CONNECTIONS).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    let listener = Arc::new(listener);
    let accepts = Arc::clone(&listener);
    Case::new(
        move || accept(&accepts),
        move || {
            let _open = &peers;
            CONNECTIONS - std::iter::from_fn(|| listener.accept().ok()).count()
        },
    )
}

/// Operations that do not park where they are done here, or only for a blocking call.
pub fn operations() -> Vec<Operation> {
    let mut all = stream_operations();
    all.extend(other_socket_operations());
    all.extend(source_operations());
    all.extend(process_operations());
    all.extend(file_operations());
    all
}

fn stream_operations() -> Vec<Operation> {
    vec![
        ("write to and read a socket", || {
            let (ours, theirs) = unix();
            act(move || {
                (&ours).write_all(b"x").unwrap();
                (&theirs).read_exact(&mut [0]).unwrap();
            })
        }),
        ("read the end of a socket", || {
            let (ours, theirs) = tcp();
            theirs.shutdown(Shutdown::Write).unwrap();
            act(move || {
                let _open = &theirs;
                assert_eq!((&ours).read(&mut [0]).unwrap(), 0);
            })
        }),
        ("read a socket to its end", || {
            let (ours, theirs) = tcp();
            theirs.shutdown(Shutdown::Write).unwrap();
            act(move || {
                let _open = &theirs;
                assert_eq!((&ours).read_to_end(&mut Vec::new()).unwrap(), 0);
            })
        }),
        ("peek at a socket", || {
            let (ours, theirs) = tcp();
            (&theirs).write_all(b"x").unwrap();
            act(move || {
                let _open = &theirs;
                assert_eq!(ours.peek(&mut [0]).unwrap(), 1);
            })
        }),
        ("try to read a socket", || {
            let (ours, theirs) = tcp();
            ours.set_nonblocking(true).unwrap();
            act(move || {
                let _open = &theirs;
                assert!((&ours).read(&mut [0]).is_err());
            })
        }),
        ("read a socket, closed", || {
            let (ours, _) = tcp();
            ours.close();
            act(move || assert!((&ours).read(&mut [0]).is_err()))
        }),
        ("write to a socket, closed", || {
            let (ours, _) = tcp();
            ours.close();
            act(move || assert!((&ours).write(b"x").is_err()))
        }),
        ("read a Unix socket, closed", || {
            let (ours, _) = unix();
            ours.close();
            act(move || assert!((&ours).read(&mut [0]).is_err()))
        }),
    ]
}

fn other_socket_operations() -> Vec<Operation> {
    vec![
        ("connect and accept", || {
            let (listener, address) = listener();
            act(move || {
                let _ours = TcpStream::connect(address).unwrap();
                listener.accept().unwrap();
            })
        }),
        ("connect to nobody", || {
            let address = listener().1;
            act(move || assert!(TcpStream::connect(address).is_err()))
        }),
        ("connect to no address", || act(|| assert!(TcpStream::connect(&[][..]).is_err()))),
        ("connect to nobody for a time", || {
            let address = listener().1;
            act(move || assert!(TcpStream::connect_timeout(&address, std::time::Duration::MAX).is_err()))
        }),
        ("bind a listener", || act(|| drop(listener()))),
        ("try to accept", || {
            let (listener, _) = listener();
            listener.set_nonblocking(true).unwrap();
            act(move || assert!(listener.accept().is_err()))
        }),
        ("accept, closed", || {
            let (listener, _) = listener();
            listener.close();
            act(move || assert!(listener.accept().is_err()))
        }),
        ("serve, closed", || {
            let (listener, _) = listener();
            listener.close();
            act(move || assert_eq!(kahn::net::serve(&listener, 1, drop).unwrap().connections, 0))
        }),
        ("serve no connections at a time", || {
            let (listener, _) = listener();
            act(move || assert!(kahn::net::serve(&listener, 0, drop).is_err()))
        }),
        ("bind a socket for datagrams", || act(|| drop(UdpSocket::bind("127.0.0.1:0").unwrap()))),
        ("connect a socket for datagrams", || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            act(move || socket.connect("127.0.0.1:9").unwrap())
        }),
        ("send and receive a datagram", || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let address = socket.local_addr().unwrap();
            act(move || {
                socket.send_to(b"x", address).unwrap();
                socket.recv_from(&mut [0]).unwrap();
            })
        }),
        ("try to receive a datagram", || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            act(move || assert!(socket.recv(&mut [0]).is_err()))
        }),
        ("send to no address", || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            act(move || assert!(socket.send_to(b"x", &[][..]).is_err()))
        }),
        ("send and receive a Unix datagram", || {
            let (ours, theirs) = UnixDatagram::pair().unwrap();
            act(move || {
                ours.send(b"x").unwrap();
                theirs.recv(&mut [0]).unwrap();
            })
        }),
        ("connect to no Unix socket", || {
            let path = Path::new();
            act(move || assert!(UnixStream::connect(&path.0).is_err()))
        }),
        ("bind a Unix listener where one is", || {
            let path = Path::new();
            let listener = UnixListener::bind(&path.0).unwrap();
            act(move || {
                let _open = &listener;
                assert!(UnixListener::bind(&path.0).is_err());
            })
        }),
        ("bind a Unix socket for datagrams where one is", || {
            let path = Path::new();
            let socket = UnixDatagram::bind(&path.0).unwrap();
            act(move || {
                let _open = &socket;
                assert!(UnixDatagram::bind(&path.0).is_err());
            })
        }),
    ]
}

fn source_operations() -> Vec<Operation> {
    vec![
        ("try to read with a source", || {
            let (ours, theirs) = source();
            act(move || {
                let _open = &theirs;
                assert!(ours.try_io(|mut stream| stream.read(&mut [0])).is_err());
            })
        }),
        ("wait until a source is writable", || {
            let (ours, theirs) = source();
            act(move || {
                let _open = &theirs;
                ours.writable().unwrap();
            })
        }),
        ("write and read a source as a stream", || {
            let (ours, mut theirs) = source();
            act(move || {
                theirs.write_all(b"x").unwrap();
                assert!(ours.read_stream(8, None, |mut stream| stream.read(&mut [0; 8])).unwrap() > 0);
            })
        }),
        ("wait for a source, closed", || {
            let (ours, _theirs) = source();
            ours.close();
            act(move || assert!(ours.readable().is_err()))
        }),
        ("block on a source", || {
            let (ours, theirs) = source();
            act(move || {
                let _open = &theirs;
                kahn::block_on(ours.writable_async()).unwrap();
            })
        }),
    ]
}

fn process_operations() -> Vec<Operation> {
    vec![
        ("start a child that does not exist", || act(|| assert!(Command::new("/nothing").spawn().is_err()))),
        ("see whether a child has ended", || {
            let mut child = Command::new("cat").stdin(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
            act(move || assert!(child.try_wait().unwrap().is_none()))
        }),
        ("wait for a child that has ended", || {
            let mut child = Command::new("true").spawn().unwrap();
            child.wait().unwrap();
            act(move || assert!(child.wait().unwrap().success()))
        }),
        ("read the end of a pipe", || {
            let mut child = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
            child.wait().unwrap();
            let mut output = child.stdout.take().unwrap();
            act(move || assert_eq!(output.read(&mut [0]).unwrap(), 0))
        }),
        ("write to a pipe without a reader", || {
            let mut child = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
            let mut input = child.stdin.take().unwrap();
            child.wait().unwrap();
            act(move || assert!(input.write(b"x").is_err()))
        }),
    ]
}

fn file_operations() -> Vec<Operation> {
    vec![
        ("open a file that does not exist", || act(|| assert!(kahn::fs::File::open("/nothing").is_err()))),
        ("ask for a file", || act(|| assert!(kahn::fs::exists("Cargo.toml").unwrap()))),
        ("read the entries of a folder", || {
            act(|| assert!(kahn::fs::read_dir("tests").unwrap().count() > 0))
        }),
        ("read a file", || {
            let mut file = kahn::fs::File::open("Cargo.toml").unwrap();
            act(move || {
                file.read_exact(&mut [0]).unwrap();
                file.rewind().unwrap();
            })
        }),
        ("read the end of a file", || {
            let mut file = kahn::fs::File::open("/dev/null").unwrap();
            act(move || assert_eq!(file.read(&mut [0]).unwrap(), 0))
        }),
    ]
}

/// Operations in a future, one after the other without a pause.
pub fn rounds_of_futures() -> Vec<NamedRounds> {
    vec![
        ("wait until a source is writable", || {
            let (ours, theirs) = shared_source();
            rounds(move || {
                let (ours, _open) = (Arc::clone(&ours), &theirs);
                Box::pin(async move { ours.writable_async().await.unwrap() })
            })
        }),
        ("wait for a source, closed", || {
            let (ours, _theirs) = shared_source();
            ours.close();
            rounds(move || {
                let ours = Arc::clone(&ours);
                Box::pin(async move { assert!(ours.readable_async().await.is_err()) })
            })
        }),
        ("poll a source that is writable", || {
            let (ours, theirs) = shared_source();
            rounds(move || {
                let (ours, _open) = (Arc::clone(&ours), &theirs);
                Box::pin(poll_fn(move |context| {
                    ours.poll_io(Interest::Writable, context, |_| Ok(())).map(Result::unwrap)
                }))
            })
        }),
    ]
}

type SharedSource = Arc<Source<std::os::unix::net::UnixStream>>;

fn shared_source() -> (SharedSource, std::os::unix::net::UnixStream) {
    let (ours, theirs) = source();
    (Arc::new(ours), theirs)
}
