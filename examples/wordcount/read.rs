//! Reading files into chunks that end between two words.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::vec;

use crate::count::last_border;
use crate::tally::Tally;

const CHUNK: usize = 256 << 10;
/// How much of a file is looked at to tell whether it is binary.
pub const SNIFF: usize = 8 << 10;

/// Text to count: several small files, or a part of a large one.
pub struct Chunk {
    buffer: Box<[u8]>,
    len: usize,
}

impl Chunk {
    pub fn new() -> Chunk {
        Chunk { buffer: vec![0; CHUNK].into(), len: 0 }
    }

    pub fn text(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.len]
    }

    fn push(&mut self, bytes: &[u8]) {
        self.buffer[self.len..][..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// How much more there is room for, but for the blank after a file.
    fn room(&self) -> usize {
        CHUNK - 1 - self.len
    }

    /// Reads until there is no room, or only `end` bytes in all. Answers whether the file has ended.
    fn read_from(&mut self, file: &mut File, end: usize) -> io::Result<bool> {
        while self.len < end.min(CHUNK - 1) {
            match file.read(&mut self.buffer[self.len..end.min(CHUNK - 1)]) {
                Ok(0) => return Ok(true),
                Ok(count) => self.len += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}

/// Whether a file that begins like this is not text.
pub fn is_binary(beginning: &[u8]) -> bool {
    beginning.iter().take(SNIFF).any(|&byte| byte == 0)
}

/// The text of one file after the other.
pub struct Source<'a> {
    files: vec::IntoIter<PathBuf>,
    open: Option<Open>,
    tally: &'a Tally,
    with_binary: bool,
}

struct Open {
    path: PathBuf,
    file: File,
    is_new: bool,
    /// The beginning of a word that the last chunk ended in.
    carry: Vec<u8>,
}

impl<'a> Source<'a> {
    pub fn new(files: Vec<PathBuf>, with_binary: bool, tally: &'a Tally) -> Source<'a> {
        Source { files: files.into_iter(), open: None, tally, with_binary }
    }

    fn next_file(&mut self) -> Option<Open> {
        loop {
            let path = self.files.next()?;
            match File::open(&path) {
                Ok(file) => return Some(Open { path, file, is_new: true, carry: Vec::new() }),
                Err(error) => self.tally.skip(&path, &error),
            }
        }
    }

    /// Reads as much as goes into the chunk; nothing if all is read.
    pub fn fill(&mut self, mut chunk: Chunk) -> Chunk {
        chunk.len = 0;
        while self.open.is_some() || chunk.room() >= SNIFF {
            let Some(open) = self.open.take().or_else(|| self.next_file()) else { break };
            let start = chunk.len;
            match self.read(open, &mut chunk) {
                Ok(None) => {}
                Ok(more) => {
                    self.open = more;
                    break;
                }
                Err((path, error)) => {
                    self.tally.skip(&path, &error);
                    chunk.len = start;
                }
            }
        }
        chunk
    }

    /// Reads on in a file, and answers it if there is more of it than there is room.
    fn read(&self, mut open: Open, chunk: &mut Chunk) -> Result<Option<Open>, (PathBuf, io::Error)> {
        chunk.push(&open.carry);
        let start = chunk.len;
        let mut read = |chunk: &mut Chunk, end| chunk.read_from(&mut open.file, end);
        let beginning = if open.is_new { read(chunk, start + SNIFF) } else { Ok(false) };
        if open.is_new && !self.with_binary && is_binary(&chunk.buffer[start..chunk.len]) {
            self.tally.binary.fetch_add(1, Relaxed);
            chunk.len = start;
            return Ok(None);
        }
        let ended = match beginning {
            Ok(false) => read(chunk, CHUNK),
            ended => ended,
        };
        let ended = ended.map_err(|error| (open.path.clone(), error))?;
        self.tally.bytes.fetch_add((chunk.len - start) as u64, Relaxed);
        if ended {
            self.tally.files.fetch_add(1, Relaxed);
            chunk.push(b"\n");
            return Ok(None);
        }
        let border = last_border(chunk.text());
        open.carry = chunk.text()[border..].to_vec();
        open.is_new = false;
        chunk.len = border;
        Ok(Some(open))
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_none() && self.files.as_slice().is_empty()
    }
}
