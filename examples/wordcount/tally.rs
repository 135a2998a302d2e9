//! Counters that the stages of the pipeline share.

use std::io;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::report;

/// Incremented by the walker, the readers and the counters; read by the progress line and the report. All accesses are
/// relaxed: no other memory depends on a counter, and the report reads them after it has joined the writers.
#[derive(Debug, Default)]
pub struct Tally {
    pub files: AtomicU64,
    pub bytes: AtomicU64,
    pub words: AtomicU64,
    pub binary: AtomicU64,
    /// Skipped links, sockets and devices.
    pub special: AtomicU64,
    pub errors: AtomicU64,
    /// Do not print warnings about skipped files.
    pub is_silent: bool,
}

impl Tally {
    /// Counts a file that could not be read, and prints a warning.
    pub fn skip(&self, path: &Path, error: &io::Error) {
        self.errors.fetch_add(1, Relaxed);
        if !self.is_silent {
            report::warn_skipped(path, error);
        }
    }

    /// The counters that must be equal in a second count.
    pub fn totals(&self) -> [(&'static str, u64); 4] {
        let counters = [
            ("files", &self.files),
            ("bytes", &self.bytes),
            ("words", &self.words),
            ("binary", &self.binary),
        ];
        counters.map(|(name, counter)| (name, counter.load(Relaxed)))
    }
}
