//! Names of actors, for the whole process or in a separate [`Registry`].
//!
//! A name is a reference: a registered actor continues to run without other references. An actor loses its names when
//! it ends for good, but keeps them when a supervisor restarts it.
//!
//! # Examples
//!
//! ```
//! use kahn::actor::{Actor, Context, ExitReason, Reply, registry, spawn};
//!
//! struct Doubler;
//! impl Actor for Doubler {
//!     type Message = (u32, Reply<u32>);
//!     fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
//!         let _ = reply.send(2 * n);
//!         Ok(())
//!     }
//! }
//! registry::register("doubler", spawn(Doubler)).unwrap();
//!
//! let doubler = registry::whereis::<(u32, Reply<u32>)>("doubler").unwrap();
//! assert_eq!(doubler.ask(|reply| (21, reply)), Ok(42));
//! assert!(registry::whereis::<String>("doubler").is_err());
//!
//! doubler.stop();
//! doubler.join();
//! registry::register("doubler", spawn(Doubler)).unwrap();
//! ```

use core::any::{Any as Typed, type_name};
use core::borrow::Borrow;
use core::error::Error;
use core::fmt;
use std::collections::HashMap;
use std::collections::hash_map::{self, RandomState};
use std::hash::BuildHasher;
use std::sync::{Arc, LazyLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use kahn_core::wait::operation;

use crate::address::{ActorRef, Address};
use crate::exit::{ActorId, Called};
use crate::links;
use crate::registration::Registration;

/// The number of shards. With this many, concurrent look-ups seldom use the same lock, and those that do share it.
const SHARDS: usize = 32;

static PROCESS: LazyLock<Registry> = LazyLock::new(Registry::new);

/// Registers an actor under a name in the process. See [`Registry::register`].
///
/// # Errors
///
/// Returns the errors of `Registry::register`.
///
/// # Examples
///
/// ```
/// use kahn::actor::registry;
/// use kahn::actor::testing::Inbox;
///
/// let inbox = Inbox::<u32>::new();
/// registry::register("an example of register", &inbox.actor_ref()).unwrap();
/// assert!(registry::whereis::<u32>("an example of register").is_ok());
/// ```
pub fn register<M: Send + 'static>(
    name: impl Into<String>,
    actor: impl Borrow<ActorRef<M>>,
) -> Result<(), RegisterError> {
    PROCESS.register(name, actor)
}

/// Removes a name from the process. See [`Registry::unregister`].
///
/// # Examples
///
/// ```
/// use kahn::actor::registry;
/// use kahn::actor::testing::Inbox;
///
/// let inbox = Inbox::<u32>::new();
/// registry::register("an example of unregister", &inbox.actor_ref()).unwrap();
/// assert!(registry::unregister("an example of unregister"));
/// ```
pub fn unregister(name: &str) -> bool {
    PROCESS.unregister(name)
}

/// Returns the actor with a name in the process. See [`Registry::whereis`].
///
/// # Errors
///
/// Returns the errors of `Registry::whereis`.
///
/// # Examples
///
/// ```
/// use kahn::actor::registry;
/// use kahn::actor::testing::Inbox;
///
/// let inbox = Inbox::<u32>::new();
/// registry::register("an example of whereis", &inbox.actor_ref()).unwrap();
/// registry::whereis("an example of whereis").unwrap().tell(7_u32).unwrap();
/// assert_eq!(inbox.len(), 1);
/// ```
pub fn whereis<M: Send + 'static>(name: &str) -> Result<ActorRef<M>, WhereisError> {
    PROCESS.whereis(name)
}

/// Returns the names in the process. See [`Registry::names`].
///
/// # Examples
///
/// ```
/// use kahn::actor::registry;
/// use kahn::actor::testing::Inbox;
///
/// let inbox = Inbox::<u32>::new();
/// registry::register("an example of names", &inbox.actor_ref()).unwrap();
/// assert!(registry::names().iter().any(|name| name == "an example of names"));
/// ```
pub fn names() -> Vec<String> {
    PROCESS.names()
}

/// Names of actors. A clone is the same registry. Dropping the last one drops the names.
///
/// # Examples
///
/// ```
/// use kahn::actor::registry::Registry;
/// use kahn::actor::testing::Inbox;
///
/// let names = Registry::new();
/// let inbox = Inbox::<u32>::new();
/// names.register("numbers", &inbox.actor_ref()).unwrap();
/// names.whereis::<u32>("numbers").unwrap().tell(7).unwrap();
/// assert_eq!(inbox.len(), 1);
/// ```
#[derive(Clone)]
pub struct Registry(Arc<Shards>);

struct Shards {
    hasher: RandomState,
    shards: [Shard; SHARDS],
}

type Shard = RwLock<HashMap<Arc<str>, Arc<Named>>>;
type Names = HashMap<Arc<str>, Arc<Named>>;

/// A registered name. Under a shard's lock only reference counts change. Removed names are dropped after unlocking.
struct Named {
    registry: Weak<Shards>,
    name: Arc<str>,
    address: Address,
    /// The `ActorRef`.
    actor: Box<dyn Typed + Send + Sync>,
    message_type: &'static str,
}

impl Registry {
    /// Returns a separate registry, without names.
    ///
    /// # Examples
    ///
    /// ```
    /// let names = kahn::actor::registry::Registry::new();
    /// assert!(names.names().is_empty());
    /// ```
    pub fn new() -> Registry {
        let shards = core::array::from_fn(|_| Shard::default());
        Registry(Arc::new(Shards { hasher: RandomState::new(), shards }))
    }

    /// Registers an actor under a name. An actor may have several names.
    ///
    /// # Errors
    ///
    /// Returns an error if the name is taken, or if the actor has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::registry::Registry;
    /// use kahn::actor::testing::Inbox;
    ///
    /// let names = Registry::new();
    /// let inbox = Inbox::<u32>::new();
    /// names.register("numbers", &inbox.actor_ref()).unwrap();
    /// assert!(names.register("numbers", &inbox.actor_ref()).is_err(), "it is taken");
    /// ```
    pub fn register<M: Send + 'static>(
        &self,
        name: impl Into<String>,
        actor: impl Borrow<ActorRef<M>>,
    ) -> Result<(), RegisterError> {
        operation();
        let actor = actor.borrow();
        let name: Arc<str> = name.into().into();
        let address = actor.address();
        if !address.is_alive() {
            return Err(RegisterError::Dead { name: name.as_ref().into() });
        }
        let named = Arc::new(Named {
            registry: Arc::downgrade(&self.0),
            name: Arc::clone(&name),
            address,
            actor: Box::new(actor.clone()),
            message_type: type_name::<M>(),
        });
        let taken = match self.0.write(&name).entry(name) {
            hash_map::Entry::Occupied(mut place) if !place.get().address.is_alive() => {
                Ok(Some(place.insert(Arc::clone(&named))))
            }
            hash_map::Entry::Occupied(place) => Err(Arc::clone(place.get())),
            hash_map::Entry::Vacant(place) => {
                place.insert(Arc::clone(&named));
                Ok(None)
            }
        };
        match taken {
            Ok(_the_dead) => {
                links::enter(&named.address.process, &named);
                Ok(())
            }
            Err(holder) => Err(RegisterError::Taken {
                name: named.name.as_ref().into(),
                by: holder.address.id(),
                by_name: holder.address.name().map(Box::from),
            }),
        }
    }

    /// Removes a name, whichever actor has it. Returns whether a living actor had it.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::registry::Registry;
    /// use kahn::actor::testing::Inbox;
    ///
    /// let names = Registry::new();
    /// let inbox = Inbox::<u32>::new();
    /// names.register("numbers", &inbox.actor_ref()).unwrap();
    /// assert!(names.unregister("numbers"));
    /// assert!(names.address("numbers").is_none());
    /// ```
    pub fn unregister(&self, name: &str) -> bool {
        let gone = self.0.write(name).remove(name);
        gone.is_some_and(|named| named.address.is_alive())
    }

    /// Returns the actor with this name, if its message type is `M`.
    ///
    /// # Errors
    ///
    /// Returns an error if no actor has the name, or if the actor's messages have another type.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::registry::Registry;
    /// use kahn::actor::testing::Inbox;
    ///
    /// let names = Registry::new();
    /// let inbox = Inbox::<u32>::new();
    /// names.register("numbers", &inbox.actor_ref()).unwrap();
    /// assert_eq!(names.whereis::<u32>("numbers").unwrap(), inbox.actor_ref());
    /// ```
    pub fn whereis<M: Send + 'static>(&self, name: &str) -> Result<ActorRef<M>, WhereisError> {
        operation();
        let named = self.0.find(name).ok_or_else(|| WhereisError::NotFound { name: name.into() })?;
        named.actor.downcast_ref::<ActorRef<M>>().cloned().ok_or_else(|| WhereisError::WrongType {
            name: name.into(),
            expected: type_name::<M>(),
            found: named.message_type,
        })
    }

    /// Returns the address of the actor with this name, whatever its message type.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::registry::Registry;
    /// use kahn::actor::testing::Inbox;
    ///
    /// let names = Registry::new();
    /// let inbox = Inbox::<u32>::new();
    /// names.register("numbers", &inbox.actor_ref()).unwrap();
    /// assert_eq!(names.address("numbers"), Some(inbox.actor_ref().address()));
    /// ```
    pub fn address(&self, name: &str) -> Option<Address> {
        operation();
        self.0.find(name).map(|named| named.address.clone())
    }

    /// Returns the names, in no particular order.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::registry::Registry;
    /// use kahn::actor::testing::Inbox;
    ///
    /// let names = Registry::new();
    /// let inbox = Inbox::<u32>::new();
    /// names.register("numbers", &inbox.actor_ref()).unwrap();
    /// assert_eq!(names.names(), ["numbers"]);
    /// ```
    pub fn names(&self) -> Vec<String> {
        operation();
        self.names_for_free()
    }

    /// As [`names`](Self::names), for `Debug`, which must not yield.
    fn names_for_free(&self) -> Vec<String> {
        let mut all = Vec::new();
        for shard in &self.0.shards {
            // The shard is copied, so that no actor's lock is taken under the shard's.
            let names: Vec<Arc<Named>> = read(shard).values().cloned().collect();
            all.extend(
                names.iter().filter(|named| named.address.is_alive()).map(|named| named.name.to_string()),
            );
        }
        all
    }
}

fn read(shard: &Shard) -> RwLockReadGuard<'_, Names> {
    // Nothing that panics runs under the lock, so poison is ignored.
    shard.read().unwrap_or_else(PoisonError::into_inner)
}

impl Shards {
    fn shard(&self, name: &str) -> &Shard {
        &self.shards[self.hasher.hash_one(name) as usize % SHARDS]
    }

    fn write(&self, name: &str) -> RwLockWriteGuard<'_, Names> {
        self.shard(name).write().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, name: &str) -> Option<Arc<Named>> {
        let named = read(self.shard(name)).get(name).cloned();
        named.filter(|named| named.address.is_alive())
    }
}

impl Registration for Named {
    fn deregister(self: Arc<Self>) {
        let Some(shards) = self.registry.upgrade() else { return };
        let mut names = shards.write(&self.name);
        // Another actor may have taken the name since. That registration stays.
        let gone = if names.get(&self.name).is_some_and(|named| Arc::ptr_eq(named, &self)) {
            names.remove(&self.name)
        } else {
            None
        };
        drop(names);
        drop(gone);
    }
}

/// The error of registering a name.
///
/// # Examples
///
/// ```
/// use kahn::actor::registry::{RegisterError, Registry};
/// use kahn::actor::testing::Inbox;
///
/// let names = Registry::new();
/// let inbox = Inbox::<u32>::new();
/// names.register("numbers", &inbox.actor_ref()).unwrap();
/// let again = names.register("numbers", &inbox.actor_ref());
/// assert!(matches!(again, Err(RegisterError::Taken { .. })));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterError {
    /// Another actor has the name, or this actor has it already.
    #[non_exhaustive]
    Taken {
        /// The name.
        name: Box<str>,
        /// The id of the actor that has it.
        by: ActorId,
        /// The name of that actor in reports.
        by_name: Option<Box<str>>,
    },
    /// The actor has ended.
    #[non_exhaustive]
    Dead {
        /// The name.
        name: Box<str>,
    },
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegisterError::Taken { name, by, by_name } => {
                let by = Called(*by, by_name.as_deref());
                write!(f, "the name {name:?} is taken by {by}; unregister it first, or choose another name")
            }
            RegisterError::Dead { name } => {
                write!(f, "the actor that is to be registered as {name:?} has ended")
            }
        }
    }
}

impl Error for RegisterError {}

/// The error of looking up a name.
///
/// # Examples
///
/// ```
/// use kahn::actor::registry::{Registry, WhereisError};
/// use kahn::actor::testing::Inbox;
///
/// let names = Registry::new();
/// let inbox = Inbox::<u32>::new();
/// names.register("numbers", &inbox.actor_ref()).unwrap();
/// assert!(matches!(names.whereis::<u32>("texts"), Err(WhereisError::NotFound { .. })));
/// assert!(matches!(names.whereis::<String>("numbers"), Err(WhereisError::WrongType { .. })));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhereisError {
    /// No actor has the name.
    #[non_exhaustive]
    NotFound {
        /// The name.
        name: Box<str>,
    },
    /// The messages of the actor with this name have another type.
    #[non_exhaustive]
    WrongType {
        /// The name.
        name: Box<str>,
        /// The requested message type.
        expected: &'static str,
        /// The actor's message type.
        found: &'static str,
    },
}

impl fmt::Display for WhereisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WhereisError::NotFound { name } => write!(f, "no actor is registered as {name:?}"),
            WhereisError::WrongType { name, expected, found } => {
                write!(f, "the actor registered as {name:?} takes messages of type {found}, not {expected}")
            }
        }
    }
}

impl Error for WhereisError {}

impl Default for Registry {
    fn default() -> Registry {
        Registry::new()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registry").field(&self.names_for_free()).finish()
    }
}
