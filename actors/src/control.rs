//! What an actor can do with itself, whether it is an [`Actor`](crate::Actor) or a loop.

use core::fmt;
use core::mem::ManuallyDrop;
use core::time::Duration;
use std::collections::VecDeque;
use std::time::Instant;

use kahn_core::facade::Ordering;
use kahn_core::process::Process;
use kahn_core::wait::quietly;

use crate::address::{ActorRef, Address};
use crate::cell::{Any, Head, Urgent};
use crate::ends::any;
use crate::exit::{ActorId, ExitReason};
use crate::links;
use crate::signal::{Down, Mail, MonitorId};
use crate::tell::admit;
use crate::timers::{Ready, TimerId, Timers};

/// What an actor can do with itself. [`Context`](crate::Context) and [`Mailbox`](crate::Mailbox) dereference to it.
///
/// # Examples
///
/// An actor that gathers lines, and hands them on in one piece, after a while at the latest:
///
/// ```
/// use std::time::Duration;
/// use kahn_actors::{Actor, Context, ExitReason, spawn};
/// use kahn_channels::{Sender, bounded};
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
pub struct Control<M: Send + 'static> {
    /// Borrowed from the turn.
    me: ManuallyDrop<Process<Head<M>>>,
    own: Option<Box<Own<M>>>,
    /// It has asked for its own end.
    end: Option<ExitReason>,
    /// It has taken a message in this turn.
    has_taken: bool,
    /// It fell asleep as it took the message in hand, see [`Locked::doze`](crate::cell::Locked::doze).
    dozes: bool,
}

/// What most actors do not need.
pub(crate) struct Own<M: Send + 'static> {
    timers: Timers<M>,
    /// Messages that are handled before those in the mailbox.
    ready: VecDeque<Ready<M>>,
    stash: VecDeque<M>,
    /// What a loop has passed over.
    passed: VecDeque<M>,
    passed_downs: VecDeque<Down>,
}

impl<M: Send + 'static> Own<M> {
    pub(crate) fn with(timers: Timers<M>) -> Box<Own<M>> {
        Box::new(Own {
            timers,
            ready: VecDeque::new(),
            stash: VecDeque::new(),
            passed: VecDeque::new(),
            passed_downs: VecDeque::new(),
        })
    }

    /// Moves the time of timers by hand on, to the next that is due within `most`, and lets it send. Answers how much;
    /// `None` if none was, and `most` is over.
    pub(crate) fn advance(&mut self, most: Duration) -> Option<Duration> {
        self.timers.advance(most, &mut self.ready)
    }
}

impl<M: Send + 'static> Drop for Own<M> {
    fn drop(&mut self) {
        drop_each(self.ready.drain(..));
        drop_each(self.stash.drain(..));
        drop_each(self.passed.drain(..));
        drop_each(self.passed_downs.drain(..));
    }
}

/// Drops them one by one: the destructors of two may panic.
pub(crate) fn drop_each<T>(all: impl IntoIterator<Item = T>) {
    all.into_iter().for_each(|one| _ = quietly(|| drop(one)));
}

/// What there is to do.
pub(crate) enum Next<M> {
    Message(M),
    Down(Down),
    End(ExitReason),
    /// Nothing; the mailbox knows that it has to wake.
    Idle,
}

impl<M: Send + 'static> Control<M> {
    /// For a turn of `process`.
    pub(crate) fn new(process: &Process<Head<M>>, own: Option<Box<Own<M>>>) -> Control<M> {
        // SAFETY: a copy that is never dropped; a `Control` does not outlive the turn.
        let me = unsafe { core::ptr::read((&raw const *process).cast()) };
        Control { me, own, end: None, has_taken: false, dozes: false }
    }

    /// What is to be kept for the next turn.
    pub(crate) fn into_own(self) -> Option<Box<Own<M>>> {
        self.own
    }

    pub(crate) fn process(&self) -> &Process<Head<M>> {
        &self.me
    }

    pub(crate) fn any(&self) -> &Any {
        any(&self.me)
    }

    /// Why it is to end, if it has asked for that itself.
    pub(crate) fn own_end(&self) -> Option<ExitReason> {
        self.end.clone()
    }

    fn own(&mut self) -> &mut Own<M> {
        self.own.get_or_insert_with(|| Own::with(Timers::new(any(&self.me))))
    }

    /// The next thing to do.
    #[inline]
    pub(crate) fn next(&mut self) -> Next<M> {
        if let Some(reason) = &self.end {
            return Next::End(reason.clone());
        }
        if self.me.is_cancelled() {
            return Next::End(self.cancelled());
        }
        if core::mem::take(&mut self.dozes) {
            // Idle time begins here, if the handler has set any.
            if self.own.is_none() && !self.me.is_woken() {
                return Next::Idle;
            }
            self.me.look_again();
        }
        loop {
            let mut locked = self.me.lock();
            let is_calm = self.own.is_none() && locked.state.is_calm();
            if !is_calm && locked.state.is_urgent() {
                locked.state.let_go();
                match locked.state.take_urgent() {
                    Urgent::End(reason) => return Next::End(reason),
                    Urgent::Down(down) => return Next::Down(down),
                    Urgent::Timer => {
                        drop(locked);
                        if let Some(own) = &mut self.own {
                            own.timers.fire(&mut own.ready);
                        }
                        continue;
                    }
                    Urgent::Nothing => {}
                }
            }
            if !is_calm
                && let Some(own) = &mut self.own
                && let Some(ready) = own.ready.pop_front()
            {
                locked.state.let_go();
                // A timer's message may be copied, by the user's code.
                drop(locked);
                match ready {
                    Ready::Message(message) => return Next::Message(message),
                    Ready::Timer(timer) => match own.timers.take(timer) {
                        Some(message) => return Next::Message(message),
                        None => continue,
                    },
                }
            }
            let Some(message) = locked.lane().pop() else {
                // Acquire: pairs with the last reference's drop.
                if self.me.core.strong.load(Ordering::Acquire) == 0 {
                    return Next::End(ExitReason::Normal);
                }
                if let Some(own) = self.own.as_mut().filter(|own| own.timers.has_idle_to_look_at()) {
                    locked.state.let_go();
                    drop(locked);
                    match own.timers.is_idle() {
                        Some(message) => return Next::Message(message),
                        // Something may have come meanwhile.
                        None => continue,
                    }
                }
                locked.lane().shrink();
                locked.state.fall_asleep();
                return Next::Idle;
            };
            let mut admitted = None;
            if is_calm {
                locked.state.handled = locked.state.handled.wrapping_add(1);
            } else {
                locked.state.count_in();
                admitted = admit(&mut locked);
            }
            if self.own.is_none() && !core::mem::replace(&mut self.has_taken, true) {
                self.dozes = locked.doze();
            }
            drop(locked);
            drop(admitted);
            if let Some(own) = &mut self.own {
                own.timers.busy();
            }
            return Next::Message(message);
        }
    }

    /// A message is handled that did not come by [`next`](Self::next).
    pub(crate) fn busy(&mut self) {
        if let Some(own) = &mut self.own {
            own.timers.busy();
        }
    }

    /// When its timers want to be looked at, if no alarm could be set to that.
    pub(crate) fn missing_alarm(&self) -> Option<Instant> {
        self.own.as_ref().and_then(|own| own.timers.missing_alarm())
    }

    /// Why it unwinds.
    pub(crate) fn cancelled(&self) -> ExitReason {
        let mut state = self.me.core.state.lock();
        state.rare_if_any().and_then(|rare| rare.exit.clone()).unwrap_or(ExitReason::Killed)
    }

    /// The messages put aside, to be handled by another incarnation, or by nobody. Timers end.
    pub(crate) fn take_aside(&mut self) -> VecDeque<M> {
        self.end = None;
        let Some(mut own) = self.own.take() else { return VecDeque::new() };
        let mut aside = core::mem::take(&mut own.passed);
        aside.append(&mut own.stash);
        aside.extend(core::mem::take(&mut own.ready).into_iter().filter_map(|ready| match ready {
            Ready::Message(message) => Some(message),
            Ready::Timer(_) => None,
        }));
        quietly(|| drop(own));
        aside
    }

    /// The first of what a loop has passed over that is wanted now.
    pub(crate) fn take_passed(&mut self, news: bool, wanted: &mut dyn FnMut(&M) -> bool) -> Option<Mail<M>> {
        let own = self.own.as_mut()?;
        if news && let Some(down) = own.passed_downs.pop_front() {
            return Some(Mail::Down(down));
        }
        let place = own.passed.iter().position(wanted)?;
        own.passed.remove(place).map(Mail::Message)
    }

    /// Keeps what a loop passes over.
    pub(crate) fn pass(&mut self, mail: Mail<M>) {
        match mail {
            Mail::Message(message) => self.own().passed.push_back(message),
            Mail::Down(down) => self.own().passed_downs.push_back(down),
        }
    }

    /// Whether a loop has passed over as many messages as the mailbox holds.
    pub(crate) fn has_passed_too_many(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.passed.len() >= self.me.lock().lane().limit())
    }

    /// Itself.
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
    pub fn id(&self) -> ActorId {
        crate::cell::id_of(&*self.me)
    }

    /// Its name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.me.name()
    }

    /// Ends, normally, when the message in hand has been handled.
    pub fn stop(&mut self) {
        self.end.get_or_insert(ExitReason::Normal);
    }

    /// Links this actor and another: if one of them ends other than normally, so does the other, unless it
    /// [traps exits](Self::trap_exits). If the other has ended, that happens now.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn_actors::{Builder, ExitReason, Mailbox};
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
    /// use kahn_actors::{Builder, Mail, Mailbox};
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
    pub fn demonitor(&mut self, monitor: MonitorId) {
        links::demonitor(self.any(), monitor);
    }

    /// Whether the ends of those it is linked to are told to it, as those that it monitors, and do not end it. A kill
    /// still does.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn_actors::{Builder, ExitReason, Mail, Mailbox, spawn};
    /// # use kahn_actors::{Actor, Context};
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
    /// use kahn_actors::{Builder, Mailbox};
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
        self.own().timers.every(period, message)
    }

    /// Ends a timer. What it has sent and is not in hand yet is taken back. Answers whether there was anything to end.
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
    /// use kahn_actors::{Actor, Context, ExitReason, spawn};
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
    pub fn clear_idle_timeout(&mut self) {
        if let Some(own) = &mut self.own {
            own.timers.clear_idle();
        }
    }

    /// Whether it was asked to stop. It will be, after the message in hand; a handler that takes long may look here, and
    /// come to an end.
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
    /// use kahn_actors::{Actor, Context, ExitReason, Reply, spawn};
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
    /// If as many messages are put aside as the mailbox holds: what waits is bounded.
    #[track_caller]
    pub fn stash(&mut self, message: M) {
        let limit = self.me.lock().lane().limit();
        let stash = &mut self.own().stash;
        assert!(
            stash.len() < limit,
            "stash: {limit} messages are stashed, which is as many as the mailbox holds"
        );
        stash.push_back(message);
    }

    /// Lets the messages that were put aside be handled next, in the order in which they were put there.
    pub fn unstash_all(&mut self) {
        if let Some(own) = &mut self.own {
            while let Some(message) = own.stash.pop_back() {
                own.ready.push_front(Ready::Message(message));
            }
        }
    }
}

impl<M: Send + 'static> fmt::Debug for Control<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("id", &self.id()).field("name", &self.name()).finish_non_exhaustive()
    }
}
