//! Who does what, and what goes from one to the next:
//!
//! ```text
//!            files         chunks              maps
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
/// Pairs of a reader and a counter, for each worker.
const TEAMS: usize = 2;

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
    let (teams, mergers) = (TEAMS * options.workers, options.workers);
    let tally = Arc::new(Tally::default());

    let (map_txs, merging): (Vec<_>, Vec<_>) = (0..mergers)
        .map(|_| {
            let (tx, maps) = bounded(teams);
            (tx, spawn(move || merge(&maps)))
        })
        .unzip();

    let (file_tx, files) = bounded(BATCHES);
    let (chunk_tx, chunks) = bounded(teams);
    let (free_tx, free) = bounded(3 * teams);
    for _ in 0..3 * teams {
        let _ = free_tx.send(Chunk::new());
    }
    // In teams, because green threads that are started one after the other tend to share a worker: all the readers first
    // and then all the counters might leave one worker with nothing to compute.
    let (mut reading, mut counting) = (Vec::new(), Vec::new());
    for _ in 0..teams {
        let (files, free, chunk_tx, tally_) = (files.clone(), free.clone(), chunk_tx.clone(), tally.clone());
        let with_binary = options.binary;
        reading.push(spawn(move || read(&files, &free, &chunk_tx, with_binary, &tally_)));

        let (chunks, free_tx, map_txs) = (chunks.clone(), free_tx.clone(), map_txs.clone());
        let (stop, tally) = (stop.clone(), tally.clone());
        counting.push(spawn(move || count(&chunks, &free_tx, &map_txs, &stop, &tally)));
    }
    drop((files, free, chunk_tx, chunks, free_tx, map_txs));

    let walking = {
        let (paths, tally) = (options.paths.clone(), tally.clone());
        spawn(move || walk(paths, &file_tx, &tally))
    };

    let (quit_tx, quit) = bounded(0);
    let progress = std::io::stderr().is_terminal().then(|| {
        let tally = tally.clone();
        spawn(move || report::show_progress(&tally, start, &quit))
    });
    let green_threads = 1 + mergers + 2 * teams + 1 + usize::from(progress.is_some());

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

/// Counts the words of chunks in maps of its own, one for each merger, and hands them over at the end. Answers the OS
/// thread.
fn count(
    chunks: &Receiver<Chunk>,
    free: &Sender<Chunk>,
    mergers: &[Sender<Counts>],
    stop: &Receiver<()>,
    tally: &Tally,
) -> ThreadId {
    let mut shards: Vec<Counts> = mergers.iter().map(|_| Counts::default()).collect();
    loop {
        let mut chunk = select! {
            recv(chunks) -> chunk => match chunk {
                Ok(chunk) => chunk,
                Err(_) => break,
            },
            recv(stop) -> _ => break,
        };
        let words = count_words(chunk.text(), &mut shards);
        tally.words.fetch_add(words, Relaxed);
        // The readers may be gone.
        let _ = free.send(chunk);
    }
    for (shard, merger) in shards.into_iter().zip(mergers) {
        let _ = merger.send(shard);
    }
    std::thread::current().id()
}

/// Adds up one shard of all counters.
fn merge(maps: &Receiver<Counts>) -> Counts {
    let mut sum = Counts::default();
    for mut map in maps {
        if map.len() > sum.len() {
            std::mem::swap(&mut map, &mut sum);
        }
        for (word, count) in map {
            *sum.entry(word).or_default() += count;
        }
    }
    sum
}
