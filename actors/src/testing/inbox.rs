//! Mailboxes without an actor.

use core::fmt;

use kahn_core::process::{self, Body, Process};
use kahn_core::wait::operation;

use crate::address::ActorRef;
use crate::cell::{Head, Overflow};
use crate::control::{Control, Next};
use crate::exit::ExitReason;
use crate::life::{Incarnation, Life, TurnEnd};
use crate::lifecycle::any;
use crate::spawn::MAILBOX;

/// A mailbox without an actor: messages that are sent to its reference stay in it until the test takes them. It needs
/// no runtime.
///
/// Use it for the messages that a [`Stepped`](super::Stepped) actor sends to others. In a running program, use a
/// [`Probe`](super::Probe), which waits for messages.
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

/// The body of a process that is never started, and takes no turn.
pub(super) struct Nobody;

impl<M> Body<Head<M>> for Nobody {
    fn turn(&mut self, _: &Process<Head<M>>) -> bool {
        true
    }
}

/// Returns a process that is never started. It is therefore never queued, however often it is woken. The caller must
/// [`release`] it.
#[track_caller]
pub(super) fn unstarted<M: Send + 'static>(name: Option<&str>, capacity: usize) -> ActorRef<M> {
    assert!(capacity > 0, "mailbox: the capacity must be one at least");
    let capacity = u32::try_from(capacity).ok().filter(|&capacity| capacity <= 1 << 31);
    let capacity = capacity.expect("mailbox: the capacity must be 2^31 at most");
    let head = Head::new(capacity, Overflow::Fail, false);
    // SAFETY: this crate creates all processes of the program, and each has a `Head`, which begins in `repr(C)` with a
    // `Core`. So all heads begin with the same type.
    ActorRef::new(unsafe { process::new(head, Nobody, name.map(Box::from)) })
}

/// Gives up the runtime's reference to a process that was never started.
///
/// # Safety
///
/// `actor` was returned by [`unstarted`], and this is the only call for it.
pub(super) unsafe fn release<M: Send + 'static>(actor: &ActorRef<M>) {
    // SAFETY: a new process holds a reference for the runtime that starts it. No runtime starts this one, and this is
    // the only call, so the reference is given up once. `actor` is another reference, which keeps the process
    // allocated.
    unsafe { actor.process().release() };
}

/// An incarnation without a value, for an end that runs no user code.
struct Empty;

impl<M: Send + 'static> Incarnation<M> for Empty {
    fn begin(&mut self, _: &mut Control<M>) -> Result<(), ExitReason> {
        Ok(())
    }

    fn run(&mut self, _: &mut Control<M>) -> TurnEnd {
        TurnEnd::Idle
    }

    fn stopped(&mut self, _: &ExitReason, _: &mut Control<M>) {}

    fn discard(&mut self) {}
}

impl<M: Send + 'static> Inbox<M> {
    /// Returns an empty mailbox with room for 128 messages. If it is full, a tell returns an error and does not wait.
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

    /// Returns an empty mailbox with this capacity, in messages.
    ///
    /// # Panics
    ///
    /// Panics if `capacity` is zero or above 2^31, as [`Builder::mailbox`](crate::Builder::mailbox) does.
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

    /// Returns a reference to the mailbox, to send messages to it.
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

    /// Takes the oldest message.
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
        operation();
        match Control::new(self.actor.process(), None).next() {
            Next::Message(message) => Some(message),
            _ => None,
        }
    }

    /// Takes all messages, oldest first.
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

    /// Returns the number of messages.
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

    /// Returns whether there are no messages.
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

    /// Ends the mailbox as an actor ends: its monitors are told, and later messages to it are handed back.
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
        // SAFETY: the process was made by `unstarted` in `with_capacity`. It is released only here, and `drop` runs
        // once.
        unsafe { release(&self.actor) };
    }
}

impl<M: Send + 'static> fmt::Debug for Inbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("len", &self.len()).finish_non_exhaustive()
    }
}
