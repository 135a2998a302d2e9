//! The children of a supervisor, in the order in which they start.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::child::{ChildKind, ChildSpec, Restart};
use super::kept::Kept;
use super::strategy::Group;
use crate::cell::{Any, id_of};
use crate::exit::{ActorId, ExitReason};
use crate::keeping::dismiss;
use crate::signal::MonitorId;
use crate::timers::TimerId;

/// What a child is doing, as far as its supervisor has heard.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use kahn::actor::{Backoff, ChildSpec, ChildState, Supervisor};
///
/// let fails = ChildSpec::thread("fails", || ()).backoff(Backoff::constant(Duration::from_secs(60)));
/// let supervisor = Supervisor::default().child(fails).spawn();
/// while supervisor.children()[0].state == ChildState::Running {
///     kahn::yield_now();
/// }
/// assert_eq!(supervisor.children()[0].state, ChildState::Restarting);
/// supervisor.terminate_child("fails").unwrap();
/// assert_eq!(supervisor.children()[0].state, ChildState::Stopped);
/// supervisor.stop();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChildState {
    /// It has started, and not ended.
    Running,
    /// It is to be started again.
    Restarting,
    /// It has ended, and is started again when it is told to.
    Stopped,
}

/// A child, as its supervisor sees it.
///
/// # Examples
///
/// ```
/// use kahn::actor::{ChildSpec, Supervisor};
///
/// let clock = ChildSpec::thread("clock", || kahn::sleep(std::time::Duration::MAX));
/// let supervisor = Supervisor::default().child(clock).spawn();
/// for child in supervisor.children() {
///     println!("{} ({}): {:?}, {} restarts", child.id, child.actor, child.state, child.restarts);
/// }
/// supervisor.stop();
/// ```
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

pub(super) struct Child {
    pub(super) spec: ChildSpec,
    pub(super) kept: Box<dyn Kept>,
    /// It was added while the supervisor ran.
    pub(super) is_dynamic: bool,
    pub(super) state: ChildState,
    /// The monitor of the incarnation that runs.
    pub(super) monitor: Option<MonitorId>,
    /// When it last started.
    pub(super) since: Instant,
    /// How often it has failed in a row, as its backoff counts; a start that failed is a failure, too.
    pub(super) failures: u32,
    pub(super) restarts: u64,
}

impl Child {
    pub(super) fn any(&self) -> &Any {
        self.kept.any()
    }

    pub(super) fn info(&self) -> ChildInfo {
        ChildInfo {
            id: self.spec.id.clone(),
            actor: id_of(self.any()),
            kind: self.spec.kind,
            restart: self.spec.restart,
            state: self.state,
            restarts: self.restarts,
        }
    }

    pub(super) fn is_active(&self) -> bool {
        self.state != ChildState::Stopped
    }
}

#[derive(Default)]
pub(super) struct Children {
    /// By their numbers, which grow.
    list: BTreeMap<u64, Child>,
    numbers: HashMap<Arc<str>, u64>,
    monitored: HashMap<MonitorId, u64>,
    /// Those whose backoff is not over, and what will tell. They are `Restarting`.
    backing_off: BTreeMap<u64, TimerId>,
    last: u64,
    /// A child that is stopped goes, whatever its policy.
    pub(super) forgets: bool,
}

impl Children {
    /// Adds a child that has not been started, at the end.
    pub(super) fn add(
        &mut self,
        spec: ChildSpec,
        kept: Box<dyn Kept>,
        is_dynamic: bool,
        now: Instant,
    ) -> u64 {
        self.last += 1;
        let child = Child {
            kept,
            is_dynamic,
            state: ChildState::Stopped,
            monitor: None,
            since: now,
            failures: 0,
            restarts: 0,
            spec,
        };
        self.numbers.insert(child.spec.id.clone(), self.last);
        self.list.insert(self.last, child);
        self.last
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn find(&self, id: &str) -> Option<u64> {
        self.numbers.get(id).copied()
    }

    pub(super) fn get(&mut self, number: u64) -> Option<&mut Child> {
        self.list.get_mut(&number)
    }

    /// All, in their order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &Child)> {
        self.list.iter().map(|(number, child)| (*number, child))
    }

    /// Those of a group, in their order.
    pub(super) fn of(&self, group: Group) -> Vec<u64> {
        self.list.range(group.numbers()).map(|(number, _)| *number).collect()
    }

    /// A child runs, under this monitor.
    pub(super) fn runs(&mut self, number: u64, monitor: Option<MonitorId>, now: Instant) {
        let Some(child) = self.list.get_mut(&number) else { return };
        (child.state, child.monitor, child.since) = (ChildState::Running, monitor, now);
        self.monitored.extend(monitor.map(|monitor| (monitor, number)));
    }

    /// Whose end this monitor tells of, which runs no more.
    pub(super) fn ended(&mut self, monitor: MonitorId) -> Option<u64> {
        let number = self.monitored.remove(&monitor)?;
        let child = self.list.get_mut(&number)?;
        (child.state, child.monitor) = (ChildState::Stopped, None);
        Some(number)
    }

    /// A child that is to be started again is not, until this timer says so.
    pub(super) fn backs_off(&mut self, number: u64, timer: TimerId) {
        self.backing_off.insert(number, timer);
    }

    /// The child's backoff is over, or does not matter any more. Answers the timer, if there was one.
    pub(super) fn backed_off(&mut self, number: u64) -> Option<TimerId> {
        self.backing_off.remove(&number)
    }

    /// Whether the backoff of one of a group is not over.
    pub(super) fn is_backing_off(&self, group: Group) -> bool {
        self.backing_off.range(group.numbers()).next().is_some()
    }

    /// Whether the child is to be started again.
    pub(super) fn waits(&self, number: u64) -> bool {
        self.list.get(&number).is_some_and(|child| child.state == ChildState::Restarting)
    }

    /// Takes the child out, and ends it for good.
    pub(super) fn remove(&mut self, number: u64) {
        let Some(child) = self.list.remove(&number) else { return };
        self.numbers.remove(&child.spec.id);
        self.backing_off.remove(&number);
        if let Some(monitor) = child.monitor {
            self.monitored.remove(&monitor);
        }
        child.kept.end_for_good();
    }

    /// A child that does not run stays that way, until somebody starts it. It has failed no more by then.
    pub(super) fn rest(&mut self, number: u64) {
        let Some(child) = self.list.get_mut(&number) else { return };
        if self.forgets || child.spec.restart == Restart::Temporary {
            return self.remove(number);
        }
        (child.state, child.failures) = (ChildState::Stopped, 0);
        child.kept.close();
    }
}

impl Drop for Children {
    /// Those that are left were not stopped in order: their supervisor was killed, or panicked.
    fn drop(&mut self) {
        for (_, child) in self.list.iter().rev() {
            dismiss(child.any(), ExitReason::Killed, true);
        }
    }
}
