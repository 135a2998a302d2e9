//! Channels of kahn: bounded queues between green threads, OS threads and async tasks, in any mix. Names and meaning
//! follow `crossbeam-channel`.
//!
//! The modules are listed lowest first. Each uses only the modules above it.

#![warn(clippy::disallowed_methods)]
#![warn(unreachable_pub)]

mod error;
mod clock;
mod waiters;
mod reservation;
mod flavors;
mod channel;
mod receiver;
mod sender;
mod open;
mod iter;
mod future;
mod select;
/// Not covered by semver.
#[doc(hidden)]
pub mod internal;
pub mod oneshot;
pub mod broadcast;
pub mod watch;

#[cfg(any(fibers, models))]
mod serve;
#[cfg(any(fibers, models))]
pub use serve::serve;

pub use broadcast::broadcast;
pub use error::{
    ReadyTimeoutError, RecvError, RecvTimeoutError, SelectTimeoutError, SendError, SendTimeoutError,
    TryReadyError, TryRecvError, TrySelectError, TrySendError,
};
pub use future::{RecvFuture, RecvStream, SendFuture};
pub use iter::{IntoIter, Iter, TryIter};
pub use oneshot::oneshot;
pub use open::{after, at, bounded, never, tick};
pub use receiver::Receiver;
pub use select::Select;
pub use select::selected::SelectedOperation;
pub use sender::{Permit, Sender};
pub use watch::watch;
