//! Who does what, and what goes from one to the next:
//!
//! ```text
//!            files         chunks            parts of maps
//! walker ──────────▶ readers ──────▶ counters ──────▶ mergers ──▶ main
//!                       ▲               │
//!                       └───────────────┘ chunks to fill again
//! ```
//!
//! Every arrow is a bounded channel, and the chunks are a fixed number that goes round, so that memory does not grow with
//! the files, only with the number of different words. Whoever has nothing left to do drops its ends of the channels, and
//! so tells its neighbours: upstream that nobody listens any more, downstream that no more will come. That is all it takes
//! to stop, too: on Ctrl-C the counters leave.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use kahn::channel::{Receiver, Sender, bounded, select};
use kahn::thread::JoinError;
use kahn::{blocking, spawn};

use crate::count::{Counts, count_words};
use crate::options::Options;
use crate::read::{Chunk, Source};
use crate::report;
use crate::tally::Tally;
use crate::walk::Walk;

/// Batches of files between the walker and the readers.
const BATCHES: usize = 16;
/// The entries of a map that are sent at a time.
const PART: usize = 4096;

type Part = Vec<(Box<[u8]>, u64)>;

pub struct Outcome {
    /// Each word is in the shard that its hash says.
    pub shards: Vec<Counts>,
    pub tally: Arc<Tally>,
    pub elapsed: Duration,
    pub green_threads: usize,
    /// On how many OS threads words were counted.
    pub workers: usize,
    pub was_stopped: bool,
}

/// Counts the words of everything in `options.paths`, until `stop` ends.
pub fn run(options: &Options, stop: &Receiver<()>) -> Result<Outcome, JoinError> {
    let start = Instant::now();
    let (readers, counters, mergers) = (2 * options.workers, 2 * options.workers, options.workers);
    let tally = Arc::new(Tally::default());

    let (part_txs, merging): (Vec<_>, Vec<_>) = (0..mergers)
        .map(|_| {
            let (tx, parts) = bounded(counters);
            (tx, spawn(move || merge(&parts)))
        })
        .unzip();

    let (chunk_tx, chunks) = bounded(counters);
    let (free_tx, free) = bounded(readers + 2 * counters);
    for _ in 0..readers + 2 * counters {
        let _ = free_tx.send(Chunk::new());
    }
    let counting: Vec<_> = (0..counters)
        .map(|_| {
            let (chunks, free, parts) = (chunks.clone(), free_tx.clone(), part_txs.clone());
            let (stop, tally) = (stop.clone(), tally.clone());
            spawn(move || count(&chunks, &free, &parts, &stop, &tally))
        })
        .collect();
    drop((chunks, free_tx, part_txs));

    let (file_tx, files) = bounded(BATCHES);
    let reading: Vec<_> = (0..readers)
        .map(|_| {
            let (files, free, chunks, tally) = (files.clone(), free.clone(), chunk_tx.clone(), tally.clone());
            let with_binary = options.binary;
            spawn(move || read(&files, &free, &chunks, with_binary, &tally))
        })
        .collect();
    drop((files, free, chunk_tx));

    let walking = {
        let (paths, tally) = (options.paths.clone(), tally.clone());
        spawn(move || walk(paths, &file_tx, &tally))
    };

    let (quit_tx, quit) = bounded(0);
    let progress = std::io::stderr().is_terminal().then(|| {
        let tally = tally.clone();
        spawn(move || report::show_progress(&tally, start, &quit))
    });
    let green_threads = 1 + mergers + counters + readers + 1 + usize::from(progress.is_some());

    let mut workers = HashSet::new();
    for counter in counting {
        workers.insert(counter.join()?);
    }
    let shards = merging.into_iter().map(|merger| merger.join()).collect::<Result<Vec<_>, _>>()?;
    let was_stopped = stop.try_recv().is_err_and(|error| error.is_disconnected());
    if !was_stopped {
        // After a stop a reader may still be in a read that takes for ever, of a pipe that is silent.
        walking.join()?;
        reading.into_iter().try_for_each(|reader| reader.join())?;
    }
    let elapsed = start.elapsed();
    drop(quit_tx);
    if let Some(progress) = progress {
        progress.join()?;
    }
    Ok(Outcome { shards, tally, elapsed, green_threads, workers: workers.len(), was_stopped })
}

/// Finds files, a batch at a time.
fn walk(paths: Vec<PathBuf>, files: &Sender<Vec<PathBuf>>, tally: &Tally) {
    let mut walk = Walk::new(paths, tally);
    while let Some(batch) = blocking(|| walk.next()) {
        if files.send(batch).is_err() {
            return;
        }
    }
}

/// Fills chunks from files.
fn read(
    files: &Receiver<Vec<PathBuf>>,
    free: &Receiver<Chunk>,
    chunks: &Sender<Chunk>,
    with_binary: bool,
    tally: &Tally,
) {
    for batch in files {
        let mut source = Source::new(batch, with_binary, tally);
        while !source.is_empty() {
            let Ok(chunk) = free.recv() else { return };
            let chunk = blocking(|| source.fill(chunk));
            if chunks.send(chunk).is_err() {
                return;
            }
        }
    }
}

/// Counts the words of chunks in a map of its own, and at the end hands the map to the mergers. Answers the OS thread.
fn count(
    chunks: &Receiver<Chunk>,
    free: &Sender<Chunk>,
    parts: &[Sender<Part>],
    stop: &Receiver<()>,
    tally: &Tally,
) -> ThreadId {
    let mut counts = Counts::default();
    loop {
        let mut chunk = select! {
            recv(chunks) -> chunk => match chunk {
                Ok(chunk) => chunk,
                Err(_) => break,
            },
            recv(stop) -> _ => break,
        };
        let words = count_words(chunk.text(), &mut counts);
        tally.words.fetch_add(words, Relaxed);
        // The readers may be gone.
        let _ = free.send(chunk);
    }

    let hasher = counts.hasher().clone();
    let mut full: Vec<Part> = parts.iter().map(|_| Part::new()).collect();
    for entry in counts {
        let shard = (hasher.hash_one(&entry.0) >> 32) as usize % parts.len();
        full[shard].push(entry);
        if full[shard].len() == PART {
            let _ = parts[shard].send(std::mem::take(&mut full[shard]));
        }
    }
    for (part, shard) in full.into_iter().zip(parts) {
        let _ = shard.send(part);
    }
    std::thread::current().id()
}

/// Adds up one shard.
fn merge(parts: &Receiver<Part>) -> Counts {
    let mut counts = Counts::default();
    for (word, count) in parts.iter().flatten() {
        *counts.entry(word).or_default() += count;
    }
    counts
}
