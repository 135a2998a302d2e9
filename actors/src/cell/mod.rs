//! The shared part of an actor: one heap cell, to which all references point.
//!
//! ```text
//!   Task      the header of its task (kahn-core)
//!   Head<M> ┐ core ┐ strong   references that keep it running   any thread
//!           │      └ state    phase, flags, the cold part       under the state's lock, which guards the lane, too
//!           └ lane            the user lane: messages           under the state's lock
//!   Body      the actor itself, and its private state            the thread that runs its turn
//! ```
//!
//! The lock is held for a few dozen instructions, in which no user code runs and nothing is woken. Wake-ups are
//! returned as a [`WakeAction`], and values to drop are returned, for the caller to use after unlocking.
//!
//! | phase | means | to |
//! |---|---|---|
//! | `New` | the first turn of this incarnation has not begun | `Running`, or `Ending` without a start; by its turn |
//! | `Running` | it handles messages, or waits for some | `Ending`, by its turn |
//! | `Ending` | it runs `stopped`, or its value is being dropped | `Between` or `Gone`, by its turn |
//! | `Between` | the supervisor decides what follows; the lane takes messages | `New`, `Closing` or `Gone`, by the supervisor |
//! | `Closing` | ended, and its monitors are being told | `Closed`, by the supervisor |
//! | `Closed` | ended, or not begun, to all but the supervisor, which may start it | `New` or `Gone`, by the supervisor |
//! | `Gone` | it has ended, and its monitors are being told | `Dead`, by its turn |
//! | `Dead` | it takes no messages, and `exit` has the reason | |
//!
//! The end of a runtime may give up on an actor, in any phase. It moves the actor to `Gone`, tells the observers, and
//! moves the actor to `Dead`. The actor's own turn may run at the same time, so the only change from `Gone` is the one
//! to `Dead` (`State::enter`).
//!
//! No message is left behind: the turn that finds the lane empty, or that takes the last message out, sets `ASLEEP`. A
//! thread that puts something in clears it. Both happen under the lock. The thread that clears it wakes the task, and
//! the task's own protocol ensures that a turn follows that begins after that, or that the present turn looks again.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use std::collections::VecDeque;
use std::sync::Arc;

use kahn_core::primitives::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Lock, LockGuard, Ordering};
use kahn_core::process::Process;
use kahn_core::wait::Waiter;

use crate::exit::ActorId;
use crate::ring::Ring;
use crate::signal::{Down, MonitorId};
use crate::slot::Slot;

mod keyed_queue;
mod state;

use self::keyed_queue::KeyedQueue;
pub(crate) use self::state::{ColdState, State, Urgent};

/// Notifications of ends, each with the number of the monitor that it comes from.
pub(crate) type Downs = KeyedQueue<MonitorId, Down>;

/// A reference to an actor of any message type. It keeps the memory, and does not keep the actor running.
pub(crate) type AnyActor = Process<Core>;

#[repr(C)]
pub(crate) struct Head<M> {
    pub(crate) core: Core,
    lane: UnsafeCell<Ring<M>>,
}

// SAFETY: the lane is accessed only under the core's lock, through `Locked`. It moves messages between threads, hence
// `M: Send`.
unsafe impl<M: Send> Sync for Head<M> {}

pub(crate) struct Core {
    /// The number of `ActorRef`s. Together they hold one reference to the memory.
    pub(crate) strong: AtomicUsize,
    pub(crate) state: Lock<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    New,
    Running,
    Ending,
    Between,
    Closing,
    Closed,
    Gone,
    Dead,
}

impl Phase {
    /// Returns whether the actor has ended, as far as others can see.
    #[inline]
    pub(crate) fn is_dead(self) -> bool {
        matches!(self, Phase::Closing | Phase::Closed | Phase::Gone | Phase::Dead)
    }

    /// Returns whether the actor has ended for good.
    #[inline]
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Phase::Gone | Phase::Dead)
    }

    /// Returns whether the actor has ended, and its observers have been told.
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Phase::Closed | Phase::Dead)
    }

    /// Returns whether the supervisor decides what follows.
    pub(crate) fn is_supervised(self) -> bool {
        matches!(self, Phase::Between | Phase::Closing | Phase::Closed)
    }
}

/// What happens to a message that finds the mailbox full.
///
/// # Examples
///
/// ```
/// use kahn::actor::{Builder, Mailbox, Overflow};
///
/// let busy = Builder::new().mailbox(1).overflow(Overflow::Fail).spawn_loop(|_: &mut Mailbox<u32>| {
///     kahn::sleep(std::time::Duration::MAX);
///     Ok(())
/// });
/// assert!(busy.tell(1).is_ok());
/// assert!(busy.tell(2).unwrap_err().is_full());
/// # busy.kill();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Overflow {
    /// The sender waits for room. This is the default.
    #[default]
    Park,
    /// The sender receives the message back, in an error.
    Fail,
    /// The new message is dropped, and counted as a dead letter. The sender is not told.
    DropNewest,
    /// The oldest message in the mailbox is dropped to make room, and counted as a dead letter.
    DropOldest,
}

/// A wait of one actor that only certain other actors can end: one, or each of several (`WaitFor::Ends`). It is on the
/// stack of the wait.
pub(crate) struct Edge {
    /// The actor that is waited for. The waiting actor keeps a reference to it.
    pub(crate) target: *const AnyActor,
    pub(crate) goal: WaitFor,
    /// The number of the message of the tell or ask, once it is in the mailbox. Written under the target's lock. For
    /// other waits, the number of the wait.
    pub(crate) number: AtomicU32,
    /// Whether the message is in the mailbox. Written under the target's lock.
    pub(crate) sent: AtomicBool,
    /// Whether the wait has been ended because it closes a circle. Written under the lock of the waiting actor.
    pub(crate) broken: AtomicBool,
    /// The waiter of the waiting actor, while it waits for room. Accessed under the lock of the waiting
    /// actor.
    pub(crate) waiter: AtomicPtr<Waiter>,
}

/// What an actor waits for.
#[derive(Clone, Copy)]
pub(crate) enum WaitFor {
    /// The answer that this slot hands over. The asker leaves the slot after it has taken the edge back.
    Answer(NonNull<Slot>),
    /// Room in the mailbox, for a message that is not an ask.
    Room,
    /// The end of `started`.
    Start,
    /// The end of a life.
    End,
    /// The ends of the lives of all of these actors, which are sorted by their numbers. The waiting actor keeps the
    /// list in place while the edge is published. `Edge::target` is then the waiting actor itself, and means nothing.
    Ends(NonNull<Arc<[AnyActor]>>),
}

impl Edge {
    #[inline]
    pub(crate) fn new(target: &AnyActor, goal: WaitFor, number: u32) -> Edge {
        Edge {
            target,
            goal,
            number: AtomicU32::new(number),
            sent: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            waiter: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    /// Returns whether the wait has been ended because it closes a circle.
    pub(crate) fn is_broken(&self) -> bool {
        // Relaxed: the caller is the waiting actor and has seen the wait end, or holds its lock.
        self.broken.load(Ordering::Relaxed)
    }
}

impl Core {
    fn new(overflow: Overflow, is_loop: bool) -> Core {
        Core { strong: AtomicUsize::new(1), state: Lock::new(State::new(overflow, is_loop)) }
    }
}

impl<M> Head<M> {
    /// Creates the head of a new actor, with one reference.
    pub(crate) fn new(capacity: u32, overflow: Overflow, is_loop: bool) -> Head<M> {
        Head { core: Core::new(overflow, is_loop), lane: UnsafeCell::new(Ring::new(capacity)) }
    }

    /// Locks the state and the lane.
    #[inline]
    pub(crate) fn lock(&self) -> Locked<'_, M> {
        Locked { core: &self.core, state: self.core.state.lock(), lane: &self.lane }
    }
}

/// The locked state and lane of an actor.
pub(crate) struct Locked<'a, M> {
    core: &'a Core,
    pub(crate) state: LockGuard<'a, State>,
    lane: &'a UnsafeCell<Ring<M>>,
}

impl<M> Locked<'_, M> {
    #[inline]
    pub(crate) fn lane(&mut self) -> &mut Ring<M> {
        // SAFETY: `self` holds the lock that guards the lane, and is borrowed exclusively.
        unsafe { &mut *self.lane.get() }
    }

    /// Takes out the oldest message, which will not be handled. Another message may be being handled.
    pub(crate) fn skip(&mut self) -> Option<M> {
        let message = self.lane().pop()?;
        self.state.count_skipped();
        Some(message)
    }

    /// Returns the number of the message that is put in next.
    #[inline]
    pub(crate) fn next_number(&mut self) -> u32 {
        let ahead = self.lane().len() as u32;
        self.state.handled.wrapping_add(ahead - self.state.again()).wrapping_add(1)
    }

    /// Takes out all messages, and leaves an empty lane.
    #[must_use]
    pub(crate) fn empty(&mut self, limit: u32) -> Ring<M> {
        self.state.set_again(0);
        core::mem::replace(self.lane(), Ring::new(limit))
    }

    /// Puts messages of an earlier life before all others, in their order.
    pub(crate) fn put_back(&mut self, mut messages: VecDeque<M>) {
        if messages.is_empty() {
            return;
        }
        let again = self.state.again() + messages.len() as u32;
        self.state.set_again(again);
        while let Some(message) = messages.pop_back() {
            self.lane().push_front(message);
        }
    }

    /// Falls asleep before the message just taken is handled, if there is nothing else to do. Most actors that are
    /// asked receive one question at a time. Then the turn need not lock again, unless its task is woken before the
    /// handler ends.
    #[inline]
    pub(crate) fn sleep_early(&mut self) -> bool {
        // Acquire: pairs with the drop of the last reference. If there is none, the turn has to look again, and ends
        // the actor.
        if self.lane().len() != 0 || !self.state.is_quiet() || self.core.strong.load(Ordering::Acquire) == 0 {
            return false;
        }
        self.lane().shrink();
        self.state.fall_asleep();
        true
    }
}

/// Returns the number of a process's actor.
pub(crate) fn id_of<H: Send + Sync + 'static>(process: &Process<H>) -> ActorId {
    ActorId(process.id().get())
}
