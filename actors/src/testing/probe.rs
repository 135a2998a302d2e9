//! An actor that tells its test what it was told.

use core::any::type_name;
use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;

use kahn_channels::{Receiver, Sender, bounded};
use kahn_core::facade::now;

use crate::actor::{Actor, Context};
use crate::address::{ActorRef, Address};
use crate::exit::ExitReason;
use crate::links;
use crate::signal::{Down, Mail};
use crate::spawn::Builder;

/// How long a probe waits for what it expects.
const PATIENCE: Duration = Duration::from_secs(3);
/// How much it keeps that has not been looked at.
const ROOM: usize = 1 << 20;

/// An actor whose messages a test expects, in their order.
///
/// An expectation that is not met within three seconds, or another [patience](Self::patience), panics, and says what came
/// instead. Messages and ends of other actors are looked at apart.
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
    /// Starts one.
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

    /// Starts one with a name.
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

    /// How long it waits for what it expects.
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

    /// The reference by which it is told.
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
        links::monitor(self.actor.any(), &other.into().process);
    }

    /// Waits for more mail until the time is over.
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

    /// The next message.
    ///
    /// # Parks
    ///
    /// Until it comes.
    ///
    /// # Panics
    ///
    /// None comes in time.
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

    /// The next message, which is this one.
    ///
    /// # Parks
    ///
    /// As [`expect`](Self::expect).
    ///
    /// # Panics
    ///
    /// None comes in time, or another.
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

    /// The next message that is `wanted`. Those before it are dropped.
    ///
    /// # Parks
    ///
    /// As [`expect`](Self::expect).
    ///
    /// # Panics
    ///
    /// None comes in time.
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

    /// No message comes for so long.
    ///
    /// # Parks
    ///
    /// For so long.
    ///
    /// # Panics
    ///
    /// One comes.
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

    /// The end of an actor that it [watches](Self::watch), and why it ended.
    ///
    /// # Parks
    ///
    /// Until it ends.
    ///
    /// # Panics
    ///
    /// It does not in time.
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
