//! The workloads, with the name, unit and sizes of each in one table.
//!
//! A module for a peer (`kahn_side`, `tokio_side`, `may_side`, `actor_peers`, `go/main.go`) gets a size and returns a
//! total in nanoseconds or in bytes. `Spec::figure` converts the total to the figure of the table.

use std::time::Duration;

/// A workload for tasks and channels, for actors, or for servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    Spawn,
    Yield,
    Pingpong,
    Pairs,
    Ring,
    Spsc,
    Mpsc,
    Mpmc,
    Select,
    Skynet,
    Sieve,
    Pool,
    Pipeline,
    Sleep,
    Mutex,
    Idle,
    Actor(ActorWork),
    Server(ServerWork),
}

/// A workload for servers. The side is a process that serves, and another process makes the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerWork {
    /// The server returns what it receives, over this many connections, each with one message in flight.
    Echo(u64),
    /// A short HTTP response. The size is the number of connections.
    Http,
    /// Connections that have sent one message, and wait.
    Idle,
}

/// A workload for actors. Only rows with actors run it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorWork {
    Tell,
    Tell8,
    Ask,
    Idle,
}

/// The unit of a figure in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// The total in milliseconds.
    Milliseconds,
    /// The total in nanoseconds divided by the size. The string names what the size counts.
    NanosecondsPer(&'static str),
    /// The total in bytes divided by the size. The string names what the size counts.
    BytesPer(&'static str),
    /// The figure itself.
    RequestsPerSecond,
    /// The figure itself, in microseconds: 99 of 100 requests take less time.
    Percentile99,
    /// The figure itself: the CPU time of the server in microseconds, divided by the number of requests.
    CpuPerRequest,
}

/// The units of the figures of a server that is under load.
const OF_SERVERS: &[Unit] = &[Unit::RequestsPerSecond, Unit::Percentile99, Unit::CpuPerRequest];

/// A row of the table of workloads.
pub struct Spec {
    pub workload: Workload,
    pub name: &'static str,
    pub unit: Unit,
    /// How many operations, tasks or actors there are. For milliseconds, the amount of work.
    pub size: u64,
    /// The size with `--quick`, about a twentieth.
    pub quick: u64,
    pub description: &'static str,
}

pub const YIELDERS: u64 = 4;
pub const PAIRS: u64 = 64;
pub const RING_TASKS: usize = 503;
pub const STREAM_CAPACITY: usize = 128;
pub const MPSC_SENDERS: u64 = 8;
pub const MPMC_ENDS: u64 = 4;
pub const SELECT_SENDERS: u64 = 4;
pub const SELECT_CAPACITY: usize = 16;
pub const SKYNET_ARITY: u64 = 10;
pub const POOL_TASKS: u64 = 8;
pub const POOL_STEPS: u64 = 20_000;
pub const POOL_CAPACITY: usize = 8;
pub const PIPELINE_STAGES: u64 = 3;
pub const PIPELINE_STEPS: u64 = 800;
pub const PIPELINE_CAPACITY: usize = 16;
pub const LOCKERS: u64 = 8;
pub const MAILBOX: usize = 128;
pub const TELLERS: u64 = 8;
/// The number of bytes of a message of `echo`.
pub const MESSAGE: usize = 64;
/// The size of the buffer in which a server of `echo` and `idle_connections` receives messages.
pub const BUFFER: usize = 1024;
/// The body of the response of `http`.
pub const RESPONSE: &str = "Hello, world!";

/// How long the tasks of `pool` and `pipeline` wait before the clock starts, so that all workers are parked when the
/// work arrives.
pub const IDLE_BEFORE: Duration = Duration::from_millis(10);

/// How long `idle` waits for tasks to park after the last of them has announced that it will.
pub const SETTLE: Duration = Duration::from_millis(200);

/// Returns how long the `i`th task of `sleep` sleeps.
pub fn nap(i: u64) -> Duration {
    Duration::from_millis(i % 100)
}

use Unit::{BytesPer, CpuPerRequest, Milliseconds, NanosecondsPer, Percentile99, RequestsPerSecond};

#[rustfmt::skip]
pub const ALL: &[Spec] = &[
    Spec { workload: Workload::Spawn, name: "spawn", unit: NanosecondsPer("task"), size: 1_000_000, quick: 50_000,
           description: "empty tasks started from one task, until the last has finished" },
    Spec { workload: Workload::Yield, name: "yield", unit: NanosecondsPer("yield"), size: 2_000_000, quick: 100_000,
           description: "4 tasks that only yield" },
    Spec { workload: Workload::Pingpong, name: "pingpong", unit: NanosecondsPer("round trip"), size: 1_000_000, quick: 50_000,
           description: "2 tasks that send a word back and forth, capacity 0" },
    Spec { workload: Workload::Pairs, name: "pairs", unit: NanosecondsPer("round trip"), size: 2_000_000, quick: 102_400,
           description: "64 pingpongs at the same time" },
    Spec { workload: Workload::Ring, name: "ring", unit: NanosecondsPer("hop"), size: 2_000_000, quick: 100_000,
           description: "one token through 503 tasks in a circle, capacity 0" },
    Spec { workload: Workload::Spsc, name: "spsc", unit: NanosecondsPer("message"), size: 8_000_000, quick: 400_000,
           description: "1 sender, 1 receiver, capacity 128" },
    Spec { workload: Workload::Mpsc, name: "mpsc", unit: NanosecondsPer("message"), size: 8_000_000, quick: 400_000,
           description: "8 senders, 1 receiver, capacity 128" },
    Spec { workload: Workload::Mpmc, name: "mpmc", unit: NanosecondsPer("message"), size: 8_000_000, quick: 400_000,
           description: "4 senders, 4 receivers, capacity 128" },
    Spec { workload: Workload::Select, name: "select", unit: NanosecondsPer("message"), size: 4_000_000, quick: 200_000,
           description: "4 senders, a channel of capacity 16 each, one task that selects fairly among them" },
    Spec { workload: Workload::Skynet, name: "skynet", unit: Milliseconds, size: 1_000_000, quick: 10_000,
           description: "a tree of tasks, ten children each, a million leaves; sums go up over channels of capacity 0" },
    Spec { workload: Workload::Sieve, name: "sieve", unit: Milliseconds, size: 3_000, quick: 150,
           description: "the first 3,000 primes by a chain of filters, capacity 0" },
    Spec { workload: Workload::Pool, name: "pool", unit: Milliseconds, size: 4_000, quick: 200,
           description: "8 tasks that were idle share 4,000 jobs of 33 µs over capacity 8" },
    Spec { workload: Workload::Pipeline, name: "pipeline", unit: Milliseconds, size: 200_000, quick: 10_000,
           description: "200,000 items through 3 stages that were idle, 1.3 µs each, over capacity 16" },
    Spec { workload: Workload::Sleep, name: "sleep", unit: NanosecondsPer("task"), size: 1_000_000, quick: 50_000,
           description: "tasks that sleep 0 to 99 ms, until the last is awake" },
    Spec { workload: Workload::Mutex, name: "mutex", unit: NanosecondsPer("lock"), size: 4_000_000, quick: 200_000,
           description: "8 tasks, one lock, one counter" },
    Spec { workload: Workload::Idle, name: "idle", unit: BytesPer("task"), size: 1_000_000, quick: 50_000,
           description: "parked tasks: resident memory, including page tables" },
    Spec { workload: Workload::Actor(ActorWork::Tell), name: "tell", unit: NanosecondsPer("message"), size: 2_000_000, quick: 100_000,
           description: "one actor with a mailbox for 128, one sender, and an ask at the end" },
    Spec { workload: Workload::Actor(ActorWork::Tell8), name: "tell8", unit: NanosecondsPer("message"), size: 2_000_000, quick: 100_000,
           description: "the same with 8 senders" },
    Spec { workload: Workload::Actor(ActorWork::Ask), name: "ask", unit: NanosecondsPer("ask"), size: 500_000, quick: 25_000,
           description: "one actor, asked by one task" },
    Spec { workload: Workload::Actor(ActorWork::Idle), name: "idle_actors", unit: BytesPer("actor"), size: 1_000_000, quick: 50_000,
           description: "actors that have replied once: resident memory, including page tables" },
    Spec { workload: Workload::Server(ServerWork::Echo(1)), name: "echo1", unit: RequestsPerSecond, size: 1, quick: 1,
           description: "a server that returns messages of 64 bytes, over one TCP connection" },
    Spec { workload: Workload::Server(ServerWork::Echo(64)), name: "echo64", unit: RequestsPerSecond, size: 64, quick: 16,
           description: "the same over 64 connections, one message in flight on each" },
    Spec { workload: Workload::Server(ServerWork::Echo(1_000)), name: "echo1000", unit: RequestsPerSecond, size: 1_000, quick: 50,
           description: "the same over 1,000 connections" },
    Spec { workload: Workload::Server(ServerWork::Echo(10_000)), name: "echo10000", unit: RequestsPerSecond, size: 10_000, quick: 500,
           description: "the same over 10,000 connections" },
    Spec { workload: Workload::Server(ServerWork::Http), name: "http", unit: RequestsPerSecond, size: 64, quick: 64,
           description: "an HTTP server with a fixed response of 13 bytes, over 64 connections" },
    Spec { workload: Workload::Server(ServerWork::Idle), name: "idle_connections", unit: BytesPer("connection"), size: 10_000, quick: 500,
           description: "TCP connections that have sent one message: resident memory, including page tables" },
];

impl Workload {
    pub fn spec(self) -> &'static Spec {
        ALL.iter().find(|spec| spec.workload == self).expect("every workload is in ALL")
    }

    /// Whether this is a workload for servers.
    pub fn is_of_servers(self) -> bool {
        matches!(self, Workload::Server(_))
    }

    pub fn named(name: &str) -> Option<Workload> {
        ALL.iter().find(|spec| spec.name == name).map(|spec| spec.workload)
    }
}

impl Spec {
    /// Returns the units of the figures. There is a line in the table for each.
    pub fn units(&self) -> &[Unit] {
        if self.unit == RequestsPerSecond { OF_SERVERS } else { std::slice::from_ref(&self.unit) }
    }
}

impl Unit {
    /// Converts the total of a run to the figure of the table.
    pub fn figure(self, total: f64, size: u64) -> f64 {
        match self {
            Milliseconds => total / 1e6,
            NanosecondsPer(_) | BytesPer(_) => total / size as f64,
            RequestsPerSecond | Percentile99 | CpuPerRequest => total,
        }
    }

    /// Whether the larger of two figures is the better one.
    pub fn more_is_better(self) -> bool {
        self == RequestsPerSecond
    }
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Milliseconds => f.write_str("ms"),
            NanosecondsPer(what) => write!(f, "ns {} {what}", article(what)),
            BytesPer(what) => write!(f, "bytes {} {what}", article(what)),
            RequestsPerSecond => f.write_str("requests/s"),
            Percentile99 => f.write_str("µs, 99th percentile"),
            CpuPerRequest => f.write_str("CPU µs a request"),
        }
    }
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_is_listed_once_and_its_size_is_divisible_by_its_tasks() {
        for spec in ALL {
            assert_eq!(Workload::named(spec.name), Some(spec.workload));
            assert_eq!(ALL.iter().filter(|other| other.workload == spec.workload).count(), 1);
            let tasks = match spec.workload {
                Workload::Yield => YIELDERS,
                Workload::Pairs => PAIRS,
                Workload::Mpsc => MPSC_SENDERS,
                Workload::Mpmc => MPMC_ENDS,
                Workload::Select => SELECT_SENDERS,
                Workload::Mutex => LOCKERS,
                Workload::Actor(ActorWork::Tell8) => TELLERS,
                _ => 1,
            };
            assert_eq!((spec.size % tasks, spec.quick % tasks), (0, 0), "{}", spec.name);
        }
    }

    #[test]
    fn figure_is_per_operation_unless_in_milliseconds() {
        assert_eq!(Workload::Yield.spec().unit.figure(2e8, 2_000_000), 100.0);
        assert_eq!(Workload::Skynet.spec().unit.figure(5e8, 1_000_000), 500.0);
        let units =
            [Workload::Yield, Workload::Actor(ActorWork::Ask)].map(|work| work.spec().unit.to_string());
        assert_eq!(units, ["ns a yield", "ns an ask"]);
    }
}
