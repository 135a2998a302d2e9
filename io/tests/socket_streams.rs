//! Streams: the end of a stream, urgent data, both directions at once, and reads that find the stream empty.
//!
//! After a read that has emptied a TCP stream, the next read waits before it tries. These tests check that no byte and
//! no end is missed by that.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;

use kahn::net::TcpStream;
use kahn::os::unix::net::UnixStream;
use support::{count, listener, send_all, tcp_pair, until, with_each_size};

/// Reads what is there, into a buffer that is larger.
fn read_some(mut stream: &TcpStream) -> Vec<u8> {
    let mut buffer = [0; 64];
    let len = stream.read(&mut buffer).unwrap();
    buffer[..len].to_vec()
}

/// Waits in another green thread until `f` has begun to wait, or is about to.
fn beside<T: Send>(f: impl FnOnce() -> T + Send, then: impl FnOnce()) -> T {
    kahn::scope(|s| {
        let thread = s.spawn(f);
        (0..5).for_each(|_| kahn::yield_now());
        then();
        thread.join().unwrap()
    })
}

#[test]
fn read_after_a_short_read_sees_later_bytes_and_the_end() {
    with_each_size(|| {
        let (ours, theirs) = tcp_pair();
        for round in 0..50_u8 {
            (&theirs).write_all(&[round; 3]).unwrap();
            assert_eq!(read_some(&ours), [round; 3]);
            assert_eq!(beside(|| read_some(&ours), || (&theirs).write_all(b"x").unwrap()), b"x");
        }
        // The end comes together with the last bytes, or later.
        send_all(&theirs, b"last").unwrap();
        assert_eq!(read_some(&ours), b"last");
        assert_eq!(read_some(&ours), b"");
        let (ours, theirs) = tcp_pair();
        (&theirs).write_all(b"last").unwrap();
        assert_eq!(read_some(&ours), b"last");
        assert_eq!(beside(|| read_some(&ours), || drop(theirs)), b"");
    });
}

#[test]
fn local_shutdown_after_a_short_read_is_seen() {
    with_each_size(|| {
        for registered in [false, true] {
            let (ours, theirs) = tcp_pair();
            if registered {
                beside(|| read_some(&ours), || (&theirs).write_all(b"x").unwrap());
            }
            (&theirs).write_all(b"x").unwrap();
            read_some(&ours);
            ours.shutdown(Shutdown::Read).unwrap();
            assert_eq!(read_some(&ours), b"");
        }
    });
}

#[test]
fn reset_after_a_short_read_is_seen() {
    with_each_size(|| {
        let (ours, theirs) = tcp_pair();
        (&theirs).write_all(b"x").unwrap();
        assert_eq!(read_some(&ours), b"x");
        // Unread bytes turn the close of the peer into a reset.
        (&ours).write_all(b"unread").unwrap();
        assert_eq!(theirs.peek(&mut [0; 8]).unwrap(), 6);
        drop(theirs);
        assert_eq!((&ours).read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn peek_after_a_short_read_waits_for_bytes_and_keeps_them() {
    with_each_size(|| {
        let (ours, theirs) = tcp_pair();
        for _ in 0..20 {
            (&theirs).write_all(b"abc").unwrap();
            assert_eq!(read_some(&ours), b"abc");
            let mut buffer = [0; 8];
            assert_eq!(beside(|| ours.peek(&mut buffer).unwrap(), || (&theirs).write_all(b"de").unwrap()), 2);
            assert_eq!(read_some(&ours), b"de");
        }
    });
}

/// A read ends at urgent data although there is more.
#[test]
fn bytes_behind_urgent_data_are_read() {
    fn send_urgent(stream: &TcpStream, byte: u8) {
        // SAFETY: the buffer is one byte long.
        let sent = unsafe {
            libc::send(stream.as_raw_fd(), (&raw const byte).cast(), 1, libc::MSG_OOB | libc::MSG_NOSIGNAL)
        };
        assert_eq!(sent, 1);
    }
    with_each_size(|| {
        for registered in [false, true] {
            let (ours, theirs) = tcp_pair();
            if registered {
                beside(|| read_some(&ours), || (&theirs).write_all(b"x").unwrap());
            }
            for _ in 0..20 {
                (&theirs).write_all(b"before").unwrap();
                send_urgent(&theirs, b'!');
                (&theirs).write_all(b"behind").unwrap();
                let mut seen = Vec::new();
                while !seen.ends_with(b"behind") {
                    seen.extend(read_some(&ours));
                }
                assert_eq!(seen, b"beforebehind");
            }
        }
    });
}

/// A read of a Unix stream ends at bytes that carry a descriptor.
#[test]
fn bytes_behind_a_descriptor_are_read() {
    fn send_descriptor(stream: &UnixStream) {
        let mut byte = 0_u8;
        let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
        let mut space = [0_u64; 8];
        // SAFETY: the header points to one byte, and to room for one descriptor, which the macros fill as they are meant
        // to.
        unsafe {
            let mut message: libc::msghdr = std::mem::zeroed();
            message.msg_iov = &raw mut part;
            message.msg_iovlen = 1;
            message.msg_control = space.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(4) as _;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(4) as _;
            libc::CMSG_DATA(header).cast::<i32>().write_unaligned(stream.as_raw_fd());
            assert_eq!(libc::sendmsg(stream.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL), 1);
        }
    }
    with_each_size(|| {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        for _ in 0..20 {
            theirs.write_all(b"ab").unwrap();
            send_descriptor(&theirs);
            theirs.write_all(b"cd").unwrap();
            let mut seen = 0;
            while seen < 5 {
                seen += ours.read(&mut [0; 64]).unwrap();
            }
            assert_eq!(seen, 5);
        }
    });
}

#[test]
fn reader_and_writer_use_one_stream_at_once() {
    const BYTES: usize = 4 << 20;
    with_each_size(|| {
        let (ours, theirs) = tcp_pair();
        let bytes = vec![7; BYTES];
        kahn::scope(|s| {
            for stream in [&ours, &theirs] {
                let bytes = &bytes;
                s.spawn(move || send_all(stream, bytes).unwrap());
                s.spawn(move || assert_eq!(count(stream).unwrap(), BYTES));
            }
        });
    });
}

#[test]
fn clones_on_two_green_threads_read_every_byte_once() {
    with_each_size(|| {
        let (ours, theirs) = tcp_pair();
        let clone = ours.try_clone().unwrap();
        kahn::scope(|s| {
            let readers = [&ours, &clone].map(|stream| s.spawn(move || count(stream).unwrap()));
            for _ in 0..2000 {
                (&theirs).write_all(b"xyz").unwrap();
            }
            theirs.shutdown(Shutdown::Write).unwrap();
            assert_eq!(readers.map(|reader| reader.join().unwrap()).iter().sum::<usize>(), 6000);
        });
    });
}

#[test]
fn client_that_sends_a_byte_at_a_time_is_understood() {
    with_each_size(|| {
        let (ours, theirs) = tcp_pair();
        kahn::scope(|s| {
            s.spawn(|| {
                theirs.set_nodelay(true).unwrap();
                for byte in b"GET / HTTP/1.0\r\n\r\n" {
                    (&theirs).write_all(&[*byte]).unwrap();
                    kahn::yield_now();
                }
            });
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.extend(read_some(&ours));
            }
            assert_eq!(request.len(), 18);
        });
    });
}

#[test]
fn client_that_never_reads_holds_up_its_writer_alone() {
    with_each_size(|| {
        let (ours, _theirs) = tcp_pair();
        let writer = kahn::spawn(move || (&ours).write_all(&vec![0; 64 << 20]));
        let (other, peer) = tcp_pair();
        for _ in 0..100 {
            (&other).write_all(b"x").unwrap();
            assert_eq!(read_some(&peer), b"x");
        }
        assert!(!writer.is_finished());
        writer.cancel();
        assert!(writer.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn writer_sees_that_its_peer_has_vanished() {
    with_each_size(|| {
        let (ours, theirs) = tcp_pair();
        let writer = kahn::spawn(move || (&ours).write_all(&vec![0; 64 << 20]));
        assert!(!read_some(&theirs).is_empty());
        drop(theirs);
        let kind = writer.join().unwrap().unwrap_err().kind();
        assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind:?}");
    });
}

#[test]
fn acceptors_get_connections_in_order() {
    with_each_size(|| {
        let (listener, address) = listener();
        kahn::scope(|s| {
            let (accepted, order) = kahn::channel::bounded(100);
            let mut acceptors = Vec::new();
            for n in 0..5 {
                let (accepted, listener) = (accepted.clone(), &listener);
                let (waits, is_waiting) = kahn::channel::bounded(0);
                acceptors.push(s.spawn_local(move || {
                    waits.send(()).unwrap();
                    let (stream, _) = listener.accept().unwrap();
                    accepted.send((n, read_some(&stream))).unwrap();
                }));
                // It runs until it parks in `accept` before the next one is started.
                is_waiting.recv().unwrap();
                kahn::yield_now();
            }
            for n in 0..5_u8 {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(&[n]).unwrap();
                assert_eq!(order.recv().unwrap(), (usize::from(n), vec![n]));
            }
        });
    });
}

#[test]
fn closed_socket_cannot_be_cloned() {
    let (ours, theirs) = tcp_pair();
    let clone = ours.try_clone().unwrap();
    clone.close();
    assert_eq!(ours.try_clone().unwrap_err().kind(), ErrorKind::NotConnected);
    assert_eq!((&ours).write(b"x").unwrap_err().kind(), ErrorKind::NotConnected);
    until("the peer sees the end", || (&theirs).read(&mut [0; 8]).unwrap() == 0);
}
