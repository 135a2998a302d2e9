//! Supervisors: actors that start children, and restart them when they fail.
//!
//! The rules are those of Erlang/OTP's [`supervisor`](https://www.erlang.org/doc/apps/stdlib/supervisor.html). A
//! supervisor is an actor. [`supervision`](crate::supervision) holds the operations on a child that only its
//! supervisor may perform.
//!
//! In the order of OTP's `supervisor.erl`:
//!
//! | file | holds |
//! |---|---|
//! | `child_spec` | child specifications |
//! | `children` | the table of children |
//! | `strategy`, `intensity`, `backoff` | which children are restarted, how often, and when: pure functions |
//! | `actor` | the running supervisor: start, requests, restart, shutdown |
//! | `event`, `error` | the events that it reports, and the errors that it returns |
//! | `supervisor_ref` | the reference to a supervisor, and its requests |
//! | `dynamic` | a supervisor of many children of one kind |
//!
//! This file has the settings of a supervisor, and its start.

mod child_spec;
mod children;
mod strategy;
mod intensity;
mod backoff;
mod event;
mod error;
mod actor;
mod supervisor_ref;
mod dynamic;

use core::fmt;
use core::panic::Location;
use core::time::Duration;

use self::actor::SupervisorActor;
pub use self::backoff::Backoff;
pub use self::child_spec::{ChildKind, ChildSpec, Outcome, Restart, Shutdown};
use self::children::Children;
pub use self::children::{ChildInfo, ChildState};
pub use self::dynamic::{DynamicSupervisor, DynamicSupervisorRef};
pub use self::error::{ChildError, StartError};
pub use self::event::Event;
use self::event::Reporter;
use self::intensity::Intensity;
pub use self::strategy::{AutoShutdown, Strategy};
use self::supervisor_ref::Request;
pub use self::supervisor_ref::SupervisorRef;
use crate::address::{ActorRef, Address};
use crate::ask_cycle::wait_as_actor;
use crate::cell::WaitFor;
use crate::exit::ExitReason;
use crate::spawn::{ActorFactory, Builder};
use crate::supervision::start_of;

/// An actor that starts its children in order, restarts them when they end, and stops them in reverse order when it
/// ends itself.
///
/// Build it with its children and start it by [`spawn`](Self::spawn). To make a tree, give it to another supervisor as
/// a child, in a [`ChildSpec`].
///
/// A restart replaces the child's value and keeps everything else: the references stay valid, and the mailbox keeps the
/// messages that have not been handled. The message whose handling failed is not handled again.
///
/// A supervisor ends together with its children in each of these cases:
///
/// - It is stopped.
/// - The last [`SupervisorRef`] to it is dropped, unless it is a child of another supervisor.
/// - Its children fail more often than its [intensity](Self::intensity) allows.
/// - Its [auto-shutdown](Self::auto_shutdown) applies.
///
/// # Examples
///
/// ```
/// use kahn::actor::{Actor, ChildSpec, Context, ExitReason, Reply, Strategy, Supervisor};
///
/// /// Divides, and fails at zero.
/// struct Divider;
/// impl Actor for Divider {
///     type Message = (u32, u32, Reply<u32>);
///     fn handle(&mut self, (a, b, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
///         reply.send(a / b).ok();
///         Ok(())
///     }
/// }
///
/// # std::panic::set_hook(Box::new(|_| {}));
/// let supervisor = Supervisor::new(Strategy::OneForOne)
///     .child(ChildSpec::new("divider", || Divider))
///     .spawn();
/// let divider = supervisor.actor_ref::<(u32, u32, Reply<u32>)>("divider").unwrap();
/// assert!(divider.ask(|reply| (1, 0, reply)).is_err());
/// assert_eq!(divider.ask(|reply| (6, 3, reply)), Ok(2));
/// supervisor.stop();
/// ```
#[must_use = "`spawn` starts it"]
pub struct Supervisor {
    name: Option<String>,
    actor: SupervisorActor,
}

impl Supervisor {
    /// Returns a supervisor without children. It allows one restart within five seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Strategy, Supervisor};
    ///
    /// let supervisor = Supervisor::new(Strategy::OneForAll).spawn();
    /// supervisor.stop();
    /// ```
    #[track_caller]
    pub fn new(strategy: Strategy) -> Supervisor {
        Supervisor {
            name: None,
            actor: SupervisorActor {
                strategy,
                intensity: Intensity::new(1, Duration::from_secs(5)),
                auto: AutoShutdown::Never,
                reporter: Reporter::default(),
                specs: Vec::new(),
                children: Children::default(),
                spawned_at: Location::caller(),
            },
        }
    }

    /// Sets the supervisor's name, which reports show. It is used if the supervisor is started by
    /// [`spawn`](Self::spawn) or [`try_spawn`](Self::try_spawn). A supervisor that is a child is named by the id of its
    /// [`ChildSpec`].
    ///
    /// # Examples
    ///
    /// ```
    /// let supervisor = kahn::actor::Supervisor::default().name("sessions").spawn();
    /// assert_eq!(supervisor.name(), Some("sessions"));
    /// supervisor.stop();
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Supervisor {
        self.name = Some(name.into());
        self
    }

    /// Sets the maximum restart intensity: at most `max` restarts within any period of length `within`. The period
    /// includes both of its ends. One restart more ends the supervisor and all its children with
    /// [`ExitReason::Shutdown`](crate::ExitReason::Shutdown).
    ///
    /// One failure counts once, however many children are restarted for it. A restart whose start fails counts as
    /// another failure. If `max` is above 1000, the period is measured with a precision of a thousandth of `within`: a
    /// restart that is too many by that margin may be allowed, but none is refused that is within the limit.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{ChildSpec, ExitReason, Supervisor};
    ///
    /// // Three restarts are allowed. The fourth ends the supervisor.
    /// let supervisor = Supervisor::default()
    ///     .intensity(3, Duration::from_secs(60))
    ///     .child(ChildSpec::thread("ends", || ()))
    ///     .spawn();
    /// assert!(matches!(supervisor.join(), ExitReason::Shutdown));
    /// ```
    pub fn intensity(mut self, max: usize, within: Duration) -> Supervisor {
        self.actor.intensity = Intensity::new(max, within);
        self
    }

    /// Sets whether the end of [significant](ChildSpec::significant) children ends the supervisor.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{AutoShutdown, ChildSpec, ExitReason, Restart, Supervisor};
    ///
    /// let job = ChildSpec::thread("job", || println!("working")).restart(Restart::Transient).significant(true);
    /// let supervisor = Supervisor::default().auto_shutdown(AutoShutdown::AllSignificant).child(job).spawn();
    /// assert!(matches!(supervisor.join(), ExitReason::Shutdown));
    /// ```
    pub fn auto_shutdown(mut self, auto: AutoShutdown) -> Supervisor {
        self.actor.auto = auto;
        self
    }

    /// Adds a child. Children start in the order in which they are added.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{ChildSpec, Supervisor};
    ///
    /// let supervisor = Supervisor::default()
    ///     .child(ChildSpec::supervisor("first", Supervisor::default))
    ///     .child(ChildSpec::supervisor("second", Supervisor::default))
    ///     .spawn();
    /// assert_eq!(&*supervisor.children()[1].id, "second");
    /// supervisor.stop();
    /// ```
    pub fn child(mut self, spec: ChildSpec) -> Supervisor {
        self.actor.specs.push(spec);
        self
    }

    /// Calls `f` with each event of the children. `f` runs in the supervisor, which handles nothing else meanwhile. A
    /// panic in `f` does not end the supervisor.
    ///
    /// Without this function, events are reported only if the feature `tracing` is enabled: see [`Event`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use kahn::actor::{ChildSpec, Event, Restart, Supervisor};
    ///
    /// let (tx, events) = mpsc::channel();
    /// let supervisor = Supervisor::default()
    ///     .child(ChildSpec::thread("task", || ()).restart(Restart::Transient))
    ///     .on_event(move |event: &Event| drop(tx.send(event.to_string())))
    ///     .spawn();
    /// assert_eq!(events.recv().unwrap(), "task has started");
    /// assert_eq!(events.recv().unwrap(), "task has ended: normal");
    /// supervisor.stop();
    /// ```
    pub fn on_event(mut self, f: impl Fn(&Event) + Send + Sync + 'static) -> Supervisor {
        self.actor.reporter.call(f);
        self
    }
}

impl Supervisor {
    /// Starts the supervisor, then its children in order.
    ///
    /// If a child does not start, the children before it are stopped and the supervisor ends.
    /// [`join`](SupervisorRef::join) then returns the reason. [`try_spawn`](Self::try_spawn) returns it at once.
    ///
    /// # Parks
    ///
    /// Parks until all children have started, or one of them has failed to start.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{ChildSpec, Supervisor};
    ///
    /// let supervisor = Supervisor::default().child(ChildSpec::supervisor("lower", Supervisor::default)).spawn();
    /// assert_eq!(supervisor.children().len(), 1);
    /// supervisor.stop();
    /// ```
    #[track_caller]
    pub fn spawn(self) -> SupervisorRef {
        self.start(|_| {}).0
    }

    /// Starts the supervisor as [`spawn`](Self::spawn) does, and returns an error if a child did not start.
    ///
    /// # Parks
    ///
    /// Parks until all children have started, or one of them has failed to start.
    ///
    /// # Errors
    ///
    /// Returns an error if a child did not start, or if its specification is invalid: two children have the same id, or
    /// a child is significant that must not be.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{ChildSpec, Supervisor};
    ///
    /// let twice = Supervisor::default()
    ///     .child(ChildSpec::thread("task", || ()))
    ///     .child(ChildSpec::thread("task", || ()));
    /// let error = twice.try_spawn().unwrap_err();
    /// assert_eq!(&*error.child, "task");
    /// ```
    #[track_caller]
    pub fn try_spawn(self) -> Result<SupervisorRef, StartError> {
        self.try_spawn_as(|_| {})
    }

    /// Like [`try_spawn`](Self::try_spawn). Calls `prepare` with the supervisor before it can start.
    #[track_caller]
    pub(crate) fn try_spawn_as(self, prepare: impl FnOnce(Address)) -> Result<SupervisorRef, StartError> {
        let (supervisor, started) = self.start(prepare);
        match started {
            Ok(()) => Ok(supervisor),
            Err(reason) => Err(match &reason {
                ExitReason::Failed(error) if error.is::<StartError>() => {
                    error.downcast_ref::<StartError>().expect("just seen").clone()
                }
                _ => StartError { child: "".into(), error: ChildError::Failed(reason) },
            }),
        }
    }

    #[track_caller]
    fn start(mut self, prepare: impl FnOnce(Address)) -> (SupervisorRef, Result<(), ExitReason>) {
        let at = Location::caller();
        self.actor.spawned_at = at;
        let name = self.name.take();
        let builder = name.into_iter().fold(Builder::new(), Builder::name);
        let prepare = |actor: &ActorRef<Request>| prepare(actor.address());
        let actor = builder.start_prepared(ActorFactory::once(self.actor), false, prepare);
        let started = wait_as_actor(actor.any(), WaitFor::Start, || start_of(actor.any(), at));
        (SupervisorRef::new(actor), started)
    }
}

impl Default for Supervisor {
    #[track_caller]
    fn default() -> Supervisor {
        Supervisor::new(Strategy::default())
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("name", &self.name)
            .field("strategy", &self.actor.strategy)
            .field("intensity", &self.actor.intensity)
            .field("auto_shutdown", &self.actor.auto)
            .field("children", &self.actor.specs)
            .finish_non_exhaustive()
    }
}
