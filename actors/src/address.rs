//! References to actors, and what they can do but asking.

use core::fmt;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use core::time::Duration;
use std::time::Instant;

use kahn_core::facade::{Ordering, fence, now};
use kahn_core::process::Process;
use kahn_core::wait::{Kind, Node, Reason, Wait, spend};

use crate::cell::{Any, Core, Edge, Head, Locked, Overflow, Phase, id_of};
use crate::dead_letters::{self, Fate};
use crate::error::TellError;
use crate::exit::{ActorId, Called, ExitReason};
use crate::unnoticed;

/// A reference to an actor that takes messages of type `M`. It keeps the actor going: one that nobody refers to any
/// more ends, when it has handled what it has.
///
/// It names the mailbox, not one incarnation of the actor: it stays valid when a supervisor restarts the actor.
pub struct ActorRef<M: Send + 'static> {
    /// Counted by `strong`; all of them together hold one reference to the process.
    process: ManuallyDrop<Process<Head<M>>>,
}

/// A reference that does not keep the actor going.
pub struct WeakActorRef<M: Send + 'static> {
    process: Process<Head<M>>,
}

/// An actor, whatever its messages. Does not keep it going.
#[derive(Clone)]
pub struct Address {
    pub(crate) process: Any,
}

/// A message that waits for room, on the stack of its sender.
pub(crate) struct Parcel<'a, M> {
    pub(crate) message: Option<M>,
    pub(crate) edge: Option<&'a Edge>,
}

/// Which claim ended a sender's wait.
const TAKEN: usize = 0;

impl<M: Send + 'static> ActorRef<M> {
    /// Takes over the reference that a new actor has, or that was counted for this.
    pub(crate) fn new(process: Process<Head<M>>) -> ActorRef<M> {
        ActorRef { process: ManuallyDrop::new(process) }
    }

    pub(crate) fn process(&self) -> &Process<Head<M>> {
        &self.process
    }

    pub(crate) fn any(&self) -> &Any {
        any(&self.process)
    }

    /// Puts a message into the actor's mailbox.
    ///
    /// # Parks
    ///
    /// While the mailbox is full, if its [`Overflow`] is `Park`. A full actor that tells itself gets an error instead.
    ///
    /// # Errors
    ///
    /// The actor has ended; the mailbox is full, and its overflow is `Fail`, or the actor tells itself. The message is
    /// handed back. A message that the overflow drops is no error: [`dropped`](Self::dropped) counts it.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn_actors::{Actor, Context, ExitReason, spawn};
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
        self.tell_until(message, None, None)
    }

    /// As [`tell`](Self::tell), but never waits.
    ///
    /// # Errors
    ///
    /// The actor has ended, or the mailbox is full. The message is handed back.
    pub fn try_tell(&self, message: M) -> Result<(), TellError<M>> {
        self.put(message, None)
    }

    /// As [`tell`](Self::tell), but waits for room for at most `timeout`.
    ///
    /// # Parks
    ///
    /// As `tell`.
    ///
    /// # Errors
    ///
    /// As `tell`, and if the time is over.
    #[track_caller]
    pub fn tell_timeout(&self, message: M, timeout: Duration) -> Result<(), TellError<M>> {
        self.tell_until(message, now().checked_add(timeout), None)
    }

    #[track_caller]
    #[inline]
    pub(crate) fn tell_until(
        &self,
        message: M,
        deadline: Option<Instant>,
        edge: Option<&Edge>,
    ) -> Result<(), TellError<M>> {
        match self.put(message, edge) {
            Err(TellError::Full(message)) => self.wait_for_room(message, deadline, edge),
            done => done,
        }
    }

    #[inline]
    fn put(&self, message: M, edge: Option<&Edge>) -> Result<(), TellError<M>> {
        spend(1);
        let mut locked = self.process.lock();
        let mut dropped = None;
        if locked.state.phase.is_dead() {
            drop(locked);
            dead_letters::note::<M>(self.any(), Fate::Dead, 1);
            return Err(TellError::Dead(message));
        }
        if locked.lane().is_full() {
            match locked.state.overflow {
                Overflow::Park | Overflow::Fail => return Err(TellError::Full(message)),
                Overflow::DropNewest => dropped = Some(message),
                Overflow::DropOldest => {
                    dropped = locked.lane().pop();
                    locked.state.handled = locked.state.handled.wrapping_add(1);
                    accept(&mut locked, message, edge);
                }
            }
            locked.state.rare().dropped += 1;
        } else {
            accept(&mut locked, message, edge);
        }
        let rouse = locked.state.rouse();
        drop(locked);
        rouse.wake(&self.process);
        if dropped.is_some() {
            dead_letters::note::<M>(self.any(), Fate::Overflow, 1);
        }
        Ok(())
    }

    #[cold]
    #[track_caller]
    fn wait_for_room(
        &self,
        message: M,
        deadline: Option<Instant>,
        edge: Option<&Edge>,
    ) -> Result<(), TellError<M>> {
        if self.process.lock().state.overflow == Overflow::Fail || is_current(self.any()) {
            return Err(TellError::Full(message));
        }
        let reason = Reason::new(Kind::Actor, core::ptr::without_provenance::<()>(self.process.address()));
        let mut parcel = Parcel { message: Some(message), edge };
        let payload = &raw mut parcel;
        let wait = Wait::new();
        let node = Node::new(wait.party(), TAKEN, payload.cast());
        let place = NonNull::from(&node);
        {
            let mut locked = self.process.lock();
            let dead = locked.state.phase.is_dead();
            if dead || !locked.lane().is_full() {
                if !dead {
                    // SAFETY: the parcel is ours: nobody else has its address yet.
                    accept_parcel(&mut locked, unsafe { &mut *payload });
                }
                let rouse = locked.state.rouse();
                drop(locked);
                drop(wait);
                rouse.wake(&self.process);
                return self.taken(parcel);
            }
            locked.state.set_senders(true);
            // SAFETY: the node stays here until the wait is over; it is removed below unless it was claimed.
            unsafe { locked.state.rare().senders.push(place) };
        }
        let parked = wait.park(reason, deadline);
        if let Err(missed) = parked {
            if let Some(rare) = self.process.lock().state.rare_if_any() {
                // SAFETY: the node is in this queue or in none.
                unsafe { rare.senders.remove(place) };
            }
            drop(wait);
            let _ = missed.raise();
            return Err(TellError::Timeout(parcel.message.take().expect("nobody claimed the sender")));
        }
        drop(wait);
        self.taken(parcel)
    }

    /// How a wait for room ended that was claimed: without the message, or with it if the actor has ended.
    fn taken(&self, mut parcel: Parcel<'_, M>) -> Result<(), TellError<M>> {
        match parcel.message.take() {
            None => Ok(()),
            Some(message) => {
                dead_letters::note::<M>(self.any(), Fate::Dead, 1);
                Err(TellError::Dead(message))
            }
        }
    }

    /// Asks the actor to end, normally, when it has handled the message in hand. What else is in its mailbox is dropped.
    pub fn stop(&self) {
        stop(self.any(), ExitReason::Normal);
    }

    /// Ends the actor, at once if it waits for a message, else when it next parks: it unwinds from there, and its
    /// destructors run, but not [`stopped`](crate::Actor::stopped).
    pub fn kill(&self) {
        kill(self.any(), ExitReason::Killed);
    }

    /// Whether the actor has not ended. One that is being restarted has not.
    pub fn is_alive(&self) -> bool {
        is_alive(self.any())
    }

    /// Waits for the actor's end, and answers why it ended. Those who monitor it, or are linked to it, have been told.
    ///
    /// The reference keeps the actor going meanwhile, so somebody has to stop it.
    ///
    /// # Parks
    ///
    /// Until it has ended. What it had has been dropped by then.
    #[track_caller]
    pub fn join(&self) -> ExitReason {
        join(self.any())
    }

    /// Its number.
    pub fn id(&self) -> ActorId {
        id_of(&*self.process)
    }

    /// Its name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.process.name()
    }

    /// How many messages wait in the mailbox.
    pub fn len(&self) -> usize {
        self.process.lock().lane().len()
    }

    /// Whether no message waits in the mailbox.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages the mailbox holds at most.
    pub fn capacity(&self) -> usize {
        self.process.lock().lane().limit()
    }

    /// How much it has to do: the messages that wait, and the one in hand.
    pub(crate) fn load(&self) -> usize {
        let mut locked = self.process.lock();
        locked.lane().len() + usize::from(!locked.state.is_asleep())
    }

    /// How many messages were dropped because the mailbox was full.
    pub fn dropped(&self) -> u64 {
        self.process.lock().state.rare_if_any().map_or(0, |rare| rare.dropped)
    }

    /// A reference that does not keep the actor going.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn_actors::{Builder, Mailbox};
    ///
    /// let actor = Builder::new().spawn_loop(|mailbox: &mut Mailbox<()>| Ok(mailbox.recv()?));
    /// let (weak, address) = (actor.downgrade(), actor.address());
    /// assert_eq!(weak.upgrade().as_ref(), Some(&actor));
    /// drop(actor);
    /// assert!(address.join().is_normal());
    /// assert!(weak.upgrade().is_none());
    /// ```
    pub fn downgrade(&self) -> WeakActorRef<M> {
        WeakActorRef { process: Process::clone(&self.process) }
    }

    /// The actor without the type of its messages. Does not keep it going.
    pub fn address(&self) -> Address {
        Address { process: self.any().clone() }
    }
}

/// Puts a message into a lane with room.
#[inline]
fn accept<M>(locked: &mut Locked<'_, M>, message: M, edge: Option<&Edge>) {
    if let Some(edge) = edge {
        let number = locked.state.handled.wrapping_add(locked.lane().len() as u32).wrapping_add(1);
        // Relaxed: read under this lock, or by who sees that a later one of the target's turns has come.
        edge.number.store(number, Ordering::Relaxed);
        edge.sent.store(true, Ordering::Relaxed);
    }
    locked.lane().push(message);
}

pub(crate) fn accept_parcel<M>(locked: &mut Locked<'_, M>, parcel: &mut Parcel<'_, M>) {
    let message = parcel.message.take().expect("a parcel is delivered once");
    accept(locked, message, parcel.edge);
}

/// There may be room: lets in one of the senders that wait for it, who is to be woken after unlocking.
#[must_use]
pub(crate) fn admit<M>(locked: &mut Locked<'_, M>) -> Option<kahn_core::wait::Claimed> {
    if !locked.state.has_senders() || locked.lane().is_full() {
        return None;
    }
    let claimed = locked.state.rare().senders.claim_next();
    if locked.state.rare().senders.is_empty() {
        locked.state.set_senders(false);
    }
    let claimed = claimed?;
    // SAFETY: the payload of a sender's node is its parcel of this lane's type, ours until we wake it.
    accept_parcel(locked, unsafe { &mut *claimed.payload.cast::<Parcel<'_, M>>() });
    Some(claimed)
}

pub(crate) fn any<M: Send + 'static>(process: &Process<Head<M>>) -> &Any {
    // SAFETY: a head is `repr(C)`, with its core first.
    unsafe { process.by_first::<Core>() }
}

/// Runs `f` with the actor in whose turn the caller is, if it is one.
pub(crate) fn with_current<R>(f: impl FnOnce(&Any) -> R) -> Option<R> {
    // SAFETY: this crate makes all the processes there are, and their heads are `Head`s, which begin with a `Core`.
    unsafe { Process::with_current(f) }
}

/// Whether the caller is in a turn of the actor, or of one that is kept by it, directly or not.
pub(crate) fn is_inside(process: &Any) -> bool {
    let mut at = with_current(Any::clone);
    while let Some(inside) = at {
        if inside.is(process) {
            return true;
        }
        at = inside.state.lock().rare_if_any().and_then(|rare| Some(rare.keeper.as_ref()?.0.clone()));
    }
    false
}

fn is_current(process: &Any) -> bool {
    with_current(|current| current.is(process)).unwrap_or(false)
}

pub(crate) fn stop(process: &Any, reason: ExitReason) {
    let rouse = process.state.lock().stop(reason);
    rouse.wake(process);
}

/// Ends the actor at once, or at its next park. The first reason counts.
pub(crate) fn kill(process: &Any, reason: ExitReason) {
    let mut state = process.state.lock();
    match state.phase {
        Phase::New | Phase::Running => {}
        // It ends already; only a kill cuts short what it still does.
        Phase::Ending if matches!(reason, ExitReason::Killed) => {}
        Phase::Ending | Phase::Between | Phase::Closed | Phase::Gone | Phase::Dead => return,
    }
    // The reason's drop may run a user's code, if it is not the first.
    let late = match &mut state.rare().exit {
        first @ None => {
            *first = Some(reason);
            None
        }
        Some(_) => Some(reason),
    };
    // Under the lock, so that it cannot come after the turn has forgiven those until then.
    let wake = process.cancel();
    let rouse = state.rouse_urgently();
    drop(state);
    drop((wake, late));
    rouse.wake(process);
}

pub(crate) fn is_alive(process: &Any) -> bool {
    !process.state.lock().phase.is_dead()
}

#[track_caller]
pub(crate) fn join(process: &Any) -> ExitReason {
    wait_while(process, |phase| !phase.is_over());
    unnoticed::noticed(process);
    process.state.lock().reason()
}

#[track_caller]
pub(crate) fn wait_while(process: &Any, waits: impl Fn(Phase) -> bool) {
    let _over = wait_while_until(process, None, waits);
}

/// Waits until the phase is another, and answers whether it is. Whoever changes the phase wakes all.
#[track_caller]
pub(crate) fn wait_while_until(
    process: &Any,
    deadline: Option<Instant>,
    waits: impl Fn(Phase) -> bool,
) -> bool {
    let reason = Reason::new(Kind::Actor, core::ptr::without_provenance::<()>(process.address()));
    while waits(process.state.lock().phase) {
        let wait = Wait::new();
        let node = Node::new(wait.party(), 0, core::ptr::null_mut());
        let place = NonNull::from(&node);
        {
            let mut state = process.state.lock();
            if !waits(state.phase) {
                break;
            }
            // SAFETY: the node stays here until the wait is over; it is removed below unless it was claimed.
            unsafe { state.rare().joiners.push(place) };
        }
        if let Err(missed) = wait.park(reason, deadline) {
            // SAFETY: the node is in this queue or in none.
            unsafe { process.state.lock().rare().joiners.remove(place) };
            drop(wait);
            let _ = missed.raise();
            return !waits(process.state.lock().phase);
        }
    }
    true
}

impl<M: Send + 'static> Clone for ActorRef<M> {
    fn clone(&self) -> ActorRef<M> {
        // Relaxed: made from a reference that keeps the count above zero.
        self.process.core.strong.fetch_add(1, Ordering::Relaxed);
        // SAFETY: all references share the one to the process, which goes with the last of them.
        ActorRef { process: unsafe { core::ptr::read(&self.process) } }
    }
}

impl<M: Send + 'static> Drop for ActorRef<M> {
    fn drop(&mut self) {
        // Release, then Acquire by the last: all uses happen before the actor sees that there are none.
        if self.process.core.strong.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            // It looks at the count under the lock before it falls asleep, so it sees it, or is woken here.
            let rouse = self.process.core.state.lock().rouse();
            rouse.wake(&self.process);
            // SAFETY: the last of those that share it; not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.process) };
        }
    }
}

impl<M: Send + 'static> WeakActorRef<M> {
    /// A reference that keeps the actor going, if it has not ended, and others still refer to it.
    pub fn upgrade(&self) -> Option<ActorRef<M>> {
        let strong = &self.process.core.strong;
        let mut seen = strong.load(Ordering::Relaxed);
        while seen != 0 {
            // Acquire: as if made from the reference that was seen. Relaxed otherwise: tried again.
            match strong.compare_exchange_weak(seen, seen + 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => {
                    // SAFETY: the count was above zero, so the references share one to the process, which we share now.
                    let process = unsafe { core::ptr::read((&raw const self.process).cast()) };
                    return Some(ActorRef { process });
                }
                Err(now) => seen = now,
            }
        }
        None
    }

    /// Its number.
    pub fn id(&self) -> ActorId {
        id_of(&self.process)
    }

    /// Its name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.process.name()
    }

    /// The actor without the type of its messages.
    pub fn address(&self) -> Address {
        Address { process: any(&self.process).clone() }
    }
}

impl<M: Send + 'static> Clone for WeakActorRef<M> {
    fn clone(&self) -> WeakActorRef<M> {
        WeakActorRef { process: self.process.clone() }
    }
}

impl Address {
    /// Its number.
    pub fn id(&self) -> ActorId {
        id_of(&self.process)
    }

    /// Its name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.process.name()
    }

    /// As [`ActorRef::stop`].
    pub fn stop(&self) {
        stop(&self.process, ExitReason::Normal);
    }

    /// As [`ActorRef::kill`].
    pub fn kill(&self) {
        kill(&self.process, ExitReason::Killed);
    }

    /// As [`ActorRef::is_alive`].
    pub fn is_alive(&self) -> bool {
        is_alive(&self.process)
    }

    /// As [`ActorRef::join`], but does not keep the actor going.
    ///
    /// # Parks
    ///
    /// Until it has ended.
    #[track_caller]
    pub fn join(&self) -> ExitReason {
        join(&self.process)
    }
}

impl<M: Send + 'static> From<&ActorRef<M>> for Address {
    fn from(actor: &ActorRef<M>) -> Address {
        actor.address()
    }
}

impl<M: Send + 'static> From<&WeakActorRef<M>> for Address {
    fn from(actor: &WeakActorRef<M>) -> Address {
        actor.address()
    }
}

impl From<&Address> for Address {
    fn from(address: &Address) -> Address {
        address.clone()
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Address) -> bool {
        self.process.is(&other.process)
    }
}

impl Eq for Address {}

impl<M: Send + 'static> PartialEq for ActorRef<M> {
    fn eq(&self, other: &ActorRef<M>) -> bool {
        self.process.is(&*other.process)
    }
}

impl<M: Send + 'static> Eq for ActorRef<M> {}

fn picture(f: &mut fmt::Formatter<'_>, kind: &str, process: &Any) -> fmt::Result {
    write!(f, "{kind}({})", Called(id_of(process), process.name()))
}

impl<M: Send + 'static> fmt::Debug for ActorRef<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        picture(f, "ActorRef", self.any())
    }
}

impl<M: Send + 'static> fmt::Debug for WeakActorRef<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        picture(f, "WeakActorRef", any(&self.process))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        picture(f, "Address", &self.process)
    }
}
