//! Actors that are loops: a green thread that receives when it likes, and what it likes.

use core::fmt;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::time::Duration;
use std::time::Instant;

use kahn_core::facade::now;
use kahn_core::wait::{Kind, Node, Reason, TimedOut, Wait, check_cancelled, spend};

use crate::address::ActorRef;
use crate::control::{Control, Next};
use crate::exit::ExitReason;
use crate::life::{Incarnation, Pause};
use crate::signal::Mail;
use crate::spawn::Builder;

/// The mailbox of an actor that is written as a loop. It can do with itself what every actor can: see [`Control`].
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

/// Why a loop received nothing.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use kahn::actor::{Builder, Mailbox, RecvError};
///
/// let actor = Builder::new().name("me").spawn_loop(|mailbox: &mut Mailbox<u32>| {
///     match mailbox.recv_timeout(Duration::from_millis(1)) {
///         Ok(number) => println!("{number}"),
///         Err(RecvError::Timeout) => {} // nobody has told it anything
///         Err(end) => return Err(end.into()),
///     }
///     Ok(())
/// });
/// assert!(actor.join().is_normal());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RecvError {
    /// The actor is to end, for this reason: it was stopped, or nobody refers to it any more.
    Ended(ExitReason),
    /// The time was over.
    Timeout,
    /// As many messages were passed over as the mailbox holds, and none of them was wanted.
    Full,
    /// There is no message at the moment, and the receive does not wait.
    Empty,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Ended(reason) => write!(f, "the actor is to end: {reason}"),
            RecvError::Timeout => f.write_str("no message has come in time"),
            RecvError::Empty => f.write_str("there is no message"),
            RecvError::Full => f.write_str(
                "as many messages were passed over as the mailbox holds; receive some of them, or make it larger",
            ),
        }
    }
}

impl core::error::Error for RecvError {}

/// How long a receive waits.
#[derive(Clone, Copy)]
enum Patience {
    Until(Option<Instant>),
    None,
}

impl Patience {
    /// `Duration::MAX`, and what else the clock cannot express, is for ever.
    fn of(timeout: Duration) -> Patience {
        Patience::Until(now().checked_add(timeout))
    }
}

const FOR_EVER: Patience = Patience::Until(None);

impl<M: Send + 'static> Mailbox<M> {
    fn of(control: &mut Control<M>) -> &mut Mailbox<M> {
        // SAFETY: transparent.
        unsafe { &mut *core::ptr::from_mut(control).cast() }
    }

    /// Waits for a message.
    ///
    /// # Parks
    ///
    /// Until there is one. A kill unwinds from here.
    ///
    /// # Errors
    ///
    /// The actor is to end.
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
    pub fn recv(&mut self) -> Result<M, RecvError> {
        self.message(FOR_EVER, &mut |_| true)
    }

    /// As [`recv`](Self::recv), for at most `timeout`.
    ///
    /// # Parks
    ///
    /// As `recv`, or until the time is over.
    ///
    /// # Errors
    ///
    /// The actor is to end, or the time is over.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{Builder, Mailbox, RecvError};
    ///
    /// let actor = Builder::new().name("me").spawn_loop(|mailbox: &mut Mailbox<u32>| {
    ///     let soon = Duration::from_millis(1);
    ///     assert!(matches!(mailbox.recv_timeout(soon), Err(RecvError::Timeout)));
    ///     Ok(())
    /// });
    /// assert!(actor.join().is_normal());
    /// ```
    #[track_caller]
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<M, RecvError> {
        self.message(Patience::of(timeout), &mut |_| true)
    }

    /// A message, if there is one. Does not wait.
    ///
    /// # Errors
    ///
    /// The actor is to end, or there is no message.
    ///
    /// # Examples
    ///
    /// Work goes on until there is something else to do:
    ///
    /// ```
    /// use kahn::actor::{Builder, Mailbox, RecvError, Reply};
    ///
    /// let counter = Builder::new().spawn_loop(|mailbox: &mut Mailbox<Reply<u64>>| {
    ///     for n in 1.. {
    ///         match mailbox.try_recv() {
    ///             Ok(reply) => drop(reply.send(n)),
    ///             Err(RecvError::Empty) => {}
    ///             Err(end) => return Err(end.into()),
    ///         }
    ///     }
    ///     Ok(())
    /// });
    /// assert!(counter.ask(|reply| reply).unwrap() < counter.ask(|reply| reply).unwrap());
    /// ```
    #[track_caller]
    pub fn try_recv(&mut self) -> Result<M, RecvError> {
        self.message(Patience::None, &mut |_| true)
    }

    /// Waits for the first message that is `wanted`. Those before it are passed over: they stay, in their order, for
    /// later receives.
    ///
    /// # Parks
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Errors
    ///
    /// The actor is to end, or as many messages were passed over as the mailbox holds.
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
    pub fn recv_matching(&mut self, mut wanted: impl FnMut(&M) -> bool) -> Result<M, RecvError> {
        self.message(FOR_EVER, &mut wanted)
    }

    /// As [`recv_matching`](Self::recv_matching), for at most `timeout`.
    ///
    /// # Parks
    ///
    /// As [`recv`](Self::recv), or until the time is over.
    ///
    /// # Errors
    ///
    /// As `recv_matching`, and if the time is over.
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
    ) -> Result<M, RecvError> {
        self.message(Patience::of(timeout), &mut wanted)
    }

    /// Waits for a message, or for news of another actor that this one [monitors](Control::monitor), or is linked to.
    /// Other receives leave such news for this one.
    ///
    /// # Parks
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Errors
    ///
    /// The actor is to end.
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
    ///     let Mail::Down(down) = mailbox.next_mail()? else { panic!("nobody tells it anything") };
    ///     assert_eq!(down.to_string(), "worker ended: normal");
    ///     Ok(())
    /// });
    /// worker.tell(()).unwrap();
    /// assert!(watcher.join().is_normal());
    /// ```
    #[track_caller]
    pub fn next_mail(&mut self) -> Result<Mail<M>, RecvError> {
        self.receive(FOR_EVER, true, &mut |_| true)
    }

    /// As [`next_mail`](Self::next_mail), for at most `timeout`.
    ///
    /// # Parks
    ///
    /// As [`recv`](Self::recv), or until the time is over.
    ///
    /// # Errors
    ///
    /// The actor is to end, or the time is over.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{Builder, Mail, Mailbox, RecvError};
    ///
    /// let watcher = Builder::new().spawn_loop(|mailbox: &mut Mailbox<()>| {
    ///     let soon = Duration::from_millis(1);
    ///     assert!(matches!(mailbox.next_mail_timeout(soon), Err(RecvError::Timeout)));
    ///     let worker = Builder::new().spawn_loop(|_: &mut Mailbox<()>| Ok(()));
    ///     mailbox.monitor(&worker);
    ///     assert!(matches!(mailbox.next_mail_timeout(Duration::MAX)?, Mail::Down(_)));
    ///     Ok(())
    /// });
    /// assert!(watcher.join().is_normal());
    /// ```
    #[track_caller]
    pub fn next_mail_timeout(&mut self, timeout: Duration) -> Result<Mail<M>, RecvError> {
        self.receive(Patience::of(timeout), true, &mut |_| true)
    }

    #[track_caller]
    fn message(&mut self, patience: Patience, wanted: &mut dyn FnMut(&M) -> bool) -> Result<M, RecvError> {
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
    ) -> Result<Mail<M>, RecvError> {
        let reason = Reason::new(Kind::Actor, core::ptr::without_provenance::<()>(self.process().address()));
        // Before anything is taken: it may yield, and be cancelled there. Failures count, or one who goes on after his end
        // would shut out those who wait for it.
        spend(1);
        // 1. What was passed over.
        if let Some(mail) = self.0.take_passed(news, wanted) {
            self.let_go();
            return Ok(mail);
        }
        // 2. What comes.
        loop {
            // A kill ends it here, and is no error that it could pass over.
            check_cancelled();
            if self.0.has_passed_too_many() {
                self.let_go();
                return Err(RecvError::Full);
            }
            match self.0.next() {
                Next::Message(message) if wanted(&message) => return Ok(Mail::Message(message)),
                Next::Message(message) => {
                    self.0.pass(Mail::Message(message));
                    spend(1);
                }
                Next::Down(down) if news => return Ok(Mail::Down(down)),
                Next::Down(down) => self.0.pass(Mail::Down(down)),
                Next::End(reason) => {
                    self.let_go();
                    return Err(RecvError::Ended(reason));
                }
                Next::Idle => match patience {
                    Patience::Until(deadline) => {
                        self.wait(reason, deadline).map_err(|_| RecvError::Timeout)?;
                    }
                    Patience::None => {
                        let mut state = self.process().core.state.lock();
                        state.let_go();
                        state.awake();
                        return Err(RecvError::Empty);
                    }
                },
            }
        }
    }

    /// The message that was received before is not in hand any more.
    fn let_go(&self) {
        self.process().core.state.lock().let_go();
    }

    /// Waits until the mailbox, which was found empty, is not.
    fn wait(&mut self, reason: Reason, deadline: Option<Instant>) -> Result<(), TimedOut> {
        let wait = Wait::new();
        let node = Node::new(wait.party(), 0, core::ptr::null_mut());
        let place = NonNull::from(&node);
        let state = &self.process().core.state;
        {
            let mut state = state.lock();
            state.let_go();
            if !state.is_asleep() {
                return Ok(());
            }
            // SAFETY: the node stays here until the wait is over; it is removed below unless it was claimed.
            unsafe { state.rare().receiver.push(place) };
        }
        let Err(missed) = wait.park(reason, deadline) else { return Ok(()) };
        {
            let mut state = state.lock();
            // SAFETY: the node is in this queue or in none.
            unsafe { state.rare().receiver.remove(place) };
            state.awake();
        }
        drop(wait);
        Err(missed.raise())
    }
}

impl<M: Send + 'static> Deref for Mailbox<M> {
    type Target = Control<M>;

    fn deref(&self) -> &Control<M> {
        &self.0
    }
}

impl<M: Send + 'static> DerefMut for Mailbox<M> {
    fn deref_mut(&mut self) -> &mut Control<M> {
        &mut self.0
    }
}

impl<M: Send + 'static> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Builder {
    /// Starts an actor that is a loop: a green thread that receives from its mailbox. It ends when `f` returns.
    ///
    /// It has a stack as long as it lives, which [`spawn`](Self::spawn)'s actors do not. `mailbox.recv()?` ends it as it was
    /// asked to: normally, if it was stopped.
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
        self.spawn_loop_again(move |mailbox| f.take().expect("it lives once")(mailbox))
    }

    /// Starts a loop that may be started again. For its keeper.
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

    fn run(&mut self, control: &mut Control<M>) -> Pause {
        let Err(reason) = self.0(Mailbox::of(control)) else { return Pause::End(ExitReason::Normal) };
        // `mailbox.recv()?`: it ends for the reason that it was told.
        if let ExitReason::Failed(error) = &reason
            && let Some(RecvError::Ended(told)) = error.downcast_ref()
        {
            return Pause::End(told.clone());
        }
        Pause::End(reason)
    }

    fn stopped(&mut self, _: &ExitReason, _: &mut Control<M>) {}

    fn discard(&mut self) {}
}
