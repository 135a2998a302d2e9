//! What a supervisor reports.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use kahn_core::wait::quietly;

use crate::cell::Any;
#[cfg(feature = "tracing")]
use crate::cell::id_of;
#[cfg(feature = "tracing")]
use crate::exit::Called;
use crate::exit::ExitReason;
use crate::signal::Down;

/// Something that has happened to a supervisor's children.
///
/// Nothing is printed. Who wants to know gives the supervisor a function, by
/// [`on_event`](super::Supervisor::on_event); and with the feature `tracing` each event is logged by that crate, with the
/// target `kahn::supervisor`, the field `supervisor` (its name, or else its number) and the event's text as the message:
/// as a warning if it [is bad](Self::is_bad), else for debugging.
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
    /// A child's start has failed.
    StartFailed(Arc<str>, ExitReason),
    /// A child has ended by itself. A panic's message and place are in the reason; the message that it was handling is
    /// not handled again.
    Ended(Arc<str>, ExitReason),
    /// A child will be started again, after this delay.
    Restarting(Arc<str>, Duration),
    /// A child was stopped by its supervisor.
    Stopped(Arc<str>, ExitReason),
    /// A child that its supervisor wanted to stop ended for another reason: it failed, or had to be killed.
    StoppedBadly(Arc<str>, ExitReason),
    /// There were more restarts within the time than the intensity allows: the supervisor ends.
    GaveUp(Arc<str>, ExitReason),
    /// A significant child has ended: the supervisor ends.
    AutoShutdown(Arc<str>),
    /// Somebody that is no child has ended, who was linked to the supervisor. It is ignored.
    Unknown(Down),
}

impl Event {
    /// Whether something is not as it should be.
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

/// Where events go.
#[derive(Clone, Default)]
pub(super) struct Reporter {
    on_event: Option<Arc<OnEvent>>,
    /// Whose they are.
    #[cfg(feature = "tracing")]
    supervisor: String,
}

type OnEvent = dyn Fn(&Event) + Send + Sync;

impl Reporter {
    pub(super) fn call(&mut self, f: impl Fn(&Event) + Send + Sync + 'static) {
        self.on_event = Some(Arc::new(f));
    }

    /// For events of this supervisor.
    pub(super) fn name(&mut self, supervisor: &Any) {
        #[cfg(feature = "tracing")]
        {
            self.supervisor = Called(id_of(supervisor), supervisor.name()).to_string();
        }
        let _ = supervisor;
    }

    /// What is called is a user's code, whose panic is not to end the tree.
    pub(super) fn report(&self, event: &Event) {
        #[cfg(feature = "tracing")]
        quietly(|| self.log(event));
        if let Some(f) = &self.on_event {
            quietly(|| f(event));
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
