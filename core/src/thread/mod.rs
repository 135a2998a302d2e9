//! Green threads, with the names and the meaning of `std::thread`.

mod block_on;
mod builder;
pub mod local;
#[cfg_attr(models, path = "own_home_model.rs")]
mod own_home;
mod scope;

pub use crate::handle::thread::{Thread, ThreadId, current, park, park_timeout};
pub use crate::handle::{JoinError, JoinHandle};
pub use block_on::block_on;
pub use builder::{Builder, spawn, spawn_local};
pub(crate) use builder::{assert_stays, begin, queue};
pub use local::{AccessError, LocalKey};
pub use scope::{Scope, ScopedJoinHandle, scope};
#[doc(no_inline)]
pub use std::thread::panicking;

/// The result of [`JoinHandle::join`]. Works like [`std::thread::Result`].
///
/// # Examples
///
/// ```
/// fn length(counter: kahn::thread::JoinHandle<usize>) -> kahn::thread::Result<usize> {
///     counter.join()
/// }
/// assert_eq!(length(kahn::spawn(|| "four".len())).unwrap(), 4);
/// ```
pub type Result<T> = core::result::Result<T, JoinError>;

use core::num::NonZero;
use std::io;
use std::time::{Duration, Instant};

use crate::primitives::now;
use crate::runtime;
use crate::scheduler;
use crate::wait::{Kind, Reason, Wait, check_cancelled, check_timeout, current as waiting, operation};

/// Returns whether the caller is a green thread.
///
/// # Examples
///
/// ```
/// assert!(!kahn::thread::is_green());
/// assert!(kahn::run(kahn::thread::is_green));
/// ```
pub fn is_green() -> bool {
    waiting::green().is_some()
}

/// Returns how many green threads can run at once: the number of workers of the caller's runtime. On an OS thread
/// outside any runtime, this is the number of workers of the process's default runtime, which is not started for this
/// call.
///
/// # Errors
///
/// Returns an error if the default runtime could not be started because `KAHN_WORKERS` is not a valid number of
/// workers.
///
/// # Examples
///
/// ```
/// let parts = kahn::thread::available_parallelism()?.get();
/// let sums = kahn::run(|| {
///     let sum = move |part| (part..1000).step_by(parts).sum::<usize>();
///     let handles: Vec<_> = (0..parts).map(|part| kahn::spawn(move || sum(part))).collect();
///     handles.into_iter().map(|handle| handle.join().unwrap()).sum::<usize>()
/// });
/// assert_eq!(sums, 499_500);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn available_parallelism() -> io::Result<NonZero<usize>> {
    let workers = match scheduler::runtime_here() {
        Some(runtime) => runtime.workers(),
        None => runtime::default_workers()?,
    };
    Ok(NonZero::new(workers).expect("a runtime has workers"))
}

/// Yields to other green threads. On an OS thread, yields to other OS threads.
///
/// # Parks
///
/// The caller goes to the end of its worker's queue. This unwinds if the caller is a green thread that was cancelled,
/// or if the deadline of an enclosing [`timeout`](crate::time::timeout) has passed.
///
/// # Examples
///
/// ```
/// fn is_prime(n: u64) -> bool {
///     (2..n).take_while(|d| d * d <= n).all(|d| n % d != 0)
/// }
/// kahn::run(|| {
///     let mut primes = 0;
///     for n in 2..2000 {
///         primes += u32::from(is_prime(n));
///         if n % 100 == 0 {
///             // Nothing here parks, and other green threads want to run too.
///             kahn::yield_now();
///         }
///     }
///     assert_eq!(primes, 303);
/// });
/// ```
#[inline]
pub fn yield_now() {
    scheduler::yield_or(|| {
        check_timeout();
        std::thread::yield_now();
    });
}

/// Waits for at least `duration`. Waits forever if the clock cannot express the deadline.
///
/// # Parks
///
/// Parks until `duration` has passed.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// kahn::run(|| {
///     // Together they take as long as one of them.
///     let sleep = || kahn::spawn(|| kahn::sleep(Duration::from_millis(5)));
///     [sleep(), sleep(), sleep()].map(|sleeper| sleeper.join().unwrap());
/// });
/// assert!(start.elapsed() >= Duration::from_millis(5));
/// ```
#[track_caller]
pub fn sleep(duration: Duration) {
    if duration.is_zero() {
        return yield_now();
    }
    sleep_to(now().checked_add(duration));
}

/// Waits until `deadline`.
///
/// # Parks
///
/// Parks until `deadline` has passed.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let deadline = Instant::now() + Duration::from_millis(2);
/// kahn::thread::sleep_until(deadline);
/// assert!(Instant::now() >= deadline);
/// ```
#[track_caller]
pub fn sleep_until(deadline: Instant) {
    sleep_to(Some(deadline));
}

#[track_caller]
fn sleep_to(deadline: Option<Instant>) {
    operation();
    let reason = Reason::new::<()>(Kind::Sleep, core::ptr::null());
    let error = Wait::new().park(reason, deadline);
    if let Err(error) = error {
        let _ = error.raise();
    }
}

/// Runs `f` on an OS thread of the runtime's blocking pool, and returns its value. Use it for calls that block or
/// compute for long, and would hold up the worker. `f` may borrow from the caller. On an OS thread outside any
/// runtime, `f` runs on that thread.
///
/// # Parks
///
/// Parks until `f` has returned. If a cancel, or the deadline of an enclosing [`timeout`](crate::time::timeout), comes
/// before an OS thread has taken the call, this unwinds and `f` does not run. Later, it waits for the end of `f`, and
/// takes effect at the next park.
///
/// # Panics
///
/// Panics with the panic of `f` if `f` panics.
///
/// # Examples
///
/// ```
/// kahn::run(|| {
///     let manifest = kahn::blocking(|| std::fs::read_to_string("Cargo.toml"));
///     assert!(manifest.unwrap().contains("[package]"));
/// });
/// ```
#[track_caller]
pub fn blocking<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    // Paid for first: otherwise a loop that catches the unwinds below would never yield.
    operation();
    check_cancelled();
    check_timeout();
    if !is_green() {
        return f();
    }
    match scheduler::runtime_here() {
        Some(shared) => shared.blocking.call(f),
        None => f(),
    }
}
