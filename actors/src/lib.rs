//! Actors of kahn: values that handle messages one at a time, without a stack or a thread while there are none.
//!
//! Modules stand lowest first.
//!
//! What a supervisor needs beyond what is public: `Builder::spawn_again` with a `keeper`, `life::resume` and
//! `links::dismiss` for what follows an incarnation's end (`life`'s head has the protocol), `address::wait_while` for a
//! child's start, and `address::stop` and `kill` with a reason.

#![warn(clippy::disallowed_methods)]

mod exit;
mod error;
mod ring;
mod signal;
mod cell;
pub mod dead_letters;
mod address;
mod chain;
mod slot;
mod tell_async;
mod ask;
mod links;
mod timers;
mod control;
mod actor;
mod panics;
mod life;
mod spawn;
mod mailbox;

pub use actor::{Actor, Context};
pub use address::{ActorRef, Address, WeakActorRef};
pub use ask::ASK_TIMEOUT;
pub use cell::Overflow;
pub use control::Control;
pub use error::{AskError, TellError};
pub use exit::{ActorId, ExitReason, LinkDied};
pub use mailbox::{Mailbox, RecvError};
pub use signal::{Down, DownCause, Mail, MonitorId};
pub use slot::Reply;
pub use spawn::{Builder, MAILBOX, spawn};
pub use tell_async::TellFuture;
pub use timers::TimerId;
