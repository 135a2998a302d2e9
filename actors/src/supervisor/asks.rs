//! The requests that a supervisor offers.

use super::child::ChildSpec;
use super::children::ChildInfo;
use super::dynamic::DynamicSupervisorRef;
use super::error::ChildError;
use super::handle::{SupervisorRef, request};
use super::order::{Inspect, Request};
use crate::address::ActorRef;
use crate::slot::Reply;

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
        request(&self.actor, |reply: Reply<Result<ActorRef<M>, ChildError>>| {
            let inspect: Inspect = Box::new(move |child| {
                let found = child.ok_or(ChildError::NotFound).and_then(|child| {
                    child.typed().downcast_ref::<ActorRef<M>>().cloned().ok_or(ChildError::WrongType {
                        expected: core::any::type_name::<M>(),
                        found: child.message_type(),
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
        self.actor_ref(id).map(SupervisorRef::new)
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
        self.actor_ref(id).map(DynamicSupervisorRef::new)
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
