//! Messages by topic, sent to the actors that have subscribed to it.

use core::any::Any;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use kahn_core::wait::operation;

use crate::actor::{Actor, Context};
use crate::address::{ActorRef, Address, WeakActorRef};
use crate::cell::{Overflow, id_of};
use crate::dead_letters::{self, Cause};
use crate::error::TellError;
use crate::exit::{ActorId, ExitReason};
use crate::group::Delivered;
use crate::members::Members;
use crate::spawn::Builder;

/// Messages of type `M` by topic: a message that is published under a topic is sent to all actors that have subscribed
/// to it. A clone is the same `PubSub`.
///
/// Publishing never waits for a subscriber. A slow subscriber loses messages, or keeps some of them waiting, depending
/// on its [`Lag`]. The publisher and the other subscribers are not delayed.
///
/// A subscription does not keep its actor running. It ends when the actor ends for good, but not when a supervisor
/// restarts the actor. A topic exists as long as it has subscribers.
///
/// # Examples
///
/// ```
/// use kahn::actor::{Builder, Lag, Mailbox, PubSub};
/// use kahn::channel::bounded;
///
/// enum Order {
///     Price(u32),
/// }
/// impl From<u32> for Order {
///     fn from(price: u32) -> Order {
///         Order::Price(price)
///     }
/// }
/// let (seen, sees) = bounded(1);
/// let trader = Builder::new().spawn_loop(move |mailbox: &mut Mailbox<Order>| {
///     let Order::Price(price) = mailbox.recv()?;
///     Ok(seen.send(price)?)
/// });
///
/// let prices = PubSub::<u32>::new();
/// prices.subscribe("tea", &trader, Lag::Lose);
/// assert_eq!(prices.publish("salt", 3).told, 0);
/// assert_eq!(prices.publish("tea", 7).told, 1);
/// assert_eq!(sees.recv(), Ok(7));
/// ```
pub struct PubSub<M: Send + 'static> {
    topics: Arc<RwLock<Topics<M>>>,
}

/// What happens to a message for a subscriber whose mailbox is full.
///
/// If the mailbox's own [`Overflow`] drops messages, the mailbox is never full for a publisher.
///
/// # Examples
///
/// ```
/// use kahn::actor::{Lag, PubSub, testing::Inbox};
///
/// let news = PubSub::<u32>::new();
/// let mut inbox = Inbox::<u32>::with_capacity(1);
/// news.subscribe("tea", &inbox.actor_ref(), Lag::Lose);
/// assert_eq!((news.publish("tea", 7).told, news.publish("tea", 8).missed), (1, 1), "it lags behind");
/// assert_eq!(inbox.take_all(), [7]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lag {
    /// The subscriber loses the message, which is counted as a dead letter. This is the default.
    #[default]
    Lose,
    /// The message waits until there is room, together with at most this number of other messages. The subscriber loses
    /// further messages, which are counted as dead letters. The messages wait in a helper actor of this subscription.
    /// The helper runs in the runtime of the caller that subscribed.
    Park(usize),
}

struct Topics<M> {
    by_name: HashMap<Box<str>, Arc<Topic<M>>>,
    /// The number of topics at which topics without subscribers are removed.
    sweep_at: usize,
}

struct Topic<M> {
    members: Arc<Members<Subscriber<M>>>,
    /// The routes of actors that have unsubscribed. A route is alive as long as messages wait in it.
    left: Mutex<Left>,
}

#[derive(Default)]
struct Left {
    routes: HashMap<ActorId, Weak<AnyRoute>>,
    /// The number of routes at which dead ones are removed.
    sweep_at: usize,
}

struct Subscriber<M> {
    /// Sends a message to the subscriber, and returns the result.
    tell: Box<dyn Fn(&M) -> Told + Send + Sync>,
    /// A `Route<N>`, where `N` is the type of the subscriber's messages.
    route: Option<Arc<AnyRoute>>,
}

type AnyRoute = dyn Any + Send + Sync;
type MaybeRoute<N> = Option<Arc<Route<N>>>;

type Told = Result<(), TellError<()>>;

const SWEEP_AT_LEAST: usize = 64;

impl<M: Send + 'static> PubSub<M> {
    /// Returns a `PubSub` without subscribers.
    ///
    /// # Examples
    ///
    /// ```
    /// let news = kahn::actor::PubSub::<u32>::new();
    /// assert!(news.topics().is_empty());
    /// ```
    pub fn new() -> PubSub<M> {
        PubSub { topics: Arc::new(RwLock::new(Topics { by_name: HashMap::new(), sweep_at: SWEEP_AT_LEAST })) }
    }

    /// Subscribes an actor to the messages that are published under `topic` from now on. If the actor is subscribed
    /// to the topic already, its `lag` is changed: messages that wait by [`Lag::Park`] stay before later ones, and
    /// with a change to [`Lag::Lose`] the subscriber loses messages until these have been delivered. Returns whether
    /// the subscription is new. An actor that has ended is not subscribed.
    ///
    /// # Panics
    ///
    /// Panics if `lag` is `Park` with a number that [`Builder::mailbox`] does not accept.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Lag, PubSub, testing::Inbox};
    ///
    /// let news = PubSub::<u32>::new();
    /// let mut inbox = Inbox::<u32>::with_capacity(1);
    /// assert!(news.subscribe("tea", &inbox.actor_ref(), Lag::Lose));
    /// news.publish("tea", 7);
    /// assert_eq!(inbox.take(), Some(7));
    /// ```
    #[track_caller]
    pub fn subscribe<N>(&self, topic: &str, actor: &ActorRef<N>, lag: Lag) -> bool
    where
        N: From<M> + Send + 'static,
        M: Clone,
    {
        self.subscribe_with(topic, actor, lag, |message| N::from(message.clone()))
    }

    /// Subscribes an actor as [`subscribe`](Self::subscribe) does, but `f` converts each message for it. `f` runs in
    /// the publisher, and a panic in it is a panic of the publisher.
    ///
    /// # Panics
    ///
    /// Panics if `lag` is `Park` with a number that [`Builder::mailbox`] does not accept.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Lag, PubSub, testing::Inbox};
    ///
    /// let news = PubSub::<u32>::new();
    /// let mut texts = Inbox::<String>::new();
    /// news.subscribe_with("tea", &texts.actor_ref(), Lag::Lose, |price| format!("tea is {price}"));
    /// news.publish("tea", 7);
    /// assert_eq!(texts.take().as_deref(), Some("tea is 7"));
    /// ```
    #[track_caller]
    pub fn subscribe_with<N: Send + 'static>(
        &self,
        topic: &str,
        actor: &ActorRef<N>,
        lag: Lag,
        f: impl Fn(&M) -> N + Send + Sync + 'static,
    ) -> bool {
        operation();
        let topic = self.topic_to_join(topic);
        let room = lag.room();
        let new = (room > 0).then(|| Route::new(actor.downgrade(), room));
        let mut spare = None;
        let is_new = topic.members.join_with(actor.any(), |old| {
            let (route, other) = topic.route(id_of(actor.any()), old, new);
            spare = other;
            if let Some(route) = &route {
                // Relaxed: publishers may see the old room for a moment.
                route.room.store(room, Ordering::Relaxed);
            }
            Subscriber::new(actor.downgrade(), route, f)
        });
        drop(spare);
        is_new
    }

    /// Ends a subscription. Returns whether there was one. Messages that wait for room by `Lag::Park` are still
    /// delivered. If the actor subscribes to the topic again meanwhile, later messages come after these.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Lag, PubSub, testing::Inbox};
    ///
    /// let news = PubSub::<u32>::new();
    /// let mut inbox = Inbox::<u32>::with_capacity(1);
    /// news.subscribe("tea", &inbox.actor_ref(), Lag::Lose);
    /// assert!(news.unsubscribe("tea", &inbox.actor_ref()));
    /// assert_eq!(news.publish("tea", 7).told, 0);
    /// # assert!(inbox.take().is_none());
    /// ```
    pub fn unsubscribe(&self, topic: &str, actor: impl Into<Address>) -> bool {
        self.topic(topic).is_some_and(|topic| topic.leave(actor.into().id()))
    }

    /// Sends a message to all subscribers of `topic`. A message that waits by [`Lag::Park`] counts as told.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Lag, PubSub, testing::Inbox};
    ///
    /// let news = PubSub::<u32>::new();
    /// let mut inbox = Inbox::<u32>::with_capacity(1);
    /// news.subscribe("tea", &inbox.actor_ref(), Lag::Lose);
    /// assert_eq!(news.publish("tea", 7).told, 1);
    /// assert_eq!(inbox.take(), Some(7));
    /// ```
    pub fn publish(&self, topic: &str, message: M) -> Delivered {
        operation();
        let mut delivered = Delivered::default();
        if let Some(topic) = self.topic(topic) {
            for member in topic.members.all().iter() {
                delivered.count(&(member.value.tell)(&message));
            }
        }
        delivered
    }

    /// Returns the number of subscribers of a topic. Takes time proportional to it, for the reason of
    /// [`Group::len`](crate::Group::len).
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Lag, PubSub, testing::Inbox};
    ///
    /// let news = PubSub::<u32>::new();
    /// let mut inbox = Inbox::<u32>::with_capacity(1);
    /// news.subscribe("tea", &inbox.actor_ref(), Lag::Lose);
    /// assert_eq!((news.subscribers("tea"), news.subscribers("salt")), (1, 0));
    /// # assert!(inbox.take().is_none());
    /// ```
    pub fn subscribers(&self, topic: &str) -> usize {
        self.topic(topic).map_or(0, |topic| topic.members.len())
    }

    /// Returns the topics that have subscribers, in no particular order.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Lag, PubSub, testing::Inbox};
    ///
    /// let news = PubSub::<u32>::new();
    /// let mut inbox = Inbox::<u32>::with_capacity(1);
    /// news.subscribe("tea", &inbox.actor_ref(), Lag::Lose);
    /// assert_eq!(news.topics(), ["tea"]);
    /// # assert!(inbox.take().is_none());
    /// ```
    pub fn topics(&self) -> Vec<String> {
        operation();
        self.topics_for_free()
    }

    /// As [`topics`](Self::topics), for `Debug`, which must not yield.
    fn topics_for_free(&self) -> Vec<String> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let live = topics.by_name.iter().filter(|(_, topic)| !topic.members.is_empty());
        live.map(|(name, _)| name.to_string()).collect()
    }

    fn topic(&self, name: &str) -> Option<Arc<Topic<M>>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).by_name.get(name).cloned()
    }

    /// Returns the topic, which is created if needed.
    fn topic_to_join(&self, name: &str) -> Arc<Topic<M>> {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = topics.by_name.get(name) {
            return Arc::clone(topic);
        }
        if topics.by_name.len() >= topics.sweep_at {
            // If another thread holds an empty topic, it may be about to add the first subscriber. Dropping an empty
            // topic runs no user code.
            topics.by_name.retain(|_, topic| !topic.is_vacant() || Arc::strong_count(topic) > 1);
            topics.sweep_at = SWEEP_AT_LEAST.max(2 * topics.by_name.len());
        }
        let topic = Arc::new(Topic::new());
        topics.by_name.insert(name.into(), Arc::clone(&topic));
        topic
    }
}

impl<M: Send + 'static> Topic<M> {
    fn new() -> Topic<M> {
        Topic { members: Arc::new(Members::new()), left: Mutex::default() }
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        // Nothing that panics runs under the lock, so poison is ignored.
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_vacant(&self) -> bool {
        self.members.is_vacant() && self.left().routes.values().all(|route| route.strong_count() == 0)
    }

    fn leave(&self, actor: ActorId) -> bool {
        let Some(member) = self.members.get(actor) else { return false };
        if let Some(route) = &member.value.route {
            // Before the member is removed: a thread that subscribes the actor again finds the route here or there.
            // It is kept even if no message waits in it now, because another thread may be about to publish.
            self.left().add(actor, Arc::downgrade(route));
        }
        self.members.leave(actor)
    }

    /// Returns the route for a subscription that may replace another, and the route that is not needed. A route in use is
    /// kept, so that the messages in it stay before later ones.
    fn route<N: Send + 'static>(
        &self,
        actor: ActorId,
        old: Option<&Subscriber<M>>,
        new: Option<Arc<Route<N>>>,
    ) -> (MaybeRoute<N>, MaybeRoute<N>) {
        let member = old.and_then(|old| old.route.clone());
        let used = member.or_else(|| self.left().routes.remove(&actor)?.upgrade());
        match used.and_then(|route| route.downcast::<Route<N>>().ok()) {
            // The courier ends with its runtime, which may be another one. What it held is gone then.
            Some(used) if used.courier.is_alive() => (Some(used), new),
            used => (new, used),
        }
    }
}

impl Left {
    fn add(&mut self, actor: ActorId, route: Weak<AnyRoute>) {
        if self.routes.len() >= self.sweep_at {
            self.routes.retain(|_, route| route.strong_count() > 0);
            self.sweep_at = SWEEP_AT_LEAST.max(2 * self.routes.len());
        }
        self.routes.insert(actor, route);
    }
}

impl Lag {
    /// Returns how many messages may wait: the message that waits for room, and those behind it. Zero if no message waits.
    ///
    /// # Panics
    ///
    /// Panics if the number is none that [`Builder::mailbox`] accepts.
    #[track_caller]
    fn room(self) -> usize {
        match self {
            Lag::Lose => 0,
            Lag::Park(others) => {
                drop(Builder::new().mailbox(others));
                others.saturating_add(1)
            }
        }
    }
}

impl<M: Send + 'static> Subscriber<M> {
    fn new<N: Send + 'static>(
        actor: WeakActorRef<N>,
        route: Option<Arc<Route<N>>>,
        f: impl Fn(&M) -> N + Send + Sync + 'static,
    ) -> Subscriber<M> {
        let any = route.clone().map(|route| route as Arc<AnyRoute>);
        let tell = move |message: &M| {
            let message = f(message);
            // The courier may be dead although the subscriber is alive: it ends with its runtime, which may be another
            // one.
            match route.as_ref().filter(|route| route.courier.is_alive()) {
                Some(route) => route.tell(message),
                None => tell_now(&actor, message),
            }
        };
        Subscriber { tell: Box::new(tell), route: any }
    }
}

/// Sends a message to an actor, if there is room.
fn tell_now<N: Send + 'static>(actor: &WeakActorRef<N>, message: N) -> Told {
    match actor.upgrade() {
        Some(actor) => pass_on(&actor, |actor| actor.try_tell(message)),
        None => Err(TellError::Dead(())),
    }
}

/// Sends a message to an actor. A message that finds no room is counted as a dead letter.
fn pass_on<N: Send + 'static>(
    actor: &ActorRef<N>,
    tell: impl FnOnce(&ActorRef<N>) -> Result<(), TellError<N>>,
) -> Told {
    tell(actor).map_err(|error| match error {
        TellError::Dead(_) => TellError::Dead(()),
        TellError::Full(_) | TellError::Timeout(_) => {
            dead_letters::note::<N>(actor.any(), Cause::Overflow, 1);
            TellError::Full(())
        }
    })
}

/// The way to a subscriber that has, or had, `Lag::Park`. All its messages go this way, so they stay in order, also
/// when its lag changes.
struct Route<N: Send + 'static> {
    subscriber: WeakActorRef<N>,
    courier: ActorRef<Parcel<N>>,
    /// How many messages may wait. Zero for `Lag::Lose`.
    room: AtomicUsize,
    /// How many messages the courier has, including the message that it is passing on.
    waiting: AtomicUsize,
}

/// A message that waits in the courier. It keeps its route alive, and so the courier's `ActorRef`: the courier of a
/// subscription that is over ends when it has passed on the last message.
struct Parcel<N: Send + 'static> {
    message: N,
    place: Place<N>,
}

/// One of the places in a route. It is given back when the message is in the subscriber's mailbox, or is dropped.
struct Place<N: Send + 'static>(Arc<Route<N>>);

impl<N: Send + 'static> Route<N> {
    fn new(subscriber: WeakActorRef<N>, room: usize) -> Arc<Route<N>> {
        // `room` bounds the number of messages, and can change. So the mailbox is never full.
        let builder = Builder::new().mailbox(1 << 31).overflow(Overflow::Fail);
        let courier = builder.spawn(Courier(subscriber.clone()));
        Arc::new(Route { subscriber, courier, room: AtomicUsize::new(room), waiting: AtomicUsize::new(0) })
    }

    fn tell(self: &Arc<Self>, message: N) -> Told {
        // Relaxed: a change of the lag takes effect a moment later.
        let room = self.room.load(Ordering::Relaxed);
        // Acquire: if the messages before have left the courier, they are in the subscriber's mailbox.
        if room == 0 && self.waiting.load(Ordering::Acquire) == 0 {
            return tell_now(&self.subscriber, message);
        }
        let take = |waiting: usize| (waiting < room).then_some(waiting + 1);
        // Relaxed: the courier's lock orders the messages.
        if self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            dead_letters::note::<N>(self.courier.any(), Cause::Overflow, 1);
            return Err(TellError::Full(()));
        }
        let place = Place(Arc::clone(self));
        self.courier.try_tell(Parcel { message, place }).map_err(|_| TellError::Dead(()))
    }
}

impl<N: Send + 'static> Drop for Place<N> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `tell`. The message is in the subscriber's mailbox.
        self.0.waiting.fetch_sub(1, Ordering::Release);
    }
}

/// The courier: it waits for room in a subscriber's mailbox, with the messages for which there was none.
struct Courier<N: Send + 'static>(WeakActorRef<N>);

impl<N: Send + 'static> Actor for Courier<N> {
    type Message = Parcel<N>;

    fn handle(
        &mut self,
        Parcel { message, place }: Parcel<N>,
        _: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        // Without a subscriber to tell, the message is dropped. Either the subscription ends, and the courier with it,
        // or a supervisor restarts the subscriber.
        if let Some(subscriber) = self.0.upgrade() {
            pass_on(&subscriber, |subscriber| subscriber.tell(message)).ok();
        }
        drop(place);
        Ok(())
    }
}

impl<M: Send + 'static> Clone for PubSub<M> {
    fn clone(&self) -> PubSub<M> {
        PubSub { topics: Arc::clone(&self.topics) }
    }
}

impl<M: Send + 'static> Default for PubSub<M> {
    fn default() -> PubSub<M> {
        PubSub::new()
    }
}

impl<M: Send + 'static> fmt::Debug for PubSub<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSub").field("topics", &self.topics_for_free()).finish()
    }
}

#[cfg(fibers)]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::Mailbox;

    #[test]
    fn topics_without_subscribers_do_not_accumulate() {
        let bus = PubSub::<u32>::new();
        let reader = || {
            Builder::new().spawn_loop(|mailbox: &mut Mailbox<u32>| {
                while mailbox.recv().is_ok() {}
                Ok(())
            })
        };
        let steady = reader();
        for number in 0..2000 {
            let guest = reader();
            bus.subscribe(&format!("guest {number}"), &guest, Lag::Lose);
            if number % 100 == 0 {
                bus.subscribe(&format!("steady {number}"), &steady, Lag::Lose);
            }
            guest.stop();
            guest.join();
        }
        assert!(bus.topics.read().unwrap().by_name.len() <= 2 * SWEEP_AT_LEAST);
        assert_eq!(bus.topics().len(), 20);
    }
}
