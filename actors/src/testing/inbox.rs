//! Mailboxes without an actor.

use core::fmt;

use kahn_core::process::{self, Body, Process};

use crate::address::ActorRef;
use crate::cell::{Head, Overflow};
use crate::control::{Control, Next};
use crate::ends::any;
use crate::exit::ExitReason;
use crate::life::{Incarnation, Life, Pause};
use crate::spawn::MAILBOX;

/// The mailbox of an actor that is not there: whatever its reference is told waits to be looked at. It needs no runtime.
///
/// It is for what a [`Stepped`](super::Stepped) actor tells others. In a program that runs, a [`Probe`](super::Probe)
/// waits for messages.
///
/// # Examples
///
/// ```
/// use kahn::actor::testing::Inbox;
///
/// let mut inbox = Inbox::new();
/// inbox.actor_ref().tell("hello").unwrap();
/// assert_eq!(inbox.take(), Some("hello"));
/// assert_eq!(inbox.take(), None);
/// ```
pub struct Inbox<M: Send + 'static> {
    actor: ActorRef<M>,
}

/// Takes no turn: it is never started.
pub(super) struct Nobody;

impl<M> Body<Head<M>> for Nobody {
    fn turn(&mut self, _: &Process<Head<M>>) -> bool {
        true
    }
}

/// A process that is never started, and so never queued, however often it is woken. To be given back by [`release`].
#[track_caller]
pub(super) fn unstarted<M: Send + 'static>(name: Option<&str>, capacity: usize) -> ActorRef<M> {
    let capacity = u32::try_from(capacity).ok().filter(|&capacity| capacity <= 1 << 31);
    let capacity = capacity.expect("mailbox: the capacity must be 2^31 at most");
    let head = Head::new(capacity, Overflow::Fail, false);
    // SAFETY: as in `Builder::start`: it is a `Head`.
    ActorRef::new(unsafe { process::new(head, Nobody, name.map(Box::from)) })
}

/// # Safety
///
/// Once for an [`unstarted`] one, by who made it.
pub(super) unsafe fn release<M: Send + 'static>(actor: &ActorRef<M>) {
    // SAFETY: a new process has a reference for the runtime that starts it, and none does. `actor` is another.
    unsafe { actor.process().release() };
}

/// Ends nothing but itself.
struct Empty;

impl<M: Send + 'static> Incarnation<M> for Empty {
    fn begin(&mut self, _: &mut Control<M>) -> Result<(), ExitReason> {
        Ok(())
    }

    fn run(&mut self, _: &mut Control<M>) -> Pause {
        Pause::Idle
    }

    fn stopped(&mut self, _: &ExitReason, _: &mut Control<M>) {}

    fn discard(&mut self) {}
}

impl<M: Send + 'static> Inbox<M> {
    /// An empty one, for 128 messages. To one that is full a tell is an error, and no wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let mut inbox = Inbox::new();
    /// inbox.actor_ref().tell(1).unwrap();
    /// assert_eq!(inbox.take(), Some(1));
    /// ```
    #[expect(clippy::new_without_default, reason = "a mailbox is made on purpose")]
    pub fn new() -> Inbox<M> {
        Inbox::with_capacity(MAILBOX)
    }

    /// An empty one, for so many messages.
    ///
    /// # Panics
    ///
    /// If the capacity is above 2^31.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let inbox = Inbox::with_capacity(1);
    /// inbox.actor_ref().tell(1).unwrap();
    /// assert!(inbox.actor_ref().tell(2).unwrap_err().is_full());
    /// ```
    #[track_caller]
    pub fn with_capacity(capacity: usize) -> Inbox<M> {
        Inbox { actor: unstarted(Some("inbox"), capacity) }
    }

    /// The reference by which it is told.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let mut inbox = Inbox::new();
    /// inbox.actor_ref().tell(1).unwrap();
    /// assert_eq!(inbox.actor_ref().name(), Some("inbox"));
    /// # inbox.take();
    /// ```
    pub fn actor_ref(&self) -> ActorRef<M> {
        self.actor.clone()
    }

    /// The oldest message.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let mut inbox = Inbox::new();
    /// inbox.actor_ref().tell(1).unwrap();
    /// assert_eq!((inbox.take(), inbox.take()), (Some(1), None));
    /// ```
    pub fn take(&mut self) -> Option<M> {
        match Control::new(self.actor.process(), None).next() {
            Next::Message(message) => Some(message),
            _ => None,
        }
    }

    /// All messages, oldest first.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let mut inbox = Inbox::new();
    /// inbox.actor_ref().tell(1).unwrap();
    /// inbox.actor_ref().tell(2).unwrap();
    /// assert_eq!(inbox.take_all(), [1, 2]);
    /// ```
    pub fn take_all(&mut self) -> Vec<M> {
        core::iter::from_fn(|| self.take()).collect()
    }

    /// How many messages there are.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let mut inbox = Inbox::new();
    /// inbox.actor_ref().tell(1).unwrap();
    /// assert_eq!(inbox.len(), 1);
    /// # inbox.take();
    /// ```
    pub fn len(&self) -> usize {
        self.actor.len()
    }

    /// Whether there is no message.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let mut inbox = Inbox::new();
    /// inbox.actor_ref().tell(1).unwrap();
    /// assert!(!inbox.is_empty());
    /// # inbox.take();
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends it as an actor ends: those that monitor it are told, and what is told to it later is handed back.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::ExitReason;
    /// use kahn::actor::testing::Inbox;
    ///
    /// let mut inbox = Inbox::new();
    /// inbox.actor_ref().tell(1).unwrap();
    /// inbox.end(ExitReason::failed("so"));
    /// assert!(inbox.actor_ref().tell(2).unwrap_err().is_dead());
    /// ```
    pub fn end(&mut self, reason: ExitReason) {
        if any(self.actor.process()).state.lock().phase.is_dead() {
            return;
        }
        let process = self.actor.process();
        Life::new(Empty).end(process, &mut Control::new(process, None), reason);
    }
}

impl<M: Send + 'static> Drop for Inbox<M> {
    fn drop(&mut self) {
        self.end(ExitReason::Normal);
        // SAFETY: made by `unstarted` in `with_capacity`, and this is its one end.
        unsafe { release(&self.actor) };
    }
}

impl<M: Send + 'static> fmt::Debug for Inbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("len", &self.len()).finish_non_exhaustive()
    }
}
