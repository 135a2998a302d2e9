//! The primitives over `loom`: the same names, and each access is a step that the model checker may interleave.

pub use loom::sync::Arc;
pub use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

/// Declares a thread-local of each thread of a model. One with a `const` value is there outside of users' models, too: it
/// belongs to the OS thread then.
macro_rules! model_thread_local {
    ($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = const $init:block;) => {
        $(#[$attribute])* $visibility static $name: $crate::primitives::explorer::Local<$type> = {
            std::thread_local! { static OUTSIDE: $type = const $init; }
            $crate::primitives::explorer::Local::new(|| $init, &OUTSIDE)
        };
    };
    ($($declaration:tt)*) => {
        loom::thread_local! { $($declaration)* }
    };
}
pub(crate) use model_thread_local as thread_local;

use std::ops::{Deref, DerefMut};
use std::sync::{PoisonError, TryLockError};
use std::time::Instant;

/// Declares a function that is `const` except in a model, because loom's atomics cannot be created in a constant.
macro_rules! maybe_const {
    ($(#[$attribute:meta])* $visibility:vis const fn $($rest:tt)*) => {
        $(#[$attribute])* $visibility fn $($rest)*
    };
}
pub(crate) use maybe_const;

/// The same interface as in the production build, built from loom's mutex and condition variable.
#[derive(Debug)]
pub struct Parker(Unparker);

/// The waking half of a [`Parker`].
#[derive(Clone, Debug)]
pub struct Unparker(Arc<(loom::sync::Mutex<bool>, loom::sync::Condvar)>);

impl Parker {
    /// Creates a parker without a token.
    pub fn new() -> Parker {
        Parker(Unparker(Arc::new((loom::sync::Mutex::new(false), loom::sync::Condvar::new()))))
    }

    /// Sleeps until there is a token, and takes it.
    pub fn park(&self) {
        let (token, condition) = &*self.0.0;
        let mut token = token.lock().expect("no holder panics");
        while !*token {
            token = condition.wait(token).expect("no holder panics");
        }
        *token = false;
    }

    /// Yields. Time does not pass in a model, so this lets the deadline come before or after the steps of other
    /// threads.
    pub fn park_deadline(&self, _deadline: Instant) {
        loom::thread::yield_now();
    }

    /// Returns the waking half.
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
    /// Leaves a token, and wakes the sleeping thread.
    pub fn unpark(&self) {
        let (token, condition) = &*self.0;
        *token.lock().expect("no holder panics") = true;
        condition.notify_one();
    }
}

/// The same contract as in the production build. Loom treats `SeqCst` accesses as AcqRel, but it models fences.
pub fn swap_then_load<T>(word: &AtomicUsize, value: usize, place: &AtomicPtr<T>) -> (usize, *mut T) {
    let before = word.swap(value, Ordering::AcqRel);
    fence(Ordering::SeqCst);
    (before, place.load(Ordering::Acquire))
}

/// Lets other threads continue.
#[derive(Debug, Default)]
pub struct Backoff(());

impl Backoff {
    /// Creates a back-off that has not waited yet.
    pub fn new() -> Backoff {
        Backoff(())
    }

    /// Yields to other threads.
    pub fn wait(&mut self) {
        loom::thread::yield_now();
    }
}

/// The same interface as in the production build, built from loom's mutex.
#[derive(Debug)]
pub struct Lock<T>(loom::sync::Mutex<T>);

impl<T> Lock<T> {
    /// Creates a free lock around `value`.
    pub fn new(value: T) -> Lock<T> {
        Lock(loom::sync::Mutex::new(value))
    }

    /// Takes the lock.
    pub fn lock(&self) -> LockGuard<'_, T> {
        // Only a panic of loom itself poisons the lock. The destructors on its way must not panic, too.
        LockGuard(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<LockGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(LockGuard(guard)),
            Err(TryLockError::Poisoned(error)) => Some(LockGuard(error.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Returns the value, by exclusive reference to the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().expect("no holder panics")
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.0.into_inner().expect("no holder panics")
    }
}

/// The holder's access. Dropping it releases the lock.
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

/// Returns whether the clock of a user's model has reached the deadline. In other models, returns true: a deadline has
/// passed as soon as it is checked, so every wait with a deadline may time out.
pub fn deadline_passed(deadline: Instant) -> bool {
    super::explorer::model_now().is_none_or(|now| deadline <= now)
}

/// How tests explore the orders in which threads may run: this build runs all of them.
#[cfg(test)]
pub mod explore {
    pub use loom::cell::UnsafeCell as Place;
    pub use loom::sync::Arc;
    pub use loom::thread;

    /// Runs `scenario` in every order of its threads' steps with up to `preemptions` preemptions, or
    /// `LOOM_MAX_PREEMPTIONS` if that is more.
    pub fn orders(preemptions: usize, scenario: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = builder.preemption_bound.max(Some(preemptions));
        builder.check(scenario);
    }
}
