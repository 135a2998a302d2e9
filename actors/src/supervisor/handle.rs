//! References to supervisors, and what one can ask of them.

use core::fmt;
use core::time::Duration;

use super::child::ChildSpec;
use super::children::ChildInfo;
use super::error::ChildError;
use super::order::{Command, Order, See};
use crate::address::{ActorRef, Address};
use crate::ends::{is_alive, is_inside, join, stop};
use crate::error::AskError;
use crate::exit::{ActorId, ExitReason};
use crate::slot::Reply;

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

impl SupervisorRef {
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
        self.actor_ref(id).map(SupervisorRef::from)
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

/// For a supervisor that was started as any actor is.
///
/// # Examples
///
/// ```
/// use kahn_actors::{Builder, ChildSpec, Supervisor, SupervisorRef};
///
/// let spec = ChildSpec::thread("task", || kahn_core::sleep(std::time::Duration::MAX));
/// let actor = Builder::new().name("tasks").spawn(Supervisor::default().child(spec));
/// let tasks = SupervisorRef::from(actor);
/// assert_eq!(tasks.children().len(), 1);
/// tasks.stop();
/// ```
impl From<ActorRef<Order>> for SupervisorRef {
    fn from(actor: ActorRef<Order>) -> SupervisorRef {
        SupervisorRef { actor }
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
