//! References to actors, and their methods except telling and asking.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::mem::ManuallyDrop;

use kahn_core::primitives::{Ordering, acquire_all};
use kahn_core::process::Process;
use kahn_core::wait::operation;

use crate::cell::{AnyActor, Head, id_of};
use crate::exit::{ActorId, Called, ExitReason};
use crate::lifecycle::{any, is_alive, join, kill, stop};

/// A reference to an actor that takes messages of type `M`. It keeps the actor running: when the last `ActorRef` is
/// dropped, the actor handles the messages in its mailbox and ends.
///
/// It refers to the mailbox, not to one life of the actor. So it stays valid when a supervisor restarts the actor.
///
/// # Examples
///
/// ```
/// use kahn::actor::{ActorRef, testing::Inbox};
///
/// fn greet(actor: &ActorRef<String>) {
///     let _ = actor.tell("hello".into());
/// }
/// let mut inbox = Inbox::new();
/// greet(&inbox.actor_ref());
/// assert_eq!(inbox.take().as_deref(), Some("hello"));
/// ```
pub struct ActorRef<M: Send + 'static> {
    /// Counted by `strong`. All `ActorRef`s together hold one reference to the process.
    process: ManuallyDrop<Process<Head<M>>>,
}

/// A reference that does not keep the actor running.
///
/// # Examples
///
/// ```
/// use kahn::actor::testing::Inbox;
///
/// let inbox = Inbox::<u32>::new();
/// let weak = inbox.actor_ref().downgrade();
/// assert!(weak.upgrade().is_some_and(|actor| actor.tell(1).is_ok()));
/// assert_eq!(inbox.len(), 1);
/// ```
pub struct WeakActorRef<M: Send + 'static> {
    process: Process<Head<M>>,
}

/// A reference to an actor without the type of its messages. It does not keep the actor running.
///
/// # Examples
///
/// ```
/// use kahn::actor::{Address, testing::Inbox};
///
/// // Actors with different messages, in one list.
/// let (numbers, texts) = (Inbox::<u32>::new(), Inbox::<String>::new());
/// let all: [Address; 2] = [numbers.actor_ref().address(), texts.actor_ref().address()];
/// assert!(all.iter().all(Address::is_alive));
/// ```
#[derive(Clone)]
pub struct Address {
    pub(crate) process: AnyActor,
}

impl<M: Send + 'static> ActorRef<M> {
    /// Takes over a reference to the process that is already counted in `strong`: that of a new actor, or one that the
    /// caller has counted.
    pub(crate) fn new(process: Process<Head<M>>) -> ActorRef<M> {
        ActorRef { process: ManuallyDrop::new(process) }
    }

    #[inline]
    pub(crate) fn process(&self) -> &Process<Head<M>> {
        &self.process
    }

    #[inline]
    pub(crate) fn any(&self) -> &AnyActor {
        any(&self.process)
    }

    /// Asks the actor to end, with [`ExitReason::Normal`], after the message that it is handling. The other messages in
    /// its mailbox are dropped.
    ///
    /// If the actor waits for its restart by a supervisor, its next life ends as soon as it has started.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Builder, Mailbox};
    ///
    /// let actor = Builder::new().name("loop").spawn_loop(|mailbox: &mut Mailbox<u32>| Ok(drop(mailbox.recv()?)));
    /// actor.stop();
    /// assert!(actor.join().is_normal());
    /// ```
    pub fn stop(&self) {
        stop(self.any(), ExitReason::Normal);
    }

    /// Kills the actor. It ends at once if it is waiting for a message, otherwise when its handler next parks or
    /// returns.
    ///
    /// If the actor waits for its restart by a supervisor, its next life ends before it starts. So a kill costs the
    /// actor one life, before or after the restart.
    ///
    /// A parked handler unwinds from there, and its destructors run. [`stopped`](crate::Actor::stopped) is not called.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Builder, ExitReason, Mailbox};
    ///
    /// let actor = Builder::new().spawn_loop(|_: &mut Mailbox<u32>| {
    ///     kahn::sleep(std::time::Duration::MAX);
    ///     Ok(())
    /// });
    /// actor.kill();
    /// assert!(matches!(actor.join(), ExitReason::Killed));
    /// ```
    pub fn kill(&self) {
        kill(self.any(), ExitReason::Killed);
    }

    /// Returns whether the actor has not ended. An actor that is being restarted has not ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Builder, Mailbox};
    ///
    /// let actor = Builder::new().name("loop").spawn_loop(|mailbox: &mut Mailbox<u32>| Ok(drop(mailbox.recv()?)));
    /// assert!(actor.is_alive());
    /// actor.tell(1).unwrap();
    /// actor.join();
    /// assert!(!actor.is_alive());
    /// ```
    pub fn is_alive(&self) -> bool {
        is_alive(self.any())
    }

    /// Waits until the actor has ended, and returns the reason. The actors that monitor it or are linked to it have
    /// been told by then.
    ///
    /// The reference keeps the actor running during the wait. So the actor must be stopped, or end by itself.
    ///
    /// # Panics
    ///
    /// Panics if the caller is the actor itself, or an actor below it if it is a supervisor: the caller would wait
    /// for its own end.
    ///
    /// # Parks
    ///
    /// Until the actor has ended. Its value and its messages have been dropped by then, unless the end of its runtime
    /// gave up on the actor.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Builder, ExitReason, Mailbox};
    ///
    /// let actor = Builder::new().spawn_loop(|_: &mut Mailbox<u32>| Err(ExitReason::failed("no paper")));
    /// assert_eq!(actor.join().to_string(), "failed: no paper");
    /// ```
    #[track_caller]
    pub fn join(&self) -> ExitReason {
        operation();
        join(self.any())
    }

    /// Returns the actor's number.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let inbox = Inbox::<u32>::with_capacity(2);
    /// let actor = inbox.actor_ref();
    /// assert_eq!(actor.id(), actor.clone().id());
    /// assert_ne!(actor.id(), Inbox::<u32>::new().actor_ref().id());
    /// ```
    pub fn id(&self) -> ActorId {
        id_of(&*self.process)
    }

    /// Returns the actor's name, if it was given one.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Builder, Mailbox};
    ///
    /// let actor = Builder::new().name("loop").spawn_loop(|mailbox: &mut Mailbox<u32>| Ok(drop(mailbox.recv()?)));
    /// assert_eq!(actor.name(), Some("loop"));
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.process.name()
    }

    /// Returns the number of messages in the mailbox.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let inbox = Inbox::<u32>::with_capacity(2);
    /// let actor = inbox.actor_ref();
    /// actor.tell(1).unwrap();
    /// assert_eq!(actor.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.process.lock().lane().len()
    }

    /// Returns whether the mailbox has no messages.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let inbox = Inbox::<u32>::with_capacity(2);
    /// let actor = inbox.actor_ref();
    /// assert!(actor.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the greatest number of messages that the mailbox holds.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let inbox = Inbox::<u32>::with_capacity(2);
    /// let actor = inbox.actor_ref();
    /// assert_eq!(actor.capacity(), 2);
    /// ```
    pub fn capacity(&self) -> usize {
        self.process.lock().lane().limit()
    }

    /// Returns the actor's load: the number of messages in the mailbox, plus one if it is handling a message.
    pub(crate) fn load(&self) -> usize {
        let mut locked = self.process.lock();
        locked.lane().len()
            + usize::from(
                !locked.state.is_asleep() || locked.state.may_sleep_early() && self.process.is_busy(),
            )
    }

    /// Returns how many messages were dropped because the mailbox was full.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Builder, Mailbox, Overflow};
    ///
    /// let busy = Builder::new().mailbox(1).overflow(Overflow::DropNewest).spawn_loop(|_: &mut Mailbox<u32>| {
    ///     kahn::sleep(std::time::Duration::MAX);
    ///     Ok(())
    /// });
    /// (0..3).for_each(|n| busy.tell(n).unwrap());
    /// assert_eq!(busy.dropped(), 2);
    /// # busy.kill();
    /// ```
    pub fn dropped(&self) -> u64 {
        self.process.lock().state.cold_if_any().map_or(0, |cold| cold.dropped)
    }

    /// A reference that does not keep the actor running.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Builder, Mailbox};
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

    /// Returns a reference without the type of the messages. It does not keep the actor running.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let inbox = Inbox::<u32>::with_capacity(2);
    /// let actor = inbox.actor_ref();
    /// assert_eq!(actor.address().id(), actor.id());
    /// ```
    pub fn address(&self) -> Address {
        Address { process: self.any().clone() }
    }
}
impl<M: Send + 'static> Clone for ActorRef<M> {
    fn clone(&self) -> ActorRef<M> {
        // Relaxed: `self` keeps the count above zero.
        self.process.core.strong.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the `ActorRef`s share one reference to the process, which is dropped with the last of them. The new
        // one is counted, so the process outlives it.
        ActorRef { process: unsafe { core::ptr::read(&self.process) } }
    }
}

impl<M: Send + 'static> Drop for ActorRef<M> {
    fn drop(&mut self) {
        // Release here, Acquire by the last one (`acquire_all`): every use of a reference happens before the actor sees
        // that the count is zero.
        if self.process.core.strong.fetch_sub(1, Ordering::Release) == 1 {
            acquire_all(&self.process.core.strong);
            // The actor reads the count under the lock before it falls asleep. So it either sees zero there, or is
            // asleep and is woken here.
            let wake_action = self.process.core.state.lock().wake_action();
            wake_action.wake(&self.process);
            // SAFETY: the count was one, so this is the last `ActorRef`. Its reference to the process is not used
            // afterwards.
            unsafe { ManuallyDrop::drop(&mut self.process) };
        }
    }
}

impl<M: Send + 'static> WeakActorRef<M> {
    /// Returns a reference that keeps the actor running, or `None` if there is no [`ActorRef`] to it any more.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let inbox = Inbox::<u32>::with_capacity(2);
    /// let actor = inbox.actor_ref();
    /// let weak = actor.downgrade();
    /// assert_eq!(weak.upgrade(), Some(actor));
    /// ```
    pub fn upgrade(&self) -> Option<ActorRef<M>> {
        let strong = &self.process.core.strong;
        let mut seen = strong.load(Ordering::Relaxed);
        while seen != 0 {
            // Acquire: the new reference is like a clone of one that is counted. It happens after the Release
            // decrements before it.
            // Relaxed on failure: the loop tries again.
            match strong.compare_exchange_weak(seen, seen + 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => {
                    // SAFETY: the count was above zero, so the `ActorRef`s still hold their one reference to the
                    // process. The new `ActorRef` is counted, and shares it.
                    let process = unsafe { core::ptr::read((&raw const self.process).cast()) };
                    return Some(ActorRef { process });
                }
                Err(now) => seen = now,
            }
        }
        None
    }

    /// Returns the actor's number.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let inbox = Inbox::<u32>::with_capacity(2);
    /// let actor = inbox.actor_ref();
    /// assert_eq!(actor.downgrade().id(), actor.id());
    /// ```
    pub fn id(&self) -> ActorId {
        id_of(&self.process)
    }

    /// Returns the actor's name, if it was given one.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let inbox = Inbox::<u32>::with_capacity(2);
    /// let actor = inbox.actor_ref();
    /// assert_eq!(actor.downgrade().name(), Some("inbox"));
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.process.name()
    }

    /// Returns a reference without the type of the messages.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let inbox = Inbox::<u32>::with_capacity(2);
    /// let actor = inbox.actor_ref();
    /// assert_eq!(actor.downgrade().address(), actor.address());
    /// ```
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
    /// Returns the actor's number.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let inbox = Inbox::<u32>::with_capacity(2);
    /// let actor = inbox.actor_ref();
    /// assert_eq!(actor.address().id(), actor.id());
    /// ```
    pub fn id(&self) -> ActorId {
        id_of(&self.process)
    }

    /// Returns the actor's name, if it was given one.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let inbox = Inbox::<u32>::with_capacity(2);
    /// let actor = inbox.actor_ref();
    /// assert_eq!(actor.address().name(), Some("inbox"));
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.process.name()
    }

    /// Like [`ActorRef::stop`].
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Builder, Mailbox};
    ///
    /// let actor = Builder::new().name("loop").spawn_loop(|mailbox: &mut Mailbox<u32>| Ok(drop(mailbox.recv()?)));
    /// let address = actor.address();
    /// address.stop();
    /// address.join();
    /// assert!(!actor.is_alive());
    /// ```
    pub fn stop(&self) {
        stop(&self.process, ExitReason::Normal);
    }

    /// Like [`ActorRef::kill`].
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Builder, Mailbox};
    ///
    /// let actor = Builder::new().name("loop").spawn_loop(|mailbox: &mut Mailbox<u32>| Ok(drop(mailbox.recv()?)));
    /// let address = actor.address();
    /// address.kill();
    /// address.join();
    /// assert!(!actor.is_alive());
    /// ```
    pub fn kill(&self) {
        kill(&self.process, ExitReason::Killed);
    }

    /// Like [`ActorRef::is_alive`].
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Inbox;
    ///
    /// let inbox = Inbox::<u32>::with_capacity(2);
    /// let actor = inbox.actor_ref();
    /// assert!(actor.address().is_alive());
    /// ```
    pub fn is_alive(&self) -> bool {
        is_alive(&self.process)
    }

    /// Like [`ActorRef::join`], but does not keep the actor running.
    ///
    /// # Parks
    ///
    /// Until the actor has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Builder, Mailbox};
    ///
    /// let actor = Builder::new().name("loop").spawn_loop(|mailbox: &mut Mailbox<u32>| Ok(drop(mailbox.recv()?)));
    /// let address = actor.address();
    /// // This was the last `ActorRef`, so the actor ends.
    /// drop(actor);
    /// assert!(address.join().is_normal());
    /// ```
    #[track_caller]
    pub fn join(&self) -> ExitReason {
        operation();
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

impl<M: Send + 'static> PartialEq for WeakActorRef<M> {
    fn eq(&self, other: &WeakActorRef<M>) -> bool {
        self.process.is(&other.process)
    }
}

impl<M: Send + 'static> Eq for WeakActorRef<M> {}

// Each process has its own number, so equal references hash alike.

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl<M: Send + 'static> Hash for ActorRef<M> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl<M: Send + 'static> Hash for WeakActorRef<M> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

fn picture(f: &mut fmt::Formatter<'_>, kind: &str, process: &AnyActor) -> fmt::Result {
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
