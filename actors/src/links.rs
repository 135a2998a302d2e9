//! Links and monitors, by OTP's rules.
//!
//! Both sides of a link have the other in their list, the asker's side first. Whoever ends takes its lists, and tells
//! all in them; a signal counts only if its receiver still has the sender in its own list. So after an unlink, or a
//! demonitor, nothing comes from that side, whatever was on its way. No two actors are locked at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::address::kill;
use crate::cell::{Any, Phase, id_of};
use crate::exit::{ExitReason, LinkDied};
use crate::signal::{Down, DownCause, MonitorId};

static LAST_MONITOR: AtomicU64 = AtomicU64::new(0);

/// Links the caller to `peer`. If that has ended, its exit comes at once.
pub(crate) fn link(me: &Any, peer: &Any) {
    if me.is(peer) {
        return;
    }
    {
        let mut state = me.state.lock();
        let links = &mut state.rare().links;
        if links.iter().any(|known| known.is(peer)) {
            return;
        }
        links.push(peer.clone());
    }
    let dead = {
        let mut state = peer.state.lock();
        if state.phase.is_dead() {
            Some(state.reason())
        } else {
            state.rare().links.push(me.clone());
            None
        }
    };
    if let Some(reason) = dead {
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
    let links = &mut state.rare_if_any()?.links;
    let place = links.iter().position(|known| known.is(other))?;
    Some(links.swap_remove(place))
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
    me.state.lock().rare().watches.push((id, peer.clone()));
    let dead = {
        let mut state = peer.state.lock();
        if state.phase.is_dead() {
            Some(state.reason())
        } else {
            state.rare().monitors.push((me.clone(), id));
            None
        }
    };
    if let Some(reason) = dead {
        tell_down(peer, me, id, &reason);
    }
    id
}

/// Takes a monitor back. What was told by it and has not been handled is taken back, too.
pub(crate) fn demonitor(me: &Any, id: MonitorId) {
    let (watched, told) = {
        let mut state = me.state.lock();
        let Some(rare) = state.rare_if_any() else { return };
        let place = rare.watches.iter().position(|(known, _)| *known == id);
        let watched = place.map(|place| rare.watches.swap_remove(place));
        let told = rare.downs.iter().position(|down| down.cause == DownCause::Monitor(id));
        (watched, told.and_then(|place| rare.downs.remove(place)))
    };
    drop(told);
    if let Some((_, peer)) = watched {
        drop(unwatch(&peer, id));
    }
}

/// Strikes a monitor from the list of whom it watches.
fn unwatch(peer: &Any, id: MonitorId) -> Option<(Any, MonitorId)> {
    let mut state = peer.state.lock();
    let monitors = &mut state.rare_if_any()?.monitors;
    let place = monitors.iter().position(|(_, known)| *known == id)?;
    Some(monitors.swap_remove(place))
}

fn tell_down(from: &Any, to: &Any, id: MonitorId, reason: &ExitReason) {
    let down = down(from, reason, DownCause::Monitor(id));
    let mut state = to.state.lock();
    let Some(rare) = state.rare_if_any() else { return };
    let Some(place) = rare.watches.iter().position(|(known, _)| *known == id) else { return };
    let watched = rare.watches.swap_remove(place);
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
    links: Vec<Any>,
    monitors: Vec<(Any, MonitorId)>,
    watches: Vec<(MonitorId, Any)>,
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

    pub(crate) fn is_empty(&self) -> bool {
        self.links.is_empty() && self.monitors.is_empty() && self.watches.is_empty()
    }

    /// Tells all of them. Called with no lock held.
    pub(crate) fn tell(self, from: &Any, reason: &ExitReason) {
        for link in self.links {
            exit(from, &link, reason);
        }
        for (watcher, id) in self.monitors {
            tell_down(from, &watcher, id, reason);
        }
        for (id, watched) in self.watches {
            drop(unwatch(&watched, id));
        }
    }
}

/// Makes `keeper` the one who decides what follows the ends of `child`, and lets it be told of the next. The child is
/// about to begin an incarnation: it is in phase `New` from here on.
pub(crate) fn keep(keeper: Any, child: &Any) {
    let id = next_monitor();
    keeper.state.lock().rare().watches.push((id, child.clone()));
    let mut state = child.state.lock();
    state.phase = Phase::New;
    let rare = state.rare();
    rare.monitors.push((keeper.clone(), id));
    rare.keeper = Some((keeper, id));
}

fn next_monitor() -> MonitorId {
    // Relaxed: a number.
    MonitorId(LAST_MONITOR.fetch_add(1, Ordering::Relaxed) + 1)
}
