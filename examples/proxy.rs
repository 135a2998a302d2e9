//! A TCP proxy: passes the bytes of each connection on to a target, and back.
//!
//! ```sh
//! cargo run --release --example proxy -- 127.0.0.1:8080 example.org:80 --limit 1000
//! ```
//!
//! Each connection has two green threads, one for each direction. When one side has sent everything, the proxy shuts
//! down that direction alone: the other side may still send. At most `--limit` connections are served at a time, and
//! further ones wait. The proxy ends when its standard input ends, and gives its connections ten seconds to finish.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use kahn::net::{Server, Shutdown, TcpListener, TcpStream};

const USAGE: &str = "usage: proxy LISTEN TARGET [--limit N]";
const GRACE: Duration = Duration::from_secs(10);

struct Options {
    listen: String,
    target: String,
    limit: usize,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let listen = arguments.next().ok_or("LISTEN is missing")?;
        let target = arguments.next().ok_or("TARGET is missing")?;
        let limit = match arguments.next().as_deref() {
            None => 1000,
            Some("--limit") => {
                let number = arguments.next().ok_or("--limit needs a number")?;
                let limit = number.parse().ok().filter(|limit| *limit > 0);
                limit.ok_or_else(|| format!("--limit needs a number from 1, not {number}"))?
            }
            Some(other) => return Err(format!("{other}: no such option")),
        };
        match arguments.next() {
            None => Ok(Options { listen, target, limit }),
            Some(other) => Err(format!("{other}: too many arguments")),
        }
    }
}

/// Passes bytes on until `from` has sent everything. Then `to` reads the end of the stream.
fn pass_on(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<u64> {
    let copied = kahn::io::copy(&mut from, &mut to);
    if copied.is_err() {
        // One side is gone. This ends the other direction, too.
        from.close();
        to.close();
    } else {
        // It fails if the other side is gone, which the other direction notices.
        let _ = to.shutdown(Shutdown::Write);
    }
    copied
}

fn handle(client: &TcpStream, target: &str) -> io::Result<(u64, u64)> {
    let server = TcpStream::connect(target)?;
    kahn::scope(|s| {
        let there = s.spawn(|| pass_on(client, &server));
        let back = pass_on(&server, client);
        // A panic of `pass_on` goes on here.
        Ok((there.join().expect("passing on does not panic")?, back?))
    })
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(&*options.listen)?;
    println!("listening on {}", listener.local_addr()?);
    let stop = listener.try_clone()?;
    kahn::spawn(move || {
        // Any line, or the end of the input, stops the proxy.
        let _ = kahn::io::stdin().read_line(&mut String::new());
        stop.close();
    });
    let served = Server::new(listener, options.limit).grace(GRACE).run(|client| {
        match handle(&client, &options.target) {
            Ok((there, back)) => println!("passed on {there} bytes there, {back} bytes back"),
            Err(error) => eprintln!("a connection has failed: {error}"),
        }
    })?;
    println!("served {} connections", served.connections);
    Ok(())
}

#[kahn::main]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let options = match Options::parse(arguments.into_iter()) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("proxy: {error}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("proxy: {error}");
            ExitCode::FAILURE
        }
    }
}
