//! The threads and tasks that wait for one direction of a descriptor.
//!
//! Threads take turns: a thread has the turn from its first try of the system call until the call has succeeded or
//! failed, its waits included. The others wait for the turn, and get it in order. So threads that read from one
//! descriptor are served first come, first served, and only the thread with the turn waits for an event.
//!
//! A task of async code polls instead. It leaves its waker before it tries. An event wakes all tasks that have left one.
//!
//! | state | meaning |
//! |---|---|
//! | `busy` | a thread has the turn |
//! | `ready` | an event has come since the thread with the turn last began to try |
//! | `drained` | the last read took all that was there, and `ready` was not set. The next thread waits without trying: a later change is an event |
//! | `ends` | the peer has closed its side, there is an error, or there has been urgent data. Then a short read does not mean that there will be an event, so `drained` is not set any more |
//! | `closed` | the owner has closed the descriptor |
//!
//! # Why `drained` misses nothing
//!
//! A read of a TCP stream returns fewer bytes than asked for only if the stream is empty, or at its end, or at the mark of
//! urgent data. Whatever comes into an empty stream afterwards is an event, which clears `drained`. The end, an error and
//! urgent data are events too. If such an event is recorded before the read begins, `ends` is set, and the read does not
//! set `drained`. If it is recorded later, it sets `ready` or clears `drained`. If the descriptor is not registered yet,
//! the next read registers it, and the first event reports what is there.
//!
//! This does not hold for other streams. A read of a Unix stream also ends at bytes that carry a descriptor, of which no
//! event tells. So only reads of TCP streams report [`Readiness::Drained`].

use core::task::{Context, Poll};
use std::io;
use std::time::Instant;

use super::Counted;
use crate::wait::{OwnedWaker, Reason, WaitError, WaitList, WaitOptions, Waited};

/// The queue of the thread that has the turn, and waits for an event.
const EVENT: usize = 0;
/// The queue of the threads that wait for the turn.
const TURN: usize = 1;

/// One direction of a descriptor, reading or writing.
#[derive(Default)]
pub(crate) struct Direction(WaitList<State, Granted, 2>);

#[derive(Default)]
struct State {
    busy: bool,
    ready: bool,
    drained: bool,
    ends: bool,
    closed: bool,
    polling: Vec<PollingTask>,
}

/// A task of async code that waits for an event.
struct PollingTask {
    /// Identifies the wait. A wait has one entry.
    wait: PollId,
    waker: OwnedWaker,
    _counted: Counted,
}

/// Identifies a wait of async code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PollId {
    /// All polls of a direction that are made for the owner of the descriptor, such as those of `poll_read`: the last
    /// task that polls is woken.
    Owner,
    /// A future of its own, with a number that no other has.
    Future(u64),
}

/// Whether a woken thread has been given the turn. If not, the descriptor was closed.
type Granted = bool;

/// What a system call has left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// There may be more.
    Maybe,
    /// It has taken all that was there. Only reads of streams report this.
    Drained,
}

/// Returns the error of an operation on a closed descriptor.
pub(crate) fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the descriptor was closed by `close`")
}

/// Unwinds if the wait was ended by a cancel or an enclosing timeout. Otherwise returns the error of a deadline.
fn timed_out(error: WaitError) -> io::Error {
    let _ = error.raise();
    io::ErrorKind::TimedOut.into()
}

/// How a thread waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) reason: Reason,
    pub(crate) deadline: Option<Instant>,
}

/// The right to try the system call. Passed on when it is dropped.
struct Turn<'a> {
    direction: &'a Direction,
    /// Whether the caller should wait before it tries.
    drained: bool,
    left: Readiness,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.direction.0.update(|state, queues| {
            state.drained = self.left == Readiness::Drained && !state.ready && !state.ends;
            match queues[TURN].claim_next() {
                Some(granted) => *granted = true,
                None => state.busy = false,
            }
        });
    }
}

impl Direction {
    /// Tries `call` until it returns something else than `WouldBlock`, and parks in between. `register` registers
    /// the descriptor, unless that has been done, and counts the caller as waiting.
    pub(crate) fn run<R>(
        &self,
        wanted: Wanted,
        mut register: impl FnMut() -> io::Result<Counted>,
        mut call: impl FnMut() -> io::Result<(R, Readiness)>,
    ) -> io::Result<R> {
        let turn = self.take_turn(wanted)?;
        if !turn.drained {
            match call() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return turn.end(result),
            }
        }
        loop {
            self.wait(wanted, register()?)?;
            match call() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return turn.end(result),
            }
        }
    }

    /// Waits for the turn.
    fn take_turn(&self, wanted: Wanted) -> io::Result<Turn<'_>> {
        let options = WaitOptions::new(wanted.reason).until(wanted.deadline).in_queue(TURN).with(false);
        let waited = self.0.wait(options, |state| {
            if state.closed {
                return Some(None);
            }
            (!state.busy).then(|| {
                state.busy = true;
                Some(state.begin())
            })
        });
        let drained = match waited.map_err(timed_out)? {
            Waited::Found(Some(drained)) => drained,
            Waited::Woken(true) => {
                let mut turn = Turn { direction: self, drained: false, left: Readiness::Maybe };
                turn.drained = self.0.update(|state, _| state.begin());
                return Ok(turn);
            }
            Waited::Found(None) | Waited::Woken(false) => return Err(closed()),
        };
        Ok(Turn { direction: self, drained, left: Readiness::Maybe })
    }

    /// Waits for an event. The caller has the turn, and is counted as waiting.
    fn wait(&self, wanted: Wanted, _counted: Counted) -> io::Result<()> {
        let options = WaitOptions::new(wanted.reason).until(wanted.deadline).in_queue(EVENT).with(false);
        let waited = self.0.wait(options, |state| {
            if state.closed {
                return Some(false);
            }
            std::mem::take(&mut state.ready).then_some(true)
        });
        match waited.map_err(timed_out)? {
            Waited::Found(true) | Waited::Woken(true) => Ok(()),
            Waited::Found(false) | Waited::Woken(false) => Err(closed()),
        }
    }

    /// Tries `call` for a task, and leaves the task's waker if it returns `WouldBlock`.
    pub(crate) fn poll<R>(
        &self,
        wait: PollId,
        context: &Context<'_>,
        mut register: impl FnMut() -> io::Result<Counted>,
        mut call: impl FnMut() -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        // The waker comes first: an event after a failed try finds it.
        let task = PollingTask { wait, _counted: register()?, waker: OwnedWaker::new(context.waker()) };
        let (old, is_closed) = self.0.update(|state, _| {
            if state.closed {
                return (Some(task), true);
            }
            let old = state.polling.iter_mut().find(|old| old.wait == wait);
            let old = match old {
                Some(old) => Some(std::mem::replace(old, task)),
                None => {
                    state.polling.push(task);
                    None
                }
            };
            (old, false)
        });
        if is_closed {
            return Poll::Ready(Err(closed()));
        }
        match call() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            result => {
                self.forget(wait);
                // Each poll of a stream that is pending is followed by a wake-up, also if a later one succeeds before
                // the event is noticed. hyper 1.12 relies on that: it flushes again after a flush that was pending, and
                // returns `Pending` although the second one has succeeded.
                if old.is_some() && wait == PollId::Owner {
                    context.waker().wake_by_ref();
                }
                Poll::Ready(result)
            }
        }
    }

    /// Removes the waker of a wait that is over.
    pub(crate) fn forget(&self, wait: PollId) {
        let place = |state: &State| state.polling.iter().position(|task| task.wait == wait);
        let _task = self.0.update(|state, _| place(state).map(|at| state.polling.swap_remove(at)));
    }

    /// Removes the wakers of all tasks.
    pub(crate) fn forget_all(&self) {
        let _tasks = self.0.update(|state, _| std::mem::take(&mut state.polling));
    }

    /// Records an event, and wakes the thread and the tasks that wait for it.
    pub(crate) fn notify(&self, ends: bool) {
        let polling = self.0.update(|state, queues| {
            state.ends |= ends;
            state.drained = false;
            match queues[EVENT].claim_next() {
                Some(granted) => *granted = true,
                None => state.ready = true,
            }
            std::mem::take(&mut state.polling)
        });
        polling.into_iter().for_each(|task| task.waker.wake());
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.update(|state, _| state.closed)
    }

    /// Ends all waits, now and later.
    pub(crate) fn close(&self) {
        let polling = self.0.update(|state, queues| {
            state.closed = true;
            queues.iter_mut().for_each(|queue| _ = queue.claim_all());
            std::mem::take(&mut state.polling)
        });
        polling.into_iter().for_each(|task| task.waker.wake());
    }
}

impl State {
    /// Begins a turn. Returns whether there is nothing to try for until the next event.
    fn begin(&mut self) -> bool {
        self.ready = false;
        std::mem::take(&mut self.drained)
    }
}

impl Turn<'_> {
    fn end<R>(mut self, result: io::Result<(R, Readiness)>) -> io::Result<R> {
        let (value, left) = result?;
        self.left = left;
        Ok(value)
    }
}
