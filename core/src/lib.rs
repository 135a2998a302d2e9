//! Green threads, their scheduler, and the resources that they wait for: the lower half of `kahn`.
//!
//! The modules are listed lowest first: a module uses only modules above it.

#![warn(clippy::disallowed_methods)]
#![warn(unreachable_pub)]

/// Not covered by semver.
#[doc(hidden)]
pub mod primitives;
/// Not covered by semver.
#[doc(hidden)]
pub mod wait;

/// Not covered by semver.
#[cfg(unix)]
#[doc(hidden)]
pub mod signals;
#[cfg(fibers)]
mod timer;
#[cfg(fibers)]
mod os_threads;
#[cfg(fibers)]
mod exits;
#[cfg(fibers)]
mod reactor;
#[cfg(fibers)]
mod blocking;
#[cfg(fibers)]
mod fiber;
#[cfg(fibers)]
mod home;
#[cfg_attr(not(fibers), allow(dead_code, reason = "models use a part of it"))]
mod task;
#[cfg(fibers)]
mod scheduler;
#[cfg(any(fibers, models))]
mod handle;
#[cfg(fibers)]
pub mod runtime;
#[cfg(any(fibers, models))]
pub mod thread;
#[cfg(any(fibers, models))]
pub mod async_task;
/// Not covered by semver.
#[cfg(fibers)]
#[doc(hidden)]
pub mod process;

pub mod sync;

#[cfg(any(fibers, models))]
pub mod time;
#[cfg(fibers)]
pub mod source;

#[cfg(any(fibers, models))]
pub use runtime::{Runtime, run};
#[cfg(any(fibers, models))]
pub use thread::{block_on, blocking, scope, sleep, spawn, spawn_local, yield_now};

#[cfg(any(fibers, models))]
pub mod model;

// A model build has no fibers. It compiles the parts that work without them, for models of users' programs, for the tests in
// `models`, and for those of the actors.
#[cfg(models)]
#[path = "fiber/model.rs"]
mod fiber;
#[cfg(models)]
#[path = "runtime/model.rs"]
pub mod runtime;
#[cfg(not(fibers))]
#[path = "scheduler/model.rs"]
#[allow(dead_code, reason = "models use a part of it, in tests alone")]
mod scheduler;
#[cfg(all(test, not(fibers)))]
#[path = "reactor/model.rs"]
#[allow(dead_code, reason = "models use a part of it")]
mod reactor;
/// Not covered by semver.
#[cfg(not(fibers))]
#[doc(hidden)]
#[path = "process/model.rs"]
pub mod process;
#[cfg(not(fibers))]
#[cfg(test)]
mod models;
