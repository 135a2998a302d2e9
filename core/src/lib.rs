//! Green threads, their scheduler, and what they wait for: the lower half of `kahn`.
//!
//! Modules stand lowest first; each uses only those above it.

#[doc(hidden)]
pub mod facade;
pub mod sync;
pub mod thread;
pub mod time;
#[doc(hidden)]
pub mod wait;
