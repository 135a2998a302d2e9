//! Green threads, their scheduler, and what they wait for: the lower half of `kahn`.
//!
//! Modules stand lowest first.

#[doc(hidden)]
#[macro_use]
pub mod facade;
#[doc(hidden)]
pub mod wait;

production! {
    mod timer;
    mod quiet;
    mod blocking;
    mod fiber;
    mod job;
    mod scheduler;
    mod handle;
    pub mod runtime;
    pub mod thread;
}

pub mod sync;

production! {
    pub mod time;

    pub use runtime::{Runtime, run};
    pub use thread::{block_on, blocking, scope, sleep, spawn, spawn_local, yield_now};
}
