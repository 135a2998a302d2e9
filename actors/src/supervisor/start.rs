//! Starting a supervisor.

use super::Supervisor;
use super::error::{ChildError, StartError};
use super::handle::SupervisorRef;
use crate::address::Address;
use crate::ask_cycle::wait_as_actor;
use crate::cell::Goal;
use crate::exit::ExitReason;
use crate::spawn::Builder;
use crate::supervision::start_of;

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

    /// Like [`try_spawn`](Self::try_spawn). Calls `spawned` with the supervisor before it waits for the start.
    #[track_caller]
    pub(crate) fn try_spawn_as(self, spawned: impl FnOnce(Address)) -> Result<SupervisorRef, StartError> {
        let (supervisor, started) = self.start(spawned);
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
    fn start(mut self, spawned: impl FnOnce(Address)) -> (SupervisorRef, Result<(), ExitReason>) {
        let name = self.name.take();
        let builder = name.into_iter().fold(Builder::new(), Builder::name);
        let actor = builder.spawn(self.actor);
        spawned(actor.address());
        let started = wait_as_actor(actor.any(), Goal::Start, || start_of(actor.any()));
        (SupervisorRef::new(actor), started)
    }
}
