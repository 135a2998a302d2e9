//! The three stages: reader, decoder, player.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::Crc;
use flate2::read::MultiGzDecoder;
use kahn::blocking;
use kahn::channel::{Receiver, Sender, TryRecvError, tick};

use crate::song::{FRAME, FRAME_TIME, level};

pub type Block = io::Result<Vec<u8>>;
pub type Frame = Vec<u8>;

/// Reads the file in blocks. An empty block ends the file. Returns for how long the reader waited for space in the
/// channel.
pub fn read(path: &Path, size: usize, disk: Duration, blocks: &Sender<Block>) -> Duration {
    let mut waited = Duration::ZERO;
    let mut file = match blocking(|| File::open(path)) {
        Ok(file) => file,
        Err(error) => {
            let _ = blocks.send(Err(error));
            return waited;
        }
    };
    loop {
        let block = blocking(|| {
            std::thread::sleep(disk);
            let mut block = Vec::with_capacity(size);
            (&mut file).take(size as u64).read_to_end(&mut block).map(|_| block)
        });
        let is_last = block.as_ref().map_or(true, Vec::is_empty);
        let start = Instant::now();
        if blocks.send(block).is_err() || is_last {
            return waited;
        }
        waited += start.elapsed();
    }
}

/// Implements `Read` over the blocks of a channel. `read` parks the green thread until a block arrives.
struct BlockReader {
    blocks: Receiver<Block>,
    block: io::Cursor<Vec<u8>>,
}

impl Read for BlockReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.block.read(buffer)?;
        if count > 0 || buffer.is_empty() {
            return Ok(count);
        }
        match self.blocks.recv() {
            Ok(block) => self.block = io::Cursor::new(block?),
            Err(_) => return Ok(0),
        }
        self.block.read(buffer)
    }
}

pub struct Decoded {
    /// For how long the decoder waited for space in the channel.
    pub waited: Duration,
    pub result: io::Result<()>,
}

/// Decompresses the blocks and sends the sound in frames.
pub fn decode(blocks: Receiver<Block>, frames: &Sender<Frame>) -> Decoded {
    let reader = BlockReader { blocks, block: io::Cursor::default() };
    let mut decoder = MultiGzDecoder::new(reader);
    let mut waited = Duration::ZERO;
    loop {
        let mut frame = Vec::with_capacity(FRAME);
        let result = (&mut decoder).take(FRAME as u64).read_to_end(&mut frame).map(drop);
        let is_last = frame.is_empty() || result.is_err();
        let start = Instant::now();
        if !frame.is_empty() && frames.send(frame).is_err() || is_last {
            return Decoded { waited, result };
        }
        waited += start.elapsed();
    }
}

#[derive(Default)]
pub struct Played {
    frames: usize,
    underruns: usize,
    checksum: Crc,
}

impl Played {
    fn play(&mut self, frame: &[u8]) {
        self.frames += 1;
        self.checksum.update(frame);
    }
}

impl fmt::Display for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Played { frames, underruns, checksum } = self;
        write!(
            f,
            "{frames} frames, {underruns} underruns, {} bytes with checksum {:08x}",
            checksum.amount(),
            checksum.sum()
        )
    }
}

/// Plays a frame at every tick. If the next frame is not decoded yet, plays silence and counts an underrun.
pub fn play(frames: &Receiver<Frame>, is_fast: bool) -> Played {
    let mut played = Played::default();
    // The ticker starts after the first frame, so that the time to open the file causes no underruns.
    let Ok(first) = frames.recv() else { return played };
    played.play(&first);
    if is_fast {
        frames.iter().for_each(|frame| played.play(&frame));
        return played;
    }
    let shows_level = io::stderr().is_terminal();
    let ticker = tick(FRAME_TIME);
    while ticker.recv().is_ok() {
        match frames.try_recv() {
            Ok(frame) => {
                played.play(&frame);
                if shows_level {
                    eprint!("\r\x1b[K{}", "▮".repeat((level(&frame) * 60.0) as usize));
                }
            }
            Err(TryRecvError::Empty) => played.underruns += 1,
            Err(TryRecvError::Disconnected) => break,
        }
    }
    if shows_level {
        eprint!("\r\x1b[K");
    }
    played
}

/// Returns the peak memory of this process, on systems that report it in `/proc`.
pub fn peak_memory() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(peak.trim().to_owned())
}
