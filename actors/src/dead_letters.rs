//! Dead letters: messages that no actor will handle. They are counted, and reported to watchers.

use core::any::type_name;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use kahn_channels::{Receiver, Sender, TrySendError, bounded};
use kahn_core::wait::{operation, run_shielded_catching};

use crate::cell::{AnyActor, id_of};
use crate::exit::ActorId;
use crate::panics;

/// A message that no actor will handle, or several of them to the same actor.
///
/// # Examples
///
/// ```
/// use kahn::actor::{dead_letters, testing::Inbox};
///
/// let letters = dead_letters::watch(16);
/// let inbox = Inbox::new();
/// let id = inbox.actor_ref().id();
/// inbox.actor_ref().tell(1_u32).unwrap();
/// drop(inbox);
/// let letter = letters.iter().find(|letter| letter.id == id).unwrap();
/// assert_eq!((letter.message_type, letter.count), ("u32", 1));
/// assert_eq!(letter.name.as_deref(), Some("inbox"));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The number of the actor that the message was sent to.
    pub id: ActorId,
    /// The actor's name, if it has one.
    pub name: Option<Box<str>>,
    /// The type of the actor's messages.
    pub message_type: &'static str,
    /// Why no actor has handled the message.
    pub cause: Cause,
    /// The number of messages.
    pub count: u64,
}

/// Why a message is a dead letter.
///
/// # Examples
///
/// ```
/// use kahn::actor::dead_letters::{self, Cause};
/// use kahn::actor::{ExitReason, testing::Inbox};
///
/// let letters = dead_letters::watch(16);
/// let mut inbox = Inbox::new();
/// let actor = inbox.actor_ref();
/// inbox.end(ExitReason::Normal);
/// actor.tell(1).unwrap_err();
/// assert_eq!(letters.iter().find(|letter| letter.id == actor.id()).unwrap().cause, Cause::ActorEnded);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// It was sent to an actor that had ended. The sender received it back.
    ActorEnded,
    /// It was in the mailbox when the actor ended, and was dropped.
    NotHandled,
    /// The mailbox was full, and its overflow policy dropped it.
    Overflow,
}

static COUNT: AtomicU64 = AtomicU64::new(0);
static WATCHERS: Mutex<Vec<Sender<DeadLetter>>> = Mutex::new(Vec::new());

/// Returns the number of dead letters since the start of the program.
///
/// # Examples
///
/// ```
/// use kahn::actor::{dead_letters, testing::Inbox};
///
/// let before = dead_letters::count();
/// let inbox = Inbox::new();
/// inbox.actor_ref().tell("lost").unwrap();
/// drop(inbox);
/// assert!(dead_letters::count() > before);
/// ```
pub fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

/// Returns a channel that reports every dead letter from now on, until the receiver is dropped. The channel holds
/// `capacity` reports, or one if `capacity` is zero. While it is full, further dead letters are only counted.
///
/// # Examples
///
/// ```
/// use kahn::actor::{Actor, Context, ExitReason, dead_letters, spawn};
///
/// struct Deaf;
/// impl Actor for Deaf {
///     type Message = u32;
///     fn handle(&mut self, _: u32, _: &mut Context<Self>) -> Result<(), ExitReason> {
///         Ok(())
///     }
/// }
/// let letters = dead_letters::watch(16);
/// let deaf = spawn(Deaf);
/// deaf.stop();
/// deaf.join();
/// deaf.tell(1).unwrap_err();
/// assert_eq!(letters.recv().unwrap().id, deaf.id());
/// ```
pub fn watch(capacity: usize) -> Receiver<DeadLetter> {
    operation();
    let (tx, rx) = bounded(capacity.max(1));
    let gone = {
        let mut all = WATCHERS.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(tx);
        // Now and then, so that each call does a constant share of the work.
        if all.len().is_power_of_two() { take_gone(&mut all) } else { Vec::new() }
    };
    drop(gone);
    rx
}

/// Takes out the watchers whose receiver was dropped. The caller drops them without the lock.
#[must_use]
fn take_gone(all: &mut Vec<Sender<DeadLetter>>) -> Vec<Sender<DeadLetter>> {
    all.extract_if(.., |watcher| watcher.is_closed()).collect()
}

/// Counts `count` messages of type `M` that were sent to `process`, and reports them to the watchers. Called with no
/// lock held. Does not unwind.
#[cold]
pub(crate) fn note<M>(process: &AnyActor, cause: Cause, count: u64) {
    COUNT.fetch_add(count, Ordering::Relaxed);
    // A copy, because a send wakes the watcher, which must not happen under the lock.
    let watchers = WATCHERS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut is_any_gone = false;
    let tell = |watcher: &Sender<DeadLetter>| {
        let name = process.name().map(Box::from);
        let letter = DeadLetter { id: id_of(process), name, message_type: type_name::<M>(), cause, count };
        if let Err(TrySendError::Disconnected(_)) = watcher.try_send(letter) {
            is_any_gone = true;
        }
    };
    // The caller's operation has taken effect, so nothing may unwind out of it. A send may find the budget spent and
    // yield, and it may run a waker, which is user code.
    run_shielded_catching(|| watchers.iter().for_each(tell));
    if is_any_gone {
        let gone = take_gone(&mut WATCHERS.lock().unwrap_or_else(PoisonError::into_inner));
        drop(gone);
    }
}

/// Drops a message that a full mailbox has thrown out, and counts and reports it as [`note`] does.
#[cold]
pub(crate) fn lose<M>(process: &AnyActor, message: M) {
    panics::catching_shielded(process, || drop(message));
    note::<M>(process, Cause::Overflow, 1);
}
