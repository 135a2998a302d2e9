//! The timers of one actor life, and one timer, which is set to the first of them.
//!
//! A timer keeps its message until the message is handled: a timer that fires puts only its number into `ready`, in the
//! order of firing. So a timer is cancelled in the same way before and after it fires, and a periodic timer whose last
//! message has not been handled sends no other.
//!
//! The **idle time** runs from the end of a handler to the next message. A message of the mailbox sets `busy`. The idle
//! time begins when the actor has nothing more to do, and is checked only then. So it never ends before a message that
//! is in the mailbox is handled.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use kahn_core::primitives::now;
use kahn_core::process::ProcessTimer;
use kahn_core::wait::run_catching;

use crate::cell::{AnyActor, Core};

/// An item that takes no room in the mailbox, and is handled before the messages there.
pub(crate) enum Ready<M> {
    /// The message of a timer that has fired, unless the timer was cancelled since.
    Timer(TimerId),
    /// A message that was stashed.
    Message(M),
}

/// A timer of an actor; see [`Context::send_after`](crate::Context::send_after). It is unique in the process: the id of
/// a timer of another actor, or of an earlier life of the actor, cancels nothing.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use kahn::actor::{Builder, Mailbox, TimerId};
///
/// let actor = Builder::new().spawn_loop(|mailbox: &mut Mailbox<u32>| {
///     let timer: TimerId = mailbox.send_after(Duration::from_secs(1000), 1);
///     assert!(mailbox.cancel_timer(timer));
///     Ok(())
/// });
/// assert!(actor.join().is_normal());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerId(u64);

pub(crate) struct Timers<M> {
    all: BTreeMap<TimerId, Timer<M>>,
    /// The timers of `all` that have a due time, ordered by it. A `Timer`'s `due` is its key here.
    order: BTreeSet<(Instant, TimerId)>,
    idle: Option<Idle<M>>,
    clock: Clock,
    /// The time that the timer is set to.
    set_to: Option<Instant>,
    /// The number of the last timer that was created.
    last: u64,
}

/// The number of timers that an actor numbers before it takes another block of numbers.
const BLOCK: u64 = 64;
/// The number of blocks that were taken. No number is used twice in the process, so the number of a timer of another
/// actor, or of an earlier life, is that of no timer.
static BLOCKS: AtomicU64 = AtomicU64::new(0);

/// The source of the time.
enum Clock {
    /// The clock of the runtime.
    Runtime(ProcessTimer<Core>),
    /// A clock that a test sets to this time.
    Hand(Instant),
}

struct Timer<M> {
    /// The next due time, or, while its message waits to be handled, that for which it has fired. `None` if the time is
    /// beyond the clock's range.
    due: Option<Instant>,
    what: What<M>,
}

enum What<M> {
    Once(M),
    /// With the period, and the function that makes each message.
    Every(Duration, Box<dyn FnMut() -> M + Send>),
}

struct Idle<M> {
    after: Duration,
    since: Instant,
    /// A message was handled since then: the idle time has to begin anew.
    busy: bool,
    /// The idle time is over.
    over: bool,
    message: M,
}

fn ring(me: &AnyActor) {
    let wake_action = me.state.lock().ring();
    wake_action.wake(me);
}

impl<M> Timers<M> {
    pub(crate) fn new(me: &AnyActor) -> Timers<M> {
        Timers::of(Clock::Runtime(ProcessTimer::new(me.clone(), ring)))
    }

    /// Creates timers whose time passes only by [`advance`](Self::advance).
    pub(crate) fn by_hand() -> Timers<M> {
        Timers::of(Clock::Hand(now()))
    }

    fn of(clock: Clock) -> Timers<M> {
        Timers { all: BTreeMap::new(), order: BTreeSet::new(), idle: None, clock, set_to: None, last: 0 }
    }

    fn now(&self) -> Instant {
        match self.clock {
            Clock::Runtime(_) => now(),
            Clock::Hand(time) => time,
        }
    }

    /// See [`LocalState::advance`](crate::control::LocalState::advance).
    pub(crate) fn advance(&mut self, most: Duration, ready: &mut VecDeque<Ready<M>>) -> Option<Duration> {
        let Clock::Hand(time) = self.clock else { unreachable!("time passes by itself") };
        let next = self.first().map(|first| first.saturating_duration_since(time));
        let passed = next.filter(|next| *next <= most);
        let Some(then) = time.checked_add(passed.unwrap_or(most)) else {
            // That is beyond the range of the clock: no timer is due there.
            return None;
        };
        self.clock = Clock::Hand(then);
        if passed.is_some() {
            self.fire(ready);
        }
        passed
    }

    pub(crate) fn once(&mut self, delay: Duration, message: M) -> TimerId {
        self.add(delay, What::Once(message))
    }

    pub(crate) fn every(&mut self, period: Duration, make: impl FnMut() -> M + Send + 'static) -> TimerId {
        self.add(period, What::Every(period, Box::new(make)))
    }

    fn next_id(&mut self) -> TimerId {
        if self.last & (BLOCK - 1) == 0 {
            // Relaxed: the numbers only need to be unique. They grow, because the next block is a later one.
            self.last = BLOCKS.fetch_add(1, Ordering::Relaxed) * BLOCK;
        }
        self.last += 1;
        TimerId(self.last)
    }

    fn add(&mut self, delay: Duration, what: What<M>) -> TimerId {
        let id = self.next_id();
        let due = self.now().checked_add(delay);
        self.all.insert(id, Timer { due, what });
        self.order.extend(due.map(|due| (due, id)));
        self.set_timer();
        id
    }

    /// Cancels a timer, and drops its message if it was not handled. Returns whether there was such a timer.
    pub(crate) fn cancel(&mut self, id: TimerId) -> bool {
        let Some(timer) = self.all.remove(&id) else { return false };
        // The timer stays set, and may ring once without need.
        if let Some(due) = timer.due {
            self.order.remove(&(due, id));
        }
        true
    }

    /// Returns the message of a timer that has fired, unless the timer was cancelled since.
    pub(crate) fn take(&mut self, id: TimerId) -> Option<M> {
        let now = self.now();
        let timer = self.all.get_mut(&id)?;
        if let What::Every(period, _) = timer.what {
            // It is due again only now. An actor whose timers are all late would otherwise reschedule all of them for
            // each message.
            timer.due = timer.due.and_then(|due| following(due, period, now));
            self.order.extend(timer.due.map(|due| (due, id)));
            self.set_timer();
        }
        if let What::Every(_, make) = &mut self.all.get_mut(&id)?.what {
            return Some(make());
        }
        match self.all.remove(&id)?.what {
            What::Once(message) => Some(message),
            What::Every(..) => unreachable!("looked at above"),
        }
    }

    pub(crate) fn set_idle(&mut self, after: Duration, message: M) {
        let since = self.now();
        let old = self.idle.replace(Idle { after, since, busy: true, over: false, message });
        drop(old);
    }

    pub(crate) fn clear_idle(&mut self) {
        self.idle = None;
    }

    /// Records that a message was taken from the mailbox.
    pub(crate) fn busy(&mut self) {
        if let Some(idle) = &mut self.idle {
            idle.busy = true;
        }
    }

    /// Returns whether [`is_idle`](Self::is_idle) has something to do.
    pub(crate) fn has_idle_to_look_at(&self) -> bool {
        self.idle.as_ref().is_some_and(|idle| idle.busy || idle.over)
    }

    /// Called when there is nothing to do. Begins the idle time, or returns its message if it is over.
    pub(crate) fn is_idle(&mut self) -> Option<M> {
        let now = self.now();
        let idle = self.idle.as_mut()?;
        if idle.busy {
            (idle.busy, idle.over, idle.since) = (false, false, now);
            self.set_timer();
            return None;
        }
        self.idle.take_if(|idle| idle.over).map(|idle| idle.message)
    }

    /// Appends the timers that are due to `ready`, in the order of their due times. Called in the actor's turn.
    pub(crate) fn fire(&mut self, ready: &mut VecDeque<Ready<M>>) {
        let now = self.now();
        self.set_to = None;
        while let Some(&(due, id)) = self.order.first()
            && due <= now
        {
            self.order.pop_first();
            ready.push_back(Ready::Timer(id));
        }
        if let Some(idle) = &mut self.idle {
            idle.over = !idle.busy && idle.due().is_some_and(|due| due <= now);
        }
        self.set_timer();
    }

    /// Sets the timer to the first due time, unless it is set to an earlier time.
    fn set_timer(&mut self) {
        let (Some(first), Clock::Runtime(timer)) = (self.first(), &mut self.clock) else { return };
        if self.set_to.is_none_or(|set_to| first < set_to) {
            timer.set(first);
            self.set_to = Some(first);
        }
    }

    /// Returns the first due time, of a timer or of the idle time.
    fn first(&self) -> Option<Instant> {
        let idle = self.idle.as_ref().filter(|idle| !idle.busy && !idle.over).and_then(Idle::due);
        self.order.first().map(|&(due, _)| due).into_iter().chain(idle).min()
    }
}

impl<M> Timers<M> {
    /// Ends all timers, and passes their messages to `drop_message` one by one. A function that makes messages is
    /// dropped; a panic of its destructor ends here.
    pub(crate) fn clear(&mut self, mut drop_message: impl FnMut(M)) {
        self.order.clear();
        self.idle.take().into_iter().for_each(|idle| drop_message(idle.message));
        while let Some((_, timer)) = self.all.pop_first() {
            match timer.what {
                What::Once(message) => drop_message(message),
                What::Every(_, make) => _ = run_catching(|| drop(make)),
            }
        }
    }
}

impl<M> Drop for Timers<M> {
    fn drop(&mut self) {
        // One by one, each in its own catch: the destructors of two messages may panic.
        self.clear(|message| _ = run_catching(|| drop(message)));
    }
}

impl<M> Idle<M> {
    fn due(&self) -> Option<Instant> {
        self.since.checked_add(self.after)
    }
}

/// Returns the next due time of a periodic timer after `now`.
fn following(due: Instant, period: Duration, now: Instant) -> Option<Instant> {
    let missed = now.saturating_duration_since(due).as_nanos() / period.as_nanos();
    let step = u64::try_from((missed + 1).saturating_mul(period.as_nanos())).ok()?;
    due.checked_add(Duration::from_nanos(step))
}

#[cfg(all(test, fibers))]
mod tests {
    use super::*;

    #[test]
    fn periodic_timer_is_due_again_only_when_its_message_is_taken() {
        const PERIOD: Duration = Duration::from_millis(1);
        let mut timers = Timers::<u32>::by_hand();
        let mut ready = VecDeque::new();
        let id = timers.every(PERIOD, || 7);
        assert_eq!(timers.advance(PERIOD, &mut ready), Some(PERIOD));
        assert_eq!(ready.len(), 1);
        // Late by two periods and a half: nothing is due meanwhile.
        assert_eq!(timers.advance(PERIOD * 5 / 2, &mut ready), None);
        assert_eq!((ready.len(), timers.order.len()), (1, 0));
        assert_eq!(timers.take(id), Some(7));
        // It keeps its beat.
        assert_eq!(timers.advance(PERIOD, &mut ready), Some(PERIOD / 2));
        assert_eq!(ready.len(), 2);
    }
}
