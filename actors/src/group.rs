//! Groups of actors that take the same messages.

use core::fmt;
use std::sync::Arc;

use crate::address::{ActorRef, Address, WeakActorRef};
use crate::error::TellError;
use crate::roster::Roster;

/// Actors that take the same messages. Its clones are the same group.
///
/// A group does not keep its members going: one that nobody else refers to ends when it has handled what it has. One
/// that has ended leaves by itself. One that a supervisor starts again stays.
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
    roster: Arc<Roster<WeakActorRef<M>>>,
}

/// What became of a message to many. Those that have ended are in no number.
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
    /// How many were told.
    pub told: usize,
    /// How many were not, because their mailbox was full.
    pub missed: usize,
}

impl<M: Send + 'static> Group<M> {
    /// A group without members.
    ///
    /// # Examples
    ///
    /// ```
    /// let group = kahn::actor::Group::<u32>::new();
    /// assert!(group.is_empty());
    /// ```
    pub fn new() -> Group<M> {
        Group { roster: Arc::new(Roster::new()) }
    }

    /// Adds an actor. Answers whether it is new to the group; one that has ended is not.
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
        self.roster.join(actor.any(), actor.downgrade())
    }

    /// Takes an actor out. Answers whether it was a member.
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
        self.roster.leave(actor.into().id())
    }

    /// Whether an actor is a member.
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
        self.roster.contains(actor.into().id())
    }

    /// The members, in the order in which they were started.
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
        self.roster
            .all()
            .iter()
            .filter_map(|member| member.value.upgrade())
            .filter(ActorRef::is_alive)
            .collect()
    }

    /// How many members there are.
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
        self.roster.len()
    }

    /// Whether there is no member.
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
    /// assert!(group.is_empty(), "who has ended has left");
    /// # group.try_broadcast(1);
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells all the members. Those with room in their mailbox are told first, so one that is slow delays none of them;
    /// after that, the others, as by [`tell`](ActorRef::tell).
    ///
    /// # Parks
    ///
    /// While a member's mailbox is full, if its [`Overflow`](crate::Overflow) is `Park`.
    /// [`try_broadcast`](Self::try_broadcast) never does.
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

    /// Tells all the members that have room for a message.
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
        Group { roster: Arc::clone(&self.roster) }
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
        f.debug_tuple("Group").field(&self.members()).finish()
    }
}
