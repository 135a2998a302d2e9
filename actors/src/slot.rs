//! The slot of an ask: a small heap cell that the asker and the [`Reply`] share.
//!
//! The reply writes the answer straight to the asker, to the place that the slot points to. Each side leaves the slot
//! once; the side that leaves last frees it. So a late answer finds that the asker has left, and touches no memory of
//! the asker.
//!
//! | `state` | left by | next |
//! |---|---|---|
//! | `OPEN` | neither | `GONE`, by the asker; `ANSWERING`, by the reply; `BROKEN`, by the finder of a circle |
//! | `BROKEN` | neither; the asker's wait is over | `GONE`, by the asker; `ANSWERING`, by the reply |
//! | `ANSWERING` | neither; the reply writes, and an asker that wants to leave waits | `ANSWERED`, by the reply |
//! | `ANSWERED` | the reply: the place has an answer, or never will | the asker frees the slot |
//! | `GONE` | the asker: a late answer is returned to its sender | the reply frees the slot |
//!
//! **The asker is woken.** The asker opens its wait, stores its waiter in `asker`, fences, and reads `state`.
//! The reply changes `state`, and then reads `asker` (Dekker's protocol). So at least one of the two sees the other:
//! either the asker does not park, or the reply claims it.
//!
//! **No other wait is woken.** The reply claims only between `ANSWERING` and `ANSWERED`. An asker whose wait has ended
//! in another way leaves the slot before it opens another wait, and to leave it waits until `ANSWERED`. The finder of a
//! circle claims while it holds the lock under which the asker takes its edge back, and the asker does that before it
//! leaves.

use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::marker::PhantomData;
use core::mem;
use core::ptr::{self, NonNull};
use core::task::Waker;

use kahn_core::primitives::{AtomicPtr, AtomicUsize, Backoff, Lock, MODEL, Ordering, fence, swap_then_load};
use kahn_core::wait::{Deadline, Elapsed, OwnedWaker, Reason, Wait, WaitError, Waiter, Wake};

const OPEN: usize = 0;
const ANSWERING: usize = 1;
const ANSWERED: usize = 2;
const GONE: usize = 3;
const BROKEN: usize = 4;

/// The token of a claim by the reply.
const LEFT: usize = 0;
/// The token of a claim by the finder of a circle.
const CIRCLE: usize = 1;

pub(crate) struct Slot {
    state: AtomicUsize,
    /// The asker's waiter, if it is a thread that waits. [`task`] if it is a task.
    asker: AtomicPtr<Waiter>,
    /// The place for the answer: an `Option<R>` of the asker.
    place: UnsafeCell<*mut ()>,
    /// The asker's waker, if it is a task that waits.
    waker: Lock<OwnedWaker>,
}

/// The value of `asker` that stands for a task, whose waker is in `waker`.
fn task() -> *mut Waiter {
    ptr::without_provenance_mut(1)
}

thread_local! {
    /// An unused slot, kept for the next ask on this OS thread. Mostly an OS thread has one ask at a time.
    static SPARE: Cell<Option<Box<Slot>>> = const { Cell::new(None) };
}

/// Returns a slot for an asker with this place. Never inlined: a caller that parks must not keep the address of a
/// thread-local; see `kahn_core::wait::current`.
#[inline(never)]
fn take(place: *mut ()) -> NonNull<Slot> {
    // In a model each ask gets a slot of its own, so that loom sees the slot from its creation on.
    let spare = if MODEL { None } else { SPARE.try_with(Cell::take).ok().flatten() };
    NonNull::from(Box::leak(match spare {
        Some(mut spare) => {
            // Relaxed (both): no other thread has this slot.
            spare.state.store(OPEN, Ordering::Relaxed);
            spare.asker.store(ptr::null_mut(), Ordering::Relaxed);
            *spare.place.get_mut() = place;
            spare
        }
        None => Box::new(Slot {
            state: AtomicUsize::new(OPEN),
            asker: AtomicPtr::new(ptr::null_mut()),
            place: UnsafeCell::new(place),
            waker: Lock::new(OwnedWaker::none()),
        }),
    }))
}

/// # Safety
///
/// Both sides have left the slot.
#[inline(never)]
unsafe fn give_back(slot: NonNull<Slot>) {
    // SAFETY: `take` leaked this box. Both sides have left, so no other pointer to it is used any more.
    let mut slot = unsafe { Box::from_raw(slot.as_ptr()) };
    drop(slot.waker.get_mut().take());
    let _ = SPARE.try_with(|spare| spare.replace(if MODEL { None } else { Some(slot) }));
}

/// Returns whether the reply still exists, neither used nor dropped.
///
/// # Safety
///
/// The asker has not left the slot.
pub(crate) unsafe fn is_open(slot: NonNull<Slot>) -> bool {
    // SAFETY: the slot lives until both sides have left it, and one side has not.
    // Relaxed: a thread that has used the reply sees its own store, and a thread that learnt of the use has
    // synchronised with it.
    unsafe { slot.as_ref() }.state.load(Ordering::Relaxed) == OPEN
}

/// Ends the asker's wait because it closes a circle. If the asker does not wait yet, its next wait on the slot ends at
/// once. Returns whether the reply still existed, and the wake-up that is owed.
///
/// # Safety
///
/// The asker is a thread. It has not left the slot, and does not leave it until the caller has released a lock.
pub(crate) unsafe fn break_off(slot: NonNull<Slot>) -> (bool, Option<Wake>) {
    // SAFETY: the slot lives until both sides have left it, and one side has not.
    let this = unsafe { slot.as_ref() };
    // Relaxed (both): this store hands nothing over.
    if this.state.compare_exchange(OPEN, BROKEN, Ordering::Relaxed, Ordering::Relaxed).is_err() {
        return (false, None);
    }
    // The asker stores its waiter, fences, and reads `state`. With this fence, one of the two sees the other.
    fence(Ordering::SeqCst);
    // Acquire: pairs with the Release in `wait`, so the waiter's wait is open.
    let asker = NonNull::new(this.asker.load(Ordering::Acquire));
    let wake = asker.and_then(|asker| {
        // SAFETY: the asker cannot leave yet. So its waiter is alive, and is in this wait or in none. The claim is won
        // just before `Wake::owed`.
        unsafe { asker.as_ref().claim(CIRCLE).then(|| Wake::owed(asker)) }
    });
    (true, wake)
}

/// The right to answer a question, once. If it is dropped unused, the asker is told that there will be no answer.
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

// SAFETY: a reply moves an `R` to another thread, hence `R: Send`. The slot synchronises the two sides.
unsafe impl<R: Send> Send for Reply<R> {}
// SAFETY: a shared reference to a reply gives no access to anything.
unsafe impl<R: Send> Sync for Reply<R> {}

impl<R> Reply<R> {
    /// Sends the answer.
    ///
    /// # Errors
    ///
    /// Returns the answer if the asker does not wait for it any more.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::reply;
    ///
    /// let (reply, answer) = reply();
    /// drop(answer);
    /// assert_eq!(reply.send(7), Err(7), "no asker waits for it");
    /// ```
    pub fn send(self, answer: R) -> Result<(), R> {
        let slot = mem::ManuallyDrop::new(self).slot;
        // SAFETY: this is the only time that the reply leaves: its destructor does not run. An `Asker<R>` made the
        // slot.
        unsafe { leave(slot, Some(answer)) }.map_or(Ok(()), Err)
    }
}

impl<R> Drop for Reply<R> {
    fn drop(&mut self) {
        // SAFETY: this is the only time that the reply leaves: `send` forgets the reply, so the destructor does not run
        // after it. An `Asker<R>` made the slot.
        let none = unsafe { leave::<R>(self.slot, None) };
        debug_assert!(none.is_none(), "nothing was sent");
    }
}

impl<R> fmt::Debug for Reply<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply { .. }")
    }
}

/// The reply leaves the slot, with or without an answer. Returns the answer if the asker has left.
///
/// # Safety
///
/// Called once for each slot, which an `Asker<R>` has made.
unsafe fn leave<R>(slot: NonNull<Slot>, answer: Option<R>) -> Option<R> {
    // SAFETY: the slot lives until both sides have left it, and one side has not.
    let this = unsafe { slot.as_ref() };
    let (before, asker) = swap_then_load(&this.state, ANSWERING, &this.asker);
    if before == GONE {
        // SAFETY: `GONE` says that the asker has left, and the reply leaves here.
        unsafe { give_back(slot) };
        return answer;
    }
    if let Some(answer) = answer {
        // SAFETY: the asker has not left, so its place is valid and holds `None`. Nothing else touches the place before
        // `ANSWERED`.
        unsafe { (*this.place.get()).cast::<Option<R>>().write(Some(answer)) };
    }
    if asker == task() {
        let waker = this.waker.lock().take();
        // Release: the asker sees the answer. From here on the slot belongs to the asker.
        this.state.store(ANSWERED, Ordering::Release);
        waker.wake();
        return None;
    }
    let wake = NonNull::new(asker).and_then(|asker| {
        // SAFETY: the asker does not leave before `ANSWERED`. So its waiter, that of a thread, is alive, and is in this
        // wait or in none. The claim is won just before `Wake::owed`.
        unsafe { asker.as_ref().claim(LEFT).then(|| Wake::owed(asker)) }
    });
    // Release: the asker sees the answer. From here on the slot belongs to the asker.
    this.state.store(ANSWERED, Ordering::Release);
    drop(wake);
    None
}

/// The asker's side of a slot.
pub(crate) struct Asker<'a, R> {
    slot: NonNull<Slot>,
    stands: Present,
    _place: PhantomData<&'a mut Option<R>>,
}

/// Which sides are in the slot, as far as the asker knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Present {
    Both,
    /// The reply has left.
    Asker,
    /// The asker has left: the slot belongs to the reply.
    Reply,
}

// SAFETY: an asker that is a task moves between threads together with its place. The answer that it receives is `Send`.
unsafe impl<R: Send> Send for Asker<'_, R> {}

impl<'a, R> Asker<'a, R> {
    /// Creates a slot and its reply. The reply writes the answer to `place`, which holds `None`.
    ///
    /// # Safety
    ///
    /// `place` is valid and holds `None`, and nothing else reads or writes it, until the asker has left the slot. The
    /// asker's destructor leaves it at the latest.
    pub(crate) unsafe fn new(place: NonNull<Option<R>>) -> (Asker<'a, R>, Reply<R>) {
        let slot = take(place.as_ptr().cast());
        (Asker { slot, stands: Present::Both, _place: PhantomData }, Reply { slot, _answer: PhantomData })
    }

    /// Returns the slot, which is valid until the asker has left it.
    pub(crate) fn place(&self) -> NonNull<Slot> {
        self.slot
    }

    fn slot(&self) -> &Slot {
        // SAFETY: the slot lives until both sides have left it. This is called only while `stands` is not `Left`, so
        // the asker has not left.
        unsafe { self.slot.as_ref() }
    }

    /// Waits until the reply has left, and returns true. Returns false if the wait was [broken off](break_off) before
    /// that. In that case, and on an error, calls `leaving` before the asker leaves the slot.
    ///
    /// # Errors
    ///
    /// Returns an error if the deadline has passed. The asker has left. An answer that came at the same moment may be
    /// in the place.
    #[inline]
    pub(crate) fn wait(
        &mut self,
        reason: Reason,
        deadline: Deadline,
        leaving: impl FnOnce(),
    ) -> Result<bool, Elapsed> {
        let wait = Wait::new();
        // Release: the reply sees the waiter, and that its wait is open.
        self.slot().asker.store(wait.waiter().as_ptr(), Ordering::Release);
        // Relaxed: `leave` reads the state again, with Acquire.
        let parked = wait.park_unless(reason, deadline, || self.slot().state.load(Ordering::Relaxed) != OPEN);
        match parked {
            // The reply wakes the asker after it has stored `ANSWERED`.
            Ok(Some(LEFT)) => {
                self.stands = Present::Asker;
                Ok(true)
            }
            // Relaxed: only the reply changes `BROKEN` before the asker leaves, and `leave` sees that change.
            Ok(None) if self.slot().state.load(Ordering::Relaxed) != BROKEN => {
                self.leave();
                Ok(true)
            }
            Ok(_) => Ok(self.is_broken_off(leaving)),
            Err(error) => Err(self.give_up(wait, error, leaving)),
        }
    }

    /// Leaves the slot after the wait was broken off. Returns whether the reply has left nevertheless.
    #[cold]
    fn is_broken_off(&mut self, leaving: impl FnOnce()) -> bool {
        // First, because until then the finder of the circle may access the slot.
        leaving();
        self.leave();
        self.stands == Present::Asker
    }

    #[cold]
    fn give_up(&mut self, wait: Wait, error: WaitError, leaving: impl FnOnce()) -> Elapsed {
        leaving();
        // Before the wait is closed, so that no claim of the reply reaches a later wait.
        self.leave();
        drop(wait);
        error.raise()
    }

    /// Returns whether the reply has left. If it has not, `waker` is woken when it does.
    pub(crate) fn poll(&mut self, waker: &Waker) -> bool {
        let waker = OwnedWaker::new(waker);
        let old = self.slot().waker.lock().replace(waker);
        drop(old);
        // Release: the reply sees the waker. The fence pairs with the exchange in the reply's `leave`: one of the two
        // sees the other.
        self.slot().asker.store(task(), Ordering::Release);
        fence(Ordering::SeqCst);
        // Acquire: pairs with the Release of `ANSWERED`, so the answer is visible.
        match self.slot().state.load(Ordering::Acquire) {
            OPEN => false,
            _ => {
                self.leave();
                true
            }
        }
    }

    /// Leaves the slot, unless the reply has left. If the reply is about to leave, waits for that.
    fn leave(&mut self) {
        let state = &self.slot().state;
        // Acquire (all): the answer is visible.
        // AcqRel on success: the reply, which frees the slot, sees every use of the slot by the asker.
        let mut left = state.compare_exchange(OPEN, GONE, Ordering::AcqRel, Ordering::Acquire);
        if left == Err(BROKEN) {
            left = state.compare_exchange(BROKEN, GONE, Ordering::AcqRel, Ordering::Acquire);
        }
        match left {
            Ok(_) => self.stands = Present::Reply,
            Err(_) => {
                let mut backoff = Backoff::new();
                while state.load(Ordering::Acquire) != ANSWERED {
                    backoff.wait();
                }
                self.stands = Present::Asker;
            }
        }
    }
}

impl<R> Drop for Asker<'_, R> {
    #[inline]
    fn drop(&mut self) {
        if self.stands == Present::Both {
            // Relaxed: this side has stored the value itself.
            if self.slot().asker.load(Ordering::Relaxed) == task() {
                let waker = self.slot().waker.lock().take();
                drop(waker);
            }
            self.leave();
        }
        if self.stands == Present::Asker {
            // SAFETY: the reply has left, and the asker does not use the slot after this.
            unsafe { give_back(self.slot) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::task::Context;
    use kahn_core::primitives::SPINS;
    use kahn_core::wait::Kind;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::task::Wake;
    use std::thread;

    /// Runs `scenario` many times. (The models are in `tests/loom.rs`.)
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

    /// Asks, waits by `wait`, and returns the answer that came.
    fn ask(
        answer: impl FnOnce(Reply<Box<u32>>) + Send + 'static,
        wait: fn(&mut Asker<'_, Box<u32>>) -> bool,
    ) -> Option<Box<u32>> {
        let place = UnsafeCell::new(None);
        // SAFETY: the asker is dropped before its place, which holds `None` and which only the reply uses until then.
        let (mut asker, reply) = unsafe { Asker::new(NonNull::new_unchecked(place.get())) };
        let answerer = thread::spawn(move || answer(reply));
        let in_time = wait(&mut asker);
        drop(asker);
        // Joined after the asker has left: a late answer must not be written.
        answerer.join().unwrap();
        let came = place.into_inner();
        assert!(in_time || came.is_none(), "it came after the asker had left, or was not waited for");
        came
    }

    fn for_ever(asker: &mut Asker<'_, Box<u32>>) -> bool {
        asker.wait(reason(), Deadline::Never, || {}).is_ok_and(|left| left)
    }

    #[test]
    fn asker_gets_the_reply_or_learns_that_none_will_come() {
        often(|| {
            assert_eq!(ask(|reply| reply.send(Box::new(7)).unwrap(), for_ever).as_deref(), Some(&7));
            assert_eq!(ask(drop, for_ever), None);
        });
    }

    /// The asker leaves at once, and its place is freed: the answer is either in time, or returned to its sender.
    #[test]
    fn late_reply_is_returned_after_the_asker_has_left() {
        often(|| {
            let came = Arc::new(AtomicUsize::new(0));
            let seen = came.clone();
            let place = Box::new(UnsafeCell::new(None));
            // SAFETY: the asker is dropped before its place, which holds `None` and which only the reply uses until
            // then.
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

    /// One task is woken or sees the answer; another is dropped.
    #[test]
    fn polling_asker_is_woken_or_sees_the_reply() {
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
                // SAFETY: the asker is dropped before its place, which holds `None` and which only the reply uses until
                // then.
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

#[cfg(all(test, kahn_loom))]
#[path = "slot_models.rs"]
mod models;
