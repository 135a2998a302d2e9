//! Prints the result, progress, and warnings.

use std::io::{self, BufWriter, IsTerminal, Write, stderr, stdout};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use kahn::channel::{Receiver, select, tick};

use crate::count::Counts;
use crate::pipeline::Outcome;
use crate::tally::Tally;

/// Moves the cursor to the first column and clears the line.
const CLEAR_LINE: &str = "\r\x1b[K";

/// Prints a warning about a file that was skipped. It replaces the progress line, which comes again below it.
pub fn warn_skipped(path: &Path, error: &io::Error) {
    let clear = if stderr().is_terminal() { CLEAR_LINE } else { "" };
    eprintln!("{clear}wordcount: {}: {error} (skipped)", path.display());
}

/// Shows a line of progress on standard error until `quit` is disconnected.
pub fn show_progress(tally: &Tally, start: Instant, quit: &Receiver<()>) {
    let ticker = tick(Duration::from_millis(200));
    loop {
        select! {
            recv(ticker) -> _ => {
                let (files, megabytes) = (tally.files.load(Relaxed), megabytes(tally));
                let speed = megabytes / start.elapsed().as_secs_f64();
                eprint!("{CLEAR_LINE}{} files, {megabytes:.1} MB, {speed:.1} MB/s", grouped(files));
            }
            recv(quit) -> _ => break,
        }
    }
    eprint!("{CLEAR_LINE}");
}

/// Prints the most frequent words and the totals.
pub fn print(outcome: &Outcome, top: usize) -> io::Result<()> {
    let mut out = BufWriter::new(stdout().lock());
    for (word, count) in most_frequent(&outcome.shards, top) {
        writeln!(out, "{:>14}  {}", grouped(count), String::from_utf8_lossy(word))?;
    }
    let tally = &outcome.tally;
    let get = |counter: &AtomicU64| grouped(counter.load(Relaxed));
    let different: usize = outcome.shards.iter().map(Counts::len).sum();
    writeln!(
        out,
        "\n{} words, {} different, in {} files",
        get(&tally.words),
        grouped(different as u64),
        get(&tally.files)
    )?;
    writeln!(
        out,
        "skipped: {} binary, {} links and devices, {} with errors",
        get(&tally.binary),
        get(&tally.special),
        get(&tally.errors)
    )?;
    let seconds = outcome.elapsed.as_secs_f64();
    writeln!(
        out,
        "{:.1} MB in {seconds:.2} s, {:.1} MB/s, {} green threads on {} workers",
        megabytes(tally),
        megabytes(tally) / seconds,
        outcome.green_threads,
        outcome.workers
    )?;
    out.flush()
}

/// Returns the words with the highest counts, and words with the same count in alphabetical order.
fn most_frequent(shards: &[Counts], top: usize) -> Vec<(&[u8], u64)> {
    let mut words: Vec<_> = shards.iter().flatten().map(|(word, &count)| (&**word, count)).collect();
    let order = |a: &(&[u8], u64), b: &(&[u8], u64)| b.1.cmp(&a.1).then(a.0.cmp(b.0));
    if top < words.len() {
        words.select_nth_unstable_by(top, order);
        words.truncate(top);
    }
    words.sort_unstable_by(order);
    words
}

pub fn megabytes(tally: &Tally) -> f64 {
    tally.bytes.load(Relaxed) as f64 / 1e6
}

/// Formats 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}
