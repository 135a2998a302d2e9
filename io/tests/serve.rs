//! [`net::serve`] and [`net::Server`].

mod support;

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use kahn::net::{self, Served, Server, SocketAddr, TcpListener, TcpStream};
use kahn::os::unix::net::{UnixListener, UnixStream};
use kahn::thread::JoinHandle;
use support::{until, with_each_size};

fn listener() -> (Arc<TcpListener>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (Arc::new(listener), address)
}

/// Starts a server in a green thread.
fn start<F>(listener: &Arc<TcpListener>, limit: usize, handler: F) -> JoinHandle<io::Result<Served>>
where
    F: Fn(TcpStream) + Send + Sync + 'static,
{
    let listener = Arc::clone(listener);
    kahn::spawn(move || net::serve(listener, limit, handler))
}

fn echo(stream: TcpStream) {
    let _ = io::copy(&mut &stream, &mut &stream);
}

/// Sends a byte, and waits for its return.
fn exchange(mut stream: &TcpStream) {
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
}

#[test]
fn each_connection_is_handled() {
    with_each_size(|| {
        let (listener, address) = listener();
        let server = start(&listener, 10, echo);
        kahn::scope(|s| {
            for _ in 0..50 {
                s.spawn(|| exchange(&TcpStream::connect(address).unwrap()));
            }
        });
        listener.close();
        let served = server.join().unwrap().unwrap();
        assert_eq!((served.connections, served.panicked, served.cancelled), (50, 0, 0));
    });
}

#[test]
fn no_more_connections_than_the_limit_are_handled_at_a_time() {
    with_each_size(|| {
        let (listener, address) = listener();
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let server = start(&listener, 3, {
            let (now, most) = (now.clone(), most.clone());
            move |stream| {
                most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                echo(stream);
                now.fetch_sub(1, SeqCst);
            }
        });
        let clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
        clients.iter().for_each(exchange);
        // The fourth connection waits until one of the three ends.
        let fourth = TcpStream::connect(address).unwrap();
        (&fourth).write_all(b"x").unwrap();
        clients.iter().for_each(exchange);
        drop(clients);
        (&fourth).read_exact(&mut [0]).unwrap();
        listener.close();
        drop(fourth);
        assert_eq!(server.join().unwrap().unwrap().connections, 4);
        assert_eq!((now.load(SeqCst), most.load(SeqCst)), (0, 3));
    });
}

#[test]
fn server_that_waits_at_its_limit_ends_when_the_listener_is_closed() {
    with_each_size(|| {
        let (listener, address) = listener();
        let server = start(&listener, 1, echo);
        let client = TcpStream::connect(address).unwrap();
        exchange(&client);
        let waiting = TcpStream::connect(address).unwrap();
        listener.close();
        // The connection that was not accepted is reset. That of the handler goes on.
        assert!((&waiting).read(&mut [0]).is_err());
        exchange(&client);
        drop(client);
        assert_eq!(server.join().unwrap().unwrap().connections, 1);
    });
}

#[test]
fn panic_of_a_handler_ends_its_connection_alone() {
    with_each_size(|| {
        let (listener, address) = listener();
        let server = start(&listener, 2, |mut stream: TcpStream| {
            let mut byte = [0];
            while stream.read(&mut byte).unwrap_or(0) == 1 {
                if byte == *b"p" {
                    std::panic::resume_unwind(Box::new("on purpose"));
                }
                stream.write_all(&byte).unwrap();
            }
        });
        let other = TcpStream::connect(address).unwrap();
        exchange(&other);
        for _ in 0..5 {
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(b"p").unwrap();
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
            exchange(&other);
        }
        listener.close();
        drop(other);
        let served = server.join().unwrap().unwrap();
        assert_eq!((served.connections, served.panicked), (6, 5));
    });
}

#[test]
fn cancelled_server_cancels_its_handlers() {
    with_each_size(|| {
        let (listener, address) = listener();
        let dropped = Arc::new(AtomicUsize::new(0));
        let server = start(&listener, 10, {
            let dropped = dropped.clone();
            move |stream| {
                struct Counts(Arc<AtomicUsize>);
                impl Drop for Counts {
                    fn drop(&mut self) {
                        self.0.fetch_add(1, SeqCst);
                    }
                }
                let _counts = Counts(dropped.clone());
                echo(stream);
            }
        });
        let clients: Vec<_> = (0..5).map(|_| TcpStream::connect(address).unwrap()).collect();
        clients.iter().for_each(exchange);
        server.cancel();
        assert!(server.join().unwrap_err().is_cancelled());
        assert_eq!(dropped.load(SeqCst), 5);
        for mut client in clients {
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
        }
    });
}

#[test]
fn timeout_around_a_server_ends_it() {
    with_each_size(|| {
        let (listener, address) = listener();
        let client = TcpStream::connect(address).unwrap();
        let soon = Duration::from_millis(5);
        assert!(kahn::time::timeout(soon, || net::serve(&*listener, 1, echo)).is_err());
        drop(client);
        listener.close();
    });
}

#[test]
fn handlers_that_outlast_the_grace_are_cancelled() {
    with_each_size(|| {
        for grace in [Duration::ZERO, Duration::from_millis(2)] {
            let (listener, address) = listener();
            let stop = listener.clone();
            let server = kahn::spawn(move || Server::new(listener, 10).grace(grace).run(echo));
            let mut clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
            clients.iter().for_each(exchange);
            stop.close();
            let served = server.join().unwrap().unwrap();
            assert_eq!((served.connections, served.cancelled), (3, 3));
            clients.iter_mut().for_each(|client| assert_eq!(client.read(&mut [0]).unwrap(), 0));
        }
    });
}

#[test]
fn handlers_that_end_within_the_grace_are_not_cancelled() {
    with_each_size(|| {
        let (listener, address) = listener();
        let stop = listener.clone();
        let server = kahn::spawn(move || Server::new(listener, 10).grace(Duration::MAX).run(echo));
        let client = TcpStream::connect(address).unwrap();
        exchange(&client);
        stop.close();
        exchange(&client);
        drop(client);
        let served = server.join().unwrap().unwrap();
        assert_eq!((served.connections, served.cancelled), (1, 0));
    });
}

#[test]
fn server_of_a_closed_listener_ends_at_once() {
    let (listener, _) = listener();
    listener.close();
    assert_eq!(net::serve(&*listener, 1, echo).unwrap(), Served::default());
}

#[test]
fn close_of_a_clone_ends_the_server() {
    with_each_size(|| {
        let (listener, address) = listener();
        let clone = listener.try_clone().unwrap();
        let server = start(&listener, 1, echo);
        let client = TcpStream::connect(address).unwrap();
        exchange(&client);
        clone.close();
        drop(client);
        assert_eq!(server.join().unwrap().unwrap().connections, 1);
    });
}

#[test]
fn limit_of_zero_is_an_error() {
    let (listener, _) = listener();
    let error = net::serve(&*listener, 0, echo).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn listener_in_nonblocking_mode_is_waited_for() {
    with_each_size(|| {
        let (listener, address) = listener();
        listener.set_nonblocking(true).unwrap();
        let server = start(&listener, 1, echo);
        exchange(&TcpStream::connect(address).unwrap());
        listener.close();
        assert_eq!(server.join().unwrap().unwrap().connections, 1);
    });
}

#[test]
fn listener_that_another_library_has_shut_down_is_an_error() {
    with_each_size(|| {
        let (listener, address) = listener();
        let server = start(&listener, 1, echo);
        let client = TcpStream::connect(address).unwrap();
        exchange(&client);
        drop(client);
        use std::os::fd::AsRawFd;
        // SAFETY: the call concerns the socket alone, which is open.
        unsafe { libc::shutdown(listener.as_raw_fd(), libc::SHUT_RDWR) };
        assert!(server.join().unwrap().is_err());
    });
}

#[test]
fn unix_connections_are_handled() {
    let folder = std::env::temp_dir().join(format!("kahn-serve-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let handled = AtomicBool::new(false);
    kahn::scope(|s| {
        let server = s.spawn(|| {
            net::serve(&listener, 2, |mut stream: UnixStream| {
                handled.store(true, SeqCst);
                stream.write_all(b"x").unwrap();
            })
        });
        UnixStream::connect(&path).unwrap().read_exact(&mut [0]).unwrap();
        until("a connection is handled", || handled.load(SeqCst));
        listener.close();
        assert_eq!(server.join().unwrap().unwrap().connections, 1);
    });
    std::fs::remove_dir_all(&folder).unwrap();
}
