//! Very many children of one kind, started and stopped while the supervisor runs.
//!
//! It is a [`Supervisor`] with [`Strategy::OneForOne`], a template in the place of specifications, and no order among its
//! children. A start and a stop cost the logarithm of the number of children at most.

use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;
use std::sync::Arc;

use super::Supervisor;
use super::backoff::Backoff;
use super::child::{ChildSpec, Restart, Shutdown};
use super::children::ChildInfo;
use super::error::ChildError;
use super::event::Event;
use super::handle::stop_and_join;
use super::restarts::Keeper;
use super::strategy::Strategy;
use crate::actor::{Actor, Context};
use crate::address::{ActorRef, Address};
use crate::cell::{Any, Overflow, id_of};
use crate::error::AskError;
use crate::exit::{ActorId, ExitReason};
use crate::signal::Down;
use crate::slot::Reply;
use crate::spawn::Builder;
use crate::timers::TimerId;

/// A supervisor of very many children of one kind, which are started while it runs, each with arguments of its own.
///
/// It is OTP's `simple_one_for_one`, and Elixir's `DynamicSupervisor`. It has a template, a function from arguments to an
/// actor, and gives ids by itself. A child that fails is started again, by the settings of the template, with the same
/// arguments, in its old place: with its mailbox and its references, as with every [`Supervisor`]. A child that is stopped,
/// or that ended and is not to be started again, is forgotten.
///
/// When it ends, all children are asked to stop at once. Those that have not ended by the time that their
/// [`shutdown`](Self::shutdown) gives them are killed.
///
/// # Differences from OTP
///
/// A start waits until the child has started, so starts come one after the other: let `started` be short. `max_children`
/// is Elixir's. Children are started again with their ids, which OTP's have not. `terminate` is OTP's `terminate_child`.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use kahn::actor::{Actor, Context, DynamicSupervisor, ExitReason, Reply, Restart, Shutdown};
///
/// struct Session {
///     user: String,
/// }
/// impl Actor for Session {
///     type Message = Reply<String>;
///     fn handle(&mut self, reply: Reply<String>, _: &mut Context<Self>) -> Result<(), ExitReason> {
///         let _ = reply.send(format!("hello {}", self.user));
///         Ok(())
///     }
/// }
///
/// let sessions = DynamicSupervisor::new(|user| Session { user })
///     .restart(Restart::Temporary)
///     .shutdown(Shutdown::Timeout(Duration::from_secs(1)))
///     .max_children(10_000)
///     .spawn();
/// let ada = sessions.start("ada".to_owned()).unwrap();
/// assert_eq!(ada.ask(|reply| reply).unwrap(), "hello ada");
/// sessions.stop();
/// assert!(!ada.is_alive());
/// ```
#[must_use = "`spawn` starts it"]
pub struct DynamicSupervisor<Args, M: Send + 'static> {
    inner: Supervisor,
    template: Template<Args>,
    settings: Settings,
    max: usize,
    /// Children started so far.
    last: u64,
    /// Its own name, which its children's ids begin with.
    name: Option<String>,
    _messages: PhantomData<fn(M)>,
}

type Template<Args> = Box<dyn Fn(String, Args) -> ChildSpec + Send>;

#[derive(Debug, Default)]
struct Settings {
    restart: Restart,
    shutdown: Option<Shutdown>,
    backoff: Option<Backoff>,
    mailbox: Option<usize>,
    overflow: Overflow,
}

impl Settings {
    fn apply(&self, mut spec: ChildSpec) -> ChildSpec {
        spec = spec.restart(self.restart).overflow(self.overflow);
        if let Some(shutdown) = self.shutdown {
            spec = spec.shutdown(shutdown);
        }
        if let Some(backoff) = self.backoff {
            spec = spec.backoff(backoff);
        }
        if let Some(capacity) = self.mailbox {
            spec = spec.mailbox(capacity);
        }
        spec
    }
}

impl<Args: Clone + Send + 'static, M: Send + 'static> DynamicSupervisor<Args, M> {
    /// A supervisor whose children are what `make` makes of their arguments. The arguments are kept, and cloned for each
    /// start. The actor is made where it starts, and a panic in `make` is a start that failed.
    ///
    /// As with [`Supervisor::new`], one restart within five seconds is allowed, and the next ends it.
    ///
    /// # Examples
    ///
    /// See [`DynamicSupervisor`].
    pub fn new<A: Actor<Message = M>>(
        make: impl Fn(Args) -> A + Send + Sync + 'static,
    ) -> DynamicSupervisor<Args, M> {
        let make = Arc::new(make);
        let template = move |id, args: Args| {
            let make = Arc::clone(&make);
            ChildSpec::new::<A>(id, move || make(args.clone()))
        };
        let mut inner = Supervisor::new(Strategy::OneForOne);
        inner.children.forgets = true;
        DynamicSupervisor {
            inner,
            template: Box::new(template),
            settings: Settings::default(),
            max: usize::MAX,
            last: 0,
            name: None,
            _messages: PhantomData,
        }
    }
}

impl<Args: Send + 'static, M: Send + 'static> DynamicSupervisor<Args, M> {
    /// Its name, for reports. As a child of another it has the id of its [`ChildSpec`]. The ids of its children begin with
    /// it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Context, DynamicSupervisor, ExitReason};
    /// # struct Session;
    /// # impl Actor for Session {
    /// #     type Message = ();
    /// #     fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         Ok(())
    /// #     }
    /// # }
    /// let sessions = DynamicSupervisor::new(|()| Session).name("sessions").spawn();
    /// assert_eq!(sessions.start(()).unwrap().name(), Some("sessions-1"));
    /// sessions.stop();
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// When children are started again; see [`ChildSpec::restart`]. Permanent, if nothing is said.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.settings.restart = restart;
        self
    }

    /// How children are stopped; see [`ChildSpec::shutdown`].
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.settings.shutdown = Some(shutdown);
        self
    }

    /// How long to wait before a child is started again; see [`ChildSpec::backoff`].
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.settings.backoff = Some(backoff);
        self
    }

    /// How many messages a child's mailbox holds.
    ///
    /// # Panics
    ///
    /// If it is zero, or above 2^31.
    #[track_caller]
    pub fn mailbox(mut self, capacity: usize) -> Self {
        // Checked here, and not in the supervisor at the first start.
        let _ = Builder::new().mailbox(capacity);
        self.settings.mailbox = Some(capacity);
        self
    }

    /// What becomes of messages that find a child's mailbox full.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.settings.overflow = overflow;
        self
    }

    /// How many restarts there may be within a time, of all children together; see [`Supervisor::intensity`].
    pub fn intensity(mut self, max: usize, within: Duration) -> Self {
        self.inner = self.inner.intensity(max, within);
        self
    }

    /// How many children it may have at a time, those included that wait to be started again. No limit, if nothing is said.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, ChildError, Context, DynamicSupervisor, ExitReason};
    /// # struct Session;
    /// # impl Actor for Session {
    /// #     type Message = ();
    /// #     fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         Ok(())
    /// #     }
    /// # }
    /// let sessions = DynamicSupervisor::new(|()| Session).max_children(1).spawn();
    /// let first = sessions.start(()).unwrap();
    /// assert!(matches!(sessions.start(()), Err(ChildError::MaxChildren(1))));
    /// sessions.terminate(&first).unwrap();
    /// assert!(sessions.start(()).is_ok());
    /// sessions.stop();
    /// ```
    pub fn max_children(mut self, max: usize) -> Self {
        self.max = max;
        self
    }

    /// Calls `f` with everything that happens to the children; see [`Supervisor::on_event`].
    pub fn on_event(mut self, f: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.inner = self.inner.on_event(f);
        self
    }

    /// Starts it, without children.
    pub fn spawn(self) -> DynamicSupervisorRef<Args, M> {
        let builder = self.name.iter().fold(Builder::new(), |builder, name| builder.name(name.as_str()));
        DynamicSupervisorRef::from(builder.spawn(self))
    }

    fn start(&mut self, me: &Any, args: Args) -> Result<ActorRef<M>, ChildError> {
        if self.inner.children.len() >= self.max {
            return Err(ChildError::MaxChildren(self.max));
        }
        self.last += 1;
        let id = match &self.name {
            Some(name) => format!("{name}-{}", self.last),
            None => self.last.to_string(),
        };
        let spec = self.settings.apply((self.template)(id.clone(), args));
        self.inner.add(me, spec, true)?;
        self.find(&id)
    }

    fn find(&mut self, id: &str) -> Result<ActorRef<M>, ChildError> {
        let children = &mut self.inner.children;
        let child = children.find(id).and_then(|number| children.get(number)).ok_or(ChildError::NotFound)?;
        Ok(child.kept.typed().downcast_ref::<ActorRef<M>>().expect("made by the template").clone())
    }

    /// Stops a child, if it is this actor.
    fn terminate(
        &mut self,
        ctx: &mut Context<Self>,
        id: &str,
        actor: Option<ActorId>,
    ) -> Result<(), ChildError> {
        let children = &mut self.inner.children;
        let number = children.find(id).ok_or(ChildError::NotFound)?;
        let found = children.get(number).map(|child| id_of(child.any()));
        if actor.is_some() && actor != found {
            return Err(ChildError::NotFound);
        }
        // It goes with that, and with it the timer of its backoff.
        let timer = children.backed_off(number);
        timer.into_iter().for_each(|timer| Keeper::cancel(ctx, timer));
        self.inner.terminate(ctx.any(), id)
    }
}

impl<Args: Send + 'static, M: Send + 'static> Actor for DynamicSupervisor<Args, M> {
    type Message = DynamicOrder<Args, M>;

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        ctx.trap_exits(true);
        self.inner.reporter.name(ctx.any());
        self.name = ctx.any().name().map(str::to_owned);
        Ok(())
    }

    fn handle(&mut self, order: DynamicOrder<Args, M>, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match order.0 {
            Command::Start(args, reply) => drop(reply.send(self.start(ctx.any(), args))),
            Command::Find(id, reply) => drop(reply.send(self.find(&id))),
            Command::Terminate(id, actor, reply) => {
                drop(reply.send(self.terminate(ctx, &id, actor)));
            }
            Command::Children(reply) => {
                drop(reply.send(self.inner.children.iter().map(|(_, child)| child.info()).collect()));
            }
            Command::Count(reply) => {
                let _ = reply.send(self.inner.children.len());
            }
            Command::Again(number) => return self.inner.again(ctx, number),
        }
        Ok(())
    }

    fn down(&mut self, down: Down, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.inner.ended(ctx, down)
    }

    fn stopped(&mut self, _: &ExitReason, ctx: &mut Context<Self>) {
        self.inner.stop_all(ctx.any());
    }
}

impl<Args: Send + 'static, M: Send + 'static> Keeper for Context<DynamicSupervisor<Args, M>> {
    fn me(&self) -> &Any {
        self.any()
    }

    fn again_after(&mut self, delay: Duration, number: u64) -> TimerId {
        self.send_after(delay, DynamicOrder(Command::Again(number)))
    }

    fn cancel(&mut self, timer: TimerId) {
        self.cancel_timer(timer);
    }
}

impl<Args, M: Send + 'static> fmt::Debug for DynamicSupervisor<Args, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamicSupervisor")
            .field("name", &self.name)
            .field("settings", &self.settings)
            .field("intensity", &self.inner.intensity)
            .field("max_children", &self.max)
            .finish_non_exhaustive()
    }
}

/// What a [`DynamicSupervisor`] handles. Made by [`DynamicSupervisorRef`] alone, into which any reference to one converts.
pub struct DynamicOrder<Args, M: Send + 'static>(Command<Args, M>);

enum Command<Args, M: Send + 'static> {
    Start(Args, Reply<Result<ActorRef<M>, ChildError>>),
    Find(Arc<str>, Reply<Result<ActorRef<M>, ChildError>>),
    Terminate(Arc<str>, Option<ActorId>, Reply<Result<(), ChildError>>),
    Children(Reply<Vec<ChildInfo>>),
    Count(Reply<usize>),
    Again(u64),
}

impl<Args, M: Send + 'static> fmt::Debug for DynamicOrder<Args, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Command::Start(..) => "DynamicOrder(start)",
            Command::Find(..) => "DynamicOrder(find)",
            Command::Terminate(..) => "DynamicOrder(terminate)",
            Command::Children(_) => "DynamicOrder(children)",
            Command::Count(_) => "DynamicOrder(count)",
            Command::Again(_) => "DynamicOrder(again)",
        })
    }
}

/// A reference to a [`DynamicSupervisor`]. The last one that is dropped stops it, if it is no child of another.
pub struct DynamicSupervisorRef<Args: Send + 'static, M: Send + 'static> {
    actor: ActorRef<DynamicOrder<Args, M>>,
}

impl<Args: Send + 'static, M: Send + 'static> DynamicSupervisorRef<Args, M> {
    #[track_caller]
    fn command<R: Send>(&self, command: impl FnOnce(Reply<R>) -> Command<Args, M>) -> Result<R, ChildError> {
        let told = self.actor.ask_timeout(Duration::MAX, |reply| DynamicOrder(command(reply)));
        told.map_err(|error| match error {
            AskError::Deadlock(names) => ChildError::Deadlock(names),
            _ => ChildError::Ended,
        })
    }

    /// Starts a child with these arguments.
    ///
    /// # Parks
    ///
    /// Until it has started, or failed to. Before that, while the supervisor starts or stops others.
    ///
    /// # Errors
    ///
    /// There are [as many as there may be](DynamicSupervisor::max_children); the child did not start, and is not kept;
    /// the supervisor has ended, or waits for the caller.
    ///
    /// # Examples
    ///
    /// See [`DynamicSupervisor`].
    #[track_caller]
    pub fn start(&self, args: Args) -> Result<ActorRef<M>, ChildError> {
        self.command(|reply| Command::Start(args, reply))?
    }

    /// Stops a child for good. One that waits to be started again is not any more.
    ///
    /// # Parks
    ///
    /// Until it has ended.
    ///
    /// # Errors
    ///
    /// It is no child, or none any more; the supervisor has ended, or waits for the caller.
    ///
    /// # Examples
    ///
    /// See [`DynamicSupervisor::max_children`].
    #[track_caller]
    pub fn terminate(&self, child: impl Into<Address>) -> Result<(), ChildError> {
        let child = child.into();
        let id = child.name().ok_or(ChildError::NotFound)?.into();
        self.command(|reply| Command::Terminate(id, Some(child.id()), reply))?
    }

    /// As [`terminate`](Self::terminate), by the child's id.
    ///
    /// # Parks
    ///
    /// As `terminate`.
    ///
    /// # Errors
    ///
    /// As `terminate`.
    #[track_caller]
    pub fn terminate_id(&self, id: &str) -> Result<(), ChildError> {
        self.command(|reply| Command::Terminate(id.into(), None, reply))?
    }

    /// The reference to a child, by its id.
    ///
    /// # Parks
    ///
    /// While the supervisor starts or stops others.
    ///
    /// # Errors
    ///
    /// There is no such child; the supervisor has ended, or waits for the caller.
    #[track_caller]
    pub fn actor_ref(&self, id: &str) -> Result<ActorRef<M>, ChildError> {
        self.command(|reply| Command::Find(id.into(), reply))?
    }

    /// The children, oldest first. None, if the supervisor has ended, or waits for the caller.
    ///
    /// # Parks
    ///
    /// As [`actor_ref`](Self::actor_ref).
    #[track_caller]
    pub fn children(&self) -> Vec<ChildInfo> {
        self.command(Command::Children).unwrap_or_default()
    }

    /// How many children there are, those included that wait to be started again. None, if the supervisor has ended, or
    /// waits for the caller.
    ///
    /// # Parks
    ///
    /// As [`actor_ref`](Self::actor_ref).
    #[track_caller]
    pub fn count(&self) -> usize {
        self.command(Command::Count).unwrap_or_default()
    }

    /// Stops all children at once, and the supervisor, and waits for that; as
    /// [`SupervisorRef::stop`](super::SupervisorRef::stop).
    ///
    /// # Parks
    ///
    /// Until all have ended.
    #[track_caller]
    pub fn stop(&self) {
        stop_and_join(self.actor.any());
    }

    /// Ends it and its children at once, without waiting for that.
    pub fn kill(&self) {
        self.actor.kill();
    }

    /// Whether it has not ended.
    pub fn is_alive(&self) -> bool {
        self.actor.is_alive()
    }

    /// Waits for its end.
    ///
    /// # Parks
    ///
    /// Until then.
    #[track_caller]
    pub fn join(&self) -> ExitReason {
        self.actor.join()
    }

    /// Its address.
    pub fn address(&self) -> Address {
        self.actor.address()
    }

    /// Its number.
    pub fn id(&self) -> ActorId {
        self.actor.id()
    }

    /// Its name.
    pub fn name(&self) -> Option<&str> {
        self.actor.name()
    }
}

impl<Args: Send + 'static, M: Send + 'static> From<ActorRef<DynamicOrder<Args, M>>>
    for DynamicSupervisorRef<Args, M>
{
    fn from(actor: ActorRef<DynamicOrder<Args, M>>) -> Self {
        DynamicSupervisorRef { actor }
    }
}

impl<Args: Send + 'static, M: Send + 'static> From<&DynamicSupervisorRef<Args, M>> for Address {
    fn from(supervisor: &DynamicSupervisorRef<Args, M>) -> Address {
        supervisor.address()
    }
}

impl<Args: Send + 'static, M: Send + 'static> Clone for DynamicSupervisorRef<Args, M> {
    fn clone(&self) -> Self {
        DynamicSupervisorRef { actor: self.actor.clone() }
    }
}

impl<Args: Send + 'static, M: Send + 'static> PartialEq for DynamicSupervisorRef<Args, M> {
    fn eq(&self, other: &Self) -> bool {
        self.actor == other.actor
    }
}

impl<Args: Send + 'static, M: Send + 'static> Eq for DynamicSupervisorRef<Args, M> {}

impl<Args: Send + 'static, M: Send + 'static> fmt::Debug for DynamicSupervisorRef<Args, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DynamicSupervisor{:?}", self.actor)
    }
}
