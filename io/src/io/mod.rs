//! The traits and types of [`std::io`], and waiting for descriptors.
//!
//! `use kahn::io` can replace `use std::io`. [`stdin`] and [`copy`] are kahn's own: a green thread that waits in them parks.
//! Standard output and standard error are those of `std`, and block the worker while a pipe or a terminal behind
//! them takes nothing. [`Source`] waits for any descriptor: a socket, a pipe, or what another
//! library has opened.

mod copy;
mod stdin;

pub use std::io::{
    BufRead, BufReader, BufWriter, Bytes, Chain, Cursor, Empty, Error, ErrorKind, IntoInnerError, IoSlice,
    IoSliceMut, IsTerminal, LineWriter, Lines, Read, Repeat, Result, Seek, SeekFrom, Sink, Split, Stderr,
    StderrLock, Stdout, StdoutLock, Take, Write, WriterPanicked, empty, prelude, read_to_string, repeat,
    sink, stderr, stdout,
};

pub use kahn_core::source::{Closer, Interest, Source};

pub use self::copy::copy;
pub use self::stdin::{Stdin, StdinLock, stdin};
