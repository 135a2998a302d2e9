//! The sound format, and a melody in it.

use std::f64::consts::TAU;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

const SAMPLES_PER_SECOND: usize = 8000;
/// The duration of a frame, which the player plays at a tick.
pub const FRAME_TIME: Duration = Duration::from_millis(20);
/// The size of a frame in bytes. A sample has 16 bits, the low byte first.
pub const FRAME: usize = 2 * SAMPLES_PER_SECOND / 50;

/// Writes a melody to a file.
pub fn make(path: &Path, seconds: usize) -> io::Result<()> {
    const NOTES: [f64; 8] = [261.6, 293.7, 329.6, 349.2, 392.0, 440.0, 493.9, 523.3];
    const SAMPLES_PER_NOTE: usize = SAMPLES_PER_SECOND / 4;
    let mut file = GzEncoder::new(BufWriter::new(File::create(path)?), Compression::default());
    for sample in 0..seconds * SAMPLES_PER_SECOND {
        let note = NOTES[(sample / SAMPLES_PER_NOTE) * 3 % NOTES.len()];
        let fading = 1.0 - (sample % SAMPLES_PER_NOTE) as f64 / SAMPLES_PER_NOTE as f64;
        let wave = (TAU * note * sample as f64 / SAMPLES_PER_SECOND as f64).sin();
        file.write_all(&((wave * fading * 30_000.0) as i16).to_le_bytes())?;
    }
    file.finish()?.flush()
}

/// Returns the volume of the loudest sample of a frame, from 0 to 1.
pub fn level(frame: &[u8]) -> f64 {
    let (samples, _) = frame.as_chunks::<2>();
    let loudest = samples.iter().map(|&sample| i16::from_le_bytes(sample).unsigned_abs()).max();
    f64::from(loudest.unwrap_or(0)) / 32768.0
}
