//! Files and folders, with the names and the meaning of [`std::fs`].
//!
//! A function or method of this module that makes a system call runs it on a thread of the runtime's
//! [blocking pool](#the-blocking-pool), and parks the green thread until the call has ended. On an OS thread
//! that is in no runtime, the call runs on that thread.
//!
//! # The blocking pool
//!
//! Operating systems have no readiness for files: a read of a file always blocks its OS thread while the disk works. So
//! each call occupies a thread of the pool until it ends. The pool has up to 512 threads
//! ([`Builder::blocking_threads`](kahn_core::runtime::Builder::blocking_threads)). More calls than that wait in order.
//!
//! The way to the pool and back takes some ten microseconds, which is more than a read of a few bytes. These keep the
//! number of hand-overs low:
//!
//! - Read through a [`BufReader`](std::io::BufReader), and write through a [`BufWriter`](std::io::BufWriter).
//! - [`read`], [`read_to_string`], [`write`](fn@write), [`copy`], and `read_to_end`, `read_to_string` and `write_all` of a
//!   [`File`] are one hand-over each, whatever the size of the file.
//! - [`ReadDir`] fetches up to 64 entries, with their types, in one hand-over.
//! - On Linux, a read of up to 256 KiB that finds its bytes in the page cache needs no hand-over.
//! - A loop of many calls can run as a whole in [`blocking`]. The functions of this module
//!   run on the calling thread there.
//!
//! # Parks
//!
//! Unless its documentation says otherwise, each function and method parks until the operating system has done the
//! call. A cancel of the green thread, or the deadline of an enclosing [`time::timeout`](kahn_core::time::timeout), that
//! comes before the call, or while the call waits for a thread of the pool, unwinds, and nothing is done. If it comes
//! during the call, the call ends first, and its result is returned. The cancel or the time-out takes effect at the next park.
//!
//! Dropping a [`File`] closes it on the calling thread, without a park.
//!
//! # Errors
//!
//! The errors are those of `std`.
//!
//! # Examples
//!
//! ```
//! use kahn::fs::{self, File};
//! use kahn::io::{BufRead, BufReader};
//!
//! kahn::run(|| {
//!     let path = std::env::temp_dir().join(format!("kahn-example-{}", std::process::id()));
//!     fs::write(&path, "to be\nor not\n")?;
//!     let lines = BufReader::new(File::open(&path)?).lines().collect::<Result<Vec<_>, _>>()?;
//!     assert_eq!(lines, ["to be", "or not"]);
//!     fs::remove_file(&path)
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod dir;
mod file;
mod options;

use std::io;
use std::path::{Path, PathBuf};

use kahn_core::blocking;

pub use std::fs::{FileTimes, FileType, Metadata, Permissions};

pub use self::dir::{DirEntry, ReadDir};
pub use self::file::File;
pub use self::options::{DirBuilder, OpenOptions};

/// Reads a whole file. See [`std::fs::read`].
#[track_caller]
pub fn read<P: AsRef<Path>>(path: P) -> io::Result<Vec<u8>> {
    let path = path.as_ref();
    blocking(|| std::fs::read(path))
}

/// Reads a whole file into a string. See [`std::fs::read_to_string`].
#[track_caller]
pub fn read_to_string<P: AsRef<Path>>(path: P) -> io::Result<String> {
    let path = path.as_ref();
    blocking(|| std::fs::read_to_string(path))
}

/// Writes `contents` as the whole content of a file, which is created if it does not exist. See [`std::fs::write`].
#[track_caller]
pub fn write<P: AsRef<Path>, C: AsRef<[u8]>>(path: P, contents: C) -> io::Result<()> {
    let (path, contents) = (path.as_ref(), contents.as_ref());
    blocking(|| std::fs::write(path, contents))
}

/// Copies the content and the permissions of a file. Returns the number of bytes. See [`std::fs::copy`].
#[track_caller]
pub fn copy<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> io::Result<u64> {
    let (from, to) = (from.as_ref(), to.as_ref());
    blocking(|| std::fs::copy(from, to))
}

/// Creates a folder. See [`std::fs::create_dir`].
#[track_caller]
pub fn create_dir<P: AsRef<Path>>(path: P) -> io::Result<()> {
    let path = path.as_ref();
    blocking(|| std::fs::create_dir(path))
}

/// Creates a folder, and the folders above it that are missing. See [`std::fs::create_dir_all`].
#[track_caller]
pub fn create_dir_all<P: AsRef<Path>>(path: P) -> io::Result<()> {
    let path = path.as_ref();
    blocking(|| std::fs::create_dir_all(path))
}

/// Returns what the file system knows of a file. Follows links. See [`std::fs::metadata`].
#[track_caller]
pub fn metadata<P: AsRef<Path>>(path: P) -> io::Result<Metadata> {
    let path = path.as_ref();
    blocking(|| std::fs::metadata(path))
}

/// Returns what the file system knows of a file or of a link. Does not follow links. See
/// [`std::fs::symlink_metadata`].
#[track_caller]
pub fn symlink_metadata<P: AsRef<Path>>(path: P) -> io::Result<Metadata> {
    let path = path.as_ref();
    blocking(|| std::fs::symlink_metadata(path))
}

/// Returns whether there is a file or a folder at this path. See [`std::fs::exists`].
#[track_caller]
pub fn exists<P: AsRef<Path>>(path: P) -> io::Result<bool> {
    let path = path.as_ref();
    blocking(|| std::fs::exists(path))
}

/// Returns an iterator over the entries of a folder. See [`std::fs::read_dir`].
///
/// # Examples
///
/// ```
/// let mut names = Vec::new();
/// for entry in kahn::fs::read_dir(".")? {
///     names.push(entry?.file_name());
/// }
/// assert!(names.iter().any(|name| name == "Cargo.toml"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn read_dir<P: AsRef<Path>>(path: P) -> io::Result<ReadDir> {
    let path = path.as_ref();
    blocking(|| std::fs::read_dir(path)).map(ReadDir::new)
}

/// Returns the absolute path of a file, without links. See [`std::fs::canonicalize`].
#[track_caller]
pub fn canonicalize<P: AsRef<Path>>(path: P) -> io::Result<PathBuf> {
    let path = path.as_ref();
    blocking(|| std::fs::canonicalize(path))
}

/// Creates a second name for a file. See [`std::fs::hard_link`].
#[track_caller]
pub fn hard_link<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> io::Result<()> {
    let (original, link) = (original.as_ref(), link.as_ref());
    blocking(|| std::fs::hard_link(original, link))
}

/// Returns the path that a symbolic link refers to. See [`std::fs::read_link`].
#[track_caller]
pub fn read_link<P: AsRef<Path>>(path: P) -> io::Result<PathBuf> {
    let path = path.as_ref();
    blocking(|| std::fs::read_link(path))
}

/// Removes an empty folder. See [`std::fs::remove_dir`].
#[track_caller]
pub fn remove_dir<P: AsRef<Path>>(path: P) -> io::Result<()> {
    let path = path.as_ref();
    blocking(|| std::fs::remove_dir(path))
}

/// Removes a folder and all that is in it. See [`std::fs::remove_dir_all`].
#[track_caller]
pub fn remove_dir_all<P: AsRef<Path>>(path: P) -> io::Result<()> {
    let path = path.as_ref();
    blocking(|| std::fs::remove_dir_all(path))
}

/// Removes a file. See [`std::fs::remove_file`].
#[track_caller]
pub fn remove_file<P: AsRef<Path>>(path: P) -> io::Result<()> {
    let path = path.as_ref();
    blocking(|| std::fs::remove_file(path))
}

/// Renames a file or a folder. Replaces a file at `to`. See [`std::fs::rename`].
#[track_caller]
pub fn rename<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> io::Result<()> {
    let (from, to) = (from.as_ref(), to.as_ref());
    blocking(|| std::fs::rename(from, to))
}

/// Sets the permissions of a file or a folder. See [`std::fs::set_permissions`].
#[track_caller]
pub fn set_permissions<P: AsRef<Path>>(path: P, permissions: Permissions) -> io::Result<()> {
    let path = path.as_ref();
    blocking(|| std::fs::set_permissions(path, permissions))
}
