//! The events that a supervisor reports.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use kahn_core::wait::run_catching;

use crate::cell::AnyActor;
#[cfg(feature = "tracing")]
use crate::cell::id_of;
#[cfg(feature = "tracing")]
use crate::exit::Called;
use crate::exit::ExitReason;
use crate::lifecycle::with_current;
use crate::panics::catching;
use crate::signal::Down;

/// An event of a supervisor's children.
///
/// Nothing is printed. To receive events, give the supervisor a function by [`on_event`](super::Supervisor::on_event).
///
/// With the feature `tracing`, each event is also logged by that crate. The target is `kahn::supervisor`. The field
/// `supervisor` is the supervisor's name, or its id if it has no name. The message is the event's text. The level is
/// `WARN` if the event [is bad](Self::is_bad), and `DEBUG` otherwise.
///
/// # Examples
///
/// ```
/// use std::sync::mpsc;
/// use kahn::actor::{ChildSpec, Event, ExitReason, Restart, Supervisor};
///
/// let (tx, failures) = mpsc::channel();
/// let job = || Err(ExitReason::failed("no paper"));
/// let supervisor = Supervisor::default()
///     .child(ChildSpec::thread("printer", job).restart(Restart::Temporary))
///     .on_event(move |event| {
///         if let Event::Ended(child, reason) = event
///             && !reason.is_orderly()
///         {
///             let _ = tx.send(format!("{child}: {reason}"));
///         }
///     })
///     .spawn();
/// assert_eq!(failures.recv().unwrap(), "printer: failed: no paper");
/// supervisor.stop();
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A child has started.
    Started(Arc<str>),
    /// A child has failed to start.
    StartFailed(Arc<str>, ExitReason),
    /// A child has ended by itself. The reason holds a panic's message and location. The message that the child was
    /// handling is not handled again.
    Ended(Arc<str>, ExitReason),
    /// A child will be restarted after this delay.
    Restarting(Arc<str>, Duration),
    /// The supervisor has stopped a child, and the child has ended as requested.
    Stopped(Arc<str>, ExitReason),
    /// The supervisor has stopped a child, but the child has ended for another reason: it failed, or had to be killed.
    StoppedBadly(Arc<str>, ExitReason),
    /// The restarts have exceeded the maximum intensity. The supervisor ends.
    GaveUp(Arc<str>, ExitReason),
    /// The end of a significant child ends the supervisor.
    AutoShutdown(Arc<str>),
    /// An actor that is not a child, but was linked to the supervisor, has ended. The supervisor ignores it.
    Unknown(Down),
}

impl Event {
    /// Returns whether the event is a fault.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Event, ExitReason};
    ///
    /// assert!(!Event::Ended("job".into(), ExitReason::Normal).is_bad());
    /// assert!(Event::Ended("job".into(), ExitReason::Killed).is_bad());
    /// ```
    pub fn is_bad(&self) -> bool {
        match self {
            Event::Started(_) | Event::Stopped(..) | Event::AutoShutdown(_) => false,
            Event::Ended(_, reason) => !reason.is_orderly(),
            _ => true,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Started(child) => write!(f, "{child} has started"),
            Event::StartFailed(child, reason) => write!(f, "{child} did not start: {reason}"),
            Event::Ended(child, reason) => write!(f, "{child} has ended: {reason}"),
            Event::Restarting(child, after) if after.is_zero() => write!(f, "{child} is started again"),
            Event::Restarting(child, after) => write!(f, "{child} is started again in {after:?}"),
            Event::Stopped(child, reason) => write!(f, "{child} was stopped: {reason}"),
            Event::StoppedBadly(child, reason) => write!(f, "{child} did not stop as it should: {reason}"),
            Event::GaveUp(child, reason) => {
                write!(f, "{child} fails too often, the supervisor gives up: {reason}")
            }
            Event::AutoShutdown(child) => {
                write!(f, "{child} was significant and has ended, so does its supervisor")
            }
            Event::Unknown(down) => write!(f, "no child: {down}"),
        }
    }
}

/// The destinations of a supervisor's events.
#[derive(Clone, Default)]
pub(super) struct Reporter {
    on_event: Option<Arc<OnEvent>>,
    /// The supervisor's name, or its id if it has no name.
    #[cfg(feature = "tracing")]
    supervisor: String,
}

type OnEvent = dyn Fn(&Event) + Send + Sync;

impl Reporter {
    pub(super) fn call(&mut self, f: impl Fn(&Event) + Send + Sync + 'static) {
        self.on_event = Some(Arc::new(f));
    }

    /// Sets the supervisor whose events these are.
    pub(super) fn name(&mut self, supervisor: &AnyActor) {
        #[cfg(feature = "tracing")]
        {
            self.supervisor = Called(id_of(supervisor), supervisor.name()).to_string();
        }
        let _ = supervisor;
    }

    /// Reports an event. A panic of the user's function must not end the supervisor, so it is caught.
    pub(super) fn report(&self, event: &Event) {
        #[cfg(feature = "tracing")]
        run_catching(|| self.log(event));
        if let Some(f) = &self.on_event {
            // The caller is in the supervisor's turn.
            let told = with_current(|supervisor| catching(supervisor, || f(event)));
            if told.is_none() {
                run_catching(|| f(event));
            }
        }
    }

    #[cfg(feature = "tracing")]
    fn log(&self, event: &Event) {
        let supervisor = &*self.supervisor;
        if event.is_bad() {
            tracing::warn!(target: "kahn::supervisor", supervisor, "{event}");
        } else {
            tracing::debug!(target: "kahn::supervisor", supervisor, "{event}");
        }
    }
}
