//! What is public of it.

use core::time::Duration;

use kahn_core::facade::Ordering;

use super::Control;
use crate::address::{ActorRef, Address};
use crate::dead_letters;
use crate::error::StashError;
use crate::exit::{ActorId, ExitReason};
use crate::links;
use crate::signal::MonitorId;
use crate::timers::{Ready, TimerId};

impl<M: Send + 'static> Control<M> {
    /// Itself.
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
        // Relaxed: the caller runs, so the process is there.
        if self.me.core.strong.fetch_add(1, Ordering::Relaxed) == 0 {
            // The first again: it needs the reference to the process that all of them share.
            self.me.retain();
        }
        // SAFETY: the references share one reference to the process.
        ActorRef::new(unsafe { core::ptr::read((&raw const *self.me).cast()) })
    }

    /// Its number.
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

    /// Its name, if it was given one.
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

    /// Ends, normally, when the message in hand has been handled.
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
        self.end.get_or_insert(ExitReason::Normal);
    }

    /// Links this actor and another: if one of them ends other than normally, so does the other, unless it
    /// [traps exits](Self::trap_exits). If the other has ended, that happens now.
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

    /// Undoes a link. The other's end has no effect from here on, even if it has happened.
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

    /// Lets this actor be told when another ends, once: by [`Actor::down`](crate::Actor::down), or in a loop by
    /// [`Mailbox::next_mail`](crate::Mailbox::next_mail). If it has ended, it is told at once.
    ///
    /// It is told of the end of one life. A supervised actor that fails has ended, as far as its monitors, links and timers
    /// are concerned, even if it is restarted: whoever wants to be told of the next end, too, monitors it again.
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
    ///     let Mail::Down(down) = mailbox.next_mail()? else { panic!("nobody tells it anything") };
    ///     assert_eq!(down.to_string(), "worker ended: killed");
    ///     Ok(())
    /// });
    /// assert!(watcher.join().is_normal());
    /// ```
    pub fn monitor(&mut self, other: impl Into<Address>) -> MonitorId {
        links::monitor(self.any(), &other.into().process)
    }

    /// Takes a monitor back. It is not told of the other's end from here on, even if that has happened.
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
    ///     // It has been told, and has not handled that.
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

    /// Whether the ends of those it is linked to are told to it, as those that it monitors, and do not end it. A kill
    /// still does.
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

    /// Sends itself a message after `delay`, unless it has ended. The message does not take room in the mailbox, and is
    /// handled before what is there.
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

    /// Sends itself a message every `period`, the first after one period. A moment that is missed is not made up for;
    /// one that comes while the message before has not been handled is missed.
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

    /// As [`send_every`](Self::send_every), with messages that `make` makes, one at a time, when each is about to be handled.
    /// So a message may hold what cannot be cloned, a [`Reply`](crate::Reply) for one. A panic of `make` is the actor's.
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

    /// Ends a timer. What it has sent and is not in hand yet is taken back. Answers whether there was anything to end.
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

    /// Sends itself `message`, once, as soon as it has had nothing to do for `idle`. That time runs from the end of a handler
    /// to the next message of the mailbox, and is never over while one waits. Messages of its timers, and those that it had
    /// put aside, do not put it off.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{Actor, Context, ExitReason, spawn};
    ///
    /// /// Ends when nobody has wanted anything for a while.
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

    /// Takes back [`set_idle_timeout`](Self::set_idle_timeout).
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

    /// Whether it was asked to stop. It will be, after the message in hand; a handler that takes long may look here, and
    /// come to an end.
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

    /// Puts a message aside, to be handled after [`unstash_all`](Self::unstash_all).
    ///
    /// # Examples
    ///
    /// Nothing is written before the file is open:
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
    /// If the stash is full: as many messages are put aside as the mailbox holds. The message is then a dead letter, and the
    /// panic ends this life. A restart begins with an empty stash: what was in it is handled first. Where that fills the stash
    /// again, the next life ends in the same way; [`try_stash`](Self::try_stash) lets the handler decide.
    #[track_caller]
    pub fn stash(&mut self, message: M) {
        if let Err(StashError(message)) = self.try_stash(message) {
            dead_letters::lose(self.any(), message);
            let limit = self.me.lock().lane().limit();
            panic!("stash: {limit} messages are stashed, which is as many as the mailbox holds");
        }
    }

    /// As [`stash`](Self::stash), but returns the message if the stash is full.
    ///
    /// # Errors
    ///
    /// As many messages are put aside as the mailbox holds.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn_actors::{Actor, AskError, Builder, Context, ExitReason, Reply};
    ///
    /// /// Not ready yet; what it cannot keep it refuses.
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

    /// Lets the messages that were put aside be handled next, in the order in which they were put there.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::{Inbox, Stepped};
    /// use kahn::actor::{Actor, ActorRef, Context, ExitReason};
    ///
    /// /// Puts numbers aside until a zero comes.
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
