//! One-time initialization.

use core::fmt;
use core::panic::Location;
use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::primitives::{AtomicU32, Ordering, maybe_const};
use crate::wait::{Kind, Reason, WaitList, WaitOptions, operation};

/// No initializer has started.
const INCOMPLETE: u32 = 0;
/// An initializer has unwound, and `Unwound::Poisons` was requested for it.
const POISONED: u32 = 1;
/// An initializer is running.
const RUNNING: u32 = 2;
/// The initialization is complete, for good.
const COMPLETE: u32 = 3;

/// The queue of the callers that panic if an initializer has unwound.
const TOLD: usize = 0;
/// The queue of the callers that run their own initializers if another one has unwound. One such end wakes one of them:
/// more would find that its initializer runs, and wait again.
const RETRYING: usize = 1;
/// The queue of the callers that wait until an initializer has completed, however many unwind before.
const PATIENT: usize = 2;

/// Runs an initializer once, no matter how many threads call it. Works like [`std::sync::Once`].
///
/// No lock is held while the initializer runs, and it may park. As in std, calling the same `Once` from inside it is
/// a deadlock.
///
/// # Examples
///
/// ```
/// static START: kahn::sync::Once = kahn::sync::Once::new();
///
/// let mut started = 0;
/// START.call_once(|| started += 1);
/// START.call_once(|| started += 1);
/// assert_eq!(started, 1);
/// ```
pub struct Once {
    /// | from | to | by |
    /// |---|---|---|
    /// | `INCOMPLETE`, `POISONED` | `RUNNING` | the thread that runs the initializer, by compare-and-swap |
    /// | `RUNNING` | `COMPLETE`, `POISONED`, `INCOMPLETE` | the same thread, with `waiters` locked, at the end |
    state: AtomicU32,
    /// A caller that was claimed in `RETRYING` owes the others there an attempt, or that another one is running. It
    /// keeps that: a claimed waiter is not cancelled, it does not park before it has looked at the state, and
    /// the end of each attempt, which may be an unwind, claims the next one.
    waiters: WaitList<(), (), 3>,
}

// If an initializer unwinds, the state records it as poisoning.
impl UnwindSafe for Once {}
impl RefUnwindSafe for Once {}

/// The state that the initializer of [`Once::call_once_force`] receives. Works like [`std::sync::OnceState`].
///
/// # Examples
///
/// ```
/// use kahn::sync::{Once, OnceState};
///
/// Once::new().call_once_force(|state: &OnceState| assert!(!state.is_poisoned()));
/// ```
#[derive(Debug)]
pub struct OnceState {
    poisoned: bool,
}

impl OnceState {
    /// Returns whether an earlier initializer has unwound.
    ///
    /// # Examples
    ///
    /// ```
    /// let once = kahn::sync::Once::new();
    /// let first = std::panic::catch_unwind(|| once.call_once(|| panic!("not today")));
    /// assert!(first.is_err());
    /// once.call_once_force(|state| assert!(state.is_poisoned()));
    /// assert!(once.is_completed());
    /// ```
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }
}

/// What happens when an initializer unwinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unwound {
    /// The `Once` is poisoned.
    Poisons,
    /// The next caller, or a waiter, runs its own initializer.
    Retries,
}

impl Once {
    maybe_const! {
        /// Creates a `Once` that is not complete.
        ///
        /// # Examples
        ///
        /// ```
        /// static SET_UP: kahn::sync::Once = kahn::sync::Once::new();
        /// assert!(!SET_UP.is_completed());
        /// ```
        #[inline]
        pub const fn new() -> Once {
            Once { state: AtomicU32::new(INCOMPLETE), waiters: WaitList::new(()) }
        }
    }

    /// Creates a `Once` that is complete.
    pub(super) fn completed() -> Once {
        Once { state: AtomicU32::new(COMPLETE), waiters: WaitList::new(()) }
    }

    /// Calls `f`, unless an initializer has been called before. When this returns, an initializer has completed.
    ///
    /// # Parks
    ///
    /// Parks while another thread runs an initializer. If the caller is cancelled or its timeout passes, this
    /// unwinds; the other thread continues.
    ///
    /// # Panics
    ///
    /// Panics if `f` panics, and from then on at every call. A cancel or a timeout that unwinds `f` counts as a panic
    /// here.
    ///
    /// # Examples
    ///
    /// ```
    /// static SET_UP: kahn::sync::Once = kahn::sync::Once::new();
    ///
    /// fn use_it() {
    ///     SET_UP.call_once(|| println!("printed once"));
    /// }
    /// use_it();
    /// use_it();
    /// ```
    #[track_caller]
    #[inline]
    pub fn call_once(&self, f: impl FnOnce()) {
        if !self.is_completed() {
            let mut f = Some(f);
            let mut call = |_: &OnceState| (f.take().expect("called once"))();
            self.call(false, Unwound::Poisons, Location::caller(), &mut call);
        }
    }

    /// Like [`call_once`](Self::call_once), but also calls `f` if an earlier initializer has unwound.
    ///
    /// # Parks
    ///
    /// Parks as [`call_once`](Self::call_once) does.
    ///
    /// # Panics
    ///
    /// Panics if `f` panics.
    ///
    /// # Examples
    ///
    /// ```
    /// let once = kahn::sync::Once::new();
    /// let _ = std::panic::catch_unwind(|| once.call_once(|| panic!("the disk is full")));
    /// let mut done = false;
    /// once.call_once_force(|_| done = true);
    /// assert!(done);
    /// ```
    #[track_caller]
    #[inline]
    pub fn call_once_force(&self, f: impl FnOnce(&OnceState)) {
        if !self.is_completed() {
            let mut f = Some(f);
            let mut call = |state: &OnceState| (f.take().expect("called once"))(state);
            self.call(true, Unwound::Poisons, Location::caller(), &mut call);
        }
    }

    /// Returns whether an initializer has completed.
    ///
    /// # Examples
    ///
    /// ```
    /// let once = kahn::sync::Once::new();
    /// once.call_once(|| assert!(!once.is_completed()));
    /// assert!(once.is_completed());
    /// ```
    #[inline]
    pub fn is_completed(&self) -> bool {
        // Acquire: pairs with the Release of the thread that has run the initializer.
        self.state.load(Ordering::Acquire) == COMPLETE
    }

    /// Waits until another thread has completed an initializer.
    ///
    /// # Parks
    ///
    /// Parks until an initializer has completed. If the caller is cancelled or its timeout passes, this unwinds.
    ///
    /// # Panics
    ///
    /// Panics if an initializer has unwound.
    ///
    /// # Examples
    ///
    /// ```
    /// let once = kahn::sync::Once::new();
    /// kahn::scope(|s| {
    ///     s.spawn(|| once.call_once(|| ()));
    ///     once.wait();
    ///     assert!(once.is_completed());
    /// });
    /// ```
    #[track_caller]
    pub fn wait(&self) {
        self.wait_done(false, Location::caller());
    }

    /// Like [`wait`](Self::wait), but keeps waiting if an initializer has unwound.
    ///
    /// # Parks
    ///
    /// Parks as [`wait`](Self::wait) does.
    ///
    /// # Examples
    ///
    /// ```
    /// let once = kahn::sync::Once::new();
    /// let _ = std::panic::catch_unwind(|| once.call_once(|| panic!("not yet")));
    /// kahn::scope(|s| {
    ///     s.spawn(|| once.call_once_force(|_| ()));
    ///     // The failed attempt does not end the wait.
    ///     once.wait_force();
    /// });
    /// ```
    #[track_caller]
    pub fn wait_force(&self) {
        self.wait_done(true, Location::caller());
    }

    /// Calls `f` unless an initializer has completed. Waits while another thread runs one.
    #[cold]
    pub(super) fn call(
        &self,
        ignore_poison: bool,
        unwound: Unwound,
        location: &'static Location<'static>,
        f: &mut dyn FnMut(&OnceState),
    ) {
        operation();
        let queue = if ignore_poison { RETRYING } else { TOLD };
        let mut has_waited = false;
        loop {
            // Acquire: pairs with the Release at the end of an attempt.
            let seen = self.state.load(Ordering::Acquire);
            match seen {
                COMPLETE => return,
                RUNNING => {
                    self.wait_while(|state| state == RUNNING, queue, has_waited, location);
                    has_waited = true;
                }
                POISONED if !ignore_poison => poisoned(location),
                _ => {
                    // Acquire: an earlier initializer that unwound may have written something.
                    if self
                        .state
                        .compare_exchange(seen, RUNNING, Ordering::Acquire, Ordering::Relaxed)
                        .is_err()
                    {
                        continue;
                    }
                    let left = if unwound == Unwound::Poisons { POISONED } else { INCOMPLETE };
                    let mut attempt = Attempt { once: self, outcome: left };
                    f(&OnceState { poisoned: seen == POISONED });
                    attempt.outcome = COMPLETE;
                    return;
                }
            }
        }
    }

    fn wait_done(&self, ignore_poison: bool, location: &'static Location<'static>) {
        operation();
        let queue = if ignore_poison { PATIENT } else { TOLD };
        loop {
            // Acquire: pairs with the Release at the end of an attempt.
            match self.state.load(Ordering::Acquire) {
                COMPLETE => return,
                POISONED if !ignore_poison => poisoned(location),
                _ => {
                    let waits = |state| state != COMPLETE && (ignore_poison || state != POISONED);
                    self.wait_while(waits, queue, false, location);
                }
            }
        }
    }

    /// Waits in this queue, unless `waits` returns false for the state.
    fn wait_while(
        &self,
        waits: impl FnOnce(u32) -> bool,
        queue: usize,
        at_front: bool,
        location: &'static Location<'static>,
    ) {
        let options = WaitOptions::new(Reason::at(Kind::WaitGroup, self, location));
        let options = options.in_queue(queue).at_front(at_front);
        // Relaxed: if an attempt has ended, the lock of the list orders this load after its end.
        let look = |(): &mut ()| (!waits(self.state.load(Ordering::Relaxed))).then_some(());
        if let Err(error) = self.waiters.wait(options, look) {
            error.raise();
        }
    }

    /// Resets to incomplete. The reference is exclusive, so there is no waiter.
    pub(super) fn reset(&mut self) {
        *self = Once::new();
    }
}

/// A running initializer. Its destructor stores the outcome.
struct Attempt<'a> {
    once: &'a Once,
    outcome: u32,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        // Release: a thread that sees the new state sees what the initializer wrote.
        self.once.waiters.update(|(), queues| {
            self.once.state.store(self.outcome, Ordering::Release);
            queues[TOLD].claim_all();
            if self.outcome == COMPLETE {
                queues[RETRYING].claim_all();
                queues[PATIENT].claim_all();
            } else {
                queues[RETRYING].claim_next();
            }
        });
    }
}

#[cold]
fn poisoned(location: &'static Location<'static>) -> ! {
    panic!("an earlier initialiser of the one-time initialisation used at {location} has unwound")
}

impl Default for Once {
    fn default() -> Once {
        Once::new()
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

#[cfg(all(test, fibers))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::Arc;

    use super::*;
    use crate::runtime::Runtime;

    fn waiting(once: &Once) -> [usize; 3] {
        once.waiters.update(|(), queues| core::array::from_fn(|queue| queues[queue].waiting()))
    }

    /// Calls `once` with an initializer that unwinds when `others` callers wait.
    fn fail(once: &Once, unwound: Unwound, others: usize) {
        let mut initializer = |_: &OnceState| {
            while waiting(once).iter().sum::<usize>() < others {
                crate::yield_now();
            }
            resume_unwind(Box::new("on purpose"));
        };
        once.call(true, unwound, Location::caller(), &mut initializer);
    }

    fn unwinds(f: impl FnOnce()) -> bool {
        catch_unwind(AssertUnwindSafe(f)).is_err()
    }

    /// With one worker, no woken waiter has run when this thread looks at the queues.
    #[test]
    fn unwound_initializer_wakes_one_waiter_that_retries() {
        const RETRIES: usize = 4;
        Runtime::builder().workers(1).build().unwrap().run(|| {
            for unwound in [Unwound::Retries, Unwound::Poisons] {
                let once = Arc::new(Once::new());
                let spawn = |wait: fn(&Once, Unwound)| {
                    let once = once.clone();
                    crate::spawn_local(move || unwinds(|| wait(&once, unwound)))
                };
                let mut callers: Vec<_> =
                    (0..RETRIES).map(|_| spawn(|once, unwound| fail(once, unwound, 0))).collect();
                // Nobody is told of poison by an initializer that does not poison.
                if unwound == Unwound::Poisons {
                    callers.extend([spawn(|once, _| once.wait()), spawn(|once, _| once.call_once(|| {}))]);
                }
                let patient = [spawn(|once, _| once.wait_force()), spawn(|once, _| once.wait_force())];
                assert!(unwinds(|| fail(&once, unwound, callers.len() + patient.len())));
                assert_eq!(waiting(&once), [0, RETRIES - 1, patient.len()]);
                // Each that retries wakes the next one.
                callers.into_iter().for_each(|caller| assert!(caller.join().unwrap()));
                assert_eq!(waiting(&once), [0, 0, patient.len()]);
                once.call_once_force(|_| {});
                patient.into_iter().for_each(|patient| assert!(!patient.join().unwrap()));
            }
        });
    }
}
