//! The primitives over `std`.

pub use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, compiler_fence, fence,
};
pub use std::sync::Arc;
pub(crate) use std::thread_local;

/// Declares a function that is `const` except in a model, because loom's atomics cannot be created in a constant.
macro_rules! maybe_const {
    ($($function:tt)*) => { $($function)* };
}
pub(crate) use maybe_const;

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::time::Duration;
use std::time::Instant;

/// Lets an OS thread sleep until another thread wakes it. It keeps a token, so a wake-up that comes first is not
/// lost.
#[derive(Debug)]
pub struct Parker(crossbeam_utils::sync::Parker);

/// The waking half of a [`Parker`].
#[derive(Clone, Debug)]
pub struct Unparker(crossbeam_utils::sync::Unparker);

impl Parker {
    /// Creates a parker without a token.
    pub fn new() -> Parker {
        Parker(crossbeam_utils::sync::Parker::new())
    }

    /// Sleeps until there is a token, and takes it. May return early.
    pub fn park(&self) {
        self.0.park();
    }

    /// Sleeps until there is a token or the deadline has passed. May return early.
    pub fn park_deadline(&self, deadline: Instant) {
        self.0.park_deadline(deadline);
    }

    /// Returns the waking half.
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
    /// Leaves a token, and wakes the sleeping thread.
    pub fn unpark(&self) {
        self.0.unpark();
    }
}

/// Exchanges the value of `word`, and then reads `place`. Consider another thread that writes `place`, executes a
/// `SeqCst` fence and then reads `word`: at least one of the two threads sees what the other has written.
#[inline]
pub fn swap_then_load<T>(word: &AtomicUsize, value: usize, place: &AtomicPtr<T>) -> (usize, *mut T) {
    // SeqCst (both): the accesses and the fence are in the single total order of all SeqCst operations. If the other
    // thread's fence comes before the exchange, it comes before the load, which then reads what was written before
    // the fence. If the fence comes after the exchange, the other thread's read sees the exchange. On x86 this is one
    // locked instruction; with a fence it would be two.
    (word.swap(value, Ordering::SeqCst), place.load(Ordering::SeqCst))
}

/// A mutual exclusion lock for critical sections of a few dozen instructions. User code never runs in them, and they
/// never park.
///
/// | `locked` | means |
/// |---|---|
/// | false | free |
/// | true | held; other threads back off: first they spin, then they yield the CPU, then they sleep |
///
/// Locking is one compare-and-swap and unlocking is one store. This is half the cost of a lock that tracks its
/// sleepers, and channels spend most of their time in this lock. The back-off is long on purpose: two cores that
/// compete for a cache line at every message are ten times slower than two cores that take turns of a microsecond
/// each.
#[derive(Debug, Default)]
pub struct Lock<T> {
    locked: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the lock gives out one exclusive reference at a time, so sharing it at most moves `T` between threads.
unsafe impl<T: Send> Send for Lock<T> {}
// SAFETY: the lock gives out one exclusive reference at a time, so sharing it at most moves `T` between threads.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    /// Creates a free lock around `value`.
    pub const fn new(value: T) -> Lock<T> {
        Lock { locked: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Takes the lock.
    #[inline]
    pub fn lock(&self) -> LockGuard<'_, T> {
        // Acquire: pairs with the Release in the guard's drop, so this holder sees what the last one wrote.
        if self.locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.lock_contended();
        }
        LockGuard { lock: self }
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_lock(&self) -> Option<LockGuard<'_, T>> {
        // Relaxed load first: a failed attempt should not take the cache line from the holder. Acquire as in `lock`.
        if !self.locked.load(Ordering::Relaxed)
            && self.locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
        {
            Some(LockGuard { lock: self })
        } else {
            None
        }
    }

    /// Returns the value, by exclusive reference to the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    #[cold]
    #[inline(never)]
    fn lock_contended(&self) {
        let mut backoff = Backoff::new();
        loop {
            backoff.wait();
            // Relaxed load and Acquire exchange for the same reasons as in `try_lock`.
            if !self.locked.load(Ordering::Relaxed)
                && self.locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                return;
            }
        }
    }
}

/// Waits longer each time. First it spins, up to about two microseconds. Then it yields the CPU, because the holder
/// may be waiting for this core. Then it sleeps, so that a preempted holder does not cost other threads a core.
#[derive(Debug, Default)]
pub struct Backoff {
    round: u32,
}

impl Backoff {
    const SPIN_ROUNDS: u32 = 7;
    const YIELD_ROUNDS: u32 = 24;
    const SLEEP: Duration = Duration::from_micros(50);

    /// Creates a back-off that has not waited yet.
    pub fn new() -> Backoff {
        Backoff::default()
    }

    /// Waits for longer than the last time.
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

/// The holder's access. Dropping it releases the lock.
#[derive(Debug)]
pub struct LockGuard<'a, T> {
    lock: &'a Lock<T>,
}

impl<T> Deref for LockGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: a guard exists only while its thread holds the lock, so no other thread has a reference to the
        // value.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for LockGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard's thread holds the lock, so no other thread has a reference to the value. `&mut self`
        // makes the reference unique within the guard.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for LockGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Release: the next holder's Acquire sees what this holder wrote.
        self.lock.locked.store(false, Ordering::Release);
    }
}

/// Returns whether `deadline` has passed.
#[inline]
pub fn deadline_passed(deadline: Instant) -> bool {
    super::now() >= deadline
}

/// How tests explore the orders in which threads may run: this build runs the scenario many times.
#[cfg(test)]
pub mod explore {
    pub use std::sync::Arc;
    pub use std::thread;

    /// Runs `scenario` repeatedly, in the orders that happen to occur.
    pub fn orders(_preemptions: usize, scenario: impl Fn() + Send + Sync + 'static) {
        for _ in 0..if cfg!(miri) { 20 } else { 2_000 } {
            scenario();
        }
    }

    /// A place in memory. Miri and ThreadSanitizer report two threads that access it at once.
    #[derive(Debug, Default)]
    pub struct Place<T>(core::cell::UnsafeCell<T>);

    impl<T> Place<T> {
        /// Creates a place with a value.
        pub fn new(value: T) -> Place<T> {
            Place(core::cell::UnsafeCell::new(value))
        }

        /// Calls `f` with the address of the value, to read it.
        pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        /// Calls `f` with the address of the value, to write it.
        pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}
