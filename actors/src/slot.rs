//! Where an answer is handed over: a small heap cell that the asker and the [`Reply`] share.
//!
//! The answer itself goes straight to the asker, to the place that the slot says. Each side leaves the slot once, under
//! its lock; who leaves last gives it back. So an answer that comes too late finds that the asker has left, and touches
//! nothing of it.
//!
//! | who has left | then |
//! |---|---|
//! | nobody | the asker waits, or is about to |
//! | the reply | the place has an answer, or never will; the asker is woken |
//! | the asker | the answer is handed back to who sends it |

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::mem;
use core::ptr::NonNull;
use core::task::Waker;
use std::time::Instant;

use kahn_core::facade::{Lock, MODEL};
use kahn_core::wait::{Node, Reason, TimedOut, Wait, WaitQueue};

struct Slot(Lock<State>);

struct State {
    /// Where an `Option<R>` is that is the asker's.
    place: *mut (),
    /// The asker, if it is a thread that waits.
    asker: WaitQueue,
    /// The asker, if it is a task that waits.
    waker: Option<Waker>,
    one_left: bool,
}

thread_local! {
    /// A slot that nobody uses, for the next ask on this OS thread: mostly there is one at a time.
    static SPARE: Cell<Option<Box<Slot>>> = const { Cell::new(None) };
}

/// A slot of an asker with this place. Never inlined: see `kahn_core::wait::current`.
#[inline(never)]
fn take(place: *mut ()) -> NonNull<Slot> {
    let state = State { place, asker: WaitQueue::new(), waker: None, one_left: false };
    // In a model each ask has a slot of its own, which loom knows from its start.
    let spare = if MODEL { None } else { SPARE.try_with(Cell::take).ok().flatten() };
    NonNull::from(Box::leak(match spare {
        Some(mut spare) => {
            *spare.0.get_mut() = state;
            spare
        }
        None => Box::new(Slot(Lock::new(state))),
    }))
}

/// # Safety
///
/// Both sides have left.
#[inline(never)]
unsafe fn give_back(slot: NonNull<Slot>) {
    // SAFETY: made by `take`, and nobody has it any more.
    let slot = unsafe { Box::from_raw(slot.as_ptr()) };
    let _ = SPARE.try_with(|spare| spare.replace(if MODEL { None } else { Some(slot) }));
}

/// The right, and the duty, to answer a question. Dropped unused, it tells the asker that there will be no answer.
pub struct Reply<R> {
    slot: NonNull<Slot>,
    _answer: PhantomData<fn(R)>,
}

// SAFETY: it moves an `R` to another thread, and a slot is made to be shared by two.
unsafe impl<R: Send> Send for Reply<R> {}
// SAFETY: through a shared reference nothing can be done with it.
unsafe impl<R: Send> Sync for Reply<R> {}

impl<R> Reply<R> {
    /// Answers.
    ///
    /// # Errors
    ///
    /// Nobody waits for the answer any more, which is handed back.
    pub fn send(self, answer: R) -> Result<(), R> {
        let slot = mem::ManuallyDrop::new(self).slot;
        // SAFETY: this is the reply's one leave.
        unsafe { leave(slot, Some(answer)) }.map_or(Ok(()), Err)
    }
}

impl<R> Drop for Reply<R> {
    fn drop(&mut self) {
        // SAFETY: as above: `send` forgets the reply.
        let none = unsafe { leave::<R>(self.slot, None) };
        debug_assert!(none.is_none(), "nothing was sent");
    }
}

impl<R> fmt::Debug for Reply<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply { .. }")
    }
}

/// The reply leaves, with an answer or without. Answers what the asker no longer wants.
///
/// # Safety
///
/// Called once for each slot, which was made by an `Asker<R>`.
unsafe fn leave<R>(slot: NonNull<Slot>, answer: Option<R>) -> Option<R> {
    // SAFETY: the slot lives until both have left.
    let mut state = unsafe { slot.as_ref() }.0.lock();
    if state.one_left {
        drop(state);
        // SAFETY: both have left.
        unsafe { give_back(slot) };
        return answer;
    }
    state.one_left = true;
    if let Some(answer) = answer {
        // SAFETY: the asker has not left, so its place is there, empty, and nobody else touches it before it has taken
        // the lock, or has been woken by us.
        unsafe { state.place.cast::<Option<R>>().write(Some(answer)) };
    }
    let claimed = state.asker.claim_next();
    let waker = state.waker.take();
    drop(state);
    // The slot is the asker's from here on.
    drop(claimed);
    if let Some(waker) = waker {
        waker.wake();
    }
    None
}

/// The asker's side.
pub(crate) struct Asker<'a, R> {
    slot: NonNull<Slot>,
    /// Whether the reply is known to have left, and with it everybody else.
    alone: bool,
    _place: PhantomData<&'a mut Option<R>>,
}

// SAFETY: an asker that is a task moves between threads with its place; what it receives is `Send`.
unsafe impl<R: Send> Send for Asker<'_, R> {}

impl<'a, R> Asker<'a, R> {
    /// A slot, and the reply to it. The answer goes to `place`, which is empty, stays where it is and is used by nobody
    /// until the asker has left (its destructor).
    ///
    /// # Safety
    ///
    /// `place` is valid for as long as the asker has not left, holds `None`, and nothing else reads or writes it.
    pub(crate) unsafe fn new(place: NonNull<Option<R>>) -> (Asker<'a, R>, Reply<R>) {
        let slot = take(place.as_ptr().cast());
        (Asker { slot, alone: false, _place: PhantomData }, Reply { slot, _answer: PhantomData })
    }

    fn lock(&self) -> kahn_core::facade::LockGuard<'_, State> {
        // SAFETY: the slot lives until both have left.
        unsafe { self.slot.as_ref() }.0.lock()
    }

    /// Waits until the reply has left.
    ///
    /// # Errors
    ///
    /// The deadline has passed. The asker is to leave, and may find an answer that came at the same moment.
    pub(crate) fn wait(&mut self, reason: Reason, deadline: Option<Instant>) -> Result<(), TimedOut> {
        let wait = Wait::new();
        let node = Node::new(wait.party(), 0, core::ptr::null_mut());
        let place = NonNull::from(&node);
        {
            let mut state = self.lock();
            if state.one_left {
                drop(state);
                self.alone = true;
                return Ok(());
            }
            // SAFETY: the node stays here until the wait is over; it is removed below unless it was claimed.
            unsafe { state.asker.push(place) };
        }
        if let Err(missed) = wait.park(reason, deadline) {
            // SAFETY: the node is in this queue or in none.
            unsafe { self.lock().asker.remove(place) };
            drop(wait);
            return Err(missed.raise());
        }
        // Only the reply wakes, after it has left.
        self.alone = true;
        Ok(())
    }

    /// Whether the reply has left; if not, `waker` is woken when it does.
    pub(crate) fn poll(&mut self, waker: &Waker) -> bool {
        let waker = waker.clone();
        let mut state = self.lock();
        let alone = state.one_left;
        let old = if alone { Some(waker) } else { state.waker.replace(waker) };
        drop(state);
        drop(old);
        self.alone = alone;
        alone
    }
}

impl<R> Drop for Asker<'_, R> {
    fn drop(&mut self) {
        if !self.alone {
            let mut state = self.lock();
            if !state.one_left {
                state.one_left = true;
                let waker = state.waker.take();
                drop(state);
                return drop(waker);
            }
        }
        // SAFETY: both have left.
        unsafe { give_back(self.slot) };
    }
}
