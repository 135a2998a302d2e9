//! Reads files into chunks that end between two words.

use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::vec;

use kahn::fs::File;
use kahn::io::{self, Read};

use crate::count::last_word_boundary;
use crate::tally::Tally;

const CHUNK: usize = 256 << 10;
/// How many bytes at the start of a file decide whether it is binary.
pub const BINARY_PROBE: usize = 8 << 10;

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

    /// The free space, without the byte that separates a file from the next.
    fn room(&self) -> usize {
        CHUNK - 1 - self.len
    }

    /// Reads until the chunk is full or has `end` bytes. Returns whether the file has ended.
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

/// Whether a file with this beginning is binary.
pub fn is_binary(beginning: &[u8]) -> bool {
    beginning.iter().take(BINARY_PROBE).any(|&byte| byte == 0)
}

/// Reads a batch of files in turn.
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
    /// The beginning of a word that did not fit in the last chunk.
    partial_word: Vec<u8>,
}

impl<'a> Source<'a> {
    pub fn new(files: Vec<PathBuf>, with_binary: bool, tally: &'a Tally) -> Source<'a> {
        Source { files: files.into_iter(), open: None, tally, with_binary }
    }

    fn next_file(&mut self) -> Option<Open> {
        loop {
            let path = self.files.next()?;
            match File::open(&path) {
                Ok(file) => return Some(Open { path, file, is_new: true, partial_word: Vec::new() }),
                Err(error) => self.tally.skip(&path, &error),
            }
        }
    }

    /// Fills the chunk as far as the remaining text allows. The chunk is empty if there is none.
    pub fn fill(&mut self, mut chunk: Chunk) -> Chunk {
        chunk.len = 0;
        while self.open.is_some() || chunk.room() >= BINARY_PROBE {
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

    /// Continues to read a file. Returns the file if the chunk is full before the file ends.
    fn read(&self, mut open: Open, chunk: &mut Chunk) -> Result<Option<Open>, (PathBuf, io::Error)> {
        chunk.push(&open.partial_word);
        let start = chunk.len;
        let mut read = |chunk: &mut Chunk, end| chunk.read_from(&mut open.file, end);
        let beginning = if open.is_new { read(chunk, start + BINARY_PROBE) } else { Ok(false) };
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
        let boundary = last_word_boundary(chunk.text());
        open.partial_word = chunk.text()[boundary..].to_vec();
        open.is_new = false;
        chunk.len = boundary;
        Ok(Some(open))
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_none() && self.files.as_slice().is_empty()
    }
}
