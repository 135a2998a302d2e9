//! The entries of a folder.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::path::PathBuf;

use kahn_core::blocking;

use super::{FileType, Metadata};

/// How many entries are fetched in one hand-over.
const BATCH: usize = 64;

/// An iterator over the entries of a folder, see [`read_dir`](super::read_dir). See [`std::fs::ReadDir`].
///
/// # Parks
///
/// Parks at the first entry, and at every 64th that follows, until the next 64 have been fetched.
pub struct ReadDir {
    entries: std::fs::ReadDir,
    fetched: VecDeque<io::Result<DirEntry>>,
    has_ended: bool,
}

impl ReadDir {
    pub(super) fn new(entries: std::fs::ReadDir) -> ReadDir {
        ReadDir { entries, fetched: VecDeque::new(), has_ended: false }
    }
}

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<DirEntry>> {
        if self.fetched.is_empty() && !self.has_ended {
            let ReadDir { entries, fetched, has_ended } = self;
            blocking(|| {
                fetched.extend(entries.by_ref().take(BATCH).map(|entry| entry.map(DirEntry::new)));
                *has_ended = fetched.len() < BATCH;
            });
        }
        self.fetched.pop_front()
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.fmt(f)
    }
}

/// An entry of a folder. See [`std::fs::DirEntry`]. Under Unix it also has the method of [`DirEntryExt`].
pub struct DirEntry {
    entry: std::fs::DirEntry,
    /// Fetched with the entry. Missing if that failed.
    file_type: Option<FileType>,
}

impl DirEntry {
    /// Called on a thread of the blocking pool: on some file systems, the type takes a system call.
    fn new(entry: std::fs::DirEntry) -> DirEntry {
        let file_type = entry.file_type().ok();
        DirEntry { entry, file_type }
    }

    /// Returns the path of the entry: the path of the folder, and the name.
    pub fn path(&self) -> PathBuf {
        self.entry.path()
    }

    /// Returns the name of the entry, without the path of the folder.
    pub fn file_name(&self) -> OsString {
        self.entry.file_name()
    }

    /// Returns what the file system knows of the entry. Does not follow links.
    ///
    /// # Parks
    ///
    /// Parks until the operating system has returned it.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`std::fs::DirEntry::metadata`].
    #[track_caller]
    pub fn metadata(&self) -> io::Result<Metadata> {
        blocking(|| self.entry.metadata())
    }

    /// Returns the type of the entry. Does not follow links.
    ///
    /// # Parks
    ///
    /// Does not park, unless the type could not be fetched with the entry.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`std::fs::DirEntry::file_type`].
    #[track_caller]
    pub fn file_type(&self) -> io::Result<FileType> {
        self.file_type.map_or_else(|| blocking(|| self.entry.file_type()), Ok)
    }
}

impl DirEntryExt for DirEntry {
    fn ino(&self) -> u64 {
        self.entry.ino()
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entry.fmt(f)
    }
}
