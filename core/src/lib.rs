//! Green threads, their scheduler, and what they wait for: the lower half of `kahn`.
//!
//! Modules stand lowest first; each uses only those above it.

#[doc(hidden)]
pub mod facade;
#[doc(hidden)]
pub mod wait;
pub mod thread;
pub mod sync;
pub mod time;
