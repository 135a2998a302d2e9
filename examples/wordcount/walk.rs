//! Finds the files to count.

use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::vec;

use kahn::fs::{self, DirEntry, ReadDir};
use kahn::io;

use crate::tally::Tally;

/// How many files there are in a batch.
const BATCH: usize = 64;

/// Walks through files and folders, with one open folder at a time. It does not follow links, so the walk is finite.
pub struct Walk<'a> {
    roots: vec::IntoIter<PathBuf>,
    folders: Vec<PathBuf>,
    open: Option<(PathBuf, ReadDir)>,
    tally: &'a Tally,
}

impl<'a> Walk<'a> {
    pub fn new(roots: Vec<PathBuf>, tally: &'a Tally) -> Walk<'a> {
        Walk { roots: roots.into_iter(), folders: Vec::new(), open: None, tally }
    }

    fn next_file(&mut self) -> Option<PathBuf> {
        loop {
            if let Some((folder, open)) = &mut self.open {
                match open.next() {
                    Some(Ok(entry)) => match self.visit(&entry) {
                        Ok(None) => {}
                        Ok(file) => return file,
                        Err(error) => self.tally.skip(&entry.path(), &error),
                    },
                    Some(Err(error)) => {
                        self.tally.skip(folder, &error);
                        self.open = None;
                    }
                    None => self.open = None,
                }
            } else if let Some(folder) = self.folders.pop() {
                match fs::read_dir(&folder) {
                    Ok(open) => self.open = Some((folder, open)),
                    Err(error) => self.tally.skip(&folder, &error),
                }
            } else {
                let root = self.roots.next()?;
                // A path on the command line is read whatever its type is: a link, standard input.
                if !fs::metadata(&root).is_ok_and(|metadata| metadata.is_dir()) {
                    return Some(root);
                }
                self.folders.push(root);
            }
        }
    }

    /// Returns the path of a regular file. Queues a folder for later, and counts a special file.
    fn visit(&mut self, entry: &DirEntry) -> io::Result<Option<PathBuf>> {
        let kind = entry.file_type()?;
        if kind.is_file() {
            return Ok(Some(entry.path()));
        }
        if kind.is_dir() {
            self.folders.push(entry.path());
        } else {
            self.tally.special.fetch_add(1, Relaxed);
        }
        Ok(None)
    }
}

impl Iterator for Walk<'_> {
    type Item = Vec<PathBuf>;

    fn next(&mut self) -> Option<Vec<PathBuf>> {
        let batch: Vec<PathBuf> = std::iter::from_fn(|| self.next_file()).take(BATCH).collect();
        (!batch.is_empty()).then_some(batch)
    }
}
