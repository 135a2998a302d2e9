//! Servers with clients that vanish, close their writing side, are slow, send garbage or nothing, or never read. Each
//! handler ends as its limits say, correct clients are served meanwhile, and no descriptor is left.

mod support;

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{Shutdown, TcpStream as StdStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use kahn::channel::{Receiver, Sender, bounded};
use kahn::net::{SocketAddr, TcpListener, TcpStream, serve};
use kahn::thread::JoinHandle;
use kahn::time::timeout;
use support::{listener, runtime, until, within};

/// More than the buffers of a connection hold.
static LARGE: &[u8] = &[b'x'; 16 << 20];

/// How many clients of each kind there are.
const EACH: usize = 4;

/// How a handler has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The client has closed its writing side after so many lines.
    Served(usize),
    /// The stream has ended in the middle of a line.
    Cut,
    /// A line has taken too long.
    Late,
    Failed(ErrorKind),
}

/// Answers each line with its length. The line "large" gets [`LARGE`]. `limit` is the time for each line, and for
/// each write.
fn answer(stream: &TcpStream, limit: Duration) -> Outcome {
    stream.set_write_timeout(Some(limit)).unwrap();
    let mut reader = BufReader::new(stream);
    for lines in 0.. {
        let mut line = String::new();
        match timeout(limit, || reader.read_line(&mut line)) {
            Err(_) => return Outcome::Late,
            Ok(Err(error)) => return Outcome::Failed(error.kind()),
            Ok(Ok(0)) => return Outcome::Served(lines),
            Ok(Ok(_)) if !line.ends_with('\n') => return Outcome::Cut,
            Ok(Ok(_)) => {}
        }
        let written = match line.trim() {
            "large" => { stream }.write_all(LARGE),
            line => { stream }.write_all(format!("{}\n", line.len()).as_bytes()),
        };
        if let Err(error) = written {
            return Outcome::Failed(error.kind());
        }
    }
    unreachable!("a client ends")
}

/// A kind of clients, which have connected before their server accepts.
struct Kind {
    name: &'static str,
    /// Whether they meet the server whose limits are short.
    hasty: bool,
    /// What a client does before the server accepts it. It keeps what is returned, and lives until all handlers have ended.
    act: fn(StdStream) -> Option<StdStream>,
    /// What it does again and again from then on.
    go_on: fn(&StdStream),
    outcomes: &'static [Outcome],
}

const fn kind(
    name: &'static str,
    act: fn(StdStream) -> Option<StdStream>,
    outcomes: &'static [Outcome],
) -> Kind {
    Kind { name, hasty: false, act, go_on: |_| (), outcomes }
}

fn sent(mut stream: StdStream, bytes: &[u8]) -> StdStream {
    stream.write_all(bytes).unwrap();
    stream
}

/// Closes the connection with a reset.
fn reset(stream: StdStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the pointer is to a valid structure, of the length that is given.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of_val(&linger) as u32,
        )
    };
    assert_eq!(result, 0);
}

const GONE: &[Outcome] =
    &[Outcome::Failed(ErrorKind::BrokenPipe), Outcome::Failed(ErrorKind::ConnectionReset)];

const KINDS: &[Kind] = &[
    kind("vanishes at once", |_| None, &[Outcome::Served(0)]),
    kind(
        "vanishes in a line",
        |stream| {
            sent(stream, b"hal");
            None
        },
        &[Outcome::Cut],
    ),
    kind(
        "vanishes with a reset",
        |stream| {
            reset(sent(stream, b"hal"));
            None
        },
        &[Outcome::Failed(ErrorKind::ConnectionReset)],
    ),
    kind(
        "vanishes before it has read its answer",
        |stream| {
            sent(stream, b"large\n");
            None
        },
        GONE,
    ),
    kind(
        "closes its writing side",
        |stream| {
            let stream = sent(stream, b"one\ntwo\n");
            stream.shutdown(Shutdown::Write).unwrap();
            Some(stream)
        },
        &[Outcome::Served(2)],
    ),
    kind(
        "sends garbage",
        |stream| Some(sent(stream, b"\xff\xfe\0\n")),
        &[Outcome::Failed(ErrorKind::InvalidData)],
    ),
    Kind { hasty: true, ..kind("sends nothing", Some, &[Outcome::Late]) },
    Kind {
        hasty: true,
        go_on: |mut stream| {
            // It fails when the server has closed the connection.
            let _ = stream.write(b"x");
        },
        ..kind("sends a byte at a time", Some, &[Outcome::Late])
    },
    Kind {
        hasty: true,
        ..kind(
            "never reads",
            |stream| Some(sent(stream, b"large\n")),
            &[Outcome::Failed(ErrorKind::WouldBlock)],
        )
    },
];

/// A correct client.
fn exchange(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    for n in 0..20 {
        // In one write: several would each wait for an acknowledgement.
        stream.write_all(format!("{}\n", "x".repeat(n)).as_bytes()).unwrap();
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, format!("{n}\n"));
    }
}

/// Serves in a green thread, until the listener is closed.
fn start(listener: Arc<TcpListener>, limit: Duration, ended: Sender<Outcome>) -> JoinHandle<u64> {
    kahn::spawn(move || {
        let served = serve(listener, 1000, |stream| ended.send(answer(&stream, limit)).unwrap()).unwrap();
        assert_eq!((served.panicked, served.cancelled), (0, 0));
        served.connections
    })
}

/// Clients that have connected to a server of their own.
struct Meeting {
    kind: &'static Kind,
    listener: Arc<TcpListener>,
    clients: Vec<StdStream>,
    ended: Receiver<Outcome>,
    server: JoinHandle<u64>,
}

impl Meeting {
    fn start(kind: &'static Kind) -> Meeting {
        let (listener, address) = listener();
        // All have done their first steps when the server begins. So no limit passes before.
        let clients = (0..EACH).filter_map(|_| (kind.act)(StdStream::connect(address).unwrap())).collect();
        let (listener, (tx, ended)) = (Arc::new(listener), bounded(EACH));
        let limit = if kind.hasty { Duration::from_millis(100) } else { Duration::MAX };
        let server = start(Arc::clone(&listener), limit, tx);
        Meeting { kind, listener, clients, ended, server }
    }

    fn end(self) {
        for _ in 0..EACH {
            while self.ended.is_empty() {
                self.clients.iter().for_each(self.kind.go_on);
                kahn::sleep(Duration::from_millis(1));
            }
            let outcome = self.ended.recv().unwrap();
            assert!(self.kind.outcomes.contains(&outcome), "a client {}: {outcome:?}", self.kind.name);
        }
        self.listener.close();
        assert_eq!(self.server.join().unwrap(), EACH as u64);
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn bad_clients_end_their_handlers_alone() {
    for workers in [1, 2, 4] {
        within(&format!("{workers} workers"), || {
            let runtime = runtime(workers);
            let most_pollers = runtime.workers();
            runtime.run(|| {
                let (good_listener, address) = listener();
                let (good_listener, (tx, ended)) = (Arc::new(good_listener), bounded(EACH));
                let good_server = start(Arc::clone(&good_listener), Duration::MAX, tx);
                exchange(address);
                assert_eq!(ended.recv(), Ok(Outcome::Served(20)));
                // Each worker makes a poller of two descriptors when it first waits for a socket.
                let most = descriptors() + 2 * most_pollers;
                let meetings: Vec<_> = KINDS.iter().map(Meeting::start).collect();
                kahn::scope(|s| (0..EACH).for_each(|_| drop(s.spawn(|| exchange(address)))));
                for _ in 0..EACH {
                    assert_eq!(ended.recv(), Ok(Outcome::Served(20)));
                }
                meetings.into_iter().for_each(Meeting::end);
                until("all descriptors are closed", || descriptors() <= most);
                good_listener.close();
                assert_eq!(good_server.join().unwrap(), EACH as u64 + 1);
            });
        });
    }
}
