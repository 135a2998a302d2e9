//! Links and monitors, by OTP's rules.
//!
//! Both sides of a link have the other in their list, the asker's side first. Whoever ends takes its lists, and tells
//! all in them; a signal counts only if its receiver still has the sender in its own list. So after an unlink, or a
//! demonitor, nothing comes from that side, whatever was on its way. No two actors are locked at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

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
            state.rare().downs.push_back(down(from, reason, DownCause::Link));
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
        let watched = rare.watches.remove(&id);
        let told = rare.downs.iter().position(|down| down.cause == DownCause::Monitor(id));
        (watched, told.and_then(|place| rare.downs.remove(place)))
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
    state.rare().downs.push_back(down);
    let rouse = state.rouse_urgently();
    drop(state);
    drop(watched);
    rouse.wake(to);
}

/// Those who are to learn of an end.
#[derive(Default)]
pub(crate) struct Mourners {
    links: BTreeMap<ActorId, Any>,
    monitors: BTreeMap<MonitorId, Any>,
    watches: BTreeMap<MonitorId, Any>,
}

impl Mourners {
    /// Takes the lists of an actor that ends.
    #[must_use]
    pub(crate) fn take(state: &mut crate::cell::State) -> Mourners {
        state.rare_if_any().map_or_else(Mourners::default, |rare| Mourners {
            links: core::mem::take(&mut rare.links),
            monitors: core::mem::take(&mut rare.monitors),
            watches: core::mem::take(&mut rare.watches),
        })
    }

    /// Whether anybody is told.
    pub(crate) fn are_told(&self) -> bool {
        !(self.links.is_empty() && self.monitors.is_empty())
    }

    /// Tells all of them. Called with no lock held.
    pub(crate) fn tell(self, from: &Any, reason: &ExitReason) {
        for link in self.links.into_values() {
            exit(from, &link, reason);
        }
        for (id, watcher) in self.monitors {
            tell_down(from, &watcher, id, reason);
        }
        for (id, watched) in self.watches {
            drop(unwatch(&watched, id));
        }
    }
}

/// Sees to it that `entry` is struck when `actor` ends for good, before those are told who monitor it; at once,
/// if it has.
pub(crate) fn enter(actor: &Any, entry: &Arc<impl Entry + 'static>) {
    {
        let mut state = actor.state.lock();
        if !matches!(state.phase, Phase::Gone | Phase::Dead) {
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
/// here on.
pub(crate) fn keep(keeper: Any, child: &Any) {
    let id = next_monitor();
    keeper.state.lock().rare().watches.insert(id, child.clone());
    let mut state = child.state.lock();
    state.phase = Phase::New;
    let rare = state.rare();
    rare.monitors.insert(id, keeper.clone());
    rare.keeper = Some((keeper, id));
}

fn next_monitor() -> MonitorId {
    // Relaxed: a number.
    MonitorId(LAST_MONITOR.fetch_add(1, Ordering::Relaxed) + 1)
}
