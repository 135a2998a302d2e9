//! References to supervisors. [`asks`](super::asks) holds their requests.

use core::fmt;
use core::time::Duration;

use kahn_core::wait::operation;

use super::error::ChildError;
use super::order::Request;
use crate::address::{ActorRef, Address};
use crate::ask_cycle::wait_as_actor;
use crate::cell::Goal;
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
    let supervisor = supervisor.any();
    let lives = lives(supervisor);
    stop(supervisor, ExitReason::Shutdown);
    if !is_inside(supervisor) {
        wait_as_actor(supervisor, Goal::End, || join_life(supervisor, lives));
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
