//! A rate limiter.
//!
//! The bucket's level is stored as the time at which the bucket will be full again. Taking a token moves that time
//! later by the time that one token takes to arrive. The token is available at once if the moved time is at most the
//! time of a whole bucket away. Times are in units of 1/`tokens` ns, in which all of these values are integers.

use core::error::Error;
use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use kahn_core::primitives::Lock;
use kahn_core::time::{Instant, now, sleep};
use kahn_core::wait::operation;

/// A rate limiter: a bucket that receives tokens at a steady rate, up to a burst, and from which each request takes
/// some. A clone is the same bucket.
///
/// Waiting callers get their tokens in the order in which they came. A limiter works in green threads, actors and OS
/// threads. While an actor waits in its handler, its mailbox fills, so that the limit also slows its senders.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use kahn::actor::Limiter;
///
/// let limiter = Limiter::new(2, Duration::from_secs(3600));
/// assert!(limiter.try_acquire(1));
/// assert!(limiter.try_acquire(1));
/// assert!(!limiter.try_acquire(1));
///
/// let fast = Limiter::new(1000, Duration::from_secs(1)).burst(1);
/// for _ in 0..3 {
///     fast.acquire(1); // about one in a millisecond
/// }
/// ```
#[derive(Clone)]
pub struct Limiter {
    tokens: u32,
    period: Duration,
    burst: u32,
    bucket: Arc<Bucket>,
}

struct Bucket {
    start: Instant,
    /// When the bucket will be full: the time since `start`, in units of 1/`tokens` ns.
    full_at: Lock<u128>,
}

/// The error of a request whose tokens would not have arrived in time. No tokens were taken.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use kahn::actor::Limiter;
///
/// let limiter = Limiter::new(2, Duration::from_secs(10));
/// limiter.acquire(2);
/// let error = limiter.acquire_timeout(1, Duration::from_millis(1)).unwrap_err();
/// assert!(error.wait() > Duration::from_secs(4));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcquireTimeoutError {
    wait: Duration,
}

impl AcquireTimeoutError {
    /// Returns how long the tokens would have taken to arrive, measured from the request.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::Limiter;
    ///
    /// let limiter = Limiter::new(2, Duration::from_secs(10));
    /// limiter.acquire(2);
    /// let error = limiter.acquire_timeout(2, Duration::ZERO).unwrap_err();
    /// assert!(error.wait() > Duration::from_secs(9));
    /// ```
    pub fn wait(&self) -> Duration {
        self.wait
    }
}

impl fmt::Display for AcquireTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the rate is limited; try again in {:?}", self.wait)
    }
}

impl Error for AcquireTimeoutError {}

impl Limiter {
    /// Returns a limiter with `tokens` tokens in each `period`, evenly spread. The bucket holds `tokens` tokens, and is
    /// full.
    ///
    /// # Panics
    ///
    /// Panics if `tokens` or `period` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::Limiter;
    ///
    /// let limiter = Limiter::new(2, Duration::from_secs(10));
    /// assert!(limiter.try_acquire(2) && !limiter.try_acquire(1));
    /// ```
    #[track_caller]
    pub fn new(tokens: u32, period: Duration) -> Limiter {
        assert!(tokens > 0, "Limiter: the number of tokens must be one at least");
        assert!(!period.is_zero(), "Limiter: the period must be longer than zero");
        let bucket = Arc::new(Bucket { start: now(), full_at: Lock::new(0) });
        Limiter { tokens, period, burst: tokens, bucket }
    }

    /// Sets the number of tokens that the bucket holds, which is the number of requests that may come at once after a
    /// pause. The returned limiter has a new bucket, which is full.
    ///
    /// # Panics
    ///
    /// Panics if `burst` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::Limiter;
    ///
    /// let limiter = Limiter::new(2, Duration::from_secs(10)).burst(5);
    /// assert_eq!(limiter.available(), 5);
    /// ```
    #[track_caller]
    pub fn burst(self, burst: u32) -> Limiter {
        assert!(burst > 0, "Limiter: the burst must be one at least");
        Limiter { burst, ..Limiter::new(self.tokens, self.period) }
    }

    /// Takes tokens if they are available. Returns whether it has taken them.
    ///
    /// # Panics
    ///
    /// Panics if `tokens` is more than the bucket holds.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::Limiter;
    ///
    /// let limiter = Limiter::new(2, Duration::from_secs(10));
    /// assert!(limiter.try_acquire(2));
    /// assert!(!limiter.try_acquire(1), "they come in five seconds");
    /// ```
    #[track_caller]
    pub fn try_acquire(&self, tokens: u32) -> bool {
        operation();
        self.take(tokens, Duration::ZERO).is_ok()
    }

    /// Takes tokens, and waits until they have arrived.
    ///
    /// # Parks
    ///
    /// Parks until the tokens have arrived. If the wait is cancelled, the tokens are given back.
    ///
    /// # Panics
    ///
    /// Panics if `tokens` is more than the bucket holds.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use kahn::actor::Limiter;
    ///
    /// let limiter = Limiter::new(1, Duration::from_millis(2));
    /// let start = Instant::now();
    /// (0..3).for_each(|_| limiter.acquire(1));
    /// assert!(start.elapsed() >= Duration::from_millis(4));
    /// ```
    #[track_caller]
    pub fn acquire(&self, tokens: u32) {
        self.acquire_timeout(tokens, Duration::MAX).expect("there is no limit to the wait");
    }

    /// Takes tokens as [`acquire`](Self::acquire) does, if that takes at most `timeout`. Otherwise it returns an error
    /// at once.
    ///
    /// # Parks
    ///
    /// Parks until the tokens have arrived. If the wait is cancelled, the tokens are given back.
    ///
    /// # Errors
    ///
    /// Returns an error if the tokens would arrive later than that. No tokens are taken then.
    ///
    /// # Panics
    ///
    /// Panics if `tokens` is more than the bucket holds.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::Limiter;
    ///
    /// let limiter = Limiter::new(2, Duration::from_secs(10));
    /// assert!(limiter.acquire_timeout(2, Duration::ZERO).is_ok());
    /// assert!(limiter.acquire_timeout(1, Duration::from_secs(1)).is_err(), "it says so at once");
    /// ```
    #[track_caller]
    pub fn acquire_timeout(&self, tokens: u32, timeout: Duration) -> Result<(), AcquireTimeoutError> {
        operation();
        let wait = self.take(tokens, timeout)?;
        if !wait.is_zero() {
            let taken = Taken { limiter: self, tokens };
            sleep(wait);
            core::mem::forget(taken);
        }
        Ok(())
    }

    /// Returns the number of tokens that are available.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::Limiter;
    ///
    /// let limiter = Limiter::new(2, Duration::from_secs(10));
    /// limiter.acquire(1);
    /// assert_eq!(limiter.available(), 1);
    /// ```
    pub fn available(&self) -> u32 {
        let missing = self.bucket.full_at.lock().saturating_sub(self.moment()).div_ceil(self.time_of(1));
        self.burst.saturating_sub(u32::try_from(missing).unwrap_or(u32::MAX))
    }

    /// Takes tokens that arrive within `timeout`, and returns the time until then.
    #[track_caller]
    fn take(&self, tokens: u32, timeout: Duration) -> Result<Duration, AcquireTimeoutError> {
        let burst = self.burst;
        assert!(tokens <= burst, "Limiter: the bucket never holds {tokens} tokens; its burst is {burst}");
        let mut full_at = self.bucket.full_at.lock();
        // The time is read under the lock, so that a later caller does not read an earlier time.
        let moment = self.moment();
        let then = (*full_at).max(moment).saturating_add(self.time_of(tokens));
        let wait =
            then.saturating_sub(self.time_of(burst).saturating_add(moment)).div_ceil(u128::from(self.tokens));
        let wait = u64::try_from(wait).map_or(Duration::MAX, Duration::from_nanos);
        if wait > timeout {
            return Err(AcquireTimeoutError { wait });
        }
        *full_at = then;
        Ok(wait)
    }

    /// Returns the time since the bucket's start, in units of 1/`tokens` ns.
    fn moment(&self) -> u128 {
        now().saturating_duration_since(self.bucket.start).as_nanos() * u128::from(self.tokens)
    }

    /// Returns the time that `tokens` tokens take to arrive, in units of 1/`self.tokens` ns.
    fn time_of(&self, tokens: u32) -> u128 {
        self.period.as_nanos() * u128::from(tokens)
    }
}

/// Tokens of a caller that waits for them. They are given back when this is dropped.
struct Taken<'a> {
    limiter: &'a Limiter,
    tokens: u32,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut full_at = self.limiter.bucket.full_at.lock();
        *full_at = full_at.saturating_sub(self.limiter.time_of(self.tokens));
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("tokens", &self.tokens)
            .field("period", &self.period)
            .field("burst", &self.burst)
            .field("available", &self.available())
            .finish()
    }
}
