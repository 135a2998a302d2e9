//! UDP and Unix sockets have the names, the signatures and the behaviour of `std`. One source text is compiled and run
//! twice: with std's names and with kahn's.

mod support;

use support::{Folder, within};

/// The text. `$root` is the crate.
macro_rules! program {
    ($root:ident) => {
        use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
        use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
        use std::time::Duration;

        use $root::net::{Ipv4Addr, Ipv6Addr, Shutdown, UdpSocket};
        use $root::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
        use $root::thread;

        use super::Folder;

        const SOON: Duration = Duration::from_millis(20);

        fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
            result.unwrap_err().kind()
        }

        fn udp() -> UdpSocket {
            UdpSocket::bind("127.0.0.1:0").unwrap()
        }

        pub fn udp_messages() {
            let (one, other) = (udp(), udp());
            let (here, there) = (one.local_addr().unwrap(), other.local_addr().unwrap());
            assert_eq!(kind(one.peer_addr()), ErrorKind::NotConnected);
            assert_eq!(one.send_to(b"hello", there).unwrap(), 5);
            let mut buffer = [0; 8];
            assert_eq!(other.peek_from(&mut buffer).unwrap(), (5, here));
            assert_eq!(other.recv_from(&mut buffer).unwrap(), (5, here));
            assert_eq!(&buffer[..5], b"hello");
            other.connect(here).unwrap();
            one.connect(there).unwrap();
            assert_eq!(one.peer_addr().unwrap(), there);
            assert_eq!(one.send(b"long message").unwrap(), 12);
            assert_eq!(other.peek(&mut buffer).unwrap(), 8);
            assert_eq!(other.recv(&mut buffer).unwrap(), 8);
            assert_eq!(one.try_clone().unwrap().send(b"").unwrap(), 0);
            assert_eq!(other.recv(&mut buffer).unwrap(), 0);
            assert_eq!(kind(one.send_to(b"x", &[][..])), ErrorKind::InvalidInput);
            assert_eq!(kind(UdpSocket::bind(here)), ErrorKind::AddrInUse);
        }

        pub fn udp_timeouts_and_modes() {
            let socket = udp();
            assert_eq!(kind(socket.set_read_timeout(Some(Duration::ZERO))), ErrorKind::InvalidInput);
            socket.set_read_timeout(Some(SOON)).unwrap();
            socket.set_write_timeout(Some(SOON)).unwrap();
            assert_eq!(socket.read_timeout().unwrap(), Some(SOON));
            assert_eq!(socket.write_timeout().unwrap(), Some(SOON));
            assert_eq!(kind(socket.recv_from(&mut [0])), ErrorKind::WouldBlock);
            socket.set_read_timeout(None).unwrap();
            socket.set_nonblocking(true).unwrap();
            assert_eq!(kind(socket.recv_from(&mut [0])), ErrorKind::WouldBlock);
            assert_eq!(kind(socket.peek_from(&mut [0])), ErrorKind::WouldBlock);
        }

        pub fn udp_refusal_is_reported() {
            let (one, other) = (udp(), udp());
            one.connect(other.local_addr().unwrap()).unwrap();
            drop(other);
            one.send(b"x").unwrap();
            assert_eq!(kind(one.recv(&mut [0])), ErrorKind::ConnectionRefused);
            assert!(one.take_error().unwrap().is_none());
        }

        pub fn udp_options() {
            let socket = udp();
            socket.set_broadcast(true).unwrap();
            assert!(socket.broadcast().unwrap());
            socket.set_ttl(7).unwrap();
            assert_eq!(socket.ttl().unwrap(), 7);
            socket.set_multicast_loop_v4(false).unwrap();
            assert!(!socket.multicast_loop_v4().unwrap());
            socket.set_multicast_ttl_v4(9).unwrap();
            assert_eq!(socket.multicast_ttl_v4().unwrap(), 9);
            let group = Ipv4Addr::new(224, 0, 0, 123);
            // Not every machine has an interface for it.
            if socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).is_ok() {
                socket.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
            }
            if let Ok(socket) = UdpSocket::bind("[::1]:0") {
                socket.set_multicast_loop_v6(false).unwrap();
                assert!(!socket.multicast_loop_v6().unwrap());
                let group = "ff02::123".parse::<Ipv6Addr>().unwrap();
                if socket.join_multicast_v6(&group, 0).is_ok() {
                    socket.leave_multicast_v6(&group, 0).unwrap();
                }
            }
            let (address, fd) = (socket.local_addr().unwrap(), socket.as_raw_fd());
            assert_eq!(format!("{socket:?}"), format!("UdpSocket {{ addr: {address}, fd: {fd} }}"));
            let socket = UdpSocket::from(OwnedFd::from(socket));
            assert_eq!(socket.local_addr().unwrap(), address);
        }

        pub fn unix_streams() {
            let folder = Folder::new();
            let path = folder.path("socket");
            assert_eq!(kind(UnixStream::connect(&path)), ErrorKind::NotFound);
            assert_eq!(kind(UnixStream::connect("x".repeat(200))), ErrorKind::InvalidInput);
            let listener = UnixListener::bind(&path).unwrap();
            assert_eq!(kind(UnixListener::bind(&path)), ErrorKind::AddrInUse);
            assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*path));
            let mut ours = UnixStream::connect(&path).unwrap();
            let (mut theirs, address): (UnixStream, SocketAddr) = listener.accept().unwrap();
            assert!(address.is_unnamed());
            assert_eq!(ours.peer_addr().unwrap().as_pathname(), Some(&*path));
            assert!(ours.local_addr().unwrap().is_unnamed());
            ours.write_all(b"abc").unwrap();
            assert_eq!(ours.write_vectored(&[IoSlice::new(b"d"), IoSlice::new(b"e")]).unwrap(), 2);
            ours.shutdown(Shutdown::Write).unwrap();
            let mut buffers = ([0; 2], [0; 8]);
            let buffers = &mut [IoSliceMut::new(&mut buffers.0), IoSliceMut::new(&mut buffers.1)];
            assert_eq!(theirs.read_vectored(buffers).unwrap(), 5);
            assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
            drop(ours);
            assert_eq!(kind(theirs.write(b"x")), ErrorKind::BrokenPipe);
            drop(listener);
            assert_eq!(kind(UnixStream::connect(&path)), ErrorKind::ConnectionRefused);
        }

        pub fn unix_stream_settings() {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            assert_eq!(kind(ours.set_write_timeout(Some(Duration::ZERO))), ErrorKind::InvalidInput);
            ours.set_read_timeout(Some(SOON)).unwrap();
            ours.set_write_timeout(Some(SOON)).unwrap();
            assert_eq!(ours.read_timeout().unwrap(), Some(SOON));
            assert_eq!(ours.write_timeout().unwrap(), Some(SOON));
            let mut clone = ours.try_clone().unwrap();
            assert_eq!(kind(clone.read(&mut [0])), ErrorKind::WouldBlock);
            let bytes = vec![0; 1 << 20];
            while ours.write(&bytes).is_ok() {}
            clone.set_nonblocking(true).unwrap();
            assert_eq!(kind(ours.read(&mut [0])), ErrorKind::WouldBlock);
            assert!(ours.take_error().unwrap().is_none());
            assert!(format!("{theirs:?}").starts_with("UnixStream { fd: "));
            assert_eq!(theirs.as_fd().as_raw_fd(), theirs.as_raw_fd());
            // SAFETY: the number comes from `into_raw_fd`, and is used once.
            let mut theirs = unsafe { UnixStream::from_raw_fd(theirs.into_raw_fd()) };
            theirs.read_exact(&mut [0; 100]).unwrap();
        }

        pub fn unix_listener_settings() {
            let folder = Folder::new();
            let path = folder.path("socket");
            let address = SocketAddr::from_pathname(&path).unwrap();
            let listener = UnixListener::bind_addr(&address).unwrap();
            listener.set_nonblocking(true).unwrap();
            assert_eq!(kind(listener.accept()), ErrorKind::WouldBlock);
            listener.set_nonblocking(false).unwrap();
            assert!(listener.take_error().unwrap().is_none());
            thread::scope(|s| {
                s.spawn(|| (0..6).for_each(|_| drop(UnixStream::connect_addr(&address).unwrap())));
                assert_eq!(listener.incoming().take(3).filter(|stream| stream.is_ok()).count(), 3);
                assert_eq!((&listener).into_iter().take(3).filter(|stream| stream.is_ok()).count(), 3);
            });
            let clone = listener.try_clone().unwrap();
            drop(listener);
            UnixStream::connect(&path).unwrap();
            clone.accept().unwrap();
        }

        pub fn unix_datagrams() {
            let folder = Folder::new();
            let (path, other_path) = (folder.path("one"), folder.path("other"));
            let one = UnixDatagram::bind(&path).unwrap();
            let address = SocketAddr::from_pathname(&other_path).unwrap();
            let other = UnixDatagram::bind_addr(&address).unwrap();
            let mut buffer = [0; 8];
            one.send_to(b"hello", &other_path).unwrap();
            let (len, from) = other.recv_from(&mut buffer).unwrap();
            assert_eq!((len, from.as_pathname()), (5, Some(&*path)));
            one.send_to_addr(b"hello", &address).unwrap();
            assert_eq!(other.recv(&mut buffer).unwrap(), 5);
            let unbound = UnixDatagram::unbound().unwrap();
            unbound.connect(&path).unwrap();
            unbound.send(b"x").unwrap();
            assert_eq!(one.recv(&mut buffer).unwrap(), 1);
            unbound.connect_addr(&address).unwrap();
            assert_eq!(unbound.peer_addr().unwrap().as_pathname(), Some(&*other_path));
            assert_eq!(kind(unbound.send_to(b"x", folder.path("none"))), ErrorKind::NotFound);
            let (one, other) = UnixDatagram::pair().unwrap();
            assert_eq!(one.try_clone().unwrap().send(b"ab").unwrap(), 2);
            assert_eq!(other.recv(&mut buffer).unwrap(), 2);
            one.set_read_timeout(Some(SOON)).unwrap();
            assert_eq!(kind(one.recv(&mut buffer)), ErrorKind::WouldBlock);
            one.set_nonblocking(true).unwrap();
            while one.send(&[0; 1000]).is_ok() {}
            one.shutdown(Shutdown::Both).unwrap();
            assert!(one.take_error().unwrap().is_none());
        }

        pub fn unix_datagram_waits_for_room() {
            let folder = Folder::new();
            let path = folder.path("socket");
            let receiver = UnixDatagram::bind(&path).unwrap();
            let sender = UnixDatagram::unbound().unwrap();
            sender.set_write_timeout(Some(SOON)).unwrap();
            while sender.send_to(&[0; 100], &path).is_ok() {}
            assert_eq!(kind(sender.send_to(&[0; 100], &path)), ErrorKind::WouldBlock);
            sender.connect(&path).unwrap();
            assert_eq!(kind(sender.send(&[0; 100])), ErrorKind::WouldBlock);
            sender.set_write_timeout(None).unwrap();
            thread::scope(|s| {
                s.spawn(|| {
                    for _ in 0..500 {
                        sender.send(&[0; 100]).unwrap();
                        sender.send_to(&[0; 100], &path).unwrap();
                    }
                });
                (0..1000).for_each(|_| assert_eq!(receiver.recv(&mut [0; 200]).unwrap(), 100));
            });
        }

        /// All parts of the program.
        pub const PARTS: &[(&str, fn())] = &[
            ("udp_messages", udp_messages),
            ("udp_timeouts_and_modes", udp_timeouts_and_modes),
            ("udp_refusal_is_reported", udp_refusal_is_reported),
            ("udp_options", udp_options),
            ("unix_streams", unix_streams),
            ("unix_stream_settings", unix_stream_settings),
            ("unix_listener_settings", unix_listener_settings),
            ("unix_datagrams", unix_datagrams),
            ("unix_datagram_waits_for_room", unix_datagram_waits_for_room),
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
