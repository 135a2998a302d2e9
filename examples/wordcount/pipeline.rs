//! The pipeline of green threads:
//!
//! ```text
//!            files         chunks              maps
//! walker ──────────▶ readers ──────▶ counters ──────▶ mergers ──▶ main
//!                       ▲               │
//!                       └───────────────┘ empty chunks
//! ```
//!
//! Each of the two horizontal arrows on the left, and the one back, is one bounded channel; each merger has a channel
//! of its own, and `run` gets the merged maps from `join`. The number of chunks is fixed, because counters give them
//! back to the readers. Memory therefore does not grow with the files, only with the number of different words.
//!
//! A green thread that has finished drops its senders and receivers. A dropped receiver makes the sends before it fail,
//! and dropped senders end the loops after it, so the pipeline shuts down in both directions. Ctrl-C needs no more than
//! this: the counters return when the `stop` channel is disconnected.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use kahn::channel::{Receiver, Sender, bounded, select};
use kahn::spawn;
use kahn::thread::{JoinError, JoinHandle};

use crate::count::{Counts, count_words};
use crate::options::Options;
use crate::read::{Chunk, Source};
use crate::report;
use crate::tally::Tally;
use crate::walk::Walk;

/// The capacity of the channel between the walker and the readers, in batches of files.
const BATCHES: usize = 16;
/// How many pairs of a reader and a counter there are for each worker.
const PAIRS_PER_WORKER: usize = 2;
/// How many chunks there are for each pair.
const CHUNKS_PER_PAIR: usize = 3;

pub struct Outcome {
    /// A word is in the shard that its hash selects.
    pub shards: Vec<Counts>,
    pub tally: Arc<Tally>,
    pub elapsed: Duration,
    pub green_threads: usize,
    /// The number of OS threads that counted words.
    pub workers: usize,
    pub was_stopped: bool,
}

/// Counts the words of all files in `options.paths`, or until `stop` is disconnected.
///
/// # Errors
///
/// A green thread of the pipeline panicked.
pub fn run(options: &Options, stop: &Receiver<()>) -> Result<Outcome, JoinError> {
    let start = Instant::now();
    let tally = Arc::new(Tally::default());
    let pairs = PAIRS_PER_WORKER * options.workers;
    let (file_tx, files) = bounded(BATCHES);
    let (map_txs, mergers) = spawn_mergers(options.workers, pairs);
    let (readers, counters) = spawn_pairs(pairs, options.binary, files, map_txs, stop, &tally);
    let walker = {
        let (paths, tally) = (options.paths.clone(), tally.clone());
        spawn(move || walk(paths, &file_tx, &tally))
    };

    let (quit_tx, quit) = bounded(0);
    let progress = std::io::stderr().is_terminal().then(|| {
        let tally = tally.clone();
        spawn(move || report::show_progress(&tally, start, &quit))
    });
    let main_and_walker = 2;
    let green_threads =
        main_and_walker + mergers.len() + readers.len() + counters.len() + usize::from(progress.is_some());

    let mut workers = HashSet::new();
    for counter in counters {
        workers.insert(counter.join()?);
    }
    let shards = mergers.into_iter().map(|merger| merger.join()).collect::<Result<Vec<_>, _>>()?;
    let was_stopped = stop.try_recv().is_err_and(|error| error.is_disconnected());
    if !was_stopped {
        // After a stop a reader may never return: it may be in a read from a pipe that receives no data.
        walker.join()?;
        readers.into_iter().try_for_each(|reader| reader.join())?;
    }
    let elapsed = start.elapsed();
    drop(quit_tx);
    if let Some(progress) = progress {
        progress.join()?;
    }
    Ok(Outcome { shards, tally, elapsed, green_threads, workers: workers.len(), was_stopped })
}

/// Starts the mergers. Returns a sender for each, and their handles. A merger has room for a map from each counter.
fn spawn_mergers(mergers: usize, counters: usize) -> (Vec<Sender<Counts>>, Vec<JoinHandle<Counts>>) {
    (0..mergers)
        .map(|_| {
            let (tx, maps) = bounded(counters);
            (tx, spawn(move || merge(&maps)))
        })
        .unzip()
}

/// Starts the readers and the counters, and creates the chunks that go round between them.
///
/// Readers and counters are started in pairs because green threads that are started in a row tend to run on one worker.
/// All readers first and then all counters could leave a worker without counters, and so without computation.
fn spawn_pairs(
    pairs: usize,
    with_binary: bool,
    files: Receiver<Vec<PathBuf>>,
    map_txs: Vec<Sender<Counts>>,
    stop: &Receiver<()>,
    tally: &Arc<Tally>,
) -> (Vec<JoinHandle<()>>, Vec<JoinHandle<ThreadId>>) {
    let (chunk_tx, chunks) = bounded(pairs);
    let (empty_tx, empty_chunks) = bounded(CHUNKS_PER_PAIR * pairs);
    for _ in 0..CHUNKS_PER_PAIR * pairs {
        let _ = empty_tx.send(Chunk::new());
    }
    let pair = |_| {
        let (files, empty_chunks, chunk_tx, tally_) =
            (files.clone(), empty_chunks.clone(), chunk_tx.clone(), tally.clone());
        let reader = spawn(move || read(&files, &empty_chunks, &chunk_tx, with_binary, &tally_));

        let (chunks, empty_tx, map_txs) = (chunks.clone(), empty_tx.clone(), map_txs.clone());
        let (stop, tally) = (stop.clone(), tally.clone());
        (reader, spawn(move || count(&chunks, &empty_tx, &map_txs, &stop, &tally)))
    };
    (0..pairs).map(pair).unzip()
}

/// Sends the paths of files in batches.
fn walk(paths: Vec<PathBuf>, files: &Sender<Vec<PathBuf>>, tally: &Tally) {
    for batch in Walk::new(paths, tally) {
        if files.send(batch).is_err() {
            return;
        }
    }
}

/// Fills chunks with the text of files.
fn read(
    files: &Receiver<Vec<PathBuf>>,
    empty_chunks: &Receiver<Chunk>,
    chunks: &Sender<Chunk>,
    with_binary: bool,
    tally: &Tally,
) {
    for batch in files {
        let mut source = Source::new(batch, with_binary, tally);
        while !source.is_empty() {
            let Ok(chunk) = empty_chunks.recv() else { return };
            let chunk = source.fill(chunk);
            if chunks.send(chunk).is_err() {
                return;
            }
        }
    }
}

/// Counts the words of chunks in its own maps, one for each merger, and sends each map to its merger at the end.
/// Returns the OS thread that it ran on.
fn count(
    chunks: &Receiver<Chunk>,
    empty_chunks: &Sender<Chunk>,
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
        // The send fails if all readers have returned. The chunk is then dropped.
        let _ = empty_chunks.send(chunk);
    }
    for (shard, merger) in shards.into_iter().zip(mergers) {
        let _ = merger.send(shard);
    }
    std::thread::current().id()
}

/// Adds up the maps of one shard, one from each counter.
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
