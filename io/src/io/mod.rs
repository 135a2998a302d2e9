//! The traits and types of [`std::io`], and waiting for descriptors.
//!
//! `use kahn::io` can replace `use std::io`. [`Source`] waits for any descriptor: a socket, a pipe, or what another
//! library has opened.

pub use std::io::{
    BufRead, BufReader, BufWriter, Bytes, Chain, Cursor, Empty, Error, ErrorKind, IntoInnerError, IoSlice,
    IoSliceMut, IsTerminal, LineWriter, Lines, Read, Repeat, Result, Seek, SeekFrom, Sink, Split, Stderr,
    StderrLock, Stdout, StdoutLock, Take, Write, WriterPanicked, empty, prelude, read_to_string, repeat,
    sink, stderr, stdout,
};

pub use kahn_core::source::{Closer, Interest, Source};
