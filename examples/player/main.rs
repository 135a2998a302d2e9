//! A music player: read, decompress, play, three stages joined by small bounded channels.
//!
//! ```text
//! cargo run --release --example player -- --make /tmp/song.gz 5
//! cargo run --release --example player -- /tmp/song.gz
//! cargo run --release --example player -- --disk-ms 40 --block 512 /tmp/song.gz     # underruns
//! ```
//!
//! A ticker paces the last stage, and through the channels all the others: the reader is never more than a few blocks
//! ahead, however large the file. The decoder is flate2's, written for blocking readers: it gets one that reads from a
//! channel. A frame that is not there when its tick comes is an underrun.

mod options;
mod song;
mod stages;

use std::process::ExitCode;
use std::time::Instant;

use kahn::channel::bounded;
use kahn::spawn;

use crate::options::{Command, Options, USAGE};

/// Blocks between reader and decoder, and frames between decoder and player.
const BLOCKS: usize = 4;
const FRAMES: usize = 8;

fn main() -> ExitCode {
    let command = match Command::parse(std::env::args_os().skip(1)) {
        Ok(command) => command,
        Err(message) => {
            eprintln!("player: {message}");
            return ExitCode::from(2);
        }
    };
    let done = match command {
        Command::Help => {
            print!("{USAGE}");
            Ok(())
        }
        Command::Make { path, seconds } => {
            song::make(&path, seconds).map_err(|error| format!("{}: {error}", path.display()))
        }
        Command::Play(options) => kahn::run(|| play(&options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("player: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Plays all the files, one after the other, and reports.
fn play(options: &Options) -> Result<(), String> {
    let start = Instant::now();
    let mut failed = 0;
    for path in &options.paths {
        let (block_tx, blocks) = bounded(BLOCKS);
        let (frame_tx, frames) = bounded(FRAMES);
        let reader = {
            let (path, block, disk) = (path.clone(), options.block, options.disk);
            spawn(move || stages::read(&path, block, disk, &block_tx))
        };
        let decoder = spawn(move || stages::decode(blocks, &frame_tx));
        let played = stages::play(&frames, options.is_fast);
        drop(frames);
        let waited = reader.join().expect("the reader does not panic");
        let decoded = decoder.join().expect("the decoder does not panic");

        println!("{}: {played}", path.display());
        println!(
            "  the reader waited {:.2} s for the decoder, that {:.2} s for the player",
            waited.as_secs_f64(),
            decoded.waited.as_secs_f64()
        );
        if let Err(error) = decoded.result {
            eprintln!("player: {}: {error}", path.display());
            failed += 1;
        }
    }
    let in_flight = (BLOCKS + 2) * options.block + (FRAMES + 2) * song::FRAME;
    println!(
        "{:.2} s; at most {} KB were in flight{}",
        start.elapsed().as_secs_f64(),
        in_flight.div_ceil(1000),
        stages::peak_memory().map_or(String::new(), |peak| format!(", the process took {peak} at most")),
    );
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} could not be played", options.paths.len())) }
}
