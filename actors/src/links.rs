//! Links and monitors, by the rules of OTP.
//!
//! Each side of a link has the other in its list; the actor that links enters the other into its own list first. An
//! actor that ends takes its lists, and tells all actors in them. A signal counts only if its receiver still has the
//! sender in its own list. So after an unlink or a demonitor no signal arrives from the other side, even if it was on
//! its way. No two actors are locked at the same time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use kahn_core::wait::run_shielded_catching;

use crate::cell::{AnyActor, Phase, id_of};
use crate::exit::{ActorId, ExitReason, LinkDied};
use crate::lifecycle::kill_by_link;
use crate::registration::Registration;
use crate::signal::{Down, DownCause, MonitorId};
use crate::unobserved_panics;

static LAST_MONITOR: AtomicU64 = AtomicU64::new(0);

/// Links the caller to `peer`. If `peer` has ended, its exit signal arrives at once.
pub(crate) fn link(me: &AnyActor, peer: &AnyActor) {
    if me.is(peer) {
        return;
    }
    // A peer that is in the list already is linked once more: an `unlink` by the peer, in two steps, may have removed
    // one side of the link only, if it came between the two steps of an earlier `link`.
    let known = me.state.lock().cold().links.insert(id_of(peer), peer.clone());
    drop(known);
    let dead = {
        let mut state = peer.state.lock();
        if state.phase.is_dead() {
            Some(state.reason())
        } else {
            state.cold().links.insert(id_of(me), me.clone());
            None
        }
    };
    if let Some(reason) = dead {
        unobserved_panics::noticed(peer);
        exit(peer, me, &reason);
    }
}

/// Removes a link. Either side may call this.
pub(crate) fn unlink(me: &AnyActor, peer: &AnyActor) {
    for (one, other) in [(me, peer), (peer, me)] {
        drop(forget(one, other));
    }
}

fn forget(one: &AnyActor, other: &AnyActor) -> Option<AnyActor> {
    let mut state = one.state.lock();
    state.cold_if_any()?.links.remove(&id_of(other))
}

/// Sends `to`, which may be linked to `from`, the exit signal of `from`.
pub(crate) fn exit(from: &AnyActor, to: &AnyActor, reason: &ExitReason) {
    let Some(_known) = forget(to, from) else { return };
    let wake_action = {
        let mut state = to.state.lock();
        if !state.traps() {
            None
        } else if state.phase.is_dead() {
            return;
        } else {
            state.cold().downs.push_back(None, down(from, reason, DownCause::Link));
            Some(state.wake_action_urgent())
        }
    };
    match wake_action {
        Some(wake_action) => wake_action.wake(to),
        None if reason.is_normal() => {}
        None => kill_by_link(to, link_died(from, reason)),
    }
}

fn link_died(from: &AnyActor, reason: &ExitReason) -> ExitReason {
    match reason {
        ExitReason::LinkDied(_) => reason.clone(),
        _ => ExitReason::LinkDied(Arc::new(LinkDied {
            id: id_of(from),
            name: from.name().map(Box::from),
            reason: reason.clone(),
        })),
    }
}

fn down(from: &AnyActor, reason: &ExitReason, cause: DownCause) -> Down {
    Down { id: id_of(from), name: from.name().map(Box::from), reason: reason.clone(), cause }
}

/// Monitors `peer` for `me`. If `peer` has ended, `me` is told at once.
pub(crate) fn monitor(me: &AnyActor, peer: &AnyActor) -> MonitorId {
    let id = next_monitor();
    me.state.lock().cold().watches.insert(id, peer.clone());
    let dead = {
        let mut state = peer.state.lock();
        if state.phase.is_dead() {
            Some(state.reason())
        } else {
            state.cold().monitors.insert(id, me.clone());
            None
        }
    };
    if let Some(reason) = dead {
        unobserved_panics::noticed(peer);
        tell_down(peer, me, id, &reason);
    }
    id
}

/// Removes a monitor. A notification from it that has not been handled is removed too.
pub(crate) fn demonitor(me: &AnyActor, id: MonitorId) {
    let (watched, told) = {
        let mut state = me.state.lock();
        let Some(cold) = state.cold_if_any() else { return };
        (cold.watches.remove(&id), cold.downs.remove(id))
    };
    drop(told);
    if let Some(peer) = watched {
        drop(unwatch(&peer, id));
    }
}

/// Removes a monitor from the list of the monitored actor.
fn unwatch(peer: &AnyActor, id: MonitorId) -> Option<AnyActor> {
    peer.state.lock().cold_if_any()?.monitors.remove(&id)
}

fn tell_down(from: &AnyActor, to: &AnyActor, id: MonitorId, reason: &ExitReason) {
    let down = down(from, reason, DownCause::Monitor(id));
    let mut state = to.state.lock();
    let Some(cold) = state.cold_if_any() else { return };
    let Some(watched) = cold.watches.remove(&id) else { return };
    if state.phase.is_dead() {
        return;
    }
    state.cold().downs.push_back(Some(id), down);
    let wake_action = state.wake_action_urgent();
    drop(state);
    drop(watched);
    wake_action.wake(to);
}

/// An actor that is told of an end, or an actor that the ended one monitored.
enum Observer {
    Link(AnyActor),
    Monitor(MonitorId, AnyActor),
    Watch(MonitorId, AnyActor),
}

impl Observer {
    /// Tells the actor, or removes the monitor of the ended actor. Returns whether it told the actor.
    fn tell(self, from: &AnyActor, reason: &ExitReason) -> bool {
        match self {
            Observer::Link(link) => exit(from, &link, reason),
            Observer::Monitor(id, watcher) => tell_down(from, &watcher, id, reason),
            Observer::Watch(id, watched) => {
                drop(unwatch(&watched, id));
                return false;
            }
        }
        true
    }
}

/// The actors to tell of the end of a life, and the monitors to remove.
#[derive(Default)]
pub(crate) struct ExitObservers {
    links: BTreeMap<ActorId, AnyActor>,
    monitors: BTreeMap<MonitorId, AnyActor>,
    watches: BTreeMap<MonitorId, AnyActor>,
}

impl ExitObservers {
    /// Takes the lists of an actor that ends one life and may begin another: they belong to the life that ends.
    #[must_use]
    pub(crate) fn take(state: &mut crate::cell::State) -> ExitObservers {
        state.cold_if_any().map_or_else(ExitObservers::default, |cold| ExitObservers {
            links: core::mem::take(&mut cold.links),
            monitors: core::mem::take(&mut cold.monitors),
            watches: core::mem::take(&mut cold.watches),
        })
    }

    /// Tells all of them. Called with no lock held.
    pub(crate) fn tell(mut self, from: &AnyActor, reason: &ExitReason) {
        while let Some(observer) = next_observer(&mut self.links, &mut self.monitors, &mut self.watches) {
            run_shielded_catching(|| _ = observer.tell(from, reason));
        }
    }
}

/// Tells all observers of the end of `from`, whose end is visible to others, and returns whether there were any. Called
/// with no lock held.
///
/// Each observer stays in its list until it is told. So if this call never returns (its runtime gives up on its stack),
/// a second call tells the rest.
pub(crate) fn tell_all(from: &AnyActor, reason: &ExitReason) -> bool {
    let mut any = false;
    loop {
        let observer = from
            .state
            .lock()
            .cold_if_any()
            .and_then(|cold| next_observer(&mut cold.links, &mut cold.monitors, &mut cold.watches));
        let Some(observer) = observer else { return any };
        run_shielded_catching(|| any |= observer.tell(from, reason));
    }
}

fn next_observer(
    links: &mut BTreeMap<ActorId, AnyActor>,
    monitors: &mut BTreeMap<MonitorId, AnyActor>,
    watches: &mut BTreeMap<MonitorId, AnyActor>,
) -> Option<Observer> {
    if let Some((_, link)) = links.pop_first() {
        return Some(Observer::Link(link));
    }
    if let Some((id, watcher)) = monitors.pop_first() {
        return Some(Observer::Monitor(id, watcher));
    }
    watches.pop_first().map(|(id, watched)| Observer::Watch(id, watched))
}

/// Registers `entry` to be struck when `actor` ends for good, before its monitors are told. If `actor` has ended,
/// strikes it at once.
pub(crate) fn enter(actor: &AnyActor, entry: &Arc<impl Registration + 'static>) {
    {
        let mut state = actor.state.lock();
        let has_ended = match state.phase {
            Phase::Gone | Phase::Dead => true,
            // The supervisor has dismissed it.
            Phase::Between | Phase::Closing | Phase::Closed => state.cold().supervisor.is_none(),
            Phase::New | Phase::Running | Phase::Ending => false,
        };
        if !has_ended {
            let entry: Weak<dyn Registration> = Arc::downgrade(entry) as _;
            return state.cold().entries.add(entry);
        }
    }
    Arc::clone(entry).deregister();
}

/// Makes `supervisor` the supervisor of `child`, which is new: `supervisor` decides when `child` begins.
pub(crate) fn hand_over(supervisor: AnyActor, child: &AnyActor) {
    let mut state = child.state.lock();
    state.phase = Phase::Closed;
    state.cold().supervisor = Some((supervisor, MonitorId(0)));
}

/// Monitors `child` for `supervisor`, until the end of the incarnation that is about to begin. From here on `child`
/// is in phase `New`. If its runtime has given up on `child` meanwhile, it has ended, and `supervisor` is told at
/// once.
pub(crate) fn supervise(supervisor: AnyActor, child: &AnyActor) {
    let id = next_monitor();
    supervisor.state.lock().cold().watches.insert(id, child.clone());
    let mut state = child.state.lock();
    if state.phase.is_final() {
        let reason = state.reason();
        drop(state);
        return tell_down(child, &supervisor, id, &reason);
    }
    state.phase = Phase::New;
    let cold = state.cold();
    cold.monitors.insert(id, supervisor.clone());
    cold.supervisor = Some((supervisor, id));
}

fn next_monitor() -> MonitorId {
    // Relaxed: the number only needs to be unique.
    MonitorId(LAST_MONITOR.fetch_add(1, Ordering::Relaxed) + 1)
}
