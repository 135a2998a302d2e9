//! An open file.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;
use std::time::SystemTime;

use kahn_core::blocking;

use super::{FileTimes, Metadata, OpenOptions, Permissions};

/// An open file. See [`std::fs::File`], and the [module](super) for what its calls cost.
///
/// Under Unix it also has the methods of [`FileExt`]. A pipe or a device can also be opened as a file. Reading a
/// pipe without data occupies a thread of the blocking pool. [`Source`](kahn_core::source::Source) waits for one
/// without a thread.
///
/// # Examples
///
/// ```
/// use kahn::fs::File;
/// use kahn::io::{Read, Seek, SeekFrom};
///
/// let mut file = File::open("Cargo.toml")?;
/// let mut start = [0; 9];
/// file.read_exact(&mut start)?;
/// file.seek(SeekFrom::Start(0))?;
/// let mut all = String::new();
/// file.read_to_string(&mut all)?;
/// assert!(all.as_bytes().starts_with(&start));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct File(std::fs::File);

impl File {
    /// Opens a file for reading.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`std::fs::File::open`].
    #[track_caller]
    pub fn open<P: AsRef<Path>>(path: P) -> io::Result<File> {
        let path = path.as_ref();
        blocking(|| std::fs::File::open(path)).map(File)
    }

    /// Opens a file for writing. Creates it if it does not exist, and removes its content otherwise.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`std::fs::File::create`].
    #[track_caller]
    pub fn create<P: AsRef<Path>>(path: P) -> io::Result<File> {
        let path = path.as_ref();
        blocking(|| std::fs::File::create(path)).map(File)
    }

    /// Creates a file for reading and writing.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`std::fs::File::create_new`]. A file that exists is one.
    #[track_caller]
    pub fn create_new<P: AsRef<Path>>(path: P) -> io::Result<File> {
        let path = path.as_ref();
        blocking(|| std::fs::File::create_new(path)).map(File)
    }

    /// Returns options for opening a file, with everything off.
    #[must_use]
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Waits until the content and the metadata of the file are on the disk.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`std::fs::File::sync_all`].
    #[track_caller]
    pub fn sync_all(&self) -> io::Result<()> {
        blocking(|| self.0.sync_all())
    }

    /// Waits until the content of the file is on the disk.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`std::fs::File::sync_data`].
    #[track_caller]
    pub fn sync_data(&self) -> io::Result<()> {
        blocking(|| self.0.sync_data())
    }

    /// Cuts the file, or extends it with zeros.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`std::fs::File::set_len`].
    #[track_caller]
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        blocking(|| self.0.set_len(size))
    }

    /// Returns what the file system knows of the file.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`std::fs::File::metadata`].
    #[track_caller]
    pub fn metadata(&self) -> io::Result<Metadata> {
        blocking(|| self.0.metadata())
    }

    /// Returns a second `File` for the same open file. Both share the position. Does not park.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`std::fs::File::try_clone`].
    pub fn try_clone(&self) -> io::Result<File> {
        self.0.try_clone().map(File)
    }

    /// Sets the permissions of the file.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`std::fs::File::set_permissions`].
    #[track_caller]
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        blocking(|| self.0.set_permissions(permissions))
    }

    /// Sets the times of the file.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`std::fs::File::set_times`].
    #[track_caller]
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        blocking(|| self.0.set_times(times))
    }

    /// Sets the time of the last change of the file.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`std::fs::File::set_modified`].
    #[track_caller]
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time))
    }

    /// Returns the file as a file of `std`.
    #[must_use]
    pub fn into_std(self) -> std::fs::File {
        self.0
    }

    /// Reads at a position without a hand-over, if the operating system has the bytes in memory. Returns `None` if it
    /// does not, at the end of the file, and on any error: the pool's call then returns the result.
    fn read_cached(&self, buffers: &mut [IoSliceMut<'_>], position: Position) -> Option<usize> {
        if !kahn_core::thread::is_green() {
            return None;
        }
        kahn_core::wait::operation();
        let len: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        if len > MAX_CACHED {
            return None;
        }
        cached::read(&self.0, buffers, position).filter(|&n| n > 0)
    }
}

/// The longest read that is tried without a hand-over, in bytes: copying more would hold up the worker.
const MAX_CACHED: usize = 256 << 10;

/// Where a read begins.
#[derive(Clone, Copy)]
enum Position {
    /// At the position of the file, which it advances.
    Current,
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "only Linux has a read that does not wait")
    )]
    At(u64),
}

#[cfg(target_os = "linux")]
mod cached {
    use std::io::IoSliceMut;

    use rustix::io::{ReadWriteFlags, preadv2};

    use super::Position;

    /// The offset that stands for the position of the file.
    const CURRENT: u64 = u64::MAX;

    /// Reads bytes from the page cache. Returns `None` if they are not there, or if the file system has no such read.
    pub(super) fn read(
        file: &std::fs::File,
        buffers: &mut [IoSliceMut<'_>],
        position: Position,
    ) -> Option<usize> {
        let offset = match position {
            Position::Current => CURRENT,
            // The system call returns an error for others. One of them stands for `CURRENT`.
            Position::At(offset) => i64::try_from(offset).is_ok().then_some(offset)?,
        };
        preadv2(file, buffers, offset, ReadWriteFlags::NOWAIT).ok()
    }
}

#[cfg(not(target_os = "linux"))]
mod cached {
    use std::io::IoSliceMut;

    use super::Position;

    /// Returns `None`: there is no such read.
    pub(super) fn read(_: &std::fs::File, _: &mut [IoSliceMut<'_>], _: Position) -> Option<usize> {
        None
    }
}

impl Read for &File {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.read_cached(&mut [IoSliceMut::new(buffer)], Position::Current) {
            Some(n) => Ok(n),
            None => blocking(|| (&self.0).read(buffer)),
        }
    }

    #[track_caller]
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match self.read_cached(buffers, Position::Current) {
            Some(n) => Ok(n),
            None => blocking(|| (&self.0).read_vectored(buffers)),
        }
    }

    #[track_caller]
    fn read_exact(&mut self, mut buffer: &mut [u8]) -> io::Result<()> {
        if let Some(n) = self.read_cached(&mut [IoSliceMut::new(buffer)], Position::Current) {
            buffer = &mut buffer[n..];
            if buffer.is_empty() {
                return Ok(());
            }
        }
        blocking(|| (&self.0).read_exact(buffer))
    }

    #[track_caller]
    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        blocking(|| (&self.0).read_to_end(buffer))
    }

    #[track_caller]
    fn read_to_string(&mut self, buffer: &mut String) -> io::Result<usize> {
        blocking(|| (&self.0).read_to_string(buffer))
    }
}

impl Write for &File {
    #[track_caller]
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        blocking(|| (&self.0).write(buffer))
    }

    #[track_caller]
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        blocking(|| (&self.0).write_vectored(buffers))
    }

    #[track_caller]
    fn write_all(&mut self, buffer: &[u8]) -> io::Result<()> {
        blocking(|| (&self.0).write_all(buffer))
    }

    /// Formats into memory first, so that the whole text is one hand-over.
    #[track_caller]
    fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        match text.as_str() {
            Some(text) => self.write_all(text.as_bytes()),
            None => {
                let mut formatted = Vec::new();
                formatted.write_fmt(text)?;
                self.write_all(&formatted)
            }
        }
    }

    /// Does nothing, as a file has no buffer.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for &File {
    #[track_caller]
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        blocking(|| (&self.0).seek(position))
    }

    #[track_caller]
    fn rewind(&mut self) -> io::Result<()> {
        self.seek(SeekFrom::Start(0)).map(drop)
    }

    #[track_caller]
    fn stream_position(&mut self) -> io::Result<u64> {
        blocking(|| (&self.0).stream_position())
    }
}

impl Read for File {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    #[track_caller]
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(buffers)
    }

    #[track_caller]
    fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        (&*self).read_exact(buffer)
    }

    #[track_caller]
    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        (&*self).read_to_end(buffer)
    }

    #[track_caller]
    fn read_to_string(&mut self, buffer: &mut String) -> io::Result<usize> {
        (&*self).read_to_string(buffer)
    }
}

impl Write for File {
    #[track_caller]
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        (&*self).write(buffer)
    }

    #[track_caller]
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(buffers)
    }

    #[track_caller]
    fn write_all(&mut self, buffer: &[u8]) -> io::Result<()> {
        (&*self).write_all(buffer)
    }

    #[track_caller]
    fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        (&*self).write_fmt(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for File {
    #[track_caller]
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        (&*self).seek(position)
    }

    #[track_caller]
    fn rewind(&mut self) -> io::Result<()> {
        (&*self).rewind()
    }

    #[track_caller]
    fn stream_position(&mut self) -> io::Result<u64> {
        (&*self).stream_position()
    }
}

impl FileExt for File {
    #[track_caller]
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self.read_cached(&mut [IoSliceMut::new(buffer)], Position::At(offset)) {
            Some(n) => Ok(n),
            None => blocking(|| self.0.read_at(buffer, offset)),
        }
    }

    #[track_caller]
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self.read_cached(&mut [IoSliceMut::new(buffer)], Position::At(offset)) {
            Some(n) if n == buffer.len() => Ok(()),
            _ => blocking(|| self.0.read_exact_at(buffer, offset)),
        }
    }

    #[track_caller]
    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        blocking(|| self.0.write_at(buffer, offset))
    }

    #[track_caller]
    fn write_all_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        blocking(|| self.0.write_all_at(buffer, offset))
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<std::fs::File> for File {
    fn from(file: std::fs::File) -> File {
        File(file)
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> File {
        File(fd.into())
    }
}

impl From<File> for OwnedFd {
    fn from(file: File) -> OwnedFd {
        file.0.into()
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Stdio {
        file.0.into()
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl IntoRawFd for File {
    fn into_raw_fd(self) -> RawFd {
        self.0.into_raw_fd()
    }
}

impl FromRawFd for File {
    unsafe fn from_raw_fd(fd: RawFd) -> File {
        // SAFETY: the caller owns `fd`, as the contract of this method says, and gives it away.
        File(unsafe { std::fs::File::from_raw_fd(fd) })
    }
}
