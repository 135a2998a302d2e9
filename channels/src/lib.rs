//! Channels of kahn: bounded queues between green threads, OS threads and async tasks, in any mix, with the names and the
//! meaning of `crossbeam-channel`.
//!
//! Modules stand lowest first; each uses only those above it.

mod alarm;
mod bounded;
mod clock;
mod ends;
mod error;
mod future;
#[doc(hidden)]
pub mod internal;
mod open;
mod receiver;
mod ring;
mod seat;
mod select;
mod sender;
mod state;
mod timers;

kahn_core::production! {
    mod serve;
    pub use serve::serve;
}

pub use error::{
    ReadyTimeoutError, RecvError, RecvTimeoutError, SelectTimeoutError, SendError, SendTimeoutError,
    TryReadyError, TryRecvError, TrySelectError, TrySendError,
};
pub use future::{RecvFuture, RecvStream, SendFuture};
pub use open::{after, at, bounded, never, tick};
pub use receiver::{IntoIter, Iter, Receiver, TryIter};
pub use select::Select;
pub use select::chosen::SelectedOperation;
pub use sender::{Permit, Sender};
