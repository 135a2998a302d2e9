//! A sequential count in one thread, to compare the pipeline with.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crate::count::{Counts, count_words};
use crate::options::Options;
use crate::pipeline::Outcome;
use crate::read::{BINARY_PROBE, is_binary};
use crate::report::megabytes;
use crate::tally::Tally;
use crate::walk::Walk;

/// Counts sequentially and compares. Returns the speed as a line to print.
///
/// # Errors
///
/// The first difference between the two counts.
pub fn compare(options: &Options, outcome: &Outcome) -> Result<String, String> {
    let start = Instant::now();
    let tally = Tally { is_silent: true, ..Tally::default() };
    let counts = count_sequentially(options, &tally);
    let seconds = start.elapsed().as_secs_f64();

    for ((name, parallel), (_, sequential)) in outcome.tally.totals().into_iter().zip(tally.totals()) {
        if parallel != sequential {
            return Err(format!("{name}: {parallel} in parallel, {sequential} sequentially"));
        }
    }
    let shards: usize = outcome.shards.iter().map(Counts::len).sum();
    if shards != counts.len() {
        return Err(format!("different words: {shards} in parallel, {} sequentially", counts.len()));
    }
    for (word, count) in outcome.shards.iter().flatten() {
        if counts.get(word) != Some(count) {
            let word = String::from_utf8_lossy(word);
            return Err(format!(
                "{word:?}: {count} in parallel, {:?} sequentially",
                counts.get(word.as_bytes())
            ));
        }
    }
    let (speed, ratio) = (megabytes(&tally) / seconds, seconds / outcome.elapsed.as_secs_f64());
    Ok(format!(
        "the sequential count agrees; it took {seconds:.2} s, {ratio:.2} times as long, at {speed:.1} MB/s"
    ))
}

fn count_sequentially(options: &Options, tally: &Tally) -> Counts {
    let mut counts = Counts::default();
    for path in Walk::new(options.paths.clone(), tally).flatten() {
        match read(&path, options.binary) {
            Ok(Some(mut text)) => {
                tally.files.fetch_add(1, Relaxed);
                tally.bytes.fetch_add(text.len() as u64, Relaxed);
                tally.words.fetch_add(count_words(&mut text, std::slice::from_mut(&mut counts)), Relaxed);
            }
            Ok(None) => drop(tally.binary.fetch_add(1, Relaxed)),
            Err(error) => tally.skip(&path, &error),
        }
    }
    counts
}

/// Reads a whole file. Returns `None` if it is binary and binary files are not wanted.
fn read(path: &Path, with_binary: bool) -> io::Result<Option<Vec<u8>>> {
    let mut file = File::open(path)?;
    let mut text = Vec::new();
    Read::by_ref(&mut file).take(BINARY_PROBE as u64).read_to_end(&mut text)?;
    if !with_binary && is_binary(&text) {
        return Ok(None);
    }
    file.read_to_end(&mut text)?;
    Ok(Some(text))
}
