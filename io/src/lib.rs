//! Sockets and the rest of the outside world for the green threads of `kahn`.
//!
//! An operation that has to wait parks the green thread that calls it. Its worker runs others meanwhile.

#![warn(unreachable_pub)]

/// Waiting for any descriptor, and standard input.
pub mod io {
    pub use kahn_core::source::{Closer, Interest, Source};
}

mod socket;

pub mod net;
