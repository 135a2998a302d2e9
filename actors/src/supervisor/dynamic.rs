//! A supervisor of many children of one kind, which are started and stopped while it runs.
//!
//! It is a [`Supervisor`] with [`Strategy::OneForOne`] and with a template instead of child specifications. Its
//! children have no order among each other. Starting or stopping a child takes time at most logarithmic in the number
//! of children.

use core::fmt;
use core::marker::PhantomData;
use core::panic::Location;
use core::time::Duration;
use std::sync::Arc;

use super::Supervisor;
use super::actor::{RestartContext, SupervisorActor};
use super::backoff::Backoff;
use super::child_spec::{ChildSpec, Restart, Shutdown};
use super::children::ChildInfo;
use super::error::ChildError;
use super::event::Event;
use super::strategy::Strategy;
use super::supervisor_ref::{request, stop_and_join};
use crate::actor::{Actor, Context};
use crate::address::{ActorRef, Address};
use crate::cell::{AnyActor, Overflow, id_of};
use crate::exit::{ActorId, ExitReason};
use crate::panics::catching_shielded;
use crate::signal::Down;
use crate::slot::Reply;
use crate::spawn::Builder;
use crate::timers::TimerId;

/// A supervisor of many children of one kind, which are started while it runs, each with its own arguments.
///
/// It corresponds to OTP's `simple_one_for_one` and to Elixir's `DynamicSupervisor`. Its template is a function from
/// arguments to an actor. It assigns the ids of its children.
///
/// A child that fails is restarted by the template's settings, with the same arguments. As with every [`Supervisor`],
/// its mailbox and its references stay valid. A child that is stopped, or that ends and is not restarted, is removed.
///
/// When the supervisor ends, it asks all children to stop at the same time. It kills those that have not ended when the
/// time of their [`shutdown`](Self::shutdown) is over.
///
/// # Differences from OTP
///
/// - Starting a child waits until the child has started. Starts therefore run one after the other, so `started` should
///   be short.
/// - `max_children` is taken from Elixir.
/// - A restarted child keeps its id. OTP's children have no ids here.
/// - `terminate` is OTP's `terminate_child`.
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
    name: Option<String>,
    supervisor: Supervisor,
    template: Template<Args>,
    settings: Settings,
    max: usize,
    _messages: PhantomData<fn(M)>,
}

/// The value of a running dynamic supervisor.
pub(super) struct DynamicActor<Args, M: Send + 'static> {
    supervisor: SupervisorActor,
    template: Template<Args>,
    settings: Settings,
    max: usize,
    /// Number of children started so far.
    last: u64,
    /// The supervisor's name, which is the prefix of its children's ids.
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
    /// Returns a supervisor whose children are made by `make` from their arguments. The supervisor keeps each child's
    /// arguments, and clones them for each start. `make` runs in the child. If it panics, the start has failed.
    ///
    /// As with [`Supervisor::new`], one restart within five seconds is allowed. The second ends the supervisor.
    ///
    /// # Examples
    ///
    /// See [`DynamicSupervisor`].
    #[track_caller]
    pub fn new<A: Actor<Message = M>>(
        make: impl Fn(Args) -> A + Send + Sync + 'static,
    ) -> DynamicSupervisor<Args, M> {
        let make = Arc::new(make);
        let template = move |id, args: Args| {
            let make = Arc::clone(&make);
            ChildSpec::new::<A>(id, move || make(args.clone()))
        };
        let mut supervisor = Supervisor::new(Strategy::OneForOne);
        supervisor.actor.children.removes_stopped = true;
        DynamicSupervisor {
            name: None,
            supervisor,
            template: Box::new(template),
            settings: Settings::default(),
            max: usize::MAX,
            _messages: PhantomData,
        }
    }
}

impl<Args: Send + 'static, M: Send + 'static> DynamicSupervisor<Args, M> {
    /// Sets the supervisor's name, which reports show. It is the prefix of its children's ids. A dynamic supervisor
    /// that is the child of another supervisor is named by the id of its [`ChildSpec`].
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

    /// Sets when children are restarted; see [`ChildSpec::restart`]. The default is [`Restart::Permanent`].
    pub fn restart(mut self, restart: Restart) -> Self {
        self.settings.restart = restart;
        self
    }

    /// Sets how children are stopped; see [`ChildSpec::shutdown`].
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.settings.shutdown = Some(shutdown);
        self
    }

    /// Sets the delay before a child is restarted; see [`ChildSpec::backoff`].
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.settings.backoff = Some(backoff);
        self
    }

    /// Sets the capacity of each child's mailbox, in messages.
    ///
    /// # Panics
    ///
    /// Panics if `capacity` is zero or above 2^31.
    #[track_caller]
    pub fn mailbox(mut self, capacity: usize) -> Self {
        // This call checks the capacity, so that the panic occurs here and not in the supervisor at the first start.
        let _ = Builder::new().mailbox(capacity);
        self.settings.mailbox = Some(capacity);
        self
    }

    /// Sets what happens to messages that find a child's mailbox full.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.settings.overflow = overflow;
        self
    }

    /// Sets the maximum restart intensity of all children together; see [`Supervisor::intensity`].
    pub fn intensity(mut self, max: usize, within: Duration) -> Self {
        self.supervisor = self.supervisor.intensity(max, within);
        self
    }

    /// Sets the maximum number of children at a time. Children that wait for their restart are included. The default is
    /// no limit.
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

    /// Calls `f` with each event of the children; see [`Supervisor::on_event`].
    pub fn on_event(mut self, f: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.supervisor = self.supervisor.on_event(f);
        self
    }

    /// Starts the supervisor, without children.
    #[track_caller]
    pub fn spawn(self) -> DynamicSupervisorRef<Args, M> {
        let builder = self.name.iter().fold(Builder::new(), |builder, name| builder.name(name.as_str()));
        DynamicSupervisorRef::new(builder.spawn(self.into_actor(Location::caller())))
    }

    /// Returns the actor. `at` is the line that starts it.
    pub(super) fn into_actor(self, at: &'static Location<'static>) -> DynamicActor<Args, M> {
        DynamicActor {
            supervisor: SupervisorActor { spawned_at: at, ..self.supervisor.actor },
            template: self.template,
            settings: self.settings,
            max: self.max,
            last: 0,
            name: None,
            _messages: PhantomData,
        }
    }
}

impl<Args: Send + 'static, M: Send + 'static> DynamicActor<Args, M> {
    fn start(&mut self, me: &AnyActor, args: Args) -> Result<ActorRef<M>, ChildError> {
        if self.supervisor.children.len() >= self.max {
            // The arguments are the user's. Their destructor must not end the supervisor.
            catching_shielded(me, || drop(args));
            return Err(ChildError::MaxChildren(self.max));
        }
        self.last += 1;
        let id = match &self.name {
            Some(name) => format!("{name}-{}", self.last),
            None => self.last.to_string(),
        };
        let spec = self.settings.apply((self.template)(id.clone(), args));
        self.supervisor.start_child(me, spec, true)?;
        self.find(&id)
    }

    fn find(&mut self, id: &str) -> Result<ActorRef<M>, ChildError> {
        let children = &mut self.supervisor.children;
        let child = children.find(id).and_then(|number| children.get(number)).ok_or(ChildError::NotFound)?;
        Ok(child.actor.typed().downcast_ref::<ActorRef<M>>().expect("made by the template").clone())
    }

    /// Stops the child with this id. If `actor` is given, the child must be that actor.
    fn terminate(
        &mut self,
        ctx: &mut Context<Self>,
        id: &str,
        actor: Option<ActorId>,
    ) -> Result<(), ChildError> {
        let children = &mut self.supervisor.children;
        let number = children.find(id).ok_or(ChildError::NotFound)?;
        let found = children.get(number).map(|child| id_of(child.any()));
        if actor.is_some() && actor != found {
            return Err(ChildError::NotFound);
        }
        // The child is removed below. Its backoff timer is cancelled here, as nothing else would cancel it.
        let timer = children.end_backoff(number);
        timer.into_iter().for_each(|timer| ctx.cancel_backoff(timer));
        self.supervisor.terminate(ctx.any(), id)
    }
}

impl<Args: Send + 'static, M: Send + 'static> Actor for DynamicActor<Args, M> {
    type Message = Request<Args, M>;

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        ctx.trap_exits(true);
        self.supervisor.reporter.name(ctx.any());
        self.name = ctx.any().name().map(str::to_owned);
        Ok(())
    }

    fn handle(&mut self, request: Request<Args, M>, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match request {
            Request::Start(args, reply) => drop(reply.send(self.start(ctx.any(), args))),
            Request::Find(id, reply) => drop(reply.send(self.find(&id))),
            Request::Terminate(id, actor, reply) => {
                drop(reply.send(self.terminate(ctx, &id, actor)));
            }
            Request::Children(reply) => {
                drop(reply.send(self.supervisor.children.iter().map(|(_, child)| child.info()).collect()));
            }
            Request::Count(reply) => {
                let _ = reply.send(self.supervisor.children.len());
            }
            Request::BackoffOver(number) => return self.supervisor.backoff_over(ctx, number),
        }
        Ok(())
    }

    fn down(&mut self, down: Down, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.supervisor.child_ended(ctx, down)
    }

    fn stopped(&mut self, _: &ExitReason, ctx: &mut Context<Self>) {
        self.supervisor.shut_down_all(ctx.any());
    }
}

impl<Args: Send + 'static, M: Send + 'static> RestartContext for Context<DynamicActor<Args, M>> {
    fn me(&self) -> &AnyActor {
        self.any()
    }

    fn start_backoff(&mut self, delay: Duration, number: u64) -> TimerId {
        self.send_after(delay, Request::BackoffOver(number))
    }

    fn cancel_backoff(&mut self, timer: TimerId) {
        self.cancel_timer(timer);
    }
}

impl<Args, M: Send + 'static> fmt::Debug for DynamicSupervisor<Args, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamicSupervisor")
            .field("name", &self.name)
            .field("settings", &self.settings)
            .field("intensity", &self.supervisor.actor.intensity)
            .field("max_children", &self.max)
            .finish_non_exhaustive()
    }
}

/// The messages that a dynamic supervisor handles: requests, and the restarts that it schedules for itself.
pub(super) enum Request<Args, M: Send + 'static> {
    Start(Args, Reply<Result<ActorRef<M>, ChildError>>),
    Find(Arc<str>, Reply<Result<ActorRef<M>, ChildError>>),
    /// Stops the child with this id. If an [`ActorId`] is given, the child must be that actor.
    Terminate(Arc<str>, Option<ActorId>, Reply<Result<(), ChildError>>),
    Children(Reply<Vec<ChildInfo>>),
    Count(Reply<usize>),
    /// The backoff of this child is over: restart it.
    BackoffOver(u64),
}

/// A reference to a [`DynamicSupervisor`]. Dropping the last one stops the supervisor, unless it is a child of another
/// supervisor.
pub struct DynamicSupervisorRef<Args: Send + 'static, M: Send + 'static> {
    actor: ActorRef<Request<Args, M>>,
}

impl<Args: Send + 'static, M: Send + 'static> DynamicSupervisorRef<Args, M> {
    pub(super) fn new(actor: ActorRef<Request<Args, M>>) -> DynamicSupervisorRef<Args, M> {
        DynamicSupervisorRef { actor }
    }

    /// Starts a child with these arguments, and returns a reference to it.
    ///
    /// # Parks
    ///
    /// Parks until the child has started or has failed to start. Before that, it waits while the supervisor starts or
    /// stops other children.
    ///
    /// # Errors
    ///
    /// Returns an error if
    ///
    /// - the supervisor has as many children as it [may have](DynamicSupervisor::max_children);
    /// - the child does not start, in which case it is removed;
    /// - the supervisor has ended, or waits for the caller.
    ///
    /// # Examples
    ///
    /// See [`DynamicSupervisor`].
    #[track_caller]
    pub fn start(&self, args: Args) -> Result<ActorRef<M>, ChildError> {
        request(&self.actor, |reply| Request::Start(args, reply))?
    }

    /// Stops a child and removes it. A child that waits for its restart is not restarted any more.
    ///
    /// # Parks
    ///
    /// Parks until the child has ended.
    ///
    /// # Errors
    ///
    /// Returns an error if the actor is not a child of this supervisor, or if the supervisor has ended or waits for the
    /// caller.
    ///
    /// # Examples
    ///
    /// See [`DynamicSupervisor::max_children`].
    #[track_caller]
    pub fn terminate(&self, child: impl Into<Address>) -> Result<(), ChildError> {
        let child = child.into();
        let id = child.name().ok_or(ChildError::NotFound)?.into();
        request(&self.actor, |reply| Request::Terminate(id, Some(child.id()), reply))?
    }

    /// Stops the child with this id and removes it, as [`terminate`](Self::terminate) does.
    ///
    /// # Parks
    ///
    /// Parks until the child has ended.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such child, or if the supervisor has ended or waits for the caller.
    #[track_caller]
    pub fn terminate_id(&self, id: &str) -> Result<(), ChildError> {
        request(&self.actor, |reply| Request::Terminate(id.into(), None, reply))?
    }

    /// Returns the reference to the child with this id.
    ///
    /// # Parks
    ///
    /// Parks while the supervisor starts or stops other children.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such child, or if the supervisor has ended or waits for the caller.
    #[track_caller]
    pub fn actor_ref(&self, id: &str) -> Result<ActorRef<M>, ChildError> {
        request(&self.actor, |reply| Request::Find(id.into(), reply))?
    }

    /// Returns the children, oldest first. Returns an empty vector if the supervisor has ended or waits for the caller.
    ///
    /// # Parks
    ///
    /// Parks while the supervisor starts or stops children.
    #[track_caller]
    pub fn children(&self) -> Vec<ChildInfo> {
        request(&self.actor, Request::Children).unwrap_or_default()
    }

    /// Returns the number of children. Children that wait for their restart are included. Returns zero if the
    /// supervisor has ended or waits for the caller.
    ///
    /// # Parks
    ///
    /// Parks while the supervisor starts or stops children.
    #[track_caller]
    pub fn count(&self) -> usize {
        request(&self.actor, Request::Count).unwrap_or_default()
    }

    /// Stops all children at the same time, then the supervisor, and waits for its end, as
    /// [`SupervisorRef::stop`](super::SupervisorRef::stop) does.
    ///
    /// # Parks
    ///
    /// Parks until the children and the supervisor have ended, unless the caller is an actor of the tree itself.
    #[track_caller]
    pub fn stop(&self) {
        stop_and_join(&self.actor);
    }

    /// Kills the supervisor and its children, without waiting for their ends.
    pub fn kill(&self) {
        self.actor.kill();
    }

    /// Returns whether the supervisor has not ended yet.
    pub fn is_alive(&self) -> bool {
        self.actor.is_alive()
    }

    /// Waits for the supervisor's end, and returns its exit reason.
    ///
    /// # Panics
    ///
    /// Panics if the caller is an actor of the tree, which would wait for its own end.
    ///
    /// # Parks
    ///
    /// Parks until the supervisor has ended.
    #[track_caller]
    pub fn join(&self) -> ExitReason {
        self.actor.join()
    }

    /// Returns the supervisor's address.
    pub fn address(&self) -> Address {
        self.actor.address()
    }

    /// Returns the supervisor's id.
    pub fn id(&self) -> ActorId {
        self.actor.id()
    }

    /// Returns the supervisor's name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.actor.name()
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
