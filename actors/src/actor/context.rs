//! What an [`Actor`]'s methods receive.

use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;

use crate::actor::Actor;
use crate::address::{ActorRef, Address};
use crate::cell::AnyActor;
use crate::control::Control;
use crate::error::StashError;
use crate::exit::ActorId;
use crate::signal::MonitorId;
use crate::timers::TimerId;

/// The actor's access to itself, passed to each of its methods: its reference, timers, links, monitors and the stash.
///
/// An actor that is a loop has the same methods on its [`Mailbox`](crate::Mailbox).
///
/// # Examples
///
/// ```
/// use kahn::actor::{Actor, Context, ExitReason, Reply, spawn};
///
/// /// Spawns a helper for itself, and passes questions on.
/// struct Front(Option<kahn::actor::ActorRef<Reply<u32>>>);
/// struct Helper;
///
/// impl Actor for Helper {
///     type Message = Reply<u32>;
///     fn handle(&mut self, reply: Reply<u32>, _: &mut Context<Self>) -> Result<(), ExitReason> {
///         let _ = reply.send(7);
///         Ok(())
///     }
/// }
/// impl Actor for Front {
///     type Message = Reply<u32>;
///     fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
///         self.0 = Some(ctx.spawn_linked(Helper));
///         Ok(())
///     }
///     fn handle(&mut self, reply: Reply<u32>, _: &mut Context<Self>) -> Result<(), ExitReason> {
///         let helper = self.0.as_ref().expect("it has started");
///         Ok(helper.tell(reply)?)
///     }
/// }
/// assert_eq!(spawn(Front(None)).ask(|reply| reply), Ok(7));
/// ```
#[repr(transparent)]
pub struct Context<A: Actor> {
    control: Control<A::Message>,
    _actor: PhantomData<fn(A)>,
}

impl<A: Actor> Context<A> {
    pub(crate) fn of(control: &mut Control<A::Message>) -> &mut Context<A> {
        // SAFETY: `Context` is `repr(transparent)` over `Control<A::Message>`, and the result has the lifetime of the
        // borrow.
        unsafe { &mut *core::ptr::from_mut(control).cast() }
    }

    pub(crate) fn any(&self) -> &AnyActor {
        self.control.any()
    }

    /// Returns a reference to this actor.
    pub fn me(&self) -> ActorRef<A::Message> {
        self.control.me()
    }

    /// Returns the actor's number.
    pub fn id(&self) -> ActorId {
        self.control.id()
    }

    /// Returns the actor's name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.control.name()
    }

    /// Ends the actor, with [`ExitReason::Normal`](crate::ExitReason::Normal), after the message that it is handling.
    /// If the handler then returns an error or panics, the actor ends with that reason instead: a stop hides no
    /// failure.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Actor, Context, ExitReason, spawn};
    ///
    /// struct Once;
    /// impl Actor for Once {
    ///     type Message = ();
    ///     fn handle(&mut self, (): (), ctx: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         ctx.stop();
    ///         Ok(())
    ///     }
    /// }
    /// let once = spawn(Once);
    /// once.tell(()).unwrap();
    /// assert!(once.join().is_normal());
    /// ```
    pub fn stop(&mut self) {
        self.control.stop();
    }

    /// Links this actor and another. If one of them ends with a reason other than `Normal`, the other ends too, unless
    /// it [traps exits](Self::trap_exits). If the other has ended already, this happens at once.
    pub fn link(&mut self, other: impl Into<Address>) {
        self.control.link(other);
    }

    /// Removes a link. The end of the other actor has no effect if it comes after this. If it has happened already,
    /// an actor that traps exits may still be told of it, and another ends with `LinkDied`.
    pub fn unlink(&mut self, other: impl Into<Address>) {
        self.control.unlink(other);
    }

    /// Monitors another actor: this actor is told once when the other ends, by [`Actor::down`](crate::Actor::down), or
    /// in a loop by [`Mailbox::next_mail`](crate::Mailbox::next_mail). If the other has ended already, this actor is
    /// told at once.
    ///
    /// A monitor covers one life. When a supervised actor fails, its monitors, links and timers end, even if the actor
    /// is restarted. To be told of the next end too, monitor the actor again.
    pub fn monitor(&mut self, other: impl Into<Address>) -> MonitorId {
        self.control.monitor(other)
    }

    /// Removes a monitor. From here on this actor is not told of the other's end, even if that has already happened.
    pub fn demonitor(&mut self, monitor: MonitorId) {
        self.control.demonitor(monitor);
    }

    /// Sets whether this actor traps exits. An actor that traps exits is told of the end of a linked actor as by a
    /// monitor, and is not ended by it. A kill still ends it.
    pub fn trap_exits(&mut self, trap: bool) {
        self.control.trap_exits(trap);
    }

    /// Sends this actor a message after `delay`, unless the actor has ended by then. The message takes no room in the
    /// mailbox, and is handled before the messages there.
    ///
    /// # Examples
    ///
    /// An actor that collects lines, and passes them on in batches, 20 milliseconds after the first line:
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{Actor, Context, ExitReason, spawn};
    /// use kahn::channel::{Sender, bounded};
    ///
    /// struct Batch(Vec<String>, Sender<Vec<String>>);
    /// enum Message {
    ///     Line(String),
    ///     Flush,
    /// }
    /// impl Actor for Batch {
    ///     type Message = Message;
    ///     fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         match message {
    ///             Message::Line(line) => {
    ///                 if self.0.is_empty() {
    ///                     ctx.send_after(Duration::from_millis(20), Message::Flush);
    ///                 }
    ///                 self.0.push(line);
    ///             }
    ///             Message::Flush => self.1.send(std::mem::take(&mut self.0))?,
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// let (batch, batches) = bounded(1);
    /// let lines = spawn(Batch(Vec::new(), batch));
    /// lines.tell(Message::Line("one".into())).unwrap();
    /// assert_eq!(batches.recv().unwrap(), ["one"]);
    /// ```
    pub fn send_after(&mut self, delay: Duration, message: A::Message) -> TimerId {
        self.control.send_after(delay, message)
    }

    /// Sends this actor a message every `period`, the first after one period. If the previous message has not been
    /// handled at the end of a period, that period sends no message, and it is not made up for.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    #[track_caller]
    pub fn send_every(&mut self, period: Duration, message: A::Message) -> TimerId
    where
        A::Message: Clone,
    {
        self.control.send_every(period, message)
    }

    /// Like [`send_every`](Self::send_every), but `make` makes each message, when that message is about to be handled.
    /// So a message may hold a value that cannot be cloned, such as a [`Reply`](crate::Reply). A panic of `make` is a
    /// panic of the actor.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    #[track_caller]
    pub fn send_every_with(
        &mut self,
        period: Duration,
        make: impl FnMut() -> A::Message + Send + 'static,
    ) -> TimerId {
        self.control.send_every_with(period, make)
    }

    /// Cancels a timer. A message of it that is not being handled yet is removed. Returns whether there was such a
    /// timer.
    pub fn cancel_timer(&mut self, timer: TimerId) -> bool {
        self.control.cancel_timer(timer)
    }

    /// Sends this actor `message` once, when the actor has had nothing to do for `idle`.
    ///
    /// The idle time runs from the end of a handler to the next message of the mailbox. It does not end while a message
    /// is in the mailbox. Messages of the actor's timers, and stashed messages, do not restart it.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{Actor, Context, ExitReason, spawn};
    ///
    /// /// Ends when no request has come for a while.
    /// struct Session;
    /// enum Message { Request, Idle }
    ///
    /// impl Actor for Session {
    ///     type Message = Message;
    ///     fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         Ok(ctx.set_idle_timeout(Duration::from_millis(2), Message::Idle))
    ///     }
    ///     fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         if let Message::Idle = message {
    ///             ctx.stop();
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// let session = spawn(Session);
    /// session.tell(Message::Request).unwrap();
    /// assert!(session.join().is_normal());
    /// ```
    pub fn set_idle_timeout(&mut self, idle: Duration, message: A::Message) {
        self.control.set_idle_timeout(idle, message);
    }

    /// Removes the idle timeout that [`set_idle_timeout`](Self::set_idle_timeout) has set.
    pub fn clear_idle_timeout(&mut self) {
        self.control.clear_idle_timeout();
    }

    /// Returns whether this actor was asked to stop, by itself or from outside. It will stop after the message that
    /// it is handling. A long handler may check this and return early.
    pub fn is_stopping(&self) -> bool {
        self.control.is_stopping()
    }

    /// Stashes a message, to be handled after [`unstash_all`](Self::unstash_all).
    ///
    /// # Examples
    ///
    /// The log stashes writes until it is open:
    ///
    /// ```
    /// use kahn::actor::{Actor, Context, ExitReason, Reply, spawn};
    ///
    /// struct Log(Option<Vec<&'static str>>);
    /// enum Message {
    ///     Open,
    ///     Write(&'static str),
    ///     Read(Reply<Vec<&'static str>>),
    /// }
    /// impl Actor for Log {
    ///     type Message = Message;
    ///     fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         match (message, &mut self.0) {
    ///             (Message::Open, _) => {
    ///                 self.0 = Some(Vec::new());
    ///                 ctx.unstash_all();
    ///             }
    ///             (early, None) => ctx.stash(early),
    ///             (Message::Write(line), Some(lines)) => lines.push(line),
    ///             (Message::Read(reply), Some(lines)) => drop(reply.send(lines.clone())),
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// let log = spawn(Log(None));
    /// for message in [Message::Write("a"), Message::Write("b"), Message::Open] {
    ///     log.tell(message).unwrap();
    /// }
    /// assert_eq!(log.ask(Message::Read).unwrap(), ["a", "b"]);
    /// ```
    ///
    /// # Panics
    ///
    /// If the stash is full: it holds as many messages as the mailbox. The message is then a dead letter, and the panic
    /// ends this life. After a restart the stash is empty, and the messages that were in it are handled first. If these
    /// fill the stash again, the next life ends in the same way. [`try_stash`](Self::try_stash) lets the handler decide
    /// instead.
    #[track_caller]
    pub fn stash(&mut self, message: A::Message) {
        self.control.stash(message);
    }

    /// Like [`stash`](Self::stash), but returns the message if the stash is full.
    ///
    /// # Errors
    ///
    /// Returns the message in an error if as many messages are stashed as the mailbox holds.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn_actors::{Actor, AskError, Builder, Context, ExitReason, Reply};
    ///
    /// /// Is not ready yet, and refuses messages that it cannot stash.
    /// struct Starting;
    /// impl Actor for Starting {
    ///     type Message = Reply<u32>;
    ///     fn handle(&mut self, reply: Reply<u32>, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         if let Err(full) = ctx.try_stash(reply) {
    ///             drop(full.into_inner()); // the asker is told that there will be no reply
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// let starting = Builder::new().mailbox(1).spawn(Starting);
    /// starting.tell(kahn_actors::testing::reply().0).unwrap();
    /// assert_eq!(starting.ask(|reply| reply), Err(AskError::NoReply));
    /// ```
    pub fn try_stash(&mut self, message: A::Message) -> Result<(), StashError<A::Message>> {
        self.control.try_stash(message)
    }

    /// Moves all stashed messages to the front: they are handled next, in the order in which they were stashed.
    ///
    /// If the handlers of these messages stash and unstash each time, the actor never comes to its mailbox.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::{Inbox, Stepped};
    /// use kahn::actor::{Actor, ActorRef, Context, ExitReason};
    ///
    /// /// Stashes numbers until a zero comes.
    /// struct Late(ActorRef<u32>, bool);
    /// impl Actor for Late {
    ///     type Message = u32;
    ///     fn handle(&mut self, n: u32, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         if n == 0 {
    ///             self.1 = true;
    ///             ctx.unstash_all();
    ///         } else if self.1 {
    ///             self.0.tell(n)?;
    ///         } else {
    ///             ctx.stash(n);
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// let mut inbox = Inbox::new();
    /// let mut late = Stepped::start(Late(inbox.actor_ref(), false));
    /// [1, 2, 0].map(|n| late.deliver(n));
    /// late.run();
    /// assert_eq!(inbox.take_all(), [1, 2]);
    /// ```
    pub fn unstash_all(&mut self) {
        self.control.unstash_all();
    }
}

impl<A: Actor> fmt::Debug for Context<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.control.fmt_as("Context", f)
    }
}
