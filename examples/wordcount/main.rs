//! Counts the words in a tree of files: a pipeline of plain blocking code that uses all cores.
//!
//! Shows a pipeline of green threads over bounded channels, `select!` with a stop channel, and `kahn::blocking` for
//! file operations. `pipeline.rs` is the part to read.
//!
//! ```text
//! cargo run --release --example wordcount -- /usr/share/doc
//! cargo run --release --example wordcount -- --check ~/.cargo/registry
//! ```
//!
//! `options.rs` has the command line and the exit codes. Ctrl-C stops the count and prints the words counted so far.

mod check;
mod count;
mod options;
mod pipeline;
mod read;
mod report;
mod tally;
mod walk;

use std::io;
use std::process::{ExitCode, exit};
use std::sync::atomic::Ordering::Relaxed;

use kahn::channel::{Receiver, bounded};

use crate::options::{Options, USAGE};

const FAILED: u8 = 1;
const BAD_ARGUMENT: u8 = 2;
const INTERRUPTED: i32 = 130;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(message) => return fail(BAD_ARGUMENT, &message),
    };
    let runtime = match kahn::Runtime::builder().workers(options.workers).build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(BAD_ARGUMENT, &error.to_string()),
    };
    runtime.run(|| count_and_print(&options)).unwrap_or_else(|message| fail(FAILED, &message))
}

fn fail(code: u8, message: &str) -> ExitCode {
    eprintln!("wordcount: {message}");
    ExitCode::from(code)
}

fn count_and_print(options: &Options) -> Result<ExitCode, String> {
    let stop = stop_on_ctrl_c()?;
    let outcome = pipeline::run(options, &stop).map_err(|error| error.to_string())?;
    match report::print(&outcome, options.top) {
        // The reader has closed the pipe, as in `wordcount | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
        printed => printed.map_err(|error| error.to_string())?,
    }
    if outcome.was_stopped {
        eprintln!("wordcount: interrupted, these are the words counted so far");
        exit(INTERRUPTED);
    }
    if options.check {
        println!("{}", check::compare(options, &outcome)?);
    }
    let all_read = outcome.tally.errors.load(Relaxed) == 0;
    Ok(if all_read { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// Returns a channel that is disconnected at the first Ctrl-C. The second Ctrl-C ends the process.
fn stop_on_ctrl_c() -> Result<Receiver<()>, String> {
    let (tx, stop) = bounded(0);
    let mut running = Some(tx);
    ctrlc::set_handler(move || {
        if running.take().is_none() {
            exit(INTERRUPTED);
        }
    })
    .map_err(|error| error.to_string())?;
    Ok(stop)
}
