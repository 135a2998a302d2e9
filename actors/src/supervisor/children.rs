//! The children of a supervisor, in their start order.

use core::any::{Any as Typed, type_name};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::child_spec::{ChildKind, ChildSpec, Restart};
use super::strategy::Group;
use crate::address::ActorRef;
use crate::cell::{AnyActor, id_of};
use crate::exit::{ActorId, ExitReason};
use crate::signal::MonitorId;
use crate::supervision::{self, dismiss};
use crate::timers::TimerId;

/// The state of a child, as far as its supervisor knows.
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
    /// The child has started and has not ended.
    Running,
    /// The child waits for its restart.
    Restarting,
    /// The child has ended. It is started again only by a request.
    Stopped,
}

/// A snapshot of a child, as its supervisor sees it.
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
    /// The child's id.
    pub id: Arc<str>,
    /// The id of its actor, which stays the same through restarts.
    pub actor: ActorId,
    /// The kind of the child.
    pub kind: ChildKind,
    /// When the child is restarted.
    pub restart: Restart,
    /// The state of the child.
    pub state: ChildState,
    /// How many times the child was restarted.
    pub restarts: u64,
}

pub(super) struct Child {
    pub(super) spec: ChildSpec,
    pub(super) actor: Box<dyn ErasedChild>,
    /// Set when the child was added while the supervisor ran.
    pub(super) is_dynamic: bool,
    /// Changed by [`Children::enter`] alone.
    state: ChildState,
    /// The supervisor's monitor of the running incarnation. `None` if the child does not run.
    pub(super) monitor: Option<MonitorId>,
    /// When the child last started.
    pub(super) since: Instant,
    /// The number of failures in a row, as the backoff counts them. A start that failed counts as well.
    pub(super) failures: u32,
    pub(super) restarts: u64,
}

impl Child {
    pub(super) fn any(&self) -> &AnyActor {
        self.actor.any()
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

    pub(super) fn state(&self) -> ChildState {
        self.state
    }

    pub(super) fn is_active(&self) -> bool {
        self.state != ChildState::Stopped
    }

    /// Returns one for a significant child that is active, and zero for any other.
    fn significance(&self) -> usize {
        usize::from(self.spec.significant && self.is_active())
    }
}

#[derive(Default)]
pub(super) struct Children {
    /// By number. Numbers only grow, so they are in start order.
    list: BTreeMap<u64, Child>,
    numbers: HashMap<Arc<str>, u64>,
    monitored: HashMap<MonitorId, u64>,
    /// The children that are `Restarting`, and all others. So a step of a restart costs nothing for children that it
    /// does not change.
    waiting: BTreeSet<u64>,
    others: BTreeSet<u64>,
    /// The children whose backoff is not over, and the timers that end it. These children are `Restarting`.
    backing_off: BTreeMap<u64, TimerId>,
    /// The number of significant children that are active.
    significant: usize,
    last: u64,
    /// Set when a stopped child is removed, whatever its restart policy.
    pub(super) removes_stopped: bool,
}

impl Children {
    /// Adds a child, which has not been started, at the end. Returns its number.
    pub(super) fn add(
        &mut self,
        spec: ChildSpec,
        actor: Box<dyn ErasedChild>,
        is_dynamic: bool,
        now: Instant,
    ) -> u64 {
        self.last += 1;
        let child = Child {
            actor,
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
        self.others.insert(self.last);
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

    /// Returns all children, in their order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &Child)> {
        self.list.iter().map(|(number, child)| (*number, child))
    }

    /// Returns the numbers of a group's members that do not wait for their restart, in their order.
    pub(super) fn not_waiting(&self, group: Group) -> Vec<u64> {
        self.others.range(group.numbers()).copied().collect()
    }

    /// Returns the first member of a group that waits for its restart.
    pub(super) fn first_waiting(&self, group: Group) -> Option<u64> {
        self.waiting.range(group.numbers()).next().copied()
    }

    /// Marks a child that does not run as waiting for its restart.
    pub(super) fn set_restarting(&mut self, number: u64) {
        self.enter(number, ChildState::Restarting);
    }

    /// Marks a child as running, under this monitor.
    pub(super) fn set_running(&mut self, number: u64, monitor: Option<MonitorId>, now: Instant) {
        self.enter(number, ChildState::Running);
        let Some(child) = self.list.get_mut(&number) else { return };
        (child.monitor, child.since) = (monitor, now);
        self.monitored.extend(monitor.map(|monitor| (monitor, number)));
    }

    /// Marks the child of this monitor as stopped, and returns its number. Returns `None` if no child has this monitor.
    pub(super) fn set_ended(&mut self, monitor: MonitorId) -> Option<u64> {
        let number = self.monitored.remove(&monitor)?;
        self.enter(number, ChildState::Stopped);
        self.list.get_mut(&number)?.monitor = None;
        Some(number)
    }

    /// Returns whether a significant child is active.
    pub(super) fn has_active_significant(&self) -> bool {
        self.significant > 0
    }

    /// Changes the state of a child, and keeps `significant`, `waiting` and `others` up to date.
    fn enter(&mut self, number: u64, state: ChildState) {
        let Some(child) = self.list.get_mut(&number) else { return };
        let before = child.significance();
        let old = core::mem::replace(&mut child.state, state);
        self.significant = self.significant - before + child.significance();
        match (old == ChildState::Restarting, state == ChildState::Restarting) {
            (false, true) => {
                self.others.remove(&number);
                self.waiting.insert(number);
            }
            (true, false) => {
                self.waiting.remove(&number);
                self.others.insert(number);
            }
            _ => {}
        }
    }

    /// Records the timer that ends the child's backoff.
    pub(super) fn start_backoff(&mut self, number: u64, timer: TimerId) {
        self.backing_off.insert(number, timer);
    }

    /// Ends the child's backoff. Returns its timer, if it was backing off.
    pub(super) fn end_backoff(&mut self, number: u64) -> Option<TimerId> {
        self.backing_off.remove(&number)
    }

    /// Returns whether a member of the group is backing off.
    pub(super) fn is_backing_off(&self, group: Group) -> bool {
        self.backing_off.range(group.numbers()).next().is_some()
    }

    /// Removes the child, and ends it for good.
    pub(super) fn remove(&mut self, number: u64) {
        let Some(child) = self.list.remove(&number) else { return };
        self.waiting.remove(&number);
        self.others.remove(&number);
        self.significant -= child.significance();
        self.numbers.remove(&child.spec.id);
        self.backing_off.remove(&number);
        if let Some(monitor) = child.monitor {
            self.monitored.remove(&monitor);
        }
        child.actor.end_for_good();
    }

    /// Marks a child that does not run as stopped, and resets its count of failures. It is started again only by a
    /// request. If it is temporary, or if stopped children are not kept, it is removed instead.
    pub(super) fn set_stopped(&mut self, number: u64) {
        let Some(child) = self.list.get_mut(&number) else { return };
        if self.removes_stopped || child.spec.restart == Restart::Temporary {
            return self.remove(number);
        }
        child.failures = 0;
        child.actor.close();
        self.enter(number, ChildState::Stopped);
    }
}

impl Drop for Children {
    /// The remaining children were not stopped in order: their supervisor was killed, or panicked.
    fn drop(&mut self) {
        for (_, child) in self.list.iter().rev() {
            dismiss(child.any(), ExitReason::Killed, true);
        }
    }
}

/// A child and its description, for the error of a wrong type. The message types of supervisors are private, so they do
/// not occur in descriptions.
pub(super) struct TypedChild<M: Send + 'static> {
    pub(super) actor: ActorRef<M>,
    pub(super) describe: fn() -> String,
}

pub(super) fn describe_actor<M>() -> String {
    format!("an actor with messages of type {}", type_name::<M>())
}

pub(super) fn describe_thread() -> String {
    "a thread".to_owned()
}

pub(super) fn describe_supervisor() -> String {
    "a supervisor".to_owned()
}

pub(super) fn describe_dynamic_supervisor<Args, M>() -> String {
    let (args, messages) = (type_name::<Args>(), type_name::<M>());
    format!("a dynamic supervisor with arguments of type {args} and messages of type {messages}")
}

/// A supervised actor, with its message type erased.
pub(super) trait ErasedChild: Send {
    fn any(&self) -> &AnyActor;
    /// See [`supervision::close`].
    fn close(&self);
    /// See [`supervision::end_for_good`].
    fn end_for_good(&self);
    /// Returns the `ActorRef` itself, for a downcast.
    fn typed(&self) -> &dyn Typed;
    /// Describes the child's type.
    fn describe(&self) -> String;
}

impl<M: Send + 'static> ErasedChild for TypedChild<M> {
    fn any(&self) -> &AnyActor {
        self.actor.any()
    }

    fn close(&self) {
        supervision::close(self.actor.process());
    }

    fn end_for_good(&self) {
        supervision::end_for_good(self.actor.process());
    }

    fn typed(&self) -> &dyn Typed {
        &self.actor
    }

    fn describe(&self) -> String {
        (self.describe)()
    }
}
