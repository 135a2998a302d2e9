//! What a supervisor reports.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use crate::exit::ExitReason;
use crate::signal::Down;
use kahn_core::wait::quietly;

/// Something that has happened to a supervisor's children; see [`Supervisor::on_event`](super::Supervisor::on_event).
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
    /// Somebody that is no child has ended. It is ignored.
    Unknown(Down),
}

impl Event {
    /// Whether something is not as it should be.
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
pub(super) struct Reporter(pub(super) Option<Arc<OnEvent>>);

type OnEvent = dyn Fn(&Event) + Send + Sync;

impl Reporter {
    pub(super) fn report(&self, event: &Event) {
        #[cfg(feature = "tracing")]
        if event.is_bad() {
            tracing::warn!("supervisor: {event}");
        } else {
            tracing::debug!("supervisor: {event}");
        }
        if let Some(f) = &self.0 {
            // A user's code, whose panic is not to end the tree.
            quietly(|| f(event));
        }
    }
}
