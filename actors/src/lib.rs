//! Actors of kahn: values that handle messages one at a time, without a stack or a thread while there are none.
//!
//! Modules stand lowest first.
//!
//! What a supervisor can do beyond what is public is in `keeping`; `Builder::spawn_again` with a `keeper` starts its
//! children.

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
mod keeping;
mod spawn;
mod mailbox;
mod supervisor;
mod system;

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
pub use supervisor::{
    AutoShutdown, Backoff, ChildError, ChildInfo, ChildKind, ChildSpec, ChildState, Event, Order, Outcome,
    Restart, Shutdown, StartError, Strategy, Supervisor, SupervisorRef,
};
pub use system::{System, SystemError};
pub use tell_async::TellFuture;
pub use timers::TimerId;
