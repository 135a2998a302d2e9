//! Communicating processes for Rust: green threads, bounded channels and `select!` on all the cores, with plain blocking
//! code.
//!
//! What `std` has keeps its name and its meaning here ([`thread`], [`sync`], [`time`]), so porting a program that uses
//! threads is replacing `std::` by `kahn::`. Channels are those of `crossbeam-channel`, less the unbounded ones: a sender
//! that is ahead waits.
//!
//! ```
//! use std::time::Duration;
//!
//! use kahn::channel::{after, bounded};
//! use kahn::select;
//!
//! #[kahn::main]
//! fn main() {
//!     let (numbers, work) = bounded(16);
//!     let (squares, results) = bounded(16);
//!     // A pool of four, which has no stack while it waits.
//!     for _ in 0..4 {
//!         let squares = squares.clone();
//!         kahn::serve(work.clone(), move |n: u64| squares.send(n * n).unwrap());
//!     }
//!     drop((work, squares));
//!     // A green thread: it parks where the channel is full.
//!     kahn::spawn(move || (1..=1000).for_each(|n| numbers.send(n).unwrap()));
//!
//!     let late = after(Duration::from_secs(10));
//!     let mut sum = 0;
//!     loop {
//!         select! {
//!             recv(results) -> square => match square {
//!                 Ok(square) => sum += square,
//!                 Err(_) => break,
//!             },
//!             recv(late) -> _ => panic!("too slow"),
//!         }
//!     }
//!     assert_eq!(sum, 333_833_500);
//! }
//! ```
//!
//! # Where it runs
//!
//! [`run`], [`Runtime::run`] and [`#[kahn::main]`](macro@main) start a runtime, with a worker thread for each CPU.
//! Whatever parks a green thread also works on a plain OS thread, which it blocks; and the first [`spawn`] on one that is
//! in no runtime starts a default runtime for the process. Channels and locks work between all of them, and async tasks.
//!
//! Calls that block without the runtime's knowledge belong in [`blocking`]: a worker that waits runs nobody else.
//!
//! # What is safe
//!
//! A green thread that has parked stays on its OS thread, so that thread-locals, `Rc`s and lock guards on its stack are
//! as safe as in an OS thread; only what has not started, or has no stack, moves to another.

#[doc(inline)]
pub use kahn_channels::{select, select_biased, serve};
#[doc(inline)]
pub use kahn_core::{
    Runtime, block_on, blocking, local, run, runtime, scope, sleep, spawn, spawn_local, sync, time, yield_now,
};
#[doc(inline)]
pub use kahn_macros::{main, test};

/// Green threads, with the names and the meaning of [`std::thread`].
pub mod thread {
    #[doc(inline)]
    pub use kahn_channels::serve;
    #[doc(inline)]
    pub use kahn_core::local;
    #[doc(inline)]
    pub use kahn_core::thread::{
        Builder, JoinError, JoinHandle, LocalKey, Scope, ScopedJoinHandle, Thread, ThreadId,
        available_parallelism, block_on, blocking, current, is_green, park, park_timeout, scope, sleep,
        sleep_until, spawn, spawn_local, yield_now,
    };
}

/// Bounded channels and select, with the names and the meaning of `crossbeam-channel`.
pub mod channel {
    #[doc(inline)]
    pub use kahn_channels::{
        IntoIter, Iter, Permit, ReadyTimeoutError, Receiver, RecvError, RecvFuture, RecvStream,
        RecvTimeoutError, Select, SelectTimeoutError, SelectedOperation, SendError, SendFuture,
        SendTimeoutError, Sender, TryIter, TryReadyError, TryRecvError, TrySelectError, TrySendError, after,
        at, bounded, broadcast, never, oneshot, select, select_biased, tick, watch,
    };
}

/// Actors: values that handle messages one at a time, without a stack or a thread while there are none.
pub mod actor {
    #[doc(inline)]
    pub use kahn_actors::*;
}

/// For what the attributes expand to. Not for use by name.
#[doc(hidden)]
pub mod __private {
    pub use kahn_core::runtime::entry::{main, test, test_with_result};
}

/// The examples in README.md, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
