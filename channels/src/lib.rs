//! Channels of kahn.

mod alarm;
mod bounded;
mod clock;
mod ends;
mod error;
mod future;
mod receiver;
mod ring;
mod seat;
mod sender;
mod state;
mod timers;

pub use error::{
    ReadyTimeoutError, RecvError, RecvTimeoutError, SelectTimeoutError, SendError, SendTimeoutError,
    TryReadyError, TryRecvError, TrySelectError, TrySendError,
};
pub use future::{RecvFuture, RecvStream, SendFuture};
pub use receiver::{IntoIter, Iter, Receiver, TryIter};
pub use sender::{Permit, Sender, bounded};
pub use timers::{after, at, never, tick};
