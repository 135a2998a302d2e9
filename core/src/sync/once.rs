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
    waiters: WaitList<()>,
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
        loop {
            // Acquire: pairs with the Release at the end of an attempt.
            let seen = self.state.load(Ordering::Acquire);
            match seen {
                COMPLETE => return,
                RUNNING => self.wait_for_attempt(|state| state == RUNNING, location),
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
        loop {
            // Acquire: pairs with the Release at the end of an attempt.
            match self.state.load(Ordering::Acquire) {
                COMPLETE => return,
                POISONED if !ignore_poison => poisoned(location),
                // Waits until the current attempt ends, or, if none runs, until the next one ends.
                seen => self.wait_for_attempt(|state| state == seen || state == RUNNING, location),
            }
        }
    }

    /// Waits for the end of an attempt if `waits` returns true for the state.
    fn wait_for_attempt(&self, waits: impl FnOnce(u32) -> bool, location: &'static Location<'static>) {
        let options = WaitOptions::new(Reason::at(Kind::WaitGroup, self, location));
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
        self.once.waiters.update(|(), [waiters]| {
            self.once.state.store(self.outcome, Ordering::Release);
            waiters.claim_all();
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
