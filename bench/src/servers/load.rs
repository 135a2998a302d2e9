//! The load generator of `echo`: one thread that sends a message over each connection, and the next one as soon as the
//! reply is there. It is the same for all sides.

use super::{LOAD_FLAG, Load, Times};
use crate::workloads::MESSAGE;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// The most events that are taken at once.
const EVENTS: usize = 1024;
/// How long the generator waits for replies before it gives up.
const SILENCE: Duration = Duration::from_secs(10);

/// Runs the load generator in a process of its own.
pub fn run(port: u16, connections: u64, times: Times) -> Result<Load, String> {
    let mut command = crate::child::me()?;
    command.arg(LOAD_FLAG);
    let [warm_up, measured] = [times.warm_up, times.measured].map(|time| time.as_millis());
    command.args([port.to_string(), connections.to_string(), warm_up.to_string(), measured.to_string()]);
    let out = super::output(command)?;
    let mut words = out.split_whitespace();
    let mut word = || words.next().and_then(|word| word.parse::<f64>().ok());
    match (word(), word(), word()) {
        (Some(requests), Some(per_second), Some(percentile99_us)) => {
            Ok(Load { requests: requests as u64, per_second, percentile99_us })
        }
        _ => Err(format!("the load generator printed {out:?}")),
    }
}

/// Main function of the load generator's process: prints the number of requests, the rate, and the percentile.
pub fn main(args: &[String]) -> ! {
    let numbers: Vec<u64> = args.iter().map(|arg| arg.parse().expect("the arguments are numbers")).collect();
    let [port, connections, warm_up, measured] = numbers[..] else { panic!("{args:?} are not four numbers") };
    let [warm_up, measured] = [warm_up, measured].map(Duration::from_millis);
    let port = u16::try_from(port).expect("a port");
    let result = Connections::open(port, connections).and_then(|mut connections| {
        connections.exchange(warm_up, &mut Latencies::default())?;
        let warmed_up = connections.requests;
        let mut latencies = Latencies::default();
        let took = connections.exchange(measured, &mut latencies)?;
        let per_second = (connections.requests - warmed_up) as f64 / took.as_secs_f64();
        Ok((connections.requests, per_second, latencies.percentile(0.99)))
    });
    match result {
        Ok((requests, per_second, percentile99)) => {
            println!("{requests} {per_second} {}", percentile99.as_secs_f64() * 1e6);
            std::process::exit(0);
        }
        Err(message) => {
            eprintln!("{message}");
            std::process::exit(1);
        }
    }
}

/// The connections of a load generator.
pub struct Connections {
    poll: Poll,
    all: Vec<Connection>,
    requests: u64,
}

struct Connection {
    stream: TcpStream,
    /// When the message in flight was sent.
    sent: Instant,
    /// How many bytes of the reply have come.
    received: usize,
}

impl Connections {
    /// Opens connections one after another. The server replies over each before the next one is opened.
    pub fn open(port: u16, count: u64) -> Result<Connections, String> {
        let poll = Poll::new().map_err(|error| format!("no poller: {error}"))?;
        let open = |i: u64| {
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
            stream.set_nodelay(true)?;
            stream.write_all(&[0; MESSAGE])?;
            stream.read_exact(&mut [0; MESSAGE])?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(i as usize), Interest::READABLE)?;
            Ok(Connection { stream, sent: Instant::now(), received: 0 })
        };
        let all: std::io::Result<Vec<_>> = (0..count).map(open).collect();
        let all = all.map_err(|error| format!("a connection cannot be opened: {error}"))?;
        Ok(Connections { poll, all, requests: 0 })
    }

    /// Sends messages over all connections for some time, and waits for the last replies. Returns how long it took.
    fn exchange(&mut self, time: Duration, latencies: &mut Latencies) -> Result<Duration, String> {
        let begun = Instant::now();
        let mut events = Events::with_capacity(EVENTS);
        for connection in &mut self.all {
            connection.send().map_err(|error| format!("a message cannot be sent: {error}"))?;
        }
        let mut in_flight = self.all.len();
        while in_flight > 0 {
            self.poll
                .poll(&mut events, Some(SILENCE))
                .map_err(|error| format!("the poller has failed: {error}"))?;
            if events.is_empty() {
                return Err(format!("no reply within {} s", SILENCE.as_secs()));
            }
            let goes_on = begun.elapsed() < time;
            for event in &events {
                let connection = &mut self.all[event.token().0];
                match connection.receive(latencies) {
                    Ok(false) => {}
                    Ok(true) => {
                        self.requests += 1;
                        if goes_on {
                            connection
                                .send()
                                .map_err(|error| format!("a message cannot be sent: {error}"))?;
                        } else {
                            in_flight -= 1;
                        }
                    }
                    Err(error) => return Err(format!("a reply cannot be received: {error}")),
                }
            }
        }
        Ok(begun.elapsed())
    }
}

impl Connection {
    fn send(&mut self) -> std::io::Result<()> {
        self.sent = Instant::now();
        self.received = 0;
        // The system has room for a message: the one before has been received.
        self.stream.write_all(&[0; MESSAGE])
    }

    /// Receives what is there. Returns whether the reply is complete.
    fn receive(&mut self, latencies: &mut Latencies) -> std::io::Result<bool> {
        let mut buffer = [0; MESSAGE];
        match self.stream.read(&mut buffer[self.received..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => self.received += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        let is_complete = self.received == MESSAGE;
        if is_complete {
            latencies.add(self.sent.elapsed());
        }
        Ok(is_complete)
    }
}

/// Counts of latencies, in classes whose widths are at most a 32nd of their values.
struct Latencies {
    classes: Vec<u64>,
    count: u64,
}

/// The number of classes for each power of two.
const CLASSES: u64 = 32;

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies { classes: vec![0; (64 * CLASSES) as usize], count: 0 }
    }
}

impl Latencies {
    fn add(&mut self, latency: Duration) {
        self.classes[Latencies::class(latency.as_nanos() as u64)] += 1;
        self.count += 1;
    }

    /// Returns the latency that the given share of all latencies does not exceed.
    fn percentile(&self, share: f64) -> Duration {
        let mut left = (self.count as f64 * share).ceil() as u64;
        for (class, &count) in self.classes.iter().enumerate() {
            if left <= count {
                return Duration::from_nanos(Latencies::end(class as u64));
            }
            left -= count;
        }
        Duration::MAX
    }

    fn class(ns: u64) -> usize {
        let ns = ns.max(CLASSES);
        let shift = ns.ilog2() - CLASSES.ilog2();
        (u64::from(shift) * CLASSES + ((ns >> shift) - CLASSES)) as usize
    }

    /// Returns the largest latency in a class.
    fn end(class: u64) -> u64 {
        let (shift, within) = (class / CLASSES, class % CLASSES);
        ((CLASSES + within + 1) << shift) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentile_is_exact_to_a_32nd() {
        let mut latencies = Latencies::default();
        (1..=1_000).for_each(|us| latencies.add(Duration::from_micros(us)));
        let seen = latencies.percentile(0.99).as_nanos() as f64;
        assert!((990e3..990e3 * 33.0 / 32.0).contains(&seen), "{seen}");
        for ns in [0, 31, 32, 33, 63, 64, 1_000, 123_456_789, u64::MAX / 64] {
            let end = Latencies::end(Latencies::class(ns) as u64);
            assert!(end >= ns && end <= ns.max(CLASSES) / 32 * 33 + 33, "{ns} {end}");
        }
    }

    #[test]
    fn every_reply_is_counted() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                std::thread::spawn(move || crate::servers::echo(stream));
            }
        });
        let mut connections = Connections::open(port, 3).unwrap();
        let mut latencies = Latencies::default();
        connections.exchange(Duration::from_millis(20), &mut latencies).unwrap();
        assert!(connections.requests >= 3);
        assert_eq!(latencies.count, connections.requests);
    }
}
