//! The methods that a [`Mailbox`] shares with [`Context`](crate::Context).

use core::time::Duration;

use super::Mailbox;
use crate::actor::Actor;
#[cfg(doc)]
use crate::actor::Context;
use crate::address::{ActorRef, Address};
use crate::error::StashError;
use crate::exit::ActorId;
use crate::signal::MonitorId;
use crate::spawn::Builder;
use crate::timers::TimerId;

impl<M: Send + 'static> Mailbox<M> {
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
        self.0.me()
    }

    /// Returns the actor's number.
    pub fn id(&self) -> ActorId {
        self.0.id()
    }

    /// Returns the actor's name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.0.name()
    }

    /// Ends the actor, as [`Context::stop`] does, at the next receive.
    pub fn stop(&mut self) {
        self.0.stop();
    }

    /// Links this actor and another: see [`Context::link`].
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
        self.0.link(other);
    }

    /// Removes a link: see [`Context::unlink`].
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
        self.0.unlink(other);
    }

    /// Monitors another actor: see [`Context::monitor`]. [`next_mail`](Self::next_mail) returns the notification.
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
        self.0.monitor(other)
    }

    /// Removes a monitor: see [`Context::demonitor`].
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
        self.0.demonitor(monitor);
    }

    /// Sets whether this actor traps exits: see [`Context::trap_exits`].
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
        self.0.trap_exits(trap);
    }

    /// Sends this actor a message after `delay`: see [`Context::send_after`].
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
        self.0.send_after(delay, message)
    }

    /// Sends this actor a message every `period`: see [`Context::send_every`].
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
        self.0.send_every(period, message)
    }

    /// Like [`send_every`](Self::send_every), but `make` makes each message: see [`Context::send_every_with`].
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
        self.0.send_every_with(period, make)
    }

    /// Cancels a timer: see [`Context::cancel_timer`].
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
        self.0.cancel_timer(timer)
    }

    /// Sends this actor `message` once, when no message has come for `idle`: see [`Context::set_idle_timeout`].
    pub fn set_idle_timeout(&mut self, idle: Duration, message: M) {
        self.0.set_idle_timeout(idle, message);
    }

    /// Removes the idle timeout.
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
        self.0.clear_idle_timeout();
    }

    /// Returns whether this actor was asked to stop: see [`Context::is_stopping`].
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
        self.0.is_stopping()
    }

    /// Stashes a message, to be received after [`unstash_all`](Self::unstash_all): see [`Context::stash`].
    ///
    /// # Panics
    ///
    /// Panics if the stash is full.
    #[track_caller]
    pub fn stash(&mut self, message: M) {
        self.0.stash(message);
    }

    /// Like [`stash`](Self::stash), but returns the message if the stash is full.
    ///
    /// # Errors
    ///
    /// Returns the message in an error if as many messages are stashed as the mailbox holds.
    pub fn try_stash(&mut self, message: M) -> Result<(), StashError<M>> {
        self.0.try_stash(message)
    }

    /// Moves all stashed messages to the front: they are received next, in the order in which they were stashed. Messages
    /// that were passed over come after them.
    pub fn unstash_all(&mut self) {
        self.0.unstash_all();
    }

    /// Starts an actor that is linked to this one.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Actor, Builder, Context, ExitReason, Mailbox};
    ///
    /// struct Child;
    /// impl Actor for Child {
    ///     type Message = ();
    ///     fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         Err(ExitReason::failed("so"))
    ///     }
    /// }
    /// let parent = Builder::new().spawn_loop(|mailbox: &mut Mailbox<()>| {
    ///     let child = mailbox.spawn_linked(Child);
    ///     child.tell(())?;
    ///     Ok(mailbox.recv()?)
    /// });
    /// assert!(matches!(parent.join(), ExitReason::LinkDied(_)));
    /// ```
    pub fn spawn_linked<A: Actor>(&self, actor: A) -> ActorRef<A::Message> {
        self.spawn_linked_by(Builder::new(), actor)
    }

    /// Starts an actor with the settings of `builder` that is linked to this one.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Actor, Builder, Context, ExitReason, Mailbox};
    ///
    /// struct Child;
    /// impl Actor for Child {
    ///     type Message = ();
    ///     fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         Err(ExitReason::failed("so"))
    ///     }
    /// }
    /// let parent = Builder::new().spawn_loop(|mailbox: &mut Mailbox<()>| {
    ///     let child = mailbox.spawn_linked_by(Builder::new().name("child"), Child);
    ///     child.tell(())?;
    ///     Ok(mailbox.recv()?)
    /// });
    /// assert!(matches!(parent.join(), ExitReason::LinkDied(_)));
    /// ```
    pub fn spawn_linked_by<A: Actor>(&self, builder: Builder, actor: A) -> ActorRef<A::Message> {
        builder.linked(self.any()).spawn(actor)
    }
}
