//! Links and monitors, by OTP's rules.
//!
//! Both sides of a link have the other in their list, the asker's side first. Whoever ends takes its lists, and tells
//! all in them; a signal counts only if its receiver still has the sender in its own list. So after an unlink, or a
//! demonitor, nothing comes from that side, whatever was on its way. No two actors are locked at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use kahn_core::wait::unfailing;

use crate::cell::{Any, Phase, id_of};
use crate::ends::kill;
use crate::entry::Entry;
use crate::exit::{ActorId, ExitReason, LinkDied};
use crate::signal::{Down, DownCause, MonitorId};
use crate::unnoticed;

static LAST_MONITOR: AtomicU64 = AtomicU64::new(0);

/// Links the caller to `peer`. If that has ended, its exit comes at once.
pub(crate) fn link(me: &Any, peer: &Any) {
    if me.is(peer) {
        return;
    }
    {
        let mut state = me.state.lock();
        if state.rare().links.insert(id_of(peer), peer.clone()).is_some() {
            return;
        }
    }
    let dead = {
        let mut state = peer.state.lock();
        if state.phase.is_dead() {
            Some(state.reason())
        } else {
            state.rare().links.insert(id_of(me), me.clone());
            None
        }
    };
    if let Some(reason) = dead {
        unnoticed::noticed(peer);
        exit(peer, me, &reason);
    }
}

/// Undoes a link, from either side.
pub(crate) fn unlink(me: &Any, peer: &Any) {
    for (one, other) in [(me, peer), (peer, me)] {
        drop(forget(one, other));
    }
}

fn forget(one: &Any, other: &Any) -> Option<Any> {
    let mut state = one.state.lock();
    state.rare_if_any()?.links.remove(&id_of(other))
}

/// Tells `to` that `from`, which it may be linked to, has ended.
pub(crate) fn exit(from: &Any, to: &Any, reason: &ExitReason) {
    let Some(_known) = forget(to, from) else { return };
    let rouse = {
        let mut state = to.state.lock();
        if !state.traps() {
            None
        } else if state.phase.is_dead() {
            return;
        } else {
            state.rare().downs.push_back(None, down(from, reason, DownCause::Link));
            Some(state.rouse_urgently())
        }
    };
    match rouse {
        Some(rouse) => rouse.wake(to),
        None if reason.is_normal() => {}
        None => kill(to, link_died(from, reason)),
    }
}

fn link_died(from: &Any, reason: &ExitReason) -> ExitReason {
    match reason {
        ExitReason::LinkDied(_) => reason.clone(),
        _ => ExitReason::LinkDied(Arc::new(LinkDied {
            id: id_of(from),
            name: from.name().map(Box::from),
            reason: reason.clone(),
        })),
    }
}

fn down(from: &Any, reason: &ExitReason, cause: DownCause) -> Down {
    Down { id: id_of(from), name: from.name().map(Box::from), reason: reason.clone(), cause }
}

/// Lets `me` be told when `peer` ends; at once, if it has.
pub(crate) fn monitor(me: &Any, peer: &Any) -> MonitorId {
    let id = next_monitor();
    me.state.lock().rare().watches.insert(id, peer.clone());
    let dead = {
        let mut state = peer.state.lock();
        if state.phase.is_dead() {
            Some(state.reason())
        } else {
            state.rare().monitors.insert(id, me.clone());
            None
        }
    };
    if let Some(reason) = dead {
        unnoticed::noticed(peer);
        tell_down(peer, me, id, &reason);
    }
    id
}

/// Takes a monitor back. What was told by it and has not been handled is taken back, too.
pub(crate) fn demonitor(me: &Any, id: MonitorId) {
    let (watched, told) = {
        let mut state = me.state.lock();
        let Some(rare) = state.rare_if_any() else { return };
        (rare.watches.remove(&id), rare.downs.remove(id))
    };
    drop(told);
    if let Some(peer) = watched {
        drop(unwatch(&peer, id));
    }
}

/// Strikes a monitor from the list of whom it watches.
fn unwatch(peer: &Any, id: MonitorId) -> Option<Any> {
    peer.state.lock().rare_if_any()?.monitors.remove(&id)
}

fn tell_down(from: &Any, to: &Any, id: MonitorId, reason: &ExitReason) {
    let down = down(from, reason, DownCause::Monitor(id));
    let mut state = to.state.lock();
    let Some(rare) = state.rare_if_any() else { return };
    let Some(watched) = rare.watches.remove(&id) else { return };
    if state.phase.is_dead() {
        return;
    }
    state.rare().downs.push_back(Some(id), down);
    let rouse = state.rouse_urgently();
    drop(state);
    drop(watched);
    rouse.wake(to);
}

/// One of those who are to learn of an end, or whom the ended one watched.
enum Observer {
    Link(Any),
    Monitor(MonitorId, Any),
    Watch(MonitorId, Any),
}

impl Observer {
    /// Tells it, or takes the monitor back. Returns whether it was told.
    fn tell(self, from: &Any, reason: &ExitReason) -> bool {
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

/// Those who are to learn of an end.
#[derive(Default)]
pub(crate) struct Mourners {
    links: BTreeMap<ActorId, Any>,
    monitors: BTreeMap<MonitorId, Any>,
    watches: BTreeMap<MonitorId, Any>,
}

impl Mourners {
    /// Takes the lists of an actor that ends one life and begins another: they belong to the life that ends.
    #[must_use]
    pub(crate) fn take(state: &mut crate::cell::State) -> Mourners {
        state.rare_if_any().map_or_else(Mourners::default, |rare| Mourners {
            links: core::mem::take(&mut rare.links),
            monitors: core::mem::take(&mut rare.monitors),
            watches: core::mem::take(&mut rare.watches),
        })
    }

    /// Tells all of them. Called with no lock held.
    pub(crate) fn tell(mut self, from: &Any, reason: &ExitReason) {
        while let Some(observer) = next_observer(&mut self.links, &mut self.monitors, &mut self.watches) {
            unfailing(|| _ = observer.tell(from, reason));
        }
    }
}

/// Tells all who are to learn of the end of `from`, which has ended for good, and returns whether there were any. Called with
/// no lock held.
///
/// Each stays in its list until it is its turn. So should this never come back (a stack that its runtime gives up on), a
/// second call tells the rest.
pub(crate) fn tell_all(from: &Any, reason: &ExitReason) -> bool {
    let mut any = false;
    loop {
        let observer = from
            .state
            .lock()
            .rare_if_any()
            .and_then(|rare| next_observer(&mut rare.links, &mut rare.monitors, &mut rare.watches));
        let Some(observer) = observer else { return any };
        unfailing(|| any |= observer.tell(from, reason));
    }
}

fn next_observer(
    links: &mut BTreeMap<ActorId, Any>,
    monitors: &mut BTreeMap<MonitorId, Any>,
    watches: &mut BTreeMap<MonitorId, Any>,
) -> Option<Observer> {
    if let Some((_, link)) = links.pop_first() {
        return Some(Observer::Link(link));
    }
    if let Some((id, watcher)) = monitors.pop_first() {
        return Some(Observer::Monitor(id, watcher));
    }
    watches.pop_first().map(|(id, watched)| Observer::Watch(id, watched))
}

/// Sees to it that `entry` is struck when `actor` ends for good, before those are told who monitor it; at once,
/// if it has.
pub(crate) fn enter(actor: &Any, entry: &Arc<impl Entry + 'static>) {
    {
        let mut state = actor.state.lock();
        let has_ended = match state.phase {
            Phase::Gone | Phase::Dead => true,
            // Its keeper has let go of it.
            Phase::Between | Phase::Closed => state.rare().keeper.is_none(),
            Phase::New | Phase::Running | Phase::Ending => false,
        };
        if !has_ended {
            let entry: Weak<dyn Entry> = Arc::downgrade(entry) as _;
            return state.rare().entries.add(entry);
        }
    }
    Arc::clone(entry).strike();
}

/// Makes `keeper` the one who decides when `child`, which is new, begins.
pub(crate) fn hand_over(keeper: Any, child: &Any) {
    let mut state = child.state.lock();
    state.phase = Phase::Closed;
    state.rare().keeper = Some((keeper, MonitorId(0)));
}

/// Lets `keeper` be told of the next end of `child`. The child is about to begin an incarnation: it is in phase `New` from
/// here on. One that its runtime has given up on meanwhile has ended: the keeper is told at once.
pub(crate) fn keep(keeper: Any, child: &Any) {
    let id = next_monitor();
    keeper.state.lock().rare().watches.insert(id, child.clone());
    let mut state = child.state.lock();
    if state.phase.is_final() {
        let reason = state.reason();
        drop(state);
        return tell_down(child, &keeper, id, &reason);
    }
    state.phase = Phase::New;
    let rare = state.rare();
    rare.monitors.insert(id, keeper.clone());
    rare.keeper = Some((keeper, id));
}

fn next_monitor() -> MonitorId {
    // Relaxed: a number.
    MonitorId(LAST_MONITOR.fetch_add(1, Ordering::Relaxed) + 1)
}
