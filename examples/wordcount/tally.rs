//! Figures that grow while the count goes on.

use std::io;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::report;

/// Counted by whoever does the work, read by the progress line and at the end.
#[derive(Debug, Default)]
pub struct Tally {
    pub files: AtomicU64,
    pub bytes: AtomicU64,
    pub words: AtomicU64,
    pub binary: AtomicU64,
    /// Links, sockets, devices.
    pub special: AtomicU64,
    pub errors: AtomicU64,
    /// Say nothing of what is skipped.
    pub is_silent: bool,
}

impl Tally {
    /// Notes, and says, that something could not be read.
    pub fn skip(&self, path: &Path, error: &io::Error) {
        self.errors.fetch_add(1, Relaxed);
        if !self.is_silent {
            report::complain(path, error);
        }
    }

    /// What a second count must agree with.
    pub fn totals(&self) -> [(&'static str, u64); 4] {
        let figures = [
            ("files", &self.files),
            ("bytes", &self.bytes),
            ("words", &self.words),
            ("binary", &self.binary),
        ];
        figures.map(|(name, figure)| (name, figure.load(Relaxed)))
    }
}
