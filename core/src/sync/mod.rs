//! Locks that park green threads and block OS threads, with the names and the meaning of [`std::sync`].
//!
//! `use std::sync::{Arc, Mutex}` becomes `use kahn::sync::{Arc, Mutex}`, and that is all. One lock serves green threads
//! and plain OS threads in any mix. What is more than in std: [`Semaphore`] and [`WaitGroup`].
//!
//! # Fairness
//!
//! No waiter starves, however busy a lock is. Each type says what it promises. A loop that takes and gives back a free
//! lock lets other green threads run now and then.
//!
//! # Cancellation
//!
//! A green thread that is cancelled, or whose [`time::timeout`](crate::time::timeout) is over, unwinds from the call in
//! which it waits, and has taken nothing. If it was given the lock at the same moment, it has the lock, the call returns,
//! and the cancel takes effect at the next wait.
//!
//! # Poisoning
//!
//! As in std: a [`Mutex`] or [`RwLock`] whose guard for writing is dropped while its holder unwinds is poisoned, because
//! the value may be half changed. An unwind by a cancel or a time-out is no different in this, since it too leaves the
//! holder's work where it was. A cancelled [`Condvar::wait`] poisons nothing: who waits has given up the lock, so the
//! value is whole.

mod chain;
mod gate;
mod poison;
mod spin;

mod barrier;
mod condvar;
mod lazy_lock;
mod mutex;
mod once;
mod once_lock;
mod rwlock;
mod semaphore;
mod wait_group;

pub use barrier::{Barrier, BarrierWaitResult};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use lazy_lock::LazyLock;
pub use mutex::{Mutex, MutexGuard};
pub use once::{Once, OnceState};
pub use once_lock::OnceLock;
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{Permit, Semaphore};
pub use wait_group::WaitGroup;

#[doc(no_inline)]
pub use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult, Weak, atomic};
