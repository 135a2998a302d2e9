//! A pool of actors that do the same work, under a supervisor.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::hash::DefaultHasher;
use std::sync::Arc;

use crate::actor::Actor;
use crate::address::ActorRef;
use crate::cell::Overflow;
use crate::error::{AskError, TellError};
use crate::slot::Reply;
use crate::spawn::MAILBOX;
use crate::supervisor::{Backoff, ChildSpec, StartError, Strategy, Supervisor, SupervisorRef};

/// A pool of actors that do the same work, and a supervisor that restarts each of them when it fails. A clone is the
/// same pool.
///
/// A worker that is restarted keeps its position, its mailbox and its references. The pool ends when the last `Pool`
/// and the last clone of its [`supervisor`](Pool::supervisor) reference are dropped, when it is stopped, and when its
/// workers fail more often than its [intensity](PoolBuilder::intensity) allows. Telling a pool that has ended is an
/// error.
///
/// To put a pool into a supervision tree, let an actor of that tree own it and link itself to the pool's
/// [`supervisor`](Pool::supervisor). Then that actor ends with the pool, and the pool with the actor. A restart of the
/// actor starts a new pool.
///
/// # Examples
///
/// ```
/// use kahn::actor::{Actor, Context, ExitReason, Pool, Reply, Routing};
///
/// struct Counter(u32);
/// impl Actor for Counter {
///     type Message = Reply<u32>;
///     fn handle(&mut self, reply: Reply<u32>, _: &mut Context<Self>) -> Result<(), ExitReason> {
///         self.0 += 1;
///         let _ = reply.send(self.0);
///         Ok(())
///     }
/// }
/// let pool = Pool::builder(4).routing(Routing::RoundRobin).spawn(|| Counter(0)).unwrap();
/// for round in 1..=3 {
///     for _ in 0..4 {
///         assert_eq!(pool.ask(|reply| reply), Ok(round));
///     }
/// }
/// // All messages with one key go to one worker.
/// assert_eq!(pool.worker_for("ann").ask(|reply| reply), Ok(4));
/// assert_eq!(pool.worker_for("ann").ask(|reply| reply), Ok(5));
/// pool.stop();
/// ```
pub struct Pool<M: Send + 'static> {
    parts: Arc<Parts<M>>,
}

struct Parts<M: Send + 'static> {
    workers: Box<[ActorRef<M>]>,
    routing: Routing,
    /// The worker at which the next choice starts, modulo the number of workers. Wraps.
    turn: AtomicUsize,
    supervisor: SupervisorRef,
}

/// How [`Pool::worker`] selects the next worker. [`Pool::worker_for`] selects by a key instead, whatever the routing.
///
/// # Examples
///
/// ```
/// use kahn::actor::Routing;
/// # use kahn::actor::{Actor, Context, ExitReason, Pool, Reply};
/// # struct Echo;
/// # impl Actor for Echo {
/// #     type Message = (u32, Reply<u32>);
/// #     fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
/// #         Ok(drop(reply.send(n)))
/// #     }
/// # }
/// let pool = Pool::builder(2).routing(Routing::RoundRobin).spawn(|| Echo).unwrap();
/// let first = pool.worker().id();
/// assert_ne!(pool.worker().id(), first);
/// assert_eq!(pool.worker().id(), first);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Routing {
    /// The workers in turn.
    RoundRobin,
    /// The worker with the fewest messages, including the one that it is handling. Workers with equal loads take turns.
    /// This is the default.
    #[default]
    LeastLoaded,
}

/// The settings of a pool to start.
///
/// # Examples
///
/// ```
/// # use kahn::actor::{Actor, Context, ExitReason, Pool, Reply};
/// # struct Echo;
/// # impl Actor for Echo {
/// #     type Message = (u32, Reply<u32>);
/// #     fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
/// #         Ok(drop(reply.send(n)))
/// #     }
/// # }
/// let pool = Pool::builder(2).name("echoes").mailbox(16).spawn(|| Echo).unwrap();
/// assert_eq!(pool.ask(|reply| (7, reply)), Ok(7));
/// ```
#[must_use = "`spawn` starts the pool"]
#[derive(Clone, Debug)]
pub struct PoolBuilder {
    size: usize,
    name: String,
    routing: Routing,
    mailbox: usize,
    overflow: Overflow,
    intensity: (usize, Duration),
    backoff: Option<Backoff>,
}

impl PoolBuilder {
    /// Sets the name of the supervisor. Each worker's name is this name and a number. The default is `pool`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Context, ExitReason, Pool, Reply};
    /// # struct Echo;
    /// # impl Actor for Echo {
    /// #     type Message = (u32, Reply<u32>);
    /// #     fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         Ok(drop(reply.send(n)))
    /// #     }
    /// # }
    /// let pool = Pool::builder(2).name("echoes").spawn(|| Echo).unwrap();
    /// assert_eq!(pool.workers()[0].name(), Some("echoes 0"));
    /// ```
    pub fn name(self, name: impl Into<String>) -> PoolBuilder {
        PoolBuilder { name: name.into(), ..self }
    }

    /// Sets how the next worker is selected.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::Routing;
    /// # use kahn::actor::{Actor, Context, ExitReason, Pool, Reply};
    /// # struct Echo;
    /// # impl Actor for Echo {
    /// #     type Message = (u32, Reply<u32>);
    /// #     fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         Ok(drop(reply.send(n)))
    /// #     }
    /// # }
    /// let pool = Pool::builder(2).routing(Routing::LeastLoaded).spawn(|| Echo).unwrap();
    /// assert_eq!(pool.ask(|reply| (7, reply)), Ok(7));
    /// ```
    pub fn routing(self, routing: Routing) -> PoolBuilder {
        PoolBuilder { routing, ..self }
    }

    /// Sets the capacity of each worker's mailbox, in messages.
    ///
    /// # Panics
    ///
    /// [`spawn`](Self::spawn) panics under the same conditions as [`Builder::mailbox`](crate::Builder::mailbox).
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Context, ExitReason, Pool, Reply};
    /// # struct Echo;
    /// # impl Actor for Echo {
    /// #     type Message = (u32, Reply<u32>);
    /// #     fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         Ok(drop(reply.send(n)))
    /// #     }
    /// # }
    /// let pool = Pool::builder(2).mailbox(16).spawn(|| Echo).unwrap();
    /// assert_eq!(pool.worker().capacity(), 16);
    /// ```
    pub fn mailbox(self, capacity: usize) -> PoolBuilder {
        PoolBuilder { mailbox: capacity, ..self }
    }

    /// Sets what happens to messages that find a worker's mailbox full.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::Overflow;
    /// # use kahn::actor::{Actor, Context, ExitReason, Pool, Reply};
    /// # struct Echo;
    /// # impl Actor for Echo {
    /// #     type Message = (u32, Reply<u32>);
    /// #     fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         Ok(drop(reply.send(n)))
    /// #     }
    /// # }
    /// let pool = Pool::builder(2).overflow(Overflow::Fail).spawn(|| Echo).unwrap();
    /// assert_eq!(pool.ask(|reply| (7, reply)), Ok(7));
    /// ```
    pub fn overflow(self, overflow: Overflow) -> PoolBuilder {
        PoolBuilder { overflow, ..self }
    }

    /// Sets the maximum restart intensity; see [`Supervisor::intensity`]. The default is one restart per worker within
    /// five seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// # use kahn::actor::{Actor, Context, ExitReason, Pool, Reply};
    /// # struct Echo;
    /// # impl Actor for Echo {
    /// #     type Message = (u32, Reply<u32>);
    /// #     fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         Ok(drop(reply.send(n)))
    /// #     }
    /// # }
    /// let pool = Pool::builder(2).intensity(10, Duration::from_secs(1)).spawn(|| Echo).unwrap();
    /// assert_eq!(pool.ask(|reply| (7, reply)), Ok(7));
    /// ```
    pub fn intensity(self, max: usize, within: Duration) -> PoolBuilder {
        PoolBuilder { intensity: (max, within), ..self }
    }

    /// Sets the delay before a worker is restarted. The default is no delay.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::Backoff;
    /// # use kahn::actor::{Actor, Context, ExitReason, Pool, Reply};
    /// # struct Echo;
    /// # impl Actor for Echo {
    /// #     type Message = (u32, Reply<u32>);
    /// #     fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         Ok(drop(reply.send(n)))
    /// #     }
    /// # }
    /// let pool = Pool::builder(2).backoff(Backoff::constant(Duration::from_millis(10))).spawn(|| Echo).unwrap();
    /// assert_eq!(pool.ask(|reply| (7, reply)), Ok(7));
    /// ```
    pub fn backoff(self, backoff: Backoff) -> PoolBuilder {
        PoolBuilder { backoff: Some(backoff), ..self }
    }

    /// Starts the pool. `make` makes each worker's value, anew for each start.
    ///
    /// # Parks
    ///
    /// Parks until all workers have started, or one of them has failed to start.
    ///
    /// # Errors
    ///
    /// Returns an error if a worker does not start.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Context, ExitReason, Pool, Reply};
    /// # struct Echo;
    /// # impl Actor for Echo {
    /// #     type Message = (u32, Reply<u32>);
    /// #     fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         Ok(drop(reply.send(n)))
    /// #     }
    /// # }
    /// let pool = Pool::builder(2).spawn(|| Echo).unwrap();
    /// assert_eq!(pool.ask(|reply| (7, reply)), Ok(7));
    /// ```
    #[track_caller]
    pub fn spawn<A: Actor>(
        self,
        make: impl FnMut() -> A + Clone + Send + 'static,
    ) -> Result<Pool<A::Message>, StartError> {
        let (max, within) = self.intensity;
        let mut supervisor = Supervisor::new(Strategy::OneForOne).name(&self.name).intensity(max, within);
        let ids: Vec<String> = (0..self.size).map(|number| format!("{} {number}", self.name)).collect();
        for id in &ids {
            let mut spec = ChildSpec::new(id, make.clone()).mailbox(self.mailbox).overflow(self.overflow);
            if let Some(backoff) = self.backoff {
                spec = spec.backoff(backoff);
            }
            supervisor = supervisor.child(spec);
        }
        let supervisor = supervisor.try_spawn()?;
        // A loop, because a closure would not pass on the location of the caller.
        let mut workers = Vec::with_capacity(ids.len());
        for id in &ids {
            let worker = supervisor.actor_ref(id);
            workers.push(worker.map_err(|error| StartError { child: id.as_str().into(), error })?);
        }
        let turn = AtomicUsize::new(0);
        Ok(Pool {
            parts: Arc::new(Parts { workers: workers.into(), routing: self.routing, turn, supervisor }),
        })
    }
}

impl Pool<()> {
    /// Returns the settings of a pool of `size` workers, for any message type.
    ///
    /// # Panics
    ///
    /// Panics if `size` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Context, ExitReason, Pool, Reply};
    /// # struct Echo;
    /// # impl Actor for Echo {
    /// #     type Message = (u32, Reply<u32>);
    /// #     fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         Ok(drop(reply.send(n)))
    /// #     }
    /// # }
    /// let pool = Pool::builder(2).spawn(|| Echo).unwrap();
    /// assert_eq!(pool.workers().len(), 2);
    /// ```
    #[track_caller]
    pub fn builder(size: usize) -> PoolBuilder {
        assert!(size > 0, "Pool: there must be one worker at least");
        PoolBuilder {
            size,
            name: "pool".into(),
            routing: Routing::default(),
            mailbox: MAILBOX,
            overflow: Overflow::default(),
            intensity: (size, Duration::from_secs(5)),
            backoff: None,
        }
    }
}

impl<M: Send + 'static> Pool<M> {
    /// Returns the next worker, as the pool's [`Routing`] selects it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Context, ExitReason, Pool, Reply};
    /// # struct Echo;
    /// # impl Actor for Echo {
    /// #     type Message = (u32, Reply<u32>);
    /// #     fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         Ok(drop(reply.send(n)))
    /// #     }
    /// # }
    /// let pool = Pool::builder(2).spawn(|| Echo).unwrap();
    /// assert_eq!(pool.worker().ask(|reply| (7, reply)), Ok(7));
    /// ```
    pub fn worker(&self) -> &ActorRef<M> {
        let Parts { workers, routing, turn, .. } = &*self.parts;
        // Relaxed: the counter orders nothing else.
        let first = turn.fetch_add(1, Ordering::Relaxed) % workers.len();
        match routing {
            Routing::RoundRobin => &workers[first],
            Routing::LeastLoaded => {
                let (before, from) = workers.split_at(first);
                let mut least = (&workers[first], usize::MAX);
                for worker in from.iter().chain(before) {
                    let load = worker.load();
                    if load < least.1 {
                        least = (worker, load);
                    }
                    if load == 0 {
                        break;
                    }
                }
                least.0
            }
        }
    }

    /// Returns the worker for `key`. It is always the same for the same key. In a pool with one more worker, few keys
    /// have another worker, and for these keys it is the new one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Context, ExitReason, Pool, Reply};
    /// # struct Echo;
    /// # impl Actor for Echo {
    /// #     type Message = (u32, Reply<u32>);
    /// #     fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         Ok(drop(reply.send(n)))
    /// #     }
    /// # }
    /// let pool = Pool::builder(2).spawn(|| Echo).unwrap();
    /// assert_eq!(pool.worker_for("ann").id(), pool.worker_for("ann").id());
    /// ```
    pub fn worker_for<K: Hash + ?Sized>(&self, key: &K) -> &ActorRef<M> {
        // The hasher has no random keys, so that all pools select the same worker.
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let workers = &self.parts.workers;
        &workers[jump(hasher.finish(), workers.len())]
    }

    /// Tells the [next worker](Self::worker).
    ///
    /// # Parks
    ///
    /// Parks as [`ActorRef::tell`] does.
    ///
    /// # Errors
    ///
    /// Returns the errors of `ActorRef::tell`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Context, ExitReason, Pool, Reply};
    /// # struct Echo;
    /// # impl Actor for Echo {
    /// #     type Message = (u32, Reply<u32>);
    /// #     fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         Ok(drop(reply.send(n)))
    /// #     }
    /// # }
    /// let pool = Pool::builder(2).spawn(|| Echo).unwrap();
    /// let (reply, _answer) = kahn::actor::testing::reply();
    /// assert!(pool.tell((7, reply)).is_ok());
    /// ```
    #[track_caller]
    pub fn tell(&self, message: M) -> Result<(), TellError<M>> {
        self.worker().tell(message)
    }

    /// Asks the [next worker](Self::worker).
    ///
    /// # Parks
    ///
    /// Parks as [`ActorRef::ask`] does.
    ///
    /// # Errors
    ///
    /// Returns the errors of `ActorRef::ask`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Context, ExitReason, Pool, Reply};
    /// # struct Echo;
    /// # impl Actor for Echo {
    /// #     type Message = (u32, Reply<u32>);
    /// #     fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         Ok(drop(reply.send(n)))
    /// #     }
    /// # }
    /// let pool = Pool::builder(2).spawn(|| Echo).unwrap();
    /// assert_eq!(pool.ask(|reply| (7, reply)), Ok(7));
    /// ```
    #[track_caller]
    pub fn ask<R: Send>(&self, question: impl FnOnce(Reply<R>) -> M) -> Result<R, AskError> {
        self.worker().ask(question)
    }

    /// Returns the workers, in their order.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Context, ExitReason, Pool, Reply};
    /// # struct Echo;
    /// # impl Actor for Echo {
    /// #     type Message = (u32, Reply<u32>);
    /// #     fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         Ok(drop(reply.send(n)))
    /// #     }
    /// # }
    /// let pool = Pool::builder(2).spawn(|| Echo).unwrap();
    /// assert!(pool.workers().iter().all(|worker| worker.ask(|reply| (1, reply)) == Ok(1)));
    /// ```
    pub fn workers(&self) -> &[ActorRef<M>] {
        &self.parts.workers
    }

    /// Returns the workers' supervisor.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Context, ExitReason, Pool, Reply};
    /// # struct Echo;
    /// # impl Actor for Echo {
    /// #     type Message = (u32, Reply<u32>);
    /// #     fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         Ok(drop(reply.send(n)))
    /// #     }
    /// # }
    /// let pool = Pool::builder(2).spawn(|| Echo).unwrap();
    /// assert_eq!(pool.supervisor().children().len(), 2);
    /// ```
    pub fn supervisor(&self) -> &SupervisorRef {
        &self.parts.supervisor
    }

    /// Stops the workers, each after the message that it is handling, and then their supervisor.
    ///
    /// # Parks
    ///
    /// Parks as [`SupervisorRef::stop`] does.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Context, ExitReason, Pool, Reply};
    /// # struct Echo;
    /// # impl Actor for Echo {
    /// #     type Message = (u32, Reply<u32>);
    /// #     fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         Ok(drop(reply.send(n)))
    /// #     }
    /// # }
    /// let pool = Pool::builder(2).spawn(|| Echo).unwrap();
    /// pool.stop();
    /// assert!(!pool.worker().is_alive());
    /// ```
    #[track_caller]
    pub fn stop(&self) {
        self.parts.supervisor.stop();
    }
}

/// Returns the place of a key among `places` places, by Lamping and Veach's jump consistent hash. When a place is
/// added, a key moves to it with the probability that fills all places equally.
fn jump(mut key: u64, places: usize) -> usize {
    let (mut place, mut next) = (0, 0);
    while next < places as u64 {
        place = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((place + 1) as f64 * ((1_u64 << 31) as f64 / ((key >> 33) + 1) as f64)) as u64;
    }
    place as usize
}

impl<M: Send + 'static> Clone for Pool<M> {
    fn clone(&self) -> Pool<M> {
        Pool { parts: Arc::clone(&self.parts) }
    }
}

impl<M: Send + 'static> fmt::Debug for Pool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { workers, routing, supervisor, .. } = &*self.parts;
        f.debug_struct("Pool")
            .field("supervisor", supervisor)
            .field("workers", &workers.len())
            .field("routing", routing)
            .finish()
    }
}
