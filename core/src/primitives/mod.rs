//! The primitives: the only module in which the kinds of build differ.
//!
//! | build | atomics, cells, locks | a green thread is |
//! |---|---|---|
//! | production | `std` | a fiber (`crate::fiber` on `crate::scheduler`) |
//! | `--cfg kahn_threads`, and always under Miri | `std` | an OS thread, for tools that cannot follow a stack switch |
//! | `--cfg kahn_loom` | `loom` | a loom thread, for models |
//!
//! All other code of the workspace names these re-exports. The only build `cfg` that other code may name is `fibers`.
//! The build scripts set it in a production build, and it decides whether an item exists.

mod clock;
mod coarse;
#[cfg(kahn_loom)]
pub mod explorer;
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

/// Chooses one of `alternatives`, for a program that must not depend on which. A model explores all of them.
#[inline]
pub fn choose(alternatives: usize) -> usize {
    #[cfg(kahn_loom)]
    return explorer::choose(alternatives);
    #[cfg(not(kahn_loom))]
    {
        let _ = alternatives;
        0
    }
}

/// Returns whether a panic at this place is one of the model checker itself. No primitive may be used during it.
#[inline]
pub fn is_of_checker(location: &core::panic::Location<'_>) -> bool {
    #[cfg(kahn_loom)]
    return explorer::is_of_explorer(location.file());
    #[cfg(not(kahn_loom))]
    {
        let _ = location;
        false
    }
}

/// Runs `f`, which holds something that a model does not know: a lock of `std`, or the panic hook. A model does not switch
/// to another thread meanwhile. `f` does not unwind.
#[inline]
pub fn without_switches<R>(f: impl FnOnce() -> R) -> R {
    #[cfg(kahn_loom)]
    return explorer::without_switches(f);
    #[cfg(not(kahn_loom))]
    f()
}

/// True where the model checker runs: capacities are small, and nothing spins.
pub const MODEL: bool = cfg!(kahn_loom);

/// Whether spinning for a moment pays: not in a model, and not in an interpreter.
pub const SPINS: bool = !cfg!(any(kahn_loom, miri));

/// Synchronizes the thread that has decremented `count` last with all that decremented it earlier. They decrement
/// with Release, and the caller sees what they did before.
#[inline]
pub fn acquire_all(count: &AtomicUsize) {
    if cfg!(kahn_threads) {
        // ThreadSanitizer does not support fences.
        count.load(Ordering::Acquire);
    } else {
        fence(Ordering::Acquire);
    }
}
