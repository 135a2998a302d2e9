//! References to supervisors, and the requests that they send.

use core::fmt;
use core::panic::Location;
use core::time::Duration;
use std::sync::Arc;

use kahn_core::wait::operation;

use super::child_spec::ChildSpec;
use super::children::{
    ChildInfo, ErasedChild, describe_actor, describe_dynamic_supervisor, describe_supervisor,
};
use super::dynamic::DynamicSupervisorRef;
use super::error::ChildError;
use crate::address::{ActorRef, Address};
use crate::ask_cycle::wait_as_actor;
use crate::cell::WaitFor;
use crate::error::AskError;
use crate::exit::{ActorId, ExitReason};
use crate::lifecycle::{is_inside, join_life, lives, stop};
use crate::slot::Reply;

/// A reference to a running supervisor. When the last reference is dropped, the supervisor ends, unless it is a child
/// of another supervisor.
///
/// # Examples
///
/// ```
/// use kahn::actor::{Actor, ChildSpec, ChildState, Context, ExitReason, Supervisor};
///
/// struct Session;
/// impl Actor for Session {
///     type Message = String;
///     fn handle(&mut self, _: String, _: &mut Context<Self>) -> Result<(), ExitReason> {
///         Ok(())
///     }
/// }
///
/// let sessions = Supervisor::default().spawn();
/// sessions.start_child(ChildSpec::new("ann", || Session)).unwrap();
/// let ann = sessions.actor_ref::<String>("ann").unwrap();
/// sessions.terminate_child("ann").unwrap();
/// assert_eq!(sessions.children()[0].state, ChildState::Stopped);
/// assert!(ann.tell("anybody there?".into()).is_err());
/// sessions.restart_child("ann").unwrap();
/// assert!(ann.tell("hello".into()).is_ok());
/// sessions.terminate_child("ann").unwrap();
/// sessions.delete_child("ann").unwrap();
/// assert!(sessions.children().is_empty());
/// sessions.stop();
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SupervisorRef {
    pub(super) actor: ActorRef<Request>,
}

impl SupervisorRef {
    pub(super) fn new(actor: ActorRef<Request>) -> SupervisorRef {
        SupervisorRef { actor }
    }

    /// Stops the children, last first, and then the supervisor.
    ///
    /// # Parks
    ///
    /// Parks until all have ended. An actor of the tree itself does not wait, because the tree could not end then. A
    /// supervisor that is a child of another may be started again by it; `stop` does not wait for that.
    ///
    /// # Examples
    ///
    /// ```
    /// let supervisor = kahn::actor::Supervisor::default().spawn();
    /// supervisor.stop();
    /// assert!(!supervisor.is_alive());
    /// ```
    #[track_caller]
    pub fn stop(&self) {
        stop_and_join(&self.actor);
    }

    /// Kills the supervisor and its children, in no order.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{ExitReason, Supervisor};
    ///
    /// let supervisor = Supervisor::default().spawn();
    /// supervisor.kill();
    /// assert!(matches!(supervisor.join(), ExitReason::Killed));
    /// ```
    pub fn kill(&self) {
        self.actor.kill();
    }

    /// Returns whether the supervisor has not ended yet.
    ///
    /// # Examples
    ///
    /// ```
    /// let supervisor = kahn::actor::Supervisor::default().spawn();
    /// assert!(supervisor.is_alive());
    /// supervisor.stop();
    /// assert!(!supervisor.is_alive());
    /// ```
    pub fn is_alive(&self) -> bool {
        self.actor.is_alive()
    }

    /// Waits for the supervisor's end, and returns its exit reason.
    ///
    /// # Panics
    ///
    /// Panics if the caller is an actor of the tree, which would wait for its own end.
    ///
    /// # Parks
    ///
    /// Parks until the supervisor has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{ChildSpec, ExitReason, Supervisor};
    ///
    /// // Its child ends again and again.
    /// let supervisor = Supervisor::default().child(ChildSpec::thread("ends", || ())).spawn();
    /// assert!(matches!(supervisor.join(), ExitReason::Shutdown));
    /// ```
    #[track_caller]
    pub fn join(&self) -> ExitReason {
        self.actor.join()
    }

    /// Returns the supervisor's address, to link or monitor it.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Builder, Mail, Mailbox, Supervisor};
    ///
    /// let supervisor = Supervisor::default().spawn();
    /// let address = supervisor.address();
    /// let watcher = Builder::new().spawn_loop(move |mailbox: &mut Mailbox<()>| {
    ///     mailbox.monitor(&address);
    ///     assert!(matches!(mailbox.next_mail()?, Mail::Down(_)));
    ///     Ok(())
    /// });
    /// supervisor.stop();
    /// assert!(watcher.join().is_normal());
    /// ```
    pub fn address(&self) -> Address {
        self.actor.address()
    }

    /// Returns the supervisor's id.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::Supervisor;
    ///
    /// let (one, other) = (Supervisor::default().spawn(), Supervisor::default().spawn());
    /// assert_ne!(one.id(), other.id());
    /// # one.stop();
    /// # other.stop();
    /// ```
    pub fn id(&self) -> ActorId {
        self.actor.id()
    }

    /// Returns the supervisor's name, if it was given one.
    ///
    /// # Examples
    ///
    /// ```
    /// let supervisor = kahn::actor::Supervisor::default().spawn();
    /// assert_eq!(supervisor.name(), None);
    /// supervisor.stop();
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.actor.name()
    }
}

impl SupervisorRef {
    /// Returns the reference to a child that takes messages of type `M`. It stays valid when the child is restarted.
    ///
    /// # Parks
    ///
    /// Parks until the supervisor has replied. The supervisor may be starting or stopping another child.
    ///
    /// # Errors
    ///
    /// Returns an error if
    ///
    /// - there is no such child;
    /// - its messages have another type;
    /// - the supervisor has ended, or waits for the caller.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{ChildSpec, Mailbox, Reply, Supervisor};
    ///
    /// let double = ChildSpec::spawn_loop("double", |mailbox: &mut Mailbox<(u32, Reply<u32>)>| {
    ///     loop {
    ///         let (number, reply) = mailbox.recv()?;
    ///         let _ = reply.send(2 * number);
    ///     }
    /// });
    /// let supervisor = Supervisor::default().child(double).spawn();
    /// let double = supervisor.actor_ref::<(u32, Reply<u32>)>("double").unwrap();
    /// assert_eq!(double.ask(|reply| (21, reply)), Ok(42));
    /// assert!(supervisor.actor_ref::<String>("double").is_err());
    /// supervisor.stop();
    /// ```
    #[track_caller]
    pub fn actor_ref<M: Send + 'static>(&self, id: &str) -> Result<ActorRef<M>, ChildError> {
        self.find(id, describe_actor::<M>)
    }

    /// Returns the reference to a child. `expected` describes a child of the requested type.
    #[track_caller]
    fn find<M: Send + 'static>(&self, id: &str, expected: fn() -> String) -> Result<ActorRef<M>, ChildError> {
        request(&self.actor, |reply: Reply<Result<ActorRef<M>, ChildError>>| {
            let inspect: Inspect = Box::new(move |child| {
                let found = child.ok_or(ChildError::NotFound).and_then(|child| {
                    child.typed().downcast_ref::<ActorRef<M>>().cloned().ok_or_else(|| {
                        ChildError::WrongType { expected: expected(), found: child.describe() }
                    })
                });
                drop(reply.send(found));
            });
            Request::Inspect(id.into(), inspect)
        })?
    }

    /// Returns the reference to a child that is a supervisor.
    ///
    /// # Parks
    ///
    /// Parks as [`actor_ref`](Self::actor_ref) does.
    ///
    /// # Errors
    ///
    /// Returns the errors of `actor_ref`.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{ChildSpec, Supervisor};
    ///
    /// let root = Supervisor::default().child(ChildSpec::supervisor("lower", Supervisor::default)).spawn();
    /// let lower = root.supervisor("lower").unwrap();
    /// root.stop();
    /// assert!(!lower.is_alive());
    /// ```
    #[track_caller]
    pub fn supervisor(&self, id: &str) -> Result<SupervisorRef, ChildError> {
        self.find(id, describe_supervisor).map(SupervisorRef::new)
    }

    /// Returns the reference to a child that is a [`DynamicSupervisor`](super::DynamicSupervisor). `Args` is the type
    /// of its children's arguments, and `M` that of their messages.
    ///
    /// # Parks
    ///
    /// Parks as [`actor_ref`](Self::actor_ref) does.
    ///
    /// # Errors
    ///
    /// Returns the errors of `actor_ref`.
    ///
    /// # Examples
    ///
    /// See [`ChildSpec::dynamic_supervisor`].
    #[track_caller]
    pub fn dynamic_supervisor<Args, M>(&self, id: &str) -> Result<DynamicSupervisorRef<Args, M>, ChildError>
    where
        Args: Send + 'static,
        M: Send + 'static,
    {
        self.find(id, describe_dynamic_supervisor::<Args, M>).map(DynamicSupervisorRef::new)
    }

    /// Returns the children, in their start order. Returns an empty vector if the supervisor has ended or waits for the
    /// caller.
    ///
    /// # Parks
    ///
    /// Parks as [`actor_ref`](Self::actor_ref) does.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{ChildSpec, Supervisor};
    ///
    /// let clock = || ChildSpec::thread("clock", || kahn::sleep(Duration::MAX));
    /// let supervisor = Supervisor::default().child(clock()).spawn();
    /// assert_eq!(&*supervisor.children()[0].id, "clock");
    /// supervisor.stop();
    /// assert!(supervisor.children().is_empty());
    /// ```
    #[track_caller]
    pub fn children(&self) -> Vec<ChildInfo> {
        request(&self.actor, Request::Children).unwrap_or_default()
    }

    /// Adds a child after the others, and starts it at once. If other children wait for their restart, and the new
    /// child depends on them by the supervisor's [`Strategy`](super::Strategy), it is stopped when they are started,
    /// and started again in its turn.
    ///
    /// # Parks
    ///
    /// Parks until the child has started or has failed to start.
    ///
    /// # Errors
    ///
    /// Returns an error if
    ///
    /// - the id is taken;
    /// - the child is significant and must not be;
    /// - the child does not start, in which case it is removed;
    /// - the supervisor has ended, or waits for the caller.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{ChildSpec, Supervisor};
    ///
    /// let clock = || ChildSpec::thread("clock", || kahn::sleep(Duration::MAX));
    /// let supervisor = Supervisor::default().spawn();
    /// supervisor.start_child(clock()).unwrap();
    /// assert!(supervisor.start_child(clock()).is_err(), "there is one");
    /// supervisor.stop();
    /// ```
    #[track_caller]
    pub fn start_child(&self, spec: ChildSpec) -> Result<(), ChildError> {
        request(&self.actor, |done| Request::Start(Box::new(spec), done))?
    }

    /// Stops a child as its [`Shutdown`](super::Shutdown) says. The child stays in the list, and its references are
    /// those of an actor that has ended, until it is [restarted](Self::restart_child). A temporary child is removed. A
    /// child that waits for its restart is not restarted any more.
    ///
    /// # Parks
    ///
    /// Parks until the child has ended.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such child, or if the supervisor has ended or waits for the caller.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{ChildSpec, Supervisor};
    ///
    /// let clock = || ChildSpec::thread("clock", || kahn::sleep(Duration::MAX));
    /// let supervisor = Supervisor::default().child(clock()).spawn();
    /// supervisor.terminate_child("clock").unwrap();
    /// assert_eq!(supervisor.children().len(), 1, "it may be started again");
    /// supervisor.stop();
    /// ```
    #[track_caller]
    pub fn terminate_child(&self, id: &str) -> Result<(), ChildError> {
        request(&self.actor, |done| Request::Terminate(id.into(), done))?
    }

    /// Starts a stopped child again. Its references are valid again. It is started at once, as by
    /// [`start_child`](Self::start_child).
    ///
    /// # Parks
    ///
    /// Parks until the child has started or has failed to start.
    ///
    /// # Errors
    ///
    /// Returns an error if
    ///
    /// - there is no such child;
    /// - the child runs, or waits for its restart;
    /// - the child does not start;
    /// - the supervisor has ended, or waits for the caller.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{ChildSpec, Supervisor};
    ///
    /// let clock = || ChildSpec::thread("clock", || kahn::sleep(Duration::MAX));
    /// let supervisor = Supervisor::default().child(clock()).spawn();
    /// assert!(supervisor.restart_child("clock").is_err(), "it runs");
    /// supervisor.terminate_child("clock").unwrap();
    /// supervisor.restart_child("clock").unwrap();
    /// supervisor.stop();
    /// ```
    #[track_caller]
    pub fn restart_child(&self, id: &str) -> Result<(), ChildError> {
        request(&self.actor, |done| Request::Restart(id.into(), done))?
    }

    /// Removes a stopped child.
    ///
    /// # Parks
    ///
    /// Parks as [`actor_ref`](Self::actor_ref) does.
    ///
    /// # Errors
    ///
    /// Returns an error if
    ///
    /// - there is no such child;
    /// - the child runs, or waits for its restart;
    /// - the supervisor has ended, or waits for the caller.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{ChildSpec, Supervisor};
    ///
    /// let clock = || ChildSpec::thread("clock", || kahn::sleep(Duration::MAX));
    /// let supervisor = Supervisor::default().child(clock()).spawn();
    /// assert!(supervisor.delete_child("clock").is_err(), "it runs");
    /// supervisor.terminate_child("clock").unwrap();
    /// supervisor.delete_child("clock").unwrap();
    /// assert!(supervisor.children().is_empty());
    /// supervisor.stop();
    /// ```
    #[track_caller]
    pub fn delete_child(&self, id: &str) -> Result<(), ChildError> {
        request(&self.actor, |done| Request::Delete(id.into(), done))?
    }
}

/// Sends a supervisor of either kind a request, and waits for the reply.
#[track_caller]
pub(super) fn request<R: Send + 'static, T: Send>(
    supervisor: &ActorRef<R>,
    make: impl FnOnce(Reply<T>) -> R,
) -> Result<T, ChildError> {
    supervisor.ask_timeout(Duration::MAX, make).map_err(|error| match error {
        AskError::Deadlock(names) => ChildError::Deadlock(names),
        _ => ChildError::Ended,
    })
}

/// Stops a supervisor of either kind, and waits for the end of its present incarnation, unless the caller is inside its
/// tree.
#[track_caller]
pub(super) fn stop_and_join<R: Send + 'static>(supervisor: &ActorRef<R>) {
    operation();
    let at = Location::caller();
    let supervisor = supervisor.any();
    let lives = lives(supervisor);
    stop(supervisor, ExitReason::Shutdown);
    if !is_inside(supervisor) {
        wait_as_actor(supervisor, WaitFor::End, || join_life(supervisor, lives, at));
    }
}

impl From<&SupervisorRef> for Address {
    fn from(supervisor: &SupervisorRef) -> Address {
        supervisor.address()
    }
}

impl fmt::Debug for SupervisorRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Supervisor{:?}", self.actor)
    }
}

pub(super) type Done = Reply<Result<(), ChildError>>;

pub(super) enum Request {
    Start(Box<ChildSpec>, Done),
    Restart(Arc<str>, Done),
    Terminate(Arc<str>, Done),
    Delete(Arc<str>, Done),
    Children(Reply<Vec<ChildInfo>>),
    /// Calls the function with the child of this id, if there is one.
    Inspect(Arc<str>, Inspect),
    /// The backoff of this child is over: restart it, and the children that wait with it.
    BackoffOver(u64),
}

pub(super) type Inspect = Box<dyn FnOnce(Option<&dyn ErasedChild>) + Send>;
