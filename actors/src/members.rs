//! A set of actors, each with a value. An actor is a member until it leaves or ends for good.
//!
//! The lock guards the list of members and its copy. No user code runs under it: members are dropped, and their values
//! used, after unlocking. A caller that sends to all members uses the copy. The copy is made on demand, and is valid
//! until the list changes. If the list seldom changes, a use costs one reference count.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::cell::{AnyActor, id_of};
use crate::exit::ActorId;
use crate::lifecycle::is_alive;
use crate::links;
use crate::registration::Registration;

pub(crate) struct Members<T>(Mutex<List<T>>);

pub(crate) type All<T> = Arc<[Arc<Member<T>>]>;

struct List<T> {
    members: BTreeMap<ActorId, Arc<Member<T>>>,
    copy: Option<All<T>>,
}

/// An actor's membership.
pub(crate) struct Member<T> {
    members: Weak<Members<T>>,
    id: ActorId,
    /// The actor. Keeps its memory allocated, but does not keep the actor running.
    actor: AnyActor,
    pub(crate) value: T,
}

impl<T: Send + Sync + 'static> Members<T> {
    pub(crate) fn new() -> Members<T> {
        Members(Mutex::new(List { members: BTreeMap::new(), copy: None }))
    }

    fn list(&self) -> MutexGuard<'_, List<T>> {
        // Nothing that panics runs under the lock, so poison is ignored.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an actor, or replaces its value. Returns whether the actor is a new member. An actor that has ended is not
    /// added.
    pub(crate) fn join(self: &Arc<Self>, actor: &AnyActor, value: T) -> bool {
        self.join_with(actor, |_| value)
    }

    /// Like [`join`](Self::join), with the value that `make` makes from the old one. `make` runs under the lock: it
    /// is not user code, and drops none.
    pub(crate) fn join_with(self: &Arc<Self>, actor: &AnyActor, make: impl FnOnce(Option<&T>) -> T) -> bool {
        let id = id_of(actor);
        if !is_alive(actor) {
            return false;
        }
        let (member, old) = {
            let mut list = self.list();
            let value = make(list.members.get(&id).map(|member| &member.value));
            let member = Arc::new(Member { members: Arc::downgrade(self), id, actor: actor.clone(), value });
            let old = (list.members.insert(id, Arc::clone(&member)), list.copy.take());
            (member, old)
        };
        links::enter(actor, &member);
        old.0.is_none()
    }

    /// Returns an actor's membership.
    pub(crate) fn get(&self, id: ActorId) -> Option<Arc<Member<T>>> {
        self.list().members.get(&id).cloned()
    }

    /// Removes an actor. Returns whether it was a member.
    pub(crate) fn leave(&self, id: ActorId) -> bool {
        self.remove(id, |_| true)
    }

    fn remove(&self, id: ActorId, is_meant: impl FnOnce(&Arc<Member<T>>) -> bool) -> bool {
        let mut list = self.list();
        if !list.members.get(&id).is_some_and(is_meant) {
            return false;
        }
        let old = (list.members.remove(&id), list.copy.take());
        drop(list);
        drop(old);
        true
    }

    /// Returns whether an actor that has not ended is a member. A closed actor counts as ended. If its supervisor
    /// restarts it, it counts as a member again.
    pub(crate) fn contains(&self, id: ActorId) -> bool {
        self.get(id).is_some_and(|member| is_alive(&member.actor))
    }

    /// Returns the number of members that have not ended.
    pub(crate) fn len(&self) -> usize {
        self.all().iter().filter(|member| is_alive(&member.actor)).count()
    }

    /// Returns whether all members have ended. Mostly the first has not.
    pub(crate) fn is_empty(&self) -> bool {
        !self.all().iter().any(|member| is_alive(&member.actor))
    }

    /// Returns whether there are no members. Closed actors, which may be restarted, count as members.
    pub(crate) fn is_vacant(&self) -> bool {
        self.list().members.is_empty()
    }

    /// Returns the members, in the order in which the actors were started.
    pub(crate) fn all(&self) -> All<T> {
        let mut list = self.list();
        let List { members, copy } = &mut *list;
        Arc::clone(copy.get_or_insert_with(|| members.values().cloned().collect()))
    }
}

impl<T: Send + Sync + 'static> Registration for Member<T> {
    fn deregister(self: Arc<Self>) {
        if let Some(members) = self.members.upgrade() {
            // The actor may have joined again with another value. That membership stays.
            members.remove(self.id, |member| Arc::ptr_eq(member, &self));
        }
    }
}
