//! The timers of one actor, which end with it: a short list, and one alarm, set to the first of them.

use core::time::Duration;
use std::collections::VecDeque;
use std::time::Instant;

use kahn_core::facade::now;
use kahn_core::process::Alarm;

use crate::cell::Any;

/// A message that takes no room in the mailbox, and the timer that it comes from.
pub(crate) struct Ready<M> {
    pub(crate) timer: Option<TimerId>,
    pub(crate) message: M,
}

/// A timer of an actor; see [`Control::send_after`](crate::Control::send_after).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId(u64);

pub(crate) struct Timers<M> {
    list: Vec<Timer<M>>,
    idle: Option<Idle<M>>,
    clock: Clock,
    /// What the alarm is set to.
    set_to: Option<Instant>,
    last: u64,
}

/// Who says what time it is, and that it has come.
enum Clock {
    /// The runtime's.
    Runtime(Alarm<Any>),
    /// A test says so: it is this time.
    Hand(Instant),
}

struct Timer<M> {
    id: TimerId,
    /// `None` is beyond what the clock can express.
    due: Option<Instant>,
    what: What<M>,
}

enum What<M> {
    Once(M),
    /// With how the message is copied, which is known only where the timer is made.
    Every(Duration, M, fn(&M) -> M),
}

struct Idle<M> {
    after: Duration,
    since: Instant,
    message: M,
}

impl<M> Timers<M> {
    pub(crate) fn new(me: &Any) -> Timers<M> {
        let ring = |me: &Any| {
            let rouse = me.state.lock().ring();
            rouse.wake(me);
        };
        Timers::of(Clock::Runtime(Alarm::new(me.clone(), ring)))
    }

    /// Timers whose time passes by [`advance`](Self::advance) alone.
    pub(crate) fn by_hand() -> Timers<M> {
        Timers::of(Clock::Hand(now()))
    }

    fn of(clock: Clock) -> Timers<M> {
        Timers { list: Vec::new(), idle: None, clock, set_to: None, last: 0 }
    }

    fn now(&self) -> Instant {
        match self.clock {
            Clock::Runtime(_) => now(),
            Clock::Hand(time) => time,
        }
    }

    /// See [`Own::advance`](crate::control::Own::advance).
    pub(crate) fn advance(&mut self, most: Duration, ready: &mut VecDeque<Ready<M>>) -> Option<Duration> {
        let Clock::Hand(time) = self.clock else { unreachable!("time passes by itself") };
        let next = self.first().map(|first| first.saturating_duration_since(time));
        let passed = next.filter(|next| *next <= most);
        let then =
            time.checked_add(passed.unwrap_or(most)).expect("advance: it is further than the clock goes");
        self.clock = Clock::Hand(then);
        if passed.is_some() {
            self.fire(then, ready);
        }
        passed
    }

    pub(crate) fn once(&mut self, delay: Duration, message: M) -> TimerId {
        self.add(delay, What::Once(message))
    }

    pub(crate) fn every(&mut self, period: Duration, message: M) -> TimerId
    where
        M: Clone,
    {
        self.add(period, What::Every(period, message, M::clone))
    }

    fn add(&mut self, delay: Duration, what: What<M>) -> TimerId {
        self.last += 1;
        let id = TimerId(self.last);
        self.list.push(Timer { id, due: self.now().checked_add(delay), what });
        self.reset();
        id
    }

    pub(crate) fn cancel(&mut self, id: TimerId) -> bool {
        let Some(place) = self.list.iter().position(|timer| timer.id == id) else { return false };
        // The alarm may ring for nothing, once.
        self.list.swap_remove(place);
        true
    }

    pub(crate) fn set_idle(&mut self, after: Duration, message: M) {
        self.idle = Some(Idle { after, since: self.now(), message });
        self.reset();
    }

    pub(crate) fn clear_idle(&mut self) {
        self.idle = None;
    }

    /// A message has come.
    pub(crate) fn busy(&mut self) {
        let time = self.idle.as_ref().map(|_| self.now());
        if let (Some(idle), Some(time)) = (&mut self.idle, time) {
            // The alarm rings at the old moment, and is set anew then.
            idle.since = time;
        }
    }

    /// Puts the messages that are due behind `ready`, in the order in which they are due.
    pub(crate) fn fire(&mut self, now: Instant, ready: &mut VecDeque<Ready<M>>) {
        self.set_to = None;
        self.list.sort_by_key(|timer| (timer.due.is_none(), timer.due));
        let due = self.list.partition_point(|timer| timer.due.is_some_and(|due| due <= now));
        let mut again = Vec::new();
        for timer in self.list.drain(..due) {
            match timer.what {
                What::Once(message) => ready.push_back(Ready { timer: Some(timer.id), message }),
                What::Every(period, message, copy) => {
                    ready.push_back(Ready { timer: Some(timer.id), message: copy(&message) });
                    again.push(Timer {
                        id: timer.id,
                        due: following(timer.due, period, now),
                        what: What::Every(period, message, copy),
                    });
                }
            }
        }
        self.list.append(&mut again);
        if self.idle.as_ref().is_some_and(|idle| idle.due().is_some_and(|due| due <= now)) {
            ready.extend(self.idle.take().map(|idle| Ready { timer: None, message: idle.message }));
        }
        self.reset();
    }

    /// Sets the alarm to the first moment, if it is not set to an earlier one.
    fn reset(&mut self) {
        let first = self.first();
        let (Some(first), Clock::Runtime(alarm)) = (first, &mut self.clock) else { return };
        if self.set_to.is_none_or(|set_to| first < set_to) {
            self.set_to = Some(first);
            alarm.set(first);
        }
    }

    fn first(&self) -> Option<Instant> {
        let idle = self.idle.as_ref().and_then(Idle::due);
        self.list.iter().filter_map(|timer| timer.due).chain(idle).min()
    }
}

impl<M> Idle<M> {
    fn due(&self) -> Option<Instant> {
        self.since.checked_add(self.after)
    }
}

/// The next moment of a beat, after `now`.
fn following(due: Option<Instant>, period: Duration, now: Instant) -> Option<Instant> {
    let due = due?;
    let missed = now.saturating_duration_since(due).as_nanos() / period.as_nanos();
    let step = u64::try_from((missed + 1).saturating_mul(period.as_nanos())).ok()?;
    due.checked_add(Duration::from_nanos(step))
}
