//! Where an answer is handed over: a small heap cell that the asker and the [`Reply`] share.
//!
//! The answer itself goes straight to the asker, to the place that the slot says. Each side leaves the slot once; who
//! leaves last gives it back. So an answer that comes too late finds that the asker has left, and touches nothing of it.
//!
//! | `state` | who has left | to |
//! |---|---|---|
//! | `OPEN` | nobody | `GONE`, by the asker; `ANSWERING`, by the reply; `BROKEN`, by who finds a circle |
//! | `BROKEN` | nobody, but the asker is about to: its wait is over | `GONE`, by the asker; `ANSWERING`, by the reply |
//! | `ANSWERING` | the reply is about to, and writes to the asker, who waits for that if it is in a hurry | `ANSWERED`, by the reply |
//! | `ANSWERED` | the reply: the place has an answer, or never will | the asker gives the slot back |
//! | `GONE` | the asker: the answer is handed back to who sends it | the reply gives the slot back |
//!
//! **The asker is woken.** It opens its wait, says in `asker` who waits, fences, and looks at `state`; the reply changes
//! `state`, and then looks at `asker` (Dekker's way). So one of the two sees the other: the asker does not park, or the
//! reply claims it. **Nobody else is woken.** The reply claims only between `ANSWERING` and `ANSWERED`; an asker whose
//! wait has ended otherwise leaves before it opens another, for which it waits until `ANSWERED`. A circle's finder claims
//! while it holds the lock under which the asker takes its edge back, which the asker does before it leaves.

use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::marker::PhantomData;
use core::mem;
use core::ptr::{self, NonNull};
use core::task::Waker;

use kahn_core::facade::{AtomicPtr, AtomicUsize, Backoff, Lock, MODEL, Ordering, fence, swap_then_load};
use kahn_core::wait::{Deadline, Missed, Party, Reason, TimedOut, Wait, Wake, unfailing};

const OPEN: usize = 0;
const ANSWERING: usize = 1;
const ANSWERED: usize = 2;
const GONE: usize = 3;
const BROKEN: usize = 4;

/// The token of the asker's claim by the reply.
const LEFT: usize = 0;
/// The token of the asker's claim by the finder of a circle.
const CIRCLE: usize = 1;

pub(crate) struct Slot {
    state: AtomicUsize,
    /// The asker, if it is a thread that waits.
    asker: AtomicPtr<Party>,
    /// Where an `Option<R>` is that is the asker's.
    place: UnsafeCell<*mut ()>,
    /// The asker, if it is a task that waits.
    waker: Lock<Option<Waker>>,
}

/// In `asker`: a task, whose waker is in `waker`.
fn task() -> *mut Party {
    ptr::without_provenance_mut(1)
}

thread_local! {
    /// A slot that nobody uses, for the next ask on this OS thread: mostly there is one at a time.
    static SPARE: Cell<Option<Box<Slot>>> = const { Cell::new(None) };
}

/// A slot of an asker with this place. Never inlined: see `kahn_core::wait::current`.
#[inline(never)]
fn take(place: *mut ()) -> NonNull<Slot> {
    // In a model each ask has a slot of its own, which loom knows from its start.
    let spare = if MODEL { None } else { SPARE.try_with(Cell::take).ok().flatten() };
    NonNull::from(Box::leak(match spare {
        Some(mut spare) => {
            // Relaxed (both): nobody else has it.
            spare.state.store(OPEN, Ordering::Relaxed);
            spare.asker.store(ptr::null_mut(), Ordering::Relaxed);
            *spare.place.get_mut() = place;
            spare
        }
        None => Box::new(Slot {
            state: AtomicUsize::new(OPEN),
            asker: AtomicPtr::new(ptr::null_mut()),
            place: UnsafeCell::new(place),
            waker: Lock::new(None),
        }),
    }))
}

/// # Safety
///
/// Both sides have left.
#[inline(never)]
unsafe fn give_back(slot: NonNull<Slot>) {
    // SAFETY: made by `take`, and nobody has it any more.
    let mut slot = unsafe { Box::from_raw(slot.as_ptr()) };
    drop(slot.waker.get_mut().take());
    let _ = SPARE.try_with(|spare| spare.replace(if MODEL { None } else { Some(slot) }));
}

/// Whether the reply is still somewhere: neither used nor dropped.
///
/// # Safety
///
/// The asker has not left.
pub(crate) unsafe fn is_open(slot: NonNull<Slot>) -> bool {
    // SAFETY: the slot lives until both have left.
    // Relaxed: who has used the reply, or knows of it, sees that by its own order or by how it came to know.
    unsafe { slot.as_ref() }.state.load(Ordering::Relaxed) == OPEN
}

/// Ends the asker's wait, which closes a circle, or the next if it does not wait yet. Returns whether the reply was still
/// somewhere, and the wake-up that is owed.
///
/// # Safety
///
/// The asker is a thread, has not left, and does not until the caller has unlocked something.
pub(crate) unsafe fn break_off(slot: NonNull<Slot>) -> (bool, Option<Wake>) {
    // SAFETY: the slot lives until both have left.
    let this = unsafe { slot.as_ref() };
    // Relaxed (both): nothing is handed over by it.
    if this.state.compare_exchange(OPEN, BROKEN, Ordering::Relaxed, Ordering::Relaxed).is_err() {
        return (false, None);
    }
    // The asker stores its party, fences, and looks at `state`: one of the two sees the other.
    fence(Ordering::SeqCst);
    // Acquire: the party's wait is open.
    let asker = NonNull::new(this.asker.load(Ordering::Acquire));
    let wake = asker.and_then(|asker| {
        // SAFETY: the asker cannot leave, so its party is there, and in this wait or in none. If it was claimed, that was
        // just now.
        unsafe { asker.as_ref().claim(CIRCLE).then(|| Wake::owed(asker)) }
    });
    (true, wake)
}

/// The right, and the duty, to answer a question. Dropped unused, it tells the asker that there will be no answer.
///
/// # Examples
///
/// ```
/// use kahn::actor::{Builder, Mailbox, Reply};
///
/// struct Square(u64, Reply<u64>);
///
/// let squares = Builder::new().spawn_loop(|mailbox: &mut Mailbox<Square>| {
///     while let Ok(Square(n, reply)) = mailbox.recv() {
///         let _ = reply.send(n * n);
///     }
///     Ok(())
/// });
/// assert_eq!(squares.ask(|reply| Square(9, reply)), Ok(81));
/// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::reply;
    ///
    /// let (reply, answer) = reply();
    /// drop(answer);
    /// assert_eq!(reply.send(7), Err(7), "nobody waits for it");
    /// ```
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
    let this = unsafe { slot.as_ref() };
    let (before, asker) = swap_then_load(&this.state, ANSWERING, &this.asker);
    if before == GONE {
        // SAFETY: both have left.
        unsafe { give_back(slot) };
        return answer;
    }
    if let Some(answer) = answer {
        // SAFETY: the asker has not left, so its place is there, empty, and nobody else touches it before `ANSWERED`.
        unsafe { (*this.place.get()).cast::<Option<R>>().write(Some(answer)) };
    }
    if asker == task() {
        let waker = this.waker.lock().take();
        // Release: the asker sees the answer. The slot is the asker's from here on.
        this.state.store(ANSWERED, Ordering::Release);
        if let Some(waker) = waker {
            // The reply has been sent, so no unwind of the waker may propagate.
            unfailing(|| waker.wake());
        }
        return None;
    }
    let wake = NonNull::new(asker).and_then(|asker| {
        // SAFETY: the asker does not leave before `ANSWERED`, so its party, a thread's, is there, and in this wait or in
        // none. If it was claimed, that was just now.
        unsafe { asker.as_ref().claim(LEFT).then(|| Wake::owed(asker)) }
    });
    // As above.
    this.state.store(ANSWERED, Ordering::Release);
    drop(wake);
    None
}

/// The asker's side.
pub(crate) struct Asker<'a, R> {
    slot: NonNull<Slot>,
    stands: Stands,
    _place: PhantomData<&'a mut Option<R>>,
}

/// Who is in the slot, as far as the asker knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stands {
    Both,
    /// The reply has left.
    Alone,
    /// The asker has left: the slot is the reply's.
    Left,
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
        (Asker { slot, stands: Stands::Both, _place: PhantomData }, Reply { slot, _answer: PhantomData })
    }

    /// The slot, which is there until the asker has left.
    pub(crate) fn place(&self) -> NonNull<Slot> {
        self.slot
    }

    fn slot(&self) -> &Slot {
        // SAFETY: the slot lives until both have left; called while `stands` is not `Left`.
        unsafe { self.slot.as_ref() }
    }

    /// Waits until the reply has left, and returns whether it has: if not, the wait was [broken off](break_off). If it has
    /// not left, calls `leaving` before the asker leaves.
    ///
    /// # Errors
    ///
    /// The deadline has passed. The asker has left. There may be an answer that came at the same moment.
    #[inline]
    pub(crate) fn wait(
        &mut self,
        reason: Reason,
        deadline: Deadline,
        leaving: impl FnOnce(),
    ) -> Result<bool, TimedOut> {
        let wait = Wait::new();
        // Release: the reply sees the party, and that its wait is open.
        self.slot().asker.store(wait.party().as_ptr(), Ordering::Release);
        // Relaxed: `leaves` looks again.
        let parked = wait.park_unless(reason, deadline, || self.slot().state.load(Ordering::Relaxed) != OPEN);
        match parked {
            // The reply wakes after it has left.
            Ok(Some(LEFT)) => {
                self.stands = Stands::Alone;
                Ok(true)
            }
            // Relaxed: `BROKEN` is not taken back but by the reply, which `leave` sees.
            Ok(None) if self.slot().state.load(Ordering::Relaxed) != BROKEN => {
                self.leave();
                Ok(true)
            }
            Ok(_) => Ok(self.is_broken_off(leaving)),
            Err(missed) => Err(self.give_up(wait, missed, leaving)),
        }
    }

    /// Leaves after the wait was broken off. Returns whether the reply has left all the same.
    #[cold]
    fn is_broken_off(&mut self, leaving: impl FnOnce()) -> bool {
        // First: until then the finder of the circle may look at the slot.
        leaving();
        self.leave();
        self.stands == Stands::Alone
    }

    #[cold]
    fn give_up(&mut self, wait: Wait, missed: Missed, leaving: impl FnOnce()) -> TimedOut {
        leaving();
        // First, so that no claim of the reply's hits a later wait.
        self.leave();
        drop(wait);
        missed.raise()
    }

    /// Whether the reply has left; if not, `waker` is woken when it does.
    pub(crate) fn poll(&mut self, waker: &Waker) -> bool {
        let waker = waker.clone();
        let old = self.slot().waker.lock().replace(waker);
        drop(old);
        // Release, fence: as in `wait`.
        self.slot().asker.store(task(), Ordering::Release);
        fence(Ordering::SeqCst);
        // Acquire: the answer is seen.
        match self.slot().state.load(Ordering::Acquire) {
            OPEN => false,
            _ => {
                self.leave();
                true
            }
        }
    }

    /// Leaves, unless the reply has left; waits for it if it is about to.
    fn leave(&mut self) {
        let state = &self.slot().state;
        // Acquire (all): the answer is seen. AcqRel: the reply gives back a slot that nobody uses.
        let mut left = state.compare_exchange(OPEN, GONE, Ordering::AcqRel, Ordering::Acquire);
        if left == Err(BROKEN) {
            left = state.compare_exchange(BROKEN, GONE, Ordering::AcqRel, Ordering::Acquire);
        }
        match left {
            Ok(_) => self.stands = Stands::Left,
            Err(_) => {
                let mut backoff = Backoff::new();
                while state.load(Ordering::Acquire) != ANSWERED {
                    backoff.wait();
                }
                self.stands = Stands::Alone;
            }
        }
    }
}

impl<R> Drop for Asker<'_, R> {
    #[inline]
    fn drop(&mut self) {
        if self.stands == Stands::Both {
            // Relaxed: our own store.
            if self.slot().asker.load(Ordering::Relaxed) == task() {
                let waker = self.slot().waker.lock().take();
                drop(waker);
            }
            self.leave();
        }
        if self.stands == Stands::Alone {
            // SAFETY: both have left.
            unsafe { give_back(self.slot) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::task::Context;
    use kahn_core::facade::SPINS;
    use kahn_core::wait::Kind;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::task::Wake;
    use std::thread;

    /// Runs `scenario` again and again. (The models are in `tests/loom.rs`.)
    fn often(scenario: impl Fn()) {
        let rounds = match (MODEL, SPINS) {
            (true, _) => 0,
            (false, true) => 1_000,
            (false, false) => 10,
        };
        (0..rounds).for_each(|_| scenario());
    }

    fn reason() -> Reason {
        Reason::new(Kind::Actor, ptr::null::<()>())
    }

    /// Asks, waits as `wait` does, and answers what has come.
    fn ask(
        answer: impl FnOnce(Reply<Box<u32>>) + Send + 'static,
        wait: fn(&mut Asker<'_, Box<u32>>) -> bool,
    ) -> Option<Box<u32>> {
        let place = UnsafeCell::new(None);
        // SAFETY: the asker is dropped before its place.
        let (mut asker, reply) = unsafe { Asker::new(NonNull::new_unchecked(place.get())) };
        let answerer = thread::spawn(move || answer(reply));
        let in_time = wait(&mut asker);
        drop(asker);
        // After that: a late answer must not be written.
        answerer.join().unwrap();
        let came = place.into_inner();
        assert!(in_time || came.is_none(), "it came after the asker had left, or was not waited for");
        came
    }

    fn for_ever(asker: &mut Asker<'_, Box<u32>>) -> bool {
        asker.wait(reason(), Deadline::Never, || {}).is_ok_and(|left| left)
    }

    #[test]
    fn an_answer_comes_or_never_will() {
        often(|| {
            assert_eq!(ask(|reply| reply.send(Box::new(7)).unwrap(), for_ever).as_deref(), Some(&7));
            assert_eq!(ask(drop, for_ever), None);
        });
    }

    /// The asker leaves at once, and its place is gone: the answer was in time, or is handed back.
    #[test]
    fn an_asker_that_leaves() {
        often(|| {
            let came = Arc::new(AtomicUsize::new(0));
            let seen = came.clone();
            let place = Box::new(UnsafeCell::new(None));
            // SAFETY: the asker is dropped before its place.
            let (asker, reply) = unsafe { Asker::new(NonNull::new_unchecked(place.get())) };
            let answerer = thread::spawn(move || match reply.send(Box::new(7)) {
                Ok(()) => seen.fetch_add(1, SeqCst),
                Err(late) => seen.fetch_add(*late as usize, SeqCst),
            });
            drop(asker);
            let answer: Option<Box<u32>> = place.into_inner();
            answerer.join().unwrap();
            assert_eq!(came.load(SeqCst), if answer.is_some() { 1 } else { 7 });
        });
    }

    /// A task that is woken, or has seen the answer; and one that goes.
    #[test]
    fn an_asker_that_polls() {
        struct Woken(AtomicUsize);
        impl Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, SeqCst);
            }
        }
        often(|| {
            for goes in [false, true] {
                let woken = Arc::new(Woken(AtomicUsize::new(0)));
                let place = Box::new(UnsafeCell::new(None));
                // SAFETY: the asker is dropped before its place.
                let (mut asker, reply) = unsafe { Asker::new(NonNull::new_unchecked(place.get())) };
                let answerer = thread::spawn(move || drop(reply.send(Box::new(7))));
                let waker = Waker::from(woken.clone());
                let context = Context::from_waker(&waker);
                let ready = asker.poll(context.waker());
                if goes {
                    drop(asker);
                    answerer.join().unwrap();
                    assert!(!ready || place.into_inner().is_some());
                } else {
                    answerer.join().unwrap();
                    assert!(ready || woken.0.load(SeqCst) == 1, "neither seen nor woken");
                    assert!(asker.poll(context.waker()));
                    drop(asker);
                    assert_eq!(place.into_inner().as_deref(), Some(&7));
                }
                drop(waker);
            }
        });
    }
}
