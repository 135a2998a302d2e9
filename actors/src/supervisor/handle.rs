//! References to supervisors, and what one can ask of them.

use core::error::Error;
use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use super::Supervisor;
use super::child::{ChildKind, ChildSpec, Kept, Restart};
use super::children::ChildState;
use crate::address::{ActorRef, Address};
use crate::ends::{is_alive, is_inside, join, stop};
use crate::error::AskError;
use crate::exit::{ActorId, ExitReason};
use crate::keeping::start_of;
use crate::slot::Reply;
use crate::spawn::Builder;

/// What a supervisor handles. Made by [`SupervisorRef`] alone.
pub struct Order(pub(super) Command);

pub(super) type Done = Reply<Result<(), ChildError>>;

pub(super) enum Command {
    Start(Box<ChildSpec>, Done),
    Restart(Arc<str>, Done),
    Terminate(Arc<str>, Done),
    Delete(Arc<str>, Done),
    Children(Reply<Vec<ChildInfo>>),
    /// Looks at a child.
    See(Arc<str>, See),
    /// It is time to start this child again, and those that wait with it.
    Again(u64),
}

pub(super) type See = Box<dyn FnOnce(Option<&dyn Kept>) + Send>;

/// A supervisor that runs. It goes on as long as there is such a reference.
///
/// # Examples
///
/// ```
/// use kahn_actors::{Actor, ChildSpec, ChildState, Context, ExitReason, Supervisor};
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
    actor: ActorRef<Order>,
}

/// A child, as its supervisor sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChildInfo {
    /// What it is called.
    pub id: Arc<str>,
    /// The actor's number, which stays the same through restarts.
    pub actor: ActorId,
    /// What kind of child it is.
    pub kind: ChildKind,
    /// When it is started again.
    pub restart: Restart,
    /// What it is doing.
    pub state: ChildState,
    /// How often it was started again.
    pub restarts: u64,
}

/// Why a supervisor did not do what it was asked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ChildError {
    /// It has no child of that id.
    NotFound,
    /// The child runs: terminate it first.
    Running,
    /// The child is being restarted: terminate it first.
    Restarting,
    /// There is a child of that id, which runs.
    AlreadyStarted,
    /// There is a child of that id, which does not run: restart it, or delete it first.
    AlreadyPresent,
    /// A child cannot be significant if its supervisor has no [`AutoShutdown`](super::AutoShutdown).
    SignificantInVain,
    /// A permanent child cannot be significant: it never ends for good.
    SignificantPermanent,
    /// The child did not start, for this reason.
    Failed(ExitReason),
    /// The child takes other messages.
    WrongType {
        /// What was asked for.
        expected: &'static str,
        /// What it takes.
        found: &'static str,
    },
    /// The supervisor has ended.
    Ended,
    /// The supervisor waits for the caller: these wait for each other.
    Deadlock(Vec<String>),
}

impl fmt::Display for ChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChildError::NotFound => f.write_str("the supervisor has no child of that id"),
            ChildError::Running => f.write_str("the child runs; terminate it first"),
            ChildError::Restarting => f.write_str("the child is being restarted; terminate it first"),
            ChildError::AlreadyStarted => f.write_str("there is a child of that id, and it runs"),
            ChildError::AlreadyPresent => {
                f.write_str("there is a child of that id that does not run; restart it, or delete it first")
            }
            ChildError::SignificantInVain => {
                f.write_str("a child is significant only for a supervisor with an auto-shutdown; set one")
            }
            ChildError::SignificantPermanent => {
                f.write_str("a permanent child never ends for good, so it cannot be significant")
            }
            ChildError::Failed(reason) => write!(f, "the child did not start: {reason}"),
            ChildError::WrongType { expected, found } => {
                write!(f, "the child takes messages of type {found}, not {expected}")
            }
            ChildError::Ended => f.write_str("the supervisor has ended"),
            ChildError::Deadlock(names) => {
                write!(f, "the supervisor waits for the caller: {}", names.join(" -> "))
            }
        }
    }
}

impl Error for ChildError {}

/// A supervisor that did not start, because one of its children did not. It is the reason of its end, too.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StartError {
    /// Which child.
    pub child: Arc<str>,
    /// What was wrong with it.
    pub error: ChildError,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "child {:?}: {}", self.child, self.error)
    }
}

impl Error for StartError {}

impl Supervisor {
    /// Starts the supervisor, and its children, in order.
    ///
    /// If one of them does not start, those before it are stopped, and the supervisor has ended:
    /// [`join`](SupervisorRef::join) answers why. [`try_spawn`](Self::try_spawn) answers it at once.
    ///
    /// # Parks
    ///
    /// Until all children have started, or one has not.
    #[track_caller]
    pub fn spawn(self) -> SupervisorRef {
        self.start().0
    }

    /// As [`spawn`](Self::spawn), but answers if a child did not start.
    ///
    /// # Parks
    ///
    /// As `spawn`.
    ///
    /// # Errors
    ///
    /// A child did not start, or cannot be one: two have the same id, or one is significant that cannot be.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn_actors::{ChildSpec, Supervisor};
    ///
    /// let twice = Supervisor::default()
    ///     .child(ChildSpec::thread("task", || ()))
    ///     .child(ChildSpec::thread("task", || ()));
    /// let error = twice.try_spawn().unwrap_err();
    /// assert_eq!(&*error.child, "task");
    /// ```
    #[track_caller]
    pub fn try_spawn(self) -> Result<SupervisorRef, StartError> {
        let (supervisor, started) = self.start();
        match started {
            Ok(()) => Ok(supervisor),
            Err(reason) => Err(match &reason {
                ExitReason::Failed(error) if error.is::<StartError>() => {
                    error.downcast_ref::<StartError>().expect("just seen").clone()
                }
                _ => StartError { child: "supervisor".into(), error: ChildError::Failed(reason) },
            }),
        }
    }

    #[track_caller]
    fn start(mut self) -> (SupervisorRef, Result<(), ExitReason>) {
        let name = self.name.take();
        let builder = name.into_iter().fold(Builder::new(), Builder::name);
        let supervisor = SupervisorRef::of(builder.spawn(self));
        let started = start_of(supervisor.actor.any());
        (supervisor, started)
    }
}

impl SupervisorRef {
    pub(super) fn of(actor: ActorRef<Order>) -> SupervisorRef {
        SupervisorRef { actor }
    }

    #[track_caller]
    fn command<R: Send>(&self, command: impl FnOnce(Reply<R>) -> Command) -> Result<R, ChildError> {
        self.actor.ask_timeout(Duration::MAX, |reply| Order(command(reply))).map_err(|error| match error {
            AskError::Deadlock(names) => ChildError::Deadlock(names),
            _ => ChildError::Ended,
        })
    }

    /// The reference to a child that takes messages of type `M`. It stays valid when the child is restarted.
    ///
    /// # Parks
    ///
    /// Until the supervisor has answered. It may be starting or stopping another child.
    ///
    /// # Errors
    ///
    /// There is no such child; it takes other messages; the supervisor has ended, or waits for the caller.
    #[track_caller]
    pub fn actor_ref<M: Send + 'static>(&self, id: &str) -> Result<ActorRef<M>, ChildError> {
        self.command(|reply: Reply<Result<ActorRef<M>, ChildError>>| {
            let see: See = Box::new(move |child| {
                let found = child.ok_or(ChildError::NotFound).and_then(|child| {
                    child.typed().downcast_ref::<ActorRef<M>>().cloned().ok_or(ChildError::WrongType {
                        expected: core::any::type_name::<M>(),
                        found: child.message_type(),
                    })
                });
                drop(reply.send(found));
            });
            Command::See(id.into(), see)
        })?
    }

    /// The reference to a child that is a supervisor.
    ///
    /// # Parks
    ///
    /// As [`actor_ref`](Self::actor_ref).
    ///
    /// # Errors
    ///
    /// As `actor_ref`.
    #[track_caller]
    pub fn supervisor(&self, id: &str) -> Result<SupervisorRef, ChildError> {
        self.actor_ref(id).map(SupervisorRef::of)
    }

    /// The children, in the order in which they start. None, if the supervisor has ended, or waits for the caller.
    ///
    /// # Parks
    ///
    /// As [`actor_ref`](Self::actor_ref).
    #[track_caller]
    pub fn children(&self) -> Vec<ChildInfo> {
        self.command(Command::Children).unwrap_or_default()
    }

    /// Adds a child behind the others, and starts it.
    ///
    /// # Parks
    ///
    /// Until it has started, or failed to.
    ///
    /// # Errors
    ///
    /// The id is taken; the child did not start, and is not kept; the supervisor has ended, or waits for the caller.
    #[track_caller]
    pub fn start_child(&self, spec: ChildSpec) -> Result<(), ChildError> {
        self.command(|done| Command::Start(Box::new(spec), done))?
    }

    /// Stops a child, by its [`Shutdown`](super::Shutdown). It stays in the list, and its references are those of one
    /// that has ended, until it is [restarted](Self::restart_child). A temporary child goes.
    ///
    /// # Parks
    ///
    /// Until it has ended.
    ///
    /// # Errors
    ///
    /// There is no such child; the supervisor has ended, or waits for the caller.
    #[track_caller]
    pub fn terminate_child(&self, id: &str) -> Result<(), ChildError> {
        self.command(|done| Command::Terminate(id.into(), done))?
    }

    /// Starts a child again that has been stopped. Its references are valid again.
    ///
    /// # Parks
    ///
    /// Until it has started, or failed to.
    ///
    /// # Errors
    ///
    /// There is no such child; it runs, or is being restarted; it did not start; the supervisor has ended, or waits for
    /// the caller.
    #[track_caller]
    pub fn restart_child(&self, id: &str) -> Result<(), ChildError> {
        self.command(|done| Command::Restart(id.into(), done))?
    }

    /// Removes a child that has been stopped.
    ///
    /// # Parks
    ///
    /// As [`actor_ref`](Self::actor_ref).
    ///
    /// # Errors
    ///
    /// There is no such child; it runs, or is being restarted; the supervisor has ended, or waits for the caller.
    #[track_caller]
    pub fn delete_child(&self, id: &str) -> Result<(), ChildError> {
        self.command(|done| Command::Delete(id.into(), done))?
    }

    /// Stops the supervisor, and before it its children, last first.
    ///
    /// # Parks
    ///
    /// Until all have ended; but not in an actor of the tree itself, which could not end then.
    #[track_caller]
    pub fn stop(&self) {
        let actor = self.actor.any();
        stop(actor, ExitReason::Shutdown);
        if !is_inside(actor) {
            join(actor);
        }
    }

    /// Kills the supervisor, and with it its children, in no order.
    pub fn kill(&self) {
        self.actor.kill();
    }

    /// Whether the supervisor has not ended.
    pub fn is_alive(&self) -> bool {
        is_alive(self.actor.any())
    }

    /// Waits for the supervisor's end, and answers why it ended.
    ///
    /// # Parks
    ///
    /// Until then.
    #[track_caller]
    pub fn join(&self) -> ExitReason {
        self.actor.join()
    }

    /// The supervisor, as an actor to be linked to or monitored.
    pub fn address(&self) -> Address {
        self.actor.address()
    }

    /// Its number.
    pub fn id(&self) -> ActorId {
        self.actor.id()
    }

    /// Its name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.actor.name()
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
