//! Tasks: futures that the workers of a runtime run beside green threads.
//!
//! A task is a future in a small heap cell. It has no stack while it waits, and a worker polls it, on a stack that tasks
//! share, each time that it is woken. A task can do all that a green thread can: it is spawned, joined, cancelled, named
//! and reported in the same way, [`thread::current`] returns its handle, and its
//! [`JoinHandle`] works in blocking code and in async code.
//!
//! # When to use a task
//!
//! | | use | why |
//! |---|---|---|
//! | most code | a green thread ([`spawn`](crate::spawn())) | it is plain code; each one that waits keeps a stack, of which a page or two are in memory |
//! | a handler for each message of a channel | `serve`, an actor | plain code without a stack between messages |
//! | a library whose interface is `async` | a task, or [`block_on`](crate::block_on) in a green thread | |
//! | a hundred thousand waits at once | a task | a waiting task is a few hundred bytes |
//!
//! # Differences from a green thread
//!
//! - **A task may resume on another worker after each `.await`.** So [`spawn`] needs a future that is `Send`, which the
//!   compiler checks: the values that are held over an `.await` must be `Send`. [`spawn_local`] does not need it.
//! - **A cancel takes effect at an `.await`.** [`JoinHandle::cancel`] wakes the task, which is polled once more. If it is
//!   then pending, the future is dropped. So a message that it has just been handed is not lost.
//! - **`kahn::thread::local!` values last for one poll**, as those of a `serve` handler last for one turn.
//! - A [`time::timeout`](crate::time::timeout) bounds parks, and not an `.await`.
//!
//! A task may also park: it may lock a [`Mutex`](crate::sync::Mutex), call [`blocking`](crate::blocking), or receive from
//! a channel with `recv`. It then keeps the stack, and stays on its worker, until that call returns, as a green thread
//! does. Other tasks run meanwhile. The async forms of these operations need no stack:
//!
//! | blocking | async |
//! |---|---|
//! | `send` and `recv` of a channel, its iterator | `send_async`, `recv_async`, `into_stream` |
//! | `recv` of a oneshot, a broadcast and a watch channel | its receiver is a future; `recv_async`; `changed_async` |
//! | `tell` and `ask` of an actor | `tell_async`, `ask_async` |
//! | [`JoinHandle::join`] | the handle is a future |
//! | `acquire` of a [`Semaphore`](crate::sync::Semaphore), `wait` of a [`WaitGroup`](crate::sync::WaitGroup) | `acquire_async`, `acquire_owned_async`, `wait_async` |
//! | [`sleep`](crate::sleep), [`timeout`](crate::time::timeout), [`tick`](crate::time::Interval::tick) | [`sleep_async`](crate::time::sleep_async), [`timeout_async`](crate::time::timeout_async), [`tick_async`](crate::time::Interval::tick_async) |
//! | `select!` | the `select` of a library of futures, such as `futures-util` |
//!
//! The others have none: `reserve`, `recv_many`, the send of a broadcast channel, and [the other locks](crate::sync#in-async-code).
//! A future of a channel that has been handed a message keeps others from it until it is polled or dropped. So a task that
//! polls several futures of one channel drops those that it does not wait for any more.
//!
//! Between two polls the [budget](crate::thread::yield_now) is renewed. When a future of kahn finds it spent, it lets
//! other tasks run first. A future that is always ready and uses nothing of kahn calls [`yield_now`] now and then.
//!
//! # Examples
//!
//! ```
//! use kahn::task;
//!
//! let (tx, rx) = kahn::channel::bounded(4);
//! let sum = task::spawn(async move {
//!     let mut sum = 0;
//!     while let Ok(n) = rx.recv_async().await {
//!         sum += n;
//!     }
//!     sum
//! });
//! task::spawn(async move {
//!     for n in 1..=10 {
//!         tx.send_async(n).await.unwrap();
//!     }
//! });
//! // The same handle can be awaited.
//! assert_eq!(sum.join().unwrap(), 55);
//! ```

mod builder;
mod yield_now;

use core::future::Future;
use core::panic::Location;

pub use crate::handle::{JoinError, JoinHandle};
use crate::scheduler::{self, Scheduler};
use crate::task::{Runnable, SpawnOptions, allocate_future};
use crate::thread::{self, begin, queue};
pub use builder::Builder;
pub use yield_now::{YieldNow, yield_now};

/// Spawns a task in the caller's runtime, or in the process's default runtime. Any worker may run it after each
/// `.await`.
///
/// The returned handle joins the task, and can be awaited. If it is dropped, the task goes on.
///
/// # Parks
///
/// Never waits, but yields to other green threads every so often, as [`thread::spawn`](crate::thread::spawn()) does.
///
/// # Examples
///
/// ```
/// use kahn::task;
///
/// let answer = task::spawn(async {
///     let six = task::spawn(async { 6 });
///     let seven = kahn::spawn(|| 7);
///     six.await.unwrap() * seven.await.unwrap()
/// });
/// assert_eq!(answer.join().unwrap(), 42);
/// ```
///
/// What the future holds over an `.await` must be `Send`:
///
/// ```compile_fail
/// kahn::task::spawn(async {
///     let local = std::rc::Rc::new(1);
///     kahn::task::yield_now().await;
///     drop(local);
/// });
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    begin();
    let migratory = scheduler::migratory_here().unwrap_or(false);
    // SAFETY: the bounds require that the future and its output are `Send` and `'static`.
    unsafe { start(future, None, SpawnOptions { migratory, ..SpawnOptions::default() }) }
}

/// Spawns a task that stays on the worker of its parent. So its future and its output need not be `Send`.
///
/// # Parks
///
/// Never waits, but yields to other green threads every so often, as [`spawn`] does.
///
/// # Panics
///
/// Panics if the caller is neither a green thread nor a task, because no worker would run the new one.
///
/// # Examples
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
///
/// kahn::run(|| {
///     let shared = Rc::new(Cell::new(0));
///     let task = kahn::task::spawn_local({
///         let shared = shared.clone();
///         async move {
///             kahn::task::yield_now().await;
///             shared.set(42);
///         }
///     });
///     task.join().unwrap();
///     assert_eq!(shared.get(), 42);
/// });
/// ```
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    thread::assert_stays();
    begin();
    // SAFETY: only this worker runs a local task, and the handle is not `Send` if the output is not. The bounds require
    // that both are `'static`.
    unsafe { start(future, None, SpawnOptions { local: true, ..SpawnOptions::default() }) }
}

/// Allocates and queues a task. The caller has called [`begin`].
///
/// # Safety
///
/// The rules of `allocate_future` hold for `F` and `options`.
#[track_caller]
unsafe fn start<F: Future>(
    future: F,
    name: Option<Box<str>>,
    options: SpawnOptions,
) -> JoinHandle<F::Output> {
    let future = scheduler::watched_future(future);
    // SAFETY: the caller guarantees the rules of `allocate_future`.
    let task = unsafe { allocate_future::<Scheduler, _>(future, name, options, Location::caller()) };
    let handle = JoinHandle::new(task);
    // SAFETY: the task has been made just now, and has not been queued.
    queue(unsafe { Runnable::new(task) });
    handle
}
