//! The sockets have the names, the signatures and the behaviour of `std`. One source text is compiled and run twice:
//! with std's names and with kahn's.

mod support;

use support::within;

/// The text. `$root` is the crate.
macro_rules! program {
    ($root:ident) => {
        use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
        use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
        use std::time::{Duration, Instant};

        use $root::net::{
            IpAddr, Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream, ToSocketAddrs,
        };
        use $root::thread;

        const SOON: Duration = Duration::from_millis(20);

        fn listener() -> (TcpListener, SocketAddr) {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            (listener, address)
        }

        fn pair() -> (TcpStream, TcpStream) {
            let (listener, address) = listener();
            let ours = TcpStream::connect(address).unwrap();
            let (theirs, peer) = listener.accept().unwrap();
            assert_eq!(peer, ours.local_addr().unwrap());
            (ours, theirs)
        }

        fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
            result.unwrap_err().kind()
        }

        pub fn addresses() {
            let expected: SocketAddr = "127.0.0.1:7".parse().unwrap();
            fn first(addresses: impl ToSocketAddrs) -> io::Result<SocketAddr> {
                Ok(addresses.to_socket_addrs()?.next().unwrap())
            }
            let local = Ipv4Addr::LOCALHOST;
            for resolved in [
                first(expected),
                first(&expected),
                first(SocketAddrV4::new(local, 7)),
                first((local, 7)),
                first((IpAddr::V4(local), 7)),
                first("127.0.0.1:7"),
                first("127.0.0.1:7".to_owned()),
                first(("127.0.0.1", 7)),
                first(("127.0.0.1".to_owned(), 7)),
                first(&[expected, expected][..]),
            ] {
                assert_eq!(resolved.unwrap(), expected);
            }
            assert!(first("localhost:7").unwrap().ip().is_loopback());
            assert!(first(("localhost", 7)).unwrap().ip().is_loopback());
            assert_eq!(kind(first("127.0.0.1")), ErrorKind::InvalidInput);
            assert_eq!(kind(first("127.0.0.1:x")), ErrorKind::InvalidInput);
            assert!(first("no-such-host.invalid:7").is_err());
        }

        pub fn connect_tries_every_address() {
            let (free, refusing) = listener();
            drop(free);
            let (listener, address) = listener();
            let stream = TcpStream::connect(&[refusing, address][..]).unwrap();
            assert_eq!(stream.peer_addr().unwrap(), address);
            assert_eq!(kind(TcpStream::connect(&[refusing, refusing][..])), ErrorKind::ConnectionRefused);
            assert_eq!(kind(TcpStream::connect(&[][..])), ErrorKind::InvalidInput);
            assert_eq!(kind(TcpListener::bind(address)), ErrorKind::AddrInUse);
            drop(listener);
        }

        pub fn bytes_arrive() {
            let (mut ours, mut theirs) = pair();
            theirs.write_all(b"hello, ").unwrap();
            assert_eq!(theirs.write_vectored(&[IoSlice::new(b"wor"), IoSlice::new(b"ld")]).unwrap(), 5);
            theirs.flush().unwrap();
            let mut seen = [0; 12];
            while ours.peek(&mut seen).unwrap() < 12 {}
            assert_eq!(&seen, b"hello, world");
            let (mut one, mut other) = ([0; 6], [0; 6]);
            let buffers = &mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut other)];
            assert_eq!(ours.read_vectored(buffers).unwrap(), 12);
            assert_eq!((&one, &other), (b"hello,", b" world"));
            assert_eq!((&ours).write(b"x").unwrap(), 1);
            assert_eq!((&theirs).read(&mut seen).unwrap(), 1);
            drop(theirs);
            assert_eq!(ours.read(&mut seen).unwrap(), 0);
        }

        pub fn half_close() {
            let (mut ours, mut theirs) = pair();
            ours.write_all(b"question").unwrap();
            ours.shutdown(Shutdown::Write).unwrap();
            assert_eq!(kind(ours.write(b"x")), ErrorKind::BrokenPipe);
            let mut text = String::new();
            theirs.read_to_string(&mut text).unwrap();
            theirs.write_all(b"reply").unwrap();
            drop(theirs);
            assert_eq!(text, "question");
            text.clear();
            ours.read_to_string(&mut text).unwrap();
            assert_eq!(text, "reply");
        }

        pub fn shutdown_ends_a_read() {
            let (ours, _theirs) = pair();
            thread::scope(|s| {
                let reader = s.spawn(|| (&ours).read(&mut [0; 4]));
                thread::sleep(SOON);
                ours.shutdown(Shutdown::Read).unwrap();
                assert_eq!(reader.join().unwrap().unwrap(), 0);
            });
        }

        pub fn timeouts() {
            let (mut ours, _theirs) = pair();
            assert_eq!((ours.read_timeout().unwrap(), ours.write_timeout().unwrap()), (None, None));
            assert_eq!(kind(ours.set_read_timeout(Some(Duration::ZERO))), ErrorKind::InvalidInput);
            assert_eq!(kind(ours.set_write_timeout(Some(Duration::ZERO))), ErrorKind::InvalidInput);
            ours.set_read_timeout(Some(SOON)).unwrap();
            ours.set_write_timeout(Some(SOON)).unwrap();
            assert_eq!(ours.read_timeout().unwrap(), Some(SOON));
            assert_eq!(ours.write_timeout().unwrap(), Some(SOON));
            let start = Instant::now();
            let error = ours.read(&mut [0; 4]).unwrap_err();
            assert!(start.elapsed() >= SOON);
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            assert!(error.raw_os_error().is_some());
            assert_eq!(kind(ours.peek(&mut [0; 4])), ErrorKind::WouldBlock);
            // A clone has the same time-out.
            let mut clone = ours.try_clone().unwrap();
            assert_eq!(kind(clone.read(&mut [0; 4])), ErrorKind::WouldBlock);
            let bytes = vec![0; 1 << 20];
            let error = loop {
                if let Err(error) = ours.write(&bytes) {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            clone.set_read_timeout(None).unwrap();
            assert_eq!(ours.read_timeout().unwrap(), None);
            ours.set_read_timeout(Some(Duration::MAX)).unwrap();
        }

        pub fn connect_timeouts() {
            let (listener, address) = listener();
            let nothing = TcpStream::connect_timeout(&address, Duration::ZERO);
            assert_eq!(kind(nothing), ErrorKind::InvalidInput);
            let long = Duration::from_secs(1000);
            let stream = TcpStream::connect_timeout(&address, long).unwrap();
            assert_eq!(stream.peer_addr().unwrap(), address);
            drop(listener);
            let refused = TcpStream::connect_timeout(&address, long);
            assert_eq!(kind(refused), ErrorKind::ConnectionRefused);
        }

        pub fn clones_are_one_connection() {
            let (mut ours, mut theirs) = pair();
            let mut clone = ours.try_clone().unwrap();
            assert_ne!(ours.as_raw_fd(), clone.as_raw_fd());
            thread::scope(|s| {
                s.spawn(|| ours.write_all(b"x").unwrap());
                s.spawn(|| assert_eq!(clone.read(&mut [0; 4]).unwrap(), 1));
                theirs.write_all(b"y").unwrap();
            });
            drop(ours);
            assert_eq!(theirs.read(&mut [0; 4]).unwrap(), 1);
            clone.shutdown(Shutdown::Both).unwrap();
            assert_eq!(theirs.read(&mut [0; 4]).unwrap(), 0);
        }

        pub fn options() {
            let (ours, _theirs) = pair();
            ours.set_nodelay(true).unwrap();
            assert!(ours.nodelay().unwrap());
            ours.set_ttl(17).unwrap();
            assert_eq!(ours.ttl().unwrap(), 17);
            assert!(ours.take_error().unwrap().is_none());
            let (listener, address) = listener();
            listener.set_ttl(18).unwrap();
            assert_eq!(listener.ttl().unwrap(), 18);
            assert!(listener.take_error().unwrap().is_none());
            let fd = listener.as_raw_fd();
            assert_eq!(format!("{listener:?}"), format!("TcpListener {{ addr: {address}, fd: {fd} }}"));
            let text = format!("{ours:?}");
            assert!(text.starts_with("TcpStream { addr: 127.0.0.1:"), "{text}");
        }

        pub fn nonblocking_mode() {
            let (listener, address) = listener();
            listener.set_nonblocking(true).unwrap();
            assert_eq!(kind(listener.accept()), ErrorKind::WouldBlock);
            listener.try_clone().unwrap().set_nonblocking(false).unwrap();
            let mut ours = TcpStream::connect(address).unwrap();
            let (mut theirs, _) = listener.accept().unwrap();
            ours.set_nonblocking(true).unwrap();
            assert_eq!(kind(ours.read(&mut [0; 4])), ErrorKind::WouldBlock);
            let bytes = vec![0; 1 << 20];
            while ours.write(&bytes).is_ok() {}
            assert_eq!(kind(ours.write(&bytes)), ErrorKind::WouldBlock);
            ours.set_nonblocking(false).unwrap();
            theirs.write_all(b"x").unwrap();
            assert_eq!(ours.read(&mut [0; 4]).unwrap(), 1);
        }

        pub fn incoming_connections() {
            let (listener, address) = listener();
            thread::scope(|s| {
                s.spawn(|| {
                    for n in 0..10 {
                        TcpStream::connect(address).unwrap().write_all(&[n]).unwrap();
                    }
                });
                for (n, stream) in listener.incoming().take(10).enumerate() {
                    let mut byte = [0];
                    stream.unwrap().read_exact(&mut byte).unwrap();
                    assert_eq!(usize::from(byte[0]), n);
                }
            });
        }

        pub fn descriptors() {
            let (mut ours, mut theirs) = pair();
            assert_eq!(ours.as_fd().as_raw_fd(), ours.as_raw_fd());
            theirs.write_all(b"xyz").unwrap();
            let fd: OwnedFd = ours.into();
            ours = TcpStream::from(fd);
            ours.read_exact(&mut [0]).unwrap();
            // SAFETY: the number comes from `into_raw_fd`, and is used once.
            ours = unsafe { TcpStream::from_raw_fd(ours.into_raw_fd()) };
            ours.read_exact(&mut [0]).unwrap();
            // A thread that has the descriptor alone can block in it.
            let mut file = std::fs::File::from(OwnedFd::from(ours));
            file.read_exact(&mut [0]).unwrap();
            drop(theirs);
            assert_eq!(file.read(&mut [0]).unwrap(), 0);
            let (listener, address) = listener();
            let listener = TcpListener::from(OwnedFd::from(listener));
            assert_eq!(listener.local_addr().unwrap(), address);
        }

        /// All parts of the program.
        pub const PARTS: &[(&str, fn())] = &[
            ("addresses", addresses),
            ("connect_tries_every_address", connect_tries_every_address),
            ("bytes_arrive", bytes_arrive),
            ("half_close", half_close),
            ("shutdown_ends_a_read", shutdown_ends_a_read),
            ("timeouts", timeouts),
            ("connect_timeouts", connect_timeouts),
            ("clones_are_one_connection", clones_are_one_connection),
            ("options", options),
            ("nonblocking_mode", nonblocking_mode),
            ("incoming_connections", incoming_connections),
            ("descriptors", descriptors),
        ];
    };
}

mod with_std {
    program!(std);
}

mod with_kahn {
    program!(kahn);
}

#[test]
fn program_runs_with_std() {
    for (name, part) in with_std::PARTS {
        within(name, part);
    }
}

#[test]
fn program_runs_on_green_threads() {
    for workers in [1, 2, 4] {
        let runtime = support::runtime(workers);
        for (name, part) in with_kahn::PARTS {
            within(&format!("{name}, {workers} workers"), || runtime.run(part));
        }
    }
}

#[test]
fn program_runs_on_os_threads() {
    for (name, part) in with_kahn::PARTS {
        within(name, part);
    }
}
