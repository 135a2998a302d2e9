//! The report of a deadlock and sockets: a thread that waits for a socket can be woken from outside, a socket that is
//! not waited for wakes none.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use kahn::Runtime;
use support::{child, is_child, listener, stderr, tcp_pair, within};

#[test]
fn thread_that_waits_for_a_socket_is_no_deadlock() {
    for workers in [1, 2, 4] {
        within(&format!("{workers} workers"), || {
            static REPORTS: AtomicUsize = AtomicUsize::new(0);
            let runtime = Runtime::builder()
                .workers(workers)
                .on_deadlock(|_| _ = REPORTS.fetch_add(1, SeqCst))
                .build()
                .unwrap();
            runtime.run(|| {
                let (listener, address) = listener();
                // This one waits for the other one, which waits for a client.
                let acceptor = kahn::spawn(move || listener.accept().unwrap());
                let client = std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(50));
                    std::net::TcpStream::connect(address).unwrap()
                });
                let _stream = acceptor.join().unwrap();
                let _client = kahn::blocking(|| client.join().unwrap());
            });
            assert_eq!(REPORTS.load(SeqCst), 0);
        });
    }
}

#[test]
fn sockets_that_are_not_waited_for_hide_no_deadlock() {
    const TEST: &str = "sockets_that_are_not_waited_for_hide_no_deadlock";
    if is_child("deadlock") {
        kahn::run(|| {
            let (ours, theirs) = tcp_pair();
            let waiting =
                kahn::time::timeout(Duration::from_millis(5), || std::io::Read::read(&mut &ours, &mut [0]));
            assert!(waiting.is_err());
            let (_sender, receiver) = kahn::channel::bounded::<()>(1);
            let _ = receiver.recv();
            drop((ours, theirs));
        });
    }
    let output = child(TEST, "deadlock");
    assert!(!output.status.success());
    assert!(stderr(&output).contains("all green threads are asleep: deadlock"), "{}", stderr(&output));
}
