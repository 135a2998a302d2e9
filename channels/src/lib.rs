//! Channels of kahn: bounded queues between green threads, OS threads and async tasks, in any mix, with the names and the
//! meaning of `crossbeam-channel`.
//!
//! Modules stand lowest first; each uses only those above it.

mod alarm;
mod bounded;
mod parking;
pub mod broadcast;
mod clock;
mod crowd;
mod ends;
mod error;
mod future;
#[doc(hidden)]
pub mod internal;
pub mod oneshot;
mod open;
mod receiver;
mod iter;
mod ring;
mod seat;
mod select;
mod sender;
mod state;
mod grants;
mod timers;
pub mod watch;

kahn_core::production! {
    mod serve;
    pub use serve::serve;
}

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
pub use select::chosen::SelectedOperation;
pub use sender::{Permit, Sender};
pub use watch::watch;
