//! Copying from a reader to a writer.

use std::io::{self, ErrorKind, Read, Write};

/// How many bytes are copied at once.
const CHUNK: usize = 64 << 10;

/// Copies all bytes from a reader to a writer, and returns how many. See [`std::io::copy`].
///
/// The bytes pass through a buffer of 64 KiB, whatever the reader and the writer are. [`fs::copy`](crate::fs::copy) copies a
/// whole file inside the operating system.
///
/// # Parks
///
/// Parks as the reader and the writer do. A cancel or a time-out that ends the copy loses the bytes in the buffer.
///
/// # Errors
///
/// Returns the errors of the reader and of the writer. [`Interrupted`](ErrorKind::Interrupted) is retried.
///
/// # Examples
///
/// ```
/// let mut copied = Vec::new();
/// assert_eq!(kahn::io::copy(&mut &b"to be"[..], &mut copied)?, 5);
/// assert_eq!(copied, b"to be");
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn copy<R: Read + ?Sized, W: Write + ?Sized>(reader: &mut R, writer: &mut W) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK];
    let mut copied = 0;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(n) => {
                writer.write_all(&buffer[..n])?;
                copied += n as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
