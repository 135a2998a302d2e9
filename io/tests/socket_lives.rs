//! The lives of sockets: sockets that move between workers and runtimes, descriptors that are used again at once, many
//! sockets, and nothing that is left behind.

mod support;

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use kahn::io::Source;
use kahn::net::{TcpListener, TcpStream, UdpSocket};
use kahn::os::unix::net::UnixStream;
use support::{listener, rounds, runtime, tcp_pair, until, with_each_size, within};

/// Tests that count descriptors or need many run one at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(|error| error.into_inner())
}

fn exchange(mut one: &TcpStream, mut other: &TcpStream) {
    let mut byte = [0];
    one.write_all(b"x").unwrap();
    other.read_exact(&mut byte).unwrap();
    other.write_all(&byte).unwrap();
    one.read_exact(&mut byte).unwrap();
}

/// Lets the stream be registered on the worker that runs.
fn wait_on_both(one: &TcpStream, other: &TcpStream) {
    kahn::scope(|s| {
        s.spawn(|| exchange(one, other)).join().unwrap();
    });
}

#[test]
fn socket_moves_between_workers() {
    for workers in [2, 4] {
        within(&format!("{workers} workers"), || {
            runtime(workers).run(|| {
                let pair = std::sync::Arc::new(tcp_pair());
                wait_on_both(&pair.0, &pair.1);
                for _ in 0..200 {
                    let pair = pair.clone();
                    // Wherever this is started.
                    kahn::spawn(move || exchange(&pair.0, &pair.1)).join().unwrap();
                }
            });
        });
    }
}

#[test]
fn socket_outlives_the_runtime_on_which_it_was_registered() {
    let _alone = alone();
    for workers in [1, 2, 4] {
        within(&format!("{workers} workers"), || {
            for _ in 0..rounds(20) {
                let (one, other) = runtime(workers).run(|| {
                    let (one, other) = tcp_pair();
                    wait_on_both(&one, &other);
                    (one, other)
                });
                // On this thread, in a new runtime, and on this thread again.
                exchange(&one, &other);
                runtime(workers).run(|| exchange(&one, &other));
                exchange(&one, &other);
            }
        });
    }
}

#[test]
fn waiter_of_another_runtime_goes_on_when_the_runtime_ends() {
    let _alone = alone();
    for workers in [1, 2, 4] {
        within(&format!("{workers} workers"), || {
            for _ in 0..rounds(20) {
                let first = runtime(workers);
                let (one, other) = first.run(|| {
                    let (one, other) = tcp_pair();
                    wait_on_both(&one, &other);
                    (one, other)
                });
                std::thread::scope(|s| {
                    // They wait for a descriptor that is registered with the runtime that ends.
                    let green = s.spawn(|| runtime(workers).run(|| (&one).read(&mut [0; 8]).unwrap()));
                    let os_thread = s.spawn(|| (&other).read(&mut [0; 8]).unwrap());
                    first.shutdown(std::time::Duration::from_secs(100)).unwrap();
                    (&other).write_all(b"x").unwrap();
                    (&one).write_all(b"x").unwrap();
                    assert_eq!((green.join().unwrap(), os_thread.join().unwrap()), (1, 1));
                });
            }
        });
    }
}

/// Runs between two runtimes: each has one end.
#[test]
fn runtimes_exchange_bytes() {
    within("two runtimes", || {
        let (one, other) = tcp_pair();
        std::thread::scope(|s| {
            s.spawn(|| runtime(2).run(|| support::send_all(&one, &[1; 100_000]).unwrap()));
            assert_eq!(runtime(2).run(|| support::count(&other).unwrap()), 100_000);
        });
    });
}

#[test]
fn descriptor_number_that_is_used_again_wakes_no_wrong_waiter() {
    let _alone = alone();
    for workers in [1, 2, 4] {
        within(&format!("{workers} workers"), || {
            runtime(workers).run(|| {
                let mut reused = 0;
                for round in 0..rounds(500) {
                    let (mut old, mut old_peer) = UnixStream::pair().unwrap();
                    let number = old.as_raw_fd();
                    // It is registered, and an event is on its way when it is dropped.
                    old.set_read_timeout(Some(std::time::Duration::from_nanos(1))).unwrap();
                    assert!(old.read(&mut [0]).is_err());
                    old_peer.write_all(b"stale").unwrap();
                    drop(old);
                    let (new, mut new_peer) = UnixStream::pair().unwrap();
                    reused += usize::from(new.as_raw_fd() == number || new_peer.as_raw_fd() == number);
                    let reader = kahn::spawn(move || {
                        let mut new = new;
                        let mut buffer = [0; 8];
                        let len = new.read(&mut buffer).unwrap();
                        buffer[..len].to_vec()
                    });
                    let _ = old_peer.write_all(b"stale");
                    if round % 2 == 0 {
                        kahn::yield_now();
                    }
                    assert!(!reader.is_finished(), "the reader of a new socket got an event of the old one");
                    new_peer.write_all(b"new").unwrap();
                    assert_eq!(reader.join().unwrap(), b"new");
                }
                assert!(reused > 0);
            });
        });
    }
}

/// Another descriptor keeps the old connection open and readable. Without a removal from the poller, the system would go
/// on to report it under the old registration, whose number the new socket has.
#[test]
fn connection_that_lives_on_in_a_duplicate_wakes_no_waiter_of_the_next_socket() {
    let _alone = alone();
    for workers in [1, 2, 4] {
        within(&format!("{workers} workers"), || {
            runtime(workers).run(|| {
                let mut reused = 0;
                for _ in 0..rounds(500) {
                    let (old, mut old_peer) = UnixStream::pair().unwrap();
                    let number = old.as_raw_fd();
                    kahn::scope(|s| {
                        let reader = s.spawn(|| (&old).read(&mut [0]).unwrap());
                        kahn::yield_now();
                        old_peer.write_all(b"x").unwrap();
                        reader.join().unwrap();
                    });
                    let duplicate = old.as_fd().try_clone_to_owned().unwrap();
                    drop(old);
                    // The lowest free number is that of the old socket.
                    let (new, mut new_peer) = UnixStream::pair().unwrap();
                    reused += usize::from(new.as_raw_fd() == number);
                    let woken = AtomicUsize::new(0);
                    let new = Source::new(std::os::unix::net::UnixStream::from(new)).unwrap();
                    kahn::scope(|s| {
                        let reader = s.spawn(|| {
                            new.read_with(|mut stream| {
                                woken.fetch_add(1, SeqCst);
                                stream.read(&mut [0; 8])
                            })
                        });
                        until("it has tried", || woken.load(SeqCst) > 0);
                        let tries = woken.load(SeqCst);
                        for _ in 0..3 {
                            old_peer.write_all(b"stale").unwrap();
                            kahn::yield_now();
                        }
                        // Its own registration reports the state once.
                        assert!(woken.load(SeqCst) <= tries.max(2), "woken by the old connection");
                        assert!(!reader.is_finished());
                        new_peer.write_all(b"new").unwrap();
                        assert_eq!(reader.join().unwrap().unwrap(), 3);
                    });
                    drop(duplicate);
                }
                assert!(reused > 0);
            });
        });
    }
}

#[test]
fn descriptor_that_is_given_to_std_and_back_is_registered_anew() {
    with_each_size(|| {
        let (mut one, mut other) = tcp_pair();
        for _ in 0..50 {
            wait_on_both(&one, &other);
            one = TcpStream::from(OwnedFd::from(one));
            other = TcpStream::from(std::net::TcpStream::from(other));
        }
        exchange(&one, &other);
    });
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn sockets_leave_nothing_behind() {
    let _alone = alone();
    fn round() {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        kahn::scope(|s| {
            // It waits, and so is registered.
            s.spawn_local(|| one.read_exact(&mut [0]).unwrap());
            kahn::yield_now();
            other.write_all(b"x").unwrap();
        });
        let clone = one.try_clone().unwrap();
        drop(one);
        drop(clone);
    }
    within("100,000 sockets", || {
        runtime(2).run(|| {
            (0..1000).for_each(|_| round());
            let (before, memory) = (descriptors(), resident_kib());
            (0..rounds(100_000)).for_each(|_| round());
            until("other tests have closed theirs", || descriptors() <= before + 20);
            let grown = resident_kib().saturating_sub(memory);
            assert!(grown < 20_000, "memory has grown by {grown} KiB");
        });
    });
}

/// Raises the limit on open files as far as possible, and returns it.
fn raised_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a valid structure.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
    let wanted = libc::rlimit { rlim_cur: 25_000, rlim_max: limit.rlim_max.max(25_000) };
    // SAFETY: the pointer is to a valid structure.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) } != 0 {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: the pointer is to a valid structure.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
        return usize::try_from(limit.rlim_cur).unwrap();
    }
    25_000
}

#[test]
fn ten_thousand_connections_at_once() {
    let _alone = alone();
    let limit = raised_limit();
    let connections = ((limit - 500) / 2).min(10_000);
    within("ten thousand connections", || {
        runtime(2).run(|| {
            let (listener, address) = listener();
            kahn::scope(|s| {
                let server = s.spawn(|| {
                    kahn::net::serve(&listener, connections, |stream: TcpStream| {
                        let _ = std::io::copy(&mut &stream, &mut &stream);
                    })
                });
                let clients: Vec<TcpStream> =
                    (0..connections).map(|_| TcpStream::connect(address).unwrap()).collect();
                for mut client in &clients {
                    client.write_all(b"x").unwrap();
                }
                for mut client in &clients {
                    client.read_exact(&mut [0]).unwrap();
                }
                drop(clients);
                listener.close();
                assert_eq!(server.join().unwrap().unwrap().connections, connections as u64);
            });
        });
    });
}

/// The clients are in a process of their own, which is killed. So the system closes all connections at once: those of
/// clients that have unread bytes with a reset, the others with an end.
#[test]
fn ten_thousand_connections_that_vanish_at_once() {
    const TEST: &str = "ten_thousand_connections_that_vanish_at_once";
    const ADDRESS: &str = "KAHN_TEST_ADDRESS";
    let connections = (raised_limit() - 500).min(10_000);
    if support::is_child(TEST) {
        let address = std::env::var(ADDRESS).unwrap();
        let connect = || std::net::TcpStream::connect(&address).unwrap();
        let clients: Vec<_> = (0..connections).map(|_| connect()).collect();
        for (n, mut client) in clients.iter().enumerate() {
            client.write_all(b"x").unwrap();
            if n % 2 == 0 {
                client.read_exact(&mut [0]).unwrap();
            }
        }
        // Until it is killed, or the test has failed.
        let _ = std::io::stdin().read(&mut [0]);
        return;
    }
    let _alone = alone();
    if connections < 10_000 {
        eprintln!("with {connections} connections, because of the limit on open files");
    }
    within(TEST, || {
        runtime(2).run(|| {
            let (listener, address) = listener();
            let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
            kahn::scope(|s| {
                let server = s.spawn(|| {
                    kahn::net::serve(&listener, connections, |mut stream: TcpStream| {
                        stream.read_exact(&mut [0]).unwrap();
                        stream.write_all(b"y").unwrap();
                        begun.fetch_add(1, SeqCst);
                        // The end, or a reset.
                        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
                        ended.fetch_add(1, SeqCst);
                    })
                });
                let before = descriptors();
                let mut clients = support::child_command(TEST, TEST);
                clients.env(ADDRESS, address.to_string()).stdin(Stdio::piped()).stdout(Stdio::null());
                let mut clients = clients.spawn().unwrap();
                until("all have connected", || begun.load(SeqCst) == connections);
                assert_eq!(ended.load(SeqCst), 0);
                clients.kill().unwrap();
                until("all have ended", || ended.load(SeqCst) == connections);
                kahn::blocking(|| clients.wait()).unwrap();
                drop(clients);
                // A poller of two descriptors for each worker may have been made.
                until("all descriptors are closed", || descriptors() <= before + 20);
                let mut next = TcpStream::connect(address).unwrap();
                next.write_all(b"x").unwrap();
                next.read_exact(&mut [0]).unwrap();
                drop(next);
                listener.close();
                let served = server.join().unwrap().unwrap();
                assert_eq!((served.connections, served.panicked), (connections as u64 + 1, 0));
            });
        });
    });
}

#[test]
fn server_goes_on_after_too_many_open_files() {
    let _alone = alone();
    // In a process of its own, because the limit is that of the process.
    if support::is_child("too many files") {
        return in_child();
    }
    let output = support::child("server_goes_on_after_too_many_open_files", "too many files");
    assert!(output.status.success(), "{}", support::stderr(&output));

    fn in_child() {
        let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
        within("too many open files", || {
            // With one worker, which has waited before the limit is set: its first wait needs descriptors.
            runtime(1).run(|| {
                let (listener, address) = listener();
                kahn::scope(|s| {
                    let server = s.spawn(|| {
                        kahn::net::serve(&listener, 1000, |stream: TcpStream| {
                            let _ = std::io::copy(&mut &stream, &mut &stream);
                        })
                    });
                    let mut first = TcpStream::connect(address).unwrap();
                    first.write_all(b"x").unwrap();
                    first.read_exact(&mut [0]).unwrap();
                    // SAFETY: the pointer is to a valid structure.
                    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
                    // They take all descriptors, so none is left to accept them.
                    let mut clients = Vec::new();
                    while let Ok(stream) = TcpStream::connect(address) {
                        clients.push(stream);
                    }
                    assert!(clients.len() > 30);
                    // The server can accept ten at a time. It waits for their ends before it accepts more.
                    clients.truncate(clients.len() - 10);
                    let mut replies = 0;
                    // Those that are handled end one after the other, and so make room for those that wait.
                    for mut client in clients {
                        client.write_all(b"x").unwrap();
                        client.read_exact(&mut [0]).unwrap();
                        replies += 1;
                    }
                    assert!(replies > 20);
                    drop(first);
                    listener.close();
                    assert!(server.join().unwrap().unwrap().connections > 20);
                });
            });
        });
    }
}

#[test]
fn udp_and_listeners_move_too() {
    let _alone = alone();
    within("moves", || {
        let (socket, listener) = runtime(1).run(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let short = std::time::Duration::from_millis(1);
            assert!(kahn::time::timeout(short, || socket.recv(&mut [0])).is_err());
            assert!(kahn::time::timeout(short, || listener.accept()).is_err());
            (socket, listener)
        });
        runtime(2).run(|| {
            let address = socket.local_addr().unwrap();
            kahn::scope(|s| {
                s.spawn(|| assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 1));
                socket.send_to(b"x", address).unwrap();
            });
            let address = listener.local_addr().unwrap();
            kahn::scope(|s| {
                s.spawn(|| listener.accept().unwrap());
                TcpStream::connect(address).unwrap();
            });
        });
    });
}
