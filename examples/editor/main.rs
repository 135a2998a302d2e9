//! The core of a text editor. It accepts keystrokes while autosave writes to a slow disk, and it loses no text when a
//! write fails.
//!
//! Shows an event loop over `select!`, a ticker, and `kahn::blocking` for a slow operation. `document.rs` has the loop.
//!
//! ```text
//! cargo run --example editor -- /tmp/saved.txt < README.md
//! cargo run --example editor -- --fail-every 2 --disk-ms 50 --key-ms 1 /tmp/saved.txt examples/data/typed.txt
//! ```
//!
//! Three green threads share no memory and talk over channels:
//!
//! ```text
//!            keystrokes          snapshots of the text
//! keyboard ────────────▶ editor ──────────────────────▶ saver
//!                           ▲                             │
//!                           └─────────────────────────────┘ result of each write
//! ```
//!
//! The editor waits for the next keystroke, the result of the last write, or the ticker, whichever comes first. At most
//! one write is in progress. After a failed write the next tick tries again, with the text of that moment.

mod disk;
mod document;
mod keyboard;

use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use kahn::channel::bounded;
use kahn::spawn;

use crate::disk::Disk;
use crate::document::Document;

const USAGE: &str = "\
Reads keystrokes from INPUT (or standard input) and saves the text to OUTPUT while it grows.

usage: editor [--fail-every N] [--disk-ms MS] [--key-ms MS] [--autosave-ms MS] OUTPUT [INPUT]

Every character is a keystroke. A backspace or delete character removes the character before it.

  --fail-every N     make every Nth write fail (never)
  --disk-ms MS       how long a write takes at least (0)
  --key-ms MS        the time between two keystrokes (0)
  --autosave-ms MS   the time between two saves (20)

Exit code: 0 if the text was saved; 1 if it was not, and then the text is printed; 2 for a bad argument.
";

struct Options {
    disk: Disk,
    input: Option<File>,
    key_interval: Duration,
    autosave_interval: Duration,
}

#[kahn::main]
fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("editor: {message}");
            return ExitCode::from(2);
        }
    };
    edit(options)
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut fail_every = None;
    let [mut disk_ms, mut key_ms, mut autosave_ms] = [0, 0, 20];
    let mut paths = Vec::new();
    while let Some(arg) = args.next() {
        let mut number = |min: u64| {
            let value = args.next().unwrap_or_default();
            let number = value.parse().ok().filter(|number| (min..=60_000).contains(number));
            number.ok_or_else(|| format!("{arg} needs a number from {min} to 60000, not {value:?}"))
        };
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--fail-every" => fail_every = Some(number(1)? as usize),
            "--disk-ms" => disk_ms = number(0)?,
            "--key-ms" => key_ms = number(0)?,
            "--autosave-ms" => autosave_ms = number(1)?,
            flag if flag.starts_with("--") => return Err(format!("{flag}: no such option, try --help")),
            path => paths.push(PathBuf::from(path)),
        }
    }
    let mut paths = paths.into_iter();
    let output = paths.next().ok_or("OUTPUT is missing, try --help")?;
    let input =
        paths.next().map(|path| File::open(&path).map_err(|error| format!("{}: {error}", path.display())));
    if let Some(path) = paths.next() {
        return Err(format!("{}: only one OUTPUT and one INPUT are possible", path.display()));
    }
    let [write_time, key_interval, autosave_interval] =
        [disk_ms, key_ms, autosave_ms].map(Duration::from_millis);
    let disk = Disk { output, fail_every, write_time };
    Ok(Some(Options { disk, input: input.transpose()?, key_interval, autosave_interval }))
}

/// Starts the keyboard and the saver, edits until the keyboard has no more keystrokes, and prints a summary.
fn edit(options: Options) -> ExitCode {
    let Options { disk, input, key_interval, autosave_interval } = options;
    let output = disk.output.clone();
    let (key_tx, keys) = bounded(16);
    let keyboard = spawn(move || match input {
        Some(file) => keyboard::type_all(BufReader::new(file), key_interval, &key_tx),
        None => keyboard::type_all(io::stdin(), key_interval, &key_tx),
    });
    let (save_tx, saves) = bounded(1);
    let (result_tx, results) = bounded(1);
    let saver = spawn(move || disk::save_all(&disk, &saves, &result_tx));

    let mut document = Document::new(save_tx, results);
    document.edit(&keys, autosave_interval);
    let typed = keyboard.join().expect("the keyboard does not panic");
    let is_saved = document.save_at_exit();
    println!("{}", document.summary());
    let text = document.into_text();
    saver.join().expect("the saver does not panic");

    if !is_saved {
        eprintln!("editor: {} could not be written, this is the text:", output.display());
        print!("{text}");
        return ExitCode::FAILURE;
    }
    println!("saved to {}", output.display());
    match typed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("editor: reading the keystrokes failed: {error}");
            ExitCode::FAILURE
        }
    }
}
