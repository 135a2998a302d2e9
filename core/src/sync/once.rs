//! Doing something once.

use core::fmt;
use core::panic::Location;
use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::facade::{AtomicU32, Ordering, maybe_const};
use crate::sync::gate::{Gate, Look};
use crate::wait::{Kind, Reason};

/// Nobody has begun.
const INCOMPLETE: u32 = 0;
/// Who had begun has unwound, and that counts.
const POISONED: u32 = 1;
/// Somebody is at it.
const RUNNING: u32 = 2;
/// It is done, for good.
const COMPLETE: u32 = 3;

/// Does something once, however many ask for it. As [`std::sync::Once`].
///
/// The initialiser holds no lock while it runs, and may park. Calling the same `Once` from inside it is a deadlock, as in
/// std.
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
    /// | `INCOMPLETE`, `POISONED` | `RUNNING` | who does it, by compare-and-swap |
    /// | `RUNNING` | `COMPLETE`, `POISONED`, `INCOMPLETE` | the same, with the gate locked, when it is done or has unwound |
    state: AtomicU32,
    gate: Gate<()>,
}

// An initialiser that unwound is what poisoning tells of.
impl UnwindSafe for Once {}
impl RefUnwindSafe for Once {}

/// What the initialiser of [`Once::call_once_force`] is told. As [`std::sync::OnceState`].
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
    /// Whether an earlier initialiser has unwound.
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

/// What an initialiser that unwinds leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unwound {
    /// Poison.
    Poisons,
    /// The work, for another.
    Retries,
}

impl Once {
    maybe_const! {
        /// Nothing is done yet.
        ///
        /// # Examples
        ///
        /// ```
        /// static SET_UP: kahn::sync::Once = kahn::sync::Once::new();
        /// assert!(!SET_UP.is_completed());
        /// ```
        #[inline]
        pub const fn new() -> Once {
            Once { state: AtomicU32::new(INCOMPLETE), gate: Gate::new(()) }
        }
    }

    /// Calls `f` unless it, or another's, has been called before. When this returns, it is done.
    ///
    /// # Parks
    ///
    /// While another is at it. Cancelled or timed out, it unwinds; the other goes on.
    ///
    /// # Panics
    ///
    /// If `f` does, and then at every call that comes later. An unwind by a cancel or a time-out in `f` counts too.
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

    /// As [`call_once`](Self::call_once), but tries again where an earlier initialiser has unwound.
    ///
    /// # Parks
    ///
    /// As [`call_once`](Self::call_once).
    ///
    /// # Panics
    ///
    /// If `f` does.
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

    /// Whether it is done.
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
        // Acquire: pairs with the Release of who did it.
        self.state.load(Ordering::Acquire) == COMPLETE
    }

    /// Waits until it is done, by another.
    ///
    /// # Parks
    ///
    /// Until then. Cancelled or timed out, it unwinds.
    ///
    /// # Panics
    ///
    /// If an initialiser has unwound.
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

    /// As [`wait`](Self::wait), and goes on waiting where an initialiser has unwound.
    ///
    /// # Parks
    ///
    /// As [`wait`](Self::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// let once = kahn::sync::Once::new();
    /// let _ = std::panic::catch_unwind(|| once.call_once(|| panic!("not yet")));
    /// kahn::scope(|s| {
    ///     s.spawn(|| once.call_once_force(|_| ()));
    ///     // The attempt that failed does not end it.
    ///     once.wait_force();
    /// });
    /// ```
    #[track_caller]
    pub fn wait_force(&self) {
        self.wait_done(true, Location::caller());
    }

    /// Calls `f` unless it is done, waiting while another is at it.
    #[cold]
    pub(super) fn call(
        &self,
        ignore_poison: bool,
        unwound: Unwound,
        location: &'static Location<'static>,
        f: &mut dyn FnMut(&OnceState),
    ) {
        loop {
            // Acquire: as in `is_completed`.
            let seen = self.state.load(Ordering::Acquire);
            match seen {
                COMPLETE => return,
                RUNNING => self.wait_while(|state| state == RUNNING, location),
                POISONED if !ignore_poison => poisoned(location),
                _ => {
                    // Acquire: an earlier initialiser that unwound may have left something.
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
        loop {
            // Acquire: as in `is_completed`.
            match self.state.load(Ordering::Acquire) {
                COMPLETE => return,
                POISONED if !ignore_poison => poisoned(location),
                // Whatever ends the attempt that runs, and be it the next, opens the gate.
                seen => self.wait_while(|state| state == seen || state == RUNNING, location),
            }
        }
    }

    /// Waits for the end of an attempt, if `closed` holds of the state.
    fn wait_while(&self, closed: impl FnOnce(u32) -> bool, location: &'static Location<'static>) {
        let reason = Reason::at(Kind::WaitGroup, self, location);
        let look = |(): &mut ()| {
            // Relaxed: the gate's lock orders it after the end of the attempt, if that has come.
            if closed(self.state.load(Ordering::Relaxed)) { Look::Park } else { Look::Pass }
        };
        let _no_deadline = self.gate.wait(reason, None, look, || {});
    }

    /// Forgets that it was done. By exclusive reference, so nobody is waiting.
    pub(super) fn reset(&mut self) {
        *self = Once::new();
    }
}

/// An initialiser that runs.
struct Attempt<'a> {
    once: &'a Once,
    outcome: u32,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        // Release: what the initialiser wrote is seen by whoever sees that it is done.
        self.once.gate.open(|()| self.once.state.store(self.outcome, Ordering::Release));
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
