//! Public methods of [`Control`].

use core::time::Duration;

use kahn_core::primitives::Ordering;

use super::Control;
use crate::address::{ActorRef, Address};
use crate::dead_letters;
use crate::error::StashError;
use crate::exit::{ActorId, ExitReason};
use crate::lifecycle::stop;
use crate::links;
use crate::signal::MonitorId;
use crate::timers::{Ready, TimerId};

impl<M: Send + 'static> Control<M> {
    /// Returns a reference to this actor.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Builder, Mailbox};
    ///
    /// let actor = Builder::new().name("me").spawn_loop(|mailbox: &mut Mailbox<u32>| {
    ///     mailbox.me().tell(1)?;
    ///     assert_eq!(mailbox.recv()?, 1);
    ///     Ok(())
    /// });
    /// assert!(actor.join().is_normal());
    /// ```
    pub fn me(&self) -> ActorRef<M> {
        // Relaxed: the caller is the running actor, so the process is alive.
        if self.me.core.strong.fetch_add(1, Ordering::Relaxed) == 0 {
            // The count was zero, so there is no reference to the process that the `ActorRef`s share. This takes one.
            self.me.retain();
        }
        // SAFETY: the `ActorRef`s share one reference to the process: that of those counted before, or the one just
        // taken. The new `ActorRef` is counted.
        ActorRef::new(unsafe { core::ptr::read((&raw const *self.me).cast()) })
    }

    /// Returns the actor's number.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Builder, Mailbox};
    ///
    /// let actor = Builder::new().name("me").spawn_loop(|mailbox: &mut Mailbox<u32>| {
    ///     assert_eq!(mailbox.id(), mailbox.me().id());
    ///     Ok(())
    /// });
    /// assert!(actor.join().is_normal());
    /// ```
    pub fn id(&self) -> ActorId {
        crate::cell::id_of(&*self.me)
    }

    /// Returns the actor's name, if it was given one.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Builder, Mailbox};
    ///
    /// let actor = Builder::new().name("me").spawn_loop(|mailbox: &mut Mailbox<u32>| {
    ///     assert_eq!(mailbox.name(), Some("me"));
    ///     Ok(())
    /// });
    /// assert!(actor.join().is_normal());
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.me.name()
    }

    /// Ends the actor, with [`ExitReason::Normal`], after the message that it is handling. If the handler then returns an
    /// error or panics, the actor ends for that instead: a stop hides no failure.
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
        self.stops = true;
        stop(self.any(), ExitReason::Normal);
    }

    /// Links this actor and another. If one of them ends with a reason other than `Normal`, the other ends too, unless
    /// it [traps exits](Self::trap_exits). If the other has ended already, this happens at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Builder, ExitReason, Mailbox};
    ///
    /// let worker = Builder::new().spawn_loop(|mailbox: &mut Mailbox<()>| {
    ///     mailbox.recv()?;
    ///     Err(ExitReason::failed("out of paper"))
    /// });
    /// let address = worker.address();
    /// let partner = Builder::new().name("partner").spawn_loop(move |mailbox: &mut Mailbox<()>| {
    ///     mailbox.link(&address);
    ///     mailbox.recv() // for ever
    ///         .map_err(ExitReason::from)
    /// });
    /// worker.tell(()).unwrap();
    /// assert!(matches!(partner.join(), ExitReason::LinkDied(_)));
    /// ```
    pub fn link(&mut self, other: impl Into<Address>) {
        links::link(self.any(), &other.into().process);
    }

    /// Removes a link. The end of the other actor has no effect if it comes after this. If it has happened already, an actor
    /// that traps exits may still be told of it, and another ends with `LinkDied`.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Builder, Mailbox};
    ///
    /// let actor = Builder::new().name("me").spawn_loop(|mailbox: &mut Mailbox<u32>| {
    ///     let other = Builder::new().spawn_loop(|mailbox: &mut Mailbox<()>| Ok(mailbox.recv()?));
    ///     mailbox.link(&other);
    ///     mailbox.unlink(&other);
    ///     other.kill();
    ///     other.join();
    ///     Ok(())
    /// });
    /// assert!(actor.join().is_normal());
    /// ```
    pub fn unlink(&mut self, other: impl Into<Address>) {
        links::unlink(self.any(), &other.into().process);
    }

    /// Monitors another actor: this actor is told once when the other ends, by [`Actor::down`](crate::Actor::down), or
    /// in a loop by [`Mailbox::next_mail`](crate::Mailbox::next_mail). If the other has ended already, this actor is
    /// told at once.
    ///
    /// A monitor covers one life. When a supervised actor fails, its monitors, links and timers end, even if the actor
    /// is restarted. To be told of the next end too, monitor the actor again.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Builder, Mail, Mailbox};
    ///
    /// let worker = Builder::new().name("worker").spawn_loop(|mailbox: &mut Mailbox<()>| Ok(mailbox.recv()?));
    /// let watched = worker.clone();
    /// let watcher = Builder::new().spawn_loop(move |mailbox: &mut Mailbox<()>| {
    ///     mailbox.monitor(&watched);
    ///     watched.kill();
    ///     let Mail::Down(down) = mailbox.next_mail()? else { panic!("no thread sends a message") };
    ///     assert_eq!(down.to_string(), "worker ended: killed");
    ///     Ok(())
    /// });
    /// assert!(watcher.join().is_normal());
    /// ```
    pub fn monitor(&mut self, other: impl Into<Address>) -> MonitorId {
        links::monitor(self.any(), &other.into().process)
    }

    /// Removes a monitor. From here on this actor is not told of the other's end, even if that has already happened.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{Builder, Mailbox};
    ///
    /// let actor = Builder::new().name("me").spawn_loop(|mailbox: &mut Mailbox<u32>| {
    ///     let other = Builder::new().spawn_loop(|mailbox: &mut Mailbox<()>| Ok(mailbox.recv()?));
    ///     let monitor = mailbox.monitor(&other);
    ///     other.kill();
    ///     other.join();
    ///     // The notification has arrived, and has not been handled.
    ///     mailbox.demonitor(monitor);
    ///     assert!(mailbox.next_mail_timeout(Duration::ZERO).is_err());
    ///     Ok(())
    /// });
    /// assert!(actor.join().is_normal());
    /// ```
    pub fn demonitor(&mut self, monitor: MonitorId) {
        links::demonitor(self.any(), monitor);
        if let Some(own) = &mut self.own {
            drop(own.passed_downs.remove(monitor));
        }
    }

    /// Sets whether this actor traps exits. An actor that traps exits is told of the end of a linked actor as by a
    /// monitor, and is not ended by it. A kill still ends it.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Builder, ExitReason, Mail, Mailbox, spawn};
    /// # use kahn::actor::{Actor, Context};
    /// # struct Fragile;
    /// # impl Actor for Fragile {
    /// #     type Message = ();
    /// #     fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         Err(ExitReason::failed("broken"))
    /// #     }
    /// # }
    ///
    /// let nurse = Builder::new().spawn_loop(|mailbox: &mut Mailbox<()>| {
    ///     mailbox.trap_exits(true);
    ///     let patient = mailbox.spawn_linked(Fragile);
    ///     patient.tell(()).unwrap();
    ///     match mailbox.next_mail()? {
    ///         Mail::Down(down) => assert_eq!(down.reason.to_string(), "failed: broken"),
    ///         other => panic!("{other:?}"),
    ///     }
    ///     Ok(())
    /// });
    /// assert!(nurse.join().is_normal());
    /// ```
    pub fn trap_exits(&mut self, trap: bool) {
        self.me.core.state.lock().set_traps(trap);
    }

    /// Sends this actor a message after `delay`, unless the actor has ended by then. The message takes no room in the
    /// mailbox, and is handled before the messages there.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{Builder, Mailbox};
    ///
    /// let actor = Builder::new().name("me").spawn_loop(|mailbox: &mut Mailbox<&str>| {
    ///     mailbox.send_after(Duration::from_millis(2), "later");
    ///     mailbox.send_after(Duration::from_millis(1), "soon");
    ///     assert_eq!((mailbox.recv()?, mailbox.recv()?), ("soon", "later"));
    ///     Ok(())
    /// });
    /// assert!(actor.join().is_normal());
    /// ```
    pub fn send_after(&mut self, delay: Duration, message: M) -> TimerId {
        self.own().timers.once(delay, message)
    }

    /// Sends this actor a message every `period`, the first after one period. If the previous message has not been
    /// handled at the end of a period, that period sends no message, and it is not made up for.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{Builder, Mailbox};
    ///
    /// let clock = Builder::new().spawn_loop(|mailbox: &mut Mailbox<&str>| {
    ///     let beat = mailbox.send_every(Duration::from_millis(1), "tick");
    ///     for _ in 0..3 {
    ///         assert_eq!(mailbox.recv()?, "tick");
    ///     }
    ///     assert!(mailbox.cancel_timer(beat));
    ///     Ok(())
    /// });
    /// assert!(clock.join().is_normal());
    /// ```
    #[track_caller]
    pub fn send_every(&mut self, period: Duration, message: M) -> TimerId
    where
        M: Clone,
    {
        assert!(!period.is_zero(), "send_every: the period must be longer than zero");
        self.own().timers.every(period, move || message.clone())
    }

    /// Like [`send_every`](Self::send_every), but `make` makes each message, when that message is about to be handled.
    /// So a message may hold a value that cannot be cloned, such as a [`Reply`](crate::Reply). A panic of `make` is a
    /// panic of the actor.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn_actors::{Builder, Mailbox};
    ///
    /// struct Beat(u32); // no Clone
    /// let clock = Builder::new().spawn_loop(|mailbox: &mut Mailbox<Beat>| {
    ///     let mut count = 0;
    ///     mailbox.send_every_with(Duration::from_millis(1), move || {
    ///         count += 1;
    ///         Beat(count)
    ///     });
    ///     assert_eq!((mailbox.recv()?.0, mailbox.recv()?.0), (1, 2));
    ///     Ok(())
    /// });
    /// assert!(clock.join().is_normal());
    /// ```
    #[track_caller]
    pub fn send_every_with(&mut self, period: Duration, make: impl FnMut() -> M + Send + 'static) -> TimerId {
        assert!(!period.is_zero(), "send_every_with: the period must be longer than zero");
        self.own().timers.every(period, make)
    }

    /// Cancels a timer. A message of it that is not being handled yet is removed. Returns whether there was such a
    /// timer.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{Builder, Mailbox};
    ///
    /// let actor = Builder::new().name("me").spawn_loop(|mailbox: &mut Mailbox<&str>| {
    ///     let late = mailbox.send_after(Duration::from_secs(1000), "late");
    ///     assert!(mailbox.cancel_timer(late));
    ///     assert!(!mailbox.cancel_timer(late), "there is nothing more to end");
    ///     Ok(())
    /// });
    /// assert!(actor.join().is_normal());
    /// ```
    pub fn cancel_timer(&mut self, timer: TimerId) -> bool {
        self.own.as_mut().is_some_and(|own| own.timers.cancel(timer))
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
    pub fn set_idle_timeout(&mut self, idle: Duration, message: M) {
        self.own().timers.set_idle(idle, message);
    }

    /// Removes the idle timeout that [`set_idle_timeout`](Self::set_idle_timeout) has set.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{Builder, Mailbox};
    ///
    /// let actor = Builder::new().name("me").spawn_loop(|mailbox: &mut Mailbox<&str>| {
    ///     mailbox.set_idle_timeout(Duration::from_millis(1), "idle");
    ///     mailbox.clear_idle_timeout();
    ///     assert!(mailbox.recv_timeout(Duration::from_millis(5)).is_err());
    ///     Ok(())
    /// });
    /// assert!(actor.join().is_normal());
    /// ```
    pub fn clear_idle_timeout(&mut self) {
        if let Some(own) = &mut self.own {
            own.timers.clear_idle();
        }
    }

    /// Returns whether this actor was asked to stop, by itself or from outside. It will stop after the message that it is handling. A long handler
    /// may check this and return early.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Builder, Mailbox};
    ///
    /// let long = Builder::new().spawn_loop(|mailbox: &mut Mailbox<()>| {
    ///     while !mailbox.is_stopping() {
    ///         kahn::yield_now(); // a piece of the work
    ///     }
    ///     Ok(())
    /// });
    /// long.stop();
    /// assert!(long.join().is_normal());
    /// ```
    pub fn is_stopping(&self) -> bool {
        self.me.core.state.lock().is_stopping()
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
    pub fn stash(&mut self, message: M) {
        if let Err(StashError(message)) = self.try_stash(message) {
            dead_letters::lose(self.any(), message);
            let limit = self.me.lock().lane().limit();
            panic!("stash: {limit} messages are stashed, which is as many as the mailbox holds");
        }
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
    pub fn try_stash(&mut self, message: M) -> Result<(), StashError<M>> {
        let limit = self.me.lock().lane().limit();
        let stash = &mut self.own().stash;
        if stash.len() >= limit {
            return Err(StashError(message));
        }
        stash.push_back(message);
        Ok(())
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
        if let Some(own) = &mut self.own {
            while let Some(message) = own.stash.pop_back() {
                own.ready.push_front(Ready::Message(message));
            }
        }
    }
}
