//! What others touch of an actor: one heap cell, shared by all references to it.
//!
//! ```text
//!   Job      the header of its job (kahn-core)
//!   Head<M> ┐ core ┐ strong   references that keep it going             everyone
//!           │      └ state    phase, flags, the rare part; behind the lock that guards the lane, too
//!           └ lane            the user lane: messages                   under the core's lock
//!   Body      the actor itself, and what it keeps for itself            who runs its turn
//! ```
//!
//! The lock is held for a few dozen instructions, in which no user's code runs and nothing is woken: what is to be
//! woken is answered as a [`Rouse`], what is to be dropped is handed out.
//!
//! | phase | means | to |
//! |---|---|---|
//! | `New` | it has not come to its first turn of this incarnation | `Running`, by its turn |
//! | `Running` | it handles messages, or waits for some | `Ending`, by its turn |
//! | `Ending` | it is in `stopped`, or what it had is being dropped | `Between` or `Gone`, by its turn |
//! | `Between` | a keeper decides what comes next; the mailbox takes messages | `New`, `Closed` or `Gone`, by the keeper |
//! | `Closed` | as `Dead` to all but its keeper, who may start it again | `New` or `Gone`, by the keeper |
//! | `Gone` | it has ended, and those who monitor it are being told | `Dead`, by its turn |
//! | `Dead` | nothing is taken any more, `exit` says why | |
//!
//! The end of a runtime that gives up on an actor moves it to `Gone`, whatever its phase, tells those who are to be told, and
//! moves it to `Dead`. The actor's own turn may go on beside that, so it comes out of `Gone` to nothing but `Dead`
//! (`State::enter`).
//!
//! The argument that no message is left lying: `ASLEEP` is set by the turn that finds the lane empty, or that takes the
//! last message out, and cleared by whoever puts something in, both under the lock. Who clears it wakes the job, and the
//! job's own protocol sees to it that a turn follows that begins after that, or that this one looks again.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use std::collections::VecDeque;

use kahn_core::facade::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Lock, LockGuard, Ordering};
use kahn_core::process::Process;
use kahn_core::wait::Party;

use crate::exit::ActorId;
use crate::ring::Ring;
use crate::signal::{Down, MonitorId};
use crate::slot::Slot;

mod keyed_queue;
mod state;

use self::keyed_queue::KeyedQueue;
pub(crate) use self::state::{Rare, State, Urgent};

/// News of ends, each with the number of the monitor that told it.
pub(crate) type Downs = KeyedQueue<MonitorId, Down>;

/// An actor, whatever its messages. Keeps the memory, not the actor.
pub(crate) type Any = Process<Core>;

#[repr(C)]
pub(crate) struct Head<M> {
    pub(crate) core: Core,
    lane: UnsafeCell<Ring<M>>,
}

// SAFETY: the lane is touched under the core's lock, through `Locked`, and moves messages between threads.
unsafe impl<M: Send> Sync for Head<M> {}

pub(crate) struct Core {
    /// References that keep it going. Together they hold one reference to the memory.
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
    Closed,
    Gone,
    Dead,
}

impl Phase {
    /// Whether it has ended, as far as others are concerned.
    #[inline]
    pub(crate) fn is_dead(self) -> bool {
        matches!(self, Phase::Closed | Phase::Gone | Phase::Dead)
    }

    /// Whether it has ended for good.
    #[inline]
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Phase::Gone | Phase::Dead)
    }

    /// Whether it has ended, and who is told of that has been told.
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Phase::Closed | Phase::Dead)
    }

    /// Whether its keeper has to say what comes next.
    pub(crate) fn is_kept(self) -> bool {
        matches!(self, Phase::Between | Phase::Closed)
    }
}

/// What becomes of a message that finds the mailbox full.
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
    /// The sender waits for room. The default.
    #[default]
    Park,
    /// The sender gets it back, with an error.
    Fail,
    /// It is dropped, and counted as a dead letter. The sender is told nothing.
    DropNewest,
    /// The oldest that is waiting is dropped to make room, and counted as a dead letter.
    DropOldest,
}

/// A wait of an actor for what one other actor alone can bring about. On the stack of the wait.
pub(crate) struct Edge {
    /// The actor that is waited for. The one that waits keeps it.
    pub(crate) target: *const Any,
    pub(crate) goal: Goal,
    /// The number of the message that is told or asks, once it is in the mailbox. Changes under the target's lock. For
    /// other waits, the wait's own number.
    pub(crate) number: AtomicU32,
    /// Whether the message is in the mailbox. Changes under the target's lock.
    pub(crate) sent: AtomicBool,
    /// The wait has been ended because it closes a circle. Changes under the lock of the actor that waits.
    pub(crate) broken: AtomicBool,
    /// The actor's party while it waits for room in the mailbox. Changes under the lock of the actor that waits.
    pub(crate) waiter: AtomicPtr<Party>,
}

/// What an actor waits for.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// The answer that is handed over there. The asker leaves the slot after the edge is taken back.
    Answer(NonNull<Slot>),
    /// Room in the mailbox, for a message that asks nothing.
    Room,
    /// The end of `started`.
    Start,
    /// The end of a life.
    End,
}

impl Edge {
    #[inline]
    pub(crate) fn new(target: &Any, goal: Goal, number: u32) -> Edge {
        Edge {
            target,
            goal,
            number: AtomicU32::new(number),
            sent: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            waiter: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    /// Whether the wait has been ended because it closes a circle.
    pub(crate) fn is_broken(&self) -> bool {
        // Relaxed: the actor that waits has seen the wait end, or holds its lock.
        self.broken.load(Ordering::Relaxed)
    }
}

impl Core {
    fn new(overflow: Overflow, is_loop: bool) -> Core {
        Core { strong: AtomicUsize::new(1), state: Lock::new(State::new(overflow, is_loop)) }
    }
}

impl<M> Head<M> {
    /// A new actor's, with one reference.
    pub(crate) fn new(capacity: u32, overflow: Overflow, is_loop: bool) -> Head<M> {
        Head { core: Core::new(overflow, is_loop), lane: UnsafeCell::new(Ring::new(capacity)) }
    }

    /// State and lane.
    #[inline]
    pub(crate) fn lock(&self) -> Locked<'_, M> {
        Locked { core: &self.core, state: self.core.state.lock(), lane: &self.lane }
    }
}

/// The actor, locked.
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

    /// Takes the oldest message out, which nobody will handle, while another may be in hand.
    pub(crate) fn skip(&mut self) -> Option<M> {
        let message = self.lane().pop()?;
        self.state.count_skipped();
        Some(message)
    }

    /// The number of the message that is put in next.
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

    /// Falls asleep before the message in hand is handled, if there is nothing else to do: most who are asked are asked
    /// one question at a time. The turn need not lock again then, unless its job has been woken by the end of it.
    #[inline]
    pub(crate) fn doze(&mut self) -> bool {
        // Acquire: pairs with the last reference's drop. Without references it has to look at what follows.
        if self.lane().len() != 0 || !self.state.is_quiet() || self.core.strong.load(Ordering::Acquire) == 0 {
            return false;
        }
        self.lane().shrink();
        self.state.fall_asleep();
        true
    }
}

/// The number of a process.
pub(crate) fn id_of<H: Send + Sync + 'static>(process: &Process<H>) -> ActorId {
    ActorId(process.id().get())
}
