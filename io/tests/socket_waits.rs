//! What ends the wait of an operation on a socket: `close`, a cancel, a timeout.

mod support;

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use kahn::net::TcpStream;
use kahn::os::unix::net::UnixStream;
use support::{Waiting, deaf, deaf_path, runtime, waiting, within};

const SIZES: [usize; 3] = [1, 2, 4];

/// Lets the operation begin to wait in some rounds, and not in others.
fn pause(round: usize) {
    match round % 3 {
        0 => {}
        1 => (0..10).for_each(|_| kahn::yield_now()),
        _ => kahn::sleep(Duration::from_millis(1)),
    }
}

fn with_each(scenario: impl Fn(Waiting, usize) + Sync) {
    for workers in SIZES {
        let runtime = runtime(workers);
        for round in 0..3 {
            for case in waiting() {
                let what = format!("{}, {workers} workers, round {round}", case.name);
                within(&what, || runtime.run(|| scenario(case, round)));
            }
        }
    }
}

#[track_caller]
fn assert_closed(result: std::io::Result<()>, name: &str) {
    let error = result.expect_err(name);
    assert!(error.kind() == ErrorKind::NotConnected && error.raw_os_error().is_none(), "{name}: {error:?}");
}

#[test]
fn close_ends_the_wait_of_several_threads() {
    with_each(|case, round| {
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let operation = Arc::clone(&case.operation);
                kahn::spawn(move || operation())
            })
            .collect();
        let operation = Arc::clone(&case.operation);
        let os_thread = std::thread::spawn(move || operation());
        pause(round);
        (case.close)();
        for thread in threads {
            assert_closed(thread.join().unwrap(), case.name);
        }
        assert_closed(kahn::blocking(|| os_thread.join().unwrap()), case.name);
    });
}

#[test]
fn operation_after_close_fails_at_once() {
    with_each(|case, _| {
        (case.close)();
        assert_closed((case.operation)(), case.name);
        // A second time changes nothing.
        (case.close)();
        assert_closed((case.operation)(), case.name);
    });
}

#[test]
fn cancel_ends_the_wait() {
    with_each(|case, round| {
        let operation = Arc::clone(&case.operation);
        let first = kahn::spawn(move || operation());
        let operation = Arc::clone(&case.operation);
        let second = kahn::spawn(move || operation());
        pause(round);
        first.cancel();
        assert!(first.join().unwrap_err().is_cancelled(), "{}", case.name);
        // The other one has the turn now.
        second.cancel();
        assert!(second.join().unwrap_err().is_cancelled(), "{}", case.name);
        (case.close)();
        assert_closed((case.operation)(), case.name);
    });
}

#[test]
fn timeout_ends_the_wait() {
    with_each(|case, round| {
        let short = Duration::from_micros(round as u64 * 500);
        assert!(kahn::time::timeout(short, || (case.operation)()).is_err(), "{}", case.name);
    });
}

#[test]
fn cancel_and_timeout_end_an_attempt_to_connect() {
    let (address, _deaf) = deaf();
    let (path, _deaf_path) = deaf_path();
    for workers in SIZES {
        within(&format!("{workers} workers"), || {
            runtime(workers).run(|| {
                for round in 0..3 {
                    let path = path.clone();
                    let tcp = kahn::spawn(move || TcpStream::connect(address));
                    let unix = kahn::spawn(move || UnixStream::connect(path));
                    pause(round);
                    tcp.cancel();
                    unix.cancel();
                    assert!(tcp.join().unwrap_err().is_cancelled());
                    assert!(unix.join().unwrap_err().is_cancelled());
                }
                let short = Duration::from_millis(1);
                assert!(kahn::time::timeout(short, || TcpStream::connect(address)).is_err());
                assert!(kahn::time::timeout(short, || UnixStream::connect(&path)).is_err());
                let error = TcpStream::connect_timeout(&address, short).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TimedOut);
            });
        });
    }
}

#[test]
fn unix_connect_goes_on_when_there_is_room() {
    let folder = support::Folder::new();
    let path = folder.path("socket");
    let listener = kahn::os::unix::net::UnixListener::bind(&path).unwrap();
    use std::os::fd::AsRawFd;
    // SAFETY: the descriptor is a socket, and is open.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    support::with_each_size(|| {
        kahn::scope(|s| {
            let clients: Vec<_> = (0..10).map(|_| s.spawn(|| UnixStream::connect(&path))).collect();
            for _ in 0..10 {
                listener.accept().unwrap();
            }
            clients.into_iter().for_each(|client| _ = client.join().unwrap().unwrap());
        });
    });
}
