//! Actors of kahn: values that handle messages one at a time. While an actor has no message, it uses no stack and no
//! thread.
//!
//! # One actor
//!
//! An [`Actor`] has a value, a message type, and a bounded mailbox. [`spawn`] starts it and returns an [`ActorRef`],
//! with which other threads tell and ask it. Its [`Context`] has its timers, links, monitors, and the stash. An actor
//! can also be a loop that chooses which messages it receives ([`Builder::spawn_loop`]); it keeps a stack.
//!
//! # Many actors
//!
//! | to | use |
//! |---|---|
//! | restart actors that fail, and stop all of them in order | [`Supervisor`], and for a whole program [`System`] |
//! | start and stop very many actors of one kind, each with its own arguments | [`DynamicSupervisor`] |
//! | find an actor by its name | [`registry`] |
//! | send the same message to many actors | [`Group`] |
//! | send the same message to the actors that subscribe to a topic | [`PubSub`] |
//! | let several actors share the work | [`Pool`] |
//! | limit the rate of an operation | [`Limiter`] |
//! | see messages that no actor handled | [`dead_letters`] |
//! | test all of this | [`testing`] |
//!
//! A name in the registry keeps its actor running. A group, a subscription and a [`WeakActorRef`] do not. All of them
//! stay valid across restarts, as references do. Names, memberships and subscriptions are removed before the actor's
//! monitors are told of its end.
//!
//! # Layout
//!
//! The modules are listed lowest first. `supervision` has the operations that a supervisor needs and that are not
//! public; `Builder::spawn_again` with a `supervisor` starts a supervisor's children. A `registration` is a record
//! of an actor held elsewhere (a name, a membership). It is removed when the actor ends for good.

#![warn(clippy::disallowed_methods)]
#![warn(unreachable_pub)]

mod exit;
mod error;
mod ring;
mod signal;
mod registration;
mod slot;
mod cell;
mod unobserved_panics;
mod stepping;
mod lifecycle;
mod panics;
pub mod dead_letters;
mod ask_cycle;
mod address;
mod tell;
mod tell_async;
mod ask;
mod links;
mod timers;
mod control;
mod actor;
mod life;
mod supervision;
mod spawn;
mod mailbox;
mod supervisor;
mod system;
mod members;
mod group;
#[cfg(any(fibers, models))]
mod limiter;
mod pool;
mod pubsub;
pub mod registry;
pub mod testing;

pub use actor::{Actor, Context};
pub use address::{ActorRef, Address, WeakActorRef};
pub use ask::ASK_TIMEOUT;
pub use cell::Overflow;
pub use error::{AskError, StashError, TellError};
pub use exit::{ActorId, ExitReason, LinkDied};
pub use group::{Delivered, Group};
#[cfg(any(fibers, models))]
pub use limiter::{AcquireTimeoutError, Limiter};
pub use mailbox::{Mailbox, MailboxError};
pub use pool::{Pool, PoolBuilder, Routing};
pub use pubsub::{Lag, PubSub};
pub use signal::{Down, DownCause, Mail, MonitorId};
pub use slot::Reply;
pub use spawn::{Builder, MAILBOX, spawn};
pub use supervisor::{
    AutoShutdown, Backoff, ChildError, ChildInfo, ChildKind, ChildSpec, ChildState, DynamicSupervisor,
    DynamicSupervisorRef, Event, Outcome, Restart, Shutdown, StartError, Strategy, Supervisor, SupervisorRef,
};
pub use system::{System, SystemError};
pub use tell_async::TellFuture;
pub use timers::TimerId;
