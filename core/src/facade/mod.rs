//! The one place where the kinds of build differ.
//!
//! | build | atomics, cells, locks | a green thread is |
//! |---|---|---|
//! | production | `std` | a fiber (`crate::fiber` on `crate::scheduler`) |
//! | `--cfg kahn_threads`, and always under Miri | `std` | an OS thread, for tools that cannot follow a stack switch |
//! | `--cfg kahn_loom` | `loom` | a loom thread, for models |
//!
//! Everything else in the workspace names these re-exports. The only `cfg` of a build that it may name is `fibers`, which the
//! build scripts set in a production build, and which then decides whether an item exists.

mod clock;
mod coarse;
#[cfg(fibers)]
mod fibers;
#[cfg(kahn_loom)]
mod loom;
#[cfg(not(kahn_loom))]
mod std;
#[cfg(not(fibers))]
mod threads;
#[cfg(fibers)]
mod ticks;

pub use self::clock::now;
pub use self::coarse::deadline_about;
#[cfg(fibers)]
pub use self::fibers::*;
#[cfg(kahn_loom)]
pub use self::loom::*;
#[cfg(not(kahn_loom))]
pub use self::std::*;
#[cfg(not(fibers))]
pub use self::threads::*;
#[cfg(fibers)]
pub use self::ticks::ticks;

/// True where the model checker runs: capacities shrink, and nothing spins.
pub const MODEL: bool = cfg!(kahn_loom);

/// Whether it pays to wait a little on the CPU: not in a model, and not in an interpreter.
pub const SPINS: bool = !cfg!(any(kahn_loom, miri));

/// What all others did before they subtracted from `count`, with Release, is seen by the caller, who has subtracted last.
#[inline]
pub fn acquire_all(count: &AtomicUsize) {
    if cfg!(kahn_threads) {
        // ThreadSanitizer knows no fences.
        count.load(Ordering::Acquire);
    } else {
        fence(Ordering::Acquire);
    }
}
