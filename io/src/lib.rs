//! Sockets and the rest of the outside world for the green threads of `kahn`.
//!
//! An operation that has to wait parks the green thread that calls it. Its worker runs others meanwhile.

#![warn(unreachable_pub)]

pub mod io;

mod provided;
mod socket;

pub mod net;

pub mod fs;
pub mod process;
pub mod signal;
pub mod os;

#[cfg(any(
    feature = "futures-io",
    feature = "hyper",
    feature = "redis",
    feature = "tokio-io",
    feature = "ureq"
))]
pub mod interop;
