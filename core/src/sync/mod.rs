//! Locks that park green threads and block OS threads, with the names and the meaning of [`std::sync`].
//!
//! To use them, replace `use std::sync::{Arc, Mutex}` by `use kahn::sync::{Arc, Mutex}`. One lock serves green
//! threads and plain OS threads in any mix. Beyond std, there are [`Semaphore`] and [`WaitGroup`].
//!
//! # Fairness
//!
//! No waiter starves, however busy a lock is. Each type documents what it guarantees. A loop that takes and releases
//! a free lock yields to other green threads now and then.
//!
//! # Cancellation
//!
//! A green thread that is cancelled, or whose [`time::timeout`](crate::time::timeout) passes, unwinds from the call
//! in which it waits. It has taken nothing. If it receives the lock at the same moment, the call returns with the
//! lock, and the cancel takes effect at the next wait.
//!
//! # Poisoning
//!
//! As in std, a [`Mutex`] or [`RwLock`] is poisoned when a guard that can change the value is dropped while its
//! holder unwinds, because the value may be half changed. An unwind by a cancel or a timeout poisons too, since it
//! also interrupts the holder's work. A cancelled [`Condvar::wait`] poisons nothing: the waiter has released the
//! lock, so the value is consistent.

//!
//! # In async code
//!
//! [`Semaphore::acquire_async`] and [`WaitGroup::wait_async`] wait without a stack. A [`Permit`] and an [`OwnedPermit`] may be
//! held over an `.await`. The guards of [`Mutex`] and [`RwLock`] are not `Send`, as std's are not, so a
//! [task](crate::async_task) cannot hold them over an `.await`: the compiler refuses it. There is no async form of `lock`,
//! because its guard could not be used otherwise than that of `lock`. A task that calls `lock` parks for as long as another
//! thread holds the lock, which is short if none is held over a wait. To exclude others over an `.await`, use a semaphore
//! with one permit, or an actor. `Condvar`, `Barrier`, `Once` and `OnceLock` have no async form; a task parks in them.

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
pub use semaphore::{OwnedPermit, Permit, Semaphore};
pub use wait_group::WaitGroup;

use core::time::Duration;
use std::time::Instant;

use crate::primitives::now;

#[doc(no_inline)]
pub use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult, Weak, atomic};

/// Returns the instant `timeout` from now, or `None` if an `Instant` cannot express it.
fn deadline_after(timeout: Duration) -> Option<Instant> {
    now().checked_add(timeout)
}
