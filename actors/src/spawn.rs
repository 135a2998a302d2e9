//! Starting actors.

use core::fmt;

use kahn_core::process;
use kahn_core::wait::charge;

use crate::actor::{Actor, Context};
use crate::address::ActorRef;
use crate::cell::{AnyActor, Head, Overflow};
use crate::control::{Control, Next};
use crate::exit::ExitReason;
use crate::life::{Incarnation, Life, TurnEnd};
use crate::links;
use crate::panics;

/// Default capacity of a mailbox, in messages.
///
/// # Examples
///
/// ```
/// assert_eq!(kahn::actor::MAILBOX, 128);
/// ```
pub const MAILBOX: usize = 128;
/// The number of messages that an actor handles in one turn.
const BATCH: u32 = 64;

/// Starts an actor with a mailbox for [`MAILBOX`] messages. It runs in the caller's runtime, or in the default one if
/// the caller is in none.
///
/// # Examples
///
/// ```
/// use kahn::actor::{Actor, Context, ExitReason, Reply, spawn};
///
/// struct Echo;
/// impl Actor for Echo {
///     type Message = (u32, Reply<u32>);
///     fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
///         let _ = reply.send(n);
///         Ok(())
///     }
/// }
/// assert_eq!(spawn(Echo).ask(|reply| (7, reply)), Ok(7));
/// ```
pub fn spawn<A: Actor>(actor: A) -> ActorRef<A::Message> {
    Builder::new().spawn(actor)
}

/// The settings of an actor to start.
///
/// # Examples
///
/// ```
/// use kahn::actor::{Actor, Builder, Context, ExitReason, Overflow};
///
/// struct Log(Vec<String>);
/// impl Actor for Log {
///     type Message = String;
///     fn handle(&mut self, line: String, _: &mut Context<Self>) -> Result<(), ExitReason> {
///         self.0.push(line);
///         Ok(())
///     }
/// }
/// let log = Builder::new().name("log").mailbox(1024).overflow(Overflow::DropOldest).spawn(Log(Vec::new()));
/// assert_eq!(log.name(), Some("log"));
/// ```
#[must_use = "`spawn` starts the actor"]
#[derive(Clone, Default)]
pub struct Builder {
    name: Option<Box<str>>,
    mailbox: Option<u32>,
    overflow: Overflow,
    pub(crate) supervisor: Option<AnyActor>,
    link: Option<AnyActor>,
}

impl Builder {
    /// Returns the default settings: no name, a mailbox for [`MAILBOX`] messages, and senders that wait while the
    /// mailbox is full.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Builder, Context, ExitReason, Reply};
    /// #
    /// # struct Echo;
    /// # impl Actor for Echo {
    /// #     type Message = (u32, Reply<u32>);
    /// #     fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         let _ = reply.send(n);
    /// #         Ok(())
    /// #     }
    /// # }
    /// assert_eq!(Builder::new().spawn(Echo).capacity(), 128);
    /// ```
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Sets the actor's name, which reports show.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Builder, Context, ExitReason, Reply};
    /// #
    /// # struct Echo;
    /// # impl Actor for Echo {
    /// #     type Message = (u32, Reply<u32>);
    /// #     fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         let _ = reply.send(n);
    /// #         Ok(())
    /// #     }
    /// # }
    /// assert_eq!(Builder::new().name("echo").spawn(Echo).name(), Some("echo"));
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into().into_boxed_str());
        self
    }

    /// Sets the capacity of the mailbox, in messages.
    ///
    /// # Panics
    ///
    /// Panics if `capacity` is zero or above 2^31.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Builder, Context, ExitReason, Reply};
    /// #
    /// # struct Echo;
    /// # impl Actor for Echo {
    /// #     type Message = (u32, Reply<u32>);
    /// #     fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         let _ = reply.send(n);
    /// #         Ok(())
    /// #     }
    /// # }
    /// assert_eq!(Builder::new().mailbox(16).spawn(Echo).capacity(), 16);
    /// ```
    #[track_caller]
    pub fn mailbox(mut self, capacity: usize) -> Builder {
        assert!(capacity > 0, "mailbox: the capacity must be one at least");
        let capacity = u32::try_from(capacity).ok().filter(|&capacity| capacity <= 1 << 31);
        self.mailbox = Some(capacity.expect("mailbox: the capacity must be 2^31 at most"));
        self
    }

    /// Sets what happens to messages that find the mailbox full.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Builder, Context, ExitReason, Reply};
    /// #
    /// # struct Echo;
    /// # impl Actor for Echo {
    /// #     type Message = (u32, Reply<u32>);
    /// #     fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         let _ = reply.send(n);
    /// #         Ok(())
    /// #     }
    /// # }
    /// let echo = Builder::new().overflow(kahn::actor::Overflow::Fail).spawn(Echo);
    /// assert_eq!(echo.ask(|reply| (7, reply)), Ok(7));
    /// ```
    pub fn overflow(mut self, overflow: Overflow) -> Builder {
        self.overflow = overflow;
        self
    }

    /// Links the new actor to the actor `to` before it starts.
    pub(crate) fn linked(mut self, to: &AnyActor) -> Builder {
        self.link = Some(to.clone());
        self
    }

    /// Starts the actor.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Builder, Context, ExitReason, Reply};
    /// #
    /// # struct Echo;
    /// # impl Actor for Echo {
    /// #     type Message = (u32, Reply<u32>);
    /// #     fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         let _ = reply.send(n);
    /// #         Ok(())
    /// #     }
    /// # }
    /// assert_eq!(Builder::new().spawn(Echo).ask(|reply| (7, reply)), Ok(7));
    /// ```
    pub fn spawn<A: Actor>(self, actor: A) -> ActorRef<A::Message> {
        self.start(ActorFactory::once(actor), false)
    }

    /// Starts the actor that `make` makes. `make` runs on the worker on which the actor begins. If it panics, the actor
    /// ends.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Actor, Builder, Context, ExitReason, Reply};
    ///
    /// struct Cache(Vec<u8>);
    /// impl Actor for Cache {
    ///     type Message = Reply<usize>;
    ///     fn handle(&mut self, reply: Reply<usize>, _: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         Ok(drop(reply.send(self.0.len())))
    ///     }
    /// }
    /// // The megabyte is made by the actor's worker, and not by the parent.
    /// let cache = Builder::new().spawn_with(|| Cache(vec![0; 1 << 20]));
    /// assert_eq!(cache.ask(|reply| reply), Ok(1 << 20));
    /// ```
    pub fn spawn_with<A: Actor>(self, make: impl FnOnce() -> A + Send + 'static) -> ActorRef<A::Message> {
        let mut make = Some(make);
        self.spawn_again(move || make.take().expect("it is started once")())
    }

    /// Starts an actor that its supervisor may restart, with a new value each time.
    pub(crate) fn spawn_again<A: Actor>(
        self,
        make: impl FnMut() -> A + Send + 'static,
    ) -> ActorRef<A::Message> {
        self.start(ActorFactory { actor: None, make }, false)
    }

    pub(crate) fn start<M: Send + 'static>(
        self,
        incarnation: impl Incarnation<M>,
        is_loop: bool,
    ) -> ActorRef<M> {
        self.start_prepared(incarnation, is_loop, |_| {})
    }

    /// Like [`start`](Self::start). Calls `prepare` with the actor before its first turn can begin.
    pub(crate) fn start_prepared<M: Send + 'static>(
        self,
        incarnation: impl Incarnation<M>,
        is_loop: bool,
        prepare: impl FnOnce(&ActorRef<M>),
    ) -> ActorRef<M> {
        panics::watch();
        let capacity = self.mailbox.unwrap_or(MAILBOX as u32);
        let head = Head::new(capacity, self.overflow, is_loop);
        // SAFETY: this crate creates all processes of the program, and each has a `Head`, which begins in `repr(C)`
        // with a `Core`. So all heads begin with the same type.
        let process = unsafe { process::new(head, Life::new(incarnation), self.name) };
        let actor = ActorRef::new(process);
        if let Some(supervisor) = self.supervisor {
            // The supervisor starts the first incarnation.
            links::hand_over(supervisor, actor.any());
        }
        if let Some(link) = &self.link {
            links::link(link, actor.any());
        }
        prepare(&actor);
        process::start(actor.process());
        actor
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("mailbox", &self.mailbox.unwrap_or(MAILBOX as u32))
            .field("overflow", &self.overflow)
            .finish_non_exhaustive()
    }
}

impl<A: Actor> Context<A> {
    /// Starts an actor that is linked to this one.
    ///
    /// # Examples
    ///
    /// See [`Context`].
    pub fn spawn_linked<B: Actor>(&self, actor: B) -> ActorRef<B::Message> {
        self.spawn_linked_by(Builder::new(), actor)
    }

    /// Starts an actor with the settings of `builder` that is linked to this one.
    pub fn spawn_linked_by<B: Actor>(&self, builder: Builder, actor: B) -> ActorRef<B::Message> {
        builder.linked(self.any()).spawn(actor)
    }
}

/// An actor's value, and the function that makes the next one.
pub(crate) struct ActorFactory<A, F> {
    actor: Option<A>,
    make: F,
}

/// Makes an actor's value for each of its incarnations.
pub(crate) trait MakeActor<A>: Send + 'static {
    fn make(&mut self) -> A;
}

impl<A, F: FnMut() -> A + Send + 'static> MakeActor<A> for F {
    fn make(&mut self) -> A {
        self()
    }
}

/// The function of an actor that is started once, with a value that exists already. It has no size: a function pointer
/// per actor would matter for a million actors.
pub(crate) struct NoFactory;

impl<A> MakeActor<A> for NoFactory {
    fn make(&mut self) -> A {
        unreachable!("it is started once")
    }
}

/// An actor that is started once.
pub(crate) type SingleActor<A> = ActorFactory<A, NoFactory>;

impl<A: Actor> SingleActor<A> {
    pub(crate) fn once(actor: A) -> SingleActor<A> {
        ActorFactory { actor: Some(actor), make: NoFactory }
    }

    pub(crate) fn actor_if_any(&mut self) -> Option<&mut A> {
        self.actor.as_mut()
    }
}

impl<A: Actor, F: MakeActor<A>> ActorFactory<A, F> {
    pub(crate) fn actor(&mut self) -> &mut A {
        self.actor.as_mut().expect("it is there from `begin` to `discard`")
    }
}

impl<A: Actor, F: MakeActor<A>> Incarnation<A::Message> for ActorFactory<A, F> {
    fn begin(&mut self, control: &mut Control<A::Message>) -> Result<(), ExitReason> {
        if self.actor.is_none() {
            self.actor = Some(self.make.make());
        }
        self.actor().started(Context::of(control))
    }

    #[inline]
    fn run(&mut self, control: &mut Control<A::Message>) -> TurnEnd {
        let actor = self.actor();
        for _ in 0..BATCH {
            let done = match control.next() {
                Next::Message(message) => actor.handle(message, Context::of(control)),
                Next::Down(down) => actor.down(down, Context::of(control)),
                Next::End(reason) => Err(reason),
                Next::Idle => return TurnEnd::Idle,
            };
            if let Err(reason) = done {
                return TurnEnd::End(reason);
            }
        }
        // As each message has cost its sender one operation. Without this, the actor would get a turn of a batch for each
        // operation of the threads with a stack, and empty its mailbox before its senders run again.
        charge(BATCH);
        // The next turn has another `Control`, which would not know of a stop that the actor has asked for.
        control.requested_end().map_or(TurnEnd::Again, TurnEnd::End)
    }

    fn stopped(&mut self, reason: &ExitReason, control: &mut Control<A::Message>) {
        self.actor().stopped(reason, Context::of(control));
    }

    fn discard(&mut self) {
        self.actor = None;
    }
}
