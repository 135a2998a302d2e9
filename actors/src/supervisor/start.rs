//! Starting a supervisor.

use super::Supervisor;
use super::error::{ChildError, StartError};
use super::handle::SupervisorRef;
use crate::cell::Goal;
use crate::chain::wait_as_actor;
use crate::exit::ExitReason;
use crate::keeping::start_of;
use crate::spawn::Builder;

impl Supervisor {
    /// Starts the supervisor, and its children, in order.
    ///
    /// If one of them does not start, those before it are stopped, and the supervisor has ended:
    /// [`join`](SupervisorRef::join) answers why. [`try_spawn`](Self::try_spawn) answers it at once.
    ///
    /// # Parks
    ///
    /// Until all children have started, or one has not.
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
        let actor = builder.spawn(self);
        let started = wait_as_actor(actor.any(), Goal::Start, || start_of(actor.any()));
        (SupervisorRef::from(actor), started)
    }
}
