//! An actor that passes its messages to a test.

use core::any::type_name;
use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;

use kahn_channels::{Receiver, Sender, bounded};
use kahn_core::primitives::now;
use kahn_core::wait::operation;

use crate::actor::{Actor, Context};
use crate::address::{ActorRef, Address};
use crate::exit::ExitReason;
use crate::links;
use crate::signal::{Down, Mail};
use crate::spawn::Builder;

/// How long a probe waits for an expected message, by default.
const PATIENCE: Duration = Duration::from_secs(3);
/// The capacity of the channel from the probe's actor to the test.
const ROOM: usize = 1 << 20;

/// An actor whose messages a test expects, in their order.
///
/// If an expectation is not met within three seconds, or within another [patience](Self::patience), it panics and
/// reports the messages that came instead. Messages and ends of other actors are kept in separate queues.
///
/// # Examples
///
/// ```
/// use kahn::actor::testing::Probe;
///
/// # use kahn::actor::{Actor, ActorRef, Context, ExitReason, spawn};
/// struct Doubler(ActorRef<u32>);
/// impl Actor for Doubler {
///     type Message = u32;
///     fn handle(&mut self, number: u32, _: &mut Context<Self>) -> Result<(), ExitReason> {
///         self.0.tell(2 * number)?;
///         Ok(())
///     }
/// }
///
/// let mut probe = Probe::new();
/// let doubler = spawn(Doubler(probe.actor_ref()));
/// probe.watch(&doubler);
/// doubler.tell(21).unwrap();
/// probe.expect_eq(42);
/// doubler.stop();
/// assert!(probe.expect_down(&doubler).is_normal());
/// ```
pub struct Probe<M: Send + 'static> {
    actor: ActorRef<M>,
    mail: Receiver<Mail<M>>,
    messages: VecDeque<M>,
    downs: VecDeque<Down>,
    patience: Duration,
}

struct Relay<M>(Sender<Mail<M>>);

impl<M: Send + 'static> Relay<M> {
    fn pass(&mut self, mail: Mail<M>, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        if self.0.send(mail).is_err() {
            ctx.stop();
        }
        Ok(())
    }
}

impl<M: Send + 'static> Actor for Relay<M> {
    type Message = M;

    fn handle(&mut self, message: M, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.pass(Mail::Message(message), ctx)
    }

    fn down(&mut self, down: Down, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.pass(Mail::Down(down), ctx)
    }
}

impl<M: Send + 'static> Probe<M> {
    /// Starts a probe.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Probe;
    ///
    /// let mut probe = Probe::new();
    /// probe.actor_ref().tell(1).unwrap();
    /// assert_eq!(probe.expect(), 1);
    /// ```
    #[expect(clippy::new_without_default, reason = "an actor is started on purpose")]
    pub fn new() -> Probe<M> {
        Probe::named("probe")
    }

    /// Starts a probe with a name.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Probe;
    ///
    /// let probe = Probe::<u32>::named("ears");
    /// assert_eq!(probe.actor_ref().name(), Some("ears"));
    /// ```
    pub fn named(name: &str) -> Probe<M> {
        let (tx, mail) = bounded(ROOM);
        Probe {
            actor: Builder::new().name(name).spawn(Relay(tx)),
            mail,
            messages: VecDeque::new(),
            downs: VecDeque::new(),
            patience: PATIENCE,
        }
    }

    /// Sets how long the probe waits for an expected message.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::testing::Probe;
    ///
    /// let mut probe = Probe::new().patience(Duration::from_secs(30));
    /// probe.actor_ref().tell(1).unwrap();
    /// probe.expect_eq(1);
    /// ```
    pub fn patience(mut self, patience: Duration) -> Probe<M> {
        self.patience = patience;
        self
    }

    /// Returns a reference to the probe, to send messages to it.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Probe;
    ///
    /// let mut probe = Probe::new();
    /// probe.actor_ref().tell(1).unwrap();
    /// probe.expect_eq(1);
    /// ```
    pub fn actor_ref(&self) -> ActorRef<M> {
        self.actor.clone()
    }

    /// Monitors another actor, for [`expect_down`](Self::expect_down).
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::{Inbox, Probe};
    ///
    /// let mut probe = Probe::<u32>::new();
    /// let inbox = Inbox::<u32>::new();
    /// let actor = inbox.actor_ref();
    /// probe.watch(&actor);
    /// drop(inbox);
    /// assert!(probe.expect_down(&actor).is_normal());
    /// ```
    pub fn watch(&mut self, other: impl Into<Address>) {
        operation();
        links::monitor(self.actor.any(), &other.into().process);
    }

    /// Receives mail until there is `enough`, or until the time is over. Returns whether there is enough.
    #[track_caller]
    fn wait(&mut self, time: Duration, mut enough: impl FnMut(&mut Self) -> bool) -> bool {
        let deadline = now().checked_add(time);
        while !enough(self) {
            let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(now()));
            match self.mail.recv_timeout(left) {
                Ok(Mail::Message(message)) => self.messages.push_back(message),
                Ok(Mail::Down(down)) => self.downs.push_back(down),
                Err(_) => return enough(self),
            }
        }
        true
    }

    fn news(&self) -> String {
        let ends: String = self.downs.iter().map(|down| format!("; {down}")).collect();
        format!("{} other messages{ends}", self.messages.len())
    }

    /// Returns the next message.
    ///
    /// # Parks
    ///
    /// Parks until it comes.
    ///
    /// # Panics
    ///
    /// Panics if no message comes in time.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Probe;
    ///
    /// let mut probe = Probe::new();
    /// probe.actor_ref().tell(1).unwrap();
    /// assert_eq!(probe.expect(), 1);
    /// ```
    #[track_caller]
    pub fn expect(&mut self) -> M {
        if !self.wait(self.patience, |probe| !probe.messages.is_empty()) {
            panic!("no {} within {:?}: {}", type_name::<M>(), self.patience, self.news());
        }
        self.messages.pop_front().expect("there is one")
    }

    /// Expects that the next message equals `expected`.
    ///
    /// # Parks
    ///
    /// Parks as [`expect`](Self::expect) does.
    ///
    /// # Panics
    ///
    /// Panics if no message comes in time, or if another message comes.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Probe;
    ///
    /// let mut probe = Probe::new();
    /// probe.actor_ref().tell(1).unwrap();
    /// probe.expect_eq(1);
    /// ```
    #[track_caller]
    pub fn expect_eq(&mut self, expected: M)
    where
        M: PartialEq + fmt::Debug,
    {
        let message = self.expect();
        assert!(message == expected, "expected {expected:?}, and was told {message:?}");
    }

    /// Returns the next message that is `wanted`. Drops the messages before it.
    ///
    /// # Parks
    ///
    /// Parks as [`expect`](Self::expect) does.
    ///
    /// # Panics
    ///
    /// Panics if no such message comes in time.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Probe;
    ///
    /// let mut probe = Probe::new();
    /// probe.actor_ref().tell(1).unwrap();
    /// probe.actor_ref().tell(20).unwrap();
    /// assert_eq!(probe.expect_matching(|n| *n > 10), 20);
    /// ```
    #[track_caller]
    pub fn expect_matching(&mut self, mut wanted: impl FnMut(&M) -> bool) -> M {
        let deadline = now().checked_add(self.patience);
        let mut passed = 0;
        loop {
            let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(now()));
            if !self.wait(left, |probe| !probe.messages.is_empty()) {
                panic!(
                    "no {} that is wanted within {:?}, but {passed} others: {}",
                    type_name::<M>(),
                    self.patience,
                    self.news()
                );
            }
            match self.messages.pop_front() {
                Some(message) if wanted(&message) => return message,
                _ => passed += 1,
            }
        }
    }

    /// Expects that no message comes within `time`.
    ///
    /// # Parks
    ///
    /// Parks for `time`, or until a message comes.
    ///
    /// # Panics
    ///
    /// Panics if a message comes.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::testing::Probe;
    ///
    /// let mut probe = Probe::new();
    /// probe.actor_ref().tell(1).unwrap();
    /// probe.expect_eq(1);
    /// probe.expect_none(Duration::from_millis(1));
    /// ```
    #[track_caller]
    pub fn expect_none(&mut self, time: Duration) {
        if self.wait(time, |probe| !probe.messages.is_empty()) {
            panic!("a {} came that was not expected: {}", type_name::<M>(), self.news());
        }
    }

    /// Waits for the end of an actor that the probe [watches](Self::watch), and returns its exit reason.
    ///
    /// # Parks
    ///
    /// Parks until the actor ends.
    ///
    /// # Panics
    ///
    /// Panics if the actor does not end in time.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::{Inbox, Probe};
    ///
    /// let mut probe = Probe::<u32>::new();
    /// let inbox = Inbox::<u32>::new();
    /// let actor = inbox.actor_ref();
    /// probe.watch(&actor);
    /// drop(inbox);
    /// assert!(probe.expect_down(&actor).is_normal());
    /// ```
    #[track_caller]
    pub fn expect_down(&mut self, of: impl Into<Address>) -> ExitReason {
        let of = of.into();
        let place = |probe: &Self| probe.downs.iter().position(|down| down.id == of.id());
        if !self.wait(self.patience, |probe| place(probe).is_some()) {
            panic!("{of:?} has not ended within {:?}: {}", self.patience, self.news());
        }
        let place = place(self).expect("it is there");
        self.downs.remove(place).expect("it is there").reason
    }
}

impl<M: Send + 'static> fmt::Debug for Probe<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("actor", &self.actor).finish_non_exhaustive()
    }
}
