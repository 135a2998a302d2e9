//! Telling an actor: puts a message into its mailbox, or waits for room.

use core::panic::Location;
use core::ptr::NonNull;
use core::time::Duration;
use std::time::Instant;

use kahn_core::primitives::{Ordering, now};
use kahn_core::wait::{Claimed, Deadline, Kind, Node, Reason, Wait, WaitError, consume};

use crate::address::ActorRef;
use crate::ask_cycle::{self, Asking, BROKEN};
use crate::cell::{AnyActor, Edge, Locked, Overflow, WaitFor};
use crate::dead_letters::{self, Cause};
use crate::error::TellError;
use crate::lifecycle::{is_current, with_current};

/// A message that waits for room, on the stack of its sender or in its future.
pub(crate) struct PendingSend<'a, M> {
    pub(crate) message: Option<M>,
    pub(crate) edge: Option<&'a Edge>,
}

/// The token of a claim that has taken the message, or that ends the wait because the actor has ended.
const TAKEN: usize = 0;

impl<M: Send + 'static> ActorRef<M> {
    /// Puts a message into the actor's mailbox.
    ///
    /// # Parks
    ///
    /// While the mailbox is full, if its [`Overflow`] is `Park`. A tell to the caller's own full mailbox returns an
    /// error instead.
    ///
    /// # Errors
    ///
    /// Returns the message in an error if
    ///
    /// - the actor has ended;
    /// - the mailbox is full, and its overflow is `Fail`;
    /// - the mailbox is full, and the actor tells itself;
    /// - the mailbox is full, and the caller is an actor whose wait for room would close a circle of actors that wait
    ///   for each other.
    ///
    /// A message that the overflow policy drops is not an error: [`dropped`](Self::dropped) counts it.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Actor, Context, ExitReason, spawn};
    ///
    /// struct Printer;
    /// impl Actor for Printer {
    ///     type Message = String;
    ///     fn handle(&mut self, line: String, _: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         Ok(println!("{line}"))
    ///     }
    /// }
    /// let printer = spawn(Printer);
    /// printer.tell("hello".into()).unwrap();
    /// printer.stop();
    /// printer.join();
    /// assert!(printer.tell("anybody there?".into()).unwrap_err().is_dead());
    /// ```
    #[track_caller]
    #[inline]
    pub fn tell(&self, message: M) -> Result<(), TellError<M>> {
        self.tell_until::<false>(Location::caller(), message, &mut Deadline::Never, None)
    }

    /// Like [`tell`](Self::tell), but never waits for room.
    ///
    /// # Errors
    ///
    /// Returns the message in an error if the actor has ended, or the mailbox is full.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let inbox = Inbox::with_capacity(1);
    /// let actor = inbox.actor_ref();
    /// assert!(actor.try_tell("one").is_ok());
    /// assert!(actor.try_tell("two").unwrap_err().is_full());
    /// ```
    pub fn try_tell(&self, message: M) -> Result<(), TellError<M>> {
        consume(1);
        self.put::<false>(message, None)
    }

    /// Like [`tell`](Self::tell), but waits for room for at most `timeout`.
    ///
    /// # Parks
    ///
    /// Like `tell`.
    ///
    /// # Errors
    ///
    /// Like `tell`, and [`TellError::Timeout`] if the timeout expires.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{Builder, Mailbox, TellError};
    ///
    /// let busy = Builder::new().mailbox(1).spawn_loop(|_: &mut Mailbox<u32>| {
    ///     kahn::sleep(Duration::from_secs(3600));
    ///     Ok(())
    /// });
    /// busy.tell(1).unwrap();
    /// assert_eq!(busy.tell_timeout(2, Duration::from_millis(1)), Err(TellError::Timeout(2)));
    /// ```
    #[track_caller]
    pub fn tell_timeout(&self, message: M, timeout: Duration) -> Result<(), TellError<M>> {
        self.tell_until::<false>(Location::caller(), message, &mut now().checked_add(timeout).into(), None)
    }

    /// Returns the reason of a wait for this actor, in a public method that was called at `location`.
    #[inline]
    pub(crate) fn reason(&self, location: &'static Location<'static>) -> Reason {
        Reason::at(Kind::Actor, core::ptr::without_provenance::<()>(self.process().address()), location)
    }

    #[inline(always)]
    pub(crate) fn tell_until<const WAITS: bool>(
        &self,
        location: &'static Location<'static>,
        message: M,
        deadline: &mut Deadline,
        edge: Option<&Edge>,
    ) -> Result<(), TellError<M>> {
        consume(1);
        match self.put::<WAITS>(message, edge) {
            Err(TellError::Full(message)) => self.wait_for_room(location, message, deadline.fix(), edge),
            done => done,
        }
    }

    /// Puts a message into the mailbox, if there is room. The caller has paid for the operation.
    // Always inlined, because `ask` and `tell` know at compile time whether there is an edge.
    #[inline(always)]
    pub(crate) fn put<const WAITS: bool>(&self, message: M, edge: Option<&Edge>) -> Result<(), TellError<M>> {
        let mut locked = self.process().lock();
        let mut dropped = None;
        if locked.state.phase.is_dead() {
            drop(locked);
            dead_letters::note::<M>(self.any(), Cause::ActorEnded, 1);
            return Err(TellError::Dead(message));
        }
        if locked.lane().is_full() {
            match locked.state.overflow {
                Overflow::Park | Overflow::Fail => return Err(TellError::Full(message)),
                Overflow::DropNewest => dropped = Some(message),
                Overflow::DropOldest => {
                    dropped = locked.skip();
                    accept(&mut locked, message, edge);
                }
            }
            locked.state.cold().dropped += 1;
        } else {
            accept(&mut locked, message, edge);
        }
        let wake_action = locked.state.wake_action();
        drop(locked);
        wake_action.wake_by::<WAITS, _>(self.process());
        // Nothing may unwind from here on: the message is in the mailbox.
        if let Some(dropped) = dropped {
            dead_letters::lose(self.any(), dropped);
        }
        Ok(())
    }

    #[cold]
    fn wait_for_room(
        &self,
        location: &'static Location<'static>,
        message: M,
        deadline: Option<Instant>,
        edge: Option<&Edge>,
    ) -> Result<(), TellError<M>> {
        if self.process().lock().state.overflow == Overflow::Fail || is_current(self.any()) {
            return Err(TellError::Full(message));
        }
        let reason = self.reason(location);
        let mut message = Some(message);
        let mut take = || message.take().expect("taken once");
        let waited = with_current(|me| {
            if let Some(edge) = edge {
                return self.park_for_room(reason, take(), deadline, Some((me, edge)));
            }
            let edge = ask_cycle::numbered(self.any(), WaitFor::Room);
            // SAFETY: `me` is the caller. `edge` is declared before the guard, so it outlives it. It has no slot.
            let _asking = unsafe { Asking::publish(me, &edge) };
            if ask_cycle::cycle(me).is_some() {
                return Err(TellError::Full(take()));
            }
            self.park_for_room(reason, take(), deadline, Some((me, &edge)))
        });
        waited.unwrap_or_else(|| self.park_for_room(reason, take(), deadline, None))
    }

    /// Waits for room. If the caller is an actor, `actor` has the actor and the edge that it has published.
    fn park_for_room(
        &self,
        reason: Reason,
        message: M,
        deadline: Option<Instant>,
        actor: Option<(&AnyActor, &Edge)>,
    ) -> Result<(), TellError<M>> {
        let waits_no_more = || actor.into_iter().for_each(|(me, edge)| ask_cycle::waits_no_more(me, edge));
        let edge = actor.map(|(_, edge)| edge);
        let mut pending = PendingSend { message: Some(message), edge };
        let payload = &raw mut pending;
        // By hand: a `WaitList` has a lock of its own, and this queue is behind the lock of the mailbox. Also, the thread that
        // finds a circle claims the wait through the edge, and not through the queue.
        let wait = Wait::new();
        let node = Node::new(wait.waiter(), TAKEN, payload.cast());
        let place = NonNull::from(&node);
        if actor.is_some_and(|(me, edge)| !ask_cycle::waits_for_room(me, edge, wait.waiter())) {
            waits_no_more();
            drop(wait);
            return Err(TellError::Full(pending.message.take().expect("it was not sent")));
        }
        {
            let mut locked = self.process().lock();
            let dead = locked.state.phase.is_dead();
            if dead || !locked.lane().is_full() {
                if !dead {
                    // SAFETY: the node is in no queue yet, so no other thread has the address of the pending.
                    accept_pending(&mut locked, unsafe { &mut *payload });
                }
                let wake_action = locked.state.wake_action();
                drop(locked);
                waits_no_more();
                drop(wait);
                wake_action.wake(self.process());
                return self.taken(pending);
            }
            locked.state.set_senders(true);
            // SAFETY: the node stays in place until the wait is over. If the wait was not claimed by a receiver, the
            // node is removed below; such a claim removes the node.
            unsafe { locked.state.cold().senders.push(place) };
        }
        let parked = wait.park(reason, deadline);
        waits_no_more();
        if parked.is_err() || matches!(parked, Ok(BROKEN)) {
            if let Some(cold) = self.process().lock().state.cold_if_any() {
                // SAFETY: the node is in this queue, or a claim has removed it and it is in no queue.
                unsafe { cold.senders.remove(place) };
            }
            drop(wait);
            let raised = parked.map_err(WaitError::raise);
            let message = pending.message.take().expect("the message was not taken");
            return Err(match raised {
                Ok(_) => TellError::Full(message),
                Err(_) => TellError::Timeout(message),
            });
        }
        drop(wait);
        self.taken(pending)
    }

    /// Returns the result of a wait for room that was claimed: the message is gone, or is still here if the actor has
    /// ended.
    fn taken(&self, mut pending: PendingSend<'_, M>) -> Result<(), TellError<M>> {
        match pending.message.take() {
            None => Ok(()),
            Some(message) => {
                dead_letters::note::<M>(self.any(), Cause::ActorEnded, 1);
                Err(TellError::Dead(message))
            }
        }
    }
}

/// Puts a message into a lane that has room.
#[inline(always)]
fn accept<M>(locked: &mut Locked<'_, M>, message: M, edge: Option<&Edge>) {
    if let Some(edge) = edge {
        let number = locked.next_number();
        // Relaxed (both): a reader holds this lock, has seen a later turn of the target, or copes with an older value
        // (`ask_cycle::circle`).
        edge.number.store(number, Ordering::Relaxed);
        edge.sent.store(true, Ordering::Relaxed);
    }
    locked.lane().push(message);
}

pub(crate) fn accept_pending<M>(locked: &mut Locked<'_, M>, pending: &mut PendingSend<'_, M>) {
    let message = pending.message.take().expect("a pending send is delivered once");
    accept(locked, message, pending.edge);
}

/// Lets in one of the senders that wait for room, if there is room. The caller wakes it after unlocking, with
/// [`wake_admitted`].
#[must_use]
pub(crate) fn admit<M>(locked: &mut Locked<'_, M>) -> Option<Claimed> {
    if !locked.state.has_senders() || locked.lane().is_full() {
        return None;
    }
    let claimed = locked.state.cold().senders.claim_next();
    if locked.state.cold().senders.is_empty() {
        locked.state.set_senders(false);
    }
    let claimed = claimed?;
    // SAFETY: the payload of a sender's node is its `PendingSend`, for the message type of this lane. The sender does
    // not touch it now: a thread does not run between its claim and its wake-up, and a future touches its pending
    // only under this lock.
    accept_pending(locked, unsafe { &mut *claimed.payload.cast::<PendingSend<'_, M>>() });
    Some(claimed)
}

/// Wakes a sender whose message was let in. It runs after those that can run now: if it ran next, it would fill the
/// mailbox again, and each of the other senders would find the mailbox full, and park.
#[cold]
#[inline(never)]
pub(crate) fn wake_admitted(sender: Claimed) {
    sender.wake.wake_last();
}
