//! The child specification: how a supervisor makes, restarts and stops a child.

use core::convert::Infallible;
use core::fmt;
use core::panic::Location;
use core::time::Duration;
use std::sync::Arc;

use super::Supervisor;
use super::actor::SupervisorActor;
use super::backoff::Backoff;
use super::children::{
    ErasedChild, TypedChild, describe_actor, describe_dynamic_supervisor, describe_supervisor,
    describe_thread,
};
use super::dynamic::DynamicSupervisor;
use crate::actor::Actor;
use crate::address::ActorRef;
use crate::cell::{AnyActor, Overflow};
use crate::exit::ExitReason;
use crate::mailbox::Mailbox;
use crate::spawn::Builder;

/// When a child that has ended by itself is restarted.
///
/// # Examples
///
/// ```
/// use kahn::actor::{ChildSpec, ChildState, Restart, Supervisor};
///
/// let supervisor = Supervisor::default()
///     .child(ChildSpec::thread("once", || ()).restart(Restart::Transient))
///     .child(ChildSpec::thread("guest", || ()).restart(Restart::Temporary))
///     .spawn();
/// while supervisor.children().len() > 1 || supervisor.children()[0].state == ChildState::Running {
///     kahn::yield_now();
/// }
/// assert!(supervisor.restart_child("once").is_ok());
/// assert!(supervisor.restart_child("guest").is_err());
/// supervisor.stop();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// The child is always restarted. This is the default.
    #[default]
    Permanent,
    /// The child is restarted if it ended abnormally: by a panic, an error, a kill, or a link.
    Transient,
    /// The child is never restarted. Its specification is removed when it ends.
    Temporary,
}

/// How a child is stopped.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use kahn::actor::{ChildSpec, Shutdown};
///
/// let writer = ChildSpec::thread("writer", || ()).shutdown(Shutdown::Timeout(Duration::from_secs(60)));
/// let cache = ChildSpec::thread("cache", || ()).shutdown(Shutdown::Kill);
/// # let _ = (writer, cache);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// The child is asked to end after the message that it is handling. If it has not ended when the time is over, it
    /// is killed, which is [reported](super::Event::StoppedBadly). This is the default for workers and threads, with
    /// five seconds.
    Timeout(Duration),
    /// The child is killed.
    Kill,
    /// The child is asked to end, and its supervisor waits without a limit. This is the default for supervisors,
    /// because the limits of their own children bound the wait.
    Infinity,
}

/// The kind of a child.
///
/// # Examples
///
/// ```
/// use kahn::actor::{ChildKind, ChildSpec, Supervisor};
///
/// let supervisor = Supervisor::default()
///     .child(ChildSpec::thread("clock", || kahn::sleep(std::time::Duration::MAX)))
///     .child(ChildSpec::supervisor("sessions", Supervisor::default))
///     .spawn();
/// let kinds: Vec<_> = supervisor.children().iter().map(|child| child.kind).collect();
/// assert_eq!(kinds, [ChildKind::Thread, ChildKind::Supervisor]);
/// supervisor.stop();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChildKind {
    /// An actor.
    Worker,
    /// A supervisor.
    Supervisor,
    /// A green thread without a mailbox.
    Thread,
}

/// A child specification: how a child is made, and how its supervisor restarts and stops it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use kahn::actor::{Actor, ChildSpec, Context, ExitReason, Restart, Shutdown};
///
/// struct Logger;
/// impl Actor for Logger {
///     type Message = String;
///     fn handle(&mut self, line: String, _: &mut Context<Self>) -> Result<(), ExitReason> {
///         Ok(println!("{line}"))
///     }
/// }
/// let spec = ChildSpec::new("logger", || Logger)
///     .restart(Restart::Transient)
///     .shutdown(Shutdown::Timeout(Duration::from_secs(1)))
///     .mailbox(1024);
/// assert_eq!(spec.id(), "logger");
/// ```
#[must_use = "give it to a supervisor"]
pub struct ChildSpec {
    pub(super) id: Arc<str>,
    pub(super) kind: ChildKind,
    pub(super) restart: Restart,
    pub(super) shutdown: Shutdown,
    pub(super) backoff: Option<Backoff>,
    pub(super) significant: bool,
    builder: Builder,
    make: Option<MakeActor>,
}

type MakeActor = Box<dyn FnOnce(Builder) -> Box<dyn ErasedChild> + Send>;

impl ChildSpec {
    /// Returns the specification of an actor. `make` makes a new value for each start. It runs in the child. If it
    /// panics, the start has failed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, ChildSpec, Context, ExitReason};
    /// struct Greeter(String);
    /// impl Actor for Greeter {
    ///     type Message = ();
    ///     fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         Ok(println!("{}", self.0))
    ///     }
    /// }
    /// let greeting = "hello".to_owned();
    /// // The value is made anew for each start.
    /// let spec = ChildSpec::new("greeter", move || Greeter(greeting.clone()));
    /// # let _ = spec;
    /// ```
    pub fn new<A: Actor>(id: impl Into<String>, make: impl FnMut() -> A + Send + 'static) -> ChildSpec {
        ChildSpec::of(id.into(), ChildKind::Worker, describe_actor::<A::Message>, |builder| {
            builder.spawn_again(make)
        })
    }

    /// Returns the specification of a child that is a supervisor itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{ChildSpec, Strategy, Supervisor};
    ///
    /// let sessions = || Supervisor::new(Strategy::OneForOne).intensity(100, Duration::from_secs(1));
    /// let root = Supervisor::default().child(ChildSpec::supervisor("sessions", sessions)).spawn();
    /// assert!(root.supervisor("sessions").unwrap().children().is_empty());
    /// root.stop();
    /// ```
    #[track_caller]
    pub fn supervisor(
        id: impl Into<String>,
        mut make: impl FnMut() -> Supervisor + Send + 'static,
    ) -> ChildSpec {
        let at = Location::caller();
        let make = move || SupervisorActor { spawned_at: at, ..make().actor };
        ChildSpec::of(id.into(), ChildKind::Supervisor, describe_supervisor, |builder| {
            builder.spawn_again(make)
        })
    }

    /// Returns the specification of a child that is a [`DynamicSupervisor`]. To get a reference to it, use
    /// [`SupervisorRef::dynamic_supervisor`](super::SupervisorRef::dynamic_supervisor).
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Actor, ChildSpec, Context, DynamicSupervisor, ExitReason, Supervisor};
    ///
    /// struct Session(u32);
    /// impl Actor for Session {
    ///     type Message = ();
    ///     fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         Ok(println!("session {}", self.0))
    ///     }
    /// }
    /// let sessions = ChildSpec::dynamic_supervisor("sessions", || DynamicSupervisor::new(Session));
    /// let root = Supervisor::default().child(sessions).spawn();
    /// let sessions = root.dynamic_supervisor::<u32, ()>("sessions").unwrap();
    /// let session = sessions.start(7).unwrap();
    /// root.stop();
    /// assert!(!session.is_alive());
    /// ```
    #[track_caller]
    pub fn dynamic_supervisor<Args, M>(
        id: impl Into<String>,
        mut make: impl FnMut() -> DynamicSupervisor<Args, M> + Send + 'static,
    ) -> ChildSpec
    where
        Args: Send + 'static,
        M: Send + 'static,
    {
        let at = Location::caller();
        let make = move || make().into_actor(at);
        let describe = describe_dynamic_supervisor::<Args, M>;
        ChildSpec::of(id.into(), ChildKind::Supervisor, describe, |builder| builder.spawn_again(make))
    }

    /// Returns the specification of a child that is a loop over its mailbox: see [`Builder::spawn_loop`].
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{ChildSpec, Mailbox, Reply, Supervisor};
    ///
    /// let numbers = ChildSpec::spawn_loop("numbers", |mailbox: &mut Mailbox<Reply<u32>>| {
    ///     for number in 0.. {
    ///         let _ = mailbox.recv()?.send(number);
    ///     }
    ///     Ok(())
    /// });
    /// let supervisor = Supervisor::default().child(numbers).spawn();
    /// let numbers = supervisor.actor_ref::<Reply<u32>>("numbers").unwrap();
    /// assert_eq!((numbers.ask(|reply| reply), numbers.ask(|reply| reply)), (Ok(0), Ok(1)));
    /// supervisor.stop();
    /// ```
    pub fn spawn_loop<M, F>(id: impl Into<String>, f: F) -> ChildSpec
    where
        M: Send + 'static,
        F: FnMut(&mut Mailbox<M>) -> Result<(), ExitReason> + Send + 'static,
    {
        ChildSpec::of(id.into(), ChildKind::Worker, describe_actor::<M>, |builder| {
            builder.spawn_loop_again(f)
        })
    }

    /// Returns the specification of a child that is a green thread, which calls `f` for each start. When the thread is
    /// asked to end, it unwinds from the park that it is in, or from its next park, as after
    /// [`JoinHandle::cancel`](kahn_core::thread::JoinHandle::cancel).
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{ChildSpec, ExitReason, Supervisor};
    ///
    /// let (tx, rx) = kahn::channel::bounded(1);
    /// let spec = ChildSpec::thread("reader", move || -> Result<(), ExitReason> {
    ///     loop {
    ///         let line: String = rx.recv()?;
    ///         println!("{line}");
    ///     }
    /// });
    /// let supervisor = Supervisor::default().child(spec).spawn();
    /// tx.send("hello".to_owned()).unwrap();
    /// supervisor.stop();
    /// ```
    pub fn thread<R: Outcome>(id: impl Into<String>, mut f: impl FnMut() -> R + Send + 'static) -> ChildSpec {
        let body = move |_: &mut Mailbox<Infallible>| f().into_result();
        ChildSpec::of(id.into(), ChildKind::Thread, describe_thread, |builder| builder.spawn_loop_again(body))
    }

    fn of<M: Send + 'static>(
        id: String,
        kind: ChildKind,
        describe: fn() -> String,
        make: impl FnOnce(Builder) -> ActorRef<M> + Send + 'static,
    ) -> ChildSpec {
        let make =
            move |builder| Box::new(TypedChild { actor: make(builder), describe }) as Box<dyn ErasedChild>;
        ChildSpec {
            kind,
            restart: Restart::default(),
            shutdown: match kind {
                ChildKind::Supervisor => Shutdown::Infinity,
                _ => Shutdown::Timeout(Duration::from_secs(5)),
            },
            backoff: None,
            significant: false,
            builder: Builder::new().name(id.as_str()),
            make: Some(Box::new(make)),
            id: id.into(),
        }
    }

    /// Returns the child's id. It is also the actor's name. Children of one supervisor have different ids.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(kahn::actor::ChildSpec::thread("clock", || ()).id(), "clock");
    /// ```
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Sets when the child is restarted.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{ChildSpec, Restart};
    ///
    /// let import = ChildSpec::thread("import", || ()).restart(Restart::Transient);
    /// # let _ = import;
    /// ```
    pub fn restart(mut self, restart: Restart) -> ChildSpec {
        self.restart = restart;
        self
    }

    /// Sets how the child is stopped.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{ChildSpec, Shutdown};
    ///
    /// let ledger = ChildSpec::thread("ledger", || ()).shutdown(Shutdown::Infinity);
    /// # let _ = ledger;
    /// ```
    pub fn shutdown(mut self, shutdown: Shutdown) -> ChildSpec {
        self.shutdown = shutdown;
        self
    }

    /// Sets the delay before the child is restarted. The default is no delay. With
    /// [`RestForOne`](super::Strategy::RestForOne) the children after it wait as well, and with
    /// [`OneForAll`](super::Strategy::OneForAll) all other children do.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{Backoff, ChildSpec};
    ///
    /// let backoff = Backoff::exponential(Duration::from_millis(10), Duration::from_secs(10));
    /// let uplink = ChildSpec::thread("uplink", || ()).backoff(backoff);
    /// # let _ = uplink;
    /// ```
    pub fn backoff(mut self, backoff: Backoff) -> ChildSpec {
        self.backoff = Some(backoff);
        self
    }

    /// Sets whether the child is significant: whether its end by itself can end its supervisor. See
    /// [`AutoShutdown`](super::AutoShutdown).
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{AutoShutdown, ChildSpec, Restart, Supervisor};
    ///
    /// let job = ChildSpec::thread("job", || ()).restart(Restart::Temporary).significant(true);
    /// let supervisor = Supervisor::default().auto_shutdown(AutoShutdown::AnySignificant).child(job).spawn();
    /// supervisor.join();
    /// ```
    pub fn significant(mut self, significant: bool) -> ChildSpec {
        self.significant = significant;
        self
    }

    /// Sets the capacity of the child's mailbox, in messages.
    ///
    /// # Panics
    ///
    /// Panics under the same conditions as [`Builder::mailbox`].
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{ChildSpec, Mailbox};
    ///
    /// let sink = ChildSpec::spawn_loop("sink", |mailbox: &mut Mailbox<u8>| loop { mailbox.recv()?; });
    /// let sink = sink.mailbox(100_000);
    /// # let _ = sink;
    /// ```
    #[track_caller]
    pub fn mailbox(mut self, capacity: usize) -> ChildSpec {
        self.builder = self.builder.mailbox(capacity);
        self
    }

    /// Sets what happens to messages that find the child's mailbox full.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{ChildSpec, Mailbox, Overflow};
    ///
    /// let trace = ChildSpec::spawn_loop("trace", |mailbox: &mut Mailbox<String>| {
    ///     loop {
    ///         println!("{}", mailbox.recv()?);
    ///     }
    /// });
    /// let trace = trace.mailbox(16).overflow(Overflow::DropOldest);
    /// # let _ = trace;
    /// ```
    pub fn overflow(mut self, overflow: Overflow) -> ChildSpec {
        self.builder = self.builder.overflow(overflow);
        self
    }

    /// Makes the actor of this child, supervised by `supervisor`. It is called once.
    pub(super) fn spawn(&mut self, supervisor: &AnyActor) -> Box<dyn ErasedChild> {
        let make = self.make.take().expect("made once, and started again from then on");
        let mut builder = core::mem::take(&mut self.builder);
        builder.supervisor = Some(supervisor.clone());
        make(builder)
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("restart", &self.restart)
            .field("shutdown", &self.shutdown)
            .field("backoff", &self.backoff)
            .field("significant", &self.significant)
            .finish_non_exhaustive()
    }
}

/// The return type of a supervised green thread: `()`, or a `Result` whose error is the exit reason.
///
/// # Examples
///
/// ```
/// use std::num::ParseIntError;
/// use kahn::actor::{ChildSpec, ExitReason};
///
/// let nothing = ChildSpec::thread("nothing", || ());
/// let error = ChildSpec::thread("error", || -> Result<(), ParseIntError> { "x".parse::<u32>().map(drop) });
/// let reason = ChildSpec::thread("reason", || Err(ExitReason::Killed));
/// # let _ = (nothing, error, reason);
/// ```
pub trait Outcome {
    /// Converts the return value into the thread's end.
    ///
    /// # Errors
    ///
    /// Returns the exit reason, if it is not normal.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{ExitReason, Outcome};
    ///
    /// assert!(().into_result().is_ok());
    /// assert!(matches!(Err::<(), _>("x".parse::<u8>().unwrap_err()).into_result(), Err(ExitReason::Failed(_))));
    /// ```
    fn into_result(self) -> Result<(), ExitReason>;
}

impl Outcome for () {
    fn into_result(self) -> Result<(), ExitReason> {
        Ok(())
    }
}

impl<E: Into<ExitReason>> Outcome for Result<(), E> {
    fn into_result(self) -> Result<(), ExitReason> {
        self.map_err(Into::into)
    }
}
