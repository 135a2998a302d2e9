//! A music player with three stages, read, decompress and play, connected by small bounded channels.
//!
//! Shows back-pressure through bounded channels, a ticker that sets the pace of a pipeline, and a library for blocking
//! readers that runs unchanged in a green thread.
//!
//! ```text
//! cargo run --release --example player -- --make /tmp/song.gz 5
//! cargo run --release --example player -- /tmp/song.gz
//! cargo run --release --example player -- --disk-ms 40 --block 512 /tmp/song.gz     # underruns
//! ```
//!
//! A ticker paces the player, and the channels pace the stages before it: the reader is never more than a few blocks
//! ahead, however large the file is. The decoder is flate2's, which wants a blocking `Read`; `stages.rs` gives it one
//! that reads from a channel. When a tick comes and the next frame is not decoded yet, the player counts an underrun.
//!
//! `options.rs` has the command line and the exit codes.

mod options;
mod song;
mod stages;

use std::process::ExitCode;
use std::time::Instant;

use kahn::channel::bounded;
use kahn::spawn;

use crate::options::{Command, Options, USAGE};

/// The capacity of the channel from the reader to the decoder.
const BLOCKS: usize = 4;
/// The capacity of the channel from the decoder to the player.
const FRAMES: usize = 8;

fn main() -> ExitCode {
    let command = match Command::parse(std::env::args_os().skip(1)) {
        Ok(command) => command,
        Err(message) => {
            eprintln!("player: {message}");
            return ExitCode::from(2);
        }
    };
    let result = match command {
        Command::Help => {
            print!("{USAGE}");
            Ok(())
        }
        Command::Make { path, seconds } => {
            song::make(&path, seconds).map_err(|error| format!("{}: {error}", path.display()))
        }
        Command::Play(options) => kahn::run(|| play(&options)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("player: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Plays the files in turn and prints a report for each.
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
            "  the reader waited {:.2} s for the decoder, the decoder {:.2} s for the player",
            waited.as_secs_f64(),
            decoded.waited.as_secs_f64()
        );
        if let Err(error) = decoded.result {
            eprintln!("player: {}: {error}", path.display());
            failed += 1;
        }
    }
    // The blocks and frames in the channels, and the one that each stage holds.
    let in_flight = (BLOCKS + 2) * options.block + (FRAMES + 2) * song::FRAME;
    println!(
        "{:.2} s; at most {} KB were in flight{}",
        start.elapsed().as_secs_f64(),
        in_flight.div_ceil(1000),
        stages::peak_memory().map_or(String::new(), |peak| format!(", peak memory of the process {peak}")),
    );
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} could not be played", options.paths.len())) }
}
