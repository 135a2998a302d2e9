//! Actors of kahn: values that handle messages one at a time, without a stack or a thread while there are none.
//!
//! # One actor
//!
//! An [`Actor`] has a value, a type of messages, and a bounded mailbox. [`spawn`] starts it, and answers an [`ActorRef`], by
//! which it is told and asked. What it can do with itself (timers, links, monitors, putting messages aside) is in its
//! [`Context`], that is, in [`Control`]. An actor can be a loop, too, that receives what it likes:
//! [`Builder::spawn_loop`].
//!
//! # Many actors
//!
//! | to | there is |
//! |---|---|
//! | start those again that fail, and stop all in order | [`Supervisor`], and for a whole program [`System`] |
//! | start and stop very many of one kind, each with arguments of its own | [`DynamicSupervisor`] |
//! | find an actor by its name | [`registry`] |
//! | tell many the same | [`Group`] |
//! | tell those the same who are interested in it | [`PubSub`] |
//! | let several share the work | [`Pool`] |
//! | do something no more often than so | [`Limiter`] |
//! | see what nobody has handled | [`dead_letters`] |
//! | test all that | [`testing`] |
//!
//! A name keeps its actor going; a group, a subscription and a [`WeakActorRef`] do not. All of them last through restarts,
//! as references do, and are gone when those are told who monitor the actor.
//!
//! # Layout
//!
//! Modules stand lowest first. What a supervisor can do beyond what is public is in `keeping`; `Builder::spawn_again` with
//! a `keeper` starts its children. What is said of an actor elsewhere (a name, a membership) is an `entry`, which is
//! struck when the actor ends for good.

#![warn(clippy::disallowed_methods)]

mod exit;
mod error;
mod ring;
mod signal;
mod entry;
mod slot;
mod cell;
pub mod dead_letters;
mod unnoticed;
mod ends;
mod chain;
mod address;
mod tell;
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
mod roster;
mod group;
#[cfg(fibers)]
mod limiter;
mod pool;
mod pubsub;
pub mod registry;
pub mod testing;

pub use actor::{Actor, Context};
pub use address::{ActorRef, Address, WeakActorRef};
pub use ask::ASK_TIMEOUT;
pub use cell::Overflow;
pub use control::Control;
pub use error::{AskError, StashError, TellError};
pub use exit::{ActorId, ExitReason, LinkDied};
pub use group::{Delivered, Group};
#[cfg(fibers)]
pub use limiter::{Limiter, TooLate};
pub use mailbox::{Mailbox, RecvError};
pub use pool::{Pool, PoolBuilder, Routing};
pub use pubsub::{Lag, PubSub};
pub use signal::{Down, DownCause, Mail, MonitorId};
pub use slot::Reply;
pub use spawn::{Builder, MAILBOX, spawn};
pub use supervisor::{
    AutoShutdown, Backoff, ChildError, ChildInfo, ChildKind, ChildSpec, ChildState, DynamicOrder,
    DynamicSupervisor, DynamicSupervisorRef, Event, Order, Outcome, Restart, Shutdown, StartError, Strategy,
    Supervisor, SupervisorRef,
};
pub use system::{System, SystemError};
pub use tell_async::TellFuture;
pub use timers::TimerId;
