//! A server that speaks the protocol of Redis: texts, lists, hashes, sets, expiry, publish and subscribe.
//!
//! Shows a server in blocking code: a green thread reads, runs and writes for each connection, and state that all share
//! is behind locks of kahn. Shows also what bounds clients that send too much or do not read, and a graceful stop.
//!
//! ```text
//! cargo run --release --example redis_server -- --port 7379
//! redis-cli -p 7379 set greeting hello ex 60
//! redis-benchmark -p 7379 -c 50 -P 32 -t set,get -q
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `main.rs` | arguments, start, stop |
//! | `connection.rs` | one connection: reading, and the replies to a batch with one write |
//! | `protocol.rs` | the parser of commands |
//! | `reply.rs` | replies in RESP2 and RESP3 |
//! | `session.rs` | what a connection knows while it runs commands |
//! | `commands/` | the commands, and their table |
//! | `store.rs` | the database, in shards behind mutexes; expiry |
//! | `pubsub.rs` | subscriptions, and what waits to be sent to each subscriber |
//! | `glob.rs` | patterns |
//! | `server.rs` | what the connections share |
//!
//! The database is in memory alone, and has no limit. There are no transactions, no scripts and no persistence.
//!
//! On Ctrl-C and SIGTERM the server accepts no more, runs the commands that have arrived, and closes the connections. It
//! cancels those that take longer than `--grace`. A second signal ends the process at once.
//!
//! Start with `connection.rs`. Exit code: 0, or 2 for a bad argument or a port that cannot be used.

mod commands;
mod connection;
mod glob;
mod protocol;
mod pubsub;
mod reply;
mod server;
mod session;
mod store;

use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use kahn::net::{self, TcpListener};
use kahn::signal::{self, Signal};

use server::{Server, Settings};

const USAGE: &str = "\
Serves a database in memory over the protocol of Redis (RESP2, RESP3) on 127.0.0.1.

usage: redis_server [OPTIONS]

  --port N         the port; 0 stands for any free one (6379)
  --connections N  how many connections are open at a time; further ones wait (10000)
  --frame BYTES    the size of a command and of a text, at least 65536 (67108864)
  --outbox BYTES   the messages that wait for a subscriber, which is disconnected beyond it (8388608)
  --stalled MS     how long a client may read nothing of its replies (30000)
  --grace MS       how long commands may last after Ctrl-C or SIGTERM (10000)

Exit code: 0; 2 for a bad argument or a port that cannot be used.
";

/// The time between two looks for keys that have expired.
const EXPIRE_EVERY: Duration = Duration::from_millis(100);

#[kahn::main]
fn main() -> ExitCode {
    let served = match parse(std::env::args().skip(1)) {
        Ok(Some(settings)) => serve(settings),
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(message) => Err(message),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("redis_server: {message}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Settings>, String> {
    fn number<T: FromStr>(name: &str, value: Option<String>) -> Result<T, String> {
        let value = value.ok_or_else(|| format!("{name} needs a number"))?;
        value.parse().map_err(|_| format!("{name}: {value} is not a possible number"))
    }
    const LEAST_FRAME: usize = 64 << 10;
    let mut settings = Settings {
        port: 6379,
        connections: 10_000,
        frame: 64 << 20,
        outbox: 8 << 20,
        stalled: Duration::from_secs(30),
        grace: Duration::from_secs(10),
    };
    while let Some(arg) = args.next() {
        let mut millis = || number(&arg, args.next()).map(Duration::from_millis);
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--stalled" => settings.stalled = millis()?,
            "--grace" => settings.grace = millis()?,
            "--port" => settings.port = number(&arg, args.next())?,
            "--connections" => settings.connections = number(&arg, args.next())?,
            "--frame" => settings.frame = number(&arg, args.next())?,
            "--outbox" => settings.outbox = number(&arg, args.next())?,
            _ if arg.starts_with('-') => return Err(format!("{arg} is not an option; see --help")),
            _ => return Err(format!("{arg} is one argument too many; see --help")),
        }
    }
    if settings.frame < LEAST_FRAME {
        return Err(format!("--frame: {} is less than {LEAST_FRAME}", settings.frame));
    }
    if settings.stalled.is_zero() {
        return Err("--stalled: 0 is not a possible number".to_owned());
    }
    Ok(Some(settings))
}

fn serve(mut settings: Settings) -> Result<(), String> {
    let bound = TcpListener::bind(("127.0.0.1", settings.port));
    let listener = Arc::new(bound.map_err(|error| format!("port {}: {error}", settings.port))?);
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    settings.port = address.port();
    let server = Arc::new(Server::new(settings));

    let signals =
        signal::listen(&[Signal::INTERRUPT, Signal::TERMINATE]).map_err(|error| error.to_string())?;
    kahn::spawn({
        let (listener, server) = (Arc::clone(&listener), Arc::clone(&server));
        move || {
            let _ = signals.recv();
            println!("stopping");
            // First the connections: one that is accepted after this sees it at once.
            server.clients.stop();
            listener.close();
            if signals.recv().is_ok() {
                std::process::exit(130);
            }
        }
    });
    let expiry = kahn::spawn({
        let server = Arc::clone(&server);
        move || {
            let mut interval = kahn::time::interval(EXPIRE_EVERY);
            loop {
                interval.tick();
                server.store.expire();
            }
        }
    });

    println!("listening on {address}");
    let serving = net::Server::new(listener, settings.connections).grace(settings.grace);
    let served = serving.run(|stream| connection::run(stream, &server));
    expiry.cancel();
    let served = served.map_err(|error| error.to_string())?;
    println!("served {} connections; {} were cancelled", served.connections, served.cancelled);
    Ok(())
}
