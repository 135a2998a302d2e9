//! Standard input.
//!
//! The descriptor is often shared with other processes, such as the shell that started this one. Non-blocking mode would be
//! shared, too, so it is not set: a read waits until the descriptor is ready, and then reads once what is there. A regular
//! file is always ready and yet blocks, so it is read by the blocking pool.
//!
//! Bytes stay in the buffer until the call that asked for them returns. So an unwind in the middle of a line loses nothing.

use std::fmt;
use std::io::{self, BufRead, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use kahn_core::blocking;
use kahn_core::source::Source;
use kahn_core::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// How many bytes are read at once.
const CHUNK: usize = 8 << 10;

static INPUT: LazyLock<Mutex<Input>> = LazyLock::new(|| Mutex::new(Input::new()));

/// A handle of the standard input of this process. See [`std::io::Stdin`].
///
/// All handles share one buffer. It is not that of [`std::io::stdin`]: a program uses one of the two.
///
/// A green thread that waits for input parks, and its worker runs others. The descriptor stays in the mode that it has. If
/// another process reads the same input, such as one in the background of the same terminal, it may take the input that
/// this process was told of. The read then waits for more, and on kernels without a read that does not wait
/// (`RWF_NOWAIT`) it blocks its worker.
///
/// If standard input is a regular file, it is read by the blocking pool, see [`kahn::fs`](crate::fs).
///
/// # Cancels and time-outs
///
/// A cancel of the green thread, and the deadline of an enclosing [`time::timeout`](kahn_core::time::timeout), end a wait for
/// input. No input is lost: the next call returns it.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
///
/// use kahn::time::timeout;
///
/// kahn::run(|| {
///     let mut name = String::new();
///     match timeout(Duration::from_secs(10), || kahn::io::stdin().read_line(&mut name)) {
///         Ok(read) => println!("Hello {} ({} bytes)", name.trim(), read?),
///         Err(_) => println!("Hello?"),
///     }
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Stdin {
    input: &'static Mutex<Input>,
}

/// Exclusive access to the standard input. See [`std::io::StdinLock`].
pub struct StdinLock<'a> {
    input: MutexGuard<'a, Input>,
}

/// Returns a handle of the standard input. See [`std::io::stdin`].
#[must_use]
pub fn stdin() -> Stdin {
    Stdin { input: &INPUT }
}

impl Stdin {
    /// Returns exclusive access, until the lock is dropped.
    ///
    /// # Parks
    ///
    /// Parks while another thread has the lock.
    #[track_caller]
    pub fn lock(&self) -> StdinLock<'static> {
        // A thread that unwinds from a wait leaves the buffer as it was.
        StdinLock { input: self.input.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Appends the next line to `line`, with its line break, and returns its length in bytes. 0 is the end of the input.
    ///
    /// # Parks
    ///
    /// Parks until there is a whole line, or the input has ended.
    ///
    /// # Errors
    ///
    /// Returns the errors of the system call, and [`InvalidData`](io::ErrorKind::InvalidData) if the line is not UTF-8.
    /// Such a line is skipped.
    #[track_caller]
    pub fn read_line(&self, line: &mut String) -> io::Result<usize> {
        self.lock().read_line(line)
    }

    /// Returns an iterator over the lines, without their line breaks.
    ///
    /// # Parks
    ///
    /// Parks while another thread has the lock. The iterator parks until there is a whole line.
    #[track_caller]
    pub fn lines(self) -> io::Lines<StdinLock<'static>> {
        self.lock().lines()
    }

    /// Returns whether the standard input is a terminal.
    pub fn is_terminal(&self) -> bool {
        io::IsTerminal::is_terminal(&io::stdin())
    }
}

/// The standard input and what has been read from it.
struct Input {
    source: Source<io::Stdin>,
    /// `None` before the first read.
    is_file: Option<bool>,
    bytes: Vec<u8>,
    /// The first of `bytes` that no call has returned.
    start: usize,
}

impl Input {
    fn new() -> Input {
        // The source is used for its readiness alone, see `read_ready`. So it need not be in non-blocking mode.
        let source = Source::from_nonblocking(io::stdin());
        Input { source, is_file: None, bytes: Vec::new(), start: 0 }
    }

    fn unread(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Reads more bytes to the end of the buffer. Returns how many.
    #[track_caller]
    fn fill(&mut self) -> io::Result<usize> {
        if self.start >= CHUNK || self.start == self.bytes.len() {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.reserve(CHUNK);
        let is_file = match self.is_file {
            Some(is_file) => is_file,
            None => *self.is_file.insert(is_file(self.source.as_fd())?),
        };
        let (source, bytes) = (&self.source, &mut self.bytes);
        let result = if is_file {
            let fd = source.as_fd();
            blocking(|| Ok(rustix::io::read(fd, rustix::buffer::spare_capacity(bytes))?))
        } else {
            source.read_with(|fd| read_ready(fd.as_fd(), bytes))
        };
        match result {
            // A process without a standard input has an empty one, as for std.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::BADF.raw_os_error()) => Ok(0),
            result => result,
        }
    }

    /// Waits until the buffer contains `end`, or the input has ended. Returns how many bytes that is.
    #[track_caller]
    fn fill_until(&mut self, end: u8) -> io::Result<usize> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.unread()[searched..].iter().position(|byte| *byte == end) {
                return Ok(searched + at + 1);
            }
            searched = self.unread().len();
            if self.fill_retrying()? == 0 {
                return Ok(searched);
            }
        }
    }

    /// Waits until the input has ended. Returns how many bytes the buffer has.
    #[track_caller]
    fn fill_to_end(&mut self) -> io::Result<usize> {
        while self.fill_retrying()? > 0 {}
        Ok(self.unread().len())
    }

    #[track_caller]
    fn fill_retrying(&mut self) -> io::Result<usize> {
        loop {
            match self.fill() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

/// Returns whether the operating system cannot tell when the descriptor is ready.
fn is_file(fd: BorrowedFd<'_>) -> io::Result<bool> {
    use rustix::fs::{FileType, fstat};
    match fstat(fd) {
        Ok(stat) => Ok(matches!(
            FileType::from_raw_mode(stat.st_mode),
            FileType::RegularFile | FileType::BlockDevice | FileType::Directory
        )),
        Err(rustix::io::Errno::BADF) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Reads once if the descriptor is ready. Otherwise the error is `WouldBlock`, whatever the descriptor's mode is.
fn read_ready(fd: BorrowedFd<'_>, bytes: &mut Vec<u8>) -> io::Result<usize> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    if poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&Timespec::default()))? == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    read_once(fd, bytes)
}

/// Reads without waiting, where the kernel and the descriptor can: another process may have taken the input.
#[cfg(target_os = "linux")]
fn read_once(fd: BorrowedFd<'_>, bytes: &mut Vec<u8>) -> io::Result<usize> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2, read};
    // An offset that stands for the position of the descriptor.
    const CURRENT: u64 = u64::MAX;
    let len = bytes.len();
    bytes.resize(len + CHUNK, 0);
    let room = &mut bytes[len..];
    let result = preadv2(fd, &mut [io::IoSliceMut::new(room)], CURRENT, ReadWriteFlags::NOWAIT);
    bytes.truncate(len + result.unwrap_or(0));
    match result {
        Ok(n) => Ok(n),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(read(fd, rustix::buffer::spare_capacity(bytes))?),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn read_once(fd: BorrowedFd<'_>, bytes: &mut Vec<u8>) -> io::Result<usize> {
    Ok(rustix::io::read(fd, rustix::buffer::spare_capacity(bytes))?)
}

impl StdinLock<'_> {
    /// Returns whether the standard input is a terminal.
    pub fn is_terminal(&self) -> bool {
        io::IsTerminal::is_terminal(&io::stdin())
    }

    fn take(&mut self, len: usize) -> &[u8] {
        let start = self.input.start;
        self.input.start += len;
        &self.input.bytes[start..start + len]
    }
}

/// Returns the bytes as text.
fn text(bytes: &[u8]) -> io::Result<&str> {
    str::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the standard input is not valid UTF-8"))
}

impl Read for StdinLock<'_> {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let n = self.fill_buf()?.len().min(buffer.len());
        buffer[..n].copy_from_slice(self.take(n));
        Ok(n)
    }

    #[track_caller]
    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let n = self.input.fill_to_end()?;
        buffer.extend_from_slice(self.take(n));
        Ok(n)
    }

    #[track_caller]
    fn read_to_string(&mut self, buffer: &mut String) -> io::Result<usize> {
        let n = self.input.fill_to_end()?;
        buffer.push_str(text(self.take(n))?);
        Ok(n)
    }

    #[track_caller]
    fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        while self.input.unread().len() < buffer.len() {
            if self.input.fill_retrying()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        buffer.copy_from_slice(self.take(buffer.len()));
        Ok(())
    }
}

impl BufRead for StdinLock<'_> {
    #[track_caller]
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.input.unread().is_empty() {
            self.input.fill()?;
        }
        Ok(self.input.unread())
    }

    fn consume(&mut self, amount: usize) {
        self.input.start = (self.input.start + amount).min(self.input.bytes.len());
    }

    #[track_caller]
    fn read_until(&mut self, end: u8, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let n = self.input.fill_until(end)?;
        buffer.extend_from_slice(self.take(n));
        Ok(n)
    }

    #[track_caller]
    fn read_line(&mut self, line: &mut String) -> io::Result<usize> {
        let n = self.input.fill_until(b'\n')?;
        line.push_str(text(self.take(n))?);
        Ok(n)
    }
}

impl Read for &Stdin {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.lock().read(buffer)
    }

    #[track_caller]
    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.lock().read_to_end(buffer)
    }

    #[track_caller]
    fn read_to_string(&mut self, buffer: &mut String) -> io::Result<usize> {
        self.lock().read_to_string(buffer)
    }

    #[track_caller]
    fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.lock().read_exact(buffer)
    }
}

impl Read for Stdin {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    #[track_caller]
    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        (&*self).read_to_end(buffer)
    }

    #[track_caller]
    fn read_to_string(&mut self, buffer: &mut String) -> io::Result<usize> {
        (&*self).read_to_string(buffer)
    }

    #[track_caller]
    fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        (&*self).read_exact(buffer)
    }
}

impl AsFd for Stdin {
    fn as_fd(&self) -> BorrowedFd<'static> {
        // SAFETY: the standard input stays open, as for `std::io::Stdin`, whose descriptor is the same.
        unsafe { BorrowedFd::borrow_raw(io::stdin().as_raw_fd()) }
    }
}

impl AsRawFd for Stdin {
    fn as_raw_fd(&self) -> RawFd {
        io::stdin().as_raw_fd()
    }
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdin").finish_non_exhaustive()
    }
}

impl fmt::Debug for StdinLock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdinLock").finish_non_exhaustive()
    }
}
