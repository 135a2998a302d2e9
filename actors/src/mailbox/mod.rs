//! Actors that are loops: a green thread that decides when it receives, and which messages.

mod context_api;

use core::fmt;
use core::ptr::NonNull;
use core::time::Duration;
use std::time::Instant;

use kahn_core::primitives::now;
use kahn_core::wait::{Elapsed, Kind, Node, Reason, Wait, check_cancelled, consume};

use crate::address::ActorRef;
use crate::cell::AnyActor;
use crate::control::{Control, Next};
use crate::exit::ExitReason;
use crate::life::{Incarnation, TurnEnd};
use crate::signal::Mail;
use crate::spawn::Builder;

/// The mailbox of an actor that is written as a loop. It also has the methods of [`Context`](crate::Context).
///
/// # Examples
///
/// ```
/// use kahn::actor::{Builder, Mailbox, Reply};
///
/// let doubler = Builder::new().spawn_loop(|mailbox: &mut Mailbox<(u32, Reply<u32>)>| {
///     while let Ok((n, reply)) = mailbox.recv() {
///         let _ = reply.send(2 * n);
///     }
///     Ok(())
/// });
/// assert_eq!(doubler.ask(|reply| (21, reply)), Ok(42));
/// ```
#[repr(transparent)]
pub struct Mailbox<M: Send + 'static>(Control<M>);

/// The error of a receive from a [`Mailbox`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use kahn::actor::{Builder, Mailbox, MailboxError};
///
/// let actor = Builder::new().name("me").spawn_loop(|mailbox: &mut Mailbox<u32>| {
///     match mailbox.recv_timeout(Duration::from_millis(1)) {
///         Ok(number) => println!("{number}"),
///         Err(MailboxError::Timeout) => {} // no message has arrived
///         Err(end) => return Err(end.into()),
///     }
///     Ok(())
/// });
/// assert!(actor.join().is_normal());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum MailboxError {
    /// The actor must end, for this reason: it was stopped, or its last reference was dropped.
    Ended(ExitReason),
    /// The timeout expired.
    Timeout,
    /// As many messages were passed over as the mailbox holds, and none of them matched.
    Full,
    /// The mailbox is empty, and the receive does not wait.
    Empty,
}

impl fmt::Display for MailboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MailboxError::Ended(reason) => write!(f, "the actor is to end: {reason}"),
            MailboxError::Timeout => f.write_str("no message has come in time"),
            MailboxError::Empty => f.write_str("there is no message"),
            MailboxError::Full => f.write_str(
                "as many messages were passed over as the mailbox holds; receive some of them, or make it larger",
            ),
        }
    }
}

impl core::error::Error for MailboxError {}

/// How long a receive waits.
#[derive(Clone, Copy)]
enum Patience {
    Until(Option<Instant>),
    None,
}

impl Patience {
    /// Returns the deadline of a timeout. `Duration::MAX`, and any other timeout that the clock cannot represent, means
    /// no limit.
    fn of(timeout: Duration) -> Patience {
        Patience::Until(now().checked_add(timeout))
    }
}

const FOR_EVER: Patience = Patience::Until(None);

impl<M: Send + 'static> Mailbox<M> {
    fn of(control: &mut Control<M>) -> &mut Mailbox<M> {
        // SAFETY: `Mailbox` is `repr(transparent)` over `Control<M>`, and the result has the lifetime of the borrow.
        unsafe { &mut *core::ptr::from_mut(control).cast() }
    }

    pub(crate) fn any(&self) -> &AnyActor {
        self.0.any()
    }

    /// Waits for a message, and returns it.
    ///
    /// # Parks
    ///
    /// Until there is a message. A kill unwinds from here.
    ///
    /// # Errors
    ///
    /// Returns [`Ended`](MailboxError::Ended) if the actor must end.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Builder, Mailbox};
    ///
    /// let actor = Builder::new().name("me").spawn_loop(|mailbox: &mut Mailbox<u32>| {
    ///     while let Ok(number) = mailbox.recv() {
    ///         println!("{number}");
    ///     }
    ///     Ok(())
    /// });
    /// actor.tell(1).unwrap();
    /// actor.stop();
    /// assert!(actor.join().is_normal());
    /// ```
    #[track_caller]
    pub fn recv(&mut self) -> Result<M, MailboxError> {
        self.message(FOR_EVER, &mut |_| true)
    }

    /// Like [`recv`](Self::recv), but waits for at most `timeout`.
    ///
    /// # Parks
    ///
    /// Like `recv`, or until the timeout expires.
    ///
    /// # Errors
    ///
    /// Returns [`Ended`](MailboxError::Ended) if the actor must end, [`Timeout`](MailboxError::Timeout) if the timeout
    /// expires.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{Builder, Mailbox, MailboxError};
    ///
    /// let actor = Builder::new().name("me").spawn_loop(|mailbox: &mut Mailbox<u32>| {
    ///     let soon = Duration::from_millis(1);
    ///     assert!(matches!(mailbox.recv_timeout(soon), Err(MailboxError::Timeout)));
    ///     Ok(())
    /// });
    /// assert!(actor.join().is_normal());
    /// ```
    #[track_caller]
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<M, MailboxError> {
        self.message(Patience::of(timeout), &mut |_| true)
    }

    /// Returns a message, if there is one. Does not wait.
    ///
    /// # Errors
    ///
    /// Returns [`Ended`](MailboxError::Ended) if the actor must end, [`Empty`](MailboxError::Empty) if there is no
    /// message.
    ///
    /// # Examples
    ///
    /// The loop continues its work while there is no message:
    ///
    /// ```
    /// use kahn::actor::{Builder, Mailbox, MailboxError, Reply};
    ///
    /// let counter = Builder::new().spawn_loop(|mailbox: &mut Mailbox<Reply<u64>>| {
    ///     for n in 1.. {
    ///         match mailbox.try_recv() {
    ///             Ok(reply) => drop(reply.send(n)),
    ///             Err(MailboxError::Empty) => {}
    ///             Err(end) => return Err(end.into()),
    ///         }
    ///     }
    ///     Ok(())
    /// });
    /// assert!(counter.ask(|reply| reply).unwrap() < counter.ask(|reply| reply).unwrap());
    /// ```
    #[track_caller]
    pub fn try_recv(&mut self) -> Result<M, MailboxError> {
        self.message(Patience::None, &mut |_| true)
    }

    /// Waits for the first message for which `wanted` returns true. Messages before it are passed over: they stay, in
    /// their order, for later receives. So does the message that `wanted` looks at, if `wanted` panics or if a timeout
    /// or a cancel unwinds from it.
    ///
    /// # Parks
    ///
    /// Like [`recv`](Self::recv).
    ///
    /// # Errors
    ///
    /// Returns [`Ended`](MailboxError::Ended) if the actor must end, [`Full`](MailboxError::Full) if as many messages
    /// were passed over as the mailbox holds.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Builder, Mailbox};
    ///
    /// let picky = Builder::new().spawn_loop(|mailbox: &mut Mailbox<i32>| {
    ///     assert_eq!(mailbox.recv_matching(|n| *n > 10).unwrap(), 20);
    ///     assert_eq!(mailbox.recv().unwrap(), 1);
    ///     Ok(())
    /// });
    /// picky.tell(1).unwrap();
    /// picky.tell(20).unwrap();
    /// assert!(picky.join().is_normal());
    /// ```
    #[track_caller]
    pub fn recv_matching(&mut self, mut wanted: impl FnMut(&M) -> bool) -> Result<M, MailboxError> {
        self.message(FOR_EVER, &mut wanted)
    }

    /// Like [`recv_matching`](Self::recv_matching), but waits for at most `timeout`.
    ///
    /// # Parks
    ///
    /// Like [`recv`](Self::recv), or until the timeout expires.
    ///
    /// # Errors
    ///
    /// Like `recv_matching`, and [`Timeout`](MailboxError::Timeout) if the timeout expires.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{Builder, Mailbox};
    ///
    /// let actor = Builder::new().name("me").spawn_loop(|mailbox: &mut Mailbox<u32>| {
    ///     mailbox.me().tell(1)?;
    ///     let soon = Duration::from_millis(1);
    ///     assert!(mailbox.recv_matching_timeout(soon, |n| *n > 1).is_err());
    ///     assert_eq!(mailbox.recv()?, 1, "it was passed over");
    ///     Ok(())
    /// });
    /// assert!(actor.join().is_normal());
    /// ```
    #[track_caller]
    pub fn recv_matching_timeout(
        &mut self,
        timeout: Duration,
        mut wanted: impl FnMut(&M) -> bool,
    ) -> Result<M, MailboxError> {
        self.message(Patience::of(timeout), &mut wanted)
    }

    /// Waits for a message, or for the end of an actor that this one [monitors](Self::monitor). If this actor traps
    /// exits, also for the end of an actor that it is linked to. The other receives leave such notifications for this
    /// one.
    ///
    /// # Parks
    ///
    /// Like [`recv`](Self::recv).
    ///
    /// # Errors
    ///
    /// Returns [`Ended`](MailboxError::Ended) if the actor must end.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Builder, Mail, Mailbox};
    ///
    /// let worker = Builder::new().name("worker").spawn_loop(|mailbox: &mut Mailbox<()>| Ok(mailbox.recv()?));
    /// let address = worker.address();
    /// let watcher = Builder::new().spawn_loop(move |mailbox: &mut Mailbox<u32>| {
    ///     mailbox.monitor(&address);
    ///     let Mail::Down(down) = mailbox.next_mail()? else { panic!("no thread sends a message") };
    ///     assert_eq!(down.to_string(), "worker ended: normal");
    ///     Ok(())
    /// });
    /// worker.tell(()).unwrap();
    /// assert!(watcher.join().is_normal());
    /// ```
    #[track_caller]
    pub fn next_mail(&mut self) -> Result<Mail<M>, MailboxError> {
        self.receive(FOR_EVER, true, &mut |_| true)
    }

    /// Like [`next_mail`](Self::next_mail), but waits for at most `timeout`.
    ///
    /// # Parks
    ///
    /// Like [`recv`](Self::recv), or until the timeout expires.
    ///
    /// # Errors
    ///
    /// Returns [`Ended`](MailboxError::Ended) if the actor must end, [`Timeout`](MailboxError::Timeout) if the timeout
    /// expires.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{Builder, Mail, Mailbox, MailboxError};
    ///
    /// let watcher = Builder::new().spawn_loop(|mailbox: &mut Mailbox<()>| {
    ///     let soon = Duration::from_millis(1);
    ///     assert!(matches!(mailbox.next_mail_timeout(soon), Err(MailboxError::Timeout)));
    ///     let worker = Builder::new().spawn_loop(|_: &mut Mailbox<()>| Ok(()));
    ///     mailbox.monitor(&worker);
    ///     assert!(matches!(mailbox.next_mail_timeout(Duration::MAX)?, Mail::Down(_)));
    ///     Ok(())
    /// });
    /// assert!(watcher.join().is_normal());
    /// ```
    #[track_caller]
    pub fn next_mail_timeout(&mut self, timeout: Duration) -> Result<Mail<M>, MailboxError> {
        self.receive(Patience::of(timeout), true, &mut |_| true)
    }

    #[track_caller]
    fn message(&mut self, patience: Patience, wanted: &mut dyn FnMut(&M) -> bool) -> Result<M, MailboxError> {
        match self.receive(patience, false, wanted)? {
            Mail::Message(message) => Ok(message),
            Mail::Down(_) => unreachable!("not asked for"),
        }
    }

    #[track_caller]
    fn receive(
        &mut self,
        patience: Patience,
        news: bool,
        wanted: &mut dyn FnMut(&M) -> bool,
    ) -> Result<Mail<M>, MailboxError> {
        let reason =
            Reason::new(Kind::Actor, core::ptr::without_provenance::<()>(self.0.process().address()));
        // Before anything is taken, because this may yield, and be cancelled there. A receive that fails pays too.
        // Otherwise a loop that continues after its actor was asked to end would never yield to the threads that wait
        // for its end.
        consume(1);
        // 1. Messages that were passed over, unless the loop must end.
        if self.0.has_passed() {
            check_cancelled();
            if let Some(reason) = self.0.end_reason() {
                self.let_go();
                return Err(MailboxError::Ended(reason));
            }
            if let Some(mail) = self.0.take_passed(news, wanted) {
                self.let_go();
                return Ok(mail);
            }
        }
        // 2. Messages in the mailbox.
        loop {
            // A kill unwinds from here. It is not an error, so the loop cannot ignore it.
            check_cancelled();
            if self.0.has_passed_too_many() {
                self.let_go();
                return Err(MailboxError::Full);
            }
            match self.0.next() {
                Next::Message(message) => match self.consider(message, wanted) {
                    Some(message) => return Ok(Mail::Message(message)),
                    None => consume(1),
                },
                Next::Down(down) if news => return Ok(Mail::Down(down)),
                Next::Down(down) => self.0.pass(Mail::Down(down)),
                Next::End(reason) => {
                    self.let_go();
                    return Err(MailboxError::Ended(reason));
                }
                Next::Idle => match patience {
                    Patience::Until(deadline) => {
                        self.wait(reason, deadline).map_err(|_| MailboxError::Timeout)?;
                    }
                    Patience::None => {
                        let mut state = self.0.process().core.state.lock();
                        state.let_go();
                        state.awake();
                        return Err(MailboxError::Empty);
                    }
                },
            }
        }
    }

    /// Returns `message` if it is wanted. Otherwise, and if `wanted` unwinds, passes it over: all messages before it
    /// were passed over, too, so it keeps its place.
    fn consider(&mut self, message: M, wanted: &mut dyn FnMut(&M) -> bool) -> Option<M> {
        /// Holds the message while `wanted` runs. Has something to do only if `wanted` unwinds.
        struct Considered<'a, M: Send + 'static>(&'a mut Mailbox<M>, Option<M>);
        impl<M: Send + 'static> Drop for Considered<'_, M> {
            fn drop(&mut self) {
                if let Some(message) = self.1.take() {
                    self.0.0.pass(Mail::Message(message));
                    self.0.let_go();
                }
            }
        }
        let mut considered = Considered(self, Some(message));
        let is_wanted = considered.1.as_ref().is_some_and(wanted);
        let message = considered.1.take()?;
        drop(considered);
        if is_wanted {
            return Some(message);
        }
        self.0.pass(Mail::Message(message));
        None
    }

    /// Records that the message that was received last is not being handled any more.
    fn let_go(&self) {
        self.0.process().core.state.lock().let_go();
    }

    /// Waits until something is put into the mailbox, which was found empty.
    fn wait(&mut self, reason: Reason, deadline: Option<Instant>) -> Result<(), Elapsed> {
        // By hand, under the actor's lock: with a `WaitList` of the receiver, whose lock is its own, asking a loop took 1110
        // instructions, and it takes 1062.
        let wait = Wait::new();
        let node = Node::new(wait.waiter(), 0, core::ptr::null_mut());
        let place = NonNull::from(&node);
        let state = &self.0.process().core.state;
        {
            let mut state = state.lock();
            state.let_go();
            if !state.is_asleep() {
                return Ok(());
            }
            // SAFETY: the node stays in place until the wait is over. If the wait was not claimed, the node is removed
            // below; a claim removes the node.
            unsafe { state.cold().receiver.push(place) };
        }
        let Err(error) = wait.park(reason, deadline) else { return Ok(()) };
        {
            let mut state = state.lock();
            // SAFETY: the node is in this queue, or a claim has removed it and it is in no queue.
            unsafe { state.cold().receiver.remove(place) };
            state.awake();
        }
        drop(wait);
        Err(error.raise())
    }
}

impl<M: Send + 'static> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_as("Mailbox", f)
    }
}

impl Builder {
    /// Starts an actor that is a loop: a green thread that receives from its mailbox. The actor ends when `f` returns.
    ///
    /// A loop has a stack as long as it lives; the actors of [`spawn`](Self::spawn) do not. `mailbox.recv()?` ends the
    /// actor with the reason that it was asked to end with: `Normal` if it was stopped.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Builder, Mailbox, Reply};
    ///
    /// let counter = Builder::new().name("counter").spawn_loop(|mailbox: &mut Mailbox<Reply<u32>>| {
    ///     for number in 0.. {
    ///         let _ = mailbox.recv()?.send(number);
    ///     }
    ///     Ok(())
    /// });
    /// assert_eq!((counter.ask(|reply| reply), counter.ask(|reply| reply)), (Ok(0), Ok(1)));
    /// ```
    pub fn spawn_loop<M, F>(self, f: F) -> ActorRef<M>
    where
        M: Send + 'static,
        F: FnOnce(&mut Mailbox<M>) -> Result<(), ExitReason> + Send + 'static,
    {
        let mut f = Some(f);
        self.spawn_loop_again(move |mailbox| f.take().expect("it is started once")(mailbox))
    }

    /// Starts a loop that its supervisor may start again.
    pub(crate) fn spawn_loop_again<M, F>(self, f: F) -> ActorRef<M>
    where
        M: Send + 'static,
        F: FnMut(&mut Mailbox<M>) -> Result<(), ExitReason> + Send + 'static,
    {
        self.start(Loop(f), true)
    }
}

struct Loop<F>(F);

impl<M, F> Incarnation<M> for Loop<F>
where
    M: Send + 'static,
    F: FnMut(&mut Mailbox<M>) -> Result<(), ExitReason> + Send + 'static,
{
    fn begin(&mut self, _: &mut Control<M>) -> Result<(), ExitReason> {
        Ok(())
    }

    fn run(&mut self, control: &mut Control<M>) -> TurnEnd {
        let Err(reason) = self.0(Mailbox::of(control)) else { return TurnEnd::End(ExitReason::Normal) };
        // The loop returned the error of `mailbox.recv()?`: the actor ends with the reason inside.
        if let ExitReason::Failed(error) = &reason
            && let Some(MailboxError::Ended(told)) = error.downcast_ref()
        {
            return TurnEnd::End(told.clone());
        }
        TurnEnd::End(reason)
    }

    fn stopped(&mut self, _: &ExitReason, _: &mut Control<M>) {}

    fn discard(&mut self) {}
}
