//! Groups of actors with the same message type.

use core::fmt;
use std::sync::Arc;

use kahn_core::wait::operation;

use crate::address::{ActorRef, Address, WeakActorRef};
use crate::error::TellError;
use crate::members::Members;

/// A set of actors with the same message type. A clone is the same group.
///
/// A group does not keep its members running: a member without other references ends when it has handled its messages.
/// A member that ends leaves the group. A member that is restarted by its supervisor stays.
///
/// # Examples
///
/// ```
/// use kahn::actor::{Actor, Context, ExitReason, Group, spawn};
/// use kahn::channel::{Sender, bounded};
///
/// struct Listener(Sender<String>);
/// impl Actor for Listener {
///     type Message = String;
///     fn handle(&mut self, news: String, _: &mut Context<Self>) -> Result<(), ExitReason> {
///         Ok(self.0.send(news)?)
///     }
/// }
/// let (heard, hears) = bounded(2);
/// let listeners = [spawn(Listener(heard.clone())), spawn(Listener(heard))];
/// let group: Group<String> = listeners.iter().collect();
///
/// assert_eq!(group.broadcast("it rains".to_string()).told, 2);
/// assert_eq!((hears.recv().unwrap(), hears.recv().unwrap()), ("it rains".into(), "it rains".into()));
///
/// listeners[0].stop();
/// listeners[0].join();
/// assert_eq!(group.members(), [listeners[1].clone()]);
/// ```
pub struct Group<M: Send + 'static> {
    members: Arc<Members<WeakActorRef<M>>>,
}

/// The result of sending a message to several actors. Actors that have ended are not counted.
///
/// # Examples
///
/// ```
/// use kahn::actor::{Group, testing::Inbox};
///
/// let inbox = Inbox::with_capacity(1);
/// let group = Group::new();
/// group.join(&inbox.actor_ref());
/// group.try_broadcast(1);
/// let delivered = group.try_broadcast(2);
/// assert_eq!((delivered.told, delivered.missed), (0, 1), "it was full");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivered {
    /// The number of actors that were told.
    pub told: usize,
    /// The number of actors that were not told because their mailbox was full.
    pub missed: usize,
}

impl<M: Send + 'static> Group<M> {
    /// Returns a group without members.
    ///
    /// # Examples
    ///
    /// ```
    /// let group = kahn::actor::Group::<u32>::new();
    /// assert!(group.is_empty());
    /// ```
    pub fn new() -> Group<M> {
        Group { members: Arc::new(Members::new()) }
    }

    /// Adds an actor. Returns whether it is a new member. An actor that has ended is not added.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Group, testing::Inbox};
    ///
    /// let inbox = Inbox::with_capacity(1);
    /// let group = Group::new();
    /// assert!(group.join(&inbox.actor_ref()));
    /// assert!(!group.join(&inbox.actor_ref()), "it is a member");
    /// # group.try_broadcast(1);
    /// ```
    pub fn join(&self, actor: &ActorRef<M>) -> bool {
        operation();
        self.members.join(actor.any(), actor.downgrade())
    }

    /// Removes an actor. Returns whether it was a member.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Group, testing::Inbox};
    ///
    /// let inbox = Inbox::with_capacity(1);
    /// let group = Group::new();
    /// group.join(&inbox.actor_ref());
    /// assert!(group.leave(&inbox.actor_ref()));
    /// assert_eq!(group.broadcast(1).told, 0);
    /// ```
    pub fn leave(&self, actor: impl Into<Address>) -> bool {
        self.members.leave(actor.into().id())
    }

    /// Returns whether an actor is a member.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Group, testing::Inbox};
    ///
    /// let inbox = Inbox::with_capacity(1);
    /// let group = Group::new();
    /// group.join(&inbox.actor_ref());
    /// assert!(group.contains(&inbox.actor_ref()));
    /// # group.try_broadcast(1);
    /// ```
    pub fn contains(&self, actor: impl Into<Address>) -> bool {
        self.members.contains(actor.into().id())
    }

    /// Returns the members, in the order in which they were started.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Group, testing::Inbox};
    ///
    /// let inbox = Inbox::with_capacity(1);
    /// let group = Group::new();
    /// group.join(&inbox.actor_ref());
    /// group.members()[0].tell("hello").unwrap();
    /// assert_eq!(inbox.len(), 1);
    /// ```
    pub fn members(&self) -> Vec<ActorRef<M>> {
        operation();
        self.members_for_free()
    }

    /// As [`members`](Self::members), for `Debug`, which must not yield.
    fn members_for_free(&self) -> Vec<ActorRef<M>> {
        self.members
            .all()
            .iter()
            .filter_map(|member| member.value.upgrade())
            .filter(ActorRef::is_alive)
            .collect()
    }

    /// Returns the number of members. Takes time proportional to it: a child that its supervisor has terminated stays
    /// in the group for a later restart, and does not count meanwhile, so each member is looked at.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Group, testing::Inbox};
    ///
    /// let inbox = Inbox::with_capacity(1);
    /// let group = Group::new();
    /// group.join(&inbox.actor_ref());
    /// assert_eq!(group.len(), 1);
    /// # group.try_broadcast(1);
    /// ```
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns whether there are no members. Stops at the first member that has not ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Group, testing::Inbox};
    ///
    /// let inbox = Inbox::with_capacity(1);
    /// let group = Group::new();
    /// group.join(&inbox.actor_ref());
    /// drop(inbox);
    /// assert!(group.is_empty(), "members leave when they end");
    /// # group.try_broadcast(1);
    /// ```
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Tells all members. Members with room in their mailbox are told first, so that a slow member does not delay them.
    /// The others are then told one by one, as by [`tell`](ActorRef::tell).
    ///
    /// # Parks
    ///
    /// Parks while a member's mailbox is full, if its [`Overflow`](crate::Overflow) is `Park`.
    /// [`try_broadcast`](Self::try_broadcast) never waits.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Group, testing::Inbox};
    ///
    /// let inbox = Inbox::with_capacity(1);
    /// let group = Group::new();
    /// group.join(&inbox.actor_ref());
    /// assert_eq!(group.broadcast("news").told, 1);
    /// ```
    #[track_caller]
    pub fn broadcast(&self, message: M) -> Delivered
    where
        M: Clone,
    {
        let mut late = Vec::new();
        let mut delivered = self.tell_those_with_room(&message, |actor, message| late.push((actor, message)));
        for (actor, message) in late {
            delivered.count(&actor.tell(message));
        }
        delivered
    }

    /// Tells all members that have room in their mailbox.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Group, testing::Inbox};
    ///
    /// let inbox = Inbox::with_capacity(1);
    /// let group = Group::new();
    /// group.join(&inbox.actor_ref());
    /// assert_eq!(group.try_broadcast("news").told, 1);
    /// assert_eq!(group.try_broadcast("more").missed, 1);
    /// ```
    pub fn try_broadcast(&self, message: M) -> Delivered
    where
        M: Clone,
    {
        let mut missed = 0;
        let delivered = self.tell_those_with_room(&message, |_, _| missed += 1);
        Delivered { missed, ..delivered }
    }

    fn tell_those_with_room(&self, message: &M, mut full: impl FnMut(ActorRef<M>, M)) -> Delivered
    where
        M: Clone,
    {
        let mut delivered = Delivered::default();
        for actor in self.members() {
            match actor.try_tell(message.clone()) {
                Err(TellError::Full(message)) => full(actor, message),
                told => delivered.count(&told),
            }
        }
        delivered
    }
}

impl Delivered {
    pub(crate) fn count<M>(&mut self, told: &Result<(), TellError<M>>) {
        match told {
            Ok(()) => self.told += 1,
            Err(TellError::Dead(_)) => {}
            Err(TellError::Full(_) | TellError::Timeout(_)) => self.missed += 1,
        }
    }
}

impl<M: Send + 'static> Clone for Group<M> {
    fn clone(&self) -> Group<M> {
        Group { members: Arc::clone(&self.members) }
    }
}

impl<M: Send + 'static> Default for Group<M> {
    fn default() -> Group<M> {
        Group::new()
    }
}

impl<'a, M: Send + 'static> FromIterator<&'a ActorRef<M>> for Group<M> {
    fn from_iter<I: IntoIterator<Item = &'a ActorRef<M>>>(actors: I) -> Group<M> {
        let group = Group::new();
        for actor in actors {
            group.join(actor);
        }
        group
    }
}

impl<M: Send + 'static> fmt::Debug for Group<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Group").field(&self.members_for_free()).finish()
    }
}
