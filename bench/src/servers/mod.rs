//! The workloads for servers. A side is a process that serves on the loopback interface. Another process makes the
//! requests: the program itself ([`load`]), or `wrk`. All sides are under the same load.
//!
//! ```text
//!   server                         parent                           load generator
//!   listens, prints its port   →   reads the port, notes the CPU
//!                                  time, starts the generator   →   connects, warms up, measures
//!   serves                     ←   ·  ·  ·  ·  ·  ·  ·  ·  ·  ·  →  prints what it has measured
//!                                  notes the CPU time again
//!   ends with its input        ←   closes the server's input
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `load` | the load generator |
//! | `process` | a server's process, its CPU time and its memory |
//! | `wrk` | the load of `http` |
//! | `kahn`, `tokio`, `may` | the servers; that of Go is in `go/servers.go` |

mod kahn;
mod load;
mod may;
mod process;
mod tokio;
mod wrk;

use crate::child;
use crate::kahn_side::Mode;
use crate::rows::Row;
use crate::workloads::ServerWork;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

pub use self::load::main as load_main;
use self::process::Server;

/// The first argument of a load generator's process.
pub const LOAD_FLAG: &str = "--load";

/// How long a load lasts before it is measured, and while it is.
#[derive(Clone, Copy)]
struct Times {
    warm_up: Duration,
    measured: Duration,
}

impl Times {
    fn of(quick: bool) -> Times {
        let [warm_up, measured] = if quick { [100, 300] } else { [500, 2_500] };
        Times { warm_up: Duration::from_millis(warm_up), measured: Duration::from_millis(measured) }
    }
}

/// What a load generator has measured.
#[derive(Debug, PartialEq)]
struct Load {
    /// Requests, those of the warm-up included.
    requests: u64,
    per_second: f64,
    percentile99_us: f64,
}

/// Runs one round of a server that `command` starts. Returns its totals, one for each unit of the workload.
///
/// # Errors
///
/// The reason why there are no figures, in one line.
pub fn measure(command: Command, work: ServerWork, size: u64, quick: bool) -> Result<Vec<f64>, String> {
    let server = Server::start(command)?;
    match work {
        ServerWork::Idle => {
            let before = server.resident()?;
            let connections = load::Connections::open(server.port(), size)?;
            let after = server.settled()?;
            drop(connections);
            Ok(vec![after.saturating_sub(before) as f64])
        }
        ServerWork::Echo(_) | ServerWork::Http => {
            let before = server.cpu()?;
            let load = match work {
                ServerWork::Http => wrk::run(server.port(), size, quick)?,
                _ => load::run(server.port(), size, Times::of(quick))?,
            };
            let cpu_us = (server.cpu()? - before).as_secs_f64() * 1e6;
            Ok(vec![load.per_second, load.percentile99_us, cpu_us / load.requests as f64])
        }
    }
}

/// Serves until standard input ends.
pub fn serve(row: Row, work: ServerWork, workers: usize) -> ! {
    process::end_with_input();
    match row {
        Row::Kahn(mode) => kahn::serve(mode == Mode::Task, work, workers),
        Row::Tokio => tokio::serve(work, workers),
        Row::May => may::serve(work, workers),
        Row::Go | Row::Actors(_) => panic!("{row:?} serves nothing in this process"),
    }
}

/// Tells the parent where the server listens.
fn announce(address: SocketAddr) {
    let mut out = std::io::stdout();
    writeln!(out, "{}", address.port()).and_then(|()| out.flush()).expect("the parent reads the port");
}

/// Returns what it reads, until the end of the stream or an error.
fn echo<S: Read + Write>(mut stream: S) {
    let mut buffer = [0; crate::workloads::BUFFER];
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..n]).is_err() {
            return;
        }
    }
}

/// Runs a load generator and returns its output.
fn output(command: Command) -> Result<String, String> {
    child::output(command).map_err(|reason| format!("load generator: {reason}"))
}
