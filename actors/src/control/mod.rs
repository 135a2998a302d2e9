//! An actor's access to itself, whether it is an [`Actor`](crate::Actor) or a loop.

mod context_api;

use core::fmt;
use core::mem::ManuallyDrop;
use core::time::Duration;
use std::collections::VecDeque;

use kahn_core::primitives::Ordering;
use kahn_core::process::Process;
use kahn_core::wait::run_catching;

use crate::cell::{AnyActor, Downs, Head, Urgent};
use crate::exit::ExitReason;
use crate::lifecycle::any;
use crate::signal::{Down, DownCause, Mail};
use crate::tell::{admit, wake_admitted};
use crate::timers::{Ready, Timers};

/// An actor's access to itself in one turn: what [`Context`](crate::Context) and [`Mailbox`](crate::Mailbox) wrap.
pub(crate) struct Control<M: Send + 'static> {
    /// A copy of the turn's reference, which is never dropped.
    me: ManuallyDrop<Process<Head<M>>>,
    local: Option<Box<LocalState<M>>>,
    /// The actor has requested its own end in this turn.
    stops: bool,
    /// The actor has taken a message in this turn.
    has_taken: bool,
    /// The actor fell asleep when it took the message that it is handling; see
    /// [`Locked::sleep_early`](crate::cell::Locked::sleep_early).
    sleeps_early: bool,
}

/// Private state that most actors do not need. It is allocated on first use.
pub(crate) struct LocalState<M: Send + 'static> {
    timers: Timers<M>,
    /// Items that are handled before the messages in the mailbox.
    ready: VecDeque<Ready<M>>,
    stash: VecDeque<M>,
    /// Messages that a loop has passed over.
    passed: VecDeque<M>,
    passed_downs: Downs,
}

impl<M: Send + 'static> LocalState<M> {
    pub(crate) fn with(timers: Timers<M>) -> Box<LocalState<M>> {
        Box::new(LocalState {
            timers,
            ready: VecDeque::new(),
            stash: VecDeque::new(),
            passed: VecDeque::new(),
            passed_downs: Downs::new(),
        })
    }

    /// Advances the clock of a test to the next timer that is due within `most`, and lets that timer fire. Returns the
    /// time that passed. Returns `None` if no timer was due; then `most` has passed.
    pub(crate) fn advance(&mut self, most: Duration) -> Option<Duration> {
        self.timers.advance(most, &mut self.ready)
    }
}

impl<M: Send + 'static> Drop for LocalState<M> {
    fn drop(&mut self) {
        drop_each(self.ready.drain(..));
        drop_each(self.stash.drain(..));
        drop_each(self.passed.drain(..));
        drop_each(core::mem::take(&mut self.passed_downs).into_items());
    }
}

/// Drops the items one by one, each in its own catch: the destructors of two may panic.
fn drop_each<T>(all: impl IntoIterator<Item = T>) {
    all.into_iter().for_each(|one| _ = run_catching(|| drop(one)));
}

/// What an actor does next.
pub(crate) enum Next<M> {
    Message(M),
    Down(Down),
    End(ExitReason),
    /// Nothing. `ASLEEP` is set, so that the next thread that puts something in wakes the actor.
    Idle,
}

impl<M: Send + 'static> Control<M> {
    /// Creates the `Control` of a turn of `process`.
    pub(crate) fn new(process: &Process<Head<M>>, local: Option<Box<LocalState<M>>>) -> Control<M> {
        // SAFETY: the copy is in a `ManuallyDrop`, so it is never dropped. A `Control` does not outlive the turn, which
        // borrows `process`.
        let me = unsafe { core::ptr::read((&raw const *process).cast()) };
        Control { me, local, stops: false, has_taken: false, sleeps_early: false }
    }

    /// Takes out the private state, which is kept for the next turn.
    #[inline]
    pub(crate) fn take_local(&mut self) -> Option<Box<LocalState<M>>> {
        self.local.take()
    }

    pub(crate) fn process(&self) -> &Process<Head<M>> {
        &self.me
    }

    pub(crate) fn any(&self) -> &AnyActor {
        any(&self.me)
    }

    /// Returns the reason for which the actor has requested its own end, if it has.
    pub(crate) fn requested_end(&self) -> Option<ExitReason> {
        if self.stops { self.me.core.state.lock().end_reason() } else { None }
    }

    fn local(&mut self) -> &mut LocalState<M> {
        self.local.get_or_insert_with(|| LocalState::with(Timers::new(any(&self.me))))
    }

    /// Returns what the actor does next.
    #[inline]
    pub(crate) fn next(&mut self) -> Next<M> {
        if let Some(reason) = self.requested_end() {
            return Next::End(reason);
        }
        if self.me.is_cancelled() {
            return Next::End(self.cancelled());
        }
        if core::mem::take(&mut self.sleeps_early) {
            // Not with private state: idle time begins here, if the handler has set any.
            if self.local.is_none() && !self.me.is_woken() {
                return Next::Idle;
            }
            self.me.look_again();
        }
        loop {
            let mut locked = self.me.lock();
            let is_fast_path = self.local.is_none() && locked.state.is_fast_path();
            if !is_fast_path && locked.state.is_urgent() {
                locked.state.let_go();
                match locked.state.take_urgent() {
                    Urgent::End(reason) => return Next::End(reason),
                    Urgent::Down(down) => return Next::Down(down),
                    Urgent::Timer => {
                        drop(locked);
                        if let Some(local) = &mut self.local {
                            local.timers.fire(&mut local.ready);
                        }
                        continue;
                    }
                    Urgent::Nothing => {}
                }
            }
            if !is_fast_path
                && let Some(local) = &mut self.local
                && let Some(ready) = local.ready.pop_front()
            {
                locked.state.let_go();
                // Unlocked first: the message of a timer may be made by user code.
                drop(locked);
                match ready {
                    Ready::Message(message) => return Next::Message(message),
                    Ready::Timer(timer) => match local.timers.take(timer) {
                        Some(message) => return Next::Message(message),
                        None => continue,
                    },
                }
            }
            let Some(message) = locked.lane().pop() else {
                // Acquire: pairs with the drop of the last reference.
                if self.me.core.strong.load(Ordering::Acquire) == 0 {
                    return Next::End(ExitReason::Normal);
                }
                if let Some(local) = self.local.as_mut().filter(|local| local.timers.has_idle_to_look_at()) {
                    locked.state.let_go();
                    drop(locked);
                    match local.timers.is_idle() {
                        Some(message) => return Next::Message(message),
                        // Something may have been put in meanwhile.
                        None => continue,
                    }
                }
                locked.lane().shrink();
                locked.state.fall_asleep();
                return Next::Idle;
            };
            let mut admitted = None;
            if is_fast_path {
                locked.state.handled = locked.state.handled.wrapping_add(1);
            } else {
                locked.state.count_in();
                admitted = admit(&mut locked);
            }
            if self.local.is_none() && !core::mem::replace(&mut self.has_taken, true) {
                self.sleeps_early = locked.sleep_early();
            }
            drop(locked);
            if let Some(sender) = admitted {
                wake_admitted(sender);
            }
            if let Some(local) = &mut self.local {
                local.timers.busy();
            }
            return Next::Message(message);
        }
    }

    /// Records that a message is handled that did not come from [`next`](Self::next).
    pub(crate) fn busy(&mut self) {
        if let Some(local) = &mut self.local {
            local.timers.busy();
        }
    }

    /// Returns the reason for which the actor unwinds.
    pub(crate) fn cancelled(&self) -> ExitReason {
        let mut state = self.me.core.state.lock();
        state.cold_if_any().and_then(|cold| cold.exit.clone()).unwrap_or(ExitReason::Killed)
    }

    /// Ends the timers, and takes out the messages that were stashed or passed over, in the order in which
    /// [`unstash_all`](Self::unstash_all) puts them. Another incarnation handles them, or none does.
    ///
    /// The messages of timers are dropped by `drop_message`.
    pub(crate) fn take_aside(&mut self, mut drop_message: impl FnMut(M)) -> VecDeque<M> {
        self.stops = false;
        let Some(mut local) = self.local.take() else { return VecDeque::new() };
        let mut aside = core::mem::take(&mut local.stash);
        aside.append(&mut local.passed);
        aside.extend(core::mem::take(&mut local.ready).into_iter().filter_map(|ready| match ready {
            Ready::Message(message) => Some(message),
            Ready::Timer(_) => None,
        }));
        local.timers.clear(&mut drop_message);
        run_catching(|| drop(local));
        aside
    }

    /// Returns whether a loop has passed over anything that it has not received.
    pub(crate) fn has_passed(&self) -> bool {
        self.local.as_ref().is_some_and(|local| !local.passed.is_empty() || !local.passed_downs.is_empty())
    }

    /// Returns the reason for which the actor ends before its next message, if it does.
    pub(crate) fn end_reason(&self) -> Option<ExitReason> {
        self.me.core.state.lock().end_reason()
    }

    /// Returns the first item that a loop has passed over and that it wants now.
    pub(crate) fn take_passed(&mut self, news: bool, wanted: &mut dyn FnMut(&M) -> bool) -> Option<Mail<M>> {
        let local = self.local.as_mut()?;
        if news && let Some(down) = local.passed_downs.pop_front() {
            return Some(Mail::Down(down));
        }
        let place = local.passed.iter().position(wanted)?;
        local.passed.remove(place).map(Mail::Message)
    }

    /// Keeps an item that a loop passes over.
    pub(crate) fn pass(&mut self, mail: Mail<M>) {
        match mail {
            Mail::Message(message) => self.local().passed.push_back(message),
            Mail::Down(down) => {
                let monitor = match down.cause {
                    DownCause::Monitor(id) => Some(id),
                    DownCause::Link => None,
                };
                self.local().passed_downs.push_back(monitor, down);
            }
        }
    }

    /// Returns whether a loop has passed over as many messages as the mailbox holds.
    pub(crate) fn has_passed_too_many(&self) -> bool {
        self.local.as_ref().is_some_and(|local| local.passed.len() >= self.me.lock().lane().limit())
    }

    /// Formats the wrapper of this type that has this name.
    pub(crate) fn fmt_as(&self, wrapper: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(wrapper).field("id", &self.id()).field("name", &self.name()).finish_non_exhaustive()
    }
}
