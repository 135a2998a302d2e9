//! The provided methods of `Read` and `Write`.
//!
//! Those of `std` do the same. But they do not pass their caller on, so a report of a thread that waits in one of them
//! would name a line of `std`.

use std::io::{self, ErrorKind, Read, Write};

/// The length of the first read when the length of the stream is not known, in bytes. A read that fills its part of the
/// buffer doubles it.
const FIRST: usize = 8 << 10;
const LONGEST: usize = 1 << 20;

/// Does what [`Read::read_exact`] does.
#[track_caller]
pub(crate) fn read_exact<R: Read>(reader: &mut R, mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        match reader.read(buffer) {
            Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "failed to fill whole buffer")),
            Ok(n) => buffer = &mut buffer[n..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A vector that is longer than its content while it is read into. Cuts it, also if a cancel unwinds from the read.
struct Filling<'a> {
    bytes: &'a mut Vec<u8>,
    filled: usize,
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        self.bytes.truncate(self.filled);
    }
}

/// Does what [`Read::read_to_end`] does.
#[track_caller]
pub(crate) fn read_to_end<R: Read>(reader: &mut R, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let start = bytes.len();
    let mut filling = Filling { bytes, filled: start };
    let mut length = FIRST;
    loop {
        let Filling { bytes, filled } = &mut filling;
        // What a short read has left is zeroed once, and read into next.
        if bytes.len() - *filled < length {
            bytes.resize(*filled + length, 0);
        }
        match reader.read(&mut bytes[*filled..]) {
            Ok(0) => return Ok(*filled - start),
            Ok(n) => {
                *filled += n;
                if *filled == bytes.len() {
                    length = (length * 2).min(LONGEST);
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Does what [`Read::read_to_string`] does: if an error ends the read, what was read before it is appended.
#[track_caller]
pub(crate) fn read_to_string<R: Read>(reader: &mut R, text: &mut String) -> io::Result<usize> {
    let mut bytes = Vec::new();
    let result = read_to_end(reader, &mut bytes);
    match str::from_utf8(&bytes) {
        Ok(read) => {
            text.push_str(read);
            result
        }
        Err(_) => result
            .and_then(|_| Err(io::Error::new(ErrorKind::InvalidData, "stream did not contain valid UTF-8"))),
    }
}

/// Does what [`Write::write_all`] does.
#[track_caller]
pub(crate) fn write_all<W: Write>(writer: &mut W, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match writer.write(bytes) {
            Ok(0) => return Err(io::Error::new(ErrorKind::WriteZero, "failed to write whole buffer")),
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The provided methods in an implementation of [`Read`].
macro_rules! provided_reads {
    () => {
        #[track_caller]
        fn read_exact(&mut self, buffer: &mut [u8]) -> std::io::Result<()> {
            $crate::provided::read_exact(self, buffer)
        }

        #[track_caller]
        fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> std::io::Result<usize> {
            $crate::provided::read_to_end(self, buffer)
        }

        #[track_caller]
        fn read_to_string(&mut self, buffer: &mut String) -> std::io::Result<usize> {
            $crate::provided::read_to_string(self, buffer)
        }
    };
}

/// The provided methods in an implementation of [`Write`].
macro_rules! provided_writes {
    () => {
        #[track_caller]
        fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
            $crate::provided::write_all(self, bytes)
        }
    };
}

pub(crate) use {provided_reads, provided_writes};

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns one part at each read, then the end. An empty part stands for an interruption.
    struct Parts(Vec<&'static [u8]>);

    impl Read for Parts {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            match self.0.remove(0) {
                b"" => Err(ErrorKind::Interrupted.into()),
                b"!" => Err(ErrorKind::ConnectionReset.into()),
                part => {
                    buffer[..part.len()].copy_from_slice(part);
                    Ok(part.len())
                }
            }
        }
    }

    #[test]
    fn reads_do_what_those_of_std_do() {
        for parts in [
            vec![],
            vec![&b"to"[..], b"", b"be"],
            vec![b"to", b"!"],
            vec![&[0xc3], &[0xa9], b"!"],
            vec![b"\xff"],
            vec![b"\xff", b"!"],
        ] {
            let new = || Parts(parts.clone());
            let of_error =
                |result: io::Result<usize>| result.map_err(|error| (error.kind(), error.to_string()));
            let (mut ours, mut theirs) = (b"before".to_vec(), b"before".to_vec());
            let results =
                (read_to_end(&mut new(), &mut ours), io::Read::read_to_end(&mut new(), &mut theirs));
            assert_eq!((of_error(results.0), ours), (of_error(results.1), theirs));
            let (mut ours, mut theirs) = ("before".to_owned(), "before".to_owned());
            let results =
                (read_to_string(&mut new(), &mut ours), io::Read::read_to_string(&mut new(), &mut theirs));
            assert_eq!((of_error(results.0), ours), (of_error(results.1), theirs));
            let (mut ours, mut theirs) = ([0; 4], [0; 4]);
            let results = (read_exact(&mut new(), &mut ours), io::Read::read_exact(&mut new(), &mut theirs));
            assert_eq!((of_error(results.0.map(|()| 0)), ours), (of_error(results.1.map(|()| 0)), theirs));
        }
    }

    #[test]
    fn long_stream_is_read_whole() {
        let long: Vec<u8> = (0..5_000_000_u32).map(|n| n as u8).collect();
        let mut read = Vec::new();
        assert_eq!(read_to_end(&mut &long[..], &mut read).unwrap(), long.len());
        assert_eq!(read, long);
    }

    #[test]
    fn unwind_leaves_what_was_read() {
        struct Unwinds(bool);
        impl Read for Unwinds {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    std::panic::resume_unwind(Box::new(()));
                }
                buffer[0] = b'x';
                Ok(1)
            }
        }
        let mut bytes = Vec::new();
        let mut reader = std::panic::AssertUnwindSafe((Unwinds(false), &mut bytes));
        let unwound = std::panic::catch_unwind(move || {
            let (reader, bytes) = &mut *reader;
            read_to_end(reader, bytes)
        });
        assert!(unwound.is_err());
        assert_eq!(bytes, b"x");
    }
}
