//! The facade over `loom`: the same names, with every access a step that the model checker may interleave.

pub use loom::sync::Arc;
pub use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

use std::ops::{Deref, DerefMut};
use std::time::Instant;

/// A `const fn`, but in a model, whose atomics cannot be made in a constant.
macro_rules! maybe_const {
    ($(#[$attribute:meta])* $visibility:vis const fn $($rest:tt)*) => {
        $(#[$attribute])* $visibility fn $($rest)*
    };
}
pub(crate) use maybe_const;

/// As in the production build, of loom's mutex and condition variable.
#[derive(Debug)]
pub struct Parker(Unparker);

/// The waking half of a [`Parker`].
#[derive(Clone, Debug)]
pub struct Unparker(Arc<(loom::sync::Mutex<bool>, loom::sync::Condvar)>);

impl Parker {
    /// A parker without a token.
    pub fn new() -> Parker {
        Parker(Unparker(Arc::new((loom::sync::Mutex::new(false), loom::sync::Condvar::new()))))
    }

    /// Sleeps until a token is there, and takes it.
    pub fn park(&self) {
        let (token, condition) = &*self.0.0;
        let mut token = token.lock().expect("no holder panics");
        while !*token {
            token = condition.wait(token).expect("no holder panics");
        }
        *token = false;
    }

    /// Time does not pass in a model: gives up the turn, which lets the deadline's side go first or second.
    pub fn park_deadline(&self, _deadline: Instant) {
        loom::thread::yield_now();
    }

    /// The waking half.
    pub fn unparker(&self) -> Unparker {
        self.0.clone()
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
        let (token, condition) = &*self.0;
        *token.lock().expect("no holder panics") = true;
        condition.notify_one();
    }
}

/// As in the production build. Loom takes other accesses that are `SeqCst` for AcqRel, and knows fences.
pub fn swap_then_load<T>(word: &AtomicUsize, value: usize, place: &AtomicPtr<T>) -> (usize, *mut T) {
    let before = word.swap(value, Ordering::AcqRel);
    fence(Ordering::SeqCst);
    (before, place.load(Ordering::Acquire))
}

/// Lets others go on.
#[derive(Debug, Default)]
pub struct Backoff(());

impl Backoff {
    /// One that has not waited yet.
    pub fn new() -> Backoff {
        Backoff(())
    }

    /// Gives up the turn.
    pub fn wait(&mut self) {
        loom::thread::yield_now();
    }
}

/// As in the production build, of loom's mutex.
#[derive(Debug)]
pub struct Lock<T>(loom::sync::Mutex<T>);

impl<T> Lock<T> {
    /// A free lock around `value`.
    pub fn new(value: T) -> Lock<T> {
        Lock(loom::sync::Mutex::new(value))
    }

    /// Takes the lock.
    pub fn lock(&self) -> LockGuard<'_, T> {
        LockGuard(self.0.lock().expect("no holder panics"))
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<LockGuard<'_, T>> {
        self.0.try_lock().ok().map(LockGuard)
    }

    /// The value, by exclusive reference to the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().expect("no holder panics")
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.0.into_inner().expect("no holder panics")
    }
}

/// The holder's access; dropping it gives the lock back.
#[derive(Debug)]
pub struct LockGuard<'a, T>(loom::sync::MutexGuard<'a, T>);

impl<T> Deref for LockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for LockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// A deadline in a model passes as soon as it is looked at: every wait with one may time out.
pub fn deadline_passed(_deadline: Instant) -> bool {
    true
}

/// How tests look at the orders in which threads may run: here, by running all of them.
#[cfg(test)]
pub mod explore {
    pub use loom::cell::UnsafeCell as Place;
    pub use loom::sync::Arc;
    pub use loom::thread;

    /// Runs `scenario` in every order of its threads' steps with so many preemptions, or `LOOM_MAX_PREEMPTIONS` if that is
    /// more.
    pub fn orders(preemptions: usize, scenario: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = builder.preemption_bound.max(Some(preemptions));
        builder.check(scenario);
    }
}
