//! The facade over `std`.

pub use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, compiler_fence, fence,
};
pub use std::sync::Arc;

/// A `const fn`, but in a model, whose atomics cannot be made in a constant.
macro_rules! maybe_const {
    ($($function:tt)*) => { $($function)* };
}
pub(crate) use maybe_const;

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::time::Duration;
use std::time::Instant;

/// How an OS thread sleeps until another wakes it. A token is kept, so a wake-up that comes first is not lost.
#[derive(Debug)]
pub struct Parker(crossbeam_utils::sync::Parker);

/// The waking half of a [`Parker`].
#[derive(Clone, Debug)]
pub struct Unparker(crossbeam_utils::sync::Unparker);

impl Parker {
    /// A parker without a token.
    pub fn new() -> Parker {
        Parker(crossbeam_utils::sync::Parker::new())
    }

    /// Sleeps until a token is there, and takes it. May return early.
    pub fn park(&self) {
        self.0.park();
    }

    /// Sleeps until a token is there or the deadline has passed. May return early.
    pub fn park_deadline(&self, deadline: Instant) {
        self.0.park_deadline(deadline);
    }

    /// The waking half.
    pub fn unparker(&self) -> Unparker {
        Unparker(self.0.unparker().clone())
    }
}

impl Default for Parker {
    fn default() -> Parker {
        Parker::new()
    }
}

impl Unparker {
    /// Leaves a token, and wakes the sleeper.
    pub fn unpark(&self) {
        self.0.unpark();
    }
}

/// Exchanges the value of `word`, and then reads `place`. Of this and somebody who writes `place`, fences with `SeqCst` and
/// then reads `word`, one sees what the other has written.
#[inline]
pub fn swap_then_load<T>(word: &AtomicUsize, value: usize, place: &AtomicPtr<T>) -> (usize, *mut T) {
    // SeqCst (both): they have places in the one order of all such accesses and fences. If the other's fence comes before
    // the exchange, it comes before the load, which then reads what was written before the fence. If it comes after,
    // the other's read sees the exchange. On x86 this is one locked instruction; with a fence it would be two.
    (word.swap(value, Ordering::SeqCst), place.load(Ordering::SeqCst))
}

/// A mutual exclusion lock for critical sections of a few dozen instructions, which never run a user's code and
/// never park.
///
/// | `locked` | means |
/// |---|---|
/// | false | free |
/// | true | held; who comes meanwhile backs off, first on the CPU, then by yielding it, then by sleeping |
///
/// Taking it is one compare-and-swap and giving it back is one store: half of what a lock that keeps track of its
/// sleepers costs, and channels do little else. The back-off is long on purpose: two cores that fight over a line
/// for every message are ten times slower than two that take turns of a microsecond each.
#[derive(Debug, Default)]
pub struct Lock<T> {
    locked: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the lock hands out one exclusive reference at a time, so sharing it moves `T` between threads at most.
unsafe impl<T: Send> Send for Lock<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    /// A free lock around `value`.
    pub const fn new(value: T) -> Lock<T> {
        Lock { locked: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Takes the lock.
    #[inline]
    pub fn lock(&self) -> LockGuard<'_, T> {
        // Acquire: pairs with the Release of the guard's drop, so that we see what the last holder wrote.
        if self.locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.lock_contended();
        }
        LockGuard { lock: self }
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_lock(&self) -> Option<LockGuard<'_, T>> {
        // Relaxed look first: a failed attempt should not take the line from the holder. Acquire as in `lock`.
        if !self.locked.load(Ordering::Relaxed)
            && self.locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
        {
            Some(LockGuard { lock: self })
        } else {
            None
        }
    }

    /// The value, by exclusive reference to the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    #[cold]
    #[inline(never)]
    fn lock_contended(&self) {
        let mut backoff = Backoff::new();
        loop {
            backoff.wait();
            // Orderings as in `lock`.
            if !self.locked.load(Ordering::Relaxed)
                && self.locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                return;
            }
        }
    }
}

/// Waits longer each time: on the CPU up to about two microseconds, then by giving up the CPU (the holder may be
/// waiting for this very core), then asleep, so that a holder that was preempted costs nobody a core.
#[derive(Debug, Default)]
pub struct Backoff {
    round: u32,
}

impl Backoff {
    const SPIN_ROUNDS: u32 = 7;
    const YIELD_ROUNDS: u32 = 24;
    const SLEEP: Duration = Duration::from_micros(50);

    /// One that has not waited yet.
    pub fn new() -> Backoff {
        Backoff::default()
    }

    /// Waits, longer than the last time.
    #[cold]
    pub fn wait(&mut self) {
        if self.round < Self::SPIN_ROUNDS {
            for _ in 0..(1_u32 << (4 + self.round)) {
                core::hint::spin_loop();
            }
        } else if self.round < Self::YIELD_ROUNDS {
            std::thread::yield_now();
        } else {
            std::thread::sleep(Self::SLEEP);
        }
        self.round = self.round.saturating_add(1);
    }
}

/// The holder's access; dropping it gives the lock back.
#[derive(Debug)]
pub struct LockGuard<'a, T> {
    lock: &'a Lock<T>,
}

impl<T> Deref for LockGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: a guard exists only while its thread holds the lock, so nobody else has a reference to the value.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for LockGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and `&mut self` makes the reference unique within the guard.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for LockGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Release: what we wrote is seen by the next Acquire.
        self.lock.locked.store(false, Ordering::Release);
    }
}

/// Whether `deadline` has passed.
#[inline]
pub fn deadline_passed(deadline: Instant) -> bool {
    super::now() >= deadline
}

/// How tests look at the orders in which threads may run: here, by running them many times.
#[cfg(test)]
pub mod explore {
    pub use std::sync::Arc;
    pub use std::thread;

    /// Runs `scenario` again and again, on threads as they come.
    pub fn orders(_preemptions: usize, scenario: impl Fn() + Send + Sync + 'static) {
        for _ in 0..if cfg!(miri) { 20 } else { 2_000 } {
            scenario();
        }
    }

    /// A place in memory; who watches (Miri, ThreadSanitizer) finds two threads in it at once.
    #[derive(Debug, Default)]
    pub struct Place<T>(core::cell::UnsafeCell<T>);

    impl<T> Place<T> {
        /// A place with a value.
        pub fn new(value: T) -> Place<T> {
            Place(core::cell::UnsafeCell::new(value))
        }

        /// Shows the value's address to who reads it.
        pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        /// Shows the value's address to who writes it.
        pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}
