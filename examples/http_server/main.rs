//! An HTTP/1.1 server for the files below a folder, with a counter that an actor holds.
//!
//! Shows an async library on green threads: hyper reads and writes kahn's streams, its time-outs are kahn's timers, and
//! the code that handles a request is plain blocking code. Shows also a server that is stopped gracefully, and what
//! bounds a client that is slow or does not read.
//!
//! ```text
//! cargo run --release --example http_server -- --port 8080 docs
//! curl -i http://127.0.0.1:8080/performance.md
//! curl -i -d 40 http://127.0.0.1:8080/api/counter
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `main.rs` | arguments, start, stop |
//! | `connection.rs` | one connection: hyper, and the limits for its client |
//! | `guarded.rs` | the stream of a connection, with a time-out for clients that do not read |
//! | `service.rs` | which request gets which response; the counter |
//! | `files.rs` | files, and which paths lead to one |
//! | `body.rs` | the body of a response |
//! | `tls.rs` | TLS, between hyper and the stream |
//!
//! `net::Server` accepts connections, and runs each in a green thread of its own, which runs hyper's future with
//! `block_on`. While a request is handled, the green thread may park: in `kahn::fs`, or in the `ask` of an actor.
//!
//! On Ctrl-C and SIGTERM the server accepts no more, closes idle connections, and answers the requests that have begun.
//! It cancels those that take longer than `--grace`. A second signal ends the process at once.
//!
//! Start with `service.rs`. Exit code: 0, or 2 for a bad argument, a folder, a certificate or a port that cannot be used.

mod body;
mod connection;
mod files;
mod guarded;
mod service;
mod tls;

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use kahn::channel::watch;
use kahn::net::{Server, TcpListener};
use kahn::signal::{self, Signal};
use rustls::ServerConfig;

use connection::Limits;
use service::Service;

const USAGE: &str = "\
Serves the files below DIR (the current folder) over HTTP/1.1 on 127.0.0.1.

usage: http_server [OPTIONS] [DIR]

  --port N         the port; 0 stands for any free one (8080)
  --tls CERT KEY   serves HTTPS, with the certificate and the key in these files (PEM)
  --connections N  how many connections are open at a time; further ones wait (10000)
  --idle MS        how long a client may take for the head of a request, the pause and the TLS handshake included (30000)
  --body MS        how long a client may take for the body of a request (30000)
  --stalled MS     how long a client may read nothing of a response (30000)
  --grace MS       how long requests may last after Ctrl-C or SIGTERM (10000)

GET and HEAD of a path return a file, or the index.html of a folder. Names that begin with a dot are not served.
GET /api/time returns the time, and GET /api/counter a counter. POST /api/counter adds the number in the body to it.

Exit code: 0; 2 for a bad argument, a folder, a certificate or a port that cannot be used.
";

struct Options {
    port: u16,
    connections: usize,
    grace: Duration,
    limits: Limits,
    tls: Option<Arc<ServerConfig>>,
    folder: PathBuf,
}

#[kahn::main]
fn main() -> ExitCode {
    let served = match parse(std::env::args().skip(1)) {
        Ok(Some(options)) => serve(options),
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(message) => Err(message),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("http_server: {message}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    fn number<T: FromStr>(name: &str, value: Option<String>) -> Result<T, String> {
        let value = value.ok_or_else(|| format!("{name} needs a number"))?;
        value.parse().map_err(|_| format!("{name}: {value} is not a possible number"))
    }
    let mut options = Options {
        port: 8080,
        connections: 10_000,
        grace: Duration::from_secs(10),
        limits: Limits::default(),
        tls: None,
        folder: ".".into(),
    };
    let mut folder = None;
    while let Some(arg) = args.next() {
        let mut millis = || number(&arg, args.next()).map(Duration::from_millis);
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--idle" => options.limits.idle = millis()?,
            "--body" => options.limits.body = millis()?,
            "--stalled" => options.limits.stalled = millis()?,
            "--grace" => options.grace = millis()?,
            "--port" => options.port = number(&arg, args.next())?,
            "--connections" => options.connections = number(&arg, args.next())?,
            "--tls" => match (args.next(), args.next()) {
                (Some(cert), Some(key)) => options.tls = Some(tls::config(cert.as_ref(), key.as_ref())?),
                _ => return Err("--tls needs two files".into()),
            },
            _ if arg.starts_with('-') => return Err(format!("{arg} is not an option; see --help")),
            _ if folder.is_none() => folder = Some(PathBuf::from(arg)),
            _ => return Err(format!("{arg} is one argument too many; see --help")),
        }
    }
    options.folder = folder.unwrap_or(options.folder);
    Ok(Some(options))
}

fn serve(options: Options) -> Result<(), String> {
    let service =
        Service::new(&options.folder).map_err(|error| format!("{}: {error}", options.folder.display()))?;
    let bound = TcpListener::bind(("127.0.0.1", options.port));
    let listener = Arc::new(bound.map_err(|error| format!("port {}: {error}", options.port))?);
    let address = listener.local_addr().map_err(|error| error.to_string())?;

    let (stop, stopping) = watch(false);
    let signals =
        signal::listen(&[Signal::INTERRUPT, Signal::TERMINATE]).map_err(|error| error.to_string())?;
    kahn::spawn({
        let listener = Arc::clone(&listener);
        move || {
            let _ = signals.recv();
            println!("stopping");
            // First the connections: one that is accepted after this sees it at once.
            let _ = stop.send(true);
            listener.close();
            if signals.recv().is_ok() {
                std::process::exit(130);
            }
        }
    });

    let scheme = if options.tls.is_some() { "https" } else { "http" };
    println!("listening on {scheme}://{address}");
    let server = Server::new(listener, options.connections).grace(options.grace);
    let (tls, limits) = (options.tls.as_ref(), &options.limits);
    let served = server.run(|stream| connection::run(stream, tls, &service, limits, stopping.clone()));
    let served = served.map_err(|error| error.to_string())?;
    println!("served {} connections; {} were cancelled", served.connections, served.cancelled);
    Ok(())
}
