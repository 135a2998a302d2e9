//! Communicating processes for Rust: green threads that share nothing and talk over bounded channels.
pub use kahn_channels::select;
pub use kahn_channels::select_biased;
pub use kahn_core::{
    Runtime, block_on, blocking, local, run, runtime, scope, sleep, spawn, spawn_local, sync, thread, time,
    yield_now,
};
pub use kahn_macros::{main, test};
/// Channels.
pub mod channel {
    pub use kahn_channels::*;
}
#[doc(hidden)]
pub mod __private {
    pub use kahn_core::runtime::entry::{main, test, test_with_result};
}
